from __future__ import annotations

from pathlib import Path

import pytest
from pygments.token import Error, Text

from tilec_grammar.highlight import TileLexer

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "tile").glob("*.tile"))


def kinds(text: str) -> list[tuple[str, str]]:
    tokens = TileLexer(ensurenl=False).get_tokens(text)
    return [(str(kind).removeprefix("Token."), value) for kind, value in tokens if value.strip()]


def test_a_statement() -> None:
    assert kinds("C[i : N] = +(exp(A[i, 2*k])); // all") == [
        ("Name", "C"),
        ("Punctuation", "["),
        ("Name.Variable", "i"),
        ("Punctuation", ":"),
        ("Name", "N"),
        ("Punctuation", "]"),
        ("Operator", "="),
        ("Operator", "+"),
        ("Punctuation", "("),
        ("Name.Function", "exp"),
        ("Punctuation", "("),
        ("Name", "A"),
        ("Punctuation", "["),
        ("Name.Variable", "i"),
        ("Punctuation", ","),
        ("Literal.Number.Integer", "2"),
        ("Operator", "*"),
        ("Name.Variable", "k"),
        ("Punctuation", "]"),
        ("Punctuation", ")"),
        ("Punctuation", ")"),
        ("Punctuation", ";"),
        ("Comment.Single", "// all"),
    ]


def test_words_with_a_meaning() -> None:
    assert ("Keyword", "function") in kinds("function (A[N]: f16) -> (B) {}")
    assert ("Keyword.Type", "f16") in kinds("function (A[N]: f16) -> (B) {}")
    assert ("Name.Variable", "defaults") in kinds("B[defaults]")
    assert ("Name", "#x'") in kinds("#x' = 1")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_made_of_known_tokens(path: Path) -> None:
    for kind, value in TileLexer().get_tokens(path.read_text()):
        assert kind not in (Text, Error), value
