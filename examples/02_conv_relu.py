"""Batched 3x3 "same" convolution, bias and ReLU: oriented edges of two photographs."""

from __future__ import annotations

import numpy as np
from data import F32, TILE, check, photo
from numpy.typing import NDArray
from scipy.ndimage import correlate

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


def by_scipy(batch: F32, kernel: F32, bias: F32) -> NDArray[np.float64]:
    """The same in double precision, one picture, colour and filter at a time."""
    result = np.zeros((*batch.shape[:3], kernel.shape[3]))
    for n, picture in enumerate(batch.astype(np.float64)):
        for d in range(kernel.shape[3]):
            for c in range(picture.shape[2]):
                taps = kernel[:, :, c, d].astype(np.float64)
                result[n, :, :, d] += correlate(picture[:, :, c], taps, mode="constant")
    return np.maximum(result + bias, 0)


def main() -> None:
    """Filter both photographs at once and compare with SciPy."""
    batch = np.stack([photo("china"), photo("flower")])
    kernel, bias = oriented(8), np.full(8, -0.02, np.float32)
    response = conv_relu(batch, kernel, bias)
    check("responses", response, by_scipy(batch, kernel, bias), 1e-5)
    for name, picture in zip(("china", "flower"), response, strict=True):
        strength = picture.mean(axis=(0, 1))
        direction = 45 * int(strength.argmax())
        print(f"{name}: edges are strongest towards {direction} degrees, {strength.max():.4f}")


if __name__ == "__main__":
    main()
