"""One kernel on its way through the compiler, then at work on a photograph."""

from __future__ import annotations

import time

import numpy as np
from data import F32, OUT, check, photo
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

import tilec

TEXT = """\
// A 3x3 filter on every colour of a picture. What lies outside counts as 0.
function filter(P[H, W, C], K[3, 3]) -> (R) {
  R[y, x, c : H, W, C] = +(P[y + i - 1, x + j - 1, c] * K[i, j]);
}
"""
RELIEF = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], np.float32)
LINES = 14


def heading(text: str) -> None:
    """Start a part of the output."""
    print(f"\n--- {text} {'-' * (72 - len(text))}")


def shorten(text: str) -> str:
    """The first lines of a text, none too long."""
    lines = [line if len(line) <= 100 else f"{line[:97]}..." for line in text.strip().splitlines()]
    more = len(lines) - LINES
    return "\n".join(lines if more <= 1 else [*lines[:LINES], f"... {more} more lines"])


def by_numpy(picture: F32, kernel: F32) -> NDArray[np.float64]:
    """The same in double precision."""
    padded = np.pad(picture.astype(np.float64), ((1, 1), (1, 1), (0, 0)))
    windows = sliding_window_view(padded, (3, 3), axis=(0, 1))
    return np.einsum("yxcij,ij->yxc", windows, kernel.astype(np.float64))


def main() -> None:
    """Compile, show, run, check, draw."""
    picture = photo("china")
    apply = tilec.function(TEXT)
    started = time.perf_counter()
    executable = apply.compile(picture, RELIEF)
    compiled = time.perf_counter()

    for stage in executable.stages:
        heading(f"stage {stage}")
        print(shorten(executable.source(stage)))

    heading("on a photograph")
    result: F32 = executable(picture, RELIEF)
    check("filtered", result, by_numpy(picture, RELIEF), 1e-6)
    times: list[float] = []
    for _ in range(20):
        begun = time.perf_counter()
        executable(picture, RELIEF)
        times.append(time.perf_counter() - begun)
    print(f"ready to run after {1e3 * (compiled - started):.0f} ms; sooner from the disk cache")
    print(f"one call takes {1e3 * float(np.median(times)):.2f} ms")

    OUT.mkdir(exist_ok=True)
    both = np.hstack([picture, (result / 2 + 0.4).clip(0, 1)])
    Image.fromarray(np.rint(255 * both).astype(np.uint8)).save(OUT / "demo.png")
    print(f"before and after: {OUT / 'demo.png'}")


if __name__ == "__main__":
    main()
