"""The same elements in other shapes and orders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from keras_tilec.src.convert import Axis, node, on_host, wrap
from keras_tilec.src.tensor import Tensor
from tilec import ops


def ndim(x: object) -> int:
    return node(x).ndim


def size(x: object) -> int:
    return node(x).size


def reshape(x: object, newshape: int | Sequence[int]) -> Tensor:
    sizes = (newshape,) if isinstance(newshape, int) else tuple(map(int, newshape))
    return wrap(ops.reshape(node(x), sizes))


def ravel(x: object) -> Tensor:
    return wrap(ops.reshape(node(x), (-1,)))


def transpose(x: object, axes: Sequence[int] | None = None) -> Tensor:
    return wrap(ops.transpose(node(x), axes))


def swapaxes(x: object, axis1: int, axis2: int) -> Tensor:
    return wrap(ops.swapaxes(node(x), axis1, axis2))


def moveaxis(x: object, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    return wrap(ops.moveaxis(node(x), source, destination))


def expand_dims(x: object, axis: int | Sequence[int]) -> Tensor:
    return wrap(ops.expand_dims(node(x), axis))


def squeeze(x: object, axis: Axis = None) -> Tensor:
    return wrap(ops.squeeze(node(x), axis))


def broadcast_to(x: object, shape: Sequence[int]) -> Tensor:
    return wrap(ops.broadcast_to(node(x), shape))


def flip(x: object, axis: Axis = None) -> Tensor:
    return wrap(ops.flip(node(x), axis))


def flipud(x: object) -> Tensor:
    return flip(x, 0)


def fliplr(x: object) -> Tensor:
    return flip(x, 1)


def roll(x: object, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Tensor:
    return wrap(ops.roll(node(x), shift, axis))


def rot90(array: object, k: int = 1, axes: Sequence[int] = (0, 1)) -> Tensor:
    found = node(array)
    if found.ndim < 2:
        raise ValueError(
            f"Input array must have at least 2 dimensions. Received: array.ndim={found.ndim}"
        )
    if len(axes) != 2 or axes[0] == axes[1]:
        raise ValueError(f"Invalid axes: {axes}. Axes must be a tuple of two different dimensions.")
    return wrap(ops.rot90(found, k, (axes[0], axes[1])))


def tile(x: object, repeats: int | Sequence[int]) -> Tensor:
    counts = repeats if isinstance(repeats, int) else [*map(int, repeats)]
    return wrap(ops.tile(node(x), counts))


def repeat(x: object, repeats: Any, axis: int | None = None) -> Tensor:
    """Each element several times; how often may differ along an axis."""
    found = node(x)
    if isinstance(repeats, int):
        return wrap(ops.repeat(found, repeats, axis))
    (counts,) = on_host("repeat", repeats, instead="give `repeats` as an int")
    if axis is None:
        found, axis = ops.reshape(found, (-1,)), 0
    places = np.repeat(np.arange(found.shape[axis], dtype=np.int32), cast("Sequence[int]", counts))
    return wrap(ops.take(found, places, axis))
