"""Methods of convolutions from the outside: options, schedules, bound weights, errors."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import tilec
from tilec import Options, Schedule
from tilec.errors import ArgumentError, ScheduleError
from tilec.target.core import host_core

LAYER = """function (X[N, H, W, C], K[I, J, C, F], B[F]) -> (R) {
  S[n, y, x, f : N, H, W, F] = +(X[n, y + i - 1, x + j - 1, c] * K[i, j, c, f]);
  R = relu(S + B);
}"""


def arrays(size: int = 13, channels: int = 24, filters: int = 40) -> dict[str, Any]:
    random = np.random.default_rng(3)
    shapes = {"X": (1, size, size, channels), "K": (3, 3, channels, filters), "B": (filters,)}
    return {name: random.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def expected(given: dict[str, Any]) -> Any:
    """The layer in f64; with three axes of weights a depthwise one."""
    x, k, b = (given[name].astype(np.float64) for name in "XKB")
    n, h, w, _ = x.shape
    pad = k.shape[0] // 2
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    out = np.zeros((n, h, w, k.shape[-1]))
    for i in range(k.shape[0]):
        for j in range(k.shape[1]):
            part = padded[:, i : i + h, j : j + w]
            out += part * k[i, j] if k.ndim == 3 else part @ k[i, j]
    return np.maximum(out + b, 0)


def error(got: Any, given: dict[str, Any]) -> float:
    """The largest difference relative to the largest output."""
    want = expected(given)
    return float(np.abs(got - want).max() / np.abs(want).max())


def kind(executable: tilec.Executable) -> str:
    """How the schedule of the only kernel begins."""
    return str(executable.schedule).partition(": ")[2].split()[0]


def test_bound_weights_are_transformed_once() -> None:
    given = arrays()
    layer = tilec.function(LAYER).bind(K=given["K"], B=given["B"])
    executable = layer.compile(given["X"], options=Options(conv="winograd", debug=True))
    assert kind(executable) == "winograd"
    assert len(executable.kernels) == 1
    assert error(executable(given["X"]), given) < 1e-5


def test_weights_of_the_call_and_the_same_bits_with_any_number_of_threads() -> None:
    given = arrays()
    results = [
        tilec.function(LAYER).compile(
            **given, options=Options(conv="winograd", num_threads=threads)
        )(*given.values())
        for threads in (1, 2, 3)
    ]
    assert error(results[0], given) < 1e-5
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


@pytest.mark.parametrize("parallel", ["group 2, parallel tiles", "parallel filters"])
def test_a_schedule_asks_for_the_method(parallel: str) -> None:
    given = arrays(size=10)
    block = 16 if "filters" in parallel else 5
    lanes = host_core().lanes(4)
    text = f"main_R: winograd F(3x3,3x3) 5x1x{lanes}, block {block}, {parallel}"
    layer = tilec.function(LAYER).bind(K=given["K"], B=given["B"])
    executable = layer.compile(given["X"], schedule=text)
    assert str(executable.schedule) == text
    assert Schedule.from_json(executable.schedule.as_json()) == executable.schedule
    assert error(executable(given["X"]), given) < 1e-5


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        ("winograd F(3x3,3x3) 40x2x16, block 9, parallel tiles", "does not fit the registers"),
        ("winograd F(3x3,5x5) 4x2x16, block 9, parallel tiles", "was made F(3x3,3x3)"),
        ("winograd F(3x3,3x3) 4x2x16, block 9, parallel filters", "a block of 9 tiles, of 25"),
        ("winograd F(3x3,3x3) 4x2x16, block 9, group 9, parallel tiles", "a group of 9 panels"),
        ("winograd F(3,3) 4x2x16, block 9, parallel tiles", "another number of windows"),
        ("winograd F(3x3,3x3) 4x2x16, block 9, late 16, parallel tiles", "one vector at a time"),
        ("winograd F(3x3,3x3) 9x1x16, block 9, late 16, parallel tiles", "does not fit the reg"),
        ("winograd F(3x3,3x3) 4x2x8, block 9, parallel tiles", "a vector has 8 lanes"),
        ("winograd 3", "cannot be read"),
    ],
)
def test_schedules_that_cannot_be_followed(schedule: str, reason: str) -> None:
    given = arrays()
    with pytest.raises(ScheduleError, match=reason.replace("(", r"\(").replace(")", r"\)")):
        tilec.function(LAYER).compile(
            **given, schedule=schedule, options=Options(cpu="skylake-avx512")
        )


def test_a_kernel_that_is_no_convolution() -> None:
    text = "winograd F(3x3,3x3) 4x2x16, block 9, parallel tiles"
    square = np.ones((8, 8), np.float32)
    with pytest.raises(ScheduleError, match="no convolution that this method can compute"):
        tilec.function("C[i, j : M, N] = +(A[i, k] * B[k, j])").compile(
            square, square, schedule=text
        )


def test_there_is_no_such_method() -> None:
    with pytest.raises(ArgumentError, match="no method 'best' of convolutions"):
        tilec.function(LAYER).compile(**arrays(), options=Options(conv="best"))


def test_methods_are_explained() -> None:
    given = arrays(size=28, channels=64, filters=64)
    layer = tilec.function(LAYER).bind(K=given["K"], B=given["B"])
    options = Options(conv="auto", cpu="skylake-avx512")
    (report,) = layer.compile(given["X"], options=options).explain(measure=False).kernels
    names = [each.method for each in report.methods]
    lowerings = ["lowering-1", "lowering-2", "lowering-3"]
    assert sorted(names) == ["F(2x2,3x3)", "F(3x3,3x3)", "F(4x4,3x3)", "direct", *lowerings]
    assert report.schedule.startswith(f"winograd {names[0]}")
    assert [each.seconds for each in report.methods] == sorted(
        each.seconds for each in report.methods
    )
    direct = report.methods[names.index("direct")]
    assert direct.flops == 2 * 28 * 28 * 9 * 64 * 64
    assert direct.workspace_bytes == 0, "its panels are packed ahead"
    assert report.methods[0].flops < direct.flops
    assert f"method      {names[0]}: work" in str(report)


@pytest.mark.parametrize(("size", "method"), [(8, "tile"), (28, "winograd")])
def test_auto_leaves_small_layers_direct(size: int, method: str) -> None:
    given = arrays(size=size, channels=32, filters=48)
    layer = tilec.function(LAYER).bind(K=given["K"], B=given["B"])
    options = Options(conv="auto", cpu="skylake-avx512")
    assert kind(layer.compile(given["X"], options=options)) == method


@pytest.mark.parametrize("change", ["2 * x + j - 1", "x + 2 * j - 1"])
def test_strides_and_dilations_stay_direct(change: str) -> None:
    given = arrays()
    text = LAYER.replace("x + j - 1", change).replace("N, H, W, F", "N, H, 7, F")
    executable = tilec.function(text).compile(**given, options=Options(conv="winograd"))
    assert kind(executable) != "winograd"


OWN = """function (X[N, H, W, C], K[I, J, C], B[C]) -> (R) {
  S[n, y, x, c : N, H, W, C] = +(X[n, y + i - 3, x + j - 3, c] * K[i, j, c]);
  R = relu(S + B);
}"""


def large(shape: tuple[int, ...], channels: int = 20) -> dict[str, Any]:
    """A layer of 7 x 7 taps."""
    random = np.random.default_rng(3)
    shapes = {"X": (2, 11, 12, channels), "K": (7, 7, *shape), "B": shape[-1:]}
    return {name: random.standard_normal(shape, np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize("depthwise", [False, True])
def test_fourier_transforms_and_the_same_bits_with_any_number_of_threads(depthwise: bool) -> None:
    given = large((20,) if depthwise else (20, 24))
    text = OWN if depthwise else LAYER.replace("- 1", "- 3")
    layer = tilec.function(text)
    options = [Options(conv="fft", num_threads=threads) for threads in (1, 2)]
    results = [layer.compile(**given, options=each)(*given.values()) for each in options]
    assert error(results[0], given) < 1e-6
    np.testing.assert_array_equal(results[1], results[0])
    executable = layer.bind(K=given["K"]).compile(given["X"], given["B"], options=options[1])
    assert kind(executable) == "fft"
    assert len(executable.kernels) == 1
    assert error(executable(given["X"], given["B"]), given) < 1e-6
    report = executable.explain(measure=False).kernels[0]
    assert [each.method[:3] for each in report.methods if each.method[0] == "F"] == ["FFT"]
    assert report.scratch_bytes > 0
    text = str(executable.schedule)
    assert Schedule.from_json(executable.schedule.as_json()) == Schedule.parse(text)


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        ("fft FFT(6x6,7x7) 40x2x16, block 4", "does not fit the registers"),
        ("fft FFT(6x6,7x7) 4x2x16, block 40", "a block of 40 tiles, of 8"),
        ("fft FFT(6x6,7x7) 4x2x8, block 4", "a vector has 8 lanes"),
        ("fft FFT(6x6,3x3) 4x2x16, block 4", "was made FFT(6x6,7x7)"),
        ("fft FFT(5x6,7x7) 4x2x16, block 4", "none of those with code"),
        ("fft FFT(186x6,7x7) 4x2x16, block 4", "none of those with code"),
        ("fft 3", "cannot be read"),
    ],
)
def test_fourier_schedules_that_cannot_be_followed(schedule: str, reason: str) -> None:
    layer = tilec.function(LAYER.replace("- 1", "- 3"))
    with pytest.raises(ScheduleError, match=re.escape(reason)):
        layer.compile(**large((20, 24)), schedule=schedule, options=Options(cpu="skylake-avx512"))


def test_a_schedule_asks_for_what_depthwise_convolutions_have_not() -> None:
    layer, given = tilec.function(OWN), large((20,))
    for text, reason in (
        ("fft FFT(6x6,7x7) 1x2x16, block 1", "one vector and one tile at a time"),
        ("winograd F(2x2,7x7) 1x2x16, block 1", "each channel has a filter of its own"),
    ):
        with pytest.raises(ScheduleError, match=reason):
            layer.compile(**given, schedule=text, options=Options(cpu="skylake-avx512"))


@pytest.mark.parametrize(("depthwise", "size"), [(False, 56), (True, 56), (True, 8)])
def test_auto_takes_fourier_transforms_of_large_windows(depthwise: bool, size: int) -> None:
    text = (OWN if depthwise else LAYER).replace("- 1", "- 5").replace("- 3", "- 5")
    shape = (11, 11, 64) if depthwise else (11, 11, 64, 64)
    layer = tilec.function(text).bind(K=np.ones(shape, np.float32))
    image, bias = np.ones((1, size, size, 64), np.float32), np.ones(64, np.float32)
    executable = layer.compile(image, bias, options=Options(cpu="skylake-avx512"))
    assert (kind(executable) == "fft") == (size == 56)


@pytest.mark.parametrize(("kind", "kernels"), [(1, 2), (2, 3), (3, 2)])
def test_lowerings(kind: int, kernels: int) -> None:
    given = arrays(size=9)
    name = f"lowering-{kind}"
    layer = tilec.function(LAYER).bind(K=given["K"], B=given["B"])
    executable = layer.compile(given["X"], options=Options(conv=name))
    assert len(executable.kernels) == kernels
    assert error(executable(given["X"]), given) < 1e-6
    direct = layer.compile(given["X"], options=Options(conv="direct"))
    assert direct.memory.workspace < executable.memory.workspace
