from __future__ import annotations

import json
from typing import Any

from tests.cli.conftest import Tilec

MATMUL = "C[i, j : M, N] = +(A[i, k] * B[k, j])"
SHAPES = ("--shape", "A=128x128", "--shape", "B=128x128")


def test_explain(tilec: Tilec) -> None:
    result = tilec("explain", "-e", MATMUL, *SHAPES, "--what-if", "i=2")
    assert result.status == 0, result.err
    assert "limits: description" in result.out
    assert "what if i=2:" in result.out
    assert "schedule    tile i=2 " in result.out


def test_explain_as_json(tilec: Tilec) -> None:
    arguments = ("--what-if", "i=2", "--no-run", "--json", "--cpu", "haswell")
    facts: dict[str, Any] = json.loads(tilec("explain", "-e", MATMUL, *SHAPES, *arguments).out)
    assert facts["kernels"][0]["measured_seconds"] is None
    assert facts["limits"]["source"] == "description x86-64-v3"
    assert facts["what_if"][0]["schedule"].startswith("tile i=2 j=")


def test_an_illegal_schedule(tilec: Tilec) -> None:
    result = tilec("explain", "-e", MATMUL, *SHAPES, "--schedule", "tile i=99 j=2x4")
    assert result.status == 1
    assert "needs 201 registers" in result.err
    assert tilec("explain", "-e", MATMUL, *SHAPES, "--what-if", "i").status == 1


def test_methods_of_convolutions(tilec: Tilec) -> None:
    text = (
        "function (X[H, W, C], K[I, J, C, F]) -> (S) {"
        " S[y, x, f : H, W, F] = +(X[y + i - 1, x + j - 1, c] * K[i, j, c, f]); }"
    )
    shapes = ("--shape", "X=28x28x64", "--shape", "K=3x3x64x64", "--no-run", "--cpu", "haswell")
    found = tilec("explain", "-e", text, *shapes, "--conv", "winograd")
    assert "schedule    winograd F(" in found.out
    # Each of four threads packs a panel of 576 steps and 16 filters.
    assert "method      direct: work 57.803 MFLOP, depth 11, workspace 144.0 KiB" in found.out
    assert "schedule    tile" in tilec("explain", "-e", text, *shapes, "--conv", "direct").out
    assert tilec("explain", "-e", text, *shapes, "--conv", "best").status == 2
