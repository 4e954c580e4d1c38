from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Tilec
from tilec.errors import GradientError

MATMUL = "function mm(A[M, K], B[K, N]) -> (C) { C[i, j : M, N] = +(A[i, k] * B[k, j]); }"


def test_the_gradient_is_a_program(tilec: Tilec) -> None:
    result = tilec("grad", "-e", MATMUL, "--wrt", "B", "-o", "out.tile")
    assert (result.status, result.out) == (0, "")
    assert Path("out.tile").read_text() == (
        "function mm_grad(A[M, K], B[K, N], DC[M, N]) -> (DB) {\n"
        "  DB[k, j : K, N] = +(DC[i, j] * A[i, k]);\n}\n"
    )
    assert tilec("check", "out.tile").status == 0


def test_modes(tilec: Tilec) -> None:
    result = tilec("grad", "-e", "L[] = +(X[i] * X[i])", "--mode", "value")
    assert result.out.startswith("function (X[I]) -> (L, DX) {")
    assert tilec("grad", "-e", MATMUL, "--mode", "forward").out.startswith(
        "function mm_jvp(A[M, K], B[K, N], TA[M, K], TB[K, N]) -> (TC) {"
    )
    shared = tilec("grad", "-e", "O[i] = >(A[i, k])", "--ties", "share")
    assert "O_ties[i : I] = +(A[i, k] == O[i] ? 1 : 0);" in shared.out


def test_what_has_none(tilec: Tilec) -> None:
    result = tilec("grad", "-e", "Y = X > 0")
    assert result.status == 1
    assert "<command line>:1:1: the output Y is bool" in result.err
    assert tilec("grad", "-e", MATMUL, "--wrt", "Q").status == 2


def test_check_grad(tilec: Tilec, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tilec("check", "--grad", "-e", MATMUL).status == 0
    assert (
        tilec("check", "--grad", "-e", MATMUL, "--shape", "A=3x4", "--shape", "B=4x5").status == 0
    )

    def refuse(*_: object) -> None:
        raise GradientError("the gradient of A is wrong at [0, 0]")

    monkeypatch.setattr("tilec.check_grad", refuse)
    result = tilec("check", "--grad", "-e", MATMUL)
    assert result.status == 1
    assert "<command line>:1:1: the gradient of A is wrong" in result.err
