"""Orders of elements, counts of them, and where they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import tilec
from keras_tilec.src.convert import convert, dtype_of, node, on_host, promote, wrap, wrap_all
from keras_tilec.src.dtypes import float_of, keras_name, promoted, tile_name
from keras_tilec.src.tensor import Array, Tensor
from tilec import ops


def _sortable(x: object) -> tilec.Tensor:
    found = node(x)
    return ops.cast(found, "u8") if found.dtype.name == "bool" else found


def sort(x: object, axis: int | None = -1) -> Tensor:
    given = node(x)
    found = _sortable(x)
    if axis is None or not found.shape:
        found, axis = ops.reshape(found, (-1,)), 0
    return wrap(ops.cast(ops.sort(found, axis), given.dtype))


def argsort(x: object, axis: int | None = -1) -> Tensor:
    found = _sortable(x)
    if axis is None or not found.shape:
        found, axis = ops.reshape(found, (-1,)), 0
    return wrap(ops.argsort(found, axis))


def argpartition(x: object, kth: int, axis: int | None = -1) -> Tensor:
    """All elements in order, which is more than is asked for."""
    return argsort(x, axis)


def searchsorted(sorted_sequence: object, values: object, side: str = "left") -> Tensor:
    if node(sorted_sequence).ndim != 1:
        raise ValueError(
            "`searchsorted` only supports 1-D sorted sequences; keras.ops.vectorized_map extends "
            f"it to more. Received: sorted_sequence.shape={node(sorted_sequence).shape}"
        )
    ordered, wanted = promote(sorted_sequence, values)
    return wrap(ops.searchsorted(ordered, wanted, right=side == "right"))


def digitize(x: object, bins: object) -> Tensor:
    """In which bin each element lies; the bins are given by their edges in ascending order."""
    return searchsorted(bins, x, side="right")


def nonzero(x: object) -> tuple[Tensor, ...]:
    (array,) = on_host("nonzero", x, instead="use keras.ops.where with three arguments")
    return tuple(convert(each.astype(np.int32)) for each in np.nonzero(array))


def bincount(x: object, weights: object = None, minlength: int = 0, sparse: bool = False) -> Tensor:
    """How often each integer is there; each row of a matrix is counted on its own."""
    if sparse:
        raise ValueError("`sparse=True` is not supported with the tilec backend")
    found = node(x)
    if found.is_abstract and not minlength:
        on_host("bincount", x, instead="give `minlength`, which is the size of the result then")
    count = minlength
    if not found.is_abstract and found.size:
        count = max(minlength, int(np.asarray(convert(x)).max()) + 1)
    if not count:
        return wrap(ops.zeros((*found.shape[:-1], 0), "i32"))
    kind = "int32" if weights is None else promoted(dtype_of(convert(x)), dtype_of(weights))
    given = None if weights is None else node(weights, kind)
    if found.ndim < 2:
        return _counts(ops.bincount(found, count, given), kind)
    rows = found.shape[0]
    # Rows are counted at once: those of the second begin behind the counts of the first.
    inside = ops.logical_and(ops.greater_equal(found, 0), ops.less(found, count))
    ahead = ops.reshape(ops.arange(rows) * count, (rows, 1))
    places = ops.where(inside, ops.add(ops.cast(found, "i32"), ahead), -1)
    return _counts(ops.reshape(ops.bincount(places, rows * count, given), (rows, count)), kind)


def _counts(found: tilec.Tensor, kind: str) -> Tensor:
    """Counts in a type; those of narrow integers were counted in 32 bits."""
    return wrap(ops.cast(found, tile_name(kind)))


def histogram(
    x: object, bins: int = 10, range: tuple[float, float] | None = None
) -> tuple[Tensor, Tensor]:
    """How many elements lie in each of equally wide bins, and the edges of these."""
    given = convert(x)
    found = node(given, float_of(str(dtype_of(given))))
    if range is not None:
        low, high = (node(each, keras_name(found.dtype.name)) for each in range)
    elif found.size:
        low, high = ops.min(found), ops.max(found)
    else:
        low, high = ops.zeros((), found.dtype), ops.ones((), found.dtype)
    same = ops.equal(low, high)
    low, high = ops.where(same, low - 0.5, low), ops.where(same, high + 0.5, high)
    part = ops.linspace(0, 1, bins + 1, dtype=found.dtype)
    edges = low * (1 - part) + high * part
    flat = ops.reshape(found, (-1,))
    inside = ops.logical_and(ops.greater_equal(flat, low), ops.less_equal(flat, high))
    place = ops.searchsorted(edges, flat, right=True) - 1
    place = ops.where(inside, ops.clip(place, 0, bins - 1), -1)
    counts, limits = wrap_all([ops.bincount(place, bins), edges])
    return counts, limits


def unique(
    x: object,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: object = None,
) -> Any:
    """The different elements in order; with ``size`` their number is cut or filled up to it."""
    (array,) = on_host("unique", x)
    found: list[Array] = [*np.unique(array, True, True, True, axis=axis, equal_nan=False)]
    wanted = [True, return_index, return_inverse, return_counts]
    if size is not None:
        along = 0 if axis is None else axis % array.ndim
        fillers = [0 if fill_value is None else fill_value, 1, None, 0]
        found = [
            each if filler is None else _of_size(each, size, along if at == 0 else 0, filler)
            for at, (each, filler) in enumerate(zip(found, fillers, strict=True))
        ]
    results = [convert(found[0])]
    results += [
        convert(each.astype(np.int32))
        for each, is_wanted in zip(found[1:], wanted[1:], strict=True)
        if is_wanted
    ]
    return results[0] if len(results) == 1 else tuple(results)


def _of_size(array: Array, size: int, axis: int, filler: Any) -> Array:
    cut = np.take(array, np.arange(min(size, array.shape[axis])), axis)
    widths = [(0, 0)] * array.ndim
    widths[axis] = (0, size - cut.shape[axis])
    return np.pad(cut, widths, constant_values=filler)


def unravel_index(indices: object, shape: Sequence[int]) -> tuple[Tensor, ...]:
    found = node(indices)
    total = int(np.prod([*shape]))
    found = ops.where(ops.less(found, 0), ops.add(found, total), found)
    parts: list[tilec.Tensor] = []
    for size in reversed([*shape]):
        parts.append(ops.remainder(found, int(size)))
        found = ops.floor_divide(found, int(size))
    return tuple(wrap_all(parts[::-1]))
