"""Object files as code of this process, without loading LLVM.

LLVM's own loader does the same and more, but loading LLVM takes longer than everything else that a
program does which finds its kernels in the disk cache. This one knows what tilec's kernels are
made of: ELF for x86-64, position-independent code, constants, plain data and calls of functions
whose addresses are given. Anything else makes ``load_image`` return None, and LLVM has to do it.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from struct import Struct, error, pack_into
from typing import Any, Final, NamedTuple, TypeAlias, cast

_HEADER: Final = Struct("<16sHHIQQQIHHHHHH")
_SECTION: Final = Struct("<IIQQQQIIQQ")
_SYMBOL: Final = Struct("<IBBHQQ")
_RELOCATION: Final = Struct("<QQq")

_X86_64: Final = 62
_RELOCATABLE: Final = 1
_SYMBOLS, _RELOCATIONS, _ZEROS = 2, 4, 8
_WRITE, _ALLOCATE, _EXECUTE, _THREAD_LOCAL = 1, 2, 4, 0x400
_UNDEFINED: Final = 0

# R_X86_64_*: absolute 64; relative 32; call relative 32; relative 64.
_ABSOLUTE_64, _RELATIVE_32, _CALL_32, _RELATIVE_64 = 1, 2, 4, 24
_WIDTHS: Final = {_ABSOLUTE_64: 8, _RELATIVE_32: 4, _CALL_32: 4, _RELATIVE_64: 8}
_Row: TypeAlias = "tuple[int, int, int]"

Imports: TypeAlias = "Callable[[str], int | None]"

# jmp *[rip + 0], then the address: reaches a function anywhere.
_STUB: Final = b"\xff\x25\x00\x00\x00\x00"
_STUB_BYTES: Final = 16

_LARGEST_BYTES: Final = 1 << 30
_FAILED: Final = ctypes.c_void_p(-1).value


# Plain tuples and a plain class: making a dataclass takes longer than loading a kernel.
class _Section(NamedTuple):
    kind: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    align: int


class _Symbol(NamedTuple):
    name: str
    section: int
    value: int


class _Object:
    """An object file, and where its parts go, relative to the beginning of their memory."""

    def __init__(self, data: bytes, sections: list[_Section], symbols: list[_Symbol]) -> None:
        self.data = data
        self.sections = sections
        self.symbols = symbols
        self.places: dict[int, int] = {}
        self.stubs: dict[str, tuple[int, int]] = {}
        self.code_bytes = 0
        self.bytes = 0


class _UnknownError(Exception):
    """The file holds something that this loader does not know."""


class Image:
    """Code in memory; it stays there as long as this object lives."""

    def __init__(self, address: int, size: int, symbols: Mapping[str, int]) -> None:
        self.symbols = symbols
        release = weakref.finalize(self, _release, address, size)
        # At the end of the process threads may still be inside.
        release.atexit = False


def load_image(data: bytes, symbols: Sequence[str], imports: Imports) -> Image | None:
    """Load an object file.

    Args:
        data: The file.
        symbols: What it has to define.
        imports: Finds the address of a function that it calls; None refuses.

    Returns:
        The code, or None when this system or something in the file is not known here.
    """
    if sys.platform != "linux" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return None
    try:
        found = _parse(data)
        _place(found, imports)
        return _load(found, symbols)
    except (_UnknownError, error, LookupError, ValueError):
        return None


def process_symbol(name: str) -> int | None:
    """Address of a function of the C library."""
    function: object = getattr(_libc(), name, None)
    return None if function is None else ctypes.cast(cast("Any", function), ctypes.c_void_p).value


def map_code(code: bytes) -> int | None:
    """Address of position-independent code that stays until the process ends, or None."""
    size = _up(len(code), mmap.PAGESIZE)
    address = _reserve(size)
    return address if address is not None and _fill(address, code, size) else None


def _parse(data: bytes) -> _Object:
    head = _HEADER.unpack_from(data)
    ident, kind, machine, table, count = head[0], head[1], head[2], head[6], head[12]
    if ident[:6] != b"\x7fELF\x02\x01" or (kind, machine) != (_RELOCATABLE, _X86_64):
        raise _UnknownError
    sections: list[_Section] = []
    for at in range(count):
        _, kind, flags, _, offset, size, link, info, align, _ = _SECTION.unpack_from(
            data, table + at * _SECTION.size
        )
        if kind != _ZEROS and offset + size > len(data):
            raise _UnknownError
        sections.append(_Section(kind, flags, offset, size, link, info, max(align, 1)))
    return _Object(data, sections, _read_symbols(data, sections))


def _read_symbols(data: bytes, sections: list[_Section]) -> list[_Symbol]:
    symbols: list[_Symbol] = []
    for section in sections:
        if section.kind != _SYMBOLS:
            continue
        names = sections[section.link].offset
        for at in range(section.offset, section.offset + section.size, _SYMBOL.size):
            name, _, _, where, value, _ = _SYMBOL.unpack_from(data, at)
            end = data.index(b"\0", names + name)
            symbols.append(_Symbol(data[names + name : end].decode(), where, value))
    return symbols


def _place(found: _Object, imports: Imports) -> None:
    """Lay code, with stubs for calls out of it, in front of data, on pages of their own."""
    used = [at for at, section in enumerate(found.sections) if section.flags & _ALLOCATE]
    flags = [found.sections[at].flags for at in used]
    if any(each & _THREAD_LOCAL or (each & _EXECUTE and each & _WRITE) for each in flags):
        raise _UnknownError
    for at in used:
        if found.sections[at].flags & _EXECUTE:
            _append(found, at)
    found.bytes = _up(found.bytes, _STUB_BYTES)
    for symbol in found.symbols:
        if symbol.section == _UNDEFINED and symbol.name:
            function = imports(symbol.name)
            if function is None:
                raise _UnknownError
            found.stubs[symbol.name] = (found.bytes, function)
            found.bytes += _STUB_BYTES
    found.code_bytes = found.bytes = _up(max(found.bytes, 1), mmap.PAGESIZE)
    for at in used:
        if at not in found.places:
            _append(found, at)
    found.bytes = _up(found.bytes, mmap.PAGESIZE)
    if found.bytes > _LARGEST_BYTES:
        raise _UnknownError


def _append(found: _Object, at: int) -> None:
    section = found.sections[at]
    if section.align > mmap.PAGESIZE:
        raise _UnknownError
    found.places[at] = _up(found.bytes, section.align)
    found.bytes = found.places[at] + section.size


def _up(size: int, step: int) -> int:
    return -(-size // step) * step


def _load(found: _Object, symbols: Sequence[str]) -> Image | None:
    address = _reserve(found.bytes)
    if address is None:
        return None
    memory = _contents(found)
    try:
        for section in found.sections:
            if section.kind == _RELOCATIONS and section.info in found.places:
                _relocate(found, section, memory, address)
        defined = {s.name: address + _offset(found, s) for s in found.symbols if s.name in symbols}
        if set(defined) != set(symbols):
            raise _UnknownError
    except BaseException:
        _release(address, found.bytes)
        raise
    image = Image(address, found.bytes, defined)
    return image if _fill(address, memory, found.code_bytes) else None


def _contents(found: _Object) -> bytearray:
    memory = bytearray(found.bytes)
    for at, place in found.places.items():
        section = found.sections[at]
        if section.kind != _ZEROS:
            data = found.data[section.offset : section.offset + section.size]
            memory[place : place + section.size] = data
    for place, function in found.stubs.values():
        memory[place : place + len(_STUB)] = _STUB
        pack_into("<Q", memory, place + len(_STUB), function)
    return memory


def _relocate(found: _Object, section: _Section, memory: bytearray, address: int) -> None:
    base, size = found.places[section.info], found.sections[section.info].size
    for at in range(section.offset, section.offset + section.size, _RELOCATION.size):
        offset, info, addend = cast("_Row", _RELOCATION.unpack_from(found.data, at))
        symbol, kind = found.symbols[info >> 32], info & 0xFFFFFFFF
        if kind not in _WIDTHS or offset + _WIDTHS[kind] > size:
            raise _UnknownError
        if symbol.section == _UNDEFINED and kind != _CALL_32:
            raise _UnknownError  # only a call can go through a stub
        place, target = base + offset, _offset(found, symbol) + addend
        if kind == _ABSOLUTE_64:
            pack_into("<Q", memory, place, (address + target) % (1 << 64))
        else:
            pack_into("<q" if kind == _RELATIVE_64 else "<i", memory, place, target - place)


def _offset(found: _Object, symbol: _Symbol) -> int:
    """Where a symbol lies relative to the beginning of the memory."""
    if symbol.section == _UNDEFINED:
        return found.stubs[symbol.name][0]
    if symbol.section not in found.places:
        raise _UnknownError
    if symbol.value > found.sections[symbol.section].size:
        raise _UnknownError
    return found.places[symbol.section] + symbol.value


def _reserve(size: int) -> int | None:
    protection, flags = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    address: int = _libc().mmap(None, size, protection, flags, -1, 0)
    return None if address == _FAILED else address


def _fill(address: int, memory: bytes | bytearray, code_bytes: int) -> bool:
    """Put contents into reserved memory and make the code executable.

    Memory is never writable and executable at the same time. A system that forbids to make memory
    executable at all forbids it to LLVM too, which then says so.
    """
    ctypes.memmove(address, bytes(memory), len(memory))
    protection = mmap.PROT_READ | mmap.PROT_EXEC
    return _libc().mprotect(address, code_bytes, protection) == 0


def _release(address: int, size: int) -> None:
    _libc().munmap(address, size)


@cache
def _libc() -> Any:
    library = cast("Any", ctypes.CDLL(None))
    whole, size, pointer = ctypes.c_int, ctypes.c_size_t, ctypes.c_void_p
    library.mmap.restype = pointer
    library.mmap.argtypes = [pointer, size, whole, whole, whole, ctypes.c_long]
    library.munmap.argtypes = [pointer, size]
    library.mprotect.argtypes = [pointer, size, whole]
    return library
