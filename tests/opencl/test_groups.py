"""Groups of items in OpenCL C and CUDA C: what is printed, and that it runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tilec
from tests.kernel.grouped import ITEMS, TAKE, TURN, doubly_buffered, grouped, tree, turned_vectors
from tests.lower.interpret import run_module
from tests.opencl.cuda import compile_cuda, complaints, needs_cxx, needs_nvcc, registers
from tests.opencl.test_emit import DEVICES, run
from tilec.errors import GroupError, TargetError
from tilec.kernel.ir import Barrier, Module
from tilec.options import Options
from tilec.schedule.grouped import parse_grouped
from tilec.target import gpu
from tilec_opencl import runner
from tilec_opencl.device import Machine
from tilec_opencl.emit import emit_module
from tilec_opencl.program import Launch, Program, from_json, launches
from tilec_opencl.spelling import CUDA, OPENCL

GPU = Machine("a GPU", is_gpu=True, workers=8, aligned=16)
MODULES: dict[str, Callable[[], Module]] = {
    "exchange": lambda: grouped(TAKE, Barrier(), TURN),
    "tree": lambda: grouped(*tree()),
    "two buffers": lambda: grouped(*doubly_buffered(5)),
    "vectors": turned_vectors,
}


@pytest.mark.skipif(not DEVICES, reason="there is no OpenCL device")
@pytest.mark.parametrize("name", MODULES)
def test_devices_equal_the_interpreter(name: str) -> None:
    module = MODULES[name]()
    given = np.random.default_rng(1).random(module.inputs[0].high, np.float32)
    taken = np.zeros_like(given)
    run(module, GPU, given, taken)
    (wanted,) = run_module(module, {"A": given})
    np.testing.assert_array_equal(taken, wanted)


def test_the_shape_of_a_group_stands_in_the_code() -> None:
    program = emit_module(grouped(*tree()), OPENCL, GPU)
    assert f"__attribute__((reqd_work_group_size({ITEMS}, 1, 1))) void" in program.text
    assert "__local __attribute__((aligned(16))) float shared[16];" in program.text
    (step,) = program.runs[0].steps
    assert isinstance(step, Launch)
    assert (step.sizes, step.local) == ((3 * ITEMS, 1, 1), (ITEMS, 1, 1))


def test_vectors_are_moved_whole_where_they_are_aligned() -> None:
    text = emit_module(turned_vectors(), OPENCL, GPU).text
    assert "*(__global float4*)(B + (t * 4)) = *(__local const float4*)(shared + (t * 4));" in text
    loose = Machine("a GPU", is_gpu=True, workers=8)
    text = emit_module(turned_vectors(), OPENCL, loose).text
    assert "vload4(0, A + (t * 4))" in text
    assert "*(__local const float4*)" in text


@pytest.mark.skipif(not DEVICES, reason="there is no OpenCL device")
@pytest.mark.parametrize("most", [65535, 2])
def test_ranges_of_many_axes(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Items beyond the end of an axis do nothing; CUDA has 65535 groups along all but the first."""
    from tilec_opencl import functions

    monkeypatch.setattr(functions, "MOST_GROUPS", most)
    text = (
        "function (X[A, B, C, D], V[A], W[B], Y[C]) -> (Z, T) "
        "{ Z[a, b, c, d : A, B, C, D] = =(X[a, b, c, d] * V[a] + W[b] - Y[c]); "
        "T[a, b, d, c : A, B, D, C] = =(X[a, b, c, d]); }"
    )
    function, random = tilec.function(text), np.random.default_rng(1)
    given = [random.random(shape, np.float32) for shape in ((3, 5, 36, 18), (3,), (5,), (36,))]
    executable = function.compile(*given, options=replace(GPU_OPTIONS, group_items=64, debug=True))
    source = executable.source("opencl")
    assert ("get_global_id(2)" in source) is (most > 2)
    assert ("get_group_id(2)" in source) is (most > 2)
    found: Any = executable(*given)
    wanted: Any = function(*given, target="reference")
    for own, right in zip(found, wanted, strict=True):
        np.testing.assert_allclose(own, right, rtol=1e-5, atol=1e-6)


@needs_nvcc
def test_nvcc_compiles_cuda(tmp_path: Path) -> None:
    text = emit_module(turned_vectors(), CUDA, GPU).text
    assert "__launch_bounds__" in text
    compile_cuda(text, tmp_path, "vectors")


GPU_OPTIONS = Options(target="opencl", gpu="nvidia", group_items=16, conv="direct")
PROGRAMS = {
    "dense layer": (
        "function (A[M, K], B[K, N], V[N]) -> (R) "
        "{ C[i, j : M, N] = +(A[i, k] * B[k, j]); R = relu(C + V); }",
        {"A": (33, 40), "B": (40, 35), "V": (35,)},
    ),
    "convolution": (
        "function (X[N, H, W, C], K[3, 3, C, D]) -> (R) "
        "{ R[n, y, x, d : N, H, W, D] = +(X[n, 2*y + i - 1, 2*x + j - 1, c] * K[i, j, c, d]); }",
        {"X": (2, 5, 4, 12), "K": (3, 3, 12, 20)},
    ),
    "softmax": (
        "function (X[M, N]) -> (R) { L[i, 0 : M, 1] = >(X[i, j]); E = exp(X - L); "
        "S[i, 0 : M, 1] = +(E[i, j]); R = E / S; }",
        {"X": (5, 300)},
    ),
    "columns": ("function (X[M, N]) -> (S) { S[j : N] = +(X[i, j]); }", {"X": (4100, 64)}),
    "transpose": ("function (X[M, N]) -> (T) { T[j, i : N, M] = =(X[i, j]); }", {"X": (35, 61)}),
    "all of a matrix": ("function (X[M, N]) -> (S) { S[] = +(X[i, j]); }", {"X": (4100, 65)}),
}


@pytest.mark.skipif(not DEVICES, reason="there is no OpenCL device")
@pytest.mark.parametrize("name", PROGRAMS)
def test_schedules_for_gpus_run_on_any_device(name: str) -> None:
    text, shapes = PROGRAMS[name]
    random = np.random.default_rng(1)
    given = [random.random(shape, np.float32) for shape in shapes.values()]
    function = tilec.function(text)
    executable = function.compile(*given, options=GPU_OPTIONS)
    assert "reqd_work_group_size" in executable.source("opencl")
    wanted = function.compile(*given, target="reference")(*given)
    np.testing.assert_allclose(executable(*given), wanted, rtol=2e-5)


@pytest.mark.skipif(not DEVICES, reason="there is no OpenCL device")
def test_sums_of_halves_are_rounded_before_they_are_stored() -> None:
    function = tilec.function("C[i, j : M, N] = +(A[i, k] * B[k, j])")
    random = np.random.default_rng(1)
    given = [random.random(shape).astype(ml_dtypes.bfloat16) for shape in ((16, 3), (3, 16))]
    found = function.compile(*given, options=replace(GPU_OPTIONS, debug=True))(*given)
    np.testing.assert_array_equal(found, function(*given, target="reference"))


@needs_cxx
@pytest.mark.parametrize("name", PROGRAMS)
def test_cuda_has_the_syntax_of_its_language(name: str) -> None:
    text, shapes = PROGRAMS[name]
    specs = [tilec.Spec(shape, "f32") for shape in shapes.values()]
    source = tilec.function(text).compile(*specs, options=GPU_OPTIONS).source("cuda")
    assert not complaints(source)


@needs_cxx
def test_cuda_of_all_kinds_of_values_has_the_syntax_of_its_language() -> None:
    """Types that are written out, functions of helpers, and wrapping integers."""
    function = tilec.function(
        "function (H[N], I[N], X[N]) -> (A, B, C) { A = max(H, H * H); B = I / I; C = erf(X) + X; }"
    )
    specs = [tilec.Spec((70,), each) for each in ("bf16", "i64", "f32")]
    assert not complaints(function.compile(*specs, options=GPU_OPTIONS).source("cuda"))


@needs_cxx
def test_faulty_cuda_is_complained_of() -> None:
    text = emit_module(turned_vectors(), CUDA, GPU).text
    assert not complaints(text)
    assert "threadIndex" in complaints(text.replace("threadIdx", "threadIndex"))
    assert complaints(text.replace("float4", "float3"))
    assert complaints(text.replace(";", "", 1))


@needs_nvcc
def test_nvcc_compiles_programs(tmp_path: Path) -> None:
    texts: list[str] = []
    for name in ("convolution", "softmax"):
        text, shapes = PROGRAMS[name]
        specs = [tilec.Spec(shape, "f32") for shape in shapes.values()]
        texts.append(tilec.function(text).compile(*specs, options=GPU_OPTIONS).source("cuda"))
    for number, text in enumerate(texts):
        made = compile_cuda(text, tmp_path, f"program{number}")
        assert "bar.sync" in made
        assert ".local" not in made, "sums are not in registers"
        assert "ld.shared.v4" in made


@needs_nvcc
def test_sums_and_operands_stay_in_registers(tmp_path: Path) -> None:
    """Of a kernel as it is for a GPU, whose registers are nearly used up."""
    specs = [tilec.Spec((1024, 1024), "f32")] * 2
    schedule, options = "groups 64x32x16, items 8x4", replace(GPU_OPTIONS, group_items=None)
    function = tilec.function("C[i, j : M, N] = +(A[i, k] * B[k, j])")
    executable = function.compile(*specs, options=options, schedule=schedule)
    said = registers(executable.source("cuda"), tmp_path)
    assert "0 bytes spill stores, 0 bytes spill loads" in said
    (found,) = re.findall(r"Used (\d+) registers", said)
    assert abs(int(found) - parse_grouped(schedule).registers(4)) <= 16


def test_a_group_that_is_too_large_is_made_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    from tilec_opencl import build

    if not DEVICES:
        pytest.skip("there is no OpenCL device")
    asked: list[int] = []

    def refuse(device: object, program: object, parts: Program) -> None:
        for step in parts.runs[0].steps:
            assert isinstance(step, Launch)
            asked.append(int(np.prod(step.local)))
            if asked[-1] > 32:
                raise GroupError("too many", 32)

    monkeypatch.setattr(build, "check_groups", refuse)
    function = tilec.function("C[i, j : M, N] = +(A[i, k] * B[k, j])")
    given = [np.ones((301, 60), np.float32), np.ones((60, 302), np.float32)]
    options = replace(GPU_OPTIONS, group_items=64, debug=True)  # nothing comes from the disk cache
    found = function.compile(*given, options=options)(*given)
    assert asked[0] > 32 >= asked[-1]
    assert (found == 60).all()


def test_a_description_that_changes_makes_other_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk cache has no code of what the file said before."""
    if not DEVICES:
        pytest.skip("there is no OpenCL device")
    path = tmp_path / "mine.toml"
    text = (Path(gpu.__file__).parent / "gpus" / "nvidia.toml").read_text()
    options = Options(target="opencl", gpu=str(path))
    given = [np.ones((32, 16), np.float32), np.ones((16, 48), np.float32)]
    shapes: list[tuple[int, ...]] = []

    def loaded(facts: str, source: str) -> Program:
        found = from_json(facts, source)
        shapes.extend(each.local for each in launches(found.runs[0].steps))
        return found

    monkeypatch.setattr(runner, "from_json", loaded)
    for items in (1024, 16):
        path.write_text(text.replace("group_items = 1024", f"group_items = {items}"))
        function = tilec.function("C[i, j : M, N] = +(A[i, k] * B[k, j])")
        assert (function.compile(*given, options=options)(*given) == 16).all()
    first, second = shapes
    assert prod(first) > prod(second) == 16


def test_code_is_printed_without_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    from tilec_opencl import described

    def nothing(selector: str) -> object:
        raise TargetError("there is no OpenCL device")

    monkeypatch.setattr(described, "choose", nothing)
    function = tilec.function("C[i, j : M, N] = +(A[i, k] * B[k, j])")
    specs = [tilec.Spec((128, 128), "f32")] * 2
    executable = function.compile(*specs, options=replace(GPU_OPTIONS, gpu="amd"))
    assert "reqd_work_group_size" in executable.source("opencl")
    assert "__launch_bounds__" in executable.source("cuda")
    found = executable.explain(measure=False)
    (kernel,) = found.kernels
    assert re.fullmatch(r"\d+ of \d+ items, \d+ at once on a unit, .* an item", kernel.groups)
    assert kernel.groups in str(found)
    assert "calibrate" not in str(found)
    assert str(parse_grouped(kernel.schedule)) == kernel.schedule
    assert len(kernel.rejected) > 1
    assert all(each.ratio >= 1 for each in kernel.rejected)
    with pytest.raises(TargetError, match="without an OpenCL device"):
        executable(np.ones((128, 128), np.float32), np.ones((128, 128), np.float32))
