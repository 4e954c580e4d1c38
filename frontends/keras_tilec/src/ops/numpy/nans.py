"""Reductions that leave NaN out."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan

import tilec
from keras_tilec.src.convert import Axis, as_float, node, wrap
from keras_tilec.src.ops.numpy.reductions import (
    argmax,
    argmin,
    counted,
    max,
    min,
    ordered,
    running,
    wide,
)
from keras_tilec.src.tensor import Tensor
from tilec import ops


def _filled(x: tilec.Tensor, value: float) -> tilec.Tensor:
    return ops.where(ops.isnan(x), value, x) if x.dtype.is_float else x


def nansum(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return wrap(ops.sum(_filled(wide(x), 0), axis, keepdims=keepdims))


def nanprod(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return wrap(ops.prod(_filled(wide(x), 1), axis, keepdims=keepdims))


def nancumsum(x: object, axis: int | None = None, dtype: object = None) -> Tensor:
    found, at = running(_filled(node(x), 0), axis)
    return wrap(ops.cumsum(counted(found, dtype), at))


def nancumprod(x: object, axis: int | None = None, dtype: object = None) -> Tensor:
    found, at = running(_filled(node(x), 1), axis)
    return wrap(ops.cumprod(counted(found, dtype), at))


def _without(x: tilec.Tensor, axis: Axis, keepdims: bool, found: tilec.Tensor) -> Tensor:
    """A result, which is NaN where all elements are."""
    empty = ops.all(ops.isnan(x), axis, keepdims=keepdims)
    return wrap(ops.where(empty, nan, found))


def nanmax(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    found = node(x)
    if not found.dtype.is_float:
        return max(found, axis, keepdims)
    return _without(found, axis, keepdims, ops.max(_filled(found, -inf), axis, keepdims=keepdims))


def nanmin(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    found = node(x)
    if not found.dtype.is_float:
        return min(found, axis, keepdims)
    return _without(found, axis, keepdims, ops.min(_filled(found, inf), axis, keepdims=keepdims))


def _position(
    x: object, axis: int | None, keepdims: bool, filler: float, find: Callable[..., Tensor]
) -> Tensor:
    found = node(x)
    if not found.dtype.is_float:
        return find(found, axis, keepdims)
    empty = ops.all(ops.isnan(found), axis, keepdims=keepdims)
    return wrap(ops.where(empty, -1, node(find(_filled(ordered(found), filler), axis, keepdims))))


def nanargmax(x: object, axis: int | None = None, keepdims: bool = False) -> Tensor:
    return _position(x, axis, keepdims, -inf, argmax)


def nanargmin(x: object, axis: int | None = None, keepdims: bool = False) -> Tensor:
    return _position(x, axis, keepdims, inf, argmin)


def _mean(x: tilec.Tensor, axis: Axis, keepdims: bool) -> tilec.Tensor:
    """The mean of what is not NaN; NaN where nothing is."""
    count = ops.sum(ops.logical_not(ops.isnan(x)), axis, keepdims=keepdims)
    total = ops.sum(_filled(x, 0), axis, keepdims=keepdims)
    return ops.divide(total, ops.cast(count, x.dtype))


def _single(x: object) -> tuple[tilec.Tensor, tilec.Tensor]:
    """Floats as they are, and with 32 bits at least."""
    found = as_float(x)
    return found, ops.cast(found, "f32") if found.dtype.bits < 32 else found


def _spread(x: tilec.Tensor, axis: Axis, keepdims: bool) -> tilec.Tensor:
    distance = ops.subtract(x, _mean(x, axis, keepdims=True))
    return _mean(ops.square(distance), axis, keepdims)


def nanmean(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    found, single = _single(x)
    return wrap(ops.cast(_mean(single, axis, keepdims), found.dtype))


def nanvar(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    found, single = _single(x)
    return wrap(ops.cast(_spread(single, axis, keepdims), found.dtype))


def nanstd(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    found, single = _single(x)
    return wrap(ops.cast(ops.sqrt(_spread(single, axis, keepdims)), found.dtype))
