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
