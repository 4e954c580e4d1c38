"""Filters on a photograph, each a Tile function, and a contact sheet of the results."""

from __future__ import annotations

from typing import Any

import numpy as np
from data import F32, OUT, TILE, check, photo
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage as scipy_ndimage

import tilec

ndimage: Any = scipy_ndimage  # SciPy ships no types

SOURCE = (TILE / "photo.tile").read_text()
blur, sharpen, edges, pencil, mosaic = (
    tilec.function(SOURCE, name=name) for name in ("blur", "sharpen", "edges", "pencil", "mosaic")
)

REC709 = np.array([0.2126, 0.7152, 0.0722], np.float32)
SMOOTH, SLOPE = np.array([1, 2, 1], np.float32), np.array([-1, 0, 1], np.float32)


def gaussian(sigma: float) -> F32:
    """Weights of a Gaussian out to three sigma; their number is odd, their sum 1."""
    radius = round(3 * sigma)
    weights = np.exp(-((np.arange(-radius, radius + 1) / sigma) ** 2) / 2)
    return (weights / weights.sum()).astype(np.float32)


def scipy_blur(picture: NDArray[np.float64], kernel: F32) -> NDArray[np.float64]:
    """The blur of ``photo.tile`` in double precision."""
    inside = np.ones(picture.shape[:2])
    result = picture
    for axis in (0, 1):
        taps = kernel.astype(np.float64)
        result = ndimage.correlate1d(result, taps, axis, mode="constant")
        inside = ndimage.correlate1d(inside, taps, axis, mode="constant")
    return result / (inside if picture.ndim == 2 else inside[:, :, None])


def scipy_edges(picture: NDArray[np.float64], gain: float) -> NDArray[np.float64]:
    """The edges of ``photo.tile`` in double precision."""
    slopes = np.zeros((2, *picture.shape))
    for axis in (0, 1):
        for colour in range(picture.shape[2]):
            slopes[axis, :, :, colour] = ndimage.sobel(picture[:, :, colour], axis)
    return np.minimum(gain * np.hypot(slopes[0], slopes[1])[1:-1, 1:-1], 1)


def numpy_mosaic(picture: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """The mosaic of ``photo.tile`` in double precision."""
    rows, columns = picture.shape[0] // size, picture.shape[1] // size
    whole = picture[: rows * size, : columns * size]
    means = whole.reshape(rows, size, columns, size, 3).mean(axis=(1, 3))
    result = picture.copy()
    result[: rows * size, : columns * size] = means.repeat(size, axis=0).repeat(size, axis=1)
    return result


def sheet(panels: list[tuple[str, F32]], columns: int) -> Image.Image:
    """The panels in rows, each with its name below it."""
    height, width = panels[0][1].shape[:2]
    gap, line = 18, 34
    rows = -(-len(panels) // columns)
    size = (columns * (width + gap) + gap, rows * (height + line + gap) + gap)
    page = Image.new("RGB", size, (24, 25, 28))
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(19)
    for at, (name, panel) in enumerate(panels):
        left = gap + at % columns * (width + gap)
        top = gap + at // columns * (height + line + gap)
        pixels = np.rint(255 * panel.clip(0, 1)).astype(np.uint8)
        page.paste(Image.fromarray(pixels).resize((width, height)), (left, top))
        draw.text((left, top + height + 7), name, (222, 222, 226), font)
    return page


def main() -> None:
    """Run every filter, compare it with SciPy, and draw the sheet."""
    picture = photo("china")
    wide = picture.astype(np.float64)
    soft, fine = gaussian(5.0), gaussian(1.2)

    blurred = blur(picture, soft)
    check("blur", blurred, scipy_blur(wide, soft), 1e-5)
    sharp = sharpen(picture, fine, 1.0)
    check("sharpen", sharp, np.clip(wide + 1.0 * (wide - scipy_blur(wide, fine)), 0, 1), 1e-5)
    lines = edges(picture, SMOOTH, SLOPE, 0.5)
    check("edges", lines, scipy_edges(wide, 0.5), 1e-5)
    drawing = pencil(picture, REC709, soft, 2.5)
    grey = wide @ REC709.astype(np.float64)
    paper = np.minimum(grey / np.maximum(scipy_blur(grey, soft), 0.001), 1)
    check("pencil", drawing, paper**2.5, 1e-4)
    squares = mosaic(picture, 8)
    check("mosaic", squares, numpy_mosaic(wide, 8), 1e-5)

    page = sheet(
        [
            ("original", picture),
            ("blur, sigma 5", blurred),
            ("sharpen", sharp),
            ("edges", lines),
            ("pencil", drawing),
            ("mosaic of 8 x 8", squares),
        ],
        columns=3,
    )
    OUT.mkdir(exist_ok=True)
    page.save(OUT / "photo_filters.png")
    print(f"the contact sheet is {OUT / 'photo_filters.png'}")


if __name__ == "__main__":
    main()
