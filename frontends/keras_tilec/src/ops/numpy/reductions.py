"""Sums, means, extremes and their like along axes."""

from __future__ import annotations

from typing import Final

import tilec
from keras_tilec.src.convert import Axis, as_float, convert, dtype_of, node, promote, wrap
from keras_tilec.src.dtypes import float_of, keras_name, tile_name
from keras_tilec.src.tensor import Tensor
from tilec import ops

_LEAST: Final = 2.0**-126
"""The least normal number of f32."""


def wide(x: object) -> tilec.Tensor:
    """Integers narrower than 32 bits are summed, and stay, in 32."""
    found = convert(x)
    kind = str(dtype_of(found))
    if kind in ("bool", "int8", "int16"):
        return node(found, "int32")
    return node(found, "uint32" if kind in ("uint8", "uint16") else kind)


def sum(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return wrap(ops.sum(wide(x), axis, keepdims=keepdims))


def prod(x: object, axis: Axis = None, keepdims: bool = False, dtype: str | None = None) -> Tensor:
    return wrap(ops.prod(wide(x) if dtype is None else node(x, dtype), axis, keepdims=keepdims))


def mean(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return wrap(ops.mean(as_float(x), axis, keepdims=keepdims))


def var(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return wrap(ops.var(as_float(x), axis, keepdims=keepdims))


def std(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return wrap(ops.std(as_float(x), axis, keepdims=keepdims))


def average(x: object, axis: Axis = None, weights: object = None) -> Tensor:
    if weights is None:
        return mean(x, axis)
    found, given = promote(x, weights, like=(float,))
    if given.shape != found.shape:
        if not isinstance(axis, int) or given.shape != (found.shape[axis],):
            raise ValueError(
                f"average: weights of shape {given.shape} do not fit axis {axis} of a tensor of "
                f"shape {found.shape}"
            )
        at = axis % found.ndim
        given = ops.reshape(given, (-1,) + (1,) * (found.ndim - at - 1))
        given = ops.broadcast_to(given, found.shape)
    total = ops.sum(ops.multiply(found, given), axis)
    return wrap(ops.divide(total, ops.sum(given, axis)))


def _with_initial(found: tilec.Tensor, initial: object, *, highest: bool) -> Tensor:
    if initial is None:
        return wrap(found)
    limit = node(initial, keras_name(found.dtype.name))
    return wrap(ops.maximum(found, limit) if highest else ops.minimum(found, limit))


def max(x: object, axis: Axis = None, keepdims: bool = False, initial: object = None) -> Tensor:
    return _with_initial(ops.max(node(x), axis, keepdims=keepdims), initial, highest=True)


def min(x: object, axis: Axis = None, keepdims: bool = False, initial: object = None) -> Tensor:
    return _with_initial(ops.min(node(x), axis, keepdims=keepdims), initial, highest=False)


def amax(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return max(x, axis, keepdims=keepdims)


def amin(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return min(x, axis, keepdims=keepdims)


def ptp(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    found = node(x)
    high = ops.max(found, axis, keepdims=keepdims)
    return wrap(ops.subtract(high, ops.min(found, axis, keepdims=keepdims)))


def all(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return wrap(ops.all(node(x, "bool"), axis, keepdims=keepdims))


def any(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return wrap(ops.any(node(x, "bool"), axis, keepdims=keepdims))


def count_nonzero(x: object, axis: Axis = None) -> Tensor:
    return wrap(ops.sum(node(x, "bool"), axis))


def ordered(x: object) -> tilec.Tensor:
    """Elements for ``argmax`` and ``argmin``, to which -0 is less than 0."""
    found = node(x)
    if not found.dtype.is_float:
        return found
    found = ops.cast(found, "f32") if found.dtype.bits < 32 else found
    below = ops.logical_and(ops.equal(found, 0), ops.signbit(found))
    return ops.where(below, -_LEAST, found)


def argmax(x: object, axis: int | None = None, keepdims: bool = False) -> Tensor:
    return wrap(ops.argmax(ordered(x), axis, keepdims=keepdims))


def argmin(x: object, axis: int | None = None, keepdims: bool = False) -> Tensor:
    return wrap(ops.argmin(ordered(x), axis, keepdims=keepdims))


def running(x: tilec.Tensor, axis: int | None) -> tuple[tilec.Tensor, int]:
    """What a running sum goes over: all elements in a row if there is no axis."""
    return (ops.reshape(x, (-1,)), 0) if axis is None else (x, axis)


def counted(x: object, dtype: object = None) -> tilec.Tensor:
    """The elements of a running sum; bools are counted as integers."""
    found = node(x, dtype)
    return ops.cast(found, "i32") if found.dtype.name == "bool" else found


def cumsum(x: object, axis: int | None = None, dtype: object = None) -> Tensor:
    return wrap(ops.cumsum(*running(counted(x, dtype), axis)))


def cumprod(x: object, axis: int | None = None, dtype: object = None) -> Tensor:
    return wrap(ops.cumprod(*running(counted(x, dtype), axis)))


def diff(a: object, n: int = 1, axis: int = -1) -> Tensor:
    found = node(a)
    at = axis % found.ndim
    before = (slice(None),) * at
    for _ in range(n):
        later, earlier = found[(*before, slice(1, None))], found[(*before, slice(None, -1))]
        is_bool = found.dtype.name == "bool"
        found = ops.not_equal(later, earlier) if is_bool else ops.subtract(later, earlier)
    return wrap(found)


def trapezoid(y: object, x: object = None, dx: object = 1.0, axis: int = -1) -> Tensor:
    """The integral along an axis by the trapezoidal rule."""
    given = convert(y)
    kind = float_of(str(dtype_of(given)))
    values = ops.moveaxis(node(given, kind), axis, -1)
    width = node(dx, kind)
    if x is not None:
        width = node(diff(convert(x, kind), axis=-1 if convert(x).ndim == 1 else axis))
        width = width if width.ndim == 1 else ops.moveaxis(width, axis, -1)
    means = ops.multiply(ops.add(values[..., 1:], values[..., :-1]), 0.5)
    found = ops.sum(ops.multiply(means, width), -1)
    return wrap(ops.cast(found, tile_name(kind)))
