"""From a call to code: one look-up by signature and one foreign call.

The signature of a call is what its code was compiled for: dtype, shape and strides of arrays, the
type of plain numbers. A ``NativeCall`` is everything prepared for one signature; running it touches
nothing but the addresses of the arrays. ``Recent`` bounds how many are kept.

This is the one part of tilec that every small call pays for, so it is written for speed: no
checks that the signature makes needless, no look-up twice.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import count, pairwise
from math import prod
from struct import Struct
from threading import Lock
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

import numpy as np

from tilec.records import dataclass
from tilec.runtime.arrays import (
    Array,
    NumpyDType,
    addresses_of,
    allocate,
    number_array,
    numpy_dtype,
)
from tilec.runtime.backend import Direct
from tilec.runtime.device import DeviceArray
from tilec.runtime.outputs import Destination, Result
from tilec.runtime.spec import Spec

Signature: TypeAlias = "tuple[Hashable, ...]"
Run: TypeAlias = "Callable[[Sequence[int], Sequence[int]], None]"
MakeResult: TypeAlias = "Callable[..., object]"

_Value = TypeVar("_Value")

_LOWEST_I32: Final = -(1 << 31)
_ABOVE_I32: Final = 1 << 31
_ABOVE_I64: Final = 1 << 63
_SMALL_BYTES: Final = 1 << 14

# Looked up once, not at each call.
_ndarray: Final[type[object]] = np.ndarray
_empty: Final = np.empty
_array: Final = np.array

# Every float type holds numbers of this size.
_SURE_TO_FIT: Final = 1 << 15


def signature(values: tuple[Any, ...]) -> Signature | None:
    """What selects the code of a call, or None when only a closer look can tell."""
    parts: list[Hashable] = []
    for value in values:
        # A cast for the type checker would take a tenth of the time of all this.
        kind = type(value)  # pyright: ignore[reportUnknownVariableType]
        if kind is _ndarray:
            parts.append((value.dtype, value.shape, value.strides))
        elif kind is float or kind is bool:
            parts.append(kind)
        elif kind is int:
            parts.append(_width(value))
        elif kind is DeviceArray:
            parts.append(value.key)
        else:
            return None
    return tuple(parts)


def signature_by_value(values: tuple[Any, ...], specialised: frozenset[int]) -> Signature | None:
    """The signature of a function some of whose inputs are sizes, which count by value.

    Args:
        values: The arguments.
        specialised: Positions of the inputs that count by value.
    """
    parts = signature(values)
    if parts is None or not specialised:
        return parts
    known: list[Hashable] = [parts]
    for at in specialised:
        value = values[at]
        if type(value) is DeviceArray:
            return None  # its value would have to be fetched
        if type(value) is not _ndarray:
            known.append(value)
        elif value.ndim == 0:
            known.append(value.item())
        else:
            return None
    return tuple(known)


class Call(Protocol):
    """One signature, ready to run; may be called from several threads at once."""

    @property
    def is_direct(self) -> bool:
        """Whether ``fresh`` and ``fill`` are worth a try before the signature is looked at."""
        ...

    def fresh(self, values: tuple[object, ...]) -> object:
        """Run with a fresh result, whatever the arguments are; None when they do not fit."""
        ...

    def fill(self, values: tuple[object, ...], out: object) -> bool:
        """Run into ``out``, whatever it and the arguments are; False when they do not fit."""
        ...

    def __call__(self, values: tuple[object, ...]) -> object:
        """Run with fresh results; None when an array is not aligned to its elements."""
        ...

    def write(self, values: tuple[object, ...], out: object) -> bool:
        """Run into memory of the caller if a quick look shows that it fits.

        False says that nothing was done and that only a closer look can tell.
        """
        ...


class HostCall(Call, Protocol):
    """A ``Call`` on arrays of the host."""

    def into(self, values: Sequence[Array], destinations: Sequence[Destination]) -> None:
        """Run with arrays that were checked, into memory of the caller."""
        ...


class NativeCall:
    """A ``Call`` of generated code."""

    __slots__ = (
        "_arity",
        "_bits",
        "_checks",
        "_constants",
        "_direct",
        "_kept",
        "_make",
        "_masks",
        "_numbers",
        "_objects",
        "_order",
        "_reach",
        "_results",
        "_run",
        "_single",
        "_sizes",
    )

    def __init__(
        self,
        run: Run,
        *,
        inputs: Sequence[Spec],
        numbers: Sequence[tuple[int, str]],
        order: Sequence[int],
        constants: Sequence[Array],
        results: Sequence[Result],
        make: MakeResult | None,
        direct: Direct | None = None,
    ) -> None:
        """Prepare a call.

        Args:
            run: Runs the code with the addresses of inputs and outputs.
            inputs: Type of each argument.
            numbers: Position and name of the arguments that are Python numbers.
            order: Positions of the arguments in the order in which the code takes them; those
                that it does not take are left out.
            constants: Arrays that follow them, aligned and row-major.
            results: What the code computes.
            make: Makes the result of a call from several arrays; None for one array.
            direct: Runs the code on array objects, all inputs in their order and the results.
        """
        self._direct = None if make is not None else direct
        self._objects = Struct(f"{len(inputs) + len(results)}P").pack
        self._arity = len(inputs)
        self._run = run
        order = tuple(order)
        self._numbers = tuple(
            (order.index(at), name, dtype, numpy_dtype(dtype), dtype.is_float)
            for at, name, dtype in ((at, name, inputs[at].dtype) for at, name in numbers)
            if at in order
        )
        self._masks = tuple(inputs[at].dtype.bytes - 1 for at in order)
        self._reach = tuple(inputs[at].reach_bytes for at in order)
        self._bits = max(self._masks, default=0)
        self._order = None if order == tuple(range(len(inputs))) else order
        self._kept = tuple(constants)
        self._constants = addresses_of(constants)
        self._results: tuple[tuple[tuple[int, ...], NumpyDType, bool], ...] = tuple(
            (r.shape, r.dtype, prod(r.shape) * r.dtype.itemsize < _SMALL_BYTES) for r in results
        )
        self._sizes = tuple(prod(r.shape) * r.dtype.itemsize for r in results)
        self._checks = tuple(
            (mask, low, high) for mask, (low, high) in zip(self._masks, self._reach, strict=True)
        )
        self._make = make
        is_single = make is None and self._results[0][2]
        self._single = self._results[0][:2] if is_single else None

    @property
    def is_direct(self) -> bool:
        """Whether ``fresh`` and ``fill`` can do anything."""
        return self._direct is not None

    def fresh(self, values: tuple[object, ...]) -> object:
        """Run with a fresh result, whatever the arguments are; None when they do not fit."""
        if self._direct is None or len(values) != self._arity:
            return None
        shape, dtype, is_small = self._results[0]
        result = _empty(shape, dtype) if is_small else allocate(shape, dtype)
        return result if self._direct(self._objects(*map(id, values), id(result))) else None

    def fill(self, values: tuple[object, ...], out: object) -> bool:
        """Run into ``out``, whatever it and the arguments are; False when they do not fit."""
        if self._direct is None or len(values) != self._arity:
            return False
        return self._direct(self._objects(*map(id, values), id(out))) != 0

    def __call__(self, values: tuple[Any, ...]) -> object:
        """Run with fresh results; None when an array is not aligned to its elements."""
        if self._order is not None or self._numbers:
            values = self._as_code_takes(values)
        inputs = addresses_of(values)
        bits = 0
        for address in inputs:
            bits |= address
        if bits & self._bits and self._is_unaligned(inputs):
            return None
        if self._single is not None:
            result = _empty(*self._single)
            self._start(inputs, addresses_of((result,)))
            return result
        results = [
            _empty(shape, dtype) if is_small else allocate(shape, dtype)
            for shape, dtype, is_small in self._results
        ]
        self._start(inputs, addresses_of(results))
        return results[0] if self._make is None else self._make(*results)

    def write(self, values: tuple[Any, ...], out: Any) -> bool:
        """Run into plain memory of the caller that is clear of the inputs; else False."""
        if self._make is None and type(out) not in (tuple, list):
            out = (out,)
        if type(out) not in (tuple, list) or len(out) != len(self._results):
            return False
        for array, (shape, dtype, _) in zip(out, self._results, strict=True):
            if type(array) is not _ndarray or array.shape != shape or array.dtype != dtype:
                return False
            if not array.flags.carray:  # row-major, aligned and writable
                return False
        if self._order is not None or self._numbers:
            values = self._as_code_takes(values)
        inputs, outputs = addresses_of(values), addresses_of(out)
        for begin, size in zip(outputs, self._sizes, strict=True):
            end = begin + size
            for address, (mask, low, high) in zip(inputs, self._checks, strict=True):
                if address & mask or (address + low < end and begin < address + high):
                    return False
        if self._make is not None and self._overlap_each_other(outputs):
            return False
        self._start(inputs, outputs)
        return True

    def into(self, values: Sequence[Array], destinations: Sequence[Destination]) -> None:
        """Run with arrays that were checked, into memory of the caller."""
        if self._order is not None:
            values = [values[at] for at in self._order]
        written = [destination.written for destination in destinations]
        self._start(addresses_of(values), addresses_of(written))

    def _start(self, inputs: list[int], outputs: list[int]) -> None:
        if self._constants:
            inputs += self._constants
        self._run(inputs, outputs)

    def _is_unaligned(self, inputs: list[int]) -> bool:
        return any(address & mask for address, mask in zip(inputs, self._masks, strict=True))

    def _overlap_each_other(self, outputs: list[int]) -> bool:
        """Whether two outputs share a byte."""
        taken = sorted(zip(outputs, self._sizes, strict=True))
        return any(low + size > high for (low, size), (high, _) in pairwise(taken))

    def _as_code_takes(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments that the code takes, in its order, with numbers in memory."""
        changed = list(values) if self._order is None else [values[at] for at in self._order]
        for at, name, dtype, kind, is_float in self._numbers:
            value = changed[at]
            if is_float and -_SURE_TO_FIT < value < _SURE_TO_FIT:
                changed[at] = _array(value, kind)
            else:
                changed[at] = number_array(name, value, dtype)
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
