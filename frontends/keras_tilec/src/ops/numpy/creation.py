"""Tensors of sizes and numbers alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_tilec.src.convert import convert, dtype_of, node, wrap
from keras_tilec.src.dtypes import promoted, tile_name
from keras_tilec.src.host import floatx
from keras_tilec.src.tensor import Tensor
from tilec import ops


def array(x: object, dtype: object = None) -> Tensor:
    return convert(x, dtype)


def _sizes(shape: int | Sequence[int]) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(map(int, shape))


def zeros(shape: int | Sequence[int], dtype: object = None) -> Tensor:
    return wrap(ops.zeros(_sizes(shape), tile_name(dtype or floatx())))


def ones(shape: int | Sequence[int], dtype: object = None) -> Tensor:
    return wrap(ops.ones(_sizes(shape), tile_name(dtype or floatx())))


def full(shape: int | Sequence[int], fill_value: object, dtype: object = None) -> Tensor:
    filler = node(fill_value, dtype or floatx())
    if filler.shape:
        return wrap(ops.broadcast_to(filler, _sizes(shape)))
    return wrap(ops.full(_sizes(shape), filler))


def zeros_like(x: object, dtype: object = None) -> Tensor:
    found = convert(x)
    return zeros(found.shape, dtype or dtype_of(found))


def ones_like(x: object, dtype: object = None) -> Tensor:
    found = convert(x)
    return ones(found.shape, dtype or dtype_of(found))


def eye(N: int, M: int | None = None, k: int = 0, dtype: object = None) -> Tensor:
    return wrap(ops.eye(N, M, k, tile_name(dtype or floatx())))


def arange(
    start: float, stop: float | None = None, step: float | None = None, dtype: object = None
) -> Tensor:
    given = [each for each in (start, stop, step) if each is not None]
    kind = dtype or promoted(*map(dtype_of, given))
    first, last = (0, start) if stop is None else (start, stop)
    return convert(
        np.arange(float_or_int(first), float_or_int(last), float_or_int(step or 1)), kind
    )


def float_or_int(x: object) -> float:
    """A Python number of a number or of a tensor without axes."""
    return x if isinstance(x, int | float) else node(x).item()
