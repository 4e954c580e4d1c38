"""The tables say what the grammar says: compared with Lark itself, on valid and broken texts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import lark
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.lang.programs import files
from tilec.lang.automaton import Action, Fault, automaton
from tilec.lang.printer import print_file
from tilec_grammar import GRAMMAR_PATH, TABLES_PATH, Rule
from tilec_grammar.build import GrammarConflictError, make_lark, tables_text
from tilec_grammar.examples import EXAMPLES

BROKEN = [text for row in EXAMPLES for text, _, _ in row.programs()]


def test_the_tables_are_up_to_date() -> None:
    made = tables_text(GRAMMAR_PATH.read_text(encoding="utf-8"))
    assert TABLES_PATH.read_text(encoding="utf-8") == made, "run python -m tilec_grammar.build"


def test_a_conflict_is_refused() -> None:
    ambiguous = 'start: sum -> s\nsum: sum "+" sum -> add | "1" -> one\n'
    with pytest.raises(GrammarConflictError, match="Shift/Reduce"):
        tables_text(ambiguous)
    with pytest.raises(GrammarConflictError, match="Reduce/Reduce"):
        tables_text('start: a | b\na: "1"\nb: "1"\n')


@cache
def grammar() -> lark.Lark:
    return make_lark(GRAMMAR_PATH.read_text(encoding="utf-8"))


def _node(rule: Rule) -> Action | None:
    if not rule.action:
        return None
    return lambda values, _start, _end: (rule.action, *values)


def by_tables(text: str) -> Any:
    """Nested tuples of action and values, or None for a text that is not Tile."""
    machine = automaton()
    found = machine.run(text, [_node(rule) for rule in machine.tables.rules])
    return None if isinstance(found, Fault) else found


def by_lark(text: str) -> Any:
    """The same from Lark."""
    try:
        tree = grammar().parse(text)  # pyright: ignore[reportUnknownMemberType]  # Lark's text types
    except lark.exceptions.UnexpectedInput:
        return None
    passing = {rule.origin for rule in automaton().tables.rules if not rule.action}
    return _without_passing(tree, passing)


def _without_passing(tree: lark.ParseTree, passing: set[str]) -> Any:
    """The tree as nested tuples, without the rules that hand their only value on."""
    stack: list[tuple[Callable[[Any], None], lark.Tree[lark.Token] | lark.Token]] = []
    result: list[Any] = []
    stack.append((result.append, tree))
    while stack:
        put, node = stack.pop()
        while isinstance(node, lark.Tree) and isinstance(node.data, lark.Token):
            assert str(node.data) in passing
            (node,) = node.children
        if not isinstance(node, lark.Tree):
            put(str(node))
            continue
        values: list[Any] = [str(node.data)]
        put(values)
        # Taken from the end of the stack, the children come in order.
        stack.extend((values.append, child) for child in reversed(node.children))
    return _frozen(result[0])


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


@settings(max_examples=30, deadline=None)
@given(files.map(print_file))
@example("C[i,j:M,N]=+(A[i,k]*B[2k,j]),i<2,no_defract default D;E[]==(A[])")
def test_trees_are_those_of_lark(text: str) -> None:
    tree = by_tables(text)
    assert tree is not None
    assert tree == by_lark(text)


FRAGMENTS = sorted(
    {
        *automaton().tables.marks,
        *("A", "i", "2", "1.5", "2e5", "#x", "$X", "function", "default", "no_defract", "/"),
        *("]]", "[[", "==(", "=>(", ">=(", "=<(", " ", "\n", "// x\n", "A'", "'", "_", "/*", "é"),
    }
)


@st.composite
def mutants(draw: st.DrawFn) -> str:
    """A text with a few places replaced, removed or doubled."""
    text = draw(st.one_of(files.map(print_file), st.sampled_from(BROKEN)))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 4)))
        text = text[:start] + draw(st.sampled_from(FRAGMENTS)) + text[end:]
    return text


@settings(max_examples=60, deadline=None)
@given(mutants())
def test_broken_texts_are_those_of_lark(text: str) -> None:
    assert by_tables(text) == by_lark(text)


@pytest.mark.parametrize("text", BROKEN)
def test_examples_are_broken_for_lark_too(text: str) -> None:
    assert by_lark(text) is None


def test_a_parse_needs_neither_lark_nor_the_examples() -> None:
    program = (
        "import sys\n"
        f"sys.path[:0] = {sys.path!r}\n"
        "from tilec.lang.parse import parse\n"
        "from tilec.source import Source\n"
        "parse(Source('cold.tile', 'C[i,j:M,N] = +(A[i,k]*B[k,j])'))\n"
        "print({'lark', 'tilec_grammar.examples', 'tilec.lang.faults'} & sys.modules.keys())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("set()\n", "")
