"""Which device a name means, and what is said when there is none."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
import pytest

import tilec
from tests.llvm.conftest import targets
from tilec.cli.main import run
from tilec.dtypes import ALL, F64
from tilec.errors import TargetError
from tilec.options import Options
from tilec_opencl import devices
from tilec_opencl.backend import OpenClBackend
from tilec_opencl.device import Machine
from tilec_opencl.devices import Device, choose

DEVICES = [name for name in targets() if name != "llvm"]
FAST = Device(
    number=0, name="Quick 9000", platform="Speedy CL", vendor="NVIDIA Corporation",
    version="OpenCL 3.0, driver 1", kind="gpu", units=80, global_bytes=16 << 30,
    largest_bytes=4 << 30, local_bytes=48 << 10, most_items=1024, has_f64=True,
    lacks="", handle=None,
)  # fmt: skip
SLOW = replace(
    FAST, number=1, name="Old Thing", platform="ARM CL", vendor="Nobody", kind="cpu",
    has_f64=False,
)  # fmt: skip
BROKEN = replace(FAST, number=2, name="Broken", lacks="its driver has no compiler")


def command(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command prints; it ends well."""
    assert run(arguments) == 0
    return capfd.readouterr().out


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "devices", lambda: (FAST, SLOW, BROKEN))


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("selector", "name"),
    [("", "Quick 9000"), ("0", "Quick 9000"), ("1", "Old Thing"), ("nvidia", "Quick 9000"),
     ("old", "Old Thing"), ("speedy", "Quick 9000"), ("mali", "Old Thing")],
)  # fmt: skip
def test_a_device_is_chosen_by_number_part_of_a_name_or_family(selector: str, name: str) -> None:
    assert choose(selector).name == name


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("selector", ["2", "7", "amd", "broken"])
def test_an_unknown_device_is_answered_with_the_known_ones(selector: str) -> None:
    with pytest.raises(TargetError, match=f"no OpenCL device '{selector}'") as raised:
        choose(selector)
    assert "opencl:0 (Quick 9000), opencl:1 (Old Thing)" in str(raised.value)


def test_code_is_for_a_device_of_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk cache holds names it by number: one that is plugged in may move the others."""
    backend, options = OpenClBackend(), Options(target="opencl:old")
    prints: list[str] = []
    for found in ((FAST, SLOW), (replace(SLOW, number=0),)):
        monkeypatch.setattr(devices, "devices", lambda found=found: found)
        prints.append(backend.fingerprint(options))
    assert prints[0] != prints[1]


def test_no_usable_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "devices", lambda: (BROKEN,))
    with pytest.raises(TargetError, match="Broken: its driver has no compiler"):
        choose("")


@pytest.mark.usefixtures("fresh")
def test_without_pyopencl_the_answer_is_what_to_install(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyopencl", None)
    with pytest.raises(TargetError, match="OpenCL needs pyopencl"):
        devices.devices()
    assert "pip install 'tilec[opencl]'" in command(capfd, "devices")
    assert json.loads(command(capfd, "devices", "--json")) == []


Platform: TypeAlias = "tuple[str, Callable[[Platforms], Handle] | int]"
"""A name, and what makes the device of it, or the error that it answers with."""


class Platforms:
    """pyopencl with other platforms."""

    def __init__(self, *platforms: Platform) -> None:
        self._real = pytest.importorskip("pyopencl")
        self._platforms = platforms

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def error(self, code: int) -> Exception:
        record = SimpleNamespace(routine=lambda: "clAsk", code=lambda: code, what=lambda: "")
        return self._real.LogicError(record)

    def get_platforms(self) -> list[Any]:
        if not self._platforms:
            raise self.error(-1001)
        return [
            SimpleNamespace(name=name, get_devices=partial(self._devices, held))
            for name, held in self._platforms
        ]

    def _devices(self, held: Callable[[Platforms], Handle] | int) -> list[Any]:
        if isinstance(held, int):
            raise self.error(held)
        return [held(self)]


class Handle:
    """A device of a driver; one that is silent answers no question."""

    def __init__(self, cl: Platforms, name: str, kind: str, is_silent: bool = False) -> None:
        self.type = getattr(cl.device_type, kind)
        self.name, self.is_silent, self.cl = name, is_silent, cl

    def __getattr__(self, name: str) -> Any:
        if self.is_silent:
            raise self.cl.error(-30)
        strings = {
            "extensions": "cl_khr_fp64",
            "vendor": "V",
            "version": "3",
            "driver_version": "1",
        }
        if name == "platform":
            return SimpleNamespace(name="P")
        return strings.get(name, 1)


@pytest.fixture
def fresh() -> Iterator[None]:
    """Devices are looked for anew, and again after the test."""
    devices.devices.cache_clear()
    yield
    devices.devices.cache_clear()


def with_platforms(monkeypatch: pytest.MonkeyPatch, *platforms: Platform) -> None:
    found = Platforms(*platforms)
    monkeypatch.setattr(devices, "library", lambda: found)


@pytest.mark.usefixtures("fresh")
def test_two_platforms_and_one_that_is_broken(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_platforms(
        monkeypatch,
        ("Slow CL", partial(Handle, name="Two  cores", kind="CPU")),
        ("Broken CL", -1),
        ("Mute CL", partial(Handle, name="Mute", kind="GPU", is_silent=True)),
        ("Fast CL", partial(Handle, name="Quick", kind="GPU")),
    )
    mute, quick, slow = json.loads(command(capfd, "devices", "--json"))
    assert (quick["target"], quick["name"], quick["usable"]) == ("opencl:1", "Quick", True)
    assert (slow["target"], slow["name"], slow["kind"]) == ("opencl:2", "Two cores", "cpu")
    assert mute["usable"] is False
    assert "INVALID_VALUE" in mute["can"]
    assert "update the driver" in mute["can"]
    assert choose("").name == "Quick"


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("platforms", "reason"),
    [((), "no OpenCL platform: PLATFORM_NOT_FOUND_KHR"),
     ((("Empty CL", -1),), "no OpenCL device: Empty CL answers DEVICE_NOT_FOUND")],
)  # fmt: skip
def test_without_a_device_the_answer_is_what_to_install(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    platforms: tuple[Platform, ...],
    reason: str,
) -> None:
    with_platforms(monkeypatch, *platforms)
    printed = command(capfd, "devices")
    assert reason in printed
    assert "pip install 'tilec[opencl]'" in printed
    assert reason in command(capfd, "targets")
    assert tilec.devices() == ()
    function = tilec.function("function (A[N]) -> (B) { B = A + 5; }")
    with pytest.raises(TargetError, match=reason):
        function(np.zeros(5, np.float32), target="opencl")
    with pytest.raises(TargetError, match=reason):
        tilec.array(np.zeros(5, np.float32), "opencl")


@pytest.mark.skipif(not DEVICES, reason="there is no OpenCL device")
def test_devices_are_listed(capfd: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(command(capfd, "devices", "--json"))
    assert [each["target"] for each in listed if each["usable"]] == DEVICES
    assert "opencl:0" in command(capfd, "devices")


@pytest.mark.skipif(not DEVICES, reason="there is no OpenCL device")
def test_the_environment_names_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEC_TARGET", DEVICES[0])
    function = tilec.function("function (A[N]) -> (B) { B = A + 1; }")
    assert (function(np.zeros(5, np.float32)) == 1).all()
    monkeypatch.setenv("TILEC_TARGET", "opencl:nowhere")
    function = tilec.function("function (A[N]) -> (B) { B = A + 2; }")
    with pytest.raises(TargetError, match="no OpenCL device 'nowhere'"):
        function(np.zeros(5, np.float32))


@pytest.mark.parametrize(
    ("dtype", "body"), [("f64", "A + 1"), ("f32", "as_float(sin(as_float(A, 64)), 32)")]
)
def test_f64_on_a_device_without_it_is_an_error(
    dtype: str, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "devices", lambda: (SLOW,))
    function = tilec.function(f"function (A[N]: {dtype}) -> (B) {{ B = {body}; }}")
    with pytest.raises(TargetError, match="f64, which Old Thing does not have"):
        function.compile(tilec.Spec((4,), dtype), target="opencl:old")


NAMES = [dtype.name for dtype in ALL if dtype != F64]


@pytest.mark.parametrize("source", NAMES)
def test_nothing_else_needs_f64(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Conversions have no f64 on the way, which devices without it could not compile."""
    monkeypatch.setattr(devices, "devices", lambda: (BROKEN,))  # nothing is compiled
    casts = [_cast(name) for name in NAMES if name != "bool"]
    lines = [f"B{at} = {cast};" for at, cast in enumerate(casts)]
    outputs = ", ".join(f"B{at}" for at in range(len(lines)))
    text = f"function (A[N]: {source}) -> ({outputs}) {{ {' '.join(lines)} }}"
    options = Options(target="opencl", gpu="mali")
    executable = tilec.function(text).compile(tilec.Spec((4,), source), options=options)
    for stage in ("opencl", "cuda"):
        assert "double" not in executable.source(stage)


def _cast(name: str) -> str:
    letters = name.rstrip("0123456789")
    words = {"bf": "as_bfloat", "f": "as_float", "i": "as_int", "u": "as_uint"}
    return f"{words[letters]}(A, {name.removeprefix(letters)})"


@pytest.mark.parametrize(
    ("extents", "shape"),
    [((1000,), (256,)), ((3,), (4,)), ((1,), (1,)), ((64, 100), (64, 4)), ((7, 9), (8, 16)),
     ((2, 2, 1000), (2, 2, 64))],
)  # fmt: skip
def test_groups_are_filled_along_the_first_axis(
    extents: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    assert Machine("", True, 1).group_shape(extents) == shape
