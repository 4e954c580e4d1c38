"""A device in use: its context, its queue and its memory.

There is one queue for each device and it runs in order, so a call can begin before the one before
it is done, and memory that is free on the host may be written by whatever begins later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import cache, partial
from threading import Lock
from typing import Any, Final, cast

import numpy as np

from tilec.errors import OutOfMemoryError, TargetError
from tilec.options import read_environment
from tilec.runtime.arrays import Array
from tilec.runtime.pool import Spare
from tilec.runtime.spec import Spec
from tilec_opencl.devices import Device, check_process, library, status

_WIDEST_BYTES: Final = 128
"""Alignment of the widest vector of OpenCL C, to which all memory of a device begins."""


class Lease:
    """Memory of a device, which goes back when nothing refers to this.

    Attributes:
        buffer: OpenCL's buffer.
        bytes: Its size.
        is_lent: It holds what the host gave it when it was made, and is not used again.
    """

    __slots__ = ("_owner", "buffer", "bytes", "is_lent")

    def __init__(self, owner: OpenedDevice, buffer: Any, size: int, is_lent: bool = False) -> None:
        self._owner = owner
        self.buffer = buffer
        self.bytes = size
        self.is_lent = is_lent

    def __del__(self) -> None:
        self._owner.take_back(self)


class OpenedDevice:
    """See ``tilec.runtime.backend.DeviceMemory``.

    What is handed out and what waits to be used again never exceed the limit together.

    Attributes:
        device: The device.
        context: OpenCL's context.
        queue: Its queue.
        lock: Held while kernels get their arguments: OpenCL keeps them in the kernel.
        limit: Bytes that may be in use.
    """

    def __init__(self, device: Device, limit: int, kept_bytes: int) -> None:
        cl: Any = library()
        self.device = device
        self.target = f"opencl:{device.number}"
        self.context = cl.Context([device.handle])
        self.queue = cl.CommandQueue(self.context)
        self.lock = Lock()
        self.limit = limit
        self._cl = cl
        self._spare: Spare[Any] = Spare(kept_bytes)
        self._used = 0
        self._counting = Lock()
        self._returned: deque[int] = deque()

    @property
    def used_bytes(self) -> int:
        """What is handed out."""
        with self._counting:
            return self._count()

    @property
    def spare_bytes(self) -> int:
        """What waits to be used again."""
        return self._spare.bytes

    def lease(self, size: int) -> Lease:
        """Memory of some bytes, which hold anything.

        Raises:
            OutOfMemoryError: there is no room for it.
        """
        check_process()
        size = max(1, size)
        with self._counting:
            used = self._admitted(size)
            buffer = self._spare.take(size)
            if buffer is None:
                buffer = self._made(size, used, partial(self._buffer, size))
            self._used += size
        return Lease(self, buffer, size)

    def _admitted(self, size: int) -> int:
        """What is in use, where there is room for some bytes more."""
        used = self._count()
        if size > self.device.largest_bytes:
            why = f"one array has {self.device.largest_bytes} at most"
            raise OutOfMemoryError.on(self.device.name, size, used, self.limit, why)
        if used + size > self.limit:
            raise OutOfMemoryError.on(self.device.name, size, used, self.limit)
        return used

    def take_back(self, lease: Lease) -> None:
        """Keep the memory of a lease that has ended, if there is room to keep it.

        This happens on any thread and in the middle of anything, so that no lock is taken.
        """
        self._returned.append(lease.bytes)
        if not lease.is_lent:
            self._spare.give(lease.bytes, lease.buffer)

    def _count(self) -> int:
        while self._returned:
            self._used -= self._returned.popleft()
        return self._used

    def _made(self, size: int, used: int, make: Callable[[], Any]) -> Any:
        if used + size + self._spare.bytes > self.limit:
            self._spare.waiting.clear()
        try:
            return make()
        except self._cl.MemoryError:
            self._spare.waiting.clear()
            self.wait()  # what runs may hold memory that was given back
        try:
            return make()
        except self._cl.Error as error:
            raise self.failure(error, size) from error

    def _buffer(self, size: int) -> Any:
        """New memory. A processor gets NumPy's, which asks for large pages where PoCL does not."""
        flags = self._cl.mem_flags
        if not self.device.shares_memory:
            return self._cl.Buffer(self.context, flags.READ_WRITE, size)
        memory = np.empty(size + _WIDEST_BYTES, np.uint8)
        skip = -memory.ctypes.data % _WIDEST_BYTES
        mode = flags.READ_WRITE | flags.USE_HOST_PTR
        return self._cl.Buffer(self.context, mode, hostbuf=memory[skip : skip + size])

    def failure(self, error: Any, size: int) -> TargetError:
        """What callers are told when OpenCL raises ``error`` while ``size`` bytes are wanted."""
        name = f"{error.routine} answers {status(self._cl, error)}"
        if isinstance(error, self._cl.MemoryError):
            return OutOfMemoryError.on(self.device.name, size, self._used, self.limit, name)
        return TargetError(
            f"{self.device.name} cannot run the program: {name}",
            help="try another device ('tilec devices' lists them) or the target llvm",
        )

    # What ``DeviceMemory`` promises.

    def empty(self, spec: Spec) -> Lease:
        """See ``DeviceMemory``."""
        return self.lease(spec.bytes)

    def lend(self, array: Array) -> Lease:
        """See ``DeviceMemory``. The driver copies at once, without waiting for the queue."""
        flags = self._cl.mem_flags.READ_ONLY | self._cl.mem_flags.COPY_HOST_PTR
        data = _bytes(array) if array.nbytes else np.zeros(1, np.uint8)
        check_process()
        with self._counting:
            used = self._admitted(data.nbytes)
            make = partial(self._cl.Buffer, self.context, flags, hostbuf=data)
            buffer = self._made(data.nbytes, used, make)
            self._used += data.nbytes
        return Lease(self, buffer, data.nbytes, is_lent=True)

    def write(self, held: object, array: Array) -> None:
        """See ``DeviceMemory``."""
        self._copy(cast("Lease", held).buffer, _bytes(array), array.nbytes)

    def read(self, held: object, array: Array) -> None:
        """See ``DeviceMemory``."""
        self._copy(_bytes(array), cast("Lease", held).buffer, array.nbytes)

    def _copy(self, target: Any, source: Any, size: int) -> None:
        if not size:
            return
        check_process()
        try:
            self._cl.enqueue_copy(self.queue, target, source, is_blocking=True)
        except self._cl.Error as error:
            raise self.failure(error, size) from error

    def wait(self) -> None:
        """See ``DeviceMemory``."""
        check_process()
        try:
            self.queue.finish()
        except self._cl.Error as error:
            raise self.failure(error, 0) from error


@cache
def opened(device: Device) -> OpenedDevice:
    """A device, opened once in a process."""
    environment = read_environment()
    limit = min(environment.device_bytes or device.global_bytes, device.global_bytes)
    return OpenedDevice(device, limit, min(environment.pool_bytes, limit))


def buffer_of(held: object) -> Any:
    """OpenCL's buffer of what the memory handed out."""
    return held.buffer if isinstance(held, Lease) else held


def _bytes(array: Array) -> Any:
    """The bytes of a row-major array."""
    return array.reshape(-1).view(np.uint8)
