"""What convolutions and pooling share: layouts, and windows that slide along spatial axes."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Literal, TypeAlias

from tilec.errors import ArgumentError, ShapeError
from tilec.records import dataclass

Layout: TypeAlias = Literal["channels_first", "channels_last"]
"""Where the channels of an image stand: N C H W, or N H W C; the same with fewer or more axes."""

Padding: TypeAlias = "str | int | Sequence[int | tuple[int, int]]"
"""``"valid"`` (none), ``"same_upper"`` or ``"same_lower"`` (as many results as strides fit in, the
odd element behind or before), a number for all sides, or for each axis a number or a pair."""


@dataclass(frozen=True, slots=True)
class Window:
    """A window along one axis.

    Attributes:
        size: Elements in it.
        stride: How far it moves.
        dilation: Distance of its elements.
        before: Elements of padding before the axis.
        count: How many windows there are.
    """

    size: int
    stride: int
    dilation: int
    before: int
    count: int

    @property
    def reach(self) -> int:
        """Distance of the last element from the first, plus one."""
        return (self.size - 1) * self.dilation + 1


def several(op: str, name: str, given: int | Sequence[int], count: int, least: int) -> list[int]:
    """A number for each spatial axis.

    Raises:
        ArgumentError: there are too many, or one is too small.
    """
    listed = [*given] if isinstance(given, Sequence) else [given] * count
    if len(listed) != count:
        raise ArgumentError(f"{op}: {name} has {len(listed)} numbers for {count} spatial axes")
    found = [index(each) for each in listed]
    if any(each < least for each in found):
        raise ArgumentError(f"{op}: {name} is {found}; it must be {least} at least")
    return found


def pads(
    op: str, padding: Padding, windows: Sequence[tuple[int, int, int]]
) -> list[tuple[int, int]]:
    """Padding before and behind each axis.

    Args:
        op: Name of the operation.
        padding: What the caller wants.
        windows: Of each axis its size, the reach of the window, and the stride.

    Raises:
        ArgumentError: there is no such padding.
    """
    if isinstance(padding, str):
        named = padding.lower()
        if named in ("valid", "notset"):
            return [(0, 0)] * len(windows)
        if named not in ("same", "same_upper", "same_lower"):
            raise ArgumentError(
                f"{op}: there is no padding {padding!r}",
                help="it is 'valid', 'same_upper', 'same_lower', or numbers",
            )
        totals = [max((-(-n // s) - 1) * s + reach - n, 0) for n, reach, s in windows]
        halves = [total // 2 for total in totals]
        pairs = [(half, total - half) for half, total in zip(halves, totals, strict=True)]
        return [(high, low) for low, high in pairs] if named == "same_lower" else pairs
    listed = [padding] * len(windows) if isinstance(padding, int) else [*padding]
    if len(listed) != len(windows):
        raise ArgumentError(f"{op}: padding has {len(listed)} items for {len(windows)} axes")
    return [(each, each) if isinstance(each, int) else (each[0], each[1]) for each in listed]


def sliding(
    op: str,
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: int | Sequence[int],
    dilations: int | Sequence[int],
    padding: Padding,
    *,
    ceil_mode: bool = False,
) -> list[Window]:
    """The windows along each spatial axis.

    Args:
        op: Name of the operation.
        sizes: Sizes of the axes.
        kernel: Sizes of the windows.
        strides: How far they move.
        dilations: Distance of their elements.
        padding: Padding of the axes.
        ceil_mode: Whether a window may reach beyond the padding, if it begins before that.

    Raises:
        UserError: they do not fit.
    """
    count = len(sizes)
    steps = several(op, "strides", strides, count, 1)
    spread = several(op, "dilations", dilations, count, 1)
    reaches = [(size - 1) * step + 1 for size, step in zip(kernel, spread, strict=True)]
    around = pads(op, padding, [*zip(sizes, reaches, steps, strict=True)])
    found: list[Window] = []
    for at, (before, behind) in enumerate(around):
        room = sizes[at] + before + behind - reaches[at]
        windows = room // steps[at] + 1
        if ceil_mode:
            windows = -(-room // steps[at]) + 1
            if (windows - 1) * steps[at] >= sizes[at] + before:
                windows -= 1
        if windows < 0 or (windows == 0 and sizes[at] and room < 0):
            raise ShapeError(
                f"{op}: a window that reaches over {reaches[at]} elements does not fit into axis "
                f"{at} of the image with {sizes[at] + before + behind}, padding included"
            )
        found.append(Window(kernel[at], steps[at], spread[at], before, windows))
    return found


def channel_axis(op: str, rank: int, layout: str) -> int:
    """Where the channels of an image of this rank stand.

    Raises:
        UserError: there is no such layout, or not one to three spatial axes.
    """
    if not 3 <= rank <= 5:
        raise ShapeError(
            f"{op}: x has {rank} axes; an image has a batch, channels, and 1 to 3 spatial axes"
        )
    if layout == "channels_first":
        return 1
    if layout == "channels_last":
        return rank - 1
    raise ArgumentError(
        f"{op}: there is no layout {layout!r}", help="it is channels_first or channels_last"
    )


def spatial(shape: Sequence[int], channels: int) -> list[int]:
    """The sizes between batch and channels."""
    return [size for axis, size in enumerate(shape) if axis not in (0, channels)]


def image(channels: int, batch: str, channel: str, places: Sequence[str]) -> str:
    """What stands in the brackets of an image."""
    listed = [batch, *places]
    listed.insert(channels, channel)
    return ", ".join(listed)
