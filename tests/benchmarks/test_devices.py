"""The benchmark of OpenCL devices, on the smallest row it has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks import devices
from tests.llvm.conftest import targets

RESULTS = sorted((Path(devices.__file__).parent / "results" / "opencl").glob("*.json"))


@pytest.mark.skipif(len(targets()) == 1, reason="there is no OpenCL device")
def test_a_small_product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "ROWS", (devices.gemm(32), devices.conv(4, 8)))
    file = tmp_path / "found.json"
    done = CliRunner().invoke(devices.main, ["--only", "product", "--json", str(file)])
    assert done.exit_code == 0, done.output
    for found in json.loads(file.read_text()):
        (row,) = found["rows"]
        assert row["row"] == "product 32 x 32 x 32"
        assert row["ratio"] > 0
        assert row["error"] < devices.WRONG


@pytest.mark.skipif(len(targets()) == 1, reason="there is no OpenCL device")
def test_a_small_convolution_is_what_the_plain_kernel_makes_it() -> None:
    (row,) = devices.measured(targets()[1], [devices.conv(4, 8)])
    assert row.error < devices.WRONG


@pytest.mark.skipif(len(targets()) == 1, reason="there is no OpenCL device")
def test_a_set_is_measured_in_slices(tmp_path: Path) -> None:
    """Prepared, left for later, measured, and then not measured again."""
    file = tmp_path / "found.json"
    words = ["--set", "gemm-squares", "--only", "64x64x64", "--json", str(file)]
    rows: list[dict[str, Any]] = []
    for more in (["--prepare"], ["--seconds", "-1"], [], []):
        done = CliRunner().invoke(devices.main, [*words, *more])
        assert done.exit_code == 0, done.output
        assert f"{int('-1' in more)} rows are left" in done.output
        rows.append(json.loads(file.read_text())[0]["rows"][0])
    prepared, later, measured, again = rows
    assert later == prepared
    assert "ratio" not in prepared
    assert measured["ratio"] == pytest.approx(measured["llvm"] / measured["tilec"])
    assert again == measured


def test_results_are_as_promised() -> None:
    rows = [
        row for path in RESULTS for found in json.loads(path.read_text()) for row in found["rows"]
    ]
    ratios = {row["row"]: row["ratio"] for row in rows}
    assert ratios["product 1024 x 1024 x 1024"] >= 3
    assert ratios["convolution 3x3, 56 x 56 x 64"] >= 3
