"""Images turned, stretched and bent."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

import tilec
from keras_tilec.src.convert import convert, dtype_of, node, on_host, without_gradient, wrap
from keras_tilec.src.dtypes import promoted
from keras_tilec.src.ops.image.batches import as_batch, as_given, check_choice, check_rank
from keras_tilec.src.ops.image.filters import blurred
from keras_tilec.src.ops.image.sampling import sampled
from keras_tilec.src.random import normal
from keras_tilec.src.tensor import Tensor
from tilec import ops

AFFINE_TRANSFORM_INTERPOLATIONS: Final = {"nearest": 0, "bilinear": 1}
AFFINE_TRANSFORM_FILL_MODES: Final = {"constant", "nearest", "wrap", "mirror", "reflect"}


def _grid(height: int, width: int) -> tuple[tilec.Tensor, tilec.Tensor]:
    """The rows and the columns of pixels, for a batch."""
    rows = ops.reshape(ops.arange(height, dtype="f32"), (1, height, 1))
    return rows, ops.reshape(ops.arange(width, dtype="f32"), (1, 1, width))


def _columns(transforms: tilec.Tensor, batch: int) -> list[tilec.Tensor]:
    """The eight numbers of each transform, beside rows and columns."""
    given = ops.cast(transforms, "f32")
    whole = ops.expand_dims(given, 0) if given.ndim == 1 else given
    whole = ops.broadcast_to(whole, (batch, 8))
    return [ops.reshape(whole[:, at], (batch, 1, 1)) for at in range(8)]


def _moved(
    images: tilec.Tensor,
    places: tuple[tilec.Tensor, tilec.Tensor],
    interpolation: str,
    fill_mode: str,
    fill_value: object,
    data_format: str | None,
) -> Tensor:
    """Images whose pixels are those of other places."""
    batch = as_batch(images, data_format)
    spread = [ops.broadcast_to(each, batch.shape[:3]) for each in places]
    order = AFFINE_TRANSFORM_INTERPOLATIONS[interpolation]
    found = sampled(batch, spread, order, fill_mode, node(fill_value, "float32"), 1)
    return wrap(as_given(found, images, data_format))


def affine_transform(
    images: object,
    transform: object,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Tensor:
    check_choice("interpolation", interpolation, AFFINE_TRANSFORM_INTERPOLATIONS)
    check_choice("fill_mode", fill_mode, AFFINE_TRANSFORM_FILL_MODES)
    given, numbers = node(images), node(transform)
    check_rank(given)
    if numbers.ndim not in (1, 2):
        raise ValueError(
            "Invalid transform rank: expected rank 1 (single transform) or rank 2 (batch of "
            f"transforms). Received input with shape: transform.shape={numbers.shape}"
        )
    count, height, width, _ = as_batch(given, data_format).shape
    a0, a1, a2, b0, b1, b2, *_ = _columns(numbers, count)
    y, x = _grid(height, width)
    places = b0 * x + b1 * y + b2, a0 * x + a1 * y + a2
    return _moved(given, places, interpolation, fill_mode, fill_value, data_format)


def perspective_transform(
    images: object,
    start_points: object,
    end_points: object,
    interpolation: str = "bilinear",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Tensor:
    check_choice("interpolation", interpolation, AFFINE_TRANSFORM_INTERPOLATIONS)
    given, start, end = node(images), convert(start_points), convert(end_points)
    check_rank(given)
    for name, points in (("start_points", start), ("end_points", end)):
        if points.ndim not in (2, 3) or points.shape[-2:] != (4, 2):
            raise ValueError(
                f"Invalid {name} shape: expected (4,2) for a single image or (N,4,2) for a batch. "
                f"Received shape: {points.shape}"
            )
    if start.shape != end.shape:
        raise ValueError(
            "start_points and end_points must have the same shape. Received "
            f"start_points.shape={start.shape}, end_points.shape={end.shape}"
        )
    matrix = compute_homography_matrix(start, end).node
    count, height, width, _ = as_batch(given, data_format).shape
    a0, a1, a2, a3, a4, a5, a6, a7 = _columns(matrix, count)
    y, x = _grid(height, width)
    below = a6 * x + a7 * y + 1.0
    places = (a3 * x + a4 * y + a5) / below, (a0 * x + a1 * y + a2) / below
    return _moved(given, places, interpolation, "constant", fill_value, data_format)


def compute_homography_matrix(start_points: object, end_points: object) -> Tensor:
    """The eight numbers that take four end points to their start points."""
    start, end = (convert(each) for each in (start_points, end_points))
    kind = promoted(dtype_of(start), dtype_of(end), float)
    name = "image.compute_homography_matrix"
    first, second = on_host(name, start, end)
    u, v = np.moveaxis(first.reshape(-1, 4, 2).astype(np.float64), -1, 0)
    x, y = np.moveaxis(second.reshape(-1, 4, 2).astype(np.float64), -1, 0)
    one, zero = np.ones_like(x), np.zeros_like(x)
    across: Any = np.stack([x, y, one, zero, zero, zero, -u * x, -u * y], -1)
    down: Any = np.stack([zero, zero, zero, x, y, one, -v * x, -v * y], -1)
    rows = np.stack([across, down], 2).reshape(-1, 8, 8)
    targets = np.stack([u, v], 2).reshape(-1, 8, 1)
    found = convert(np.linalg.solve(rows, targets).reshape(-1, 8), kind)
    return without_gradient(name, found, start, end)


def elastic_transform(
    images: object,
    alpha: float = 20.0,
    sigma: float = 5.0,
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
    seed: object = None,
    data_format: str | None = None,
) -> Tensor:
    check_choice("interpolation", interpolation, AFFINE_TRANSFORM_INTERPOLATIONS)
    check_choice("fill_mode", fill_mode, AFFINE_TRANSFORM_FILL_MODES)
    given = node(images)
    check_rank(given)
    count, height, width, _ = as_batch(given, data_format).shape
    size, spread = int(6 * float(sigma)) | 1, node(sigma, "float32")
    noise = normal((count, height, width, 2), dtype="float32", seed=seed).node * spread
    bent = blurred(noise, (size, size), (spread, spread)) * node(alpha, "float32")
    y, x = _grid(height, width)
    places = y + bent[..., 0], x + bent[..., 1]
    return _moved(given, places, interpolation, fill_mode, fill_value, data_format)
