"""Libraries, which run without Python: what a backend makes of a module, and what it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

import numpy as np

from tilec.options import Options
from tilec.records import dataclass
from tilec.runtime.backend import Runner
from tilec.runtime.spec import Spec

if TYPE_CHECKING:
    from tilec.kernel.ir import Module

ABI: Final = 1
"""Version of the C interface; it changes when a program written for the old one would fail."""

ALIGN: Final = 64
"""Where arrays begin in a file of weights: at multiples of a cache line."""


@dataclass(frozen=True, slots=True)
class Port:
    """An array that callers of a library pass."""

    name: str
    spec: Spec


@dataclass(frozen=True, slots=True)
class Interface:
    """What a library does, as its callers see it.

    Attributes:
        name: Prefix of all symbols; an identifier of C.
        inputs: The arrays that callers pass.
        outputs: The arrays that are written.
        order: Positions among the inputs in the order in which the module takes them.
        constants: The module's inputs behind those, which are known.
    """

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    order: tuple[int, ...]
    constants: tuple[memoryview, ...]


@dataclass(frozen=True, slots=True)
class Library:
    """A library as a backend made it.

    Attributes:
        object: An object file, for the linker.
        header: A C header.
        weights: The pieces of the file of weights, each of which is a multiple of ``ALIGN``.
        checksum: That of the weights.
        architecture: First part of the triple.
        cpu: The processor that it is to be fast on.
        features: Instruction sets that a machine must have.
        workspace_bytes: Memory of one call that runs in one thread.
        worker_bytes: Further memory for each further thread.
    """

    object: bytes
    header: str
    weights: tuple[bytes | memoryview, ...]
    checksum: int
    architecture: str
    cpu: str
    features: tuple[str, ...]
    workspace_bytes: int
    worker_bytes: int


@runtime_checkable
class LibraryBackend(Protocol):
    """A backend that makes libraries."""

    def library(self, module: Module, interface: Interface, options: Options) -> Library:
        """Make a library of a module.

        Raises:
            TargetError: there are none for this target or processor.
        """
        ...

    def open_library(self, code: bytes, name: str, architecture: str, weights: str) -> Runner:
        """Load a library into this process, with the weights of the file at this path.

        Raises:
            TargetError: this machine lacks an instruction set that the code needs; names them.
            ArgumentError: the weights are missing or damaged.
        """
        ...


class Weights:
    """Lays arrays end to end, each at a multiple of ``ALIGN``."""

    def __init__(self) -> None:
        self.pieces: list[bytes | memoryview] = []
        self.bytes = 0
        self.checksum = 0

    def add(self, data: bytes | memoryview) -> int:
        """Append an array; returns where it lies."""
        begin, size = self.bytes, len(data)
        whole = size - size % ALIGN
        for piece in (data[:whole], bytes(data[whole:]).ljust(ALIGN if size % ALIGN else 0, b"\0")):
            self.checksum = (self.checksum + checksum(piece, self.bytes // 8)) % (1 << 64)
            self.pieces.append(piece)
            self.bytes += len(piece)
        return begin


_PIECE: Final = 1 << 17


def checksum(data: bytes | memoryview, first: int = 0) -> int:
    """The sum of all 64-bit words, each times twice its number plus 1, without what overflows.

    Odd factors have inverses, so no word can change unnoticed; words that change places are found
    too. It is not for safety: who can change the weights can change the code as well.
    """
    words = np.frombuffer(data, "<u8")
    total = 0
    for begin in range(0, len(words), _PIECE):  # small enough for the caches
        part = words[begin : begin + _PIECE]
        low = first + begin
        factors = np.arange(2 * low + 1, 2 * (low + len(part)) + 1, 2, dtype=np.uint64)
        total += int(np.dot(part, factors))
    return total % (1 << 64)
