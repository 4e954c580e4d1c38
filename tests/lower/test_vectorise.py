"""Loops marked VECTOR before and after: the same memory, no such loop left."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lower.interpret import Array, Interpreter
from tilec.dtypes import F32, F64, I32
from tilec.errors import InternalError
from tilec.kernel import build
from tilec.kernel.ir import (
    Apply,
    Buffer,
    Call,
    Const,
    Expr,
    For,
    If,
    Kernel,
    Let,
    Load,
    LoopKind,
    Module,
    Scope,
    Stmt,
    Store,
    Var,
    VType,
)
from tilec.kernel.printer import print_kernel
from tilec.kernel.verify import verify
from tilec.kernel.walk import statements
from tilec.lower.vectorise import Vectorise, widen

SIZE = 200
I = build.var("i")  # noqa: E741 - the index of every example here
REAL = VType(F64)


def load(name: str, at: Expr) -> Load:
    return Load(name, at, REAL)


def vector_loop(body: tuple[Stmt, ...], count: int) -> For:
    return For("i", build.const(0), build.const(count), body, kind=LoopKind.VECTOR)


def kernel(body: tuple[Stmt, ...], *registers: Buffer) -> Kernel:
    params = (
        Buffer("A", REAL, SIZE),
        Buffer("O", REAL, SIZE, writable=True),
        Buffer("R", VType(I32), SIZE),
    )
    return Kernel("k", (), params, registers, body)


def module(one: Kernel) -> Module:
    a, o, r = one.params
    return Module("m", (a, r), (o,), (), (), 0, (one,), (Call("k", ("A", "O", "R")),))


def run(one: Kernel) -> Array:
    rng = np.random.default_rng(0)
    memory: dict[str, Array] = {
        "A": rng.integers(-9, 9, SIZE).astype(float),
        "O": np.full(SIZE, 0.5),
        "R": rng.permutation(SIZE).astype(np.int32),
    }
    Interpreter(one, memory).run()
    return memory["O"]


def check(one: Kernel, lanes: int = 4, wide: int = 4) -> Kernel:
    """Vectorise, verify, compare; returns the result."""
    after = Vectorise(lanes, wide).apply(one)
    verify(module(after))
    loops = [s for s in statements(after.body) if isinstance(s, For)]
    assert all(loop.kind is not LoopKind.VECTOR for loop in loops)
    np.testing.assert_array_equal(run(after), run(one))
    return after


def widths(after: Kernel) -> list[int]:
    """Lanes of the stores, in order."""
    return [s.value.type.lanes for s in statements(after.body) if isinstance(s, Store)]


def copy(at: Expr, to: Expr = I) -> tuple[Stmt, ...]:
    return (Store("O", to, load("A", at)),)


@pytest.mark.parametrize(
    ("count", "wanted"),
    [
        (1, [1]),
        (3, [4]),  # masked
        (4, [4]),
        (16, [16]),
        (20, [16, 4]),
        (32, [16]),
        (39, [16, 4, 4]),  # two wide, one register, three lanes of another
        (37, [16, 4, 1]),
    ],
)
def test_wide_vectors_then_registers_then_a_rest(count: int, wanted: list[int]) -> None:
    assert widths(check(kernel((vector_loop(copy(I), count),)))) == wanted


def test_long_bodies_of_functions_take_fewer_registers() -> None:
    value: Expr = load("A", I)
    for wanted in (16, 16, 8):
        value = Apply("exp", (value,), REAL)
        after = check(kernel((vector_loop((Store("O", I, value),), 64),)))
        assert widths(after) == [wanted]


@settings(max_examples=80, deadline=None)
@given(
    count=st.integers(0, 50),
    step=st.sampled_from([0, 1, -1, 2, 3, -2]),
    start=st.integers(0, 9),
    lanes=st.sampled_from([2, 4, 16]),
)
def test_strided_loads_and_stores(count: int, step: int, start: int, lanes: int) -> None:
    first = start if step >= 0 else start - step * 50
    at = build.add(build.mul(I, build.const(step)), build.const(first))
    check(kernel((vector_loop(copy(at), count),)), lanes)
    if step:
        check(kernel((vector_loop(copy(I, at), count),)), lanes)


def test_an_address_that_varies_by_no_constant_is_gathered() -> None:
    row = Apply("cast", (Load("R", I, VType(I32)),), build.const(0).type)
    low = build.maximum(Apply("min", (row, build.const(SIZE - 1)), row.type), build.const(0))
    after = check(kernel((vector_loop(copy(low), 37),)))
    loads = [s.value for s in statements(after.body) if isinstance(s, Store)]
    assert all(isinstance(v, Load) and v.index.type.lanes == v.type.lanes for v in loads[:2])


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 40), bound=st.integers(-3, 45))
def test_a_guard_that_differs_between_lanes_is_a_mask(count: int, bound: int) -> None:
    test = build.compare("cmp_lt", I, build.const(bound))
    other = (Store("O", I, Const(7.0, REAL)),)
    check(kernel((vector_loop((If(test, copy(I), other),), count),)))


def test_a_guard_that_all_lanes_share_stays_a_guard() -> None:
    test = build.compare("cmp_lt", build.var("j"), build.const(2))
    inner = vector_loop((If(test, copy(I)),), 10)
    after = check(kernel((For("j", build.const(0), build.const(4), (inner,)),)))
    assert any(isinstance(s, If) for s in statements(after.body))


def test_what_a_guard_protects_is_not_read_without_it() -> None:
    """Beyond the end of A; the interpreter checks every lane."""
    test = build.compare("cmp_lt", I, build.const(5))
    at = build.add(I, build.const(SIZE - 5))
    after = Vectorise(4, 4).apply(kernel((vector_loop((If(test, copy(at)),), 19),)))
    np.testing.assert_array_equal(run(after)[5:], np.full(SIZE - 5, 0.5))


def test_registers_are_private_to_an_iteration() -> None:
    total = Buffer(".t", REAL, 1, scope=Scope.REGISTER, writable=True)
    held = Load(".t", build.const(0), REAL)
    k = build.var("k")
    value = load("A", build.add(I, k))
    body: tuple[Stmt, ...] = (
        Store(".t", build.const(0), Const(0.0, REAL)),
        For(
            "k",
            build.const(0),
            build.const(5),
            (Store(".t", build.const(0), Apply("add", (held, value), REAL)),),
        ),
        Store("O", I, held),
    )
    after = check(kernel((vector_loop(body, 23),), total))
    assert {buffer.type.lanes for buffer in after.locals} == {16, 4}


def test_partial_results_of_a_reduction_fix_the_lanes() -> None:
    sums = Buffer(".s", VType(F64, 8), 1, scope=Scope.REGISTER, writable=True)
    held = Load(".s", build.const(0), sums.type)
    body = (Store(".s", build.const(0), Apply("add", (held, load("A", I)), sums.type)),)
    before = kernel(
        (Store(".s", build.const(0), Const(0.0, sums.type)), vector_loop(body, 37)), sums
    )
    after = Vectorise(4, 4).apply(before)
    assert widths(after) == [8, 8, 8]  # cleared, in whole vectors, and a masked rest
    assert "for i in 0 .. 32 by 8" in print_kernel(after)


def test_named_values_vary_when_what_they_name_does() -> None:
    twice = Var("t", REAL)
    body = (
        Let(twice, Apply("add", (load("A", I), load("A", I)), REAL)),
        Store("O", I, Apply("mul", (twice, twice), REAL)),
    )
    check(kernel((vector_loop(body, 21),)))


def test_bounds_inside_must_not_differ_between_lanes() -> None:
    inner = For("k", build.const(0), I, copy(I))
    with pytest.raises(InternalError, match="differs between the lanes"):
        Vectorise(4, 4).apply(kernel((vector_loop((inner,), 8),)))


def test_kernels_without_vector_loops_stay() -> None:
    one = kernel((For("i", build.const(0), build.const(5), copy(I)),))
    assert Vectorise(4, 4).apply(one) == one


def test_widen_one_expression() -> None:
    value = Apply("mul", (load("A", I), Const(2.0, REAL)), REAL)
    wide = widen(value, "i", build.const(8), 4, None, {})
    assert wide == Apply(
        "mul",
        (Load("A", build.const(8), VType(F64, 4)), Const(2.0, VType(F64, 4))),
        VType(F64, 4),
    )
    alone = widen(Const(2.0, VType(F32)), "i", build.const(8), 4, None, {})
    assert alone == Const(2.0, VType(F32, 4))


def test_index_arithmetic_of_a_single_lane_is_simplified() -> None:
    k = build.var("k")
    test = build.compare("cmp_ge", build.sub(build.add(I, k), build.const(1)), build.const(0))
    inner = For("k", build.const(0), build.const(3), (If(test, copy(k)),))
    assert "if k - 1 >= 0 {" in print_kernel(check(kernel((vector_loop((inner,), 1),))))
