"""Elementwise consumers in the kernel of their contraction, against the reference evaluator."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

import tilec

Array = NDArray[Any]
MATMUL = "C[i, j : M, N] = +(A[i, k] * B[k, j]);"
SHAPES = {"tiled": (67, 45, 83), "plain": (5, 3, 7), "one column": (130, 60, 1)}

# What follows the product, with the inputs it reads besides.
AFTER = {
    "bias": ("V[N]", "R = C + V;"),
    "bias per row": ("W[M, one]", "R = C + W;"),
    "residual": ("S[M, N]", "R = C + S;"),
    "residual with broadcast": ("T[one, N]", "R = C - T;"),
    "scalar": ("X", "R = X * C + X;"),
    "relu": ("", "R = relu(C);"),
    "two steps": ("V[N]", "Q = C + V; R = relu(Q);"),
    "three steps": ("V[N], S[M, N]", "Q = C * V; P = Q + S; R = max(P, 0.25);"),
    "twice": ("", "R = C * C - C;"),
    "function": ("V[N]", "R = tanh(C * 0.01) + V;"),
    "condition": ("S[M, N]", "R = (C < S ? C : S);"),
}
EXTRA = {"V": (1,), "W": (0,), "S": (0, 1), "T": (1,), "X": ()}


def inputs(kind: str, after: str, dtype: Any = np.float32) -> dict[str, Array]:
    m, k, n = SHAPES[kind]
    shapes: dict[str, tuple[int, ...]] = {"A": (m, k), "B": (k, n)}
    known: dict[str, tuple[int, ...]] = {
        "V": (n,), "W": (m, 1), "S": (m, n), "T": (1, n), "X": ()
    }  # fmt: skip
    shapes |= {name: shape for name, shape in known.items() if name in after}
    random = np.random.default_rng(m)
    # Small integers: every sum is exact in each of the types.
    return {name: random.integers(-3, 4, shape).astype(dtype) for name, shape in shapes.items()}


def function(extra: str, after: str) -> tilec.Function:
    given = extra.replace(", one]", ", 1]").replace("[one,", "[1,")
    header = ", ".join(filter(None, ("A[M, K], B[K, N]", given)))
    return tilec.function(f"function ({header}) -> (R) {{ {MATMUL} {after} }}")


def check(made: tilec.Function, arrays: dict[str, Array], *, kernels: int = 1) -> None:
    values = list(arrays.values())
    compiled = made.compile(*values)
    assert len(compiled.kernels) == kernels
    found, wanted = compiled(*values), made.compile(*values, target="reference")(*values)
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(
        found.astype(np.float64), wanted.astype(np.float64), rtol=2e-6, atol=1e-6
    )
    apart = made.compile(*values, options=tilec.Options(disable=("fuse",)))
    assert len(apart.kernels) > kernels
    np.testing.assert_array_equal(apart(*values), found)
    np.testing.assert_array_equal(made(*values, num_threads=1), found)


@pytest.mark.parametrize(
    ("kind", "name"),
    [*(("tiled", name) for name in AFTER), ("plain", "two steps"), ("one column", "residual")],
)
def test_products(name: str, kind: str) -> None:
    extra, after = AFTER[name]
    check(function(extra, after), inputs(kind, extra))


@pytest.mark.parametrize(
    "after",
    [
        "R = as_float(C, 64) / 3;",
        "R = as_float(C, 16);",
        "R = as_int(C, 32);",
        "R = as_int(relu(C), 8);",
        "R = C < 0;",
        "Q = as_int(C, 64); R = Q * Q;",
    ],
)
def test_results_of_another_type(after: str) -> None:
    check(function("", after), inputs("tiled", ""))


@pytest.mark.parametrize("kind", ["tiled", "plain"])
@pytest.mark.parametrize("name", ["residual", "two steps"])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_types(dtype: Any, name: str, kind: str) -> None:
    """A narrow sum is rounded before its epilogue, in the tile as in a kernel of its own."""
    extra, after = AFTER[name]
    arrays = inputs(kind, extra, dtype)
    values = list(arrays.values())
    made = function(extra, after)
    found, wanted = made(*values), made.compile(*values, target="reference")(*values)
    np.testing.assert_array_equal(found, wanted)
    apart = made.compile(*values, options=tilec.Options(disable=("fuse",)))
    np.testing.assert_array_equal(apart(*values), found)


CONV = """function (I[N, H, W, C], K[R, S, C, D], B[D], P[N, H, W, D]) -> (Y) {
  O[n, h, w, d : N, H, W, D] = +(I[n, h + r - 1, w + s - 1, c] * K[r, s, c, d]);
  Y = relu(O * 0.5 + B + P);
}"""


@pytest.mark.parametrize("shape", [(1, 9, 14, 6, 33), (2, 5, 5, 3, 8), (1, 1, 3, 2, 5)])
def test_convolutions(shape: tuple[int, ...]) -> None:
    n, h, w, c, d = shape
    random = np.random.default_rng(d)
    shapes = {"I": (n, h, w, c), "K": (3, 3, c, d), "B": (d,), "P": (n, h, w, d)}
    arrays = {
        name: random.integers(-3, 4, each).astype(np.float32) for name, each in shapes.items()
    }
    check(tilec.function(CONV), arrays)


def test_maxima_and_split_sums() -> None:
    random = np.random.default_rng(7)
    array = random.integers(-9, 9, (300, 70)).astype(np.float32)
    softened = "function (A[M, N], V[M]) -> (R) { S[i : M] = >(A[i, j]); R = relu(S - V) * 2; }"
    check(tilec.function(softened), {"A": array, "V": array[:, 0].copy()})
    long = random.integers(-9, 9, 300_000).astype(np.float32)
    check(tilec.function("function (A[N]) -> (R) { S[] = +(A[i]); R = S * 2 + 1; }"), {"A": long})


def test_elements_without_a_point_go_through_the_epilogue() -> None:
    text = """function (A[N], D[M]) -> (R) {
      S[2 * i : M] = >(A[i]) default D; R = S * 3 + 1; }"""
    array, default = np.arange(5, dtype=np.float32), np.full(12, -7, np.float32)
    check(tilec.function(text), {"A": array, "D": default})
    bare = "function (A[N], D[M]) -> (R) { S[2 * i : M] = >(A[i]); R = S + D; }"
    check(tilec.function(bare), {"A": array, "D": default})


def test_strided_operands() -> None:
    m, k, n = SHAPES["tiled"]
    random = np.random.default_rng(8)
    a = random.integers(-3, 4, (k, m)).astype(np.float32).T
    b = random.integers(-3, 4, (k, 2 * n)).astype(np.float32)[::-1, ::2]
    s = np.broadcast_to(random.integers(-3, 4, (m, 1)).astype(np.float32), (m, n))
    check(function("S[M, N]", "R = C + S;"), {"A": a, "B": b, "S": s})
