"""Object code as callable functions of this process."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import count
from struct import Struct
from threading import Lock
from typing import Any, cast

from tilec.errors import InternalError
from tilec.runtime.backend import Direct
from tilec.runtime.spec import Spec
from tilec_llvm import direct
from tilec_llvm.image import Image, load_image, process_symbol

ALIGN = 64

HUGE_BYTES = 2 << 20
"""A huge page of x86-64 and AArch64."""

HUGE_FROM = 128 << 10
"""Workspaces that get huge pages: smaller ones are covered by the first-level buffers."""

_serial = count()
_lock = Lock()
_kept: list[Image] = []


def _llvm() -> Any:
    from tilec_llvm.target import llvm  # slow to import, and mostly not needed

    return llvm()


@cache
def _engine() -> Any:
    return _llvm().create_lljit_compiler(use_jit_link=True, suppress_errors=True)


def load_forever(image: bytes, symbols: Sequence[str]) -> dict[str, int]:
    """Load object code that uses the C library and stays until the process ends.

    It is not unloaded even when the interpreter shuts down: threads may be inside.
    """
    own = load_image(image, symbols, process_symbol)
    if own is not None:
        _kept.append(own)
        return dict(own.symbols)
    with _lock:
        try:
            builder = _llvm().JITLibraryBuilder().add_object_img(image).add_current_process()
            for symbol in symbols:
                builder.export_symbol(symbol)
            library = builder.link(_engine(), f"tilec.{next(_serial)}")
        except RuntimeError as error:
            raise InternalError(f"the code of {symbols[0]} cannot be loaded: {error}") from error
    found = {symbol: cast("int", library[symbol]) for symbol in symbols}
    library.detach()
    return found


class Workspaces:
    """Scratch memory for calls, kept for the next one.

    A call takes a piece and puts it back, so concurrent calls never share one; appending and
    popping are atomic.
    """

    KEPT = 4

    def __init__(self) -> None:
        self._free: list[tuple[int, ctypes.Array[ctypes.c_char]]] = []

    def take(self, size: int) -> tuple[int, ctypes.Array[ctypes.c_char]]:
        """Address (a multiple of 64) and owner of at least ``size`` bytes."""
        try:
            address, owner = self._free.pop()
        except IndexError:
            address, owner = 0, (ctypes.c_char * 0)()
        if len(owner) < size + ALIGN:
            address, owner = _fresh(size)
        return address, owner

    def give(self, piece: tuple[int, ctypes.Array[ctypes.c_char]]) -> None:
        """Put back what ``take`` returned."""
        if len(self._free) < self.KEPT:
            self._free.append(piece)


def _fresh(size: int) -> tuple[int, ctypes.Array[ctypes.c_char]]:
    """New memory; from ``HUGE_FROM`` bytes on in huge pages, where the system has them.

    Packed panels are read over and over beside rows of other operands, which takes more pages than
    the translation buffers hold: on 2 MiB pages a product of 1024 rows runs 6 % faster.
    """
    if size < HUGE_FROM or not hasattr(mmap, "MADV_HUGEPAGE"):
        owner = (ctypes.c_char * (size + ALIGN))()
        return -(-ctypes.addressof(owner) // ALIGN) * ALIGN, owner
    # Pages that are not touched take no memory, so the room for alignment costs nothing.
    whole = -(-(size + ALIGN) // HUGE_BYTES) * HUGE_BYTES
    memory = mmap.mmap(-1, whole + HUGE_BYTES)
    begin = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    offset = -begin % HUGE_BYTES
    with suppress(OSError):  # a system without huge pages refuses; small ones serve as well
        memory.madvise(mmap.MADV_HUGEPAGE, offset, whole)
    return begin + offset, (ctypes.c_char * whole).from_buffer(memory, offset)


workspaces = Workspaces()
_PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_void_p)


class LlvmRunner:
    """Loaded code of one module.

    The code stays in memory as long as this object lives.

    Attributes:
        takes_threads: Whether a call depends on the number of threads.
    """

    takes_threads = False

    def __init__(
        self,
        image: bytes,
        name: str,
        workspace_bytes: int,
        constants: Sequence[bytes],
        imports: Mapping[str, int] | None = None,
        enter: direct.Entry | None = None,
    ) -> None:
        self._enter = enter
        self._constants = [_aligned(data) for data in constants]
        self._tail = tuple(address for address, _ in self._constants)
        self._workspace_bytes = workspace_bytes
        self._address, self._owner = _load(image, name, imports or {})
        self._entry = cast("Callable[[bytes, int], None]", _PROTOTYPE(self._address))
        self._pack: dict[int, Struct] = {}

    def run(
        self, inputs: Sequence[int], outputs: Sequence[int], num_threads: int | None = None
    ) -> None:
        """Run the module once, in this thread; see ``tilec.runtime.backend.Runner``."""
        args = self._packed(inputs, outputs)
        if self._workspace_bytes == 0:
            self._entry(args, 0)
            return
        piece = workspaces.take(self._workspace_bytes)
        try:
            self._entry(args, piece[0])
        finally:
            workspaces.give(piece)

    def direct(
        self,
        inputs: Sequence[Spec],
        constants: Sequence[int],
        outputs: Sequence[Spec],
        num_threads: int | None,
    ) -> Direct | None:
        """Prepare calls with array objects; see ``tilec.runtime.backend.DirectRunner``."""
        if self._enter is None:
            return None
        table = direct.table(self._address, self, inputs, constants, outputs, self._tail)
        if table is None:
            return None
        enter = self._enter

        def alone(objects: bytes) -> int:
            return enter(objects, table.address, 0, 1)

        def run(objects: bytes) -> int:
            needed, threads = self.needs(num_threads)
            if needed == 0:
                return enter(objects, table.address, 0, threads)
            piece = workspaces.take(needed)
            try:
                return enter(objects, table.address, piece[0], threads)
            finally:
                workspaces.give(piece)

        return run if self.takes_threads or self._workspace_bytes else alone

    def needs(self, num_threads: int | None) -> tuple[int, int]:
        """Bytes of workspace and number of threads of a call."""
        return self._workspace_bytes, 1

    def _packed(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """All addresses as the array that the entry point takes."""
        addresses = (*inputs, *outputs, *self._tail)
        packing = self._pack.get(len(addresses))
        if packing is None:
            packing = self._pack[len(addresses)] = Struct(f"{len(addresses)}P")
        return packing.pack(*addresses)


def _load(image: bytes, name: str, imports: Mapping[str, int]) -> tuple[int, object]:
    """Address of a symbol, and the object that keeps the code in memory."""
    own = load_image(image, (name,), imports.get)
    if own is not None:
        return own.symbols[name], own
    with _lock:
        try:
            builder = _llvm().JITLibraryBuilder().add_object_img(image).export_symbol(name)
            for symbol, address in imports.items():
                builder.import_symbol(symbol, address)
            library = builder.link(_engine(), f"tilec.{next(_serial)}")
        except RuntimeError as error:
            raise InternalError(f"the code of {name} cannot be loaded: {error}") from error
    return cast("int", library[name]), library


def _aligned(data: bytes) -> tuple[int, ctypes.Array[ctypes.c_char]]:
    owner = (ctypes.c_char * (len(data) + ALIGN))()
    address = -(-ctypes.addressof(owner) // ALIGN) * ALIGN
    ctypes.memmove(address, data, len(data))
    return address, owner
