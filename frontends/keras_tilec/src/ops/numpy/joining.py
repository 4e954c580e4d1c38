"""Tensors joined, split, and with margins around them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np

import tilec
from keras_tilec.src.convert import (
    convert,
    node,
    on_host,
    promote,
    without_gradient,
    wrap,
    wrap_all,
)
from keras_tilec.src.tensor import Border, Tensor
from tilec import ops
from tilec.ops import PadMode

_MODES: Final[dict[str, PadMode]] = {
    "constant": "constant",
    "edge": "edge",
    "empty": "constant",
    "reflect": "reflect",
    "wrap": "wrap",
}


def concatenate(xs: Sequence[object], axis: int | None = 0) -> Tensor:
    found = promote(*xs)
    if axis is None:
        return wrap(ops.concatenate([ops.reshape(each, (-1,)) for each in found], 0))
    return wrap(ops.concatenate(found, axis))


def append(x1: object, x2: object, axis: int | None = None) -> Tensor:
    return concatenate([x1, x2], axis)


def stack(x: Sequence[object], axis: int = 0) -> Tensor:
    return wrap(ops.stack(promote(*x), axis))


def _with_axes(xs: Sequence[object], least: int) -> list[tilec.Tensor]:
    """Operands with so many axes at least, as NumPy adds them."""
    found = promote(*xs)
    if least == 3:
        found = [ops.expand_dims(each, -1) if each.ndim == 2 else each for each in found]
        found = [ops.reshape(each, (1, -1, 1)) if each.ndim < 2 else each for each in found]
        return found
    return [ops.reshape(each, (1,) * (least - each.ndim) + each.shape) for each in found]


def vstack(xs: Sequence[object]) -> Tensor:
    return wrap(ops.concatenate(_with_axes(xs, 2), 0))


def hstack(xs: Sequence[object]) -> Tensor:
    found = _with_axes(xs, 1)
    return wrap(ops.concatenate(found, 0 if found[0].ndim == 1 else 1))


def dstack(xs: Sequence[object]) -> Tensor:
    return wrap(ops.concatenate(_with_axes(xs, 3), 2))


def _cut(x: object, ends: Sequence[int], axis: int) -> list[Tensor]:
    """The parts between positions."""
    found = node(x)
    at = axis % found.ndim
    size = found.shape[at]
    edges = [0, *(min(max(end + size if end < 0 else end, 0), size) for end in ends), size]
    before = (slice(None),) * at
    return wrap_all(
        found[(*before, slice(start, max(start, stop)))] for start, stop in pairwise(edges)
    )


def split(x: object, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    found = convert(x)
    if isinstance(indices_or_sections, int):
        size = found.shape[axis]
        if size % indices_or_sections:
            raise ValueError(
                f"An axis of size {size} cannot be split into {indices_or_sections} equal parts"
            )
        return array_split(found, indices_or_sections, axis)
    return _cut(found, [int(each) for each in indices_or_sections], axis)


def array_split(x: object, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """Parts that differ by at most one in size, the larger ones first."""
    found = convert(x)
    if not isinstance(indices_or_sections, int):
        return split(found, indices_or_sections, axis)
    least, more = divmod(found.shape[axis], indices_or_sections)
    ends = [least * part + min(part, more) for part in range(1, indices_or_sections)]
    return _cut(found, ends, axis)


def vsplit(x: object, indices_or_sections: Any) -> list[Tensor]:
    return split(x, indices_or_sections, 0)


def hsplit(x: object, indices_or_sections: Any) -> list[Tensor]:
    return split(x, indices_or_sections, 0 if convert(x).ndim == 1 else 1)


def dsplit(x: object, indices_or_sections: Any) -> list[Tensor]:
    return split(x, indices_or_sections, 2)


def pad(x: object, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Tensor:
    if constant_values is not None and mode != "constant":
        raise ValueError(
            "Argument `constant_values` can only be provided when `mode == 'constant'`. "
            f"Received: mode={mode}"
        )
    found = node(x)
    widths = [
        (int(low), int(high)) for low, high in np.broadcast_to(np.array(pad_width), (found.ndim, 2))
    ]
    if mode in _MODES:
        filler = 0 if constant_values is None else node(constant_values)
        padded = wrap(ops.pad(found, widths, _MODES[mode], filler))
        if mode == "constant" and isinstance(filler, int):  # a convolution steps over zeros
            padded.border = Border(convert(x), widths)
        return padded
    if mode == "symmetric":
        for axis, (low, high) in enumerate(widths):
            places = np.pad(np.arange(found.shape[axis], dtype=np.int32), (low, high), "symmetric")
            found = ops.take(found, places, axis)
        return wrap(found)
    (array,) = on_host("pad", found, instead=f"use another mode than {mode!r}")
    padded: Any = np.pad
    return without_gradient("pad", convert(padded(array, widths, mode)), found)
