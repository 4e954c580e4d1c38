"""The grammar of Tile: the rules, the tables made from them, and the examples behind the messages.

``tile.lark`` is the source. ``tables.json`` is what Lark's LALR construction makes of it, kept as
data because that construction takes longer than a whole compilation: on the development machine
130 ms with the import of Lark, against 1 ms to read the tables. ``python -m tilec_grammar.build``
makes the tables anew, and a test holds the two together.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

__all__ = ["END", "GRAMMAR_PATH", "TABLES_PATH", "Rule", "Tables", "load_tables"]

GRAMMAR_PATH: Final = Path(__file__).with_name("tile.lark")
TABLES_PATH: Final = Path(__file__).with_name("tables.json")

END: Final = "$END"
"""Terminal behind the last token."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the grammar.

    Attributes:
        origin: The nonterminal that it makes.
        length: Number of symbols.
        action: What to make of their values; empty to pass the value of the only symbol through.
    """

    origin: str
    length: int
    action: str


@dataclass(frozen=True, slots=True)
class Tables:
    """An LALR(1) automaton and its terminals. State 0 is the start.

    Attributes:
        patterns: Terminals given by regular expressions, in the order in which to try them. The
            first is what stands between tokens.
        marks: Terminals given by their text.
        rules: What the reductions refer to.
        actions: Per state, what to do on a terminal: ``n >= 0`` shifts and goes to state n,
            ``n < 0`` reduces by rule ``-1 - n``. A shift of ``END`` accepts.
        gotos: Per state, where to go after a reduction to a nonterminal.
    """

    patterns: tuple[tuple[str, str], ...]
    marks: dict[str, str]
    rules: tuple[Rule, ...]
    actions: tuple[dict[str, int], ...]
    gotos: tuple[dict[str, int], ...]


def load_tables() -> Tables:
    """Read ``tables.json``."""
    data = cast("dict[str, list[list[str | int]]]", json.loads(TABLES_PATH.read_bytes()))
    return Tables(
        patterns=tuple(cast("list[tuple[str, str]]", data["patterns"])),
        marks=cast("dict[str, str]", data["marks"]),
        rules=tuple(Rule(*cast("tuple[str, int, str]", row)) for row in data["rules"]),
        actions=tuple(cast("list[dict[str, int]]", data["actions"])),
        gotos=tuple(cast("list[dict[str, int]]", data["gotos"])),
    )
