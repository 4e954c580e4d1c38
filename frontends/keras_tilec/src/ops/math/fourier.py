"""Fourier transforms; complex numbers are pairs of a real and an imaginary tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import numpy as np

import tilec
from keras_tilec.src.convert import convert, dtype_of, node, on_host, promote, wrap, wrap_all
from keras_tilec.src.dtypes import is_float, numpy_dtype
from keras_tilec.src.tensor import Array, Tensor
from tilec import ops

Pair: TypeAlias = "tuple[Tensor, Tensor]"


def _complex(x: Any) -> tilec.Tensor:
    """A pair, one behind the other along a new last axis."""
    given = cast("Sequence[object]", x if isinstance(x, tuple | list) else ())
    if len(given) != 2:
        raise ValueError(
            f"Input `x` should be a tuple of two tensors - real and imaginary. Received: x={x}"
        )
    real, imaginary = map(convert, given)
    if real.shape != imaginary.shape:
        raise ValueError(
            "Input `x` should be a tuple of two tensors - real and imaginary. Both the real and "
            "imaginary parts should have the same shape. "
            f"Received: x[0].shape = {real.shape}, x[1].shape = {imaginary.shape}"
        )
    if not all(is_float(str(dtype_of(each))) for each in (real, imaginary)):
        raise ValueError(f"At least one tensor in input `x` is not of type float. Received: x={x}")
    return ops.stack(promote(real, imaginary), -1)


def _pair(found: tilec.Tensor) -> Pair:
    real, imaginary = wrap_all([found[..., 0], found[..., 1]])
    return real, imaginary


def fft(x: Any) -> Pair:
    return _pair(ops.dft(_complex(x), -2))


def fft2(x: Any) -> Pair:
    return _pair(ops.dft(ops.dft(_complex(x), -2), -3))


def ifft2(x: Any) -> Pair:
    return _pair(ops.dft(ops.dft(_complex(x), -2, inverse=True), -3, inverse=True))


def rfft(x: object, fft_length: int | None = None) -> Pair:
    found = ops.expand_dims(node(x), -1)
    return _pair(ops.dft(found, -2, length=fft_length, one_sided=True))


def irfft(x: Any, fft_length: int | None = None) -> Tensor:
    return wrap(_irfft(_complex(x), fft_length))


def _irfft(x: tilec.Tensor, length: int | None) -> tilec.Tensor:
    return ops.dft(x, -2, length=length, inverse=True, one_sided=True)[..., 0]


def extract_sequences(x: object, sequence_length: int, sequence_stride: int) -> Tensor:
    return wrap(_windows(node(x), sequence_length, sequence_stride))


def _windows(x: tilec.Tensor, length: int, stride: int) -> tilec.Tensor:
    """Parts of the last axis, which may overlap, along a new axis before it."""
    count = (x.shape[-1] - (length - stride)) // stride
    places = np.arange(count)[:, None] * stride + np.arange(length)
    return ops.take(x, places.astype(np.int32), -1)


def _window(name: str, window: Any, length: int, whole: int, kind: str) -> Array:
    """The factors of the elements of a window, with zeros around it up to the whole length."""
    if isinstance(window, str):
        if window not in ("hann", "hamming"):
            raise ValueError(
                "If a string is passed to `window`, it must be one of 'hann', 'hamming'. "
                f"Received: window={window}"
            )
        level = 0.5 if window == "hann" else 0.54
        found = level - (1 - level) * np.cos(2 * np.pi * np.arange(length) / length)
    else:
        (found,) = on_host(name, np.ones(length) if window is None else window)
    if found.shape != (length,):
        raise ValueError(
            "The shape of `window` must be equal to [sequence_length]. "
            f"Received: window shape={found.shape}"
        )
    before = (whole - length) // 2
    behind = whole - length - before
    filler = 1.0 if window is None else 0.0
    padded = np.pad(found, (before, behind), constant_values=filler)
    return padded.astype(numpy_dtype(kind))


def stft(
    x: object,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    window: Any = "hann",
    center: bool = True,
) -> Pair:
    found = node(x)
    if found.dtype.name not in ("f32", "f64"):
        raise TypeError(
            "Invalid input type. Expected `float32` or `float64`. "
            f"Received: input type={dtype_of(convert(x))}"
        )
    if fft_length < sequence_length:
        raise ValueError(
            "`fft_length` must equal or larger than `sequence_length`. "
            f"Received: sequence_length={sequence_length}, fft_length={fft_length}"
        )
    factors = _window("stft", window, sequence_length, fft_length, found.dtype.name)
    if center:
        half = fft_length // 2
        found = ops.pad(found, [(0, 0)] * (found.ndim - 1) + [(half, half)], "reflect")
    parts = ops.multiply(_windows(found, fft_length, sequence_stride), factors)
    return rfft(parts)


def istft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    length: int | None = None,
    window: Any = "hann",
    center: bool = True,
) -> Tensor:
    """The signal of which these are the windows: they are added where they overlap."""
    parts = _irfft(_complex(x), fft_length)
    count = parts.shape[-2]
    if window is not None:
        factors = _window("istft", window, sequence_length, fft_length, parts.dtype.name)
        parts = ops.multiply(parts, _without_overlap(factors, sequence_stride))
    size = fft_length + sequence_stride * (count - 1)
    flat = ops.reshape(parts, (-1, count, fft_length))
    whole = ops.fold_windows(
        ops.swapaxes(flat, 1, 2), [size], [fft_length], strides=[sequence_stride]
    )
    start = fft_length // 2 if center else 0
    end = size - start
    if length is not None:
        end = start + length
    signal = ops.reshape(whole, (*parts.shape[:-2], size))
    return wrap(signal[..., start:end])


def _without_overlap(factors: Array, stride: int) -> Array:
    """Factors over the squares of all that fall on the same element."""
    overlaps = -(-len(factors) // stride)
    squares = np.pad(np.square(factors), (0, overlaps * stride - len(factors)))
    total = np.tile(squares.reshape(overlaps, stride).sum(0), overlaps)[: len(factors)]
    return np.divide(factors, total, out=np.zeros_like(factors), where=total != 0)
