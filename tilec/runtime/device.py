"""Arrays that stay on a device between calls.

``array`` brings one there and ``DeviceArray.numpy`` brings it back; calls on such arrays leave
their results there, so that nothing is copied between them, and nobody waits before someone looks
at a result. The processor that runs Python is a device like any other, called ``cpu``.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, Final, Self, cast

import numpy as np

from tilec.errors import ArgumentError
from tilec.options import read_environment
from tilec.runtime.arrays import Array, NumpyDType, allocate, end_to_end, numpy_dtype, take
from tilec.runtime.backend import DeviceBackend, DeviceMemory, find_backend
from tilec.runtime.spec import Spec

if TYPE_CHECKING:
    from types import TracebackType

CPU: Final = "cpu"
_REFERENCE: Final = "reference"
_DLPACK_CPU: Final = (1, 0)
_DLPACK_OPENCL: Final = 4


class HostMemory:
    """The memory of this process; it hands out NumPy arrays."""

    target = CPU

    def empty(self, spec: Spec) -> Array:
        """See ``DeviceMemory``."""
        return allocate(spec.shape, numpy_dtype(spec.dtype))

    def lend(self, array: Array) -> Array:
        """See ``DeviceMemory``."""
        return array

    def write(self, held: object, array: Array) -> None:
        """See ``DeviceMemory``."""
        np.copyto(cast("Array", held), array)

    def read(self, held: object, array: Array) -> None:
        """See ``DeviceMemory``."""
        np.copyto(array, cast("Array", held))

    def wait(self) -> None:
        """See ``DeviceMemory``. Calls are done when they return."""


HOST: Final = HostMemory()


class DeviceArray:
    """A row-major array on a device. Made by ``tilec.array``, and by calls on such arrays.

    Its memory is given back by ``close``, at the end of a ``with`` block, or when nothing refers
    to the array any more.
    """

    __slots__ = ("_held", "_memory", "_spec", "key")

    def __init__(self, memory: DeviceMemory, spec: Spec, held: object) -> None:
        """An array over memory that was handed out for it."""
        self._memory = memory
        self._spec = spec
        self._held: object = held
        self.key: Hashable = (memory.target, spec.dtype.name, spec.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents."""
        return self._spec.shape

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self._spec.shape)

    @property
    def dtype(self) -> NumpyDType:
        """The element type as NumPy has it."""
        return numpy_dtype(self._spec.dtype)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return self._spec.bytes

    @property
    def device(self) -> str:
        """Where it lies: ``cpu``, or what ``target=`` says to mean the device."""
        return self._memory.target

    @property
    def closed(self) -> bool:
        """Whether its memory was given back."""
        return self._held is None

    @property
    def spec(self) -> Spec:
        """What code is compiled for when it is passed."""
        return self._spec

    @property
    def memory(self) -> DeviceMemory:
        """The memory in which it lies."""
        return self._memory

    @property
    def held(self) -> object:
        """What the memory handed out for it.

        Raises:
            ArgumentError: the array is closed.
        """
        if self._held is None:
            raise ArgumentError(f"an array of shape {list(self.shape)} is used after it was closed")
        return self._held

    def numpy(self) -> Array:
        """Its elements in a NumPy array of the caller's own, when they are there."""
        result = allocate(self.shape, self.dtype)
        self._memory.read(self.held, result)
        return result

    def to(self, device: str) -> DeviceArray:
        """The array on another device; itself where it lies there already."""
        memory = memory_of(device)
        if memory is self._memory:
            return self
        return _placed(memory, self.numpy())

    def wait(self) -> DeviceArray:
        """Wait until the device has computed it; errors of kernels come up here."""
        _ = self.held
        self._memory.wait()
        return self

    def close(self) -> None:
        """Give its memory back; again is no error. What runs on it now is finished first."""
        self._held = None

    def __enter__(self) -> Self:
        """See ``close``."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __array__(self, dtype: NumpyDType | None = None, copy: bool | None = None) -> Array:
        """For NumPy: without a copy, and not to be written, where it lies on the processor."""
        if self._memory is not HOST:
            if copy is False:
                raise ValueError(f"an array on {self.device} is copied to be read here")
            found = self.numpy()
        else:
            found = cast("Array", self.held).view()
            found.flags.writeable = False
        wanted = found.dtype if dtype is None else dtype
        return found.astype(wanted, copy=bool(copy) or wanted != found.dtype)

    def __dlpack_device__(self) -> tuple[int, int]:
        """Type and number of the device, as DLPack counts them."""
        if self._memory is HOST:
            return _DLPACK_CPU
        return _DLPACK_OPENCL, int(self.device.rpartition(":")[2])

    def __dlpack__(
        self,
        *,
        stream: object = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> object:
        """A capsule for other libraries; of what lies on a device, of a copy on the processor.

        Raises:
            BufferError: the array itself was asked for, and it is not on the processor.
        """
        if stream is not None:
            raise BufferError("stream must be None")
        if self._memory is HOST:
            array: Any = self.held
            if copy:
                array = self.numpy()
        elif dl_device == _DLPACK_CPU and copy is not False:
            array = self.numpy()
        else:
            raise BufferError(
                f"the array lies on {self.device}, which other libraries cannot read; "
                "numpy() copies it"
            )
        return array.__dlpack__() if max_version is None else _versioned(array, max_version)

    def __repr__(self) -> str:
        state = ", closed" if self.closed else ""
        return f"<tilec.DeviceArray {self._spec} on {self.device}{state}>"


def _versioned(array: Any, max_version: tuple[int, int]) -> object:
    try:
        return array.__dlpack__(max_version=max_version)
    except TypeError:  # NumPy before 2.1
        return array.__dlpack__()


def place(x: object, device: str | None) -> DeviceArray:
    """Bring an array to a device; see ``tilec.array``."""
    memory = memory_of(read_environment().target if device is None else device)
    if isinstance(x, DeviceArray):
        if x.memory is memory:
            return _placed(memory, x.numpy())
        return x.to(memory.target)
    return _placed(memory, take("x", x, None))


def _placed(memory: DeviceMemory, array: Array) -> DeviceArray:
    spec = end_to_end(array)
    held = memory.empty(spec)
    memory.write(held, np.ascontiguousarray(array).reshape(spec.shape))
    return DeviceArray(memory, spec, held)


def memory_of(target: str) -> DeviceMemory:
    """The memory on which a target works.

    Raises:
        TargetError: there is no such target or device.
    """
    if target in (CPU, _REFERENCE):
        return HOST
    backend = find_backend(target)
    return backend.memory(target) if isinstance(backend, DeviceBackend) else HOST


def common_memory(values: Mapping[str, object], target: str | None) -> DeviceMemory | None:
    """Where the device arrays among some arguments lie; None when there are none.

    Args:
        values: The arguments by what messages call them.
        target: What the caller wants to run on, if that was said.

    Raises:
        ArgumentError: they lie on several devices, or not where the target runs.
    """
    first, found = "", None
    for name, value in values.items():
        if not isinstance(value, DeviceArray):
            continue
        if found is None:
            first, found = name, value.memory
        elif value.memory is not found:
            raise ArgumentError(
                f"{first} lies on {found.target}, and {name} on {value.device}",
                help=f"bring them to one device, as with {name}.to({found.target!r})",
            )
    if found is None or target is None or memory_of(target) is found:
        return found
    raise ArgumentError(
        f"{first} lies on {found.target}, and the target is {target}",
        help=f"leave out the target, or pass {first}.to({memory_of(target).target!r})",
    )
