"""What operations share: their Tile texts, calls of them, and axes as callers give them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from operator import index
from pathlib import Path
from typing import Final, TypeAlias, cast

import numpy as np

from tilec.dtypes import F32, DType
from tilec.errors import ArgumentError
from tilec.program.function import Function, function
from tilec.program.tensor import Operand, Tensor, apply, tensor
from tilec.runtime.arrays import numpy_dtype

_FOLDER: Final = Path(__file__).parent

Axes: TypeAlias = "int | Sequence[int] | None"
"""One axis, several, or all of them. Negative ones count from the last."""


@cache
def written(file: str, name: str) -> Function:
    """The function ``name`` of one of the library's ``.tile`` files."""
    return function(_FOLDER / f"{file}.tile", name=name)


@cache
def text(source: str) -> Function:
    """The function of a generated text."""
    return function(source)


def single(called: Function, *operands: Operand) -> Tensor:
    """The result of a call of a function with one output."""
    return cast("Tensor", apply(called, *operands))


@cache
def constant(value: float, dtype: DType) -> Tensor:
    """A number of exactly this type; literals of Tile are f32 and i32.

    The same tensor each time: a program takes an array once, and finds equal calls by it.
    """
    return tensor(np.asarray(value, numpy_dtype(dtype)))


def number(value: float, like: Tensor) -> Operand:
    """A number of the type of a tensor; for f32 a literal, which stands in the text."""
    return value if like.dtype == F32 else constant(value, like.dtype)


def axis_of(op: str, axis: int, rank: int) -> int:
    """An axis counted from the first.

    Raises:
        ArgumentError: there is no such axis.
    """
    at = index(axis)
    if not -rank <= at < rank:
        raise ArgumentError(
            f"{op}: axis {at} does not exist in a tensor with {rank} axes",
            help=f"axes are {-rank} to {rank - 1}" if rank else "the tensor has no axes",
        )
    return at % rank


def axes_of(op: str, axes: Axes, rank: int) -> tuple[int, ...]:
    """Axes in ascending order, counted from the first.

    Raises:
        ArgumentError: one of them does not exist, or is named twice.
    """
    if axes is None:
        return tuple(range(rank))
    given = axes if isinstance(axes, Iterable) else (axes,)
    found = [axis_of(op, each, rank) for each in given]
    if len(set(found)) < len(found):
        raise ArgumentError(f"{op}: an axis is named twice in {list(given)}")
    return tuple(sorted(found))


def numbered(letter: str, count: int) -> list[str]:
    """Names such as ``i0``, ``i1``: indices of small letters, sizes of capitals."""
    return [f"{letter}{at}" for at in range(count)]


def listed(names: Iterable[object]) -> str:
    """Names as they stand between brackets."""
    return ", ".join(map(str, names))
