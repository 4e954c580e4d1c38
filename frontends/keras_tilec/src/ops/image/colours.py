"""Colours in other coordinates."""

from __future__ import annotations

import tilec
from keras_tilec.src.convert import as_float, node, wrap
from keras_tilec.src.ops.image.batches import channel_axis, check_rank
from keras_tilec.src.tensor import Tensor
from tilec import ops

_GRAY = 0.2989, 0.5870, 0.1140


def _channels(images: tilec.Tensor, data_format: str | None) -> list[tilec.Tensor]:
    check_rank(images)
    axis = channel_axis(data_format)
    if images.shape[axis] != 3:
        raise ValueError(
            "Invalid channel size: expected 3 channels. "
            f"Received input with shape: images.shape={images.shape}"
        )
    return [ops.take(images, at, axis) for at in range(3)]


def _floats(images: object) -> tilec.Tensor:
    found = node(images)
    if not found.dtype.is_float:
        raise ValueError(
            f"Invalid images dtype: expected float dtype. Received: images.dtype={found.dtype.name}"
        )
    return found


def rgb_to_grayscale(images: object, data_format: str | None = None) -> Tensor:
    found, axis = node(images), channel_axis(data_format)
    check_rank(found)
    if found.shape[axis] not in (1, 3):
        raise ValueError(
            "Invalid channel size: expected 3 (RGB) or 1 (Grayscale). "
            f"Received input with shape: images.shape={found.shape}"
        )
    if found.shape[axis] == 1:
        return wrap(found)
    red, green, blue = _channels(as_float(images), data_format)
    gray = red * _GRAY[0] + green * _GRAY[1] + blue * _GRAY[2]
    return wrap(ops.expand_dims(ops.cast(gray, found.dtype), axis))


def rgb_to_hsv(images: object, data_format: str | None = None) -> Tensor:
    red, green, blue = _channels(_floats(images), data_format)
    value = ops.maximum(red, ops.maximum(green, blue))
    span = value - ops.minimum(red, ops.minimum(green, blue))
    is_gray = ops.equal(span, 0)
    safe = ops.where(is_gray, ops.ones((), span.dtype), span)
    is_dark = ops.less_equal(value, 0)
    saturation = ops.where(is_dark, 0, span / ops.where(is_dark, 1, value))
    hue = ops.where(
        ops.equal(red, value),
        (green - blue) / safe,
        ops.where(ops.equal(green, value), (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    turned = ops.where(is_gray, 0, ops.remainder(hue / 6, 1))
    parts = [ops.cast(each, span.dtype) for each in (turned, saturation, value)]
    return wrap(ops.stack(parts, channel_axis(data_format)))


def hsv_to_rgb(images: object, data_format: str | None = None) -> Tensor:
    hue, saturation, value = _channels(_floats(images), data_format)
    sixths = hue * 6

    def colour(first: float) -> tilec.Tensor:
        """How far a colour is from its own sixths, from 0 to 1."""
        return (
            ops.clip(ops.absolute(sixths - 3) - 1, 0, 1)
            if not first
            else ops.clip(2 - ops.absolute(sixths - first), 0, 1)
        )

    parts = [value * (1 - saturation + saturation * colour(each)) for each in (0.0, 2.0, 4.0)]
    return wrap(
        ops.stack([ops.cast(each, value.dtype) for each in parts], channel_axis(data_format))
    )
