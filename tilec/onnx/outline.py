"""An ONNX file without the elements of its large tensors: those are read when they are needed.

A file is a protocol buffer: a sequence of fields, each with a tag, its length, and bytes that may
be fields again. Only the way from the model over its graph to ``raw_data`` of initializers is
followed, everything else is copied as it is. What is left out stands in the tensor as elements
elsewhere, ``OWN_FILE``, as ONNX has it for files beside a model's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, TypeAlias

from tilec.records import dataclass

OWN_FILE: Final = "."
"""The location of elements in the file of the model itself; no other file is called so."""

_LARGE: Final = 1 << 14
_GRAPH: Final = 7  # of ModelProto
_INITIALIZER: Final = 5  # of GraphProto
_RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 9, 13, 14  # of TensorProto
_EXTERNAL: Final = 1
_VARINT, _LENGTH = 0, 2
_LONGEST_VARINT: Final = 10

_Span: TypeAlias = "tuple[int, int]"
_Work: TypeAlias = "Callable[[BinaryIO, _Span], bytes]"


class _OtherError(Exception):
    """The bytes are not what this file expects; the library of protocol buffers says why."""


@dataclass(frozen=True, slots=True)
class _Field:
    """A field: its number and kind, where it begins, where its contents begin and end."""

    number: int
    kind: int
    begin: int
    contents: int
    end: int


def outline(file: BinaryIO, size: int) -> bytes | None:
    """The model in a file without the elements of large tensors.

    None if the file is not made as expected, or this machine has the other byte order.
    """
    if sys.byteorder != "little":
        return None
    try:
        return b"".join(_replaced(file, (0, size), _GRAPH, _graph))
    except _OtherError:
        return None


def _graph(file: BinaryIO, span: _Span) -> bytes:
    return b"".join(_replaced(file, span, _INITIALIZER, _tensor))


def _tensor(file: BinaryIO, span: _Span) -> bytes:
    """A tensor; large elements become the place where they are."""
    fields = [*_fields(file, span)]
    large = [each for each in fields if each.number == _RAW_DATA and each.kind == _LENGTH]
    elsewhere = any(each.number in (_EXTERNAL_DATA, _DATA_LOCATION) for each in fields)
    if len(large) != 1 or elsewhere or large[0].end - large[0].contents < _LARGE:
        return _bytes(file, span)
    (raw,) = large
    place = {"location": OWN_FILE, "offset": raw.contents, "length": raw.end - raw.contents}
    entries = [
        _message(_EXTERNAL_DATA, _message(1, key.encode()) + _message(2, str(value).encode()))
        for key, value in place.items()
    ]
    kept = [_bytes(file, (each.begin, each.end)) for each in fields if each is not raw]
    location = _number(_DATA_LOCATION << 3 | _VARINT) + _number(_EXTERNAL)
    return b"".join((*kept, *entries, location))


def _replaced(file: BinaryIO, span: _Span, number: int, work: _Work) -> Iterator[bytes]:
    """The fields of a message, those with a number changed."""
    for each in _fields(file, span):
        if each.number == number and each.kind == _LENGTH:
            yield _message(number, work(file, (each.contents, each.end)))
        else:
            yield _bytes(file, (each.begin, each.end))


def _fields(file: BinaryIO, span: _Span) -> Iterator[_Field]:
    begin, end = span
    while begin < end:
        file.seek(begin)
        tag, at = _varint(file, begin)
        kind = tag & 7
        match kind:
            case 0:
                _, stop = _varint(file, at)
            case 1:
                stop = at + 8
            case 2:
                length, at = _varint(file, at)
                stop = at + length
            case 5:
                stop = at + 4
            case _:
                raise _OtherError
        if stop > end:
            raise _OtherError
        yield _Field(tag >> 3, kind, begin, at, stop)
        begin = stop


def _varint(file: BinaryIO, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, lowest first, and where it ends; the file stands there."""
    value = 0
    for place in range(_LONGEST_VARINT):
        byte = file.read(1)
        if not byte:
            raise _OtherError
        value |= (byte[0] & 0x7F) << 7 * place
        if byte[0] & 0x80 == 0:
            return value, at + place + 1
    raise _OtherError


def _bytes(file: BinaryIO, span: _Span) -> bytes:
    file.seek(span[0])
    return file.read(span[1] - span[0])


def _message(number: int, contents: bytes) -> bytes:
    return _number(number << 3 | _LENGTH) + _number(len(contents)) + contents


def _number(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
