"""Max pooling with stride: windows of 3x3 at every second pixel of a photograph."""

from __future__ import annotations

from data import TILE, check, photo
from numpy.lib.stride_tricks import sliding_window_view

import tilec

maxpool = tilec.function((TILE / "maxpool.tile").read_text())


def main() -> None:
    """Pool three times and compare each step with NumPy."""
    picture = photo("flower")
    for step in range(1, 4):
        pooled = maxpool(picture)
        windows = sliding_window_view(picture, (3, 3), axis=(0, 1))[::2, ::2]
        check(f"pooled {step} times", pooled, windows.max(axis=(-2, -1)), 0)
        picture = pooled


if __name__ == "__main__":
    main()
