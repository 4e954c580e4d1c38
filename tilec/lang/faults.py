"""Says in the user's words why a text is not Tile.

Most messages come from ``tilec_grammar.examples``: the state in which the automaton stopped and
the token that stopped it are looked up among those of known broken programs. What no example
covers gets the list of what could have stood there. No name of a terminal reaches a user.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import Final, TypeAlias

from tilec.errors import TileSyntaxError
from tilec.lang.automaton import UNKNOWN, Fault, Token, automaton
from tilec.records import dataclass
from tilec.source import Source, Span
from tilec_grammar import END
from tilec_grammar.examples import (
    CHARACTERS,
    CONTINUATIONS,
    EXAMPLES,
    EXPRESSION,
    NAMES,
    OPERATOR,
    SPELLINGS,
    STATEMENT,
    WORDS,
    Example,
)

_RESERVED: Final = ("FUNCTION", "DEFAULT", "NO_DEFRACT")

_Key: TypeAlias = tuple[tuple[int, ...], str, bool]
"""States, terminal, and whether a line ends in front of it."""

_CLOSERS: Final = {
    "LPAR": ("RPAR", "`(`", "`)`"),
    "LSQB": ("RSQB", "`[`", "`]`"),
    "LBRACE": ("RBRACE", "`{`", "`}`"),
    "LATTR": ("RATTR", "`[[`", "`]]`"),
}
_OPENED_BY: Final = {closer: opener for opener, (closer, _, _) in _CLOSERS.items()}


@dataclass(frozen=True, slots=True)
class _Entry:
    """A row of the table of examples, and whether it points behind the last good token."""

    example: Example
    at_gap: bool


def explain(source: Source, fault: Fault) -> TileSyntaxError:
    """The error for the place where a text stops being Tile."""
    if fault.token.terminal == UNKNOWN:
        return _explain_character(source, fault)
    return (
        _explain_spelling(source, fault)
        or _explain_by_example(source, fault)
        or _explain_reserved(source, fault)
        or _explain_open_bracket(source, fault)
        or _explain_by_expectation(source, fault)
    )


def _error(
    source: Source, fault: Fault, start: int, end: int, message: str, help: str | None
) -> TileSyntaxError:
    if source.text.startswith("//", fault.gap) and fault.before:
        # The caret may stand far behind the line on which half an expression became a comment.
        help = "`//` begins a comment; sizes and integers are divided by `/`, which truncates"
    return TileSyntaxError(message, Span(source, start, end), help=help)


def _explain_character(source: Source, fault: Fault) -> TileSyntaxError:
    start = fault.token.start
    character = source.text[start]
    name = unicodedata.name(character, "")
    shown = (
        f"`{character}`" if character.isprintable() else f"U+{ord(character):04X} {name}".strip()
    )
    message, help = CHARACTERS.get(character, (f"{shown} means nothing in Tile", None))
    if character.isalpha() and not character.isascii():
        help = "names are made of the letters A to Z, digits and `_`"
    return _error(source, fault, start, start + 1, message, help)


def _explain_spelling(source: Source, fault: Fault) -> TileSyntaxError | None:
    """An operator or a word that other languages have."""
    text, token = source.text, fault.token
    word = text[token.start : token.end]
    if token.terminal == "IDX" and word in WORDS:
        return _error(source, fault, token.start, token.end, *WORDS[word])
    glued = fault.gap if fault.gap == token.start else None
    before = fault.before[-1].start if fault.before and glued is not None else token.start
    wider = [(start, token.end + more) for more in (2, 1, 0) for start in (before, token.start)]
    for start, end in wider:
        spelling = text[start:end]
        if end <= len(text) and spelling in SPELLINGS and spelling != text[token.start : token.end]:
            return _error(source, fault, start, end, *SPELLINGS[spelling])
    return None


def _explain_by_example(source: Source, fault: Fault) -> TileSyntaxError | None:
    table = _table()
    for key in _keys(source.text, fault):
        entry = table.get(key)
        if entry is None:
            continue
        token = fault.token
        start, end = (fault.gap, fault.gap) if entry.at_gap else (token.start, token.end)
        found = source.text[token.start : token.end]
        example = entry.example
        help = example.help and example.help.replace("{found}", found)
        return _error(source, fault, start, end, example.message.replace("{found}", found), help)
    return None


@cache
def _table() -> dict[_Key, _Entry]:
    """Every key of every example; the first row that has a key keeps it."""
    machine = automaton()
    silent = [None if not rule.action else _nothing for rule in machine.tables.rules]
    table: dict[_Key, _Entry] = {}
    for example in EXAMPLES:
        for text, start, end in example.programs():
            fault = machine.run(text, silent)
            assert isinstance(fault, Fault), text
            entry = _Entry(example, at_gap=start == end)
            chain, place = machine.settle(fault.states)
            for states in (chain,) if example.exact else (chain, place):
                table.setdefault((states, *_cause(text, fault)), entry)
    return table


def _nothing(_values: list[object], _start: int, _end: int) -> None:
    return None


def _cause(text: str, fault: Fault) -> tuple[str, bool]:
    return fault.token.terminal, "\n" in text[fault.gap : fault.token.start]


def _keys(text: str, fault: Fault) -> Iterable[_Key]:
    """What to look a fault up by, the most particular first."""
    terminal, new_line = _cause(text, fault)
    for states in automaton().settle(fault.states):
        for breaks in (True, False) if new_line else (False,):
            yield states, terminal, breaks


def _explain_open_bracket(source: Source, fault: Fault) -> TileSyntaxError | None:
    """A bracket that is still open where something stands that it cannot hold."""
    opener = _open_bracket(fault.before)
    found = fault.token.terminal
    ends = (END, "SEMICOLON", "FUNCTION", "LBRACE", *_OPENED_BY)
    if opener is None or found not in ends:
        return None
    closer, opened, closes = _CLOSERS[opener.terminal]
    if not automaton().accepts(fault.states, closer):
        return None
    line, column = source.location(opener.start)
    where = "at the end" if found == END else f"in front of {_shown(source, fault.token)}"
    return _error(
        source,
        fault,
        fault.gap,
        fault.gap,
        f"{closes} is missing {where}",
        f"it closes the {opened} at line {line}, column {column}",
    )


def _open_bracket(tokens: Iterable[Token]) -> Token | None:
    """The innermost bracket that the tokens open and do not close."""
    open_ones: list[Token] = []
    for token in tokens:
        if token.terminal in _CLOSERS:
            open_ones.append(token)
        elif token.terminal in _OPENED_BY:
            open_ones.pop()
    return open_ones[-1] if open_ones else None


def _explain_reserved(source: Source, fault: Fault) -> TileSyntaxError | None:
    """A reserved word where a name belongs."""
    token = fault.token
    machine = automaton()
    upper = machine.accepts(fault.states, "ID")
    if token.terminal not in _RESERVED or not (upper or machine.accepts(fault.states, "IDX")):
        return None
    word = source.text[token.start : token.end]
    escape = f"`#{word}` is a tensor" if upper else f"`${word}` is an index"
    return _error(
        source,
        fault,
        token.start,
        token.end,
        f"`{word}` is a reserved word",
        f"choose another name; {escape} of that name",
    )


def _explain_by_expectation(source: Source, fault: Fault) -> TileSyntaxError:
    wanted = _expected(fault)
    token = fault.token
    if token.terminal == END:
        start, end = fault.gap, fault.gap
        found = "the program is empty" if not fault.before else "the program ends here"
    else:
        start, end = token.start, token.end
        found = f"unexpected {_shown(source, token)}"
    message = f"{found}; expected {wanted}" if wanted else found
    hashed = bool(fault.before) and source.text.startswith("#", fault.before[-1].start)
    help = "`#` escapes the name behind it; comments begin with `//`" if hashed else None
    return _error(source, fault, start, end, message, help)


def _shown(source: Source, token: Token) -> str:
    text = source.text[token.start : token.end]
    return f"`{text if len(text) <= 40 else text[:37] + '...'}`"


def _expected(fault: Fault) -> str:
    """What could have stood at the place of a fault, as words."""
    machine = automaton()
    marks = {terminal: f"`{mark}`" for mark, terminal in machine.tables.marks.items()}
    every = [*(name for name, _ in machine.tables.patterns[1:]), *marks.keys(), END]
    left = [name for name in every if machine.accepts(fault.states, name)]
    words: list[str] = []
    for word, group in (EXPRESSION, STATEMENT, OPERATOR):
        if all(name in left for name in group):
            words.append(word)
            absorbed = CONTINUATIONS if word == OPERATOR[0] else group
            left = [name for name in left if name not in absorbed]
    words.extend(NAMES.get(name) or marks[name] for name in left)
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} or {words[-1]}"
