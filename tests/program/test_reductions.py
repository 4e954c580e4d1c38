"""Long reductions into few elements: divided among tasks, summed in blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tilec

Array = NDArray[Any]
POINTS = 1 << 18
FEW_THREADS = (1, 2, 5)

# Aggregations of Tile, and NumPy's function for each.
KINDS = {"+": np.sum, "*": np.prod, ">": np.max, "<": np.min}


def is_split(executable: tilec.Executable) -> bool:
    lines = [line for kernel in executable.kernels for line in kernel.header]
    return any("parallel .task" in line or " parts of " in line for line in lines)


def check(
    function: tilec.Function, array: Array, wanted: Array | np.number[Any], *, error: float
) -> None:
    """One result for all numbers of threads, as near to ``wanted`` as it should be."""
    assert is_split(function.compile(array))
    results = [np.asarray(function(array, num_threads=n)) for n in FEW_THREADS]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
    np.testing.assert_allclose(results[0], wanted, rtol=error, atol=0)


@pytest.mark.parametrize("agg", KINDS)
@pytest.mark.parametrize("size", [POINTS, POINTS + 1, POINTS + 63, 300_007])
def test_vectors(agg: str, size: int) -> None:
    random = np.random.default_rng(size)
    # Factors near 1, of which a product stays finite.
    array = (1 + (random.random(size) - 0.5) / 64).astype(np.float32)
    wanted = KINDS[agg](array.astype(np.float64))
    # Products are rounded once per factor, and not summed in f64 between.
    error = {"+": 1e-6, "*": 1e-3}.get(agg, 0.0)
    check(tilec.function(f"S[] = {agg}(A[i])"), array, wanted, error=error)


@pytest.mark.parametrize("agg", ["+", ">", "<"])
@pytest.mark.parametrize("dtype", ["i32", "i64", "u8", "f64"])
def test_types(agg: str, dtype: str) -> None:
    kind = {"i32": np.int32, "i64": np.int64, "u8": np.uint8, "f64": np.float64}[dtype]
    # Threads pay by the bytes that are read, so that small elements have to be more.
    size = POINTS * 8 // np.dtype(kind).itemsize + 17
    array = np.random.default_rng(1).integers(0, 200, size).astype(kind)
    wide = array.astype(np.float64 if dtype == "f64" else np.int64)
    wanted = KINDS[agg](wide).astype(kind)  # the sum of u8 wraps around
    check(tilec.function(f"S[] = {agg}(A[i])"), array, wanted, error=0.0)


@pytest.mark.parametrize("agg", ["+", ">", "<"])
@pytest.mark.parametrize("columns", [1, 3, 4, 63])
@pytest.mark.parametrize("rows", [1 << 18, 270_001])
def test_few_columns(agg: str, columns: int, rows: int) -> None:
    """Rows of a multiple of 64 once made the loop over tasks lanes as well."""
    rows = rows if columns < 10 else rows // 32
    array = np.random.default_rng(2).integers(-9, 9, (rows, columns + 1)).astype(np.float32)
    function = tilec.function(f"S[j : M] = {agg}(A[i, j])")
    for view in (array[:, :columns], np.ascontiguousarray(array[:, :columns])):
        check(function, view, KINDS[agg](view, axis=0), error=0.0)


def test_every_layout() -> None:
    function = tilec.function("S[] = +(A[i, j])")
    array = np.random.default_rng(3).integers(-9, 9, (1 << 17, 4)).astype(np.float32)
    views = [array[:, :3], array[::-1], array.T, array[::2, ::-1], array[5:, 1:]]
    for view in views:
        check(function, view, view.sum(), error=0.0)


def test_an_epilogue_and_a_default_come_last() -> None:
    array = np.full(POINTS + 5, 2.0, np.float32)
    mean = tilec.function("function (A[N]) -> (S) { T[] = +(A[i]); S = T / N + 1; }")
    check(mean, array, np.float32(3), error=0.0)
    offset = tilec.function("function (A[N], D[M]) -> (S) { S[j : M] = +(A[i]) default D; }")
    given = np.ones(3, np.float32)
    np.testing.assert_array_equal(offset(array, given), np.full(3, array.sum()))


def test_an_assignment_is_not_split() -> None:
    """Of its points only one counts, in one of the ranges; the last range had the say once."""
    array = np.arange(400_000, dtype=np.float32)
    function = tilec.function("O[i : 2] = =(A[j]), j - 300000*i < 1")
    np.testing.assert_array_equal(function(array), [0, 300_000])


def test_constraints_leave_ranges_empty() -> None:
    array = np.random.default_rng(4).integers(-9, 9, 600_000).astype(np.float32)
    function = tilec.function("S[i : 2] = >(A[j]), j - 299000*i < 600")
    np.testing.assert_array_equal(
        function(array), [array[:600].max(), array[299_000:299_600].max()]
    )


@pytest.mark.parametrize("value", ["random", 0.1])
def test_the_mean_of_1e8_values(value: str | float) -> None:
    """Every f32 value summed one after the other would end at 2**24."""
    if value == "random":
        row = np.random.default_rng(5).random(9_999, np.float32)
        array = np.broadcast_to(row, (10_001, 9_999))
        wanted = float(row.astype(np.float64).mean())
    else:
        array = np.broadcast_to(np.float32(0.1), (10_001, 9_999))
        wanted = float(np.float32(0.1))
    mean = tilec.function(
        "function (A[N, M]) -> (S) { T[] = +(A[i, j]); S = T / as_float(N * M, 64); }"
    )
    for disable in ((), ("thread",), ("thread", "vectorise")):
        result = mean.compile(array, options=tilec.Options(disable=disable))(array)
        assert abs(float(result) - wanted) < 1e-6 * wanted, disable


def test_blocked_sums_into_many_elements() -> None:
    row = np.random.default_rng(6).random(100, np.float32)
    array = np.broadcast_to(row, (200_003, 100))
    function = tilec.function("S[j : M] = +(A[i, j])")
    assert not is_split(function.compile(array))
    wanted = row.astype(np.float64) * 200_003
    # Blocks of 32 equal values are as unfavourable as it gets: 31 roundings to the same side.
    np.testing.assert_allclose(function(array), wanted, rtol=1e-6)
