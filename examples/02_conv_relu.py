"""Batched 3x3 "same" convolution, bias and ReLU: oriented edges of two photographs."""

from __future__ import annotations

import numpy as np
from data import F32, TILE, check, photo
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

import tilec

conv_relu = tilec.function((TILE / "conv_relu.tile").read_text())


def oriented(count: int) -> F32:
    """Filters of shape 3 x 3 x colour x ``count``: derivatives in as many directions."""
    smooth, slope = np.array([1, 2, 1]) / 4, np.array([-1, 0, 1]) / 2
    horizontal, vertical = np.outer(smooth, slope), np.outer(slope, smooth)
    angles = 2 * np.pi * np.arange(count) / count
    turned = np.multiply.outer(horizontal, np.cos(angles)) + np.multiply.outer(
        vertical, np.sin(angles)
    )
    return np.repeat(turned[:, :, None, :] / 3, 3, axis=2).astype(np.float32)


def by_numpy(batch: F32, kernel: F32, bias: F32) -> NDArray[np.float64]:
    """The same in double precision, on a batch with a border of zeros."""
    padded = np.pad(batch.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = sliding_window_view(padded, (3, 3), axis=(1, 2))  # n, y, x, c, i, j
    sums = np.tensordot(windows, kernel.astype(np.float64), axes=((4, 5, 3), (0, 1, 2)))
    return np.maximum(sums + bias, 0)


def main() -> None:
    """Filter both photographs at once and compare with NumPy."""
    batch = np.stack([photo("china"), photo("flower")])
    kernel, bias = oriented(8), np.full(8, -0.02, np.float32)
    response = conv_relu(batch, kernel, bias)
    check("responses", response, by_numpy(batch, kernel, bias), 1e-5)
    for name, picture in zip(("china", "flower"), response, strict=True):
        strength = picture.mean(axis=(0, 1))
        direction = 45 * int(strength.argmax())
        print(f"{name}: edges are strongest towards {direction} degrees, {strength.max():.4f}")


if __name__ == "__main__":
    main()
