"""The interface of a backend, for OpenCL devices."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tilec.dtypes import BY_NAME, F64
from tilec.errors import InternalError, TargetError
from tilec.options import Options
from tilec.runtime.backend import DeviceInfo, Runner
from tilec.target.core import Core, host_core

if TYPE_CHECKING:
    from tilec.kernel.ir import Module
    from tilec_opencl.devices import Device
    from tilec_opencl.opened import OpenedDevice

# Code is: magic, lengths of manifest, source and binary, then these.
_MAGIC = b"tilecocl"
_HEAD = struct.Struct("<8sQQQ")
_WIDEST = 16


class OpenClBackend:
    """The target ``opencl``; ``opencl:0`` or ``opencl:nvidia`` choose a device."""

    name = "opencl"
    stages = ("opencl",)

    def fingerprint(self, options: Options) -> str:
        """Device, driver and pyopencl."""
        from tilec_opencl.devices import library

        device = _device(options)
        version = getattr(library(), "VERSION_TEXT", "")
        return f"{device.platform}, {device.name}, {device.version}, pyopencl {version}"

    def devices(self) -> tuple[DeviceInfo, ...]:
        """Every device of every platform."""
        from tilec_opencl.devices import devices

        return tuple(each.info for each in devices())

    def memory(self, target: str) -> OpenedDevice:
        """The memory of the device that ``target`` means."""
        from tilec_opencl.devices import choose
        from tilec_opencl.opened import opened

        return opened(choose(target.partition(":")[2]))

    def core(self, options: Options) -> Core:
        """What the optimiser may assume: a processor's own core, or items without vectors."""
        device = _device(options)
        if device.kind == "cpu":
            return replace(host_core(), threads=device.units, widest_lanes=_WIDEST)
        return Core(name=device.name, vector_bytes=0, threads=device.units)

    def compile(self, module: Module, options: Options) -> bytes:
        """Source, launches and the driver's binary of a module."""
        from tilec_opencl.build import built
        from tilec_opencl.emit import emit_module
        from tilec_opencl.program import to_json
        from tilec_opencl.spelling import OPENCL

        device = _device(options)
        _check(module, device)
        program = emit_module(module, OPENCL, device.machine)
        binary = built(device, program.text).get_info(_binaries())[0]
        buffers = {
            "inputs": [[b.name, b.low, b.high, b.type.dtype.bytes] for b in module.inputs],
            "outputs": [[b.name, b.low, b.high, b.type.dtype.bytes] for b in module.outputs],
            "temporaries": [
                [t.buffer.name, t.buffer.high * t.buffer.type.dtype.bytes]
                for t in module.temporaries
            ],
            "constants": [[c.buffer.name, c.data.hex()] for c in module.constants],
            "launches": to_json(program),
            "device": device.number,
            "fingerprint": self.fingerprint(options),
        }
        manifest, source = json.dumps(buffers).encode(), program.text.encode()
        head = _HEAD.pack(_MAGIC, len(manifest), len(source), len(binary))
        return b"".join((head, manifest, source, binary))

    def text(self, module: Module, stage: str, options: Options) -> str:
        """The source that the driver compiles."""
        from tilec_opencl.emit import emit_module
        from tilec_opencl.spelling import OPENCL

        if stage != "opencl":
            raise TargetError(f"the target opencl has no stage {stage!r}", help="stages: opencl")
        return emit_module(module, OPENCL, _device(options).machine).text

    def load(self, code: bytes, module_name: str, workspace_bytes: int) -> Runner:
        """Make compiled code runnable."""
        from tilec_opencl.runner import OpenClRunner

        if len(code) < _HEAD.size:
            raise InternalError(f"the code of {module_name} is cut off")
        magic, *sizes = _HEAD.unpack_from(code)
        if magic != _MAGIC:
            raise InternalError(f"the code of {module_name} is not of this backend")
        parts: list[bytes] = []
        at = _HEAD.size
        for size in sizes:
            parts.append(code[at : at + size])
            at += size
        return OpenClRunner(json.loads(parts[0]), parts[1].decode(), parts[2])


def _device(options: Options) -> Device:
    from tilec_opencl.devices import choose

    return choose(options.target.partition(":")[2])


def _binaries() -> Any:
    from tilec_opencl.devices import library

    return library().program_info.BINARIES


def _check(module: Module, device: Device) -> None:
    """See that the device has the types of a module."""
    for buffer in module.buffers().values():
        size = (buffer.high - buffer.low) * buffer.type.dtype.bytes
        if size > device.largest_bytes:
            raise TargetError(
                f"{buffer.name} has {size} bytes, and an array on {device.name} has at most "
                f"{device.largest_bytes}",
                help="divide it, or use the target llvm",
            )
    types = {buffer.type.dtype for buffer in module.buffers().values()}
    types |= {b.type.dtype for kernel in module.kernels for b in kernel.locals}
    if F64 in types and not device.has_f64:
        raise TargetError(
            f"{module.name} computes in {BY_NAME['f64']}, which {device.name} does not have",
            help="use f32, or another device ('tilec devices' lists them)",
        )
