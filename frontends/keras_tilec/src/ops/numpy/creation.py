"""Tensors of sizes and numbers alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_tilec.src.convert import (
    convert,
    dtype_of,
    node,
    on_host,
    promote,
    wrap,
    wrap_all,
)
from keras_tilec.src.dtypes import promoted, tile_name
from keras_tilec.src.host import floatx
from keras_tilec.src.tensor import Array, Tensor
from tilec import ops


def array(x: object, dtype: object = None) -> Tensor:
    return convert(x, dtype)


def copy(x: object) -> Tensor:
    return convert(x)  # nothing changes a tensor


def _sizes(shape: int | Sequence[int]) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(map(int, shape))


def zeros(shape: int | Sequence[int], dtype: object = None) -> Tensor:
    return wrap(ops.zeros(_sizes(shape), tile_name(dtype or floatx())))


def empty(shape: int | Sequence[int], dtype: object = None) -> Tensor:
    return zeros(shape, dtype)


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


def empty_like(x: object, dtype: object = None) -> Tensor:
    return zeros_like(x, dtype)


def ones_like(x: object, dtype: object = None) -> Tensor:
    found = convert(x)
    return ones(found.shape, dtype or dtype_of(found))


def full_like(x: object, fill_value: object, dtype: object = None) -> Tensor:
    found = convert(x)
    return full(found.shape, fill_value, dtype or dtype_of(found))


def eye(N: int, M: int | None = None, k: int = 0, dtype: object = None) -> Tensor:
    return wrap(ops.eye(N, M, k, tile_name(dtype or floatx())))


def identity(n: int, dtype: object = None) -> Tensor:
    return eye(n, dtype=dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: object = None) -> Tensor:
    return wrap(ops.tri(N, M, k, tile_name(dtype or floatx())))


def arange(start: object, stop: object = None, step: object = None, dtype: object = None) -> Tensor:
    given = [each for each in (start, stop, step) if each is not None]
    kind = dtype or promoted(*map(dtype_of, given))
    first, last = (0, start) if stop is None else (start, stop)
    bounds = [_number(each) for each in (first, last, 1 if step is None else step)]
    return convert(np.arange(*bounds), kind)


def _number(x: object) -> float:
    """A Python number of a number or of a tensor without axes."""
    return x if isinstance(x, int | float) else node(x).item()


def _between(
    start: object,
    stop: object,
    num: int,
    endpoint: bool,
    dtype: object,
    axis: int,
    scale: Callable[[Any, Any, Any], Any],
) -> Tensor:
    """Numbers between two, along a new axis; computed in f64 because the steps add up."""
    kind = dtype or promoted(dtype_of(convert(start)), dtype_of(convert(stop)), float)
    low, high = promote(start, stop, to="float64")
    gaps = max(num - 1 if endpoint else num, 1)
    parts = ops.reshape(
        node(np.arange(num) / gaps, "float64"), (-1,) + (1,) * max(low.ndim, high.ndim)
    )
    found = scale(low, high, parts)
    if tile_name(kind)[0] in "iu":
        found = ops.floor(found)
    return wrap(ops.cast(ops.moveaxis(found, 0, axis), tile_name(kind)))


def _line(low: Any, high: Any, part: Any) -> Any:
    return low * (1 - part) + high * part


def linspace(
    start: object,
    stop: object,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: object = None,
    axis: int = 0,
) -> Any:
    found = _between(start, stop, num, endpoint, dtype, axis, _line)
    if not retstep:
        return found
    low, high = promote(start, stop, like=(float,))
    gaps = num - 1 if endpoint else num
    return found, wrap((high - low) / gaps)


def logspace(
    start: object,
    stop: object,
    num: int = 50,
    endpoint: bool = True,
    base: object = 10,
    dtype: object = None,
    axis: int = 0,
) -> Tensor:
    root = node(base, "float64")

    def scale(low: Any, high: Any, part: Any) -> Any:
        return ops.power(root, _line(low, high, part))

    return _between(start, stop, num, endpoint, dtype, axis, scale)


def geomspace(
    start: object,
    stop: object,
    num: int = 50,
    endpoint: bool = True,
    dtype: object = None,
    axis: int = 0,
) -> Tensor:
    def scale(low: Any, high: Any, part: Any) -> Any:
        return low * ops.power(high / low, part)

    return _between(start, stop, num, endpoint, dtype, axis, scale)


def meshgrid(*x: object, indexing: str = "xy") -> list[Tensor]:
    if indexing not in ("xy", "ij"):
        raise ValueError(f"Valid values for `indexing` are 'xy' and 'ij', but received {indexing}.")
    vectors = [ops.reshape(node(each), (-1,)) for each in x]
    return wrap_all(ops.meshgrid(*vectors, indexing=indexing)) if vectors else []


def vander(x: object, N: int | None = None, increasing: bool = False) -> Tensor:
    """The powers of each element, from the highest to 1."""
    found = convert(x)
    kind = str(dtype_of(found))
    count = found.shape[0] if N is None else N
    powers = np.arange(count) if increasing else np.arange(count)[::-1]
    wide = node(found, promoted(kind, floatx()))
    exponents = ops.cast(node(np.ascontiguousarray(powers)), wide.dtype)
    return wrap(ops.cast(ops.power(ops.expand_dims(wide, 1), exponents), tile_name(kind)))


def _window(name: str, function: Callable[..., Array], x: object, *rest: object) -> Tensor:
    """A window of as many elements as ``x`` says."""
    (count, *others) = on_host(name, x, *rest, instead="give its length as an int")
    return convert(function(int(count), *map(float, others)), floatx())


def bartlett(x: object) -> Tensor:
    return _window("bartlett", np.bartlett, x)


def blackman(x: object) -> Tensor:
    return _window("blackman", np.blackman, x)


def hamming(x: object) -> Tensor:
    return _window("hamming", np.hamming, x)


def hanning(x: object) -> Tensor:
    return _window("hanning", np.hanning, x)


def kaiser(x: object, beta: object) -> Tensor:
    return _window("kaiser", np.kaiser, x, beta)
