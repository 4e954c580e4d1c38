"""Parts of tensors: read and written at positions."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Final

import tilec
from keras_tilec.src.convert import convert, node, wrap, wrap_all
from keras_tilec.src.tensor import Tensor
from tilec import ops
from tilec.ops import Combine

_REDUCTIONS: Final[dict[str | None, Combine]] = {
    None: "replace",
    "add": "add",
    "max": "max",
    "min": "min",
    "mul": "mul",
}


def scatter(indices: object, values: object, shape: Sequence[int]) -> Tensor:
    found = node(values)
    zeros = ops.zeros(shape, found.dtype)
    return wrap(ops.scatter_nd(zeros, node(indices), found, "add"))


def scatter_update(
    inputs: object, indices: object, updates: object, reduction: str | None = None
) -> Tensor:
    if reduction not in _REDUCTIONS:
        raise ValueError(f"Unsupported reduction: {reduction}")
    found = node(inputs)
    given = ops.cast(node(updates), found.dtype)
    return wrap(ops.scatter_nd(found, node(indices), given, _REDUCTIONS[reduction]))


def _starts(given: object, shape: Sequence[int], whole: Sequence[int]) -> list[tilec.Tensor]:
    """Where a part begins along each axis, moved so that the part lies inside."""
    starts: list[object] = [*given] if isinstance(given, list | tuple) else [*convert(given)]
    if len(starts) != len(shape):
        raise ValueError(
            "Length of `start_indices` must match length of `shape`. "
            f"Received: start_indices={given}, shape={tuple(shape)}"
        )
    return [
        wrap(ops.clip(node(each, "int32"), 0, size - length)).node
        for each, length, size in zip(starts, shape, whole, strict=True)
    ]


def slice(inputs: object, start_indices: object, shape: Sequence[int]) -> Tensor:
    """A part of a given shape; it is moved so that it lies inside."""
    found = node(inputs)
    starts = _starts(start_indices, shape, found.shape)
    if all(each.is_known for each in starts):
        begins = [int(each) for each in starts]
        return wrap(found[tuple(map(_range, begins, shape))])
    for axis, (start, length) in enumerate(zip(starts, shape, strict=True)):
        if length != found.shape[axis]:
            found = ops.take(found, ops.arange(length) + start, axis)
    return wrap(found)


def _range(begin: int, length: int) -> builtins.slice[int, int, None]:
    return builtins.slice(begin, begin + length)


def slice_update(inputs: object, start_indices: object, updates: object) -> Tensor:
    """Every element asks which update lies there, and takes it if there is one."""
    found = node(inputs)
    given = ops.cast(node(updates), found.dtype)
    parts = given.shape
    covered: tilec.Tensor | None = None
    for axis, start in enumerate(_starts(start_indices, parts, found.shape)):
        if parts[axis] == found.shape[axis]:
            continue
        own = ops.arange(found.shape[axis]) - start
        given = ops.take(given, ops.clip(own, 0, parts[axis] - 1), axis)
        inside = ops.logical_and(ops.greater_equal(own, 0), ops.less(own, parts[axis]))
        along = [1] * len(parts)
        along[axis] = found.shape[axis]
        inside = ops.reshape(inside, along)
        covered = inside if covered is None else ops.logical_and(covered, inside)
    return wrap(given if covered is None else ops.where(covered, given, found))


def unstack(x: object, num: int | None = None, axis: int = 0) -> list[Tensor]:
    found = ops.moveaxis(node(x), axis, 0)
    if num is not None and num != found.shape[0]:
        raise ValueError(f"`num` is {num}, but axis {axis} has {found.shape[0]} elements")
    return wrap_all([found[at] for at in range(found.shape[0])])
