"""Keras's own tests: a quick group of them, and the command that counts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tilec.keras.conformance import main
from tilec.keras.pytest_plugin import exclusions

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_core_group_of_keras() -> None:
    pytest.importorskip("absl", reason="Keras's own tests need absl-py")
    paths = [str(ROOT / each) for each in ("", "grammar", "backends", "frontends")]
    done = subprocess.run(
        [sys.executable, "-m", "tilec.keras.conformance", "core"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    counts = dict(zip(done.stdout.split()[:6], done.stdout.split()[6:12], strict=True))
    assert int(counts["passed"]) >= 159, done.stdout + done.stderr


def test_an_unknown_group_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nothing"])
    assert "there is no group nothing" in capsys.readouterr().err


def test_every_exclusion_has_a_reason() -> None:
    found = exclusions()
    assert 0 < len(found) <= 60
    assert all(found.values())
