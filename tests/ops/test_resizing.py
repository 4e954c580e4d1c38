"""Other numbers of samples, and samples at places, against their definitions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ops.agreement import agree, np
from tilec import ops
from tilec.errors import ArgumentError, ShapeError

RNG = np.random.default_rng(23)
A: Any = RNG.standard_normal((2, 4, 5)).astype(np.float32)
WHOLE: Any = (8 * A).astype(np.int32)


def _linear(x: Any, size: int) -> Any:
    """Along the last axis, by half pixels."""
    places = np.clip((np.arange(size) + 0.5) * x.shape[-1] / size - 0.5, 0, x.shape[-1] - 1)
    whole = np.arange(x.shape[-1])
    rows = [np.interp(places, whole, row) for row in x.reshape(-1, x.shape[-1])]
    return np.stack(rows).reshape(*x.shape[:-1], size)


def test_resize() -> None:
    nearest = ops.Sampling("nearest", "asymmetric", "floor")
    corners = ops.Sampling("linear", "align_corners")
    ends = np.interp(np.linspace(0, 4, 9), np.arange(5), A[0, 0])
    agree(
        {
            "linear": (ops.resize(A, {2: 8}), _linear(A, 8)),
            "fewer": (ops.resize(A, (2, 4, 3)), _linear(A, 3)),
            "two axes": (
                ops.resize(A, {1: 6, -1: 7}),
                _linear(_linear(A, 7).swapaxes(1, 2), 6).swapaxes(1, 2),
            ),
            "integers": (ops.resize(WHOLE, {2: 8}), np.round(_linear(WHOLE, 8)).astype(np.int32)),
            "corners": (ops.resize(A[0, 0], (9,), corners), ends),
            "repeated": (ops.resize(A, {1: 8}, nearest), A.repeat(2, 1)),
            "in steps": (ops.resize(A, {1: 2}, nearest), A[:, ::2]),
            "gathered": (ops.resize(A, {2: 3}, nearest), A[..., [0, 1, 3]]),
            "cubic": (
                ops.resize(A * 0 + 3, {2: 9}, ops.Sampling("cubic")),
                np.full((2, 4, 9), 3.0),
            ),
            "averaged": (
                ops.resize(A[:, :, :4], {2: 2}, ops.Sampling("linear", antialias=True)),
                A[:, :, :4] @ np.array([[8, 6, 2, 0], [0, 2, 6, 8]]).T / 16,
            ),
        },
        1e-4,
        1e-5,
    )


def test_samples_at_places() -> None:
    pictures = A[:, None]
    rows, columns = np.meshgrid(np.linspace(-1, 1, 4), np.linspace(-1, 1, 5), indexing="ij")
    grid = np.stack([columns, rows], -1).astype(np.float32)[None].repeat(2, 0)
    far = grid.copy()
    far[0, 0, 0] = 9, 9
    zero, border = pictures.copy(), pictures.copy()
    zero[0, 0, 0, 0], border[0, 0, 0, 0] = 0, pictures[0, 0, -1, -1]
    middle = pictures.mean((2, 3), keepdims=True)[:, :, :, :0]
    agree(
        {
            "pixels": (ops.grid_sample(pictures, grid, align_corners=True), pictures),
            "nearest": (
                ops.grid_sample(pictures, grid, method="nearest", align_corners=True),
                pictures,
            ),
            "outside": (ops.grid_sample(pictures, far, align_corners=True), zero),
            "border": (
                ops.grid_sample(pictures, far, outside="border", align_corners=True),
                border,
            ),
            "mirrored": (
                ops.grid_sample(pictures, grid * 3, outside="reflection", align_corners=True)[
                    ..., 0, :1
                ],
                pictures[..., -1, -1:],
            ),
            "none": (ops.grid_sample(pictures, grid[:, :, :0]), middle.repeat(4, 2)),
        },
        1e-4,
        1e-4,
    )


def test_windows_are_put_together() -> None:
    x = np.arange(2 * 12 * 6, dtype=np.float32).reshape(2, 12, 6)
    wanted = np.zeros((2, 3, 6, 5), np.float32)
    parts = x.reshape(2, 3, 2, 2, 2, 3)
    for k, j, row, column in np.ndindex(2, 2, 2, 3):
        wanted[:, :, 3 * row + 2 * k, column + j] += parts[:, :, k, j, row, column]
    found = ops.fold_windows(
        x, (5, 4), (2, 2), strides=(3, 1), dilations=(2, 1), padding=((0, 1), (0, 0))
    )
    agree({"windows": (found, wanted[:, :, :5, :4])})
    with pytest.raises(ShapeError, match="is not that of 1 x 3 windows of 4 elements"):
        ops.fold_windows(x, (2, 4), (2, 2))


def test_faults_are_told() -> None:
    with pytest.raises(ArgumentError, match="resize: axis 2 of size 5 cannot become 0"):
        ops.resize(A, {2: 0})
    wrong: Any = "up"
    with pytest.raises(ArgumentError, match="resize: 'up' is unknown"):
        ops.resize(A, {2: 3}, ops.Sampling("linear", "half_pixel", wrong))
    with pytest.raises(ShapeError, match="grid_sample: a grid of shape"):
        ops.grid_sample(A[:, None], A)
