from __future__ import annotations

import json

import pytest

import tilec
from tilec import Options, ScheduleError, Spec
from tilec.schedule.explain import limits_of
from tilec.target.calibration import Calibration, Limit, Rate
from tilec.target.core import Core

MATMUL = "function (A[M, K], B[K, N]) -> (C) { C[i, j : M, N] = +(A[i, k] * B[k, j]); }"
SPECS = Spec((128, 128)), Spec((128, 128))
CPU = Options(cpu="cascadelake")


def test_explanation_of_a_product() -> None:
    executable = tilec.function(MATMUL).compile(*SPECS)
    found = executable.explain()
    (kernel,) = found.kernels
    assert kernel.schedule == str(executable.schedule[kernel.kernel])
    assert kernel.flops == 2 * 128**3
    assert kernel.compulsory_bytes == 3 * 128**2 * 4 <= kernel.actual_bytes
    assert kernel.predicted_seconds is not None
    assert kernel.measured_seconds is not None
    assert kernel.fraction == kernel.light_seconds / kernel.measured_seconds
    assert all(each.ratio >= 1 for each in kernel.rejected)
    assert kernel.schedule not in [each.schedule for each in kernel.rejected]
    assert "of the speed of light" in str(found)
    json.dumps(found.as_json())


def test_kernels_are_timed_within_the_program() -> None:
    text = """function (A[M, K], B[K, N]) -> (D) {
        C[i, j : M, N] = +(A[i, k] * B[k, j]);
        S[j : N] = +(C[i, j]);
        D[i, j : M, N] = +(C[i, k] * S[j]);
    }"""
    found = tilec.function(text).compile(*SPECS).explain()
    assert len(found.kernels) == 3
    assert all(each.measured_seconds for each in found.kernels)
    together = sum(each.measured_seconds or 0 for each in found.kernels)
    assert together < 1  # seconds, not ticks
    assert "all 3 kernels: at least" in str(found).splitlines()[-1]
    assert "of the speed of light" in str(found).splitlines()[-1]


def test_what_if() -> None:
    executable = tilec.function(MATMUL).compile(*SPECS, options=CPU)
    (kernel,) = executable.explain(what_if="i=6,j=64").kernels
    assert kernel.schedule.startswith("tile i=6 j=4x16")
    assert kernel.measured_seconds is None  # code for a named processor does not run
    for text, message in [
        ("i=6,q=2", "no kernel has a tile over i, q"),
        ("i6", "'i6' cannot be read"),
        ("j=3", "j=3 is no multiple of 16"),
        ("i=40", "registers"),
    ]:
        with pytest.raises(ScheduleError) as caught:
            executable.explain(what_if=text)
        assert message in caught.value.message


def test_plain_loops_say_why() -> None:
    executable = tilec.function(SUM).compile(Spec((32, 32)), options=CPU)
    (kernel,) = executable.explain().kernels
    assert kernel.reason == "a single factor"
    assert kernel.roof in ("L1", "L2", "L3", "memory")


def test_streams_are_explained() -> None:
    text = "function (A[N, K], X[K]) -> (C) { C[i : N] = +(A[i, k] * X[k]); }"
    executable = tilec.function(text).compile(Spec((2048, 2048)), Spec((2048,)), options=CPU)
    (kernel,) = executable.explain(measure=False).kernels
    assert kernel.schedule == "stream i=8 k=16, parallel i"
    assert kernel.predicted_seconds is not None
    assert kernel.predicted_seconds >= kernel.light_seconds
    assert all(each.ratio >= 1 and "stream" in each.schedule for each in kernel.rejected)
    assert kernel.rejected


def test_the_other_kind_that_lost_is_listed() -> None:
    function, specs = tilec.function(MATMUL), (Spec((512, 2048)), Spec((2048, 4)))
    (kernel,) = function.compile(*specs, options=CPU).explain().kernels
    assert kernel.schedule.startswith("stream")
    tile, *others = kernel.rejected
    assert tile.schedule.startswith("tile")
    assert tile.ratio > 1
    assert all(each.schedule.startswith("stream") for each in others)
    assert f"rejected    {tile.ratio:.2f} x, " in str(kernel)
    # The reverse: whoever asks for the tile is told of the stream.
    (kernel,) = function.compile(*specs, options=CPU, schedule=tile.schedule).explain().kernels
    stream = kernel.rejected[0]
    assert stream.schedule.startswith("stream")
    assert stream.ratio == pytest.approx(1 / tile.ratio)


def test_temporaries_are_listed() -> None:
    text = """function (A[M, K], B[K, N]) -> (D) {
        C[i, j : M, N] = +(A[i, k] * B[k, j]); S[j : N] = +(C[i, j]);
        D[i, j : M, N] = +(C[i, k] * S[j]); }"""
    found = tilec.function(text).compile(*SPECS, options=CPU).explain()
    assert dict(found.temporaries) == {"C": 128 * 128 * 4, "S": 128 * 4}
    assert "temporaries: 2, 64.5 KiB: C 64.0 KiB, S 0.5 KiB" in str(found)
    assert found.as_json()["temporaries"][0].keys() == {"name", "bytes"}
    memory = tilec.function(text).compile(*SPECS, options=CPU).memory
    assert (memory.temporaries, memory.temporaries_bytes) == (2, 128 * 128 * 4 + 128 * 4)
    assert "temporaries" not in str(tilec.function(MATMUL).compile(*SPECS).explain(measure=False))


ROWS = """function (A[M, K]) -> (Y) { R[i, 0 : M, 1] = >(A[i, j]); E = exp(A - R);
    S[i, 0 : M, 1] = +(E[i, j]); Y = E / S; }"""
EPILOGUE = """function (A[M, K], B[K, N]) -> (R) {
    C[i, j : M, N] = +(A[i, k] * B[k, j]); R = relu(C); }"""
BLOCKS = """function (A[M, K], B[K, N], V[N, P]) -> (Y) {
    C[i, j : M, N] = +(A[i, k] * B[k, j]); R = relu(C); Y[i, p : M, P] = +(R[i, j] * V[j, p]); }"""


@pytest.mark.parametrize(
    ("text", "shapes", "fused", "saved"),
    [
        # Three nodes read 256 KiB each, and one writes what another one reads; 512 KiB are left.
        (ROWS, [(512, 128)], ("R", "E", "S", "Y"), 1024 << 10),
        (EPILOGUE, [(64, 32), (32, 16)], ("C", "R"), 2 * 64 * 16 * 4),
        # Of the epilogue in it, and of its result.
        (BLOCKS, [(4096, 64), (64, 256), (256, 64)], ("C", "R", "Y"), 4 * 4096 * 256 * 4),
        (MATMUL, [(64, 32), (32, 16)], ("C",), 0),
    ],
)
def test_traffic_that_fusion_saves(
    text: str, shapes: list[tuple[int, int]], fused: tuple[str, ...], saved: int
) -> None:
    made = tilec.function(text).compile(*map(tilec.Spec, shapes), options=CPU)
    found = made.explain(measure=False)
    (kernel,) = found.kernels
    assert (kernel.fused, kernel.saved_bytes) == (fused, saved)
    assert ("of traffic saved" in str(kernel)) is bool(saved)
    assert found.as_json()["kernels"][0]["saved_bytes"] == saved
    assert (made.memory.temporaries, made.memory.temporaries_bytes) == (0, 0)


SUM = "function (A[N, K]) -> (C) { C[i : N] = +(A[i, k]); }"


def test_every_kernel_has_roofs_and_a_predicted_time() -> None:
    two = "function (A[M, K], B[K, N]) -> (C, S) {\n"
    two += "  C[i, j : M, N] = +(A[i, k] * B[k, j]); S[i : M] = >(A[i, k]);\n}"
    executable = tilec.function(two).compile(Spec((512, 512)), Spec((512, 512)), options=CPU)
    found = executable.explain()
    assert "description" in str(found)
    for kernel in found.kernels:
        names = [roof.name for roof in kernel.roofs]
        assert names[:2] == ["compute", "load"]
        longest = max(kernel.roofs, key=lambda roof: roof.seconds)
        assert kernel.binding == longest.name
        assert kernel.predicted_seconds >= longest.seconds > 0
        assert f"bound by {kernel.binding}" in str(kernel)
    product, maxima = found.kernels
    assert product.binding == "compute"
    assert maxima.binding not in ("compute", "store")


def test_bytes_of_loops_count_what_is_read_again() -> None:
    """Without a tile B is read for every row of C, and it does not fit into the first level."""
    specs = Spec((64, 512)), Spec((512, 512))
    f = tilec.function(MATMUL)
    plain = f.compile(*specs, options=CPU, schedule="vector j=16").explain().kernels[0]
    assert plain.actual_bytes > 32 * 512 * 512 * 4 > plain.compulsory_bytes
    small = f.compile(Spec((8, 16)), Spec((16, 16)), options=CPU, schedule="vector j=16")
    assert small.explain().kernels[0].actual_bytes == (8 * 16 * 2 + 16 * 16) * 4


def test_what_if_of_plain_loops() -> None:
    executable = tilec.function(SUM).compile(Spec((32, 32)), options=CPU)
    for text, schedule in [
        ("k=4", "vector k=4 reduction"),
        ("i=8", "vector i=8"),
        ("i=1", "scalar"),
    ]:
        (kernel,) = executable.explain(what_if=text).kernels
        assert kernel.schedule == schedule
    for text, message in [
        ("i=3", "a vector has 3 lanes"),
        ("i=2,k=4", "has plain loops, of which one is made vectors, and no tile: a single factor"),
        ("q=4", "no kernel has a tile over q"),
    ]:
        with pytest.raises(ScheduleError) as caught:
            executable.explain(what_if=text)
        assert message in caught.value.message
        assert caught.value.help is not None


def test_scratch_counts_in_memory() -> None:
    f = tilec.function(MATMUL)
    packed = f.compile(*SPECS, options=CPU, schedule="tile i=4 j=2x16, pack j")
    assert packed.memory.workspace == 128 * 32 * 4
    assert packed.explain().kernels[0].scratch_bytes == 128 * 32 * 4
    assert f.compile(*SPECS, options=CPU, schedule="tile i=4 j=2x16").memory.workspace == 0


def test_limits_are_measured_ones_if_there_are_any() -> None:
    assert limits_of(Core(), None).source == "description skylake-avx512"
    rate = Rate.of([1e9, 2e9])
    reads = (Limit("L1", 1, rate, rate), Limit("memory", 1, rate, Rate.of([5e8])))
    found = limits_of(Core(), Calibration("", 2, Limit("f32", 0, rate, rate), reads))
    assert (found.source, found.flops) == ("calibration", 2e9)
    assert found.hertz == 2e9 / (2 * 2 * 16 * 2)
    near, far = found.holding(1 << 10), found.holding(1 << 40)
    assert (near.name, near.one, near.every) == ("L1", 2e9, 2e9)
    assert (far.name, far.one, far.every) == ("memory", 2e9, 5e8)


def test_the_reference_has_no_kernels() -> None:
    executable = tilec.function(MATMUL).compile(*SPECS, target="reference")
    with pytest.raises(tilec.ArgumentError, match="no kernels to explain"):
        executable.explain()
