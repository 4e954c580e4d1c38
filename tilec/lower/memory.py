"""Places temporaries in one workspace, so that those alive at the same time do not overlap."""

from __future__ import annotations

from tilec.kernel.ir import Buffer, Temporary
from tilec.records import dataclass

ALIGN_BYTES = 64
"""A cache line, and the widest vector register."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A temporary and the first and last call that touches it."""

    buffer: Buffer
    first: int
    last: int

    @property
    def bytes(self) -> int:
        """Size in the workspace, rounded up to whole cache lines."""
        used = self.buffer.high * self.buffer.type.dtype.bytes
        return -(-used // ALIGN_BYTES) * ALIGN_BYTES


def plan(lifetimes: tuple[Lifetime, ...]) -> tuple[tuple[Temporary, ...], int]:
    """Offsets of the temporaries and the size of the workspace, in bytes.

    Largest first, each at the lowest offset free of everything alive at the same time: within a
    few percent of the best possible for the short lists that kernels have.
    """
    placed: list[tuple[Lifetime, int]] = []
    for item in sorted(lifetimes, key=lambda item: (-item.bytes, item.first, item.buffer.name)):
        taken = sorted(
            (offset, offset + other.bytes)
            for other, offset in placed
            if other.first <= item.last and item.first <= other.last
        )
        offset = 0
        for start, end in taken:
            if offset + item.bytes <= start:
                break
            offset = max(offset, end)
        placed.append((item, offset))
    total = max((offset + item.bytes for item, offset in placed), default=0)
    order = sorted(placed, key=lambda pair: (pair[0].first, pair[0].buffer.name))
    return tuple(Temporary(item.buffer, offset) for item, offset in order), total
