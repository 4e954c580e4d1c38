"""Nontemporal: results that no cache will hold are written past the caches.

A store into a line that is not in the caches reads the line first, so that an output costs its
bytes twice. When all that a kernel touches is larger than the last cache, the line would be gone
before anything reads it, and instructions that write whole lines to memory save that reading.

Assumes a vectorised kernel that stores each element once. Guarantees that only arguments are
marked that the kernel does not read, and only unmasked stores of whole cache lines.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from tilec.kernel.ir import Buffer, For, If, Kernel, Load, Stmt, Store
from tilec.lower.walk import expressions
from tilec.records import dataclass


@dataclass(frozen=True, slots=True)
class Nontemporal:
    """The pass.

    Attributes:
        cache_bytes: Size of the last cache.
        line_bytes: Size of a cache line.
    """

    name: ClassVar[str] = "nontemporal"

    cache_bytes: int
    line_bytes: int

    def apply(self, kernel: Kernel) -> Kernel:
        """Mark the stores of a kernel."""
        if sum(map(_bytes, kernel.params)) <= self.cache_bytes:
            return kernel
        read = {e.buffer for e in expressions(kernel.body) if isinstance(e, Load)}
        written = {b.name for b in kernel.params if b.writable and b.name not in read}
        return replace(kernel, body=self._block(kernel.body, written)) if written else kernel

    def _block(self, body: tuple[Stmt, ...], written: set[str]) -> tuple[Stmt, ...]:
        return tuple(self._statement(stmt, written) for stmt in body)

    def _statement(self, stmt: Stmt, written: set[str]) -> Stmt:
        match stmt:
            case For():
                return replace(stmt, body=self._block(stmt.body, written))
            case If():
                then = self._block(stmt.then, written)
                return replace(stmt, then=then, otherwise=self._block(stmt.otherwise, written))
            case Store() if stmt.buffer in written and self._is_whole(stmt):
                return replace(stmt, nontemporal=True)
            case _:
                return stmt

    def _is_whole(self, stmt: Store) -> bool:
        kind = stmt.value.type
        lines = kind.lanes > 1 and kind.lanes * kind.dtype.bytes % self.line_bytes == 0
        return lines and stmt.mask is None and stmt.stride == 1 and stmt.index.type.lanes == 1


def _bytes(buffer: Buffer) -> int:
    return (buffer.high - buffer.low) * buffer.type.dtype.bytes
