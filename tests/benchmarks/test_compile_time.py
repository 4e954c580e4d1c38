"""The command that times compilation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.compile_time import forget, main
from tilec_llvm.math import function


def test_rows_are_compiled_cold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEC_CACHE", "off")
    to = tmp_path / "found.json"
    arguments = ["gemm-squares", "conv-resnet50", "--only", "64x64*", "--runs", "2"]
    done = CliRunner().invoke(main, [*arguments, "--json", str(to)])
    assert done.exit_code == 0, done.output
    (row,) = json.loads(to.read_text())
    assert (row["set"], row["row"], row["kernels"]) == ("gemm-squares", "64x64x64", 1)
    assert 0 < row["seconds"] < 10
    assert "all " in done.output


def test_what_is_forgotten() -> None:
    function("exp", "f32", 4)
    assert function.cache_info().currsize
    forget()
    assert function.cache_info().currsize == 0


def test_no_row() -> None:
    assert CliRunner().invoke(main, ["gemm-squares", "--only", "7x7"]).exit_code == 2
