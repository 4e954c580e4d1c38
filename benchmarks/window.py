"""Geometry of sliding windows, and the reference convolution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.case import Array, Row, RowError


@dataclass(frozen=True, slots=True)
class Window:
    """How a window slides along one axis.

    Attributes:
        size: Elements of the input.
        taps: Elements of the window.
        stride: Step between two windows.
        before: Zeros before the first element.
        after: Zeros behind the last one.
    """

    size: int
    taps: int
    stride: int
    before: int
    after: int

    @property
    def out(self) -> int:
        """Number of windows."""
        return (self.before + self.size + self.after - self.taps) // self.stride + 1

    def index(self, out: str, tap: str) -> str:
        """The index expression that reads the input, as Tile writes it."""
        step = out if self.stride == 1 else f"{self.stride}*{out}"
        moved = f"{step} + {tap}" if self.taps > 1 else step
        return f"{moved} - {self.before}" if self.before else moved


def window(row: Row, size: int, taps: int) -> Window:
    """The window that a row's ``stride`` and ``pad`` mean; ``pad`` is a number or ``same``."""
    stride = row.integer("stride", 1)
    if row.values.get("pad") == "same":
        total = max((-(-size // stride) - 1) * stride + taps - size, 0)
        before, after = total // 2, total - total // 2
    else:
        before = after = row.integer("pad", 0)
    found = Window(size, taps, stride, before, after)
    if found.out < 1:
        raise RowError(f"a window of {taps} does not fit into {size} elements")
    return found


def padded(x: Array, windows: Mapping[int, Window]) -> Array:
    """The input with the zeros around it, for libraries that cannot pad unevenly."""
    widths = [(0, 0)] * x.ndim
    for axis, each in windows.items():
        widths[axis] = (each.before, each.after)
    return np.pad(x, widths)


def label(row: Row, channels: str, rows: Window, columns: Window) -> str:
    """What tells a convolution from others of its set."""
    size = f"{rows.size}x{columns.size} {channels} {rows.taps}x{columns.taps}"
    size += f"/{rows.stride}" if rows.stride > 1 else ""
    return f"{row.text('name', '')} {size}".strip()


def convolve(x: Array, k: Array, rows: Window, columns: Window) -> Array:
    """float64 convolution of ``x[n, h, w, g, c]`` with ``k[i, j, g, c, f]``, one tap at a time."""
    wide = padded(x.astype(np.float64), {1: rows, 2: columns})
    taps = k.astype(np.float64)
    n, g, f = x.shape[0], k.shape[2], k.shape[4]
    total = np.zeros((g, n * rows.out * columns.out, f))
    for i in range(rows.taps):
        for j in range(columns.taps):
            part = wide[
                :,
                i : i + (rows.out - 1) * rows.stride + 1 : rows.stride,
                j : j + (columns.out - 1) * columns.stride + 1 : columns.stride,
            ]
            total += part.transpose(3, 0, 1, 2, 4).reshape(g, -1, x.shape[4]) @ taps[i, j]
    return total.reshape(g, n, rows.out, columns.out, f).transpose(1, 2, 3, 0, 4)
