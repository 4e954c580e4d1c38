"""Programs on a device: built from source or binary, and launched on arrays of the host."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tilec_opencl import devices
from tilec_opencl.build import built
from tilec_opencl.opened import buffer_of, opened
from tilec_opencl.program import HostLoop, Launch, Run, evaluate, from_json, launches


class OpenClRunner:
    """Loaded code of one module."""

    def __init__(self, manifest: Mapping[str, Any], source: str, binary: bytes) -> None:
        self._cl: Any = devices.library()
        number: int = manifest["device"]
        device = devices.devices()[number]
        self._device = opened(device)
        self._shares_memory = device.shares_memory
        self._program = from_json(manifest["launches"], source)
        self._inputs: list[tuple[str, int, int, int]] = manifest["inputs"]
        self._outputs: list[tuple[str, int, int, int]] = manifest["outputs"]
        self._temporaries = dict(manifest["temporaries"])
        self._temporaries.update((each.name, each.bytes) for each in self._program.scratch)
        built_program = built(device, source, binary)
        functions = {
            launch.function for run in self._program.runs for launch in launches(run.steps)
        }
        self._kernels = {name: self._cl.Kernel(built_program, name) for name in functions}
        self._constants = {
            name: self._given(bytes.fromhex(data)) for name, data in manifest["constants"]
        }

    def run(
        self, inputs: Sequence[int], outputs: Sequence[int], num_threads: int | None = None
    ) -> None:
        """Run the module once; see ``tilec.runtime.backend.Runner``."""
        devices.check_process()
        given = [
            self._given(_host(address, low * size, high * size))
            for address, (_, low, high, size) in zip(inputs, self._inputs, strict=True)
        ]
        results: list[tuple[object, Any]] = []
        for address, (_, low, high, size) in zip(outputs, self._outputs, strict=True):
            memory = _host(address, low * size, high * size)
            results.append((self._taken(memory), memory))
        self.begin(given, [buffer for buffer, _ in results])
        try:
            for held, memory in results:
                self._fetch(buffer_of(held), memory)
        except self._cl.Error as error:
            raise self._device.failure(error, 0) from error
        self._device.wait()

    def begin(self, inputs: Sequence[object], outputs: Sequence[object]) -> None:
        """Begin to run the module once; see ``tilec.runtime.backend.DeviceRunner``."""
        devices.check_process()
        held: dict[str, Any] = {name: buffer_of(each) for name, each in self._constants.items()}
        for each, (name, *_) in zip(inputs, self._inputs, strict=True):
            held[name] = buffer_of(each)
        for each, (name, *_) in zip(outputs, self._outputs, strict=True):
            held[name] = buffer_of(each)
        # What begins later may have this memory: it waits for its turn in the queue.
        scratch = {name: self._device.lease(size) for name, size in self._temporaries.items()}
        held.update((name, lease.buffer) for name, lease in scratch.items())
        try:
            with self._device.lock:
                for run in self._program.runs:
                    self._steps(run.steps, run, held, {})
                self._device.queue.flush()
        except self._cl.Error as error:
            raise self._device.failure(error, sum(self._temporaries.values())) from error

    def _given(self, memory: Any) -> object:
        data = np.frombuffer(memory, np.uint8)
        if not (self._shares_memory and len(data)):
            return self._device.lend(data)
        mode = self._cl.mem_flags.READ_ONLY | self._cl.mem_flags.USE_HOST_PTR
        try:
            return self._cl.Buffer(self._device.context, mode, hostbuf=data)
        except self._cl.Error as error:
            raise self._device.failure(error, len(data)) from error

    def _taken(self, memory: Any) -> object:
        if not (self._shares_memory and len(memory)):
            return self._device.lease(len(memory))
        flags = self._cl.mem_flags.READ_WRITE | self._cl.mem_flags.USE_HOST_PTR
        data = np.frombuffer(memory, np.uint8)
        return self._cl.Buffer(self._device.context, flags, hostbuf=data)

    def _fetch(self, buffer: Any, memory: Any) -> None:
        if not len(memory):
            return
        queue, data = self._device.queue, np.frombuffer(memory, np.uint8)
        if self._shares_memory:  # mapping is what makes the memory the host's again
            mapped, event = self._cl.enqueue_map_buffer(
                queue, buffer, self._cl.map_flags.READ, 0, data.shape, data.dtype
            )
            event.wait()
            mapped.base.release(queue)
        else:
            self._cl.enqueue_copy(queue, data, buffer)

    def _steps(
        self,
        steps: Sequence[Launch | HostLoop],
        run: Run,
        held: Mapping[str, Any],
        values: dict[str, int],
    ) -> None:
        for step in steps:
            if isinstance(step, HostLoop):
                first, last = evaluate(step.start, values), evaluate(step.stop, values)
                for value in range(first, last, step.step):
                    self._steps(step.body, run, held, {**values, step.var: value})
                continue
            kernel = self._kernels[step.function]
            number = np.int32 if step.index == "int" else np.int64
            buffers = [held[run.names.get(name, name)] for name in step.buffers]
            kernel.set_args(*buffers, *(number(values[name]) for name in step.variables))
            self._cl.enqueue_nd_range_kernel(self._device.queue, kernel, step.sizes, step.local)


def _host(address: int, low: int, high: int) -> Any:
    """Memory of the host from ``low`` to ``high`` bytes around an address."""
    if high <= low:
        return b""
    return (ctypes.c_char * (high - low)).from_address(address + low)
