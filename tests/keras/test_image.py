"""``keras.ops.image`` against what follows from the definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.keras.host import ops

RNG = np.random.default_rng(3)
X: Any = RNG.uniform(0, 1, (2, 5, 6, 3)).astype(np.float32)
SHIFT: Any = np.array([1, 0, 1, 0, 1, 2, 0, 0], np.float32)
"""A transform that takes each pixel from one column further and two rows below."""


def same(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("mode", "padding"), [("constant", "constant"), ("nearest", "edge"), ("wrap", "wrap")]
)
@pytest.mark.parametrize("method", ["nearest", "bilinear"])
def test_images_moved_by_whole_pixels(mode: str, padding: Any, method: str) -> None:
    wanted = np.pad(X, ((0, 0), (0, 2), (0, 1), (0, 0)), padding)[:, 2:, 1:]
    same(ops.image.affine_transform(X, SHIFT, method, mode), wanted)
    first = ops.image.affine_transform(
        np.moveaxis(X, -1, 1), SHIFT, method, mode, data_format="channels_first"
    )
    same(np.moveaxis(np.asarray(first), 1, -1), wanted)


def test_perspective_of_points_that_stay_is_the_image() -> None:
    points = np.array([[0, 0], [0, 4], [5, 0], [5, 4]], np.float32)
    same(ops.image.perspective_transform(X, points, points), X)


def test_mirrored_coordinates() -> None:
    row = np.arange(4, dtype=np.float32)
    at = np.array([[-2.0, -1, 4, 5]], np.float32)
    same(ops.image.map_coordinates(row, at, 1, "mirror"), [2, 1, 2, 1])
    same(ops.image.map_coordinates(row, at, 1, "reflect"), [1, 0, 3, 2])
    same(ops.image.map_coordinates(row, at + 0.5, 1, "constant", 8.0), [8, 4, 8, 8])


def test_sizes_and_margins() -> None:
    same(ops.image.resize(X, (10, 12), "nearest"), X.repeat(2, 1).repeat(2, 2))
    half = X[:, :4].reshape(2, 2, 2, 3, 2, 3).mean((2, 4))
    same(ops.image.resize(X[:, :4], (2, 3)), half)
    flat = np.full((5, 6, 1), 7, np.uint8)
    for method in ("bicubic", "lanczos3"):
        same(ops.image.resize(flat, (3, 9), method), np.full((3, 9, 1), 7))
    same(ops.image.resize(X[0], (5, 5), crop_to_aspect_ratio=True), X[0][:, :5])
    padded = ops.image.resize(X[0][:, :3], (5, 5), pad_to_aspect_ratio=True, fill_value=2.0)
    same(padded, np.pad(X[0][:, :3], ((0, 0), (1, 1), (0, 0)), constant_values=2))
    args = ((5, 6, 3), np.ones(2, np.float32), np.array([1, -2], np.float32), (0, 1), "linear")
    moved = np.asarray(ops.image.scale_and_translate(X[0], *args))
    same(moved[1:, :4], X[0][:-1, 2:])


def test_colours_come_back() -> None:
    same(ops.image.hsv_to_rgb(ops.image.rgb_to_hsv(X)), X)
    same(ops.image.rgb_to_grayscale(X)[..., 0], X @ [0.2989, 0.5870, 0.1140])
    with pytest.raises(ValueError, match="Expected of one"):
        ops.image.resize(X, (2, 2), "cubist")


def test_filters() -> None:
    ramp = np.broadcast_to(np.arange(6.0, dtype=np.float32)[:, None], (1, 5, 6, 1)[1:])
    edges = np.asarray(ops.image.sobel_edges(ramp[None], data_format="channels_last"))
    same(edges[0, 2, 1:-1, 0], [[0, 8]] * 4)
    spike = np.zeros((1, 5, 5, 1), np.float32)
    spike[0, 2, 2] = 1
    bell = np.asarray(ops.image.gaussian_blur(spike, (3, 3), (1.0, 1.0), "channels_last"))
    assert abs(bell.sum() - 1) < 1e-5
    assert bell[0, 2, 2, 0] == bell.max()
