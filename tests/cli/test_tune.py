from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Tilec
from tests.llvm.conftest import targets
from tilec.schedule.grouped import parse_grouped

PROGRAM = (
    "-e",
    "C[i, j : M, N] = +(A[i, k] * B[k, j])",
    "--shape",
    "A=40x96",
    "--shape",
    "B=96x64",
)


def test_tune_and_look_after_it(tilec: Tilec) -> None:
    result = tilec("tune", *PROGRAM, "--budget", "1s", "--json")
    assert result.status == 0, result.err
    facts: dict[str, Any] = json.loads(result.out)
    assert facts["kept"]
    (kernel,) = facts["kernels"]
    assert kernel["seconds"] <= kernel["first_seconds"]

    assert kernel["best"] in tilec("tunings", "list").out
    assert tilec("tunings", "export", "found.json").status == 0
    text = Path("found.json").read_text()
    assert tilec("tunings", "export").out == tilec("tunings", "list", "--json").out == text
    assert "removed 1 finding\n" in tilec("tunings", "clear").out
    assert "added 1 of 1 findings" in tilec("tunings", "import", "found.json").out
    assert "added 0 of 1 findings" in tilec("tunings", "import", "found.json").out
    assert tilec("tunings", "export").out == text


@pytest.mark.skipif(len(targets()) == 1, reason="there is no OpenCL device")
def test_groups_are_tuned_on_a_device(tilec: Tilec, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one for a GPU, and others by the clock, on whatever is here."""
    monkeypatch.setenv("TILEC_GPU", "mali")
    result = tilec("tune", *PROGRAM, "--target", "opencl", "--budget", "1s", "--json")
    assert result.status == 0, result.err
    (kernel,) = json.loads(result.out)["kernels"]
    assert str(parse_grouped(kernel["best"])) == kernel["best"]
    assert kernel["seconds"] <= kernel["first_seconds"]
    assert kernel["best"] in tilec("tunings", "list").out


def test_wrong_usage(tilec: Tilec, monkeypatch: pytest.MonkeyPatch) -> None:
    result = tilec("tune", *PROGRAM, "--budget", "soon")
    assert result.status == 2
    assert "the budget 'soon' is no time" in result.err
    Path("bad.json").write_text("{}")
    result = tilec("tunings", "import", "bad.json")
    assert result.status == 2
    assert "bad.json holds no tunings: its format is None" in result.err
    assert "cannot be read" in tilec("tunings", "import", "missing.json").err
    monkeypatch.setenv("TILEC_CACHE", "off")
    result = tilec("tunings", "list")
    assert result.status == 2
    assert "TILEC_CACHE is off" in result.err
