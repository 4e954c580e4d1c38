"""The interface of a backend, for OpenCL devices."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

from tilec.dtypes import BY_NAME, F64
from tilec.errors import InternalError, OutOfMemoryError, TargetError
from tilec.options import Options
from tilec.runtime.backend import DeviceInfo, Runner

if TYPE_CHECKING:
    from tilec.kernel.ir import Module
    from tilec.target.core import Core
    from tilec_opencl.devices import Device
    from tilec_opencl.opened import OpenedDevice

# Code is: magic, lengths of manifest, source and binary, then these.
_MAGIC = b"tilecocl"
_HEAD = struct.Struct("<8sQQQ")


class OpenClBackend:
    """The target ``opencl``; ``opencl:0`` or ``opencl:nvidia`` choose a device."""

    name = "opencl"
    stages = ("cuda", "opencl")

    def fingerprint(self, options: Options) -> str:
        """Device, driver, pyopencl, and what a file of the user says of the device.

        The number of the device is kept in the code, and can change under a name that does not.
        """
        from tilec_opencl.described import device_of, file_of
        from tilec_opencl.devices import library

        device, given = device_of(options), file_of(options)
        parts = [] if given is None else [str(given)]
        if device is None:
            return ", ".join(["no device", *parts])
        parts += [f"opencl:{device.number}", device.platform, device.name, device.version]
        return ", ".join([*parts, f"pyopencl {getattr(library(), 'VERSION_TEXT', '')}"])

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
        from tilec_opencl.described import core_of, device_of

        return core_of(device_of(options), options)

    def compile(self, module: Module, options: Options) -> bytes:
        """Source, launches and the driver's binary of a module."""
        from tilec_opencl.build import built, check_groups
        from tilec_opencl.described import device_of, machine_of
        from tilec_opencl.emit import emit_module
        from tilec_opencl.program import to_json
        from tilec_opencl.spelling import OPENCL

        device = device_of(options)
        program = emit_module(module, OPENCL, machine_of(device, options))
        binary = b""
        if device is not None:
            _check(module, device)
            made = built(device, program.text)
            check_groups(device, made, program)
            binary = made.get_info(_binaries())[0]
        buffers = {
            "inputs": [[b.name, b.low, b.high, b.type.dtype.bytes] for b in module.inputs],
            "outputs": [[b.name, b.low, b.high, b.type.dtype.bytes] for b in module.outputs],
            "temporaries": [
                [t.buffer.name, t.buffer.high * t.buffer.type.dtype.bytes]
                for t in module.temporaries
            ],
            "constants": [[c.buffer.name, c.data.hex()] for c in module.constants],
            "launches": to_json(program),
            "device": None if device is None else device.number,
            "fingerprint": self.fingerprint(options),
        }
        manifest, source = json.dumps(buffers).encode(), program.text.encode()
        head = _HEAD.pack(_MAGIC, len(manifest), len(source), len(binary))
        return b"".join((head, manifest, source, binary))

    def text(self, module: Module, stage: str, options: Options) -> str:
        """The source that the driver compiles, or the same as CUDA C."""
        from tilec_opencl.described import device_of, machine_of
        from tilec_opencl.emit import emit_module
        from tilec_opencl.spelling import CUDA, OPENCL

        if stage not in self.stages:
            stages = ", ".join(self.stages)
            raise TargetError(f"the target opencl has no stage {stage!r}", help=f"stages: {stages}")
        # For a description that is given the text is that for its devices, whatever is here.
        machine = machine_of(None if options.gpu else device_of(options), options)
        if stage == "opencl":
            return emit_module(module, OPENCL, machine).text
        if not machine.is_gpu:
            return "// CUDA C is printed for GPUs; for one that is not here with --gpu nvidia\n"
        return emit_module(module, CUDA, machine).text

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
        manifest = json.loads(parts[0])
        if manifest["device"] is None:
            raise TargetError(
                f"{module_name} was compiled for a description, without an OpenCL device",
                help="compile it on a machine that has one",
            )
        return OpenClRunner(manifest, parts[1].decode(), parts[2])


def _binaries() -> Any:
    from tilec_opencl.devices import library

    return library().program_info.BINARIES


def _check(module: Module, device: Device) -> None:
    """See that the device has the types of a module, and room for each of its arrays."""
    from tilec.kernel.walk import expressions
    from tilec_opencl.opened import opened

    for buffer in module.buffers().values():
        size = (buffer.high - buffer.low) * buffer.type.dtype.bytes
        if size > device.largest_bytes:
            memory = opened(device)
            why = f"{buffer.name} is one array, which has {device.largest_bytes} at most"
            raise OutOfMemoryError.on(device.name, size, memory.used_bytes, memory.limit, why)
    types = {buffer.type.dtype for buffer in module.buffers().values()}
    for kernel in module.kernels:
        types |= {buffer.type.dtype for buffer in kernel.locals}
        types |= {expr.type.dtype for expr in expressions(kernel.body)}
    if F64 in types and not device.has_f64:
        raise TargetError(
            f"{module.name} computes in {BY_NAME['f64']}, which {device.name} does not have",
            help="use f32, or another device ('tilec devices' lists them)",
        )
