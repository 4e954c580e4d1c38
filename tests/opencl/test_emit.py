"""What OpenCL C and CUDA C look like, and how kernels are divided into launches."""

from __future__ import annotations

import numpy as np
import pytest

from tests.llvm.conftest import targets
from tests.llvm.harness import input_buffer, module_of, output_buffer
from tilec.dtypes import BOOL, F16, F32, F64, I8, I32, I64, U64, DType
from tilec.errors import InternalError
from tilec.kernel import build
from tilec.kernel.ir import (
    Apply,
    Buffer,
    Const,
    For,
    If,
    Let,
    Load,
    LoopKind,
    Module,
    Prefetch,
    Scope,
    Stmt,
    Store,
    Var,
    VType,
)
from tilec.kernel.verify import verify
from tilec_opencl.device import Machine
from tilec_opencl.emit import emit_module
from tilec_opencl.functions import identifier
from tilec_opencl.program import HostLoop, Launch, evaluate, from_json, to_json
from tilec_opencl.runner import OpenClRunner
from tilec_opencl.spelling import CUDA, OPENCL

CPU = Machine("two cores", is_gpu=False, workers=2)
GPU = Machine("a GPU", is_gpu=True, workers=8)
F = VType(F32)
ROUND = build.var("i")
J = build.var("j")
ZERO = build.const(0)
DEVICES = [name for name in targets() if name != "llvm"]


def loop(name: str, stop: int, body: tuple[Stmt, ...], kind: LoopKind = LoopKind.SERIAL) -> For:
    return For(name, build.const(0), build.const(stop), body, kind=kind)


def doubled(stop: int = 100) -> Module:
    """Twice each element, in two nested parallel loops inside a serial one."""
    at = build.add(build.mul(ROUND, build.const(10)), J)
    value = Apply("add", (Load("A", at, F), Load("A", at, F)), F)
    inner = loop("j", 10, (Store("B", at, value),), LoopKind.PARALLEL)
    body = loop("i", stop // 10, (inner,), LoopKind.PARALLEL)
    return module_of([body], [input_buffer("A", F32, stop)], [output_buffer("B", F32, stop)])


def run(module: Module, machine: Machine, *arrays: np.ndarray) -> None:
    """Print a module for a machine and run it on the first device, whatever that is."""
    from tilec_opencl.devices import choose

    verify(module)
    program = emit_module(module, OPENCL, machine)
    device = choose("")
    facts = {
        "inputs": [[b.name, b.low, b.high, b.type.dtype.bytes] for b in module.inputs],
        "outputs": [[b.name, b.low, b.high, b.type.dtype.bytes] for b in module.outputs],
        "temporaries": [],
        "constants": [],
        "launches": to_json(program),
        "device": device.number,
    }
    addresses = [array.ctypes.data for array in arrays]
    count = len(module.inputs)
    OpenClRunner(facts, program.text, b"").run(addresses[:count], addresses[count:])


@pytest.mark.skipif(not DEVICES, reason="there is no OpenCL device")
@pytest.mark.parametrize("machine", [CPU, GPU], ids=["workers", "items"])
def test_parallel_loops_run_as_workers_and_as_items(machine: Machine) -> None:
    given, taken = np.arange(100, dtype=np.float32), np.zeros(100, np.float32)
    run(doubled(), machine, given, taken)
    assert (taken == 2 * given).all()


def named(count: int) -> Module:
    """A value is read back under a name, before and behind a parallel loop."""
    first, last = Var("first", F), Var("last", F)
    body = (
        Store("B", ZERO, Load("A", ZERO, F)),
        Let(first, Load("B", ZERO, F)),
        Store("B", ZERO, Apply("add", (first, first), F)),
        loop("j", count, (Store("B", build.add(J, build.const(1)), first),), LoopKind.PARALLEL),
        Let(last, Load("B", ZERO, F)),
        Store("B", build.const(count + 1), last),
    )
    return module_of(body, [input_buffer("A", F32, 1)], [output_buffer("B", F32, count + 2)])


@pytest.mark.skipif(not DEVICES, reason="there is no OpenCL device")
def test_a_value_is_named_where_it_stands() -> None:
    taken = np.zeros(6, np.float32)
    run(named(4), CPU, np.full(1, 3, np.float32), taken)
    np.testing.assert_array_equal(taken[[0, 5]], 6)


def test_values_in_registers_do_not_go_from_launch_to_launch() -> None:
    own = Buffer("own", F, 1, scope=Scope.REGISTER, writable=True)
    value = Var("value", F)
    body = (
        Store("own", ZERO, Load("A", ZERO, F)),
        Let(value, Load("own", ZERO, F)),
        loop("j", 4, (Store("B", J, value),), LoopKind.PARALLEL),
    )
    inputs, outputs = [input_buffer("A", F32, 1)], [output_buffer("B", F32, 4)]
    with pytest.raises(InternalError, match="value is in other registers"):
        emit_module(module_of(body, inputs, outputs, [own]), OPENCL, CPU)


def test_items_have_one_iteration_each() -> None:
    program = emit_module(doubled(), OPENCL, GPU)
    (step,) = program.runs[0].steps
    assert isinstance(step, Launch)
    assert len(step.sizes) == 2
    assert np.prod(step.sizes) >= 100
    assert "get_global_id(1)" in program.text
    assert "for (" not in program.text


def test_workers_take_parts() -> None:
    program = emit_module(doubled(), OPENCL, CPU)
    (step,) = program.runs[0].steps
    assert isinstance(step, Launch)
    assert (step.sizes, step.local) == ((2,), (1,))


def test_offsets_have_the_width_of_registers() -> None:
    """Those of a GPU are of 32 bits; a processor would extend each sum to 64."""
    steps = [emit_module(doubled(), OPENCL, machine).runs[0].steps[0] for machine in (CPU, GPU)]
    assert [step.index for step in steps if isinstance(step, Launch)] == ["long", "int"]


def stepped() -> Module:
    """A serial loop around a parallel one, each round of which reads what the last one wrote."""
    at = build.add(build.mul(ROUND, build.const(8)), J)
    before = build.sub(at, build.const(8))
    value = Apply("add", (Load("B", before, F), Load("A", J, F)), F)
    first = loop("j", 8, (Store("B", J, Load("A", J, F)),))
    inner = loop("j", 8, (Store("B", at, value),), LoopKind.PARALLEL)
    rounds = For("i", build.const(1), build.const(5), (inner,))
    return module_of([first, rounds], [input_buffer("A", F32, 8)], [output_buffer("B", F32, 40)])


@pytest.mark.skipif(not DEVICES, reason="there is no OpenCL device")
@pytest.mark.parametrize("machine", [CPU, GPU], ids=["workers", "items"])
def test_loops_around_parallel_loops_stay_with_the_host(machine: Machine) -> None:
    program = emit_module(stepped(), OPENCL, machine)
    serial, rounds = program.runs[0].steps
    assert isinstance(serial, Launch)
    assert isinstance(rounds, HostLoop)
    given, taken = np.arange(8, dtype=np.float32), np.zeros(40, np.float32)
    run(stepped(), machine, given, taken)
    assert (taken.reshape(5, 8) == np.outer(np.arange(1, 6), given)).all()


def test_launches_survive_being_written() -> None:
    program = emit_module(stepped(), OPENCL, CPU)
    assert from_json(to_json(program), program.text) == program


@pytest.mark.skipif(not DEVICES, reason="there is no OpenCL device")
def test_large_scratch_memory_is_one_piece_for_each_worker() -> None:
    """Each iteration fills its own copy and reads it backwards."""
    size = 8192
    scratch = Buffer("own", F, size, scope=Scope.CACHE, writable=True)
    mirrored = build.sub(build.const(size - 1), J)
    fill = loop(
        "j", size, (Store("own", J, Apply("add", (Load("A", J, F), Load("A", ROUND, F)), F)),)
    )
    at = build.add(build.mul(ROUND, build.const(size)), J)
    read = loop("j", size, (Store("B", at, Load("own", mirrored, F)),))
    body = loop("i", 6, (fill, read), LoopKind.PARALLEL)
    outputs = [output_buffer("B", F32, 6 * size)]
    module = module_of([body], [input_buffer("A", F32, size)], outputs, [scratch])
    (each,) = emit_module(module, OPENCL, CPU).scratch
    assert each.bytes == 2 * 4 * size
    given, taken = np.arange(size, dtype=np.float32), np.zeros(6 * size, np.float32)
    run(module, CPU, given, taken)
    assert (taken.reshape(6, size) == given[::-1] + given[:6, None]).all()


def test_a_guard_around_a_parallel_loop_is_tested_on_the_device() -> None:
    inner = loop("j", 8, (Store("B", J, Load("A", J, F)),), LoopKind.PARALLEL)
    test = build.compare("cmp_lt", ROUND, build.const(2))
    body = loop("i", 4, (If(test, (inner,)),))
    module = module_of([body], [input_buffer("A", F32, 8)], [output_buffer("B", F32, 8)])
    text = emit_module(module, OPENCL, CPU).text
    assert "if (i < 2)" in text


def streamed() -> Module:
    """A copy by lines, each written past the caches, that asks for what comes later."""
    kind = VType(F32, 16)
    line = Store("B", ROUND, Load("A", ROUND, kind), nontemporal=True)
    ahead = build.add(ROUND, build.const(512))
    asked = Prefetch("A", ahead), Prefetch("B", ahead, to_write=True)
    body = For("i", build.const(0), build.const(64), (*asked, line), step=16)
    return module_of([body], [input_buffer("A", F32, 64)], [output_buffer("B", F32, 64)])


def test_processors_get_hints_and_whole_stores() -> None:
    text = emit_module(streamed(), OPENCL, CPU).text
    assert "tilec_store_global_f32_x16_past_caches(B + i, vload16(0, A + i));" in text
    assert "TILEC_ASK(A + (i + 512), 0)" in text
    assert "TILEC_ASK(B + (i + 512), 1)" in text
    text = emit_module(streamed(), OPENCL, GPU).text
    assert "vstore16(vload16(0, A + i), 0, B + i);" in text
    assert "TILEC" not in text


@pytest.mark.skipif(not DEVICES, reason="there is no OpenCL device")
@pytest.mark.parametrize("shift", [0, 1])
def test_what_is_written_past_the_caches_need_not_begin_at_a_line(shift: int) -> None:
    given, memory = np.arange(64, dtype=np.float32), np.zeros(96, np.float32)
    first = -memory.ctypes.data % 64 // 4 + shift
    run(streamed(), CPU, given, memory[first : first + 64])
    assert (memory[first : first + 64] == given).all()
    assert memory.sum() == given.sum()


def test_cuda_is_the_same_with_other_words() -> None:
    text = emit_module(doubled(), CUDA, GPU).text
    assert 'extern "C" __global__ void kernel' in text.replace("v_kernel", "kernel")
    assert "blockIdx.x * blockDim.x + threadIdx.x" in text
    assert "get_" not in text
    wide = Apply(
        "add", (Load("A", ROUND, VType(F32, 4)), Load("A", ROUND, VType(F32, 4))), VType(F32, 4)
    )
    body = For("i", build.const(0), build.const(16), (Store("B", ROUND, wide),), step=4)
    module = module_of([body], [input_buffer("A", F32, 16)], [output_buffer("B", F32, 16)])
    with pytest.raises(InternalError, match="no arithmetic on vectors"):
        emit_module(module, CUDA, GPU)


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        (1.5, F32, "1.5f"), (0.1, F32, "0.1f"), (-2.0, F64, "(-2.0)"),
        (float("inf"), F32, "INFINITY"),
        (float("-inf"), F64, "(double)(-INFINITY)"), (float("nan"), F32, "NAN"),
        (1e-40, F32, "1e-40f"), (7, I32, "7"), (-7, I64, "(-7L)"),
        (-(1 << 63), I64, "(-9223372036854775807L - 1)"),
        (255, I8, "(char)(-1)"), ((1 << 64) - 1, U64, "18446744073709551615UL"),
        (True, BOOL, "true"),
        (1.0, F16, "(ushort)0x3c00"),
    ],
)  # fmt: skip
def test_literals(value: float, dtype: DType, text: str) -> None:
    assert OPENCL.literal(value, dtype) == text


def test_names_are_words_of_neither_language() -> None:
    for name in ("int", "float4", "half", ".task", "x'", "vload4", "get_global_id", "9", "min"):
        assert identifier(name).isidentifier()
        assert identifier(name) != name
    assert identifier("C") == "C"


def test_names_that_become_one_word_stay_apart() -> None:
    body = loop("i", 4, (Store("x.y", ROUND, Load("x_y", ROUND, F)),))
    module = module_of([body], [input_buffer("x_y", F32, 4)], [output_buffer("x.y", F32, 4)])
    text = emit_module(module, OPENCL, CPU).text
    assert "x_y_2[i] = x_y[i]" in text


@pytest.mark.parametrize(
    ("bound", "value"),
    [(3, 3), ("i", 5), (["add", "i", 2], 7), (["floor_div", ["mul", "i", 3], 2], 7),
     (["min", "i", ["sub", "i", 1]], 4), (["max", "i", 9], 9), (["floor_mod", -1, "i"], 4)],
)  # fmt: skip
def test_bounds_of_the_host(bound: object, value: int) -> None:
    assert evaluate(bound, {"i": 5}) == value


def test_small_constants_and_conditions_fold() -> None:
    test = build.compare("cmp_lt", build.const(1), build.const(2))
    body = (If(test, (Store("B", build.const(0), Const(1.0, F)),)),)
    module = module_of(body, [], [output_buffer("B", F32, 1)])
    assert "if" not in emit_module(module, OPENCL, CPU).text
