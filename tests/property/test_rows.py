"""Random chains of reductions and maps over rows, against the reference evaluator."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tilec
from tests.property.programs import RANDOM, Array

SIZES = (0, 1, 2, 7, 8, 13, 15, 16, 17, 31, 64, 65, 127, 130)
"""Around the lanes of a vector and of four, primes, nothing."""

MAPS = (
    "{e} - {s}",
    "{e} * {s} + B",
    "({e} - {s}) * B + G * {e}",  # kept in a row's buffer rather than computed again
    "abs({e}) + {s}",
    "{e} - B * G",
    "({e} < {s} ? {e} : B)",
)
REDUCTIONS = ("+({e}[i, j])", ">({e}[i, j])", "<({e}[i, j])", "+({e}[i, j] * {f}[i, j])")


@st.composite
def chains(draw: st.DrawFn) -> str:
    """A function of X[M, N], B[N] and G[N]."""
    elements, numbers, lines = ["X"], list[str](), list[str]()
    for at in range(draw(st.integers(2, 6))):
        e, f = draw(st.sampled_from(elements)), draw(st.sampled_from(elements))
        if numbers and draw(st.booleans()):
            body = draw(st.sampled_from(MAPS)).format(e=e, s=draw(st.sampled_from(numbers)))
            elements.append(f"E{at}")
            lines.append(f"E{at} = {body};")
        else:
            body = draw(st.sampled_from(REDUCTIONS)).format(e=e, f=f)
            numbers.append(f"S{at}")
            lines.append(f"S{at}[i, 0 : M, 1] = {body};")
    made = [*elements[1:], *numbers]
    outputs = draw(st.sets(st.sampled_from(made), min_size=1, max_size=3))
    return (
        f"function (X[M, N], B[N], G[N]) -> ({', '.join(sorted(outputs))}) {{ {' '.join(lines)} }}"
    )


def results(function: tilec.Function, arrays: list[Array], target: str) -> list[Array]:
    found: Any = function(*arrays, target=target)
    return list(map(np.asarray, as_tuple(found)))


def as_tuple(found: Any) -> tuple[Array, ...]:
    """The results of a call; a single one comes by itself."""
    return cast("tuple[Array, ...]", found) if isinstance(found, tuple) else (found,)


LAYOUTS = st.sampled_from(("plain", "wide", "transposed"))


def laid_out(x: Array, layout: str) -> Array:
    """The same elements with other strides."""
    if layout == "wide":
        return np.concatenate([x, x[:, :3]], 1)[:, : x.shape[1]]
    return np.ascontiguousarray(x.T).T if layout == "transposed" else x


@settings(RANDOM, max_examples=25)
@given(
    text=chains(),
    rows=st.sampled_from((0, 1, 3, 9)),
    width=st.sampled_from(SIZES),
    layout=LAYOUTS,
    seed=st.integers(0, 99),
)
def test_chains(text: str, rows: int, width: int, layout: str, seed: int) -> None:
    # Integers wrap around, so that no order of additions makes a difference.
    generator = np.random.default_rng(seed)
    x = laid_out(generator.integers(-50, 50, (rows, width), np.int32), layout)
    others = [generator.integers(-50, 50, width, np.int32) for _ in range(2)]
    function = tilec.function(text)
    expected = results(function, [x, *others], "reference")
    found = results(function, [x, *others], "llvm")
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


FLOATS = (
    """function (X[M, N]) -> (Y) { R[i, 0 : M, 1] = >(X[i, j]); E = exp(X - R);
      S[i, 0 : M, 1] = +(E[i, j]); Y = E / S; }""",
    """function (X[M, N]) -> (L, D) { R[i : M] = >(X[i, j]); D[i : M] = <(X[i, j]);
      S[i : M] = +(exp(X[i, j] - R[i])); L = R + log(S); }""",
    """function (X[M, N]) -> (Y) { S[i, 0 : M, 1] = +(X[i, j]); C = X - S / N;
      Q[i, 0 : M, 1] = +(C[i, j] * C[i, j]); Y = C / sqrt(Q / N + 0.01); }""",
)


@settings(RANDOM, max_examples=15)
@given(
    text=st.sampled_from(FLOATS),
    rows=st.sampled_from((1, 5)),
    width=st.sampled_from(SIZES[1:]),
    layout=LAYOUTS,
    special=st.sampled_from((None, np.nan, np.inf, -np.inf)),
    seed=st.integers(0, 99),
)
def test_floats(
    text: str, rows: int, width: int, layout: str, special: float | None, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((rows, width)).astype(np.float32)
    if special is not None:
        x[generator.integers(rows), generator.integers(width)] = special
    x = laid_out(x, layout)
    function = tilec.function(text)
    with np.errstate(all="ignore"):
        expected = results(function, [x], "reference")
        found = results(function, [x], "llvm")
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("dtype", ["f16", "bf16", "f64", "i32", "u8"])
def test_other_types(dtype: str) -> None:
    text = """function (X[M, N]) -> (Y, S) {
      R[i, 0 : M, 1] = >(X[i, j]); D = R - X; S[i, 0 : M, 1] = +(D[i, j]); Y = D + S; }"""
    function = tilec.function(text)
    numbers = np.random.default_rng(0).integers(0, 7, (5, 67))
    if dtype == "bf16":
        pytest.importorskip("ml_dtypes", reason="NumPy has no bf16 of its own")
        import ml_dtypes

        x = numbers.astype(ml_dtypes.bfloat16)
    else:
        names = {"f16": "float16", "f64": "float64", "i32": "int32", "u8": "uint8"}
        x = numbers.astype(names[dtype])
    for one, other in zip(
        results(function, [x], "llvm"), results(function, [x], "reference"), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert len(function.compile(x).kernels) == 1


def test_several_axes_of_rows_and_columns() -> None:
    text = """function (X[A, B, C, D], G[C, D]) -> (Y) {
      S[a, b, 0, 0 : A, B, 1, 1] = +(X[a, b, c, d]); E = X - S / (C * D);
      Q[a, b, 0, 0 : A, B, 1, 1] = +(E[a, b, c, d] * E[a, b, c, d]); Y = E / sqrt(Q) * G; }"""
    function = tilec.function(text)
    x = np.random.default_rng(1).standard_normal((3, 4, 5, 7)).astype(np.float32)
    g = np.random.default_rng(2).standard_normal((5, 7)).astype(np.float32)
    for array in (x, x.transpose(1, 0, 2, 3), x[:, :, ::2], x[:, :, :, :4], x[::-1]):
        g_part = g[: array.shape[2], : array.shape[3]]
        (found,), (expected,) = (
            results(function, [array, g_part], target) for target in ("llvm", "reference")
        )
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        assert len(function.compile(array, g_part).kernels) == 1


def test_bits_do_not_depend_on_threads_and_long_sums_are_exact_enough() -> None:
    text = """function (X[M, N]) -> (L, P) {
      R[i, 0 : M, 1] = >(X[i, j]); E = exp(X - R); S[i, 0 : M, 1] = +(E[i, j]);
      P = E / S; L = R + log(S); }"""
    function = tilec.function(text)
    x = np.random.default_rng(3).standard_normal((37, 9001)).astype(np.float32)
    one = results(function, [x], "llvm")
    with_one_thread = function(x, num_threads=1)
    for first, second in zip(one, with_one_thread, strict=True):
        np.testing.assert_array_equal(first, np.asarray(second))
    powers = np.exp(x.astype(np.float64))
    np.testing.assert_allclose(one[0][:, 0], np.log(powers.sum(1)), rtol=1e-6)
    np.testing.assert_allclose(one[1], powers / powers.sum(1, keepdims=True), rtol=2e-6)


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 300, 5003])
def test_statistics_of_columns(rows: int) -> None:
    text = """function (X[A, B, N]) -> (V, S, T) {
      S[j : N] = +(X[a, b, j]); Q[j : N] = +(X[a, b, j] * X[a, b, j]); T[j : N] = >(X[a, b, j]);
      V = Q / (A * B) - (S / (A * B)) * (S / (A * B)); }"""
    function = tilec.function(text)
    x = np.random.default_rng(rows).standard_normal((rows, 2, 37)).astype(np.float32)
    for array in (x, x[:, ::-1], x[:, :, 3:]):
        v, s, t = results(function, [array], "llvm")
        exact = array.astype(np.float64)
        np.testing.assert_allclose(v, exact.var((0, 1)), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(s, exact.sum((0, 1)), rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(t, array.max((0, 1)))
        serial: Any = function(array, num_threads=1)
        for one, other in zip((v, s, t), as_tuple(serial), strict=True):
            np.testing.assert_array_equal(one, np.asarray(other))
    assert len(function.compile(x).kernels) == 1
