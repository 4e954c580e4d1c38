"""Gradients of every kind of contraction, against finite differences."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

import tilec
from tilec import ops

Array = NDArray[Any]

CASES = {
    "matrix product": ("C[i, j : M, N] = +(A[i, k] * B[k, j])", [(3, 4), (4, 5)]),
    "three operands": ("C[i, j : M, N] = +(A[i, k] * B[k, j] * D[j])", [(3, 4), (4, 5), (5,)]),
    "same tensor twice": ("S[] = +(X[i] * X[i])", [(5,)]),
    "two places of a tensor": (
        "function (X[N]) -> (O) { O[i : N] = +(X[i] * X[N - 1 - i]); }",
        [(5,)],
    ),
    "diagonal": ("O[i] = +(I[i, i])", [(4, 4)]),
    "trace": ("O[] = +(I[i, i])", [(4, 4)]),
    "diagonal matrix": ("function (D[N]) -> (R) { R[i, i : N, N] = =(D[i]); }", [(4,)]),
    "sum of two operands counts the other's index": (
        "function (X[N], Y[M]) -> (O) { O[i : N] = +(X[i] + Y[j]); }",
        [(5,), (3,)],
    ),
    "conditional": (
        "function (A[N], B[M], C[M]) -> (O) { O[i : N] = +(A[i] == B[j] ? C[j]); }",
        [np.array([1.0, 2.0, 3.0]), np.array([2.0, 1.0, 2.0, 5.0]), (4,)],
    ),
    "equality": (
        "function (A[N], B[M], C[N]) -> (O) { E[i] = +(A[i] == B[j]); O[i : N] = +(E[i] * C[i]); }",
        [(3,), (4,), (3,)],
    ),
    "strided convolution": (
        "function (X[B, H, W, C], K[3, 3, C, D]) -> (R) { R[b, y, x, d : B, (H + 1) / 2, "
        "(W + 1) / 2, D] = +(X[b, 2*y + i - 1, 2*x + j - 1, c] * K[i, j, c, d]); }",
        [(1, 5, 6, 2), (3, 3, 2, 2)],
    ),
    "dilated convolution": (
        "function (X[N], K[3]) -> (R) { R[x : N] = +(X[x + 2*k - 2] * K[k]); }",
        [(7,), (3,)],
    ),
    "grouped convolution": (
        "function (X[N, G, C], K[3, G, C, D]) -> (R) "
        "{ R[x, g, d : N, G, D] = +(X[x + k - 1, g, c] * K[k, g, c, d]); }",
        [(5, 2, 2), (3, 2, 2, 3)],
    ),
    "transposed convolution": (
        "function (X[N], K[3]) -> (R) { R[x : 2 * N] = +(X[(x - k + 1)/2] * K[k]); }",
        [(4,), (3,)],
    ),
    "rational coefficient": ("function (P[N]) -> (R) { R[i : 2 * N] = +(P[i/2]); }", [(4,)]),
    "negative coefficient": ("function (P[N]) -> (R) { R[i : N] = =(P[N - 1 - i]); }", [(4,)]),
    "constraint": ("function (P[N]) -> (R) { R[i : N] = +(P[k]), i - k < N; }", [(5,)]),
    "overlapping output": (
        "function (P[N]) -> (R) { R[2*i + j : 2 * N + 1] = +(P[i]), j < 3; }",
        [(4,)],
    ),
    "default": (
        "function (P[N], Q[M]) -> (R) "
        "{ T[i : N + M] = =(P[i]); R[i + N : N + M] = =(Q[i]) default T; }",
        [(3,), (4,)],
    ),
    "default and sum": (
        "function (P[N], D[N]) -> (R) { R[2*i : N] = +(P[i]), i < 2 default D; }",
        [(6,), (6,)],
    ),
    "product": ("O[i] = *(A[i, k])", [(3, 4)]),
    "product of expressions": ("O[i] = *(A[i, k] * B[k] + 0.5)", [(3, 4), (4,)]),
    "maximum": ("O[i] = >(A[i, k])", [(3, 4)]),
    "minimum": ("O[i] = <(A[i, k])", [(3, 4)]),
    "maximum of an expression": ("R[] = >(abs(P[i] - Q[j]))", [(4,), (3,)]),
    "maximum of sums": ("R[i] = >(P[i] * Q[j] + P[i])", [(4,), (3,)]),
    "pooling": (
        "function (P[N]) -> (R) { R[i : (N + 1) / 2] = >(P[2*i + j]), j < 2; }",
        [(7,)],
    ),
    "maximum and default": (
        "function (P[N], D[N]) -> (R) { R[i + 1 : N] = >(P[i + j]), j < 2 default D; }",
        [(5,), (5,)],
    ),
    "cosine of sums": ("O[i] = +(cos(A[i, k] - M[i]))", [(3, 4), (3,)]),
    "no elements": ("O[i] = +(A[i, k])", [(0, 4)]),
}


# The gradient of a product has none, and those of comparisons do not depend on what is compared.
TWICE = [name for name, (text, _) in CASES.items() if "= *(" not in text and "==" not in text]


def arrays(shapes: list[Any]) -> list[Array]:
    random = np.random.default_rng(1)
    return [
        shape if isinstance(shape, np.ndarray) else random.uniform(0.3, 1.7, shape)
        for shape in shapes
    ]


def wrt(text: str) -> tuple[str, ...] | None:
    return ("C",) if "==" in text else None


@pytest.mark.parametrize("name", CASES)
def test_gradient(name: str) -> None:
    text, shapes = CASES[name]
    judged = tilec.check_grad(tilec.function(text), *arrays(shapes), wrt=wrt(text))
    assert sum(each.elements for each in judged) > 0 or name == "no elements"


@pytest.mark.parametrize("name", TWICE)
def test_gradient_of_the_gradient(name: str) -> None:
    text, shapes = CASES[name]
    f, given = tilec.function(text), arrays(shapes)
    cotangents = [np.ones_like(array) for array in several(f(*given))]
    tilec.check_grad(tilec.grad(f), *given, *cotangents)


@pytest.mark.parametrize("dtype", ["f16", "f32", "f64"])
def test_dtypes(dtype: str) -> None:
    f = tilec.function(
        f"function (A[M, K]: {dtype}, B[K, N]: f32) -> (C) "
        "{ C[i, j : M, N] = +(0.5 * A[i, k] * B[k, j]); }"
    )
    random = np.random.default_rng(0)
    numpy_name = dtype.replace("f", "float")
    a, b = random.random((3, 4)).astype(numpy_name), random.random((4, 5), np.float32)
    c = f(a, b)
    gradients = tilec.grad(f)(a, b, c)
    assert [g.dtype for g in gradients] == [a.dtype, b.dtype]
    tilec.check_grad(f, a, b)


def several(found: object) -> list[Array]:
    arrays = cast("tuple[object, ...]", found) if isinstance(found, tuple) else (found,)
    return [np.asarray(array) for array in arrays]


def test_products_with_zeros_among_the_factors() -> None:
    a = np.array([[2.0, 3.0, 4.0], [0.0, 3.0, 4.0], [0.0, 0.0, 4.0]])
    f = tilec.function("O[i] = *(A[i, k])")
    np.testing.assert_array_equal(tilec.grad(f)(a, np.ones(3)), [[12, 8, 6], [12, 0, 0], [0, 0, 0]])


def test_ties() -> None:
    f = tilec.function("O[i] = >(A[i, k])")
    a = np.array([[1.0, 5.0, 5.0], [2.0, 1.0, 0.0]])
    given = np.array([6.0, 1.0])
    np.testing.assert_array_equal(tilec.grad(f)(a, given), [[0, 6, 6], [1, 0, 0]])
    np.testing.assert_array_equal(tilec.grad(f, ties="share")(a, given), [[0, 3, 3], [1, 0, 0]])
    with pytest.raises(tilec.ArgumentError, match="ties is 'first'"):
        tilec.grad(f, ties=cast("Any", "first"))


def test_gradients_of_slices_are_written_into_one_array() -> None:
    def loss(x: tilec.Tensor) -> tilec.Tensor:
        y = ops.exp(x)
        parts = y[0] * y[2], y[1] * y[3], y[3] * y[3:7, 0], y[:4, 1]
        total = ops.sum(parts[0] + parts[1] + parts[2] + parts[3])
        (slope,) = tilec.gradients(total, [x])
        assert slope is not None
        return slope

    spec = tilec.Spec((7, 4), "f64")
    linked = tilec.trace(loss, spec)
    assert linked.function.source.count(" default ") == 3
    x = np.random.default_rng(0).random((7, 4))
    y, wanted = np.exp(x), np.zeros((7, 4))
    wanted[0], wanted[2], wanted[1] = y[2], y[0], y[3]
    wanted[3] = y[1] + y[3:7, 0]
    wanted[3:7, 0] += y[3]
    wanted[:4, 1] += 1
    for target in ("llvm", "reference"):
        found = linked.bound().compile(spec, target=target)(x)
        np.testing.assert_allclose(found, wanted * y, rtol=1e-12)
