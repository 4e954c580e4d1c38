"""Devices as the emitter sees them."""

from __future__ import annotations

from collections.abc import Sequence

from tilec.records import dataclass

ITEMS = 256
"""Items of a group, at most; some devices allow fewer."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What matters about a device when code is printed.

    Attributes:
        name: The device, in words.
        is_gpu: Iterations become work-items; else workers take parts of them, as threads would.
        workers: Workers that run side by side, on a processor.
        most_items: Items that a group may have.
        aligned: Bytes to which arrays of the device are aligned.
        has_f64: Whether it computes in f64.
    """

    name: str
    is_gpu: bool
    workers: int
    most_items: int = ITEMS
    aligned: int = 1
    has_f64: bool = True

    def group_shape(self, extents: Sequence[int]) -> tuple[int, ...]:
        """Items of a group along each axis of a range; the first axis runs fastest.

        Neighbours along the first axis read neighbouring elements, so it is filled first, up to
        the 32 or 64 items that run in step on current devices.
        """
        left = min(ITEMS, self.most_items)
        shape: list[int] = []
        for axis, extent in enumerate(extents):
            wanted = min(64 if axis == 0 and len(extents) > 1 else left, left)
            size = min(wanted, 1 << max(0, extent - 1).bit_length())
            shape.append(max(1, size))
            left //= shape[-1]
        return tuple(shape)
