"""Derivatives as texts: what they look like, and that they are programs like others."""

from __future__ import annotations

import numpy as np
import pytest

import tilec


def lines(f: tilec.Function) -> list[str]:
    return [line.strip() for line in f.source.splitlines()]


def test_accesses_change_places() -> None:
    f = tilec.function(
        "function conv(X[B, H, C], K[3, C, D]) -> (R) "
        "{ R[b, y, d : B, (H + 1) / 2, D] = +(X[b, 2*y + i - 1, c] * K[i, c, d]); }"
    )
    assert lines(tilec.grad(f)) == [
        "function conv_grad(X[B, H, C], K[3, C, D], DR[B, DR1, D]) -> (DX, DK) {",
        "DR_fits = assert_size(DR1 == (H + 1) / 2);",
        "DX[b, i + 2*y - 1, c : B, H, C] = +(DR[b, y, d] * K[i, c, d]);",
        "DK[i, c, d : 3, C, D] = +(DR[b, y, d] * X[b, i + 2*y - 1, c]);",
        "}",
    ]


def test_a_cotangent_of_the_wrong_size_is_refused() -> None:
    f = tilec.function("function (X[N]) -> (R) { R[i : N / 2] = =(X[2*i]); }")
    with pytest.raises(tilec.ShapeError, match="assert_size failed"):
        tilec.grad(f)(np.ones(6), np.ones(2))


def test_the_default_gets_what_is_not_written() -> None:
    f = tilec.function(
        "function (P[N], Q[M]) -> (R) "
        "{ T[i : N + M] = =(P[i]); R[i + N : N + M] = =(Q[i]) default T; }"
    )
    assert lines(tilec.grad(f))[2:5] == [
        "DT[i + N : N + M] = =(0 ? DR[i + N] : 0), i < M default DR;",
        "DP[i : N] = +(DT[i]);",
        "DQ[i : M] = +(DR[i + N]);",
    ]


def test_header_dtypes_are_kept() -> None:
    f = tilec.function("function (A[N]: f16, B[N]) -> (C) { C = as_float(A, 32) * B; }")
    first, *_ = lines(tilec.grad(f))
    assert first == "function (A[N]: f16, B[N], DC[N]) -> (DA, DB) {"
    assert "DA = as_float(DC * B, 16);" in lines(tilec.grad(f))


@pytest.mark.parametrize(
    "text",
    [
        "C[i, j : M, N] = +(A[i, k] * B[k, j])",
        "M[i, 0] = >(P[i, k]); E = exp(P - M); S[i, 0] = +(E[i, k]); R = E / S",
        "Y = relu(X) * G",
        "O[i] = *(A[i, k])",
        "function (X[N], S) -> (O) { H = (N + S - 1) / S; O[i : H] = >(X[S*i + j]), j < S; }",
    ],
)
def test_texts_parse_back_to_themselves(text: str) -> None:
    for derived in (tilec.grad, tilec.jvp):
        g = derived(tilec.function(text))
        assert tilec.function(g.source).source == g.source


def test_the_text_makes_the_same_kernels() -> None:
    g = tilec.grad(tilec.function("C[i, j : M, N] = +(A[i, k] * B[k, j])"))
    specs = [tilec.Spec((32, 48)), tilec.Spec((48, 16)), tilec.Spec((32, 16))]
    first, second = g.compile(*specs), tilec.function(g.source).compile(*specs)
    assert first.source("kernel") == second.source("kernel")


def test_bound_inputs_stay_bound() -> None:
    b = np.ones((3, 2))
    f = tilec.function("C[i, j : M, N] = +(A[i, k] * B[k, j])").bind(B=b)
    g = tilec.grad(f)
    assert g.outputs == ("DA",)
    np.testing.assert_array_equal(g(np.ones((4, 3)), np.ones((4, 2))), np.full((4, 3), 2.0))


def test_value_and_gradient() -> None:
    f = tilec.function("L[] = +(X[i] * X[i])")
    value, gradient = tilec.value_and_grad(f)(np.array([1.0, 2.0]))
    assert value == 5
    np.testing.assert_array_equal(gradient, [2, 4])


def test_hessian_vector_products() -> None:
    # L = sum of x^3: the Hessian is diagonal, 6x.
    f = tilec.function("L[] = +(X[i] * X[i] * X[i])")
    x, v = np.array([1.0, 2.0, 3.0]), np.array([1.0, -1.0, 0.5])
    one = np.ones(())
    forward_over_reverse = tilec.jvp(tilec.grad(f), "X")
    np.testing.assert_allclose(forward_over_reverse(x, one, v), 6 * x * v)
    reverse_over_reverse = tilec.grad(tilec.grad(f), "X")
    np.testing.assert_allclose(reverse_over_reverse(x, one, v), 6 * x * v)


def test_tangents() -> None:
    f = tilec.function("Y = X * G")
    assert lines(tilec.jvp(f, "X"))[0] == "function (X, G, TX) -> (TY) {"
    np.testing.assert_array_equal(tilec.jvp(f, "X")(np.ones(2), np.full(2, 3.0), np.ones(2)), 3)


def test_wrt() -> None:
    f = tilec.function("C[i, j : M, N] = +(A[i, k] * B[k, j])")
    assert tilec.grad(f, ("B", "A")).outputs == ("DB", "DA")
    assert tilec.grad(f, "B").outputs == ("DB",)


def test_relu_of_what_is_computed_reads_its_result() -> None:
    """So that the sums before it are not stored; of an input there would be nothing to gain."""
    layer = "function (A[M, K], W[K, N], B[N]) -> (R) { S[i, j : M, N] = +(A[i, k] * W[k, j]);"
    found = tilec.grad(tilec.function(f"{layer} R = relu(S + B); }}"), "A").source
    assert "R <= 0 ? 0 : DR" in found
    assert "X <= 0 ? 0 : DR" in tilec.grad(tilec.function("R = relu(X)")).source
