"""Whatever the text, parsing gives a tree or an error of the tree of errors."""

from __future__ import annotations

from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.lang.programs import files
from tilec.errors import InternalError, TilecError
from tilec.lang import ast
from tilec.lang.parse import parse
from tilec.lang.printer import print_file
from tilec.source import Source
from tilec_grammar.examples import CHARACTERS, EXAMPLES, SPELLINGS, WORDS

PROGRAMS = [
    *(
        path.read_text()
        for path in sorted((Path(__file__).parents[2] / "examples").rglob("*.tile"))
    ),
    "C[i,j:M,N] = +(A[i,k]*B[k,j])",
    "M[i] = >(P[i, k]); E = exp(P - M); S[i, 0] = +(E[i, k]) default M; R = E / S; Q = R / K",
    *(text for row in EXAMPLES for text, _, _ in row.programs()),
]
PIECES = [
    *CHARACTERS,
    *SPELLINGS,
    *WORDS,
    *"()[]{}<>=+-*/%&|^~?:;,#$'.0i",
    *("[[", "]]", "->", "//", "/*", "*/", "A", "A[i]", "1e9", "\n", "\r", "\t", "\0", "\ud800"),
    *("function", "default", "no_defract", "99999999999999999999"),
]


def outcome(text: str) -> ast.File | TilecError:
    try:
        return parse(Source("fuzz.tile", text))
    except TilecError as error:
        return error


def survives(text: str) -> None:
    result = outcome(text)
    assert not isinstance(result, InternalError)
    if isinstance(result, TilecError):
        assert str(result)
        assert result.span is not None
        assert 0 <= result.span.start <= result.span.end <= len(text)
        return
    assert parse(Source("again.tile", print_file(result))) == result


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=200).map(lambda data: data.decode("latin-1")))
def test_bytes(text: str) -> None:
    survives(text)


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=100))
def test_text(text: str) -> None:
    survives(text)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
@example("O[i:99999999999999999999]=+(A[i])")
def test_pieces(text: str) -> None:
    survives(text)


@st.composite
def mutants(draw: st.DrawFn) -> str:
    """A program with a few places replaced, removed or doubled."""
    text = draw(st.one_of(st.sampled_from(PROGRAMS), files.map(print_file)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        replacement = draw(st.sampled_from(["", text[start:end] * 2, *PIECES]))
        text = text[:start] + replacement + text[end:]
    return text


@settings(max_examples=120, deadline=None)
@given(mutants())
def test_mutated_programs(text: str) -> None:
    survives(text)
