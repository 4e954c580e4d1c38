"""Makes ``tables.json`` from ``tile.lark``: ``python -m tilec_grammar.build``."""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import lark
from lark.grammar import Rule as LarkRule
from lark.lexer import TerminalDef

from tilec_grammar import END, GRAMMAR_PATH, TABLES_PATH

_SHIFT = 0
_States = dict[int, dict[str, tuple[int, Any]]]


class GrammarConflictError(Exception):
    """The grammar is not LALR(1)."""


def main() -> None:
    """Write the tables next to the grammar."""
    TABLES_PATH.write_text(tables_text(GRAMMAR_PATH.read_text(encoding="utf-8")), encoding="utf-8")


def tables_text(grammar: str) -> str:
    """The contents of ``tables.json`` for a grammar; the same for the same text.

    Raises:
        GrammarConflictError: the grammar is not LALR(1).
    """
    _refuse_conflicts(grammar)
    parser = make_lark(grammar)
    serialise = cast(
        "Callable[[list[type]], tuple[dict[str, Any], dict[int, dict[str, Any]]]]",
        parser.memo_serialize,  # pyright: ignore[reportUnknownMemberType]  # a bare `List`
    )
    data, memo = serialise([TerminalDef, LarkRule])
    automaton = data["parser"]["parser"]
    names: dict[int, str] = automaton["tokens"]
    states: _States = {
        state: {names[symbol]: (kind, target) for symbol, (kind, target) in row.items()}
        for state, row in automaton["states"].items()
    }
    order = _breadth_first(states, automaton["start_states"]["start"])
    number = {state: position for position, state in enumerate(order)}

    rules = [memo[reference["@"]] for reference in data["rules"]]
    # Lark calls a rule without alias by its origin; those pass their value through.
    rows = [
        [str(rule["origin"]["name"]), len(rule["expansion"]), str(rule["alias"] or "")]
        for rule in rules
    ]
    rule_number = {reference["@"]: at for at, reference in enumerate(data["rules"])}
    actions: list[dict[str, int]] = []
    gotos: list[dict[str, int]] = []
    for state in order:
        shifts: dict[str, int] = {}
        jumps: dict[str, int] = {}
        for symbol, (kind, target) in sorted(states[state].items()):
            if kind != _SHIFT:
                shifts[symbol] = -1 - rule_number[target["@"]]
            elif symbol.isupper():
                shifts[symbol] = number[target]
            else:
                jumps[symbol] = number[target]
        if state == automaton["end_states"]["start"]:
            shifts[END] = 0  # Lark accepts when it has reduced to the start rule
        actions.append(shifts)
        gotos.append(jumps)
    patterns = [[t.name, t.pattern.value] for t in parser.terminals if t.pattern.type == "re"]
    marks = {t.pattern.value: t.name for t in parser.terminals if t.pattern.type == "str"}
    return _dump(
        {"patterns": patterns, "marks": marks, "rules": rows, "actions": actions, "gotos": gotos}
    )


def make_lark(grammar: str, *, debug: bool = False) -> lark.Lark:
    """The grammar in Lark itself, which tests compare with the tables."""
    return lark.Lark(
        grammar, parser="lalr", lexer="contextual", propagate_positions=True, debug=debug
    )


class _Listener(logging.Handler):
    """Keeps what Lark says about the grammar."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def _refuse_conflicts(grammar: str) -> None:
    # Lark resolves a conflict silently towards the shift; only its debug mode says so.
    listener = _Listener()
    level = lark.logger.level
    lark.logger.addHandler(listener)
    lark.logger.setLevel(logging.WARNING)
    try:
        make_lark(grammar, debug=True)
    except lark.exceptions.GrammarError as error:
        raise GrammarConflictError(str(error)) from error
    finally:
        lark.logger.setLevel(level)
        lark.logger.removeHandler(listener)
    if listener.messages:
        raise GrammarConflictError("\n".join(listener.messages))


def _breadth_first(states: _States, start: int) -> list[int]:
    """The states in an order that depends on the grammar alone; Lark's depends on hashes."""
    order = [start]
    seen = {start}
    queue = deque(order)
    while queue:
        row = states[queue.popleft()]
        for symbol in sorted(row):
            kind, target = row[symbol]
            if kind == _SHIFT and target not in seen:
                seen.add(target)
                order.append(target)
                queue.append(target)
    return order


def _dump(data: dict[str, Any]) -> str:
    """JSON with one row a line, so that a change of the grammar can be read in a diff."""
    parts: list[str] = []
    for key, value in data.items():
        if isinstance(value, dict):
            parts.append(f"{json.dumps(key)}: {json.dumps(value)}")
            continue
        rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in value)
        parts.append(f"{json.dumps(key)}: [\n{rows}\n]")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    main()
