"""Samples of arrays at places that are data."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import product
from typing import Final

import tilec
from keras_tilec.src.convert import node, wrap
from keras_tilec.src.ops.image.batches import check_choice
from keras_tilec.src.tensor import Tensor
from tilec import ops

MAP_COORDINATES_FILL_MODES: Final = {"constant", "nearest", "wrap", "mirror", "reflect"}


def sampled(
    x: tilec.Tensor,
    places: Sequence[tilec.Tensor],
    order: int,
    fill_mode: str,
    fill_value: tilec.Tensor,
    batch_axes: int = 0,
) -> tilec.Tensor:
    """Elements at places, interpolated.

    Args:
        x: Batch axes, an axis for each coordinate, and any others.
        places: The coordinates along each axis, with the batch axes first.
        order: 0 for the nearest element, 1 for linear interpolation.
        fill_mode: What lies outside.
        fill_value: That, if it is constant.
        batch_axes: How many axes are a batch.
    """
    wide = x if x.dtype.is_float and x.dtype.bits >= 32 else ops.cast(x, "f32")
    sizes = x.shape[batch_axes : batch_axes + len(places)]
    rest = (1,) * (x.ndim - batch_axes - len(places))
    taps = [_taps(ops.cast(each, wide.dtype), order) for each in places]
    parts: list[tilec.Tensor] = []
    for chosen in product(*taps):
        inside = [_inside(at, size, fill_mode) for (at, _), size in zip(chosen, sizes, strict=True)]
        found = ops.gather_nd(wide, ops.stack([at for at, _ in inside], -1), batch_axes)
        is_in = reduce(ops.logical_and, [each for _, each in inside])
        if fill_mode == "constant":
            column = ops.reshape(is_in, (*is_in.shape, *rest))
            found = ops.where(column, found, ops.cast(fill_value, wide.dtype))
        weights = [weight for _, weight in chosen if weight is not None]
        if weights:
            share = reduce(ops.multiply, weights)
            found = found * ops.reshape(share, (*share.shape, *rest))
        parts.append(found)
    total = reduce(ops.add, parts)
    return ops.cast(total if x.dtype.is_float else ops.round(total), x.dtype)


def _taps(place: tilec.Tensor, order: int) -> Sequence[tuple[tilec.Tensor, tilec.Tensor | None]]:
    """Neighbours along an axis, and their weights."""
    if not order:
        return [(ops.cast(ops.round(place), "i32"), None)]
    first = ops.floor(place)
    part = place - first
    at = ops.cast(first, "i32")
    return [(at, 1 - part), (at + 1, part)]


def _inside(at: tilec.Tensor, size: int, mode: str) -> tuple[tilec.Tensor, tilec.Tensor]:
    """The position that stands for one that may lie outside, and whether it does not."""
    known = ops.logical_and(ops.greater_equal(at, 0), ops.less(at, size))
    if mode == "wrap":
        at = ops.remainder(at, size)
    elif mode == "mirror":
        at = _mirrored(at, size)
    elif mode == "reflect":
        at = ops.floor_divide(_mirrored(2 * at + 1, 2 * size + 1) - 1, 2)
    return ops.clip(at, 0, size - 1), known


def _mirrored(at: tilec.Tensor, size: int) -> tilec.Tensor:
    """Positions that go back from the last element, which does not come twice."""
    last = size - 1
    if not last:
        return at * 0
    return ops.absolute(ops.remainder(at + last, 2 * last) - last)


def map_coordinates(
    inputs: object,
    coordinates: object,
    order: int,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
) -> Tensor:
    x, places = node(inputs), node(coordinates)
    if places.shape[0] != x.ndim:
        raise ValueError(
            "First dim of `coordinates` must be the same as the rank of `inputs`. "
            f"Received inputs with shape: {x.shape} and coordinate leading dim of {places.shape[0]}"
        )
    if places.ndim < 2:
        raise ValueError(
            "Invalid coordinates rank: expected at least rank 2."
            f" Received input with shape: {places.shape}"
        )
    check_choice("fill_mode", fill_mode, MAP_COORDINATES_FILL_MODES)
    if order not in (0, 1):
        raise ValueError(
            f"Invalid value for argument `order`. Expected one of [0, 1]. Received: order={order}"
        )
    along = [places[axis] for axis in range(x.ndim)]
    return wrap(sampled(x, along, order, fill_mode, node(fill_value, "float32")))
