"""Pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

import tilec
from keras_tilec.src.convert import as_float, node, wrap
from keras_tilec.src.ops.nn.convolutions import Sizes, layout_of, padding_of, spread
from keras_tilec.src.tensor import Tensor
from tilec import ops


def _pooled(
    pool: Callable[..., tilec.Tensor],
    x: tilec.Tensor,
    size: Sizes,
    strides: Sizes | None,
    padding: str,
    data_format: str | None,
) -> Tensor:
    count = x.ndim - 2
    return wrap(
        pool(
            x,
            spread(size, count),
            strides=None if strides is None else spread(strides, count),
            padding=padding_of(padding),
            layout=layout_of(data_format),
        )
    )


def max_pool(
    inputs: object,
    pool_size: Sizes,
    strides: Sizes | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    return _pooled(ops.max_pool, node(inputs), pool_size, strides, padding, data_format)


def average_pool(
    inputs: object,
    pool_size: Sizes,
    strides: Sizes | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:
    return _pooled(ops.average_pool, as_float(inputs), pool_size, strides, padding, data_format)


def adaptive_average_pool(
    inputs: object, output_size: int | Sequence[int], data_format: str | None = None
) -> Tensor:
    return _adaptive("average", as_float(inputs), output_size, data_format)


def adaptive_max_pool(
    inputs: object, output_size: int | Sequence[int], data_format: str | None = None
) -> Tensor:
    return _adaptive("max", node(inputs), output_size, data_format)


def _adaptive(
    kind: Literal["average", "max"],
    x: tilec.Tensor,
    output_size: int | Sequence[int],
    data_format: str | None,
) -> Tensor:
    """As many windows as are wanted along each axis; they may overlap and differ in size."""
    if not 3 <= x.ndim <= 5:
        raise ValueError(f"adaptive_{kind}_pool supports only 1D/2D/3D")
    first = 2 if layout_of(data_format) == "channels_first" else 1
    for at, size in enumerate(spread(output_size, x.ndim - 2)):
        x = _windows(kind, x, first + at, size)
    return wrap(x)


def _windows(
    kind: Literal["average", "max"], x: tilec.Tensor, axis: int, count: int
) -> tilec.Tensor:
    size = x.shape[axis]
    starts = np.arange(count) * size // count
    ends = -(-(np.arange(count) + 1) * size // count)
    length = int((ends - starts).max())
    # A window that is shorter repeats its last element, which counts once.
    at = starts[:, None] + np.arange(length)
    parts = ops.take(x, np.minimum(at, ends[:, None] - 1).astype(np.int32), axis)
    if kind == "max":
        return ops.max(parts, axis + 1)
    shares = np.where(at < ends[:, None], 1 / (ends - starts)[:, None], 0)
    column = shares.reshape(*shares.shape, *[1] * (x.ndim - axis - 1))
    return ops.sum(parts * ops.cast(tilec.tensor(column.astype(np.float32)), x.dtype), axis + 1)
