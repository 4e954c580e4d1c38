"""Calls whose arrays lie on a device, which the processor is, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from tilec.dtypes import DType
from tilec.program.boundary import public
from tilec.runtime.arrays import Array, end_to_end, take
from tilec.runtime.backend import DeviceMemory
from tilec.runtime.device import HOST, DeviceArray, common_memory, place
from tilec.runtime.dispatch import Call
from tilec.runtime.spec import Spec


@public
def array(x: object, device: str | None = None) -> DeviceArray:
    """Bring an array to a device, where it stays until it is closed or nothing refers to it.

    Calls on such arrays run where they lie, and so do their results: nothing is copied between
    calls, and nobody waits for a result before looking at it. Among them, NumPy arrays and numbers
    are copied to the device for the call.

    Args:
        x: A NumPy array, a number, an object with DLPack or a buffer, or a device array. It is
            copied, whatever it is, row-major and aligned.
        device: ``cpu``, or a target such as ``opencl`` or ``opencl:nvidia``; by default that of
            ``TILEC_TARGET``.

    Raises:
        OutOfMemoryError: the device has no room for it.
        TargetError: there is no such device.

    Example:
        >>> import numpy as np, tilec
        >>> double = tilec.function("function (A[N]) -> (B) { B = A * 2; }")
        >>> with tilec.array(np.ones(3, np.float32), device="cpu") as a:
        ...     double(double(a)).numpy()
        array([4., 4., 4.], dtype=float32)
    """
    return place(x, device)


def memory_in(
    names: Sequence[str], values: Sequence[object], out: object, target: str | None
) -> DeviceMemory | None:
    """Where the device arrays among arguments and ``out`` lie; None when there are none.

    Raises:
        ArgumentError: they lie on several devices, or not where the target runs.
    """
    found = dict(zip(names, values, strict=True))
    if out is not None:
        found |= dict(_several(out))
    return common_memory(found, target)


def spec_there(name: str, value: object, declared: DType | None) -> Spec:
    """What code is compiled for when an argument is passed to a device: it is row-major there."""
    if isinstance(value, DeviceArray):
        return value.spec
    return end_to_end(take(name, value, declared))


def run_there(call: Call, values: Sequence[object], out: object) -> object:
    """Run a prepared call on arrays of a device."""
    if out is None:
        return call(tuple(values))
    call.write(tuple(values), out)
    return out


def on_host(call: Callable[..., Any], values: Sequence[object], out: object) -> Any:
    """A call on arrays of the processor: on their NumPy arrays, with results like them."""
    if out is None:
        return _placed(call(*bare(values)))
    call(*bare(values), out=_bare_out(out))
    return out


class HostArraysCall:
    """A ``Call`` on arrays of the processor: one on their NumPy arrays."""

    is_direct = False

    def __init__(self, call: Call) -> None:
        self._call = call

    def fresh(self, values: tuple[object, ...]) -> object:
        """See ``Call``."""
        return None

    def fill(self, values: tuple[object, ...], out: object) -> bool:
        """See ``Call``."""
        return False

    def __call__(self, values: tuple[object, ...]) -> object:
        """See ``Call``."""
        result = self._call(bare(values))
        return None if result is None else _placed(result)

    def write(self, values: tuple[object, ...], out: object) -> bool:
        """See ``Call``."""
        return self._call.write(bare(values), _bare_out(out))


def bare(values: Sequence[object]) -> tuple[object, ...]:
    """NumPy arrays in the place of arrays of the processor."""
    return tuple(map(_bare, values))


def _bare(value: object) -> object:
    return value.held if isinstance(value, DeviceArray) else value


def _bare_out(out: object) -> object:
    if isinstance(out, Mapping):
        given = cast("Mapping[str, object]", out)
        return {name: _bare(value) for name, value in given.items()}
    if isinstance(out, tuple | list):
        return bare(cast("Sequence[object]", out))
    return _bare(out)


def _several(out: object) -> Iterator[tuple[str, object]]:
    """The arrays of ``out`` by what messages call them."""
    if isinstance(out, Mapping):
        for name, value in cast("Mapping[str, object]", out).items():
            yield f"out[{name!r}]", value
    elif isinstance(out, tuple | list):
        for at, value in enumerate(cast("Sequence[object]", out)):
            yield f"out[{at}]", value
    else:
        yield "out", out


def _placed(result: Any) -> Any:
    if not isinstance(result, tuple):
        return _over(result)
    arrays = cast("tuple[Array, ...]", result)
    make = cast("Callable[..., object]", type(arrays))  # a named tuple, which takes its fields
    return make(*map(_over, arrays))


def _over(array: Array) -> DeviceArray:
    return DeviceArray(HOST, end_to_end(array), array)
