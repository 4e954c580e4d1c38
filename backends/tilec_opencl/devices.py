"""The OpenCL devices of this machine: which there are, what they can do, and which one is meant."""

from __future__ import annotations

import os
from functools import cache
from types import ModuleType
from typing import Any, Final, cast

from tilec.errors import TargetError
from tilec.records import dataclass
from tilec.runtime.backend import DeviceInfo

INSTALL: Final = "pip install 'tilec[opencl]' brings pyopencl and, on Linux, a device in software"
_UPDATE: Final = "update the driver"


@dataclass(frozen=True, slots=True)
class Device:
    """One device.

    Attributes:
        number: Its place in the list, which ``opencl:NUMBER`` means.
        name: Its name.
        platform: Name of the platform that drives it.
        vendor: Its vendor.
        version: Versions of OpenCL and of the driver.
        kind: ``cpu``, ``gpu`` or ``accelerator``.
        units: Compute units.
        global_bytes: Memory.
        largest_bytes: The largest array that it can hold.
        local_bytes: Memory that a work-group shares.
        most_items: Items that a work-group may have.
        has_f64: Whether it computes in f64.
        lacks: Why tilec cannot use it; "" when it can.
        handle: pyopencl's object.
    """

    number: int
    name: str
    platform: str
    vendor: str
    version: str
    kind: str
    units: int
    global_bytes: int
    largest_bytes: int
    local_bytes: int
    most_items: int
    has_f64: bool
    lacks: str
    handle: Any

    @property
    def info(self) -> DeviceInfo:
        """The device as it is listed."""
        types = "f16 bf16 f32 f64" if self.has_f64 else "f16 bf16 f32, no f64"
        memory = f"{self.global_bytes / 2**30:.1f} GiB, {self.local_bytes >> 10} KiB per group"
        can = self.lacks or f"{self.units} compute units, {memory}, {types}"
        return DeviceInfo(
            f"opencl:{self.number}", self.name, self.kind, not self.lacks, can, self.version
        )

    @property
    def shares_memory(self) -> bool:
        """Whether it works on the memory of the host."""
        return self.kind == "cpu"


def library() -> ModuleType:
    """Pyopencl.

    Raises:
        TargetError: it is not installed, there is no OpenCL on this machine, or the process was
            forked from one that uses it.
    """
    check_process()
    # Its own cache of compiled programs would grow beside tilec's.
    os.environ.setdefault("PYOPENCL_NO_CACHE", "1")
    try:
        import pyopencl
    except (ImportError, OSError) as error:
        raise TargetError(f"OpenCL needs pyopencl: {error}", help=INSTALL) from error
    return pyopencl


def check_process() -> None:
    """See that no parent of this process has used OpenCL before it was forked.

    The threads of a driver are not there in a child, which would wait for them forever.

    Raises:
        TargetError: one has.
    """
    if os.getpid() != _first_process():
        raise TargetError(
            "OpenCL was in use before this process was forked, and its drivers do not survive that",
            help="begin processes by 'spawn' or 'forkserver', or use the target llvm in them",
        )


@cache
def _first_process() -> int:
    return os.getpid()


@cache
def devices() -> tuple[Device, ...]:
    """Every device of every platform, GPUs first.

    Raises:
        TargetError: there are none.
    """
    cl: Any = library()
    try:
        platforms = cl.get_platforms()
    except cl.Error as error:
        reason = status(cl, error)
        raise TargetError(f"there is no OpenCL platform: {reason}", help=INSTALL) from error
    found: list[Any] = []
    empty: list[str] = []
    for platform in platforms:
        try:
            found += platform.get_devices()
        except cl.Error as error:  # a platform without devices says so by an error
            empty.append(f"{platform.name} answers {status(cl, error)}")
    if not found:
        reasons = "; ".join(empty) or "no platform lists any"
        raise TargetError(f"there is no OpenCL device: {reasons}", help=INSTALL)
    found.sort(key=lambda each: _kind(cl, each) != "gpu")
    return tuple(_asked(cl, number, each) for number, each in enumerate(found))


def status(cl: Any, error: Any) -> str:
    """An error of OpenCL by its name."""
    return str(cl.status_code.to_string(error.code))


def choose(selector: str) -> Device:
    """The device that a selector means: "", a number, a part of a name, or a family.

    Raises:
        TargetError: there is none like that.
    """
    from tilec.target.gpu import family  # reads files, and is seldom needed

    known = devices()
    usable = [each for each in known if not each.lacks]
    if not usable:
        reasons = "; ".join(f"{each.name}: {each.lacks}" for each in known) or "none is found"
        raise TargetError(f"there is no usable OpenCL device: {reasons}", help=INSTALL)
    if not selector:
        return usable[0]
    if selector.isdigit():
        fitting = [each for each in usable if each.number == int(selector)]
    else:
        word = selector.lower()
        fitting = [
            each
            for each in usable
            if any(word in text.lower() for text in (each.name, each.platform, each.vendor))
            or word == family(each.platform, each.name, each.vendor).name
        ]
    if not fitting:
        listed = ", ".join(f"opencl:{each.number} ({each.name})" for each in usable)
        raise TargetError(f"there is no OpenCL device {selector!r}", help=f"there are {listed}")
    return fitting[0]


def _asked(cl: Any, number: int, handle: Any) -> Device:
    """What a device says of itself; one that says nothing is of no use."""
    try:
        return _device(cl, number, handle)
    except cl.Error as error:
        lacks = f"its driver does not say what it can do ({status(cl, error)}): {_UPDATE}"
        return Device(
            number=number, name="?", platform="?", vendor="?", version="?", kind="accelerator",
            units=0, global_bytes=0, largest_bytes=0, local_bytes=0, most_items=0, has_f64=False,
            lacks=lacks, handle=handle,
        )  # fmt: skip


def _kind(cl: Any, handle: Any) -> str:
    kinds = cl.device_type
    if handle.type & kinds.GPU:
        return "gpu"
    return "cpu" if handle.type & kinds.CPU else "accelerator"


def _device(cl: Any, number: int, handle: Any) -> Device:
    extensions = str(handle.extensions).split()
    lacks = ""
    if not handle.available:
        lacks = "it is not available: something else holds it, or it is switched off"
    elif not handle.compiler_available:
        lacks = f"its driver has no compiler: {_UPDATE}"
    elif not handle.endian_little:
        lacks = "it is not little-endian"
    return Device(
        number=number,
        name=" ".join(str(handle.name).split()),
        platform=str(handle.platform.name),
        vendor=str(handle.vendor),
        version=f"{handle.version.strip()}, driver {handle.driver_version}",
        kind=_kind(cl, handle),
        units=int(handle.max_compute_units),
        global_bytes=int(handle.global_mem_size),
        largest_bytes=int(handle.max_mem_alloc_size),
        local_bytes=int(handle.local_mem_size),
        most_items=int(handle.max_work_group_size),
        has_f64="cl_khr_fp64" in extensions or bool(cast("int", handle.double_fp_config)),
        lacks=lacks,
        handle=handle,
    )
