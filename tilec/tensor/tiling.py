"""The outputs of a convolution cut into tiles: what all methods that transform tiles begin with."""

from __future__ import annotations

from math import prod

from tilec.records import dataclass


@dataclass(frozen=True, slots=True)
class TileAxis:
    """An output axis that is cut into tiles; a batch axis has tiles of one element.

    Attributes:
        extent: Elements of the output axis.
        data_extent: Elements of the data along it.
        offset: The window of output element 0 begins at this element of the data.
        output_at: Position among the axes of the output.
        data_at: Position among the axes of the data.
        m: Outputs of a tile.
        r: Taps that are summed along it; 1 along a batch axis.
    """

    extent: int
    data_extent: int
    offset: int
    output_at: int
    data_at: int
    m: int
    r: int

    @property
    def size(self) -> int:
        """Elements of the data that a tile reads."""
        return self.m + self.r - 1

    @property
    def tiles(self) -> int:
        """Tiles that cover the output."""
        return -(-self.extent // self.m)

    @property
    def slides(self) -> bool:
        """Whether there are several taps or outputs; of a batch axis there are not."""
        return self.size > 1


@dataclass(frozen=True, slots=True)
class Tiling:
    """A convolution whose outputs are cut into tiles.

    Attributes:
        name: The convolution; its value is the same as before, up to rounding.
        data: The tensor over which windows slide.
        axes: The axes of the output but that of the filters, in order.
        channels: Elements that are summed over.
        channel_at: Position of the channels among the axes of the data.
        filters: Filters.
        filter_at: Position of the filters among the axes of the output.
        width: Filters of a panel of transformed weights.
    """

    name: str
    data: str
    axes: tuple[TileAxis, ...]
    channels: int
    channel_at: int
    filters: int
    filter_at: int
    width: int

    @property
    def weights(self) -> str:
        """Name of the transformed weights, ``[panel, product.., channel, filter of panel]``."""
        return f"{self.name}.weights"

    @property
    def tiles(self) -> str:
        """Name of the transformed data, ``[product.., tile.., channel]``."""
        return f"{self.name}.tiles"

    @property
    def products(self) -> str:
        """Name of the products, ``[product.., tile.., filter]``."""
        return f"{self.name}.products"

    @property
    def sliding(self) -> tuple[TileAxis, ...]:
        """The axes along which the window slides."""
        return tuple(axis for axis in self.axes if axis.slides)

    @property
    def tile_count(self) -> int:
        """Tiles that cover the output."""
        return prod(axis.tiles for axis in self.axes)

    @property
    def panels(self) -> int:
        """Panels of transformed weights."""
        return -(-self.filters // self.width)

    @property
    def shape(self) -> str:
        """Tiles and window as texts name them: ``4x4,3x3``."""
        tiles = "x".join(str(axis.m) for axis in self.sliding)
        taps = "x".join(str(axis.r) for axis in self.sliding)
        return f"{tiles},{taps}"
