"""One binary form for cache entries and saved executables: a manifest and named blobs.

Layout: 8 bytes of magic (with the version of the form), the SHA-256 of all that follows, the
length of the manifest as u64 (little-endian), the manifest as JSON, the blobs end to end. The
checksum finds damage; it does not say who wrote the file. A reader trusts nothing: every length
is compared with the bytes that are there, and no value is used before its type was checked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TypeAlias, TypeVar, cast

from tilec.errors import CacheError
from tilec.records import dataclass

MAGIC = b"TILEC\x00\x01\n"
_CHECKSUM_BYTES = 32
_HEAD_BYTES = len(MAGIC) + _CHECKSUM_BYTES + 8
# A manifest describes arguments and kernels. Real ones have a few KiB.
_MANIFEST_LIMIT_BYTES = 64 << 20

Manifest: TypeAlias = Mapping[str, object]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Contents:
    """What a container holds."""

    manifest: Manifest
    blobs: Mapping[str, bytes]


def pack(manifest: Manifest, blobs: Mapping[str, bytes]) -> list[bytes]:
    """The pieces of a container, to be written one after the other; blobs are not copied."""
    described = {**manifest, "blobs": [[name, len(blob)] for name, blob in blobs.items()]}
    text = json.dumps(described, sort_keys=True, separators=(",", ":")).encode()
    body = [len(text).to_bytes(8, "little"), text, *blobs.values()]
    checksum = hashlib.sha256()
    for piece in body:
        checksum.update(piece)
    return [MAGIC, checksum.digest(), *body]


def unpack(data: bytes) -> Contents:
    """Read a container.

    Raises:
        CacheError: the bytes are not a whole, undamaged container.
    """
    if len(data) < _HEAD_BYTES:
        raise CacheError("it is too short")
    if not data.startswith(MAGIC):
        raise CacheError("it does not begin as a file of this version of tilec does")
    view = memoryview(data)
    body = len(MAGIC) + _CHECKSUM_BYTES
    if hashlib.sha256(view[body:]).digest() != data[len(MAGIC) : body]:
        raise CacheError("its checksum does not fit its contents")
    length = int.from_bytes(view[body : body + 8], "little")
    if length > min(_MANIFEST_LIMIT_BYTES, len(data) - _HEAD_BYTES):
        raise CacheError("its manifest is cut short")
    manifest = parse_manifest(bytes(view[_HEAD_BYTES : _HEAD_BYTES + length]))
    return Contents(manifest, _blobs(manifest, data, _HEAD_BYTES + length))


def parse_manifest(text: bytes) -> Manifest:
    """A manifest from its JSON.

    Raises:
        CacheError: it is none.
    """
    try:
        parsed: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CacheError("its manifest cannot be read") from error
    if not isinstance(parsed, dict):
        raise CacheError("its manifest is not an object")
    return cast("Manifest", parsed)


def field(manifest: Manifest, name: str, kind: type[_T]) -> _T:
    """The value called ``name``, which has to be of exactly this type.

    Raises:
        CacheError: it is missing or of another type.
    """
    value = manifest.get(name)
    if type(value) is not kind:
        raise CacheError(f"the field {name!r} of its manifest is missing or wrong")
    return cast("_T", value)


def items(manifest: Manifest, name: str) -> list[object]:
    """The value called ``name``, which has to be a list."""
    return cast("list[object]", field(manifest, name, list))


def objects(manifest: Manifest, name: str) -> list[Manifest]:
    """The value called ``name``, which has to be a list of JSON objects."""
    return cast("list[Manifest]", _items_of(manifest, name, dict))


def sizes(manifest: Manifest, name: str) -> tuple[int, ...]:
    """The value called ``name``, which has to be a list of integers."""
    return tuple(_items_of(manifest, name, int))


def strings(manifest: Manifest, name: str) -> tuple[str, ...]:
    """The value called ``name``, which has to be a list of strings."""
    return tuple(_items_of(manifest, name, str))


def _items_of(manifest: Manifest, name: str, kind: type[_T]) -> list[_T]:
    found = items(manifest, name)
    if not all(type(value) is kind for value in found):
        raise CacheError(f"the field {name!r} of its manifest is wrong")
    return cast("list[_T]", found)


def _blobs(manifest: Manifest, data: bytes, start: int) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for entry in items(manifest, "blobs"):
        match entry:
            case [str(name), int(length)] if 0 <= length <= len(data) - start:
                found[name] = data[start : start + length]
                start += length
            case _:
                raise CacheError("its list of contents is wrong")
    if start != len(data):
        raise CacheError("its length is wrong")
    return found
