"""Memory of a device: bounded, given back, never used by two; and calls that do not wait."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tilec
from tests.llvm.conftest import targets
from tilec.errors import OutOfMemoryError, TargetError
from tilec.runtime.device import DeviceArray
from tilec.runtime.spec import Spec
from tilec_opencl.devices import Device, choose, library
from tilec_opencl.opened import OpenedDevice, opened

DEVICES = [name for name in targets() if name != "llvm"]
KIB = 1024
DOUBLE = tilec.function("function (A[N]) -> (B) { B = A * 2; }")
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not DEVICES, reason="there is no OpenCL device")


@pytest.fixture
def small() -> OpenedDevice:
    """A device of which 64 KiB may be used and 16 KiB wait to be used again."""
    return OpenedDevice(choose(""), 64 * KIB, 16 * KIB)


@pytest.fixture
def device() -> OpenedDevice:
    gc.collect()
    return opened(choose(""))


def test_memory_is_given_back_at_once(device: OpenedDevice) -> None:
    before = device.used_bytes
    a = tilec.array(np.ones(1000, np.float32), "opencl")
    b = DOUBLE(a)
    assert device.used_bytes == before + 8000
    a.close()
    assert device.used_bytes == before + 4000
    del b
    assert device.used_bytes == before
    with tilec.array(np.ones(10, np.float32), "opencl") as a, DOUBLE(a):
        assert device.used_bytes == before + 80
    assert device.used_bytes == before


def test_what_waits_is_bounded_and_used_again(small: OpenedDevice) -> None:
    leases = [small.lease(6 * KIB) for _ in range(4)]
    leases.clear()
    assert small.spare_bytes == 12 * KIB
    assert small.used_bytes == 0
    held = [small.lease(6 * KIB) for _ in range(2)]
    assert small.spare_bytes == 0
    held.append(small.lease(50 * KIB))
    assert small.used_bytes == 62 * KIB
    held.clear()
    assert small.spare_bytes == 12 * KIB  # 50 KiB are more than may wait
    held.append(small.lease(60 * KIB))  # what waits makes room
    assert (small.used_bytes, small.spare_bytes) == (60 * KIB, 0)


def test_no_room_is_an_error_of_its_own(small: OpenedDevice) -> None:
    held = small.lease(40 * KIB)
    with pytest.raises(OutOfMemoryError, match="40960 of at most 65536 are taken") as raised:
        small.empty(Spec((25 * KIB,), "u8"))
    assert (raised.value.request_bytes, raised.value.limit_bytes) == (25 * KIB, 64 * KIB)
    assert isinstance(raised.value, TargetError)
    assert small.device.name in str(raised.value)
    assert held.bytes == 40 * KIB
    largest = small.device.largest_bytes
    with pytest.raises(OutOfMemoryError, match=f"one array has {largest} at most"):
        small.lease(largest + 1)


def test_what_is_lent_counts_too(small: OpenedDevice) -> None:
    """Arguments from the host lie on the device for the time of a call."""
    held = small.lend(np.ones(40 * KIB, np.uint8))
    assert small.used_bytes == 40 * KIB
    with pytest.raises(OutOfMemoryError, match="40960 of at most 65536 are taken"):
        small.lend(np.ones(25 * KIB, np.uint8))
    del held
    assert (small.used_bytes, small.spare_bytes) == (0, 0)
    assert small.lend(np.ones(0, np.float32)).bytes == 1


def test_arrays_of_the_host_count_where_they_are_copied(
    device: OpenedDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Device, "shares_memory", property(lambda _: False))
    total = tilec.function("function (A[N]) -> (S) { S[] = +(A[i]); }")
    a, before = np.ones(1000, np.float32), device.used_bytes
    executable = total.compile(a, target="opencl")
    assert executable(a) == 1000
    assert device.used_bytes == before
    monkeypatch.setattr(device, "limit", before + 3000)
    with pytest.raises(OutOfMemoryError, match="no room for 4000 bytes"):
        executable(a)


def test_an_array_that_no_device_holds(device: OpenedDevice) -> None:
    rows = tilec.function("function (A[N], K) -> (C) { C[k, i : K, N] = =(A[i]); }")
    a, largest = np.ones(1 << 10, np.float32), device.device.largest_bytes
    with pytest.raises(OutOfMemoryError, match=f"C is one array, which has {largest} at") as raised:
        rows(a, 1 + (largest >> 12), target="opencl")
    assert raised.value.request_bytes == a.nbytes * (1 + (largest >> 12))


def test_a_driver_without_memory_is_asked_again(
    small: OpenedDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    cl: Any = library()
    record = SimpleNamespace(routine=lambda: "clCreateBuffer", code=lambda: -4, what=lambda: "")
    refused: list[int] = []
    make = cl.Buffer

    def buffer(context: Any, flags: int, size: int = 0, hostbuf: Any = None) -> Any:
        refused.append(size if hostbuf is None else len(hostbuf))
        if len(refused) in (1, 3, 4):
            raise cl.MemoryError(record)
        return make(context, flags, size, hostbuf)

    small.lease(KIB)
    monkeypatch.setattr(small, "_cl", _Instead(cl, Buffer=buffer))
    held = small.lease(2 * KIB)
    assert (held.bytes, small.spare_bytes) == (2 * KIB, 0)
    with pytest.raises(OutOfMemoryError, match="MEM_OBJECT_ALLOCATION_FAILURE"):
        small.lease(3 * KIB)
    assert refused == [2 * KIB] * 2 + [3 * KIB] * 2


def test_memory_of_a_processor_is_that_of_the_host(device: OpenedDevice) -> None:
    """NumPy asks the system for large pages, and vectors lie within lines."""
    if not device.device.shares_memory:
        pytest.skip("the device has memory of its own")
    flags: Any = library().mem_flags
    held = device.lease(8 << 20)
    assert held.buffer.flags & flags.USE_HOST_PTR
    assert held.buffer.get_host_array((8 << 20,), np.uint8).ctypes.data % 128 == 0


class _Instead:
    """A module of which some names mean something else."""

    def __init__(self, module: Any, **names: Any) -> None:
        self._module = module
        self._names = names

    def __getattr__(self, name: str) -> Any:
        return self._names.get(name) or getattr(self._module, name)


def test_scratch_memory_counts_too(device: OpenedDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two steps, so that there is memory between them.
    chain = tilec.function(
        "function (A[M, N]) -> (C) { B[i : M] = +(A[i, j]); C[j : N] = +(A[i, j] * B[i]); }"
    )
    a = np.ones((30, 40), np.float32)
    executable = chain.compile(a, target="opencl")
    assert executable.memory.workspace > 0
    expected = executable(a)
    assert (expected == 30 * 40).all()
    monkeypatch.setattr(device, "limit", device.used_bytes + 100)
    with pytest.raises(OutOfMemoryError, match="has no room for"):
        executable(a)


def test_chained_calls_copy_nothing_and_wait_for_nothing(
    device: OpenedDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = tilec.array(np.ones(8, np.float32), "opencl")
    step = tilec.function("function (A[N], B[N]) -> (C) { C = A + B; }").bind(
        B=np.ones(8, np.float32)
    )
    step(a)

    def refuse(*arguments: object) -> None:
        raise AssertionError(f"{arguments} are copied, or waited for")

    with monkeypatch.context() as patch:
        for name in ("lend", "write", "read", "wait"):
            patch.setattr(OpenedDevice, name, refuse)
        result = a
        for _ in range(50):
            result = step(result)
    assert (result.numpy() == 51).all()


def test_memory_that_is_used_again_is_not_mixed_up() -> None:
    """Results go at once and their memory is taken by the next calls, which have not begun."""
    size = 1 << 16
    given = [tilec.array(np.full(size, value, np.float32), "opencl") for value in range(8)]
    kept: list[DeviceArray] = []
    for _ in range(3):
        for a in given:
            kept.append(DOUBLE(DOUBLE(DOUBLE(a))))
    for at, each in enumerate(kept):
        assert (each.numpy() == 8 * (at % 8)).all()


def test_threads() -> None:
    failures: list[int] = []

    def work(number: int) -> None:
        a = tilec.array(np.full(100 + number % 2, number, np.float32), "opencl")
        for _ in range(20):
            if not (DOUBLE(DOUBLE(a)).numpy() == 4 * number).all():
                failures.append(number)

    threads = [Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_the_environment_sets_the_limit_and_processes_end_well() -> None:
    script = (
        "import numpy as np, tilec\n"
        "f = tilec.function('function (A[N]) -> (B) { B = A * 2; }')\n"
        "a = f(tilec.array(np.ones(1000, np.float32), 'opencl'))\n"
        "try:\n"
        "    tilec.array(np.ones(10000, np.float32), 'opencl')\n"
        "except tilec.OutOfMemoryError as error:\n"
        "    print(error.request_bytes, error.limit_bytes)\n"
    )
    path = os.pathsep.join(str(ROOT / part) for part in (".", "grammar", "backends"))
    environment = {**os.environ, "PYTHONPATH": path, "TILEC_DEVICE_BYTES": "20000"}
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env=environment, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert (ended.stdout, ended.stderr) == ("40000 20000\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_told_and_does_not_wait_forever() -> None:
    """The driver's threads are not there in it; the target llvm goes on."""
    given = np.ones(8, np.float32)
    there = DOUBLE(tilec.array(given, "opencl"))
    fresh = tilec.function("function (A[N]) -> (B) { B = A * 5; }")
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # what waits forever ends here
        told = 0
        for call in (
            there.numpy,
            lambda: DOUBLE(there),
            lambda: DOUBLE(given, target="opencl"),
            lambda: fresh(given, target="opencl"),
        ):
            try:
                call()
            except TargetError as error:
                told += "forked" in str(error)
        is_right = told == 4 and (fresh(given, target="llvm") == 5).all()
        os._exit(0 if is_right else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert (there.numpy() == 2).all()
