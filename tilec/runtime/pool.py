"""Memory of large results, used again when nothing looks at it any more.

Memory that the system has just given comes page by page, each filled with zeros at its first write.
For results of tens of megabytes that takes as long as computing them. An array here keeps a *lease*
of its memory alive, as do all views of it; the memory goes back when the last of them is gone.
"""

from __future__ import annotations

import ctypes
from collections import deque
from dataclasses import field
from functools import lru_cache
from typing import Any, Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from tilec.options import read_environment
from tilec.records import dataclass

Bytes = npt.NDArray[np.uint8]

_Memory = TypeVar("_Memory")

FROM_BYTES: Final = 1 << 20
"""Smaller results come from the heap, which has its own ways to use pages again."""


@dataclass(slots=True)
class Spare(Generic[_Memory]):
    """Memory that waits to be used again, oldest first; beyond ``kept_bytes`` it is given back.

    Memory comes here from any thread, even in the middle of another call, so that no lock may be
    held: what is in the queue is taken out before it is looked at.
    """

    kept_bytes: int
    waiting: deque[tuple[int, _Memory]] = field(default_factory=deque[tuple[int, _Memory]])

    @property
    def bytes(self) -> int:
        """How much waits."""
        return sum(size for size, _ in tuple(self.waiting))

    def give(self, size: int, memory: _Memory) -> None:
        """Keep memory that is no longer used."""
        if size > self.kept_bytes:
            return
        self.waiting.append((size, memory))
        while self.bytes > self.kept_bytes:
            try:
                self.waiting.popleft()
            except IndexError:
                return

    def take(self, wanted: int) -> _Memory | None:
        """Memory of just this size, if some waits."""
        for _ in range(len(self.waiting)):
            try:
                size, memory = self.waiting.popleft()
            except IndexError:
                break
            if size == wanted:
                return memory
            self.waiting.append((size, memory))
        return None


class Pool(Spare[Bytes]):
    """Memory of the host for results."""

    def lease(self, size: int) -> Any:
        """A buffer of some bytes; its memory comes back here when nothing refers to it."""
        memory = self.take(size)
        if memory is None:
            memory = np.empty(size, np.uint8)
        lease: Any = _lease_type(size).from_buffer(memory)
        lease.memory, lease.pool = memory, self
        return lease


@lru_cache(maxsize=64)
def _lease_type(size: int) -> Any:
    """A type of buffers that give back their memory. NumPy sees through arrays, not through it."""

    def give_back(lease: Any) -> None:
        lease.pool.give(lease.memory.nbytes, lease.memory)

    return type("Lease", (ctypes.c_ubyte * size,), {"__del__": give_back})


@lru_cache(maxsize=1)
def results() -> Pool:
    """The pool of the results of all functions, with the limit that the environment sets."""
    return Pool(read_environment().pool_bytes)
