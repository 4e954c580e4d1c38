"""What a Winograd rewrite knows of a convolution: tiles, matrices, and the nodes that it made."""

from __future__ import annotations

from fractions import Fraction
from math import prod
from typing import TypeAlias

from tilec.records import dataclass

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
class TileAxis:
    """An output axis that is cut into tiles; a batch axis has tiles of one element.

    Attributes:
        extent: Elements of the output axis.
        data_extent: Elements of the data along it.
        offset: The window of output element 0 begins at this element of the data.
        output_at: Position among the axes of the output.
        data_at: Position among the axes of the data.
        minimal: The method along it.
    """

    extent: int
    data_extent: int
    offset: int
    output_at: int
    data_at: int
    minimal: Minimal

    @property
    def tiles(self) -> int:
        """Tiles that cover the output."""
        return -(-self.extent // self.minimal.m)


@dataclass(frozen=True, slots=True)
class Winograd:
    """A convolution as transforms of tiles around products.

    Attributes:
        name: The convolution; its value is the same as before, up to rounding.
        data: The tensor over which windows slide.
        axes: The axes of the output but that of the filters, in order.
        channels: Elements that are summed over.
        channel_at: Position of the channels among the axes of the data.
        filters: Filters.
        filter_at: Position of the filters among the axes of the output.
        width: Filters of a panel of transformed weights.
        weights: Name of the transformed weights, ``[panel, product.., channel, filter of panel]``.
        tiles: Name of the transformed data, ``[product.., tile.., channel]``.
        products: Name of the products, ``[product.., tile.., filter]``.
    """

    name: str
    data: str
    axes: tuple[TileAxis, ...]
    channels: int
    channel_at: int
    filters: int
    filter_at: int
    width: int
    weights: str
    tiles: str
    products: str

    @property
    def sliding(self) -> tuple[TileAxis, ...]:
        """The axes along which the window slides."""
        return tuple(axis for axis in self.axes if axis.minimal.size > 1)

    @property
    def products_per_tile(self) -> int:
        """Products per tile, channel and filter."""
        return prod(axis.minimal.size for axis in self.axes)

    @property
    def tile_count(self) -> int:
        """Tiles that cover the output."""
        return prod(axis.tiles for axis in self.axes)

    @property
    def panels(self) -> int:
        """Panels of transformed weights."""
        return -(-self.filters // self.width)

    @property
    def direct_products(self) -> int:
        """Multiplications of the definition, per channel and filter."""
        return prod(axis.extent * axis.minimal.r for axis in self.axes)

    @property
    def method(self) -> str:
        """As texts name it: ``F(4x4,3x3)``."""
        tiles = "x".join(str(axis.minimal.m) for axis in self.sliding)
        taps = "x".join(str(axis.minimal.r) for axis in self.sliding)
        return f"F({tiles},{taps})"
