"""What a Winograd rewrite knows of a convolution: tiles, matrices, and the nodes that it made."""

from __future__ import annotations

from fractions import Fraction
from math import prod
from typing import TypeAlias

from tilec.records import dataclass
from tilec.tensor.tiling import Tiling

Matrix: TypeAlias = tuple[tuple[Fraction, ...], ...]
"""Rows of rationals."""


@dataclass(frozen=True, slots=True)
class Minimal:
    """The matrices of F(m, r), see ``tilec/rewrite/cook_toom.py``.

    Attributes:
        m: Outputs of a tile.
        r: Taps of the filter.
        a: m rows that make outputs of products.
        b: One row per product, that makes its factor of the data.
        g: One row per product, that makes its factor of the filter.
    """

    m: int
    r: int
    a: Matrix
    b: Matrix
    g: Matrix

    @property
    def size(self) -> int:
        """Products of a tile, and elements of data that it reads."""
        return self.m + self.r - 1

    def __str__(self) -> str:
        return f"F({self.m},{self.r})"


ONE = Fraction(1)
PLAIN = Minimal(1, 1, ((ONE,),), ((ONE,),), ((ONE,),))
"""F(1, 1): a coordinate over which no window slides."""


@dataclass(frozen=True, slots=True)
class Winograd(Tiling):
    """A convolution as transforms of tiles around products.

    Attributes:
        minimals: The method along each axis.
        group: Panels of weights that lie together: all of them for the first product, then all for
            the second.
        late: The weights keep their taps, and are transformed where they are multiplied.
    """

    minimals: tuple[Minimal, ...]
    group: int = 1
    late: bool = False

    @property
    def groups(self) -> int:
        """Groups of panels; the last one may have fewer."""
        return -(-self.panels // self.group)

    @property
    def matrices(self) -> tuple[Minimal, ...]:
        """The methods along the axes over which the window slides."""
        pairs = zip(self.axes, self.minimals, strict=True)
        return tuple(minimal for axis, minimal in pairs if axis.slides)

    @property
    def products_per_tile(self) -> int:
        """Products per tile, channel and filter."""
        return prod(axis.size for axis in self.axes)

    @property
    def taps(self) -> int:
        """Taps of the window."""
        return prod(axis.r for axis in self.axes)

    @property
    def weights_per_tile(self) -> int:
        """Numbers that are kept of each channel and filter."""
        return self.taps if self.late else self.products_per_tile

    @property
    def inside(self) -> tuple[str, ...]:
        """Values that the kernel keeps to itself."""
        return (self.tiles, self.products)

    @property
    def method(self) -> str:
        """As texts name it: ``F(4x4,3x3)``."""
        return f"F({self.shape})"
