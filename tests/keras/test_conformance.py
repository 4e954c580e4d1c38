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
    _, row, *_ = (line.split() for line in done.stdout.splitlines())
    assert int(row[1]) >= 163, done.stdout + done.stderr
    assert int(row[2]) == 0, done.stdout + done.stderr


def test_an_unknown_group_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nothing"])
    assert "there is no group nothing" in capsys.readouterr().err


def test_every_exclusion_has_a_reason() -> None:
    found = exclusions()
    assert 0 < len(found) <= 60
    assert all(found.values())
