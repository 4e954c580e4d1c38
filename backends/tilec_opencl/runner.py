"""Programs on a device: built from source or binary, and launched on arrays of the host."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from tilec.errors import InternalError, TargetError
from tilec_opencl import devices
from tilec_opencl.devices import Device
from tilec_opencl.program import HostLoop, Launch, Run, evaluate, from_json

_EXCERPT = 12
"""Lines of the source that the report of a failed build shows."""


def built(device: Device, source: str, binary: bytes = b"") -> Any:
    """The program, built; from the driver's own binary if it still takes that."""
    cl: Any = devices.library()
    context, _, _ = devices.context(device)
    # Warnings are of no use to anybody here, and drivers print them.
    options = ["-cl-std=CL1.2", "-w"]
    if device.handle.single_fp_config & cl.device_fp_config.CORRECTLY_ROUNDED_DIVIDE_SQRT:
        options.append("-cl-fp32-correctly-rounded-divide-sqrt")
    if binary:
        with suppress(cl.Error):  # of another version of the driver: the source is there, too
            return cl.Program(context, [device.handle], [binary]).build(options)
    try:
        return cl.Program(context, source).build(options, cache_dir=False)
    except cl.Error as error:
        raise InternalError(
            f"the driver of {device.name} does not compile a kernel: {error}\n{_excerpt(source)}"
        ) from error


class OpenClRunner:
    """Loaded code of one module."""

    def __init__(self, manifest: Mapping[str, Any], source: str, binary: bytes) -> None:
        self._cl: Any = devices.library()
        number: int = manifest["device"]
        self._device = devices.devices()[number]
        self._program = from_json(manifest["launches"], source)
        self._inputs: list[tuple[str, int, int, int]] = manifest["inputs"]
        self._outputs: list[tuple[str, int, int, int]] = manifest["outputs"]
        self._temporaries = dict(manifest["temporaries"])
        self._temporaries.update((each.name, each.bytes) for each in self._program.scratch)
        built_program = built(self._device, source, binary)
        functions = {
            launch.function for run in self._program.runs for launch in _launches(run.steps)
        }
        self._kernels = {name: self._cl.Kernel(built_program, name) for name in functions}
        self._constants = {
            name: self._given(bytes.fromhex(data)) for name, data in manifest["constants"]
        }

    def run(
        self, inputs: Sequence[int], outputs: Sequence[int], num_threads: int | None = None
    ) -> None:
        """Run the module once; see ``tilec.runtime.backend.Runner``."""
        cl = self._cl
        _, queue, pool = devices.context(self._device)
        try:
            with devices.lock(self._device):
                held: dict[str, Any] = dict(self._constants)
                for address, (name, low, high, size) in zip(inputs, self._inputs, strict=True):
                    held[name] = self._given(_host(address, low * size, high * size))
                results: list[tuple[Any, Any]] = []
                for address, (name, low, high, size) in zip(outputs, self._outputs, strict=True):
                    memory = _host(address, low * size, high * size)
                    held[name] = self._taken(memory)
                    results.append((held[name], memory))
                for name, size in self._temporaries.items():
                    held[name] = pool.allocate(max(1, size))
                for run in self._program.runs:
                    self._steps(queue, run.steps, run, held, {})
                for buffer, memory in results:
                    self._fetch(queue, buffer, memory)
                queue.finish()
        except cl.MemoryError as error:
            needed = sum(self._temporaries.values())
            limit = self._device.global_bytes
            raise TargetError(
                f"{self._device.name} has no memory left: {needed} bytes of scratch memory are "
                f"wanted beside the arrays, and it has {limit} bytes in all ({error})"
            ) from error
        except cl.Error as error:
            raise TargetError(f"{self._device.name} cannot run the program: {error}") from error

    def _given(self, memory: Any) -> Any:
        flags = self._cl.mem_flags
        context, _, _ = devices.context(self._device)
        data = np.frombuffer(memory, np.uint8) if len(memory) else np.zeros(1, np.uint8)
        mode = flags.USE_HOST_PTR if self._device.shares_memory else flags.COPY_HOST_PTR
        return self._cl.Buffer(context, flags.READ_ONLY | mode, hostbuf=data)

    def _taken(self, memory: Any) -> Any:
        flags = self._cl.mem_flags
        context, _, pool = devices.context(self._device)
        if self._device.shares_memory and len(memory):
            data = np.frombuffer(memory, np.uint8)
            return self._cl.Buffer(context, flags.READ_WRITE | flags.USE_HOST_PTR, hostbuf=data)
        return pool.allocate(max(1, len(memory)))

    def _fetch(self, queue: Any, buffer: Any, memory: Any) -> None:
        if not len(memory):
            return
        data = np.frombuffer(memory, np.uint8)
        if self._device.shares_memory:  # mapping is what makes the memory the host's again
            mapped, event = self._cl.enqueue_map_buffer(
                queue, buffer, self._cl.map_flags.READ, 0, data.shape, data.dtype
            )
            event.wait()
            mapped.base.release(queue)
        else:
            self._cl.enqueue_copy(queue, data, buffer)

    def _steps(
        self,
        queue: Any,
        steps: Sequence[Launch | HostLoop],
        run: Run,
        held: Mapping[str, Any],
        values: dict[str, int],
    ) -> None:
        for step in steps:
            if isinstance(step, HostLoop):
                first, last = evaluate(step.start, values), evaluate(step.stop, values)
                for value in range(first, last, step.step):
                    self._steps(queue, step.body, run, held, {**values, step.var: value})
                continue
            kernel = self._kernels[step.function]
            number = np.int32 if step.index == "int" else np.int64
            buffers = [held[run.names.get(name, name)] for name in step.buffers]
            kernel.set_args(*buffers, *(number(values[name]) for name in step.variables))
            self._cl.enqueue_nd_range_kernel(queue, kernel, step.sizes, step.local)


def _launches(steps: Sequence[Launch | HostLoop]) -> list[Launch]:
    found: list[Launch] = []
    for step in steps:
        found += _launches(step.body) if isinstance(step, HostLoop) else [step]
    return found


def _host(address: int, low: int, high: int) -> Any:
    """Memory of the host from ``low`` to ``high`` bytes around an address."""
    if high <= low:
        return b""
    return (ctypes.c_char * (high - low)).from_address(address + low)


def _excerpt(source: str) -> str:
    lines = source.splitlines()
    return "\n".join(lines[:_EXCERPT])
