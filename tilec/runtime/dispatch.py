"""From a call to code: one look-up by signature and one foreign call.

The signature of a call is what its code was compiled for: dtype, shape and strides of arrays, the
type of plain numbers. A ``NativeCall`` is everything prepared for one signature; running it touches
nothing but the addresses of the arrays. ``Recent`` bounds how many are kept.

This is the one part of tilec that every small call pays for, so it is written for speed: no
checks that the signature makes needless, no look-up twice.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import count
from math import prod
from threading import Lock
from typing import Final, Generic, Protocol, TypeAlias, TypeVar, cast

import numpy as np

from tilec.dtypes import DType
from tilec.runtime.arrays import Array, NumpyDType, addresses_of, allocate, number_array
from tilec.runtime.outputs import Destination, Result

Signature: TypeAlias = "tuple[Hashable, ...]"
Run: TypeAlias = "Callable[[Sequence[int], Sequence[int]], None]"
MakeResult: TypeAlias = "Callable[..., object]"

_Value = TypeVar("_Value")

_LOWEST_I32: Final = -(1 << 31)
_ABOVE_I32: Final = 1 << 31
_ABOVE_I64: Final = 1 << 63
_SMALL_BYTES: Final = 1 << 14


def signature(values: tuple[object, ...]) -> Signature | None:
    """What selects the code of a call, or None when only a closer look can tell."""
    parts: list[Hashable] = []
    for value in values:
        kind = type(value)
        if kind is np.ndarray:
            array = cast("Array", value)
            parts.append((array.dtype, array.shape, array.strides))
        elif kind is float or kind is bool:
            parts.append(kind)
        elif kind is int:
            parts.append(_width(cast("int", value)))
        else:
            return None
    return tuple(parts)


def signature_by_value(values: tuple[object, ...], specialised: frozenset[int]) -> Signature | None:
    """The signature of a function some of whose inputs are sizes, which count by value.

    Args:
        values: The arguments.
        specialised: Positions of the inputs that count by value.
    """
    parts = signature(values)
    if parts is None:
        return None
    known: list[Hashable] = [parts]
    for at in specialised:
        value = values[at]
        if type(value) is np.ndarray:
            array = cast("Array", value)
            if array.ndim != 0:
                return None
            known.append(cast("Hashable", array.item()))
        else:
            known.append(cast("Hashable", value))
    return tuple(known)


class Call(Protocol):
    """One signature, ready to run; may be called from several threads at once."""

    def __call__(self, values: tuple[object, ...]) -> object:
        """Run with fresh results; None when an array is not aligned to its elements."""
        ...

    def into(self, values: Sequence[Array], destinations: Sequence[Destination]) -> None:
        """Run with arrays that were checked, into memory of the caller."""
        ...


class NativeCall:
    """A ``Call`` of generated code."""

    __slots__ = (
        "_bits",
        "_constants",
        "_kept",
        "_make",
        "_masks",
        "_numbers",
        "_order",
        "_results",
        "_run",
    )

    def __init__(
        self,
        run: Run,
        *,
        inputs: Sequence[DType],
        numbers: Sequence[tuple[int, str]],
        order: Sequence[int],
        constants: Sequence[Array],
        results: Sequence[Result],
        make: MakeResult | None,
    ) -> None:
        """Prepare a call.

        Args:
            run: Runs the code with the addresses of inputs and outputs.
            inputs: Element type of each argument.
            numbers: Position and name of the arguments that are Python numbers.
            order: Positions of the arguments in the order in which the code takes them.
            constants: Arrays that follow them, aligned and row-major.
            results: What the code computes.
            make: Makes the result of a call from several arrays; None for one array.
        """
        self._run = run
        self._numbers = tuple((at, name, inputs[at]) for at, name in numbers)
        self._masks = tuple(dtype.bytes - 1 for dtype in inputs)
        self._bits = max(self._masks, default=0)
        in_order = tuple(order) == tuple(range(len(inputs)))
        self._order = None if in_order else tuple(order)
        self._kept = tuple(constants)
        self._constants = addresses_of(constants)
        self._results: tuple[tuple[tuple[int, ...], NumpyDType, bool], ...] = tuple(
            (r.shape, r.dtype, prod(r.shape) * r.dtype.itemsize < _SMALL_BYTES) for r in results
        )
        self._make = make

    def __call__(self, values: tuple[object, ...]) -> object:
        """Run with fresh results; None when an array is not aligned to its elements."""
        if self._numbers:
            values = self._with_arrays(values)
        arrays = cast("tuple[Array, ...]", values)
        inputs = addresses_of(arrays)
        bits = 0
        for address in inputs:
            bits |= address
        if bits & self._bits and self._is_unaligned(inputs):
            return None
        results = [
            np.empty(shape, dtype) if small else allocate(shape, dtype)
            for shape, dtype, small in self._results
        ]
        self._start(inputs, addresses_of(results))
        return results[0] if self._make is None else self._make(*results)

    def into(self, values: Sequence[Array], destinations: Sequence[Destination]) -> None:
        """Run with arrays that were checked, into memory of the caller."""
        self._start(
            addresses_of(values),
            addresses_of([destination.written for destination in destinations]),
        )

    def _start(self, inputs: list[int], outputs: list[int]) -> None:
        if self._order is not None:
            inputs = [inputs[at] for at in self._order]
        if self._constants:
            inputs += self._constants
        self._run(inputs, outputs)

    def _is_unaligned(self, inputs: list[int]) -> bool:
        return any(address & mask for address, mask in zip(inputs, self._masks, strict=True))

    def _with_arrays(self, values: tuple[object, ...]) -> tuple[object, ...]:
        changed = list(values)
        for at, name, dtype in self._numbers:
            changed[at] = number_array(name, cast("float", values[at]), dtype)
        return tuple(changed)


@dataclass(slots=True)
class _Slot(Generic[_Value]):
    value: _Value
    used: int


class Recent(Generic[_Value]):
    """A bounded table; when it is full, the value that was unused for longest goes.

    Reading takes no lock: a look-up in a dict is atomic, and a mark that gets lost between two
    threads only makes a value look a little older than it is.
    """

    __slots__ = ("_clock", "_limit", "_lock", "_slots")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._slots: dict[Hashable, _Slot[_Value]] = {}
        self._clock = count().__next__
        self._lock = Lock()

    def get(self, key: Hashable) -> _Value | None:
        """The value under ``key``, or None."""
        slot = self._slots.get(key)
        if slot is None:
            return None
        slot.used = self._clock()
        return slot.value

    def put(self, key: Hashable, value: _Value) -> None:
        """Keep a value."""
        with self._lock:
            self._slots[key] = _Slot(value, self._clock())
            if len(self._slots) > self._limit:
                del self._slots[min(self._slots, key=lambda known: self._slots[known].used)]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._slots.clear()

    def __len__(self) -> int:
        return len(self._slots)


def _width(value: int) -> str:
    """Which integer type a Python integer takes, as ``number_dtype`` chooses it."""
    if _LOWEST_I32 <= value < _ABOVE_I32:
        return "i32"
    return "i64" if -_ABOVE_I64 <= value < _ABOVE_I64 else "u64"
