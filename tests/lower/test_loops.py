"""Shapes of plain loops: tasks, interiors without guards, sums in blocks."""

from __future__ import annotations

import re
from math import prod

import numpy as np
import pytest

import tilec
from tests.lower.interpret import Array, Interpreter
from tests.lower.texts import program
from tilec.kernel.ir import Const, For, If, Kernel, LoopKind, Store
from tilec.kernel.printer import print_kernel
from tilec.kernel.verify import verify
from tilec.kernel.walk import statements
from tilec.lower.loops import CASCADE_POINTS, CHUNK
from tilec.lower.pipeline import lower_program
from tilec.target.core import Core

WINDOW = "function (A[N], F[K]) -> (O) { O[i : N] = +(A[i + k - 1] * F[k]); }"


def kernel(text: str, *disable: str, **shapes: tuple[int, ...]) -> Kernel:
    core = Core(vector_bytes=64)
    (one,) = lower_program(program(text, **shapes), core=core, disable=disable).kernels
    return one


def loops(one: Kernel) -> list[For]:
    return [stmt for stmt in statements(one.body) if isinstance(stmt, For)]


def tasks(one: Kernel) -> int:
    """Iterations of the only parallel loop."""
    (loop,) = (loop for loop in loops(one) if loop.kind is LoopKind.PARALLEL)
    assert isinstance(loop.stop, Const)
    return int(loop.stop.value)


@pytest.mark.parametrize("aggregation", [">", "<", "+", "*"])
def test_aggregations_of_bools_begin_with_a_bool(aggregation: str) -> None:
    text = f"S[j : N] = {aggregation}(A[i, j] < 2)"
    verify(lower_program(program(text, A=(20, 30)), core=Core(vector_bytes=64)))


def test_a_long_map_is_divided_into_chunks() -> None:
    assert tasks(kernel("C = -A", A=(100 * CHUNK + 1,))) == 101


@pytest.mark.parametrize(("rows", "columns", "wanted"), [(8192, 1024, 16), (300, 5000, 79)])
def test_elements_with_a_reduction_make_shorter_tasks(rows: int, columns: int, wanted: int) -> None:
    """Sums of 1024 columns were one task once, and ran on one thread."""
    one = kernel("S[j : N] = >(A[i, j])", "stream", A=(rows, columns))
    assert tasks(one) == wanted


def test_the_middle_of_a_window_has_no_guard() -> None:
    one = kernel(WINDOW, A=(642,), F=(3,))
    (middle,) = (loop for loop in loops(one) if loop.step > 1)
    assert not any(isinstance(stmt, If) for stmt in statements(middle.body))
    assert not any(isinstance(stmt, Store) and stmt.mask for stmt in statements(middle.body))


def test_a_constraint_becomes_a_bound_where_lanes_do_not_differ() -> None:
    one = kernel(WINDOW, "vectorise", A=(1000,), F=(3,))
    assert not any(isinstance(stmt, If) for stmt in statements(one.body))
    assert "for k in max(i * -1 + 1, 0) .. min(i * -1 + 1001, 3) {" in print_kernel(one)


@pytest.mark.parametrize("disable", [(), ("vectorise",)])
@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        ("O[2*i + j : 30] = +(A[i] * B[j])", {"A": (12,), "B": (5,)}),
        ("O[3*i + 2*j : 40] = +(A[i] * B[j])", {"A": (9,), "B": (4,)}),
        ("O[2*i + j, c : 31, 20] = +(A[i, c] * B[j])", {"A": (12, 20), "B": (3,)}),
        ("O[i, i : 9, 9] = =(A[i])", {"A": (9,)}),
        ("O[2*i : 25] = >(A[i])", {"A": (11,)}),
    ],
)
def test_each_element_is_stored_once(
    text: str, shapes: dict[str, tuple[int, ...]], disable: tuple[str, ...]
) -> None:
    one = kernel(text, *disable, **shapes)
    stores = Stores(one, {name: np.ones(prod(shape)) for name, shape in shapes.items()})
    stores.run()
    assert sorted(stores.offsets) == list(range(one.buffers()["O"].high))


class Stores(Interpreter):
    """Runs a kernel and keeps the offset of every store to its output."""

    def __init__(self, one: Kernel, inputs: dict[str, Array]) -> None:
        super().__init__(one, {**inputs, "O": np.zeros(one.buffers()["O"].high)})
        self.offsets: list[int] = []

    def store(self, stmt: Store) -> None:
        if stmt.buffer == "O":
            lanes = self.lanes(stmt.index, stmt.stride, stmt.mask, stmt.value.type.lanes)
            self.offsets += [offset for _, offset in lanes]
        super().store(stmt)


def test_residue_classes_run_without_tests_of_divisibility() -> None:
    one = kernel("function (A[N]) -> (O) { O[i : 3 * N] = +(A[i/3]); }", "vectorise", A=(10,))
    assert "mod" not in print_kernel(one)
    assert [f"O[i * 3{rest}]" in print_kernel(one) for rest in ("", " + 1", " + 2")] == [True] * 3


def test_too_many_residue_classes_are_tested_inside() -> None:
    one = kernel("function (A[N]) -> (O) { O[i : 100 * N] = +(A[i/100]); }", A=(10,))
    assert "floor_mod(i, 100) == 0" in print_kernel(one)


@pytest.mark.parametrize("points", [CASCADE_POINTS, CASCADE_POINTS + 1])
def test_long_float_sums_are_blocked(points: int) -> None:
    text = print_kernel(kernel("S[i : M] = +(A[i, j])", "stream", A=(3, points)))
    assert (re.search(r"register \.sum: f64", text) is not None) is (points > CASCADE_POINTS)
    largest = print_kernel(kernel("S[i : M] = >(A[i, j])", "stream", A=(3, points)))
    assert "f64" not in largest


def test_a_concatenation_is_copies() -> None:
    text = """function (A[M, N], B[M, K]) -> (C) {
      T[i, j : M, N + K] = =(A[i, j]); C[i, j + N : M, N + K] = =(B[i, j]) default T; }"""
    module = lower_program(program(text, A=(4, 64), B=(4, 32)), core=Core(vector_bytes=64))
    assert not module.temporaries
    first, second = module.kernels
    assert [buffer.name for buffer in first.params] == ["A", "C"]
    assert [buffer.name for buffer in second.params] == ["B", "C"]
    for one in (first, second):  # what has no point is neither zeroed nor copied onto itself
        stores = [stmt for stmt in statements(one.body) if isinstance(stmt, Store)]
        assert len(stores) == 1


def test_what_no_part_of_a_concatenation_reaches_is_zero() -> None:
    text = """function (A[N], B[K], C[L]) -> (D) {
      T[i : 100] = =(A[i]); U[i + 40 : 100] = =(B[i]) default T;
      D[i + 64 : 100] = =(C[i]) default U; }"""
    sizes = {"A": 40, "B": 16, "C": 30}
    arrays = [np.full(size, at + 1, np.float32) for at, size in enumerate(sizes.values())]
    expected = np.zeros(100, np.float32)
    for array, begin in zip(arrays, (0, 40, 64), strict=True):
        expected[begin : begin + array.size] = array
    out = np.full(100, np.nan, np.float32)
    tilec.function(text).compile(*arrays)(*arrays, out=out)
    np.testing.assert_array_equal(out, expected)


def test_gaps_between_what_is_stored_are_zero() -> None:
    text = """function (A[N], B[K]) -> (C) {
      T[i : 40] = =(A[i]); C[i + 10 : 40] = =(B[i/2]) default T; }"""
    arrays = [np.full(10, 1, np.float32), np.full(15, 2, np.float32)]
    expected = np.zeros(40, np.float32)
    expected[:10], expected[10::2] = 1, 2
    out = np.full(40, np.nan, np.float32)
    tilec.function(text).compile(*arrays)(*arrays, out=out)
    np.testing.assert_array_equal(out, expected)


def test_a_default_that_something_else_needs_is_stored_by_itself() -> None:
    text = """function (A[N], B[K]) -> (C, D) {
      T[i : N + K] = =(A[i]); C[i + N : N + K] = =(B[i]) default T; D = T * 2; }"""
    module = lower_program(program(text, A=(64,), B=(32,)), core=Core(vector_bytes=64))
    assert [held.buffer.name for held in module.temporaries] == ["T"]
