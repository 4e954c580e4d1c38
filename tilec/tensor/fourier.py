"""What a Fourier rewrite knows of a convolution: tiles, lengths, and the nodes that it made."""

from __future__ import annotations

from tilec.records import dataclass
from tilec.tensor.tiling import Tiling


@dataclass(frozen=True, slots=True)
class Fourier(Tiling):
    """A convolution with two sliding windows as products of spectra (overlap and save).

    The transform along the second window is that of real data, of which one half is kept; the one
    along the first window is complex.

    Attributes:
        depthwise: Every channel has a filter of its own; nothing is summed over channels.
    """

    depthwise: bool

    @property
    def lengths(self) -> tuple[int, int]:
        """Elements of the transforms along the two windows."""
        first, second = self.sliding
        return first.size, second.size

    @property
    def half(self) -> int:
        """Frequencies that are kept of the second transform."""
        return self.lengths[1] // 2 + 1

    @property
    def parts(self) -> int:
        """Real numbers per frequency: two, or the three factors of Gauss's complex product."""
        return 2 if self.depthwise else 3

    @property
    def products_per_tile(self) -> int:
        """Products per tile, channel and filter."""
        return self.lengths[0] * self.half * self.parts

    @property
    def weights_elems(self) -> int:
        """Elements of the transformed weights."""
        own = self.panels * self.width * self.products_per_tile
        return own if self.depthwise else own * self.channels

    @property
    def rows(self) -> str:
        """Name of the data transformed along the second window, ``[frequency, part, row ..]``."""
        return f"{self.name}.rows"

    @property
    def columns(self) -> str:
        """Name of the products transformed back along the first window."""
        return f"{self.name}.columns"

    @property
    def weight_rows(self) -> str:
        """Name of the weights transformed along the second window."""
        return f"{self.name}.weights.rows"

    @property
    def inside(self) -> tuple[str, ...]:
        """Values that the kernel keeps to itself."""
        return (self.rows, self.tiles, self.products, self.columns)

    @property
    def method(self) -> str:
        """As texts name it: ``FFT(22x22,11x11)``."""
        return f"FFT({self.shape})"
