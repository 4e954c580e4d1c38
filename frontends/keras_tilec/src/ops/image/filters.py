"""Filters of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

import tilec
from keras_tilec.src.convert import as_float, node, wrap
from keras_tilec.src.ops.image.batches import as_batch, as_given, check_rank
from keras_tilec.src.ops.nn.convolutions import layout_of
from keras_tilec.src.tensor import Tensor
from tilec import ops

_SOBEL: Final[Any] = np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]], np.float32)


def blurred(
    images: tilec.Tensor, kernel_size: Sequence[int], sigma: Sequence[tilec.Tensor]
) -> tilec.Tensor:
    """A batch of images with channels last, each pixel the mean of its neighbours."""
    columns = [_bell(size, each) for size, each in zip(kernel_size, sigma, strict=True)]
    kernel = ops.reshape(columns[1], (-1, 1)) * ops.reshape(columns[0], (1, -1))
    channels = images.shape[-1]
    sizes = (*kernel.shape, channels, 1)
    filters = ops.broadcast_to(ops.reshape(kernel, (*kernel.shape, 1, 1)), sizes)
    return ops.depthwise_conv(
        images, filters, padding="same_upper", layout="channels_last", filters="io"
    )


def _bell(size: int, sigma: tilec.Tensor) -> tilec.Tensor:
    """Gauss's bell curve, of which the sum is 1."""
    at = (ops.arange(size, dtype="f32") - (size - 1) / 2) / sigma
    curve = ops.exp(at * at * -0.5)
    return curve / ops.sum(curve)


def gaussian_blur(
    images: object,
    kernel_size: Sequence[int] = (3, 3),
    sigma: Sequence[float] = (1.0, 1.0),
    data_format: str | None = None,
) -> Tensor:
    given = as_float(images)
    check_rank(given)
    batch = ops.cast(as_batch(given, data_format), "f32")
    spreads = node(sigma, "float32")
    found = blurred(batch, [int(each) for each in kernel_size], [spreads[0], spreads[1]])
    return wrap(as_given(ops.cast(found, given.dtype), given, data_format))


def sobel_edges(images: object, data_format: str | None = None) -> Tensor:
    """Differences along height and width, on a new last axis."""
    given = as_float(images)
    check_rank(given)
    batch = as_batch(given, data_format)
    both = np.stack([_SOBEL, _SOBEL.T], -1)[:, :, None, :]
    filters = ops.cast(tilec.tensor(np.repeat(both, batch.shape[-1], 2)), given.dtype)
    found = ops.depthwise_conv(
        batch, filters, padding="same_upper", layout="channels_last", filters="io"
    )
    pairs = ops.reshape(found, (*batch.shape, 2))
    if layout_of(data_format) == "channels_first":
        pairs = ops.transpose(pairs, (0, 3, 1, 2, 4))
    return wrap(ops.squeeze(pairs, 0) if given.ndim == 3 else pairs)
