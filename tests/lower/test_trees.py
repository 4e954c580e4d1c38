"""Reductions as the work of groups, run item by item."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.lower.grouped import NVIDIA, small
from tests.lower.interpret import run_module
from tests.lower.texts import program
from tilec.kernel.printer import print_module
from tilec.kernel.verify import verify
from tilec.lower.pipeline import lower_program
from tilec.target.core import Core

SOFTMAX = (
    "function (X[M, N]) -> (R) { L[i, 0 : M, 1] = >(X[i, j]); E = exp(X - L); "
    "S[i, 0 : M, 1] = +(E[i, j]); R = E / S; }"
)
ROWS = "function (X[M, N]) -> (S) { S[i : M] = +(X[i, j]); }"
COLUMNS = "function (X[M, N]) -> (S) { S[j : N] = +(X[i, j]); }"
ALL = "function (X[M, N]) -> (S) { S[] = >(X[i, j]); }"
MEANS = "function (X[M, N]) -> (S) { T[i : M] = +(X[i, j]); S = T / N; }"


def run(text: str, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    module = lower_program(program(text, X=shape), core=small())
    verify(module)
    assert "group for" in print_module(module)
    given = np.random.default_rng(1).random(shape, np.float32) - np.float32(0.5)
    (found,) = run_module(module, {"X": given.reshape(-1)})
    return given, found


@pytest.mark.parametrize("width", [33, 64])
def test_rows(width: int) -> None:
    given, found = run(ROWS, 3, width)
    np.testing.assert_allclose(found, given.sum(1), rtol=1e-4)


def test_few_columns() -> None:
    given, found = run(COLUMNS, 40, 3)
    np.testing.assert_allclose(found, given.sum(0), rtol=1e-4)


def test_one_number_is_the_work_of_one_group() -> None:
    given, found = run(ALL, 7, 9)
    np.testing.assert_array_equal(found, given.max())


def test_an_epilogue_comes_once() -> None:
    given, found = run(MEANS, 2, 40)
    np.testing.assert_allclose(found, given.sum(1) / 40, rtol=1e-4)


def test_a_row_is_kept_in_local_memory_between_two_reductions() -> None:
    given, found = run(SOFTMAX, 2, 37)
    raised = np.exp(given - given.max(1, keepdims=True))
    wanted = raised / raised.sum(1, keepdims=True)
    np.testing.assert_allclose(found.reshape(2, 37), wanted, rtol=1e-5)


@pytest.mark.parametrize("points", [8200, 8201])
def test_a_long_sum_is_blocked_by_each_item(points: int) -> None:
    """One tenth has no exact value: an f32 total of all values would be off by much more."""
    for core in (small(), replace(small(), has_f64=False)):
        module = lower_program(program(ROWS, X=(2, points)), core=core)
        verify(module)
        printed = print_module(module)
        assert ("f64" in printed) is core.has_f64
        assert ".X.x4.0[0; 4]" in printed or points % 4
        (found,) = run_module(module, {"X": np.full(2 * points, 0.1, np.float32)})
        np.testing.assert_allclose(found, points * float(np.float32(0.1)), rtol=5e-7)


def test_what_ranges_leave_is_the_work_of_a_group() -> None:
    printed = text(ALL, NVIDIA, 4096, 4096)
    assert "group for .task in 0 .. 432" in printed
    assert "for .task in .item * 4 .. 432 by 512" in printed


def test_columns_of_a_large_matrix_are_cut_to_fill_the_device() -> None:
    printed = text(COLUMNS, NVIDIA, 4096, 4096)
    assert "parallel for .task in 0 .. 26" in printed
    assert "S.partial[.task * 4096 + j] =" in printed


def text(source: str, core: Core, *shape: int) -> str:
    return print_module(lower_program(program(source, X=shape), core=core))


def test_many_columns_have_an_item_each() -> None:
    """Neighbouring items read neighbouring columns; a group for each would read far apart."""
    assert "parallel for" in text(COLUMNS, NVIDIA, 70, 4096)
    assert "group for" in text(ROWS, NVIDIA, 4096, 70)


def test_what_is_short_or_no_reduction_stays() -> None:
    assert "group for" not in text(ROWS, NVIDIA, 4096, 9)
    assert "group for" not in text("function (X[M, N]) -> (Y) { Y = X * 2; }", NVIDIA, 64, 64)
