"""The disk cache: compiled code and checked headers, found by a digest of what they came from.

An entry never changes: its name is the digest of everything that its contents depend on. It is
written to a temporary file and renamed, so that many processes can share the folder; it carries a
checksum, so that damage is found. Nothing that goes wrong here stops a program:

- a damaged entry is removed, with one warning, and counts as missing;
- a full disk gives one warning per process, and the entry is not kept;
- a folder that cannot be made or written (a read-only disk) is normal in containers: it is silent;
- a folder or file that belongs to someone else, or that others may write, or a symbolic link, is
  refused with one warning per process, and tilec runs without the cache.

The folder is bounded: when it grows past its limit, the entries that were unused for longest go
first. A hit marks its entry as used, at most once a minute.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

from tilec.errors import CacheError
from tilec.options import default_cache_folder, read_environment
from tilec.records import dataclass
from tilec.runtime.container import Contents, Manifest, field, pack, unpack
from tilec.runtime.folder import (
    TEMPORARY,
    FileFacts,
    Folder,
    UnsafeError,
    Warnings,
    open_folder,
)

_SUFFIX = ".tilec"
_ENTRY = re.compile(r"[0-9a-f]{64}\.tilec")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# A writer needs milliseconds. What is older than this was left by one that was killed.
_ABANDONED_SECONDS = 3600
# Trimming goes a little further than it must, so that it is not needed again at once.
_TRIM_TO = 0.9
# Other processes write too: look at the folder again when this process alone has used up this part
# of the room that was left when it last looked.
_ROOM_BETWEEN_SCANS = 1 / 16

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """What ``tilec cache info`` shows.

    Attributes:
        folder: Where the cache is, or None when it is switched off.
        entries: Number of entries.
        bytes: Their size.
        limit_bytes: The bound.
        problem: Why the cache cannot be used, or None.
    """

    folder: Path | None
    entries: int
    bytes: int
    limit_bytes: int
    problem: str | None


@dataclass(frozen=True, slots=True)
class CacheReport:
    """What ``tilec cache verify`` found.

    Attributes:
        checked: Number of entries that were read.
        damaged: Names of those that were damaged, and are removed now, each with the reason.
        abandoned: Number of temporary files that a killed process had left, removed now.
    """

    checked: int
    damaged: tuple[tuple[str, str], ...]
    abandoned: int


class DiskCache:
    """One folder of entries. Safe to use from several threads and processes at once."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._warnings = Warnings()
        # Bytes that this process may still write before it looks at the folder.
        self._before_scan = 0.0

    def get(self, key: str) -> Contents | None:
        """The entry under ``key``, or None when there is none that can be trusted."""
        try:
            with open_folder(self.folder, create=False) as folder:
                data = folder.read(key + _SUFFIX, touch=True)
                if data is None:
                    return None
                try:
                    return _checked(key, data)
                except CacheError as error:
                    folder.remove(key + _SUFFIX)
                    self._warnings.once(
                        f"an entry of the disk cache is damaged: {error.message}", key
                    )
        except UnsafeError as error:
            self._refuse(error)
        except OSError:
            pass  # no folder yet, or one that cannot be read: the entry is not there
        return None

    def put(self, key: str, manifest: Manifest, blobs: Mapping[str, bytes]) -> bool:
        """Keep an entry; False when that was not possible."""
        pieces = pack({**manifest, "key": key}, blobs)
        size = sum(map(len, pieces))
        if size > self.limit_bytes:
            return False
        try:
            with open_folder(self.folder, create=True) as folder:
                folder.write(key + _SUFFIX, pieces)
                self._account(folder, size)
        except UnsafeError as error:
            self._refuse(error)
            return False
        except OSError as error:
            if error.errno in _FULL:
                self._warnings.once(
                    f"the disk cache in {self.folder} cannot grow: {error.strerror}; tilec goes "
                    "on without keeping what it compiles",
                    "full",
                )
            return False
        return True

    def drop(self, key: str, reason: str) -> None:
        """Remove an entry whose contents turned out to be of no use, with a warning."""
        try:
            with open_folder(self.folder, create=False) as folder:
                folder.remove(key + _SUFFIX)
        except OSError:
            pass  # it cannot be removed; the next process will meet it, and say so, again
        self._warnings.once(f"an entry of the disk cache is damaged: {reason}", key)

    def info(self) -> CacheInfo:
        """Number and size of the entries."""
        try:
            with open_folder(self.folder, create=False) as folder:
                entries = [facts for facts in folder.files() if _ENTRY.fullmatch(facts.name)]
        except FileNotFoundError:
            return CacheInfo(self.folder, 0, 0, self.limit_bytes, None)
        except OSError as error:
            return CacheInfo(self.folder, 0, 0, self.limit_bytes, _reason(error))
        total = sum(facts.bytes for facts in entries)
        return CacheInfo(self.folder, len(entries), total, self.limit_bytes, None)

    def clear(self) -> int:
        """Remove all entries; returns how many there were.

        Raises:
            CacheError: the folder cannot be used.
        """

        def remove_all(folder: Folder) -> int:
            removed = 0
            for facts in list(folder.files()):
                if _ENTRY.fullmatch(facts.name) or facts.name.startswith(TEMPORARY):
                    removed += folder.remove(facts.name) and not _is_temporary(facts)
            return removed

        return self._maintain(remove_all, 0)

    def verify(self) -> CacheReport:
        """Read every entry and remove what is damaged.

        Raises:
            CacheError: the folder cannot be used.
        """

        def check_all(folder: Folder) -> CacheReport:
            checked = 0
            damaged: list[tuple[str, str]] = []
            for facts in sorted(folder.files(), key=lambda facts: facts.name):
                if not _ENTRY.fullmatch(facts.name):
                    continue
                checked += 1
                reason = _fault(folder, facts.name)
                if reason is not None:
                    damaged.append((facts.name, reason))
                    folder.remove(facts.name)
            return CacheReport(checked, tuple(damaged), _remove_abandoned(folder))

        return self._maintain(check_all, CacheReport(0, (), 0))

    def _maintain(self, work: Callable[[Folder], _Result], nothing: _Result) -> _Result:
        try:
            with open_folder(self.folder, create=False) as folder:
                return work(folder)
        except FileNotFoundError:
            return nothing
        except OSError as error:
            raise CacheError(
                f"the disk cache in {self.folder} cannot be used: {_reason(error)}",
                help="set TILEC_CACHE to a folder of your own, or to 'off'",
            ) from error

    def _account(self, folder: Folder, size: int) -> None:
        with self._lock:
            self._before_scan -= size
            if self._before_scan <= 0:
                room = self.limit_bytes - self._trim(folder)
                self._before_scan = room * _ROOM_BETWEEN_SCANS

    def _trim(self, folder: Folder) -> int:
        """Remove the entries that are unused for longest; returns the bytes that remain."""
        _remove_abandoned(folder)
        entries = [facts for facts in folder.files() if _ENTRY.fullmatch(facts.name)]
        total = sum(facts.bytes for facts in entries)
        if total <= self.limit_bytes:
            return total
        for facts in sorted(entries, key=lambda facts: facts.used_at):
            if total <= self.limit_bytes * _TRIM_TO:
                break
            folder.remove(facts.name)
            total -= facts.bytes
        return total

    def _refuse(self, error: UnsafeError) -> None:
        self._warnings.once(
            f"the disk cache is not used: {error}; set TILEC_CACHE to a folder of your own that "
            "others cannot write, or to 'off'",
            "unsafe",
        )


def digest(*parts: str) -> str:
    """A key: the SHA-256 over some texts, each with its length."""
    result = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        result.update(len(data).to_bytes(8, "little"))
        result.update(data)
    return result.hexdigest()


def cache_folder() -> Path | None:
    """The folder that the environment asks for; None when the cache is switched off."""
    chosen = read_environment().cache
    if chosen is not None:
        return None if chosen.lower() == "off" else Path(chosen).absolute()
    try:
        return default_cache_folder()
    except RuntimeError:  # the user has no home
        return None


def disk_cache() -> DiskCache | None:
    """The cache that the environment asks for, or None when it is switched off."""
    folder = cache_folder()
    return None if folder is None else _at(folder, read_environment().cache_bytes)


def info() -> CacheInfo:
    """What the disk cache holds."""
    found = disk_cache()
    if found is None:
        return CacheInfo(None, 0, 0, read_environment().cache_bytes, None)
    return found.info()


def clear() -> int:
    """Remove all entries of the disk cache; returns how many there were."""
    found = disk_cache()
    return 0 if found is None else found.clear()


def verify() -> CacheReport:
    """Read every entry of the disk cache and remove what is damaged."""
    found = disk_cache()
    return CacheReport(0, (), 0) if found is None else found.verify()


@cache
def _at(folder: Path, limit_bytes: int) -> DiskCache:
    return DiskCache(folder, limit_bytes)


if hasattr(os, "register_at_fork"):
    # A lock that another thread held at the fork would never be released in the child.
    os.register_at_fork(after_in_child=_at.cache_clear)


def _checked(key: str, data: bytes) -> Contents:
    contents = unpack(data)
    if field(contents.manifest, "key", str) != key:
        raise CacheError("it was stored under the name of another")
    return contents


def _fault(folder: Folder, name: str) -> str | None:
    """Why an entry is of no use, or None."""
    try:
        data = folder.read(name, touch=False)
        if data is not None:
            _checked(name.removesuffix(_SUFFIX), data)
    except CacheError as error:
        return error.message
    except OSError as error:
        return _reason(error)
    return None


def _remove_abandoned(folder: Folder) -> int:
    oldest = time.time() - _ABANDONED_SECONDS
    stale = [f for f in folder.files() if _is_temporary(f) and f.used_at < oldest]
    return sum(folder.remove(facts.name) for facts in stale)


def _is_temporary(facts: FileFacts) -> bool:
    return facts.name.startswith(TEMPORARY)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
