"""Runs the LALR automaton of the grammar over a text.

Lark builds the tables (``tilec_grammar``) and defines what they mean; this driver of a page reads
them, since importing Lark takes longer than compiling a small kernel. Nothing here recurses, so
that no nesting of a text exhausts the stack.

The lexer is contextual: of the tokens that the automaton accepts at a place, the longest is taken.
Where it accepts none, the longest of all is the fault.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, TypeAlias

from tilec.records import dataclass
from tilec_grammar import END, Tables, load_tables

UNKNOWN: Final = ""
"""Terminal of a character that begins no token."""

Action: TypeAlias = Callable[[list[Any], int, int], Any]
"""Makes the value of a rule from the values of its symbols and the characters they span."""


@dataclass(frozen=True, slots=True)
class Token:
    """The characters ``start`` to ``end`` of a text, read as a terminal."""

    terminal: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Fault:
    """Where a text stops being Tile.

    Attributes:
        token: The first token that no program continues with.
        before: All tokens in front of it.
        states: The automaton's stack before it saw the token.
    """

    token: Token
    before: tuple[Token, ...]
    states: tuple[int, ...]

    @property
    def gap(self) -> int:
        """Offset behind the token before the fault."""
        return self.before[-1].end if self.before else 0


class Automaton:
    """The tables with the regular expressions that they need."""

    def __init__(self, tables: Tables) -> None:
        blank, *patterns = tables.patterns
        marks = "|".join(map(re.escape, sorted(tables.marks, key=len, reverse=True)))
        named = [f"(?P<{name}>{pattern})" for name, pattern in patterns]
        self.tables = tables
        self._passed: dict[tuple[int, int, str], int] = {}
        self._blank = re.compile(blank[1]).match
        self._token = re.compile("|".join([*named, f"(?:{marks})"])).match

    def next_token(self, text: str, at: int, accepted: dict[str, int]) -> Token:
        """The token behind ``at`` and the blanks there."""
        while blank := self._blank(text, at):
            at = blank.end()
        found = self._token(text, at)
        if found is None:
            return Token(UNKNOWN, at, at + 1) if at < len(text) else Token(END, at, at)
        if found.lastgroup is not None:
            return Token(found.lastgroup, at, found.end())
        mark = found.group()
        terminals = self.tables.marks
        for end in range(len(mark), 0, -1):
            terminal = terminals.get(mark[:end])
            if terminal in accepted:
                return Token(terminal, at, at + end)
        return Token(terminals[mark], at, found.end())

    def run(self, text: str, actions: Sequence[Action | None]) -> Any | Fault:
        """Parse a text.

        Args:
            text: The text. A byte order mark at its start counts as blank.
            actions: One per rule of the tables; None passes the value of the only symbol through.

        Returns:
            The value of the start rule, or the fault.
        """
        rows, gotos, rules = self.tables.actions, self.tables.gotos, self.tables.rules
        states = [0]
        values: list[Any] = []
        starts: list[int] = []  # -1 for what spans no characters
        ends: list[int] = []
        token = self.next_token(text, _behind_mark(text), rows[0])
        while True:
            step = rows[states[-1]].get(token.terminal)
            if step is None:
                return self._fault(text)
            if step >= 0:
                if token.terminal == END:
                    return values[0]
                states.append(step)
                values.append(text[token.start : token.end])
                starts.append(token.start)
                ends.append(token.end)
                token = self.next_token(text, token.end, rows[step])
                continue
            action = actions[-1 - step]
            if action is None:
                states[-1] = self._pass(states[-2], states[-1], token.terminal)
                continue
            rule = rules[-1 - step]
            cut = len(values) - rule.length
            start = end = -1
            for at in range(cut, len(values)):
                if ends[at] >= 0:
                    start = starts[at] if start < 0 else start
                    end = ends[at]
            value = action(values[cut:], start, end)
            del states[cut + 1 :], values[cut:], starts[cut:], ends[cut:]
            states.append(gotos[states[-1]][rule.origin])
            values.append(value)
            starts.append(start)
            ends.append(end)

    def _pass(self, below: int, state: int, terminal: str) -> int:
        """The state after all rules that hand the value above ``below`` on.

        An operand climbs a dozen of them, from ``atom`` to ``expr``. Where it ends depends on the
        three arguments alone, so the climb is made once.
        """
        key = (below, state, terminal)
        known = self._passed.get(key)
        if known is not None:
            return known
        while (step := self.tables.actions[state].get(terminal, 0)) < 0:
            rule = self.tables.rules[-1 - step]
            if rule.action:
                break
            state = self.tables.gotos[below][rule.origin]
        self._passed[key] = state
        return state

    def accepts(self, states: Sequence[int], terminal: str) -> bool:
        """True when the automaton, with this stack, can go on with the terminal."""
        stack = list(states)
        while True:
            step = self.tables.actions[stack[-1]].get(terminal)
            if step is None:
                return False
            if step >= 0:
                return True
            self._reduce(stack, -1 - step)

    def settle(self, states: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The states through which the automaton goes when it closes all that may end here.

        They tell a message what was being written.

        Returns:
            All of them, and only those that tell one construct from another: where the statement
            stands, and in what it stands.
        """
        stack = list(states)
        chain = [stack[-1]]
        statement: int | None = None
        while True:
            steps = [-1 - step for step in self.tables.actions[stack[-1]].values() if step < 0]
            steps = [rule for rule in steps if self.tables.rules[rule].length > 0]
            if not steps:
                return tuple(chain), (chain[-1] if statement is None else statement, chain[-1])
            rule = max(sorted(set(steps)), key=steps.count)
            if self.tables.rules[rule].origin == "statements":
                statement = stack[-1]
            self._reduce(stack, rule)
            chain.append(stack[-1])

    def _reduce(self, stack: list[int], number: int) -> None:
        rule = self.tables.rules[number]
        del stack[len(stack) - rule.length :]
        stack.append(self.tables.gotos[stack[-1]][rule.origin])

    def _fault(self, text: str) -> Fault:
        """Run again, and keep what a message needs.

        The stack is taken before the faulty token: reductions that it caused would hide what else
        could have stood in its place.
        """
        rows = self.tables.actions
        stack = [0]
        before: list[Token] = []
        token = self.next_token(text, _behind_mark(text), rows[0])
        while self.accepts(stack, token.terminal):
            while (step := rows[stack[-1]][token.terminal]) < 0:
                self._reduce(stack, -1 - step)
            stack.append(step)
            before.append(token)
            token = self.next_token(text, token.end, rows[step])
        return Fault(token, tuple(before), tuple(stack))


@cache
def automaton() -> Automaton:
    """The automaton of Tile, made once."""
    return Automaton(load_tables())


def _behind_mark(text: str) -> int:
    return 1 if text.startswith("\ufeff") else 0
