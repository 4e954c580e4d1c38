"""Statements, scratch memory, modules; and what must hold of all code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

from tests.llvm.harness import (
    OPTIONS,
    input_buffer,
    module_of,
    numpy_dtype,
    output_buffer,
    run,
)
from tilec.dtypes import ALL, BOOL, F32, I32, DType
from tilec.errors import InternalError, TargetError
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
    VType,
)
from tilec.kernel.verify import verify
from tilec.lower.square import turned
from tilec.operations import OPERATIONS, Rule
from tilec.options import Options
from tilec.runtime.backend import Backend
from tilec_llvm import backend
from tilec_llvm.emit import INLINE_CONSTANT_BYTES, STACK_BYTES

pytestmark = pytest.mark.every_target

F = VType(F32)
INT = VType(I32)
ZERO = build.const(0)
i, j, k = (build.var(name) for name in "ijk")


def loop(name: str, start: Expr | int, stop: Expr | int, *body: Stmt, step: int = 1) -> For:
    first = build.const(start) if isinstance(start, int) else start
    last = build.const(stop) if isinstance(stop, int) else stop
    return For(name, first, last, body, step)


def as_i32(value: Expr) -> Expr:
    return Apply("cast", (value,), INT)


def computed(size: int, *body: Stmt, locals_: tuple[Buffer, ...] = ()) -> list[int]:
    """Run statements that write i32 values to ``out``."""
    result = np.full(size, -1, np.int32)
    run(module_of(body, [], [output_buffer("out", I32, size)], locals_), [], [result])
    return result.tolist()


def test_loops() -> None:
    body = loop("i", 2, 11, Store("out", i, as_i32(i)), step=4)
    assert computed(12, body) == [-1, -1, 2, -1, -1, -1, 6, -1, -1, -1, 10, -1]


def test_loops_that_do_not_run() -> None:
    put = Store("out", ZERO, Const(5, INT))
    assert computed(1, loop("i", 3, 3, put)) == [-1]
    assert computed(1, loop("i", 3, 1, put)) == [-1]
    body = loop("i", 0, 3, loop("j", i, 1, Store("out", j, as_i32(i))))
    assert computed(1, body) == [0]


def test_triangular_loops_with_computed_bounds() -> None:
    n = 7
    index = build.add(build.mul(i, build.const(n)), j)
    stop = build.minimum(build.add(i, build.const(1)), build.const(5))
    got = computed(n * n, loop("i", 0, n, loop("j", 0, stop, Store("out", index, as_i32(j)))))
    wanted = [b if b < min(a + 1, 5) else -1 for a in range(n) for b in range(n)]
    assert got == wanted


def test_guards() -> None:
    test = build.compare("cmp_lt", i, build.const(3))
    body = If(test, (Store("out", i, Const(1, INT)),), (Store("out", i, Const(2, INT)),))
    assert computed(5, loop("i", 0, 5, body)) == [1, 1, 1, 2, 2]
    single = If(test, (Store("out", i, Const(1, INT)),))
    assert computed(5, loop("i", 0, 5, single)) == [1, 1, 1, -1, -1]
    never = If(Const(False, VType(BOOL)), (Store("out", ZERO, Const(1, INT)),))
    assert computed(1, never) == [-1]


def test_values_of_one_branch_are_not_used_in_the_other() -> None:
    """Equal instructions are written once where they dominate, again where they do not."""
    product = as_i32(build.mul(i, build.const(7)))
    test = build.compare("cmp_lt", i, build.const(2))
    body = (
        If(test, (Store("out", i, product),), (Store("out", i, Apply("neg", (product,), INT)),)),
        If(test, (), (loop("j", 0, 1, Store("out", i, product)),)),
    )
    assert computed(4, loop("i", 0, 4, *body)) == [0, 7, 14, 21]


def test_named_values() -> None:
    n = Var("n", INDEX)
    inner = loop("j", 0, 2, Store("out", build.add(build.mul(n, build.const(1)), j), as_i32(n)))
    body = loop("i", 0, 3, Let(n, build.mul(i, build.const(2))), inner)
    assert computed(6, body) == [0, 0, 2, 2, 4, 4]


@pytest.mark.parametrize("kind", [LoopKind.PARALLEL, LoopKind.VECTOR, LoopKind.UNROLL])
def test_every_kind_of_loop_means_its_iterations(kind: LoopKind) -> None:
    body = replace(loop("i", 1, 5, Store("out", i, as_i32(i))), kind=kind)
    assert computed(6, body) == [-1, 1, 2, 3, 4, -1]


def test_an_unrolled_loop_too_long_to_write_out() -> None:
    body = replace(loop("i", 0, 100_000, Store("out", i, Const(1, INT))), kind=LoopKind.UNROLL)
    module = module_of([body], [], [output_buffer("out", I32, 100_000)])
    with pytest.raises(InternalError, match="100000 iterations is to be unrolled"):
        backend.compile(module, OPTIONS)


@pytest.mark.parametrize("unroll", [LoopKind.UNROLL, LoopKind.SERIAL])
def test_register_buffers(unroll: LoopKind) -> None:
    """Constant offsets become SSA values; others are memory. Both hold what was stored."""
    kind = VType(F32, 8)
    acc = Buffer("acc", kind, 3, scope=Scope.REGISTER, writable=True)
    flags = Buffer("flags", VType(BOOL, 8), 1, scope=Scope.REGISTER, writable=True)
    held = Load("acc", i, kind)
    rows = Load("a", build.add(build.mul(j, build.const(24)), build.mul(i, build.const(8))), kind)
    body = [
        replace(loop("i", 0, 3, Store("acc", i, Const(0.0, kind))), kind=unroll),
        Store("flags", ZERO, Const(False, flags.type)),
        loop(
            "j",
            0,
            5,
            replace(
                loop("i", 0, 3, Store("acc", i, Apply("add", (held, rows), kind))), kind=unroll
            ),
            Store("flags", ZERO, Apply("cmp_gt", (rows_at(0), Const(0.0, kind)), flags.type)),
        ),
        replace(loop("i", 0, 3, Store("out", build.mul(i, build.const(8)), held)), kind=unroll),
        Store("positive", ZERO, Load("flags", ZERO, flags.type)),
    ]
    source = np.random.default_rng(0).standard_normal((5, 3, 8)).astype(np.float32)
    total, positive = np.zeros((3, 8), np.float32), np.zeros(8, np.bool_)
    outputs = [output_buffer("out", F32, 24), output_buffer("positive", BOOL, 8)]
    module = module_of(body, [input_buffer("a", F32, 120)], outputs, (acc, flags))
    run(module, [source], [total, positive])
    wanted = np.zeros((3, 8), np.float32)
    for row in source:
        wanted += row
    assert np.array_equal(total, wanted)
    assert np.array_equal(positive, source[4, 0] > 0)


def rows_at(part: int) -> Expr:
    index = build.add(build.mul(j, build.const(24)), build.const(part))
    return Load("a", index, VType(F32, 8))


@pytest.mark.parametrize("size", [16, STACK_BYTES, STACK_BYTES + 4, 1 << 20])
def test_scratch_buffers_on_the_stack_and_in_the_workspace(size: int) -> None:
    elements = size // 4
    panel = Buffer("panel", INT, elements, scope=Scope.CACHE, writable=True)
    other = replace(panel, name="other")
    body = [
        loop("i", 0, elements, Store("panel", i, as_i32(i)), Store("other", i, Const(7, INT))),
        loop(
            "i",
            0,
            elements,
            Store("out", i, Apply("add", (Load("panel", i, INT), Load("other", i, INT)), INT)),
        ),
    ]
    got = computed(elements, *body, locals_=(panel, other))
    assert got == [n + 7 for n in range(elements)]


def chain(size: int) -> Module:
    """Three kernels over a temporary, a small and a large constant."""

    def add(name: str) -> Kernel:
        left, right = input_buffer("l", F32, size), input_buffer("r", F32, size)
        value = Apply("add", (Load("l", i, F), Load("r", i, F)), F)
        body = (loop("i", 0, size, Store("o", i, value)),)
        return Kernel(
            name, (f"{name}: o = l + r",), (left, right, output_buffer("o", F32, size)), (), body
        )

    one = np.arange(size, dtype="<f4").tobytes()
    return Module(
        name="chain",
        inputs=(input_buffer("x", F32, size),),
        outputs=(output_buffer("y", F32, size), output_buffer("z", F32, size)),
        temporaries=(Temporary(Buffer("t", F, size, writable=True), 64),),
        constants=(ConstantData(input_buffer("c'", F32, size), one),),
        workspace_bytes=64 + 4 * size,
        kernels=(add("first"), add("second \u03b2")),
        calls=(
            Call("first", ("x", "c'", "t")),
            Call("second \u03b2", ("t", "t", "y")),
            Call("first", ("y", "c'", "z")),
        ),
    )


@pytest.mark.parametrize("size", [3, INLINE_CONSTANT_BYTES // 4, INLINE_CONSTANT_BYTES])
def test_modules_of_several_kernels(size: int) -> None:
    x = np.random.default_rng(0).standard_normal(size).astype(np.float32)
    y, z = np.zeros_like(x), np.zeros_like(x)
    run(chain(size), [x], [y, z])
    c = np.arange(size, dtype=np.float32)
    assert np.array_equal(y, (x + c) + (x + c))
    assert np.array_equal(z, y + c)


@pytest.mark.llvm_code
def test_concurrent_calls_have_their_own_workspace() -> None:
    size = 4096
    module = chain(size)
    verify(module)
    runner = backend.load(backend.compile(module, OPTIONS), module.name, module.workspace_bytes)
    wrong: list[int] = []

    def work(seed: int) -> None:
        x = np.full(size, seed, np.float32)
        y, z = np.zeros_like(x), np.zeros_like(x)
        for _ in range(50):
            runner.run([x.ctypes.data], [y.ctypes.data, z.ctypes.data])
            if y[5] != 2 * (seed + 5) or z[-1] != y[-1] + size - 1:
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.llvm_code
def test_the_same_module_gives_the_same_bytes() -> None:
    module = chain(5000)
    assert backend.compile(module, OPTIONS) == backend.compile(module, OPTIONS)
    for stage in backend.stages:
        assert backend.text(module, stage, OPTIONS) == backend.text(module, stage, OPTIONS)


@pytest.mark.llvm_code
def test_other_processes_give_the_same_bytes() -> None:
    """The order of hashes differs from process to process."""
    wanted = sha256(backend.compile(gemm_tile(3, 2, 8), OPTIONS)).hexdigest()
    program = (
        "from hashlib import sha256\n"
        "from tests.llvm.test_emit import OPTIONS, backend, gemm_tile\n"
        "print(sha256(backend.compile(gemm_tile(3, 2, 8), OPTIONS)).hexdigest())"
    )
    seed = "0" if os.environ.get("PYTHONHASHSEED") != "0" else "1"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == wanted


@pytest.mark.llvm_code
def test_headers_are_printed_as_comments() -> None:
    module = chain(10)
    assert "; first: o = l + r\n" in backend.text(module, "llvm", OPTIONS)
    assert "# first: o = l + r\n" in backend.text(module, "asm", OPTIONS)


def every_operation(dtype: DType, lanes: int) -> Module:
    """One kernel with every operation that exists for a dtype."""
    kind = VType(dtype, lanes)
    inputs = [input_buffer(name, dtype, lanes) for name in "abc"]
    loads = [Load(name, ZERO, kind) for name in "abc"]
    outputs: list[Buffer] = []
    body: list[Stmt] = []
    for row in OPERATIONS.values():
        values = loads[: row.arity]
        if row.rule is Rule.CAST or (row.rule is Rule.BITWISE and dtype.is_float):
            continue
        if row.rule is Rule.MATH and not dtype.is_float:
            continue
        if row.rule is Rule.SELECT:
            values = [Apply("cmp_ne", (loads[0], loads[1]), VType(BOOL, lanes)), *loads[1:]]
        result = BOOL if row.rule in (Rule.COMPARISON, Rule.LOGICAL) else dtype
        outputs.append(output_buffer(f"out.{row.name}", result, lanes))
        value = Apply(row.name, tuple(values), VType(result, lanes))
        body.append(Store(outputs[-1].name, ZERO, value))
    return module_of(body, inputs, outputs)


def called(assembly: str) -> set[str]:
    """Symbols that code calls or jumps to, except its own helpers."""
    found = re.findall(r"^\s+(?:callq?|jmp|bl?)\s+([^\s.*%][^\s@]*)", assembly, re.M)
    return {name for name in found if not name.strip('"').startswith("tilec.")}


@pytest.mark.llvm_code
@pytest.mark.parametrize("lanes", [1, 16])
@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_no_operation_needs_a_library(dtype: DType, lanes: int) -> None:
    module = every_operation(dtype, lanes)
    verify(module)
    assert called(backend.text(module, "asm", OPTIONS)) <= {"kernel"}


@pytest.mark.llvm_code
@pytest.mark.parametrize("cpu", ["haswell", "znver4", "neoverse-n1", "apple-m1"])
def test_other_processors_need_no_library_either(cpu: str) -> None:
    for dtype in (F32, INT.dtype):
        assembly = backend.text(every_operation(dtype, 16), "asm", Options(cpu=cpu))
        assert called(assembly) <= {"kernel"}


@pytest.mark.llvm_code
def test_old_processors_call_the_c_library_where_they_must() -> None:
    """Before Haswell and Piledriver there is no fused multiplication; results are the same."""
    module = every_operation(F32, 4)
    options = Options(cpu="x86-64")
    assembly = backend.text(module, "asm", options)
    assert called(assembly) <= {"kernel", "ceilf", "floorf", "fma", "fmaf", "roundevenf", "truncf"}
    runner = backend.load(backend.compile(module, options), module.name, 0)
    arrays = [np.full(4, value, np.float32) for value in (2.5, 0.75, 3.0)]
    results = [np.zeros(4, numpy_dtype(b.type.dtype)) for b in module.outputs]
    runner.run([a.ctypes.data for a in arrays], [r.ctypes.data for r in results])
    by_name = {b.name: r[0] for b, r in zip(module.outputs, results, strict=True)}
    assert by_name["out.round"] == 2
    assert by_name["out.mod"] == 0.25
    assert abs(by_name["out.exp"] - np.exp(2.5)) < 1e-5


@pytest.mark.llvm_code
def test_vectors_of_512_bits_are_used_where_there_are_any() -> None:
    module = module_of(
        [Store("out", ZERO, Apply("add", (Load("a", ZERO, VType(F32, 16)),) * 2, VType(F32, 16)))],
        [input_buffer("a", F32, 16)],
        [output_buffer("out", F32, 16)],
    )
    assert "zmm" in backend.text(module, "asm", Options(cpu="skylake-avx512"))
    assert "ymm" in backend.text(module, "asm", Options(cpu="haswell"))
    assert re.search(r"\bv\d+\.4s\b|\bq\d+\b", backend.text(module, "asm", Options(cpu="apple-m1")))


@pytest.mark.llvm_code
def test_an_unknown_processor() -> None:
    with pytest.raises(TargetError, match="knows no CPU 'pentium9000'") as caught:
        backend.compile(chain(3), Options(cpu="pentium9000"))
    assert "znver4" in str(caught.value)


@pytest.mark.llvm_code
def test_an_unknown_stage() -> None:
    with pytest.raises(TargetError, match="no stage 'opencl'"):
        backend.text(chain(3), "opencl", OPTIONS)


@pytest.mark.llvm_code
def test_code_that_is_not_ours() -> None:
    with pytest.raises(InternalError, match="cut off"):
        backend.load(b"xy", "m", 0)
    with pytest.raises(InternalError, match="not of this backend"):
        backend.load(bytes(100), "m", 0)


@pytest.mark.llvm_code
def test_the_backend_has_the_interface() -> None:
    assert isinstance(backend, Backend)
    line = backend.fingerprint(OPTIONS)
    assert line.startswith("llvmlite ")
    assert "\n" not in line
    assert backend.fingerprint(Options(cpu="znver4")) != line


def gemm_tile(rows: int, columns: int, depth: int) -> Module:
    """A register tile over packed panels, as the optimiser will write it."""
    kind = VType(F32, 16)
    width = 16 * columns
    acc = Buffer("acc", kind, rows * columns, scope=Scope.REGISTER, writable=True)

    def unrolled(name: str, count: int, *body: Stmt) -> For:
        return replace(loop(name, 0, count, *body), kind=LoopKind.UNROLL)

    at = build.add(build.mul(i, build.const(columns)), j)
    a = Splat(Load("a", build.add(build.mul(k, build.const(rows)), i), F), kind)
    lane = build.mul(j, build.const(16))
    b = Load("b", build.add(build.mul(k, build.const(width)), lane), kind)
    fused = Store("acc", at, Apply("fma", (a, b, Load("acc", at, kind)), kind))
    where = build.add(build.mul(i, build.const(width)), lane)
    body = [
        unrolled("i", rows, unrolled("j", columns, Store("acc", at, Const(0.0, kind)))),
        loop("k", 0, depth, unrolled("i", rows, unrolled("j", columns, fused))),
        unrolled("i", rows, unrolled("j", columns, Store("c", where, Load("acc", at, kind)))),
    ]
    inputs = [input_buffer("a", F32, rows * depth), input_buffer("b", F32, width * depth)]
    return module_of(body, inputs, [output_buffer("c", F32, rows * width)], (acc,))


@pytest.mark.llvm_code
def test_a_register_tile_stays_in_registers() -> None:
    """14 x 32: 28 accumulators, 28 FMAs in the loop, no stack, no branch but the loop's own."""
    module = gemm_tile(14, 2, 64)
    rng = np.random.default_rng(0)
    a = rng.standard_normal((64, 14)).astype(np.float32)
    b = rng.standard_normal((64, 32)).astype(np.float32)
    c = np.zeros((14, 32), np.float32)
    run(module, [a, b], [c])
    assert np.allclose(c, a.T @ b, rtol=1e-4, atol=1e-4)
    assembly = backend.text(module, "asm", Options(cpu="skylake-avx512"))
    assert "rsp" not in assembly
    start = assembly.rindex(".LBB0_", 0, assembly.index("vfmadd"))
    body = assembly[start : assembly.index("\tj", start)]
    assert len(re.findall(r"\tvfmadd", body)) == 28
    assert len(re.findall(r"\tvbroadcastss|\tvmovups", body)) <= 16


@pytest.mark.llvm_code
def test_what_a_loop_does_not_change_is_computed_before_it() -> None:
    value = Apply("sqrt", (Load("a", i, F),), F)
    row = loop("j", 0, 100, Store("out", build.add(build.mul(i, build.const(100)), j), value))
    module = module_of(
        [loop("i", 0, 10, row)], [input_buffer("a", F32, 10)], [output_buffer("out", F32, 1000)]
    )
    text = backend.text(module, "llvm", OPTIONS)
    assert text.index("load float") < text.index("llvm.sqrt") < text.index("%j.")
    assert text.index("mul i64") < text.index("%j.")


def test_a_read_does_not_leave_a_loop_that_may_not_run() -> None:
    """The address is outside the buffer then."""
    inner = loop("j", 0, build.sub(i, build.const(8)), Store("out", i, Load("a", i, F)))
    source, result = np.arange(10, dtype=np.float32), np.zeros(10, np.float32)
    guarded = If(build.compare("cmp_lt", i, build.const(10)), (inner,))
    module = module_of(
        [loop("i", 0, 12, guarded)], [input_buffer("a", F32, 10)], [output_buffer("out", F32, 10)]
    )
    run(module, [source], [result])
    assert result.tolist() == [0] * 9 + [9]


def test_a_read_after_a_write_sees_it() -> None:
    cell = Load("out", ZERO, INT)
    step = Store("out", ZERO, Apply("add", (cell, Const(1, INT)), INT))
    copy = Store("out", build.const(1), cell)
    assert computed(2, Store("out", ZERO, Const(0, INT)), loop("i", 0, 5, step), copy) == [5, 5]
    twice = (Store("out", ZERO, Const(3, INT)), copy, step, copy)
    assert computed(2, *twice) == [4, 4]
    maybe = If(build.compare("cmp_lt", i, build.const(1)), (step,))
    assert computed(2, Store("out", ZERO, Const(0, INT)), loop("i", 0, 3, copy, maybe, copy)) == [
        1,
        1,
    ]


def test_folding_a_ramp() -> None:
    total = Fold("add", Ramp(Const(3, INT), 2, VType(I32, 8)), INT)
    assert computed(1, Store("out", ZERO, total)) == [sum(range(3, 19, 2))]


@pytest.mark.parametrize("lanes", [2, 4, 16])
def test_squares_of_vectors_are_turned_about(lanes: int) -> None:
    kind = VType(I32, lanes)
    square = turned([Ramp(Const(100 * row, INT), 1, kind) for row in range(lanes)])
    stores = [Store("out", build.const(at * lanes), row) for at, row in enumerate(square.rows)]
    expected = [100 * row + lane for lane in range(lanes) for row in range(lanes)]
    assert computed(lanes * lanes, *square.stmts, *stores) == expected


def test_values_that_occur_twice_are_written_once() -> None:
    inner = Apply("mul", (Load("a", ZERO, F), Load("b", ZERO, F)), F)
    store = Store("out", ZERO, Apply("add", (inner, inner), F))
    inputs = [input_buffer("a", F32, 1), input_buffer("b", F32, 1)]
    text = backend.text(module_of([store], inputs, [output_buffer("out", F32, 1)]), "llvm", OPTIONS)
    assert text.count("load float, ptr %a") == 1
