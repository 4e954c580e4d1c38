"""Nontemporal: results that no cache will hold do not wait for the lines that they are stored into.

A store into a line that is not in the caches reads the line first. When all that a kernel touches
is larger than the last cache, the line would be gone before anything reads it, so that instructions
that write whole lines to memory save the reading. A core has few such lines under way at a time,
though, fewer than its prefetchers keep under way in the second-level cache. Where the cores are too
few to use all that memory gives, stores that go on from line to line are the faster way: each asks,
some lines ahead, for the line that will be written, and the prefetchers follow. There what is
computed is asked for as well, a page ahead: prefetchers stop at the end of a page, and a core that
is busy with the elements of one line does not see the next ones coming.

Assumes a vectorised kernel that stores each element once. Guarantees that only arguments are stored
that the kernel does not read, and only by unmasked stores of whole cache lines.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from tilec.kernel import build
from tilec.kernel.ir import Const, For, If, Kernel, Load, Prefetch, Stmt, Store, VType
from tilec.kernel.walk import expressions, statements
from tilec.lower.walk import linear_step
from tilec.records import dataclass
from tilec.target.core import Core

AHEAD_BYTES = 2048
"""Between a store and the line that it asks for: what memory delivers while it takes to answer."""

PAGE_BYTES = 4096
"""Between a load and the line that it asks for: the prefetchers bring the rest of the page."""

RUN_BYTES = 4096
"""Up to this, a run asks for the next one, whose beginning would be late otherwise."""

ENDS = 8
"""How much longer than the distance to what it stores a run is at least, since the last of it asks
for lines that nobody needs. Rows of 8 KiB that asked 2 KiB ahead took 1.06 times as long."""

PAGES = 4
"""The same for what it loads: rows of 16 KiB gain by asking a page ahead, rows of 8 KiB lose."""


@dataclass(frozen=True, slots=True)
class Arrays:
    """Arguments that are only written, and those whose lines are asked for before loads."""

    written: set[str]
    read: set[str]


@dataclass(frozen=True, slots=True)
class Nontemporal:
    """The pass.

    Attributes:
        cache_bytes: Size of the last cache.
        line_bytes: Size of a cache line.
        held_bytes: Size of the second-level cache: what fits into it is not asked for again.
        asks: Whether stores that go on from line to line ask for lines ahead.
    """

    name: ClassVar[str] = "nontemporal"

    cache_bytes: int
    line_bytes: int
    held_bytes: int
    asks: bool = False

    @staticmethod
    def of(core: Core) -> Nontemporal:
        """What suits a processor."""
        return Nontemporal(core.last_cache_bytes, core.line_bytes, core.l2_bytes, core.asks)

    def apply(self, kernel: Kernel) -> Kernel:
        """Change the stores of a kernel."""
        if sum(buffer.bytes for buffer in kernel.params) <= self.cache_bytes:
            return kernel
        read = {e.buffer for e in expressions(kernel.body) if isinstance(e, Load)}
        # Rows that several passes read have been asked for in an earlier one, and so has what a
        # transpose stores in runs.
        known = {s.buffer for s in statements(kernel.body) if isinstance(s, Prefetch)}
        written = {b.name for b in kernel.params if b.writable} - read - known
        if not written:
            return kernel
        read = {b.name for b in kernel.params if b.bytes > self.held_bytes} - known - written
        return replace(kernel, body=self._block(kernel.body, Arrays(written, read), ()))

    def _block(
        self, body: tuple[Stmt, ...], arrays: Arrays, loops: tuple[For, ...]
    ) -> tuple[Stmt, ...]:
        return tuple(made for stmt in body for made in self._statement(stmt, arrays, loops))

    def _statement(self, stmt: Stmt, arrays: Arrays, loops: tuple[For, ...]) -> tuple[Stmt, ...]:
        match stmt:
            case For():
                return (replace(stmt, body=self._block(stmt.body, arrays, (*loops, stmt))),)
            case If():
                then = self._block(stmt.then, arrays, loops)
                otherwise = self._block(stmt.otherwise, arrays, loops)
                return (replace(stmt, then=then, otherwise=otherwise),)
            case Store() if stmt.buffer in arrays.written and self._is_whole(stmt):
                asked = self._asked(stmt, loops, AHEAD_BYTES) if self.asks else ()
                if not asked:
                    return (replace(stmt, nontemporal=True),)
                loads = [e for e in expressions((stmt,)) if isinstance(e, Load)]
                for load in dict.fromkeys(e for e in loads if e.buffer in arrays.read):
                    asked += self._asked(load, loops, PAGE_BYTES)
                return (*asked, stmt)
            case _:
                return (stmt,)

    def _is_whole(self, stmt: Store) -> bool:
        kind = stmt.value.type
        lines = kind.lanes > 1 and kind.lanes * kind.dtype.bytes % self.line_bytes == 0
        return lines and stmt.mask is None and stmt.stride == 1 and stmt.index.type.lanes == 1

    def _asked(
        self, access: Load | Store, loops: tuple[For, ...], ahead_bytes: int
    ) -> tuple[Prefetch, ...]:
        """Asks for the lines of an access that comes later; nothing where lines do not follow."""
        kind = access.type if isinstance(access, Load) else access.value.type
        distance = _ahead(access, kind, loops, ahead_bytes)
        if distance is None:
            return ()
        lines = range(distance, distance + kind.lanes, self.line_bytes // kind.dtype.bytes)
        to_write = isinstance(access, Store)
        return tuple(
            Prefetch(access.buffer, build.add(access.index, build.const(at)), to_write)
            for at in lines
        )


def _ahead(
    access: Load | Store, kind: VType, loops: tuple[For, ...], ahead_bytes: int
) -> int | None:
    """Elements from an access to the one to ask for; None where it does not go on line by line."""
    if not loops or access.stride != 1 or _moves(access, loops[-1]) != kind.lanes:
        return None
    start, stop = loops[-1].start, loops[-1].stop
    if isinstance(start, Const) and isinstance(stop, Const):
        run = int(stop.value) - int(start.value)
        moves = (_moves(access, loop) for loop in reversed(loops[:-1]))
        following = next((move for move in moves if move), None)
        run_bytes = run * kind.dtype.bytes
        if run_bytes <= RUN_BYTES and following is not None:
            return following
        if isinstance(access, Load) and run_bytes < PAGES * PAGE_BYTES:
            return None
        if isinstance(access, Store):
            ahead_bytes = min(ahead_bytes, run_bytes // ENDS)
    return ahead_bytes // kind.dtype.bytes


def _moves(access: Load | Store, loop: For) -> int:
    """Elements by which an access moves from one iteration to the next; 0 where that varies."""
    return (linear_step(access.index, loop.var) or 0) * loop.step
