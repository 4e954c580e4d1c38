"""Reductions of rows that belong together, by the numbers of their segments."""

from __future__ import annotations

from math import inf

from keras_tilec.src.convert import node, on_host, wrap
from keras_tilec.src.tensor import Tensor
from tilec import ops
from tilec.dtypes import integer_range
from tilec.ops import Combine


def segment_sum(
    data: object, segment_ids: object, num_segments: int | None = None, sorted: bool = False
) -> Tensor:
    return _reduced("segment_sum", data, segment_ids, num_segments, "add")


def segment_prod(
    data: object, segment_ids: object, num_segments: int | None = None, sorted: bool = False
) -> Tensor:
    return _reduced("segment_prod", data, segment_ids, num_segments, "mul")


def segment_max(
    data: object, segment_ids: object, num_segments: int | None = None, sorted: bool = False
) -> Tensor:
    return _reduced("segment_max", data, segment_ids, num_segments, "max")


def segment_min(
    data: object, segment_ids: object, num_segments: int | None = None, sorted: bool = False
) -> Tensor:
    return _reduced("segment_min", data, segment_ids, num_segments, "min")


def _reduced(name: str, data: object, ids: object, count: int | None, combine: Combine) -> Tensor:
    """Rows whose segment does not exist go to one more, which is cut off."""
    found, given = node(data), node(ids)
    if count is None:
        (known,) = on_host(name, ids, instead="give `num_segments`")
        count = int(known.max()) + 1 if known.size else 0
    low, high = (-inf, inf) if found.dtype.is_float else integer_range(found.dtype)
    empty = {"add": 0, "mul": 1, "max": low, "min": high}[combine]
    start = ops.full((count + 1, *found.shape[1:]), empty, found.dtype)
    inside = ops.logical_and(ops.greater_equal(given, 0), ops.less(given, count))
    rows = ops.expand_dims(ops.where(inside, ops.cast(given, "i32"), count), -1)
    return wrap(ops.scatter_nd(start, rows, found, combine)[:count])
