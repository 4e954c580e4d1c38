"""Medians, quantiles and percentiles: elements in order, or between two of them."""

from __future__ import annotations

from math import nan, prod

import tilec
from keras_tilec.src.convert import Axis, as_float, node, wrap
from keras_tilec.src.dtypes import keras_name
from keras_tilec.src.tensor import Tensor
from tilec import ops
from tilec.errors import ArgumentError

_METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


def quantile(
    x: object, q: object, axis: Axis = None, method: str = "linear", keepdims: bool = False
) -> Tensor:
    return _quantile(x, q, axis, method, keepdims, 1, skip=False)


def nanquantile(
    x: object, q: object, axis: Axis = None, method: str = "linear", keepdims: bool = False
) -> Tensor:
    return _quantile(x, q, axis, method, keepdims, 1, skip=True)


def percentile(
    x: object, q: object, axis: Axis = None, method: str = "linear", keepdims: bool = False
) -> Tensor:
    return _quantile(x, q, axis, method, keepdims, 100, skip=False)


def nanpercentile(
    x: object, q: object, axis: Axis = None, method: str = "linear", keepdims: bool = False
) -> Tensor:
    return _quantile(x, q, axis, method, keepdims, 100, skip=True)


def median(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return _quantile(x, 0.5, axis, "midpoint", keepdims, 1, skip=False)


def nanmedian(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return _quantile(x, 0.5, axis, "midpoint", keepdims, 1, skip=True)


def _quantile(
    x: object, q: object, axis: Axis, method: str, keepdims: bool, whole: int, *, skip: bool
) -> Tensor:
    """Quantiles of rows, along a new first axis for each one of ``q``.

    Args:
        x: The elements.
        q: Which ones, as parts of ``whole``; of any shape, which comes first in the result's.
        axis: The axes that become one row, of which NaN comes last in order.
        method: What is taken between two elements.
        keepdims: Whether the axes stay with size 1.
        whole: 1, or 100 for percentiles.
        skip: Whether NaN is left out; otherwise a row with one gives NaN.
    """
    if method not in _METHODS:
        raise ArgumentError(
            f"quantile: there is no method {method!r}", help=f"methods are {', '.join(_METHODS)}"
        )
    given = as_float(x)
    rows, kept = _rows(ops.cast(given, "f32") if given.dtype.bits < 32 else given, axis)
    parts = node(q, keras_name(rows.dtype.name))
    ordered = ops.sort(rows, -1)
    count = ops.sum(ops.logical_not(ops.isnan(ordered)), -1)
    last = ops.cast(count, rows.dtype) - 1 if skip else float(rows.shape[-1] - 1)
    lead = ops.reshape(parts, (-1,) + (1,) * (rows.ndim - 1))
    place = ops.multiply(lead, last) / whole
    if place.shape[1:] != rows.shape[:-1]:
        place = ops.broadcast_to(place, (place.shape[0], *rows.shape[:-1]))
    low, high = _between(place, method)
    share = place - low if method == "linear" else ops.multiply(ops.not_equal(low, high), 0.5)
    first, second = (_at(ordered, each) for each in (low, high))
    # An infinite neighbour that has no share would make NaN.
    found = ops.where(ops.equal(share, 0), first, first * (1 - share) + second * share)
    broken = ops.equal(count, 0) if skip else ops.less(count, rows.shape[-1])
    found = ops.cast(ops.where(broken, nan, found), given.dtype)
    return wrap(ops.reshape(found, (*parts.shape, *(kept if keepdims else rows.shape[:-1]))))


def _rows(x: tilec.Tensor, axis: Axis) -> tuple[tilec.Tensor, tuple[int, ...]]:
    """The reduced axes as the last one, and the shape in which they have size 1."""
    if axis is None:
        axes = tuple(range(x.ndim))
    else:
        given = (axis,) if isinstance(axis, int) else axis
        axes = tuple(each % x.ndim for each in given)
    others = [each for each in range(x.ndim) if each not in axes]
    kept = tuple(1 if each in axes else size for each, size in enumerate(x.shape))
    shape = [x.shape[each] for each in others]
    length = prod(x.shape[each] for each in axes)
    return ops.reshape(ops.transpose(x, [*others, *axes]), (*shape, length)), kept


def _between(place: tilec.Tensor, method: str) -> tuple[tilec.Tensor, tilec.Tensor]:
    """The positions of the elements before and behind a place that is no whole number."""
    if method == "nearest":
        nearest = ops.round(place)
        return nearest, nearest
    low, high = ops.floor(place), ops.ceil(place)
    if method == "lower":
        return low, low
    return (high, high) if method == "higher" else (low, high)


def _at(ordered: tilec.Tensor, place: tilec.Tensor) -> tilec.Tensor:
    """Elements of rows at positions ``[one, *rows]``."""
    last = ops.moveaxis(ops.cast(place, "i32"), 0, -1)
    return ops.moveaxis(ops.take_along_axis(ordered, last, -1), -1, 0)
