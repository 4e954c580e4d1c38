"""Which device a name means, and what is said when there is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tilec
from tests.llvm.conftest import targets
from tilec.cli.main import run
from tilec.errors import TargetError
from tilec_opencl import devices
from tilec_opencl.device import Machine
from tilec_opencl.devices import Device, choose

DEVICES = [name for name in targets() if name != "llvm"]
FAST = Device(
    number=0, name="Quick 9000", platform="Speedy CL", vendor="NVIDIA Corporation",
    version="OpenCL 3.0, driver 1", kind="gpu", units=80, global_bytes=16 << 30,
    largest_bytes=4 << 30, local_bytes=48 << 10, most_items=1024, has_f64=True,
    lacks="", handle=None,
)  # fmt: skip
SLOW = replace(FAST, number=1, name="Old Thing", vendor="Nobody", kind="cpu", has_f64=False)
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
     ("old", "Old Thing"), ("speedy", "Quick 9000")],
)  # fmt: skip
def test_a_device_is_chosen_by_number_or_part_of_a_name(selector: str, name: str) -> None:
    assert choose(selector).name == name


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("selector", ["2", "7", "amd", "broken"])
def test_an_unknown_device_is_answered_with_the_known_ones(selector: str) -> None:
    with pytest.raises(TargetError, match=f"no OpenCL device '{selector}'") as raised:
        choose(selector)
    assert "opencl:0 (Quick 9000), opencl:1 (Old Thing)" in str(raised.value)


def test_no_usable_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "devices", lambda: (BROKEN,))
    with pytest.raises(TargetError, match="Broken: its driver has no compiler"):
        choose("")


def test_without_pyopencl_the_answer_is_what_to_install(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyopencl", None)
    devices.devices.cache_clear()
    with pytest.raises(TargetError, match="OpenCL needs pyopencl"):
        devices.devices()
    assert "pip install 'tilec[opencl]'" in command(capfd, "devices")
    assert json.loads(command(capfd, "devices", "--json")) == []


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


def test_f64_on_a_device_without_it_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "devices", lambda: (SLOW,))
    function = tilec.function("function (A[N]: f64) -> (B) { B = A + 1; }")
    with pytest.raises(TargetError, match="f64, which Old Thing does not have"):
        function.compile(tilec.Spec((4,), "f64"), target="opencl:old")


@pytest.mark.parametrize(
    ("extents", "shape"),
    [((1000,), (256,)), ((3,), (4,)), ((1,), (1,)), ((64, 100), (64, 4)), ((7, 9), (8, 16)),
     ((2, 2, 1000), (2, 2, 64))],
)  # fmt: skip
def test_groups_are_filled_along_the_first_axis(
    extents: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    assert Machine("", True, 1).group_shape(extents) == shape


@pytest.mark.parametrize("first", ["llvmlite.binding", "pyopencl"])
@pytest.mark.skipif(not DEVICES, reason="there is no OpenCL device")
def test_two_llvms_live_in_one_process(first: str) -> None:
    """PoCL brings an LLVM of its own."""
    script = (
        f"import {first}, numpy as np, tilec\n"
        "f = tilec.function('function (A[N]) -> (B) { B = exp(A); }')\n"
        "a = np.ones(50, np.float32)\n"
        "for target in ('opencl', 'llvm', 'opencl'):\n"
        "    assert abs(f(a, target=target) - np.e).max() < 1e-5\n"
        "    f = tilec.function('function (A[N]) -> (B) { B = exp(A); }')\n"
    )
    root = Path(__file__).parents[2]
    path = os.pathsep.join(str(root / part) for part in (".", "grammar", "backends"))
    environment = {**os.environ, "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120, env=environment)
