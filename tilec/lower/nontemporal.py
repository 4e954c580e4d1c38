"""Nontemporal: results that no cache will hold do not wait for the lines that they are stored into.

A store into a line that is not in the caches reads the line first. When all that a kernel touches
is larger than the last cache, the line would be gone before anything reads it, so that instructions
that write whole lines to memory save the reading. A core has few such lines under way at a time,
though, fewer than its prefetchers keep under way in the second-level cache. Where the cores are too
few to use all that memory gives, stores that go on from line to line are the faster way: each asks,
some lines ahead, for the line that will be written, and the prefetchers follow.

Assumes a vectorised kernel that stores each element once. Guarantees that only arguments are
touched that the kernel does not read, and only unmasked stores of whole cache lines.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from tilec.kernel import build
from tilec.kernel.ir import Buffer, Const, For, If, Kernel, Load, Prefetch, Stmt, Store
from tilec.kernel.walk import expressions
from tilec.lower.walk import linear_step
from tilec.records import dataclass
from tilec.target.core import Core

AHEAD_BYTES = 512
"""Between a store and the line that it asks for: what memory delivers while it takes to answer."""

RUN_BYTES = 4096
"""Up to this, a run asks for the next one, whose beginning would be late otherwise."""

_TRAFFIC = 1.5
"""Lines that an ordinary copy moves for each that it has to: read, read again, written."""


@dataclass(frozen=True, slots=True)
class Nontemporal:
    """The pass.

    Attributes:
        cache_bytes: Size of the last cache.
        line_bytes: Size of a cache line.
        asks: Whether stores that go on from line to line ask for lines ahead.
    """

    name: ClassVar[str] = "nontemporal"

    cache_bytes: int
    line_bytes: int
    asks: bool = False

    @staticmethod
    def of(core: Core) -> Nontemporal:
        """What suits a processor."""
        asks = core.threads * core.core_gigabytes * _TRAFFIC <= core.memory_gigabytes
        return Nontemporal(core.last_cache_bytes, core.line_bytes, asks)

    def apply(self, kernel: Kernel) -> Kernel:
        """Change the stores of a kernel."""
        if sum(map(_bytes, kernel.params)) <= self.cache_bytes:
            return kernel
        read = {e.buffer for e in expressions(kernel.body) if isinstance(e, Load)}
        written = {b.name for b in kernel.params if b.writable and b.name not in read}
        return replace(kernel, body=self._block(kernel.body, written, ())) if written else kernel

    def _block(
        self, body: tuple[Stmt, ...], written: set[str], loops: tuple[For, ...]
    ) -> tuple[Stmt, ...]:
        return tuple(made for stmt in body for made in self._statement(stmt, written, loops))

    def _statement(self, stmt: Stmt, written: set[str], loops: tuple[For, ...]) -> tuple[Stmt, ...]:
        match stmt:
            case For():
                return (replace(stmt, body=self._block(stmt.body, written, (*loops, stmt))),)
            case If():
                then = self._block(stmt.then, written, loops)
                otherwise = self._block(stmt.otherwise, written, loops)
                return (replace(stmt, then=then, otherwise=otherwise),)
            case Store() if stmt.buffer in written and self._is_whole(stmt):
                distance = _ahead(stmt, loops) if self.asks else None
                if distance is None:
                    return (replace(stmt, nontemporal=True),)
                return (*self._asked(stmt, distance), stmt)
            case _:
                return (stmt,)

    def _is_whole(self, stmt: Store) -> bool:
        kind = stmt.value.type
        lines = kind.lanes > 1 and kind.lanes * kind.dtype.bytes % self.line_bytes == 0
        return lines and stmt.mask is None and stmt.stride == 1 and stmt.index.type.lanes == 1

    def _asked(self, stmt: Store, distance: int) -> list[Stmt]:
        kind = stmt.value.type
        lines = range(distance, distance + kind.lanes, self.line_bytes // kind.dtype.bytes)
        return [
            Prefetch(stmt.buffer, build.add(stmt.index, build.const(at)), to_write=True)
            for at in lines
        ]


def _ahead(stmt: Store, loops: tuple[For, ...]) -> int | None:
    """Elements from a store to the one to ask for; None where it does not go on line by line."""
    kind = stmt.value.type
    if not loops or _moves(stmt, loops[-1]) != kind.lanes:
        return None
    start, stop = loops[-1].start, loops[-1].stop
    if isinstance(start, Const) and isinstance(stop, Const):
        run = int(stop.value) - int(start.value)
        moves = (_moves(stmt, loop) for loop in reversed(loops[:-1]))
        following = next((move for move in moves if move), None)
        if run * kind.dtype.bytes <= RUN_BYTES and following is not None:
            return following
    return AHEAD_BYTES // kind.dtype.bytes


def _moves(stmt: Store, loop: For) -> int:
    """Elements by which a store moves from one iteration to the next; 0 where that varies."""
    return (linear_step(stmt.index, loop.var) or 0) * loop.step


def _bytes(buffer: Buffer) -> int:
    return (buffer.high - buffer.low) * buffer.type.dtype.bytes
