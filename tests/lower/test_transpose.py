"""Permutations of axes, in squares that are transposed in registers."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

import tilec
from tests.lower.texts import program
from tilec.kernel.ir import Kernel, Prefetch, Zip
from tilec.kernel.printer import print_kernel
from tilec.kernel.walk import expressions, statements
from tilec.lower.pipeline import lower_program
from tilec.runtime.arrays import Array
from tilec.target.core import host_core


def is_transposed(kernel: Kernel) -> bool:
    return any(isinstance(each, Zip) for each in expressions(kernel.body))


def check(text: str, arrays: list[Array], expected: Array, *, squares: bool) -> None:
    executable = tilec.function(text).compile(*arrays)
    np.testing.assert_array_equal(np.asarray(executable(*arrays)), expected)
    assert ("column" in executable.source("kernel")) is squares


@pytest.mark.parametrize("size", [(16, 16), (15, 64), (17, 33), (40, 31), (128, 8), (1, 5), (0, 3)])
@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8"])
def test_two_axes(size: tuple[int, int], dtype: str) -> None:
    a = np.arange(size[0] * size[1]).reshape(size).astype(dtype)
    text = "function (A[M, N]) -> (T) { T[j, i : N, M] = =(A[i, j]); }"
    executable = tilec.function(text).compile(a)
    np.testing.assert_array_equal(np.asarray(executable(a)), a.T)


@pytest.mark.parametrize("axes", list(permutations(range(3))))
def test_three_axes(axes: tuple[int, ...]) -> None:
    a = np.arange(18 * 17 * 20, dtype=np.float32).reshape(18, 17, 20)
    indices, sizes = "ijk", "LMN"
    to = ", ".join(indices[axis] for axis in axes)
    of = ", ".join(sizes[axis] for axis in axes)
    text = f"function (A[L, M, N]) -> (T) {{ T[{to} : {of}] = =(A[i, j, k]); }}"
    check(text, [a], a.transpose(axes), squares=axes[-1] != 2)


def test_arithmetic_on_the_way() -> None:
    a = np.arange(35 * 50, dtype=np.float32).reshape(35, 50)
    b, v = np.ones((50, 35), np.float32), np.arange(35, dtype=np.float32)
    text = """function (A[N, M], D[N, M], B[M, N], V[N]) -> (C) {
      T[j, i : M, N] = =(A[i, j] * D[i, j] + V[i]); C = T * 2 + B; }"""
    check(text, [a, a, b, v], (a * a).T * 2 + v * 2 + b, squares=True)


def test_views() -> None:
    a = np.arange(40 * 66, dtype=np.float32).reshape(40, 66)
    text = "function (A[M, N]) -> (B) { B = A + 1; }"
    check(text, [a.T], a.T + 1, squares=True)
    check(text, [a[:, ::2]], a[:, ::2] + 1, squares=False)
    check(text, [a[::-1].T], a[::-1].T + 1, squares=True)


def test_switched_off() -> None:
    made = program("function (A[M, N]) -> (T) { T[j, i : N, M] = =(A[i, j]); }", A=(32, 32))
    (kernel,) = lower_program(made).kernels
    assert is_transposed(kernel)
    (kernel,) = lower_program(made, disable=("transpose",)).kernels
    assert not is_transposed(kernel)


def test_long_ones_are_divided() -> None:
    made = program("function (A[M, N]) -> (T) { T[j, i : N, M] = =(A[i, j]); }", A=(999, 2000))
    (kernel,) = lower_program(made).kernels
    assert "parallel for j.group in 0 .. 125 by 4" in print_kernel(kernel)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((1030, 70), (1, 0)),
        ((1025, 16), (1, 0)),
        ((1300, 2, 131), (2, 1, 0)),
        ((48, 2, 50), (2, 1, 0)),
        ((65, 9, 33), (2, 1, 0)),
        ((64, 9, 33), (2, 1, 0)),
        ((3, 70, 40), (0, 2, 1)),
        ((256, 99), (1, 0)),
    ],
)
def test_large_results_are_stored_in_whole_lines(
    shape: tuple[int, ...], axes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Around the squares of a group, along both loops, and with a loop beside them."""
    small = replace(host_core(), l2_bytes=1 << 12, l3_bytes=0)
    monkeypatch.setattr("tilec.target.core.host_core", lambda: small)
    monkeypatch.setattr("tilec.lower.transpose.TALL", 5)
    monkeypatch.setattr("tilec.lower.transpose.STRIP_BYTES", 256)
    monkeypatch.setattr("tilec.lower.transpose.APART_BYTES", 256)
    a = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    to = ", ".join("ijk"[axis] for axis in axes)
    sizes = ", ".join(str(shape[axis]) for axis in axes)
    of = ", ".join("ijk"[: len(shape)])
    function = tilec.function(f"T[{to} : {sizes}] = =(A[{of}])")
    executable = function.compile(a)
    waits = bool(shape[axes[-1]] * 4 % small.line_bytes) and shape[axes[-1]] >= 64
    assert (".waiting" in executable.source("kernel")) is waits or small.vector_bytes < 64
    for threads in (1, 2):
        found = np.asarray(function(a, num_threads=threads))
        np.testing.assert_array_equal(found, a.transpose(axes))


def test_strips_go_on_with_the_loop_beside_them() -> None:
    core = replace(host_core(), vector_bytes=64, l2_bytes=1 << 12, l3_bytes=0)
    made = program("T[k, j, i : 64, 40, 64] = =(A[i, j, k])", A=(64, 40, 64))
    (kernel,) = lower_program(made, core=core).kernels
    assert "for j.group in 0 .. 40 by 16" in print_kernel(kernel)
    assert "for j in j.group .. min(j.group + 16, 40)" in print_kernel(kernel)


@pytest.mark.parametrize(("columns", "asks"), [(64, True), (1024, True), (1040, False)])
def test_short_rows_ask_for_those_of_the_next_strip(columns: int, asks: bool) -> None:
    core = replace(host_core(), vector_bytes=64, l2_bytes=1 << 12, l3_bytes=0)
    text = "function (A[M, N]) -> (T) { T[j, i : N, M] = =(A[i, j]); }"
    (kernel,) = lower_program(program(text, A=(64, columns)), core=core).kernels
    found = [each for each in statements(kernel.body) if isinstance(each, Prefetch)]
    assert len(found) == (16 if asks else 0)
    if asks:
        begin = f"prefetch A[i.block * {16 * columns} + j.block * 16 + {16 * columns}]"
        assert begin in print_kernel(kernel)


@pytest.mark.parametrize(("kilobytes", "strips"), [(31, True), (33, False)])
def test_what_is_read_and_written_is_larger_than_the_cache(kilobytes: int, strips: bool) -> None:
    core = replace(host_core(), vector_bytes=64, l2_bytes=1 << 12, l3_bytes=kilobytes << 10)
    text = "function (A[M, N]) -> (T) { T[j, i : N, M] = =(A[i, j]); }"
    (kernel,) = lower_program(program(text, A=(64, 64)), core=core).kernels
    assert any(isinstance(each, Prefetch) for each in statements(kernel.body)) is strips


@pytest.mark.parametrize("rows", [95, 96, 97, 127, 129, 160])
@pytest.mark.parametrize("columns", [16, 17, 31, 32])
def test_blocks_that_lie_in_one_piece_are_written_in_runs(
    rows: int, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Around the squares and the blocks of two of them, from any address."""
    core = replace(host_core(), l2_bytes=1 << 16, l3_bytes=0, core_gigabytes=0)
    monkeypatch.setattr("tilec.target.core.host_core", lambda: core)
    monkeypatch.setattr("tilec.lower.transpose.RUN_BYTES", 128)
    text = f"T[n, j, i : 4, {columns}, {rows}] = =(A[n, i, j] * A[n, i, j] + D[n, i, j])"
    function = tilec.function(text)
    held = np.arange(4 * rows * columns + 1, dtype=np.float32) % 1009
    a = held[1:].reshape(4, rows, columns)
    executable = function.compile(a, a)
    if core.vector_bytes:
        assert "prefetch to write" in executable.source("kernel")
    assert "nontemporal" not in executable.source("kernel")
    for threads in (1, 2):
        found = np.asarray(function(a, a, num_threads=threads))
        np.testing.assert_array_equal(found, (a * a + a).transpose(0, 2, 1))


@pytest.mark.parametrize(
    ("text", "shape", "rate", "runs"),
    [
        ("T[j, i : 32, 1999] = =(A[i, j])", (1999, 32), 0, True),
        ("T[j, i : 32, 1999] = =(A[i, j])", (1999, 32), 1e3, False),
        ("T[j, i : 32, 1999] = =(A[i, j])", (1999, 33), 0, False),
        ("T[j, i : 33, 1999] = =(A[i, j])", (1999, 33), 0, False),
    ],
)
def test_runs_need_blocks_in_one_piece_and_few_cores(
    text: str, shape: tuple[int, int], rate: float, runs: bool
) -> None:
    """Rows that are as long as what is read of them, short enough, and stores that may ask."""
    core = replace(host_core(), vector_bytes=64, l2_bytes=1 << 18, l3_bytes=0, core_gigabytes=rate)
    (kernel,) = lower_program(program(text, A=shape), core=core).kernels
    asked = [e for e in statements(kernel.body) if isinstance(e, Prefetch) and e.to_write]
    assert (len(asked) >= 16) is runs  # an edge may ask for itself
