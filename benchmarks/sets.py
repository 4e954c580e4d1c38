"""Sets of shapes: files of the folder ``sets``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

from benchmarks.case import Case, Row, RowError, make_case

FOLDER = Path(__file__).parent / "sets"


@dataclass(frozen=True, slots=True)
class Set:
    """Rows of one kind.

    Attributes:
        name: Name of its file without the ending.
        title: One line.
        source: Where the shapes were published.
        kind: Module of ``benchmarks.kinds``.
        notes: What one has to know about it.
        most_flop: Rows with more operations are left out unless all are asked for; 0 is no limit.
        rows: The rows.
    """

    name: str
    title: str
    source: str
    kind: str
    notes: tuple[str, ...]
    most_flop: int
    rows: tuple[Row, ...]

    def cases(self) -> Iterator[Case]:
        """What the rows become.

        Raises:
            RowError: a row does not suit the kind.
        """
        for number, row in enumerate(self.rows, 1):
            try:
                yield make_case(self.kind, row)
            except RowError as error:
                raise RowError(f"{self.name}, row {number}: {error}") from error


def names() -> list[str]:
    """Names of all sets."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load(name: str) -> Set:
    """Read a set.

    Raises:
        RowError: there is none of this name, or its file is not well formed.
    """
    path = FOLDER / f"{name}.json"
    if name not in names():
        raise RowError(f"there is no set {name!r}; python -m benchmarks list shows them")
    return parse(name, path.read_text())


def parse(name: str, text: str) -> Set:
    """A set from the text of its file.

    Raises:
        RowError: the text is not well formed.
    """
    try:
        data: dict[str, Any] = json.loads(text)
        columns = cast("list[str]", data["columns"])
        defaults = cast("dict[str, object]", data.get("defaults", {}))
        rows = tuple(
            Row({**defaults, **dict(zip(columns, values, strict=True))}) for values in data["rows"]
        )
        return Set(
            name=name,
            title=str(data["title"]),
            source=str(data["source"]),
            kind=str(data["kind"]),
            notes=tuple(str(note) for note in data.get("notes", ())),
            most_flop=int(data.get("most_flop", 0)),
            rows=rows,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RowError(f"the file of the set {name} is not well formed: {error!r}") from error


def choose(
    chosen: Set, *, only: str | None, everything: bool, quick: bool
) -> tuple[list[Case], dict[str, str]]:
    """The rows to measure, and those left out with the reason.

    Args:
        chosen: The set.
        only: A part of the names of the rows that are wanted, or a pattern with ``*`` and ``?``.
        everything: Measure rows above the set's limit of operations too.
        quick: Measure a few rows, spread over the set, and none that takes long.
    """
    most = QUICK_FLOP if quick else 0 if everything else chosen.most_flop
    wanted: list[Case] = []
    skipped: dict[str, str] = {}
    for case in chosen.cases():
        if only is not None and not (fnmatchcase(case.name, only) or only in case.name):
            continue
        if most and case.flop > most:
            why = "--quick leaves it out" if quick else "--all measures it"
            skipped[case.name] = f"{case.flop / 1e9:.1f} GFLOP; {why}"
        else:
            wanted.append(case)
    if quick and len(wanted) > QUICK_ROWS:
        step = (len(wanted) - 1) / (QUICK_ROWS - 1)
        kept = {round(at * step) for at in range(QUICK_ROWS)}
        for at, case in enumerate(wanted):
            if at not in kept:
                skipped[case.name] = "--quick leaves it out"
        wanted = [case for at, case in enumerate(wanted) if at in kept]
    return wanted, skipped


QUICK_FLOP = 2_000_000_000
QUICK_ROWS = 6
