"""Arrays that reach over more than 2**31 elements: every offset is computed in 64 bits."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

import tilec

Array = NDArray[Any]

STEP = (1 << 30) + 24
"""Elements between rows. The third lies beyond 2**31 elements, and beyond 2**32 bytes of f32."""

ROWS, COLUMNS = 4, 40


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Array]:
    """Rows that are gigabytes apart, in a sparse file of which only they exist."""
    if sys.maxsize < 1 << 40 or sys.platform not in ("linux", "freebsd"):
        pytest.skip("needs sparse files and a 64-bit address space")
    path = Path(tmp_path_factory.mktemp("far")) / "sparse"
    with path.open("wb+") as file:
        file.truncate(4 * (STEP * (ROWS - 1) + COLUMNS))
        try:
            memory = mmap.mmap(file.fileno(), 0)
        except OSError as error:
            pytest.skip(f"no address space: {error}")
    flat = np.frombuffer(memory, np.float32)
    rows = as_strided(flat, (ROWS, COLUMNS), (4 * STEP, 4))
    rows[:] = np.random.default_rng(0).integers(-9, 9, (ROWS, COLUMNS))
    yield rows
    path.unlink()


def test_maps(far: Array) -> None:
    twice = tilec.function("C = 2 * A")
    for view in (far, far[::-1], far[:, ::-1], far[::-1, ::3], far.T, far.T[::-1]):
        np.testing.assert_array_equal(twice(view), 2 * view)


@pytest.mark.parametrize("disable", [(), ("vectorise",), ("tile",), ("merge",)])
def test_reductions_and_products(far: Array, disable: tuple[str, ...]) -> None:
    options = tilec.Options(disable=disable)
    near = np.ascontiguousarray(far)
    for text, wanted in (
        ("S[] = +(A[i, j])", near.sum()),
        ("S[j : M] = +(A[i, j])", near.sum(0)),
        ("S[i : N] = >(A[i, j])", near.max(1)),
        ("S[i, k : N, N] = +(A[i, j] * A[k, j])", near @ near.T),
        ("S[j, k : M, M] = +(A[i, j] * A[i, k])", near.T @ near),
    ):
        function = tilec.function(f"function (A[N, M]) -> (S) {{ {text}; }}")
        np.testing.assert_array_equal(function.compile(far, options=options)(far), wanted)
        flipped = far[::-1]
        result = function.compile(flipped, options=options)(flipped)
        again = function.compile(near[::-1], options=options)(near[::-1])
        np.testing.assert_array_equal(result, again)


def test_tiles(far: Array) -> None:
    """A product that is large enough for register tiles, with each operand far in turn."""
    other = np.random.default_rng(1).integers(-9, 9, (COLUMNS, 600)).astype(np.float32)
    matmul = tilec.function("C[i, j : M, N] = +(A[i, k] * B[k, j])")
    tiled = matmul.compile(far, other)
    assert "tile" in str(tiled.kernels[0].header)
    np.testing.assert_array_equal(tiled(far, other), far @ other)
    left = np.random.default_rng(2).integers(-9, 9, (600, ROWS)).astype(np.float32)
    tiled = matmul.compile(left, far)
    assert "tile" in str(tiled.kernels[0].header)
    np.testing.assert_array_equal(tiled(left, far), left @ far)


def test_rows_by_number(far: Array) -> None:
    gather = tilec.function("G = gather(A, R)")
    numbers = np.array([3, 0, 2, 3, 1], np.int32)
    np.testing.assert_array_equal(gather(far, numbers), far[numbers])


def test_windows(far: Array) -> None:
    shifted = tilec.function(
        "function (A[N, M]) -> (S) { S[i, j : N, M] = +(A[i, j + k - 1]), k < 3; }"
    )
    padded = np.pad(far, ((0, 0), (1, 1)))
    wanted = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    np.testing.assert_array_equal(shifted(far), wanted)
