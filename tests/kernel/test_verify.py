"""What ``verify`` accepts and refuses; every invariant has a case that breaks it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tilec.dtypes import BOOL, F16, F32, I8, I32, I64
from tilec.errors import InternalError
from tilec.kernel import build
from tilec.kernel.ir import (
    INDEX,
    Apply,
    Buffer,
    Call,
    Const,
    ConstantData,
    Expr,
    Fold,
    For,
    If,
    Kernel,
    Let,
    Load,
    LoopKind,
    Module,
    Ramp,
    Scope,
    Splat,
    Stmt,
    Store,
    Temporary,
    Var,
    View,
    VType,
    Zip,
)
from tilec.kernel.verify import verify, verify_kernel

F = VType(F32)
A = Buffer("A", F, 100)
OUT = Buffer("C", F, 100, writable=True)
WIDE = Buffer("w", VType(F32, 8), 2, scope=Scope.REGISTER, writable=True)
PANEL = Buffer("p", F, 32, scope=Scope.CACHE, writable=True)
ZERO = build.const(0)
ONE = Const(1.0, F)
i, j, k = (build.var(name) for name in "ijk")


ROW = Const(1.0, VType(F32, 4))


def vec(lanes: int) -> VType:
    return VType(F32, lanes)


def loop(name: str, start: Expr | int, stop: Expr | int, *body: Stmt, step: int = 1) -> For:
    first = build.const(start) if isinstance(start, int) else start
    last = build.const(stop) if isinstance(stop, int) else stop
    return For(name, first, last, body, step)


def kernel(*body: Stmt) -> Kernel:
    return Kernel("k", ("test",), (A, OUT), (WIDE, PANEL), body)


def put(index: Expr, value: Expr = ONE, mask: Expr | None = None) -> Store:
    return Store("C", index, value, mask=mask)


def check(*body: Stmt) -> None:
    verify_kernel(kernel(*body))


def refuse(words: str, *body: Stmt) -> None:
    with pytest.raises(InternalError, match=words):
        verify_kernel(kernel(*body))


def less(left: Expr, right: Expr | int) -> Expr:
    return build.compare("cmp_lt", left, build.const(right) if isinstance(right, int) else right)


def lanes_below(limit: Expr | int, lanes: int) -> Expr:
    ramp = Ramp(Const(0, VType(I32)), 1, VType(I32, lanes))
    if isinstance(limit, int):
        bound: Expr = Const(limit, VType(I32, lanes))
    else:
        bound = build.splat(Apply("cast", (limit,), VType(I32)), lanes)
    return Apply("cmp_lt", (ramp, bound), VType(BOOL, lanes))


def test_rectangular_loops() -> None:
    index = build.add(build.mul(i, build.const(10)), j)
    check(loop("i", 0, 10, loop("j", 0, 10, put(index, Load("A", index, F)))))


def test_one_iteration_too_many() -> None:
    refuse(
        r"offset i leaves C \(0 to 100\) when i = 100; in: C\[i\] = 1\.0",
        loop("i", 0, 101, put(i)),
    )


def test_below_the_start() -> None:
    refuse(
        r"offset i - 1 leaves A .* when i = 0",
        loop("i", 0, 9, put(i, Load("A", build.add(i, build.const(-1)), F))),
    )


def test_vectors_with_a_step() -> None:
    check(loop("i", 0, 96, put(i, Load("A", i, vec(16))), step=16))
    check(loop("i", 0, 91, put(i, Const(1.0, vec(10))), step=10))
    refuse("leaves C", loop("i", 0, 100, put(i, Const(1.0, vec(16))), step=16))


def test_strided_vectors() -> None:
    check(put(ZERO, Load("A", ZERO, vec(10), stride=11)))
    refuse("leaves A .* when lane = 9", put(ZERO, Load("A", build.const(1), vec(10), stride=11)))
    refuse("leaves A", put(ZERO, Load("A", build.const(3), vec(10), stride=-1)))


def test_masked_tails() -> None:
    tail = build.const(96)
    check(put(tail, Load("A", tail, vec(16), mask=lanes_below(4, 16)), lanes_below(4, 16)))
    refuse("when lane = 4", put(tail, Const(1.0, vec(16)), lanes_below(5, 16)))


def test_masked_tails_of_a_variable_rest() -> None:
    stop = build.minimum(build.add(i, build.const(7)), build.const(100))
    rest = build.sub(stop, i)
    body = put(i, Const(1.0, vec(8)), lanes_below(rest, 8))
    check(loop("i", 0, 100, body))
    wrong = build.add(rest, build.const(1))
    refuse("leaves C", loop("i", 0, 100, put(i, Const(1.0, vec(8)), lanes_below(wrong, 8))))


def test_guards() -> None:
    check(loop("i", 0, 200, If(less(i, 100), (put(i),))))
    check(loop("i", 0, 200, If(build.compare("cmp_ge", i, build.const(100)), (), (put(i),))))
    refuse("when i = 100", loop("i", 0, 200, If(less(i, 101), (put(i),))))
    both = build.both(less(i, 100), build.compare("cmp_ge", i, ZERO))
    check(loop("i", -5, 200, If(both, (put(i),))))
    outside = build.either(less(i, 0), build.compare("cmp_ge", i, build.const(100)))
    check(loop("i", -5, 200, If(outside, (), (put(i),))))
    check(loop("i", -5, 200, If(Apply("logical_not", (outside,), VType(BOOL)), (put(i),))))
    refuse("leaves C", loop("i", -5, 200, If(outside, (put(i),))))


def test_guards_on_sums_of_variables() -> None:
    index = build.add(build.add(i, j), build.const(-2))
    inside = build.both(build.compare("cmp_ge", index, ZERO), less(index, 100))
    check(loop("i", 0, 100, loop("j", 0, 5, If(inside, (put(index),)))))


def test_triangular_loops() -> None:
    index = build.sub(i, j)
    check(loop("i", 0, 100, loop("j", 0, build.add(i, build.const(1)), put(index))))
    refuse("leaves C", loop("i", 0, 100, loop("j", 0, build.add(i, build.const(2)), put(index))))


def test_bounds_with_extremes_and_divisions() -> None:
    start = build.maximum(ZERO, build.sub(i, build.const(3)))
    stop = build.minimum(build.const(100), build.add(i, build.const(4)))
    window = build.add(build.sub(j, i), build.const(3))
    check(loop("i", 0, 100, loop("j", start, stop, put(window, Load("A", j, F)))))
    half = build.floor_div(i, 2)
    check(loop("i", 0, 200, put(half)))
    parity = build.floor_mod(i, 100)
    check(loop("i", -1000, 1000, put(parity)))
    pair = build.add(build.mul(half, build.const(2)), build.floor_mod(i, 2))
    check(loop("i", 0, 100, put(pair)))
    refuse("when i = 200", loop("i", 0, 201, put(half)))


def test_blocks_of_a_loop() -> None:
    stop = build.minimum(build.add(k, build.const(32)), build.const(100))
    check(loop("k", 0, 100, loop("i", k, stop, put(i)), step=32))


def test_blocks_with_whole_vectors() -> None:
    stop = build.minimum(build.add(k, build.const(30)), build.const(100))
    whole = build.mul(build.floor_div(build.sub(stop, k), 8), build.const(8))
    end = build.add(k, whole)
    check(loop("k", 0, 100, loop("i", k, end, put(i, Const(1.0, vec(8))), step=8), step=30))
    refuse(
        "leaves C",
        loop("k", 0, 100, loop("i", k, stop, put(i, Const(1.0, vec(8))), step=8), step=30),
    )


def test_loops_that_never_run_access_nothing() -> None:
    check(loop("i", 5, 5, put(build.const(1000))))
    check(If(Const(False, VType(BOOL)), (put(build.const(1000)),)))
    check(loop("i", 0, 10, If(less(i, 0), (put(build.const(1000)),))))


def test_gathers_must_be_clamped() -> None:
    read = Apply("cast", (Load("A", ZERO, F),), INDEX)
    clamped = build.minimum(build.maximum(read, ZERO), build.const(99))
    check(put(ZERO, Load("A", clamped, F)))
    refuse("leaves A", put(ZERO, Load("A", read, F)))
    refuse("leaves A", put(ZERO, Load("A", build.minimum(read, build.const(99)), F)))
    shifted = build.minimum(build.maximum(build.add(read, build.const(1)), ZERO), build.const(99))
    check(put(ZERO, Load("A", shifted, F)))


def test_gathers_of_vectors() -> None:
    index = Apply("cast", (Load("A", ZERO, vec(8)),), VType(I64, 8))
    high = Apply("min", (index, Const(99, VType(I64, 8))), VType(I64, 8))
    clamped = Apply("max", (high, Const(0, VType(I64, 8))), VType(I64, 8))
    check(put(ZERO, Load("A", clamped, vec(8))))
    refuse("leaves A", put(ZERO, Load("A", index, vec(8))))
    check(put(ZERO, Load("A", build.ramp(build.const(92), 8), vec(8))))
    refuse("lane = 7", put(ZERO, Load("A", build.ramp(build.const(93), 8), vec(8))))
    check(put(ZERO, Load("A", Ramp(build.const(99), 1, INDEX), F)))
    named = Var("v", VType(I64, 8))
    check(Let(named, clamped), put(ZERO, Load("A", named, vec(8))))


def test_named_values() -> None:
    n = Var("n", INDEX)
    check(loop("i", 0, 10, Let(n, build.mul(i, build.const(10))), put(n)))
    refuse(
        "when i = 11",
        loop("i", 0, 12, Let(n, build.mul(i, build.const(9))), put(build.add(n, build.const(1)))),
    )
    test = Var("t", VType(BOOL))
    check(loop("i", 0, 200, Let(test, less(i, 100)), If(test, (put(i),))))


def test_narrow_index_arithmetic_may_wrap() -> None:
    small = Apply("cast", (i,), VType(I8))
    back = Apply("cast", (small,), INDEX)
    check(loop("i", 0, 100, put(back)))
    refuse("leaves C", loop("i", 0, 200, put(back)))


def test_choices_in_an_index() -> None:
    kind = INDEX
    chosen = Apply("cond", (less(i, 50), i, build.sub(build.const(149), i)), kind)
    check(loop("i", 0, 150, put(chosen)))
    refuse("leaves C", loop("i", 0, 151, put(chosen)))


def test_unrolled_registers() -> None:
    store = Store("w", i, Const(0.0, vec(8)))
    check(For("i", ZERO, build.const(2), (store,), kind=LoopKind.UNROLL))
    refuse("leaves w", For("i", ZERO, build.const(3), (store,), kind=LoopKind.UNROLL))
    refuse("must be constants", loop("j", 0, 2, For("i", ZERO, j, (), kind=LoopKind.UNROLL)))


@pytest.mark.parametrize(
    ("words", "body"),
    [
        ("x is not defined", (put(ZERO, Var("x", F)),)),
        ("i is not defined", (loop("i", 0, 1, put(i)), put(i))),
        ("x has another type", (Let(Var("x", F), ONE), put(ZERO, Var("x", VType(F16))))),
        ("i is defined twice", (loop("i", 0, 1, loop("i", 0, 1)),)),
        ("A is also the name of a buffer", (loop("A", 0, 1),)),
        ("the value has another type", (Let(Var("x", VType(I32)), ONE),)),
        ("there is no buffer X", (put(ZERO, Load("X", ZERO, F)),)),
        ("A holds f32, not i32", (put(ZERO, Load("A", ZERO, VType(I32))),)),
        ("C holds f32, not i32", (put(ZERO, Const(1, VType(I32))),)),
        ("w holds f32x8, not f32x4", (Store("w", ZERO, Const(0.0, vec(4))),)),
        ("A must not be written", (Store("A", ZERO, ONE),)),
        ("offset of type f32", (put(ONE),)),
        ("offset of type i64x4", (put(build.ramp(ZERO, 4), Const(1.0, vec(8))),)),
        ("a mask of type bool", (put(ZERO, Const(1.0, vec(8)), Const(True, VType(BOOL))),)),
        ("no operation sum", (put(ZERO, Apply("sum", (ONE,), F)),)),
        ("add takes 2 operands", (put(ZERO, Apply("add", (ONE,), F)),)),
        ("add of f32, i32 is no f32", (put(ZERO, Apply("add", (ONE, Const(1, VType(I32))), F)),)),
        ("operands of add have other lanes", (put(ZERO, Apply("add", (ONE, ONE), vec(8))),)),
        ("cmp_lt of f32, f32 is no f32", (put(ZERO, Apply("cmp_lt", (ONE, ONE), F)),)),
        ("bit_and of f32, f32 is no f32", (put(ZERO, Apply("bit_and", (ONE, ONE), F)),)),
        ("cond of f32, f32, f32", (put(ZERO, Apply("cond", (ONE, ONE, ONE), F)),)),
        ("floor_div of i64, i64", (put(Apply("floor_div", (ZERO, ZERO), INDEX)),)),
        ("exp of i64 is no i64", (put(Apply("exp", (ZERO,), INDEX)),)),
        ("splat of f32x8", (put(ZERO, Splat(Const(0.0, vec(8)), vec(8))),)),
        ("ramp from f32", (put(ZERO, Ramp(ONE, 1, vec(8))),)),
        ("no fold by sub", (put(ZERO, Fold("sub", Const(0.0, vec(8)), F)),)),
        (
            "a zip of unequal vectors",
            (Let(Var("z", vec(8)), Zip(Const(0.0, vec(8)), Const(0.0, vec(4)), True, vec(8))),),
        ),
        ("the fold has another type", (put(ZERO, Fold("add", Const(0.0, vec(8)), vec(8))),)),
        ("only whole runs", (replace(put(ZERO, ROW), stride=2, nontemporal=True),)),
        ("w is no argument", (Store("w", ZERO, Const(0.0, vec(8)), nontemporal=True),)),
        ("300 is no i8", (Let(Var("x", VType(I8)), Const(300, VType(I8))),)),
        ("1.5 is no i8", (Let(Var("x", VType(I8)), Const(1.5, VType(I8))),)),
        ("1 is no bool", (If(Const(1, VType(BOOL)), ()),)),
        ("True is no f32", (put(ZERO, Const(True, F)),)),
        ("fewer lanes than one", (put(ZERO, Const(1.0, vec(0))),)),
        ("a loop bound is no index", (For("i", ZERO, ONE, ()),)),
        ("the step of a loop", (loop("i", 0, 1, step=0),)),
        ("condition is no scalar bool", (If(ONE, ()),)),
    ],
)
def test_faulty_statements(words: str, body: Sequence[Stmt]) -> None:
    refuse(re.escape(words), *body)


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("two buffers are called A", {"params": (A, A)}),
        ("parameter w is no global array", {"params": (A, WIDE)}),
        ("A is no scratch buffer", {"params": (OUT,), "locals": (A,)}),
        ("elements of p must be scalars", {"locals": (replace(PANEL, type=vec(8)),)}),
    ],
)
def test_faulty_buffers(words: str, change: dict[str, tuple[Buffer, ...]]) -> None:
    faulty = Kernel("k", (), change.get("params", (A, OUT)), change.get("locals", ()), ())
    with pytest.raises(InternalError, match=re.escape(words)):
        verify_kernel(faulty)


SOURCE, RESULT = Buffer("x", F, 10), Buffer("y", F, 10, writable=True)
LEFT, RIGHT = Buffer("s", F, 10, writable=True), Buffer("t", F, 10, writable=True)
COPY = Kernel(
    "copy",
    ("copy",),
    (Buffer("a", F, 10), Buffer("b", F, 10, writable=True)),
    (),
    (loop("i", 0, 10, Store("b", i, Load("a", i, F))),),
)


def module(
    calls: Sequence[tuple[str, ...]], right: int = 64, data: bytes = bytes(40), **changes: object
) -> Module:
    made = Module(
        name="m",
        inputs=(SOURCE,),
        outputs=(RESULT,),
        temporaries=(Temporary(LEFT, 0), Temporary(RIGHT, right)),
        constants=(ConstantData(Buffer("c", F, 10), data),),
        workspace_bytes=128,
        kernels=(COPY,),
        calls=tuple(Call(call[0], call[1:]) for call in calls),
    )
    return replace(made, **changes)  # pyright: ignore[reportArgumentType]


def test_a_module() -> None:
    verify(module([("copy", "x", "s"), ("copy", "c", "t"), ("copy", "t", "y")]))


LONG = replace(SOURCE, high=30)


def view(whole: str, offset: int) -> View:
    return View(Buffer("v", F, 10), whole, offset)


def test_parts_of_buffers() -> None:
    verify(module([("copy", "v", "y")], inputs=(LONG,), views=(view("x", 20),)))
    halves = (replace(view("y", 10), buffer=replace(RESULT, name="w")), view("y", 0))
    wide = (replace(RESULT, high=20),)
    verify(module([("copy", "x", "v"), ("copy", "v", "w")], outputs=wide, views=halves))


@pytest.mark.parametrize(
    ("words", "faulty"),
    [
        ("does not exist", module([("paste", "x", "y")])),
        ("does not exist", module([("copy", "x", "z")])),
        ("has not 2 arguments", module([("copy", "x")])),
        ("writes x, which is an input", module([("copy", "s", "x")])),
        ("writes c, which is an input or a constant", module([("copy", "s", "c")])),
        ("shares memory", module([("copy", "y", "y")])),
        ("shares memory", module([("copy", "s", "t")], right=36)),
        ("not in a workspace", module([], right=100)),
        ("is not aligned", module([], right=66)),
        ("constant c has 39 bytes, not 40", module([], data=bytes(39))),
        ("is not inside of x", module([], inputs=(LONG,), views=(view("x", 21),))),
        ("is no view of z", module([], views=(view("z", 0),))),
        ("writes v, which is an input", module([("copy", "s", "v")], views=(view("x", 0),))),
        ("shares memory", module([("copy", "y", "v")], views=(view("y", 0),))),
        ("shares memory", module([("copy", "t", "v")], right=64, views=(view("t", 0),))),
        ("two kernels are called copy", module([], kernels=(COPY, COPY))),
        ("name of its module", module([], name="copy")),
        (
            "does not hold what a may access",
            module([("copy", "x", "y")], inputs=(replace(SOURCE, high=9),)),
        ),
    ],
)
def test_faulty_modules(words: str, faulty: Module) -> None:
    with pytest.raises(InternalError, match=words):
        verify(faulty)
