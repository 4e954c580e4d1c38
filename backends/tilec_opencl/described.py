"""Devices as the optimiser sees them: what the driver tells, and what is known of their family."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from tilec.errors import TargetError
from tilec.options import Options
from tilec.target.core import Core, host_core
from tilec.target.gpu import Gpu, by_name, family, read_family
from tilec_opencl.device import Machine
from tilec_opencl.devices import Device, choose

WIDEST_LANES: Final = 16
"""Lanes of the widest vector of OpenCL C."""

ALIGNED_BYTES: Final = 16
"""Arrays on a device of its own begin at such addresses, as OpenCL and CUDA promise."""


def device_of(options: Options) -> Device | None:
    """The device that options mean; None if there is none and its description is given."""
    try:
        return choose(options.target.partition(":")[2])
    except TargetError:
        if options.gpu is None:
            raise
        return None


def file_of(options: Options) -> Gpu | None:
    """The description that a file of the user holds, if options name one."""
    if options.gpu is None or Path(options.gpu).suffix != ".toml":
        return None
    return read_family(Path(options.gpu)).gpu


def gpu_of(device: Device | None, options: Options) -> Gpu | None:
    """What runs groups of items; None for a processor.

    Limits of a device go before those of its family.
    """
    if options.gpu is not None:
        found = file_of(options) or by_name(options.gpu)
    elif device is None or device.kind == "cpu":
        return None
    else:
        found = family(device.platform, device.name, device.vendor)
        found = replace(found, units=device.units)
    if device is not None:
        found = replace(
            found,
            group_items=min(found.group_items, device.most_items),
            group_local_bytes=min(found.group_local_bytes, device.local_bytes),
        )
    if options.group_items is not None:
        found = replace(found, group_items=min(found.group_items, options.group_items))
    return found


def core_of(device: Device | None, options: Options) -> Core:
    """What schedules are chosen for: a processor's own core, or groups of items."""
    gpu = gpu_of(device, options)
    if gpu is not None:
        has_f64 = device is None or device.has_f64
        return Core(name=gpu.name, vector_bytes=0, threads=gpu.units, gpu=gpu, has_f64=has_f64)
    assert device is not None
    return replace(host_core(), threads=device.units, widest_lanes=WIDEST_LANES)


def machine_of(device: Device | None, options: Options) -> Machine:
    """What code is printed for."""
    gpu = gpu_of(device, options)
    if gpu is None:
        assert device is not None
        has_f64 = device.has_f64
        return Machine(device.name, False, device.units, device.most_items, has_f64=has_f64)
    if device is None:
        return Machine(gpu.name, True, gpu.units, gpu.group_items, ALIGNED_BYTES)
    # A processor takes the arrays of the host where they lie.
    aligned = 1 if device.shares_memory else ALIGNED_BYTES
    return Machine(device.name, True, device.units, gpu.group_items, aligned)
