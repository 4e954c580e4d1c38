"""What the tuner found, by machine and kernel: an SQLite database beside the disk cache.

The promises are those of the disk cache. The folder and the file are private to this user, or they
are refused with a warning. Each finding carries a checksum; a damaged one counts as missing, with
one warning, and a file that is no database any more is removed. SQLite's own locks let many
processes read and write; no connection outlives a call, so none is inherited by a forked child.
What cannot be kept is not kept, and a program goes on without it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from tilec.errors import CacheError
from tilec.records import dataclass
from tilec.runtime.cache import cache_folder, digest
from tilec.runtime.folder import UnsafeError, Warnings, open_folder
from tilec.version import __version__

if TYPE_CHECKING:
    import sqlite3

FORMAT: Final = 1
FILE: Final = f"tunings-{FORMAT}.sqlite"
MOST: Final = 100_000
"""Findings that are kept; the oldest go first."""

_FOLDER: Final = "tunings"
_PATIENCE_SECONDS: Final = 10.0
_MADE: Final = """
CREATE TABLE IF NOT EXISTS findings (
    machine TEXT NOT NULL, key TEXT NOT NULL, title TEXT NOT NULL, kernel TEXT NOT NULL,
    schedule TEXT NOT NULL, seconds REAL NOT NULL, first_seconds REAL NOT NULL,
    version TEXT NOT NULL, checksum TEXT NOT NULL, PRIMARY KEY (machine, key)
)"""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Finding:
    """The best schedule of one kernel on one machine.

    Attributes:
        machine: Digest of the processor, its caches and cores, and the backend's version.
        key: Digest of the kernel, the options and tilec's version.
        title: The machine in words.
        kernel: What the kernel computes, and the sizes.
        schedule: The schedule.
        seconds: Its time.
        first_seconds: The time of the cost model's choice, beside it.
        version: The version of tilec that found it.
    """

    machine: str
    key: str
    title: str
    kernel: str
    schedule: str
    seconds: float
    first_seconds: float
    version: str = __version__

    @property
    def checksum(self) -> str:
        """Changes when anything does."""
        return digest(*(repr(getattr(self, item.name)) for item in fields(self)))


class Tunings:
    """The database of one folder. Safe to use from several threads and processes at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / FILE
        self._warnings = Warnings()

    def exists(self) -> bool:
        """Whether anything was ever kept."""
        return os.path.exists(self._path)

    def schedules(self, machine: str, keys: Sequence[str]) -> dict[str, str]:
        """The schedules that were found for some kernels, by key."""
        if not keys or not self.exists():
            return {}
        marks = ",".join("?" * len(keys))

        def ask(database: sqlite3.Connection) -> dict[str, str]:
            where = f"WHERE machine = ? AND key IN ({marks})"
            return {each.key: each.schedule for each in self._read(database, where, machine, *keys)}

        return self._reading(ask, {})

    def findings(self) -> tuple[Finding, ...]:
        """Everything, in a fixed order."""
        return self._reading(lambda database: tuple(self._read(database, "")), ())

    def put(self, found: Sequence[Finding]) -> bool:
        """Keep findings, in place of earlier ones of the same kernels; False when not possible."""
        try:
            return self._writing(lambda database: self._insert(database, found)) is None
        except UnsafeError as error:
            self._refuse(error)
        except OSError as error:
            self._warnings.once(
                f"what was found is not kept in {self.folder}: {error.strerror or error}", "write"
            )
        return False

    def merge(self, found: Sequence[Finding]) -> int:
        """Add findings from elsewhere; of two for a kernel the faster stays.

        Returns:
            How many were new or faster.

        Raises:
            CacheError: they cannot be written.
        """

        def add(database: sqlite3.Connection) -> int:
            have = {(each.machine, each.key): each.seconds for each in self._read(database, "")}
            better: dict[tuple[str, str], Finding] = {}
            for each in found:
                name = (each.machine, each.key)
                if each.seconds < have.get(name, float("inf")):
                    have[name] = each.seconds
                    better[name] = each
            self._insert(database, list(better.values()))
            return len(better)

        return self._maintain(add)

    def clear(self) -> int:
        """Remove everything; returns how many findings there were.

        Raises:
            CacheError: they cannot be removed.
        """
        if not self.exists():
            return 0
        return self._maintain(lambda base: base.execute("DELETE FROM findings").rowcount)

    def _maintain(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        try:
            return self._writing(work)
        except OSError as error:
            raise CacheError(
                f"the tunings in {self.folder} cannot be used: {error.strerror or error}",
                help="set TILEC_CACHE to a folder of your own",
            ) from error

    def _read(self, database: sqlite3.Connection, where: str, *values: str) -> Iterator[Finding]:
        names = [item.name for item in fields(Finding)]
        query = f"SELECT {', '.join(names)}, checksum FROM findings {where} ORDER BY machine, key"
        for *row, checksum in database.execute(query, values):
            found = Finding(*row)
            if found.checksum == checksum:
                yield found
            else:
                self._damaged(f"the finding {found.key!s:.12} does not fit its checksum", "row")

    @staticmethod
    def _insert(database: sqlite3.Connection, found: Sequence[Finding]) -> None:
        names = [*(item.name for item in fields(Finding)), "checksum"]
        marks = ", ".join("?" * len(names))
        database.executemany(
            f"INSERT OR REPLACE INTO findings ({', '.join(names)}) VALUES ({marks})",
            [(*(getattr(each, name) for name in names),) for each in found],
        )
        database.execute(
            "DELETE FROM findings WHERE rowid NOT IN "
            "(SELECT rowid FROM findings ORDER BY rowid DESC LIMIT ?)",
            (MOST,),
        )

    def _reading(self, work: Callable[[sqlite3.Connection], _Result], nothing: _Result) -> _Result:
        try:
            with self._opened(write=False) as database:
                return nothing if database is None else work(database)
        except UnsafeError as error:
            self._refuse(error)
        except OSError:
            pass  # there is none, or another process keeps it locked: nothing is known then
        return nothing

    def _writing(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        with self._opened(write=True) as database:
            assert database is not None
            database.execute("BEGIN IMMEDIATE")
            database.execute(_MADE)
            result = work(database)
            database.execute("COMMIT")
            return result

    @contextmanager
    def _opened(self, *, write: bool) -> Generator[sqlite3.Connection | None, None, None]:
        """A connection; None when there is nothing to read.

        Raises:
            UnsafeError: the folder or the file is not private.
            OSError: it cannot be used now.
        """
        try:
            import sqlite3  # not every Python has it, and few programs need it
        except ImportError as error:
            raise OSError("this Python was built without sqlite3") from error
        if write:
            self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open_folder(self.folder, create=write) as folder:
            if write:
                folder.make(FILE)
            if not folder.check(FILE):
                yield None
                return
            address = f"{self._path.as_uri()}?mode={'rw' if write else 'ro'}"
            try:
                with closing(
                    sqlite3.connect(
                        address, uri=True, timeout=_PATIENCE_SECONDS, isolation_level=None
                    )
                ) as database:
                    yield database
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):  # made, but not filled yet
                    raise FileNotFoundError(str(error)) from error
                raise OSError(str(error)) from error
            except sqlite3.DatabaseError as error:
                folder.remove(FILE)
                self._damaged(str(error), "file")
                raise OSError(f"it was damaged and has been removed: {error}") from error

    def _damaged(self, reason: str, about: str) -> None:
        self._warnings.once(f"the store of tunings in {self.folder} is damaged: {reason}", about)

    def _refuse(self, error: UnsafeError) -> None:
        self._warnings.once(
            f"the store of tunings is not used: {error}; set TILEC_CACHE to a folder of your own "
            "that others cannot write, or to 'off'",
            "unsafe",
        )


def tunings() -> Tunings | None:
    """The store of this user; None when ``TILEC_CACHE`` is off."""
    folder = cache_folder()
    return None if folder is None else _at(folder / _FOLDER)


@cache
def _at(folder: Path) -> Tunings:
    return Tunings(folder)


if hasattr(os, "register_at_fork"):
    # A lock that another thread held at the fork would never be released in the child.
    os.register_at_fork(after_in_child=_at.cache_clear)


def to_text(found: Sequence[Finding]) -> str:
    """Findings as text, the same for the same findings."""
    rows = sorted(found, key=lambda each: (each.machine, each.key))
    facts = {"format": FORMAT, "findings": [asdict(each) for each in rows]}
    return json.dumps(facts, indent=1, sort_keys=True) + "\n"


def from_text(text: str) -> tuple[Finding, ...]:
    """What ``to_text`` wrote.

    Raises:
        CacheError: it is something else; the message says what.
    """
    try:
        facts: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CacheError(f"it is no JSON: {error}") from error
    if not isinstance(facts, dict):
        raise CacheError("it is no object")
    values = cast("Mapping[str, object]", facts)
    if values.get("format") != FORMAT:
        raise CacheError(f"its format is {values.get('format')!r}, and this version reads {FORMAT}")
    rows = values.get("findings")
    if not isinstance(rows, list):
        raise CacheError("it has no list of findings")
    return tuple(_finding(at, row) for at, row in enumerate(cast("list[object]", rows)))


def _is_plain(text: str) -> bool:
    """Whether a text can be printed and stored: lines without control characters."""
    lines = text.split("\n")
    return all(line.isprintable() for line in lines) and lines[0] != ""


def _finding(at: int, row: object) -> Finding:
    known = {item.name: float if item.type == "float" else str for item in fields(Finding)}
    if not isinstance(row, dict) or cast("Mapping[str, object]", row).keys() != known.keys():
        raise CacheError(f"finding {at} does not have the fields {', '.join(known)}")
    values = cast("dict[str, Any]", row)
    for name, kind in known.items():
        if kind is float and type(values[name]) is int and abs(values[name]) < 1 << 53:
            values[name] = float(values[name])  # as someone may have written it
        if type(values[name]) is not kind:
            raise CacheError(f"the field {name!r} of finding {at} is {values[name]!r}")
        if kind is str and not _is_plain(str(values[name])):
            raise CacheError(f"the field {name!r} of finding {at} is no plain text")
    found = Finding(**values)
    if not 0 < found.seconds < float("inf") or not 0 < found.first_seconds < float("inf"):
        raise CacheError(f"the times of finding {at} are not positive")
    return found
