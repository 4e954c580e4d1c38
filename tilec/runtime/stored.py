"""Arrays that are read when somebody needs their elements: weights in files.

A program needs its weights as they are once, to bring them into the form that its kernels read.
What lies in a file need not stay in memory afterwards: whoever asks again reads again.
"""

from __future__ import annotations

import io
import mmap
import os
import stat
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from math import prod
from os import PathLike
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np

from tilec.errors import ArgumentError
from tilec.records import dataclass
from tilec.runtime.arrays import Array, numpy_dtype, spec_of
from tilec.runtime.spec import Spec


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """An array that is not in memory.

    Attributes:
        spec: Its type; row-major.
        read: Reads the elements into an array of its own.
    """

    spec: Spec
    read: Callable[[], Array]


Known: TypeAlias = "Array | Stored"
"""An array that is known, wherever it is."""


def elements(known: Known) -> Array:
    """The array, read if it is not in memory."""
    return known.read() if isinstance(known, Stored) else known


def known_spec(known: Known) -> Spec:
    """The type of an array that ``take`` returned, or that is stored."""
    return known.spec if isinstance(known, Stored) else spec_of(known)


class StoredFile:
    """A file with arrays. It stays open, so that replacing the file does no harm."""

    def __init__(self, path: str | PathLike[str]) -> None:
        """Open a file.

        Raises:
            ArgumentError: it cannot be read.
        """
        self._path = Path(path)
        # A pipe without a writer would otherwise be waited for.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
        flags |= getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        try:
            self._descriptor = os.open(self._path, flags)
        except OSError as error:
            raise ArgumentError(f"cannot read {self._path}: {error.strerror}") from error
        weakref.finalize(self, os.close, self._descriptor)
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            raise ArgumentError(f"cannot read {self._path}: it is no regular file")
        self._lock = threading.Lock()
        self._stamp = self._state()

    @property
    def path(self) -> Path:
        """Where the file was when it was opened."""
        return self._path

    @property
    def bytes(self) -> int:
        """Its length."""
        return self._stamp[0]

    def array(self, offset: int, spec: Spec) -> Stored:
        """An array of the file.

        Args:
            offset: Where its first byte is.
            spec: Its type; the elements lie end to end, in the byte order of this machine.

        Raises:
            ArgumentError: the file is too short for it.
        """
        self._check(offset, spec.bytes)
        return Stored(Spec(spec.shape, spec.dtype), lambda: self._array(offset, spec))

    def read(self, offset: int, count: int) -> bytes:
        """Some bytes of the file.

        Raises:
            ArgumentError: the file is too short, or has changed since it was opened.
        """
        self._check(offset, count)
        found = bytearray(count)
        self._fill(offset, memoryview(found))
        return bytes(found)

    def stream(self) -> BinaryIO:
        """The file for reading from its beginning on; nobody else may read meanwhile."""
        found = io.BufferedReader(io.FileIO(self._descriptor, closefd=False))
        found.seek(0)
        return found

    def _array(self, offset: int, spec: Spec) -> Array:
        memory = _pages(max(spec.bytes, 1))
        self._fill(offset, memoryview(memory)[: spec.bytes])
        return np.frombuffer(memory, numpy_dtype(spec.dtype), prod(spec.shape)).reshape(spec.shape)

    def _check(self, offset: int, count: int) -> None:
        if offset < 0 or count < 0 or offset + count > self.bytes:
            raise ArgumentError(
                f"{self._path} has {self.bytes} bytes, too few for {count} from byte {offset} on",
                help="a download may have stopped early",
            )

    def _fill(self, offset: int, into: memoryview) -> None:
        with self._lock, io.FileIO(self._descriptor, closefd=False) as file:
            file.seek(offset)
            filled = 0
            while filled < len(into):
                count = file.readinto(into[filled:])
                if not count:
                    break
                filled += count
            # Only what was read tells whether somebody wrote into the file in the meantime.
            if filled < len(into) or self._state() != self._stamp:
                raise ArgumentError(
                    f"{self._path} has changed since it was opened",
                    help="load it again; write a new file and rename it instead of changing one",
                )

    def _state(self) -> tuple[int, int]:
        found = os.fstat(self._descriptor)
        return found.st_size, found.st_mtime_ns


def _pages(size: int) -> mmap.mmap:
    """Memory that goes back to the system with the array in it, which is often soon unused."""
    if sys.platform == "win32":
        return mmap.mmap(-1, size)
    found = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel may have none
            found.madvise(mmap.MADV_HUGEPAGE)
    return found
