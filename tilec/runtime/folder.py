"""A private folder for files whose contents will be executed.

Everything is opened relative to a descriptor of the folder and without following symbolic links,
so that nobody can swap the folder or a file between the check and the use. What belongs to
someone else, or may be written by others, is refused. On Windows, where profile folders are
private by default and these calls do not exist, the checks of owner and mode are left out.
"""

from __future__ import annotations

import os
import stat
import threading
import time
import warnings
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tilec.errors import TilecWarning
from tilec.records import dataclass

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_RELATIVE = os.open in os.supports_dir_fd
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH

TEMPORARY = "tmp-"
"""Files that begin so are being written, or were when their writer died."""


class UnsafeError(OSError):
    """A folder or file is not private to this user."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A regular file of the folder."""

    name: str
    bytes: int
    used_at: float


@dataclass(frozen=True, slots=True)
class Folder:
    """An open folder; every method takes plain file names.

    Attributes:
        path: Where it is.
        descriptor: Its descriptor, or None where the system has no relative paths.
    """

    path: Path
    descriptor: int | None

    def read(self, name: str, *, touch: bool) -> bytes | None:
        """The contents of a file, or None when there is none.

        Args:
            name: The file.
            touch: Mark it as used now.

        Raises:
            UnsafeError: it is a link, no regular file, or not private to this user.
            OSError: it cannot be read.
        """
        flags = os.O_RDONLY | _NOFOLLOW | _BINARY | _CLOEXEC
        try:
            # O_NONBLOCK: a pipe that someone put there must not make this process wait.
            flags |= getattr(os, "O_NONBLOCK", 0)
            descriptor = os.open(self._at(name), flags, dir_fd=self.descriptor)
        except FileNotFoundError:
            return None
        except OSError as error:
            if self._is_link(name):
                raise UnsafeError(f"{self.path / name} is a symbolic link") from error
            raise
        with os.fdopen(descriptor, "rb") as file:
            facts = os.fstat(descriptor)
            check_private(facts, str(self.path / name), regular=True)
            data = file.read()
            if touch:
                self._touch(descriptor, facts.st_mtime)
        return data

    def write(self, name: str, pieces: Iterable[bytes]) -> None:
        """Write a file as a whole: others see the old contents or the new, never a part.

        Raises:
            OSError: it cannot be written; nothing is left behind.
        """
        temporary = f"{TEMPORARY}{os.getpid()}-{os.urandom(8).hex()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _BINARY | _CLOEXEC
        descriptor = os.open(self._at(temporary), flags, 0o600, dir_fd=self.descriptor)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for piece in pieces:
                    file.write(piece)
            os.replace(
                self._at(temporary),
                self._at(name),
                src_dir_fd=self.descriptor,
                dst_dir_fd=self.descriptor,
            )
        except BaseException:
            self.remove(temporary)
            raise

    def make(self, name: str) -> None:
        """Make an empty file that only this user can read, unless there is one.

        Raises:
            OSError: it cannot be made.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _BINARY | _CLOEXEC
        with suppress(FileExistsError):
            os.close(os.open(self._at(name), flags, 0o600, dir_fd=self.descriptor))

    def check(self, name: str) -> bool:
        """Whether there is a file of this name at ``path``, private to this user.

        For libraries that open files by path.

        Raises:
            UnsafeError: it is a link, no regular file, not private, or the folder was replaced.
            OSError: it cannot be looked at.
        """
        try:
            facts = os.stat(self._at(name), dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return False
        check_private(facts, str(self.path / name), regular=True)
        if not os.path.samestat(facts, os.lstat(self.path / name)):
            raise UnsafeError(f"{self.path} was replaced by another folder")
        return True

    def remove(self, name: str) -> bool:
        """Remove a file; False when that is not possible, or another process was faster."""
        try:
            os.unlink(self._at(name), dir_fd=self.descriptor)
        except OSError:
            return False
        return True

    def files(self) -> Iterator[FileFacts]:
        """The regular files, in no order."""
        with os.scandir(self.path if self.descriptor is None else self.descriptor) as listing:
            for item in listing:
                with suppress(FileNotFoundError):  # another process removed it
                    facts = item.stat(follow_symlinks=False)
                    if stat.S_ISREG(facts.st_mode):
                        yield FileFacts(item.name, facts.st_size, facts.st_mtime)

    def _at(self, name: str) -> str:
        return name if self.descriptor is not None else str(self.path / name)

    def _is_link(self, name: str) -> bool:
        try:
            facts = os.stat(self._at(name), dir_fd=self.descriptor, follow_symlinks=False)
        except OSError:
            return False
        return stat.S_ISLNK(facts.st_mode)

    @staticmethod
    def _touch(descriptor: int, used_at: float) -> None:
        # Once a minute is enough to tell old entries from young ones. A disk that is read-only
        # keeps its old times.
        if time.time() - used_at > 60 and os.utime in os.supports_fd:
            with suppress(OSError):
                os.utime(descriptor)


class Warnings:
    """Warnings about a folder, each of which is issued once in a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given: set[str] = set()

    def once(self, message: str, about: str) -> None:
        """Warn, unless there was a warning ``about`` the same before."""
        with self._lock:
            if about in self._given:
                return
            self._given.add(about)
        warnings.warn(message, TilecWarning, stacklevel=3)


@contextmanager
def open_folder(path: Path, *, create: bool) -> Generator[Folder, None, None]:
    """Open a private folder, and close it again.

    Args:
        path: The folder.
        create: Make it, with mode 0700, when it is missing.

    Raises:
        UnsafeError: it is a link, or not private to this user.
        OSError: it cannot be made or opened.
    """
    if create:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
    if not _RELATIVE:
        check_private(os.lstat(path), str(path), regular=False)
        yield Folder(path, None)
        return
    if path.is_symlink():
        raise UnsafeError(f"{path} is a symbolic link")
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _NOFOLLOW | _CLOEXEC)
    try:
        check_private(os.fstat(descriptor), str(path), regular=False)
        yield Folder(path, descriptor)
    finally:
        os.close(descriptor)


def check_private(facts: os.stat_result, path: str, *, regular: bool) -> None:
    """Raise ``UnsafeError`` unless only this user (or root, for everyone) can write there."""
    if regular and not stat.S_ISREG(facts.st_mode):
        raise UnsafeError(f"{path} is not a regular file")
    if not hasattr(os, "geteuid"):
        return
    if facts.st_uid != os.geteuid():
        raise UnsafeError(f"{path} belongs to another user")
    if facts.st_mode & _WRITABLE_BY_OTHERS:
        raise UnsafeError(f"{path} can be written by other users")
