"""``out=``: where a caller wants the results, checked before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import numpy as np

from tilec.errors import ArgumentError, TileTypeError
from tilec.records import dataclass
from tilec.runtime.arrays import Array, NumpyDType, allocate, is_masked

# Whether two strided arrays meet is a hard problem; beyond this much work they are said to.
_OVERLAP_WORK: Final = 10_000


@dataclass(frozen=True, slots=True)
class Result:
    """What the code computes for one output: its name, shape and dtype."""

    name: str
    shape: tuple[int, ...]
    dtype: NumpyDType


@dataclass(frozen=True, slots=True)
class Destination:
    """Where one result goes.

    Attributes:
        given: What the caller passed, and gets back.
        target: An array over it.
        written: Row-major memory that the code writes: ``target`` itself, or memory that is
            copied there in the end because ``target`` is not row-major or not aligned.
    """

    given: object
    target: Array
    written: Array

    def finish(self) -> None:
        """Bring the result to where the caller wants it."""
        if self.written is not self.target:
            np.copyto(self.target, self.written)


def take_outputs(
    out: object, results: Sequence[Result], inputs: Sequence[tuple[str, Array]]
) -> tuple[Destination, ...]:
    """Check ``out=`` against what will be computed.

    Args:
        out: An array; for several outputs a sequence of arrays, or a mapping by output name.
        results: What the code computes.
        inputs: Name and array of each input, which no output may overlap.

    Raises:
        ArgumentError: the number, a shape, or the memory does not fit; the message names it.
        TileTypeError: a dtype does not fit.
    """
    given = by_position(out, [result.name for result in results])
    found = tuple(
        _destination(name, value, result)
        for (name, value), result in zip(given, results, strict=True)
    )
    for at, (name, _) in enumerate(given):
        target = found[at].target
        for other, array in inputs:
            _refuse_overlap(name, target, f"argument {other}", array)
        for before in range(at):
            _refuse_overlap(name, target, given[before][0], found[before].target)
    return found


def by_position(out: object, names: Sequence[str]) -> list[tuple[str, object]]:
    """How messages call it, and the object, for each output.

    Raises:
        ArgumentError: there are others, or not as many.
    """
    if isinstance(out, Mapping):
        given = cast("Mapping[object, object]", out)
        if set(given) != set(names):
            raise ArgumentError(
                f"out has the names {', '.join(map(str, given))}; "
                f"the outputs are {', '.join(names)}"
            )
        return [(f"out[{name!r}]", given[name]) for name in names]
    if isinstance(out, tuple | list):
        sequence = cast("Sequence[object]", out)
        if len(sequence) != len(names):
            raise ArgumentError(
                f"out has {len(sequence)} arrays, but there are {len(names)} outputs: "
                f"{', '.join(names)}"
            )
        return [(f"out[{at}]", value) for at, value in enumerate(sequence)]
    if len(names) != 1:
        raise ArgumentError(
            f"out is one {type(out).__name__}, but there are {len(names)} outputs: "
            f"{', '.join(names)}",
            help="pass a tuple of arrays, or a mapping by output name",
        )
    return [("out", out)]


def _destination(name: str, value: object, result: Result) -> Destination:
    target = _view(name, value)
    if target.shape != result.shape:
        raise ArgumentError(
            f"{name} has shape {target.shape}, but {result.name} has shape {result.shape}"
        )
    if target.dtype != result.dtype:
        found = target.dtype.name if target.dtype.isnative else target.dtype.str
        raise TileTypeError(f"{name} has dtype {found}, but {result.name} is {result.dtype.name}")
    if not target.flags.writeable:
        raise ArgumentError(f"{name} is read-only")
    if _meets_itself(target):
        raise ArgumentError(f"elements of {name} share memory with each other")
    plain = target.flags.c_contiguous and target.flags.aligned
    written = target if plain else allocate(result.shape, result.dtype)
    return Destination(value, target, written)


def _view(name: str, value: object) -> Array:
    """An array over the same memory; never a copy, which nobody would see."""
    if is_masked(value):
        raise ArgumentError(f"{name} is a masked array, and Tile has no masks")
    if isinstance(value, np.ndarray):
        return np.asarray(cast("Array", value))
    try:
        if hasattr(value, "__dlpack__"):
            return cast("Array", np.from_dlpack(cast("Any", value)))
        return cast("Array", np.asarray(memoryview(cast("Any", value))))
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise ArgumentError(
            f"{name} is a {type(value).__name__}, which cannot be written in place",
            help="pass a NumPy array, or an object with DLPack or a writable buffer",
        ) from error


def _meets_itself(array: Array) -> bool:
    """False when no two elements can share memory: each stride steps over all smaller ones."""
    if not array.size:
        return False
    reach = array.itemsize
    steps = zip(array.strides, array.shape, strict=True)
    for step, size in sorted((abs(step), size) for step, size in steps):
        if size > 1 and step < reach:
            return True
        reach += step * (size - 1)
    return False


def _refuse_overlap(name: str, target: Array, other: str, array: Array) -> None:
    if not np.may_share_memory(target, array):
        return
    try:
        # The stubs of NumPy leave out that max_work may be any number.
        meets = np.shares_memory(target, array, max_work=cast("Any", _OVERLAP_WORK))
    except np.exceptions.TooHardError:
        meets = True
    if meets:
        raise ArgumentError(
            f"{name} shares memory with {other}",
            help="results are written while inputs are still read; pass another array",
        )
