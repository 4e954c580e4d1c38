"""Parallel loops of kernel IR: the same bits with any number of threads, scratch memory apart."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.llvm.harness import OPTIONS, input_buffer, loaded, module_of, output_buffer
from tilec.dtypes import BOOL, F32, I64, DType
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
    Splat,
    Stmt,
    Store,
    Temporary,
    Var,
    VType,
)
from tilec_llvm import backend

pytestmark = pytest.mark.every_target

Array = NDArray[Any]
FLOAT, LONG = VType(F32), VType(I64)
THREADS = (1, 2, 3, 8, 300, None)
ROWS = 23


def parallel(
    var: str, stop: int | Expr, body: Sequence[Stmt], start: int | Expr = 0, step: int = 1
) -> For:
    return For(var, _index(start), _index(stop), tuple(body), step, LoopKind.PARALLEL)


def serial(var: str, stop: int | Expr, body: Sequence[Stmt], start: int | Expr = 0) -> For:
    return For(var, _index(start), _index(stop), tuple(body))


def _index(value: int | Expr) -> Expr:
    return build.const(value) if isinstance(value, int) else value


def scratch(name: str, high: int, dtype: DType = F32, lanes: int = 1) -> Buffer:
    scope = Scope.CACHE if lanes == 1 else Scope.REGISTER
    return Buffer(name, VType(dtype, lanes), high, scope=scope, writable=True)


def check(module: Module, inputs: Sequence[Array], wanted: Array) -> None:
    """The output is as wanted, to the bit, with every number of threads."""
    runner = loaded(module)
    for threads in THREADS:
        for _ in range(3):
            found = np.full_like(wanted, -77)
            runner.run([a.ctypes.data for a in inputs], [found.ctypes.data], threads)
            np.testing.assert_array_equal(found, wanted)


def one_kernel(
    body: Sequence[Stmt], *locals_: Buffer, size: int = ROWS, reads: int = ROWS
) -> Module:
    """From ``a`` to ``b``."""
    return module_of(
        body, [input_buffer("a", F32, reads)], [output_buffer("b", F32, size)], locals_
    )


def values(size: int = ROWS) -> Array:
    return np.random.default_rng(size).standard_normal(size, np.float32)


EACH, INNER = build.var("i"), build.var("j")


def test_a_loop_is_divided() -> None:
    body = parallel(
        "i", ROWS, [Store("b", EACH, Apply("mul", (Load("a", EACH, FLOAT),) * 2, FLOAT))]
    )
    check(one_kernel([body]), [values()], values() ** 2)


@pytest.mark.parametrize("start", [0, 3, ROWS - 1])
@pytest.mark.parametrize("step", [1, 2, 5, 40])
def test_starts_and_steps(start: int, step: int) -> None:
    before = serial("i", ROWS, [Store("b", EACH, Const(-1.0, FLOAT))])
    body = parallel("i", ROWS, [Store("b", EACH, Load("a", EACH, FLOAT))], start, step)
    wanted = np.full(ROWS, -1, np.float32)
    wanted[start::step] = values()[start::step]
    check(one_kernel([before, body]), [values()], wanted)


@pytest.mark.parametrize("step", [1, 3])
def test_bounds_that_depend_on_a_loop_outside(step: int) -> None:
    """Of row i the elements from i to 7 - i: none at all from row 4 on."""
    at = build.add(build.mul(EACH, build.const(8)), INNER)
    store = Store("b", at, Load("a", at, FLOAT))
    stop = build.sub(build.const(8), EACH)
    body = serial("i", 8, [parallel("j", stop, [store], EACH, step)])
    before = serial("i", 64, [Store("b", EACH, Const(0.0, FLOAT))])
    wanted = np.zeros((8, 8), np.float32)
    for row in range(8):
        chosen = slice(row, max(8 - row, row), step)
        wanted[row, chosen] = values(64).reshape(8, 8)[row, chosen]
    check(one_kernel([before, body], size=64, reads=64), [values(64)], wanted.ravel())


def test_values_from_outside() -> None:
    """Scalars, vectors, conditions and constants that were named around the loop."""
    wide = VType(F32, 8)
    at = build.mul(EACH, build.const(8))
    lets = [
        Let(Var("scalar", FLOAT), Load("a", build.const(2), FLOAT)),
        Let(Var("vector", wide), Load("a", build.const(3), wide)),
        Let(Var("half", FLOAT), Const(0.5, FLOAT)),
        Let(
            Var("test", VType(BOOL)),
            Apply("cmp_lt", (Var("scalar", FLOAT), Const(9.0, FLOAT)), VType(BOOL)),
        ),
        Let(
            Var("mask", VType(BOOL, 8)),
            Apply("cmp_gt", (Var("vector", wide), Const(0.0, wide)), VType(BOOL, 8)),
        ),
    ]
    scaled = Apply("mul", (Var("vector", wide), Splat(Var("half", FLOAT), wide)), wide)
    summed = Apply("add", (scaled, Splat(Var("scalar", FLOAT), wide)), wide)
    chosen = Apply("cond", (Var("mask", VType(BOOL, 8)), summed, Const(-2.0, wide)), wide)
    body = parallel("i", ROWS, [If(Var("test", VType(BOOL)), (Store("b", at, chosen),))])
    a = values()
    row = np.where(a[3:11] > 0, a[3:11] * np.float32(0.5) + a[2], np.float32(-2))
    check(one_kernel([*lets, body], size=8 * ROWS), [a], np.tile(row, ROWS))


@pytest.mark.parametrize("elems", [7, 5000], ids=["on the stack", "in the workspace"])
def test_scratch_of_one_loop_is_private(elems: int) -> None:
    """Each iteration fills all of it and reads it back; shared memory would mix iterations."""
    fill = serial("j", elems, [Store("t", INNER, Load("a", EACH, FLOAT))])
    total = Apply("add", (Load("s", build.const(0), FLOAT), Load("t", INNER, FLOAT)), FLOAT)
    add = serial("j", elems, [Store("s", build.const(0), total)])
    clear = Store("s", build.const(0), Const(0.0, FLOAT))
    end = Store("b", EACH, Load("s", build.const(0), FLOAT))
    module = one_kernel(
        [parallel("i", 400, [fill, clear, add, end])],
        scratch("t", elems),
        scratch("s", 1),
        size=400,
        reads=400,
    )
    a = np.arange(400, dtype=np.float32)
    check(module, [a], a * elems)


def test_register_buffers_are_private() -> None:
    wide = VType(F32, 4)
    at = build.mul(EACH, build.const(4))
    first = Store("r", build.const(0), Load("a", at, wide))
    twice = Apply("add", (Load("r", build.const(0), wide),) * 2, wide)
    second = Store("r", build.const(0), twice)
    store = Store("b", at, Load("r", build.const(0), wide))
    loops = [parallel("i", ROWS // 2, [first, second, store])]
    loops.append(parallel("i", ROWS, [first, store], ROWS // 2))
    a = values(4 * ROWS)
    wanted = np.concatenate([a[: 4 * (ROWS // 2)] * 2, a[4 * (ROWS // 2) :]])
    module = one_kernel(loops, scratch("r", 1, lanes=4), size=4 * ROWS, reads=4 * ROWS)
    check(module, [a], wanted)


@pytest.mark.parametrize("elems", [300, 9000], ids=["on the stack", "in the workspace"])
def test_scratch_of_several_loops_is_shared(elems: int) -> None:
    """One loop packs, the next reads what other threads packed."""
    last = build.sub(build.const(elems - 1), EACH)
    pack = parallel("i", elems, [Store("t", last, Load("a", EACH, FLOAT))])
    use = parallel("i", elems, [Store("b", EACH, Load("t", EACH, FLOAT))])
    module = one_kernel([pack, use], scratch("t", elems), size=elems, reads=elems)
    check(module, [values(elems)], values(elems)[::-1])


def test_scratch_filled_outside_is_shared() -> None:
    fill = serial("i", ROWS, [Store("t", EACH, Load("a", EACH, FLOAT))])
    use = parallel("i", ROWS, [Store("b", EACH, Load("t", EACH, FLOAT))])
    check(one_kernel([fill, use], scratch("t", ROWS)), [values()], values())


def test_register_buffers_do_not_cross() -> None:
    body = [
        Store("r", build.const(0), Load("a", build.const(0), VType(F32, 4))),
        parallel("i", 2, [Store("b", build.const(0), Load("r", build.const(0), VType(F32, 4)))]),
    ]
    with pytest.raises(InternalError, match="the register buffer r crosses a parallel loop"):
        backend.compile(one_kernel(body, scratch("r", 1, lanes=4)), OPTIONS)


def test_parallel_loops_inside_others() -> None:
    """The outermost is divided, whatever stands around it; those inside run where they are."""
    at = build.add(build.mul(EACH, build.const(5)), INNER)
    inner = parallel("j", 5, [Store("b", at, Load("a", at, FLOAT))])
    half = parallel("i", 10, [inner])
    rest = For("i", build.const(10), build.const(12), (inner,), kind=LoopKind.UNROLL)
    last = If(
        Apply("cmp_gt", (Load("a", build.const(0), FLOAT), Const(-9.0, FLOAT)), VType(BOOL)),
        (parallel("i", 13, [inner], 12),),
    )
    module = one_kernel([half, rest, last], size=65, reads=65)
    check(module, [values(65)], values(65))
    code = backend.text(module, "llvm", OPTIONS)
    assert code.count("call void @tilec_parallel") == 4  # half, twice rest, last


def test_several_kernels_and_temporaries() -> None:
    """The scratch memory of threads lies behind everything else in the workspace."""
    size = 3000
    copy = (
        serial("j", 5000, [Store("t", INNER, Load("in", EACH, FLOAT))]),
        Store(
            "out",
            EACH,
            Apply("add", (Load("t", build.const(4999), FLOAT), Const(1.0, FLOAT)), FLOAT),
        ),
    )
    params = (input_buffer("in", F32, size), output_buffer("out", F32, size))
    divided = Kernel("divided", (), params, (scratch("t", 5000),), (parallel("i", size, copy),))
    plain = Kernel("plain", (), params, (scratch("t", 5000),), (serial("i", size, copy),))
    held = tuple(Temporary(output_buffer(f"m{n}", F32, size), n * 4 * size) for n in range(2))
    calls = (
        Call("plain", ("x", "m0")),
        Call("divided", ("m0", "m1")),
        Call("divided", ("m1", "y")),
    )
    module = Module(
        "module", (input_buffer("x", F32, size),), (output_buffer("y", F32, size),),
        held, (), 8 * size, (divided, plain), calls,
    )  # fmt: skip
    x = np.arange(size, dtype=np.float32)
    check(module, [x], x + 3)


def test_callers_side_by_side() -> None:
    """Each has a workspace of its own, whoever has the pool."""
    elems = 5000
    fill = serial("j", elems, [Store("t", INNER, Load("a", EACH, FLOAT))])
    store = Store("b", EACH, Load("t", build.const(elems - 1), FLOAT))
    runner = loaded(one_kernel([parallel("i", ROWS, [fill, store])], scratch("t", elems)))
    wrong: list[int] = []

    def call(seed: int) -> None:
        a = np.full(ROWS, seed, np.float32) + np.arange(ROWS, dtype=np.float32)
        for threads in (2, 3, 1, 5) * 10:
            found = np.zeros_like(a)
            runner.run([a.ctypes.data], [found.ctypes.data], threads)
            if not np.array_equal(a, found):
                wrong.append(seed)

    callers = [threading.Thread(target=call, args=(100 * seed,)) for seed in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []


@pytest.mark.llvm_code
def test_code_is_the_same_and_holds_no_address() -> None:
    module = one_kernel([parallel("i", ROWS, [Store("b", EACH, Load("a", EACH, FLOAT))])])
    assert backend.compile(module, OPTIONS) == backend.compile(module, OPTIONS)
    text = backend.text(module, "llvm", OPTIONS)
    assert "declare void @tilec_parallel(ptr, ptr, i64, i32)" in text
    assert max(map(int, re.findall(r"\b\d+\b", text))) < 10_000


def test_serial_code_takes_a_number_of_threads() -> None:
    module = one_kernel([serial("i", ROWS, [Store("b", EACH, Load("a", EACH, FLOAT))])])
    assert "parallel" not in backend.text(module, "llvm", OPTIONS)
    check(module, [values()], values())
