"""Every syntax message: its position and its words."""

from __future__ import annotations

import re

import pytest

from tilec.errors import TileSyntaxError
from tilec.lang.automaton import automaton
from tilec.lang.parse import parse
from tilec.source import Source
from tilec_grammar import END
from tilec_grammar.examples import CHARACTERS, EXAMPLES, SPELLINGS, WORDS, Example


def fault(text: str) -> TileSyntaxError:
    with pytest.raises(TileSyntaxError) as caught:
        parse(Source("test.tile", text))
    assert caught.value.also == ()
    assert caught.value.span is not None
    speaks_plainly(caught.value)
    return caught.value


def speaks_plainly(error: TileSyntaxError) -> None:
    """No name of a terminal or of Lark is in the message, and it fits its lines."""
    terminals = {*automaton().tables.marks.values(), "IDX", "INT", "FLOAT", "NO_DEFRACT", END}
    words = set(re.findall(r"[A-Z_$]{2,}", f"{error.message} {error.help}"))
    assert not words & (terminals - {"OR"})
    assert "\n" not in error.message
    assert "\n" not in (error.help or "")


def check(text: str, marked: str, message: str, help: str | None) -> None:
    """``marked`` is the text with «» around what the message underlines."""
    error = fault(text)
    assert error.span is not None
    start, end = error.span.start, error.span.end
    assert f"{text[:start]}«{text[start:end]}»{text[end:]}" == marked
    assert (error.message, error.help) == (message, help)


ROWS = [(row, text) for row in EXAMPLES for text in row.broken]


@pytest.mark.parametrize(("row", "marked"), ROWS, ids=[text for _, text in ROWS])
def test_examples(row: Example, marked: str) -> None:
    text = marked.replace("«", "").replace("»", "")
    error = fault(text)
    assert error.span is not None
    found = text[error.span.end :].strip()[:1] if error.span.start == error.span.end else ""
    found = error.span.text or found
    message = row.message.replace("{found}", found)
    help = row.help and row.help.replace("{found}", found)
    check(text, marked, message, help)


def test_there_are_many_rows() -> None:
    messages = {(row.message, row.help) for row in EXAMPLES if not row.exact}
    assert len(messages) == len([row for row in EXAMPLES if not row.exact]) >= 40


@pytest.mark.parametrize("character", sorted(CHARACTERS), ids=lambda c: f"U+{ord(c):04X}")
def test_characters(character: str) -> None:
    before, after = ("A = B ", "* C") if character == "/" else ("A = B\n  ", " C")
    check(
        f"{before}{character}{after}",
        f"{before}«{character}»{after}",
        *CHARACTERS[character],
    )


@pytest.mark.parametrize(
    ("character", "message", "help"),
    [
        ("`", "``` means nothing in Tile", None),
        ("\0", "U+0000 means nothing in Tile", None),
        ("\u200b", "U+200B ZERO WIDTH SPACE means nothing in Tile", None),
        ("😀", "`😀` means nothing in Tile", None),
        ("é", "`é` means nothing in Tile", "names are made of the letters A to Z, digits and `_`"),
        ("Σ", "`Σ` means nothing in Tile", "names are made of the letters A to Z, digits and `_`"),
        ("²", "`²` means nothing in Tile", None),
    ],
    ids=lambda c: ascii(c)[:8],
)
def test_other_characters(character: str, message: str, help: str | None) -> None:
    check(f"A = {character}B", f"A = «{character}»B", message, help)


@pytest.mark.parametrize(
    ("marked", "spelling"),
    [
        ("A = B «&&» C", "&&"),
        ("A = B «||» C", "||"),
        ("A = B «**» 2", "**"),
        ("A = B «++»", "++"),
        ("C[i : N] «+=» A[i]", "+="),
        ("C «-=» A", "-="),
        ("C «*=» A", "*="),
        ("C «/=» A", "/="),
        ("A «:=» B", ":="),
        ("function (A) «=>» (B) { B = A; }", "=>"),
        ("function (A) «-->» (B) { B = A; }", "-->"),
        ("A «==» B", "=="),
        ("A = B «===» C", "==="),
        ("A = B «<>» C", "<>"),
    ],
)
def test_operators_of_other_languages(marked: str, spelling: str) -> None:
    check(marked.replace("«", "").replace("»", ""), marked, *SPELLINGS[spelling])


@pytest.mark.parametrize(
    ("marked", "word"),
    [
        ("A = B «and» C", "and"),
        ("A = B «or» C", "or"),
        ("A = B «xor» C", "xor"),
        ("A = B & C «not» D", "not"),
        ("«if» (A) B = C", "if"),
        ("A = B «if» C else D", "if"),
        ("A = B; «else» C = D", "else"),
        ("«for» i: C = A", "for"),
        ("«while» (A) B = C", "while"),
        ("function (A) -> (B) { B = A; «return» B; }", "return"),
        ("«def» f(A): B", "def"),
        ("«fn» f(A) {}", "fn"),
        ("«func» f(A) {}", "func"),
        ("«let» A = B", "let"),
        ("«var» A = B", "var"),
    ],
)
def test_words_of_other_languages(marked: str, word: str) -> None:
    check(marked.replace("«", "").replace("»", ""), marked, *WORDS[word])


@pytest.mark.parametrize(
    ("marked", "message", "help"),
    [
        # What was expected, in words.
        ("«»", "the program is empty; expected a statement or `function`", None),
        ("«» // nothing\n", "the program is empty; expected a statement or `function`", None),
        ("A = B +«»", "the program ends here; expected an expression", None),
        ("A =«» // then?\n\n", "the program ends here; expected an expression", None),
        ("A = «)»", "unexpected `)`; expected an expression", None),
        ("A = B * «]»", "unexpected `]`; expected an expression", None),
        (
            "A = 3 «4»",
            "unexpected `4`; expected an operator, `;` or the end of the program",
            None,
        ),
        (
            "A = 1.«.2»",
            "unexpected `.2`; expected an operator, `;` or the end of the program",
            None,
        ),
        ("A = B; «)»", "unexpected `)`; expected a statement or the end of the program", None),
        (
            "C[i, j : N «:» M] = +(A[i])",
            "a second `:` in an output",
            "the indices come first, then all sizes: `C[i, j : M, N]`",
        ),
        ("[[«»", "the program ends here; expected a word in lower case", None),
        ("function (A) «]» -> (B) { }", "unexpected `]`; expected `->`", None),
        ("function f«»", "the program ends here; expected `(`", None),
        # Comments.
        ("A = B «/»* C", *CHARACTERS["/"]),
        (
            "A«» // = B",
            "a statement gives its result a name",
            "C = ... for elements, or C[i : N] = +(...) for an aggregation",
        ),
        (
            "C[i : N«»//2] = +(A[2*i])",
            "`]` is missing at the end",
            "`//` begins a comment; sizes and integers are divided by `/`, which truncates",
        ),
        (
            "«#» matrix product\nA = B",
            *CHARACTERS["#"],
        ),
        (
            "#matrix «product»\nA = B",
            "unexpected `product`; expected `[` or `=`",
            "`#` escapes the name behind it; comments begin with `//`",
        ),
        # Brackets.
        ("A = f(B«»", "`)` is missing at the end", "it closes the `(` at line 1, column 6"),
        (
            "A = (B + C«»; D = A",
            "`)` is missing in front of `;`",
            "it closes the `(` at line 1, column 5",
        ),
        (
            "C[] = +(A[i«»)",
            "`]` is missing in front of `)`",
            "it closes the `[` at line 1, column 10",
        ),
        (
            "C[] =\n +(A[i]«»;",
            "`)` is missing in front of `;`",
            "it closes the `(` at line 2, column 3",
        ),
        (
            "function (A) -> (B) { B = A;«»",
            "`}` is missing at the end",
            "it closes the `{` at line 1, column 21",
        ),
        (
            "function (A«» { B = A; }",
            "`)` is missing in front of `{`",
            "it closes the `(` at line 1, column 10",
        ),
        ("[[hint(a) «A» = B", "unexpected `A`; expected `]]`", None),
        # Reserved words.
        (
            "«default» = A",
            "`default` is a reserved word",
            "choose another name; `#default` is a tensor of that name",
        ),
        (
            "A = «no_defract»",
            "`no_defract` is a reserved word",
            "choose another name; `#no_defract` is a tensor of that name",
        ),
        (
            "function «default»(A) -> (B) { B = A; }",
            "`default` is a reserved word",
            "choose another name; `#default` is a tensor of that name",
        ),
        (
            "[[«function»]] A = B",
            "`function` is a reserved word",
            "choose another name; `$function` is an index of that name",
        ),
        # Characters that a name cannot have.
        ("A = B'«'»", *CHARACTERS["'"]),
        ("«_»A = B", *CHARACTERS["_"]),
        ("A = 1«_»000", *CHARACTERS["_"]),
        ("function (X[«.»..]) -> (B) { B = X; }", *CHARACTERS["."]),
        # Only the first mistake is told.
        ("A = «)»; B = (; C", "unexpected `)`; expected an expression", None),
    ],
)
def test_other_messages(marked: str, message: str, help: str | None) -> None:
    check(marked.replace("«", "").replace("»", ""), marked, message, help)


def test_a_long_token_is_cut() -> None:
    error = fault("A = B " + "1" * 100)
    assert error.message == (
        f"unexpected `{'1' * 37}...`; expected an operator, `;` or the end of the program"
    )


def test_the_whole_report() -> None:
    text = "function (A[M, L], B[L, N]) -> (C) {\n\tC[i, j : M, N] = A[i, k] * B[k, j];\n}"
    assert str(fault(text)) == (
        "test.tile:2:19: an aggregation is missing behind `=`\n"
        "  2 | \tC[i, j : M, N] = A[i, k] * B[k, j];\n"
        "    | \t                 ^\n"
        "  help: `+(...)` sums, `*` multiplies, `>` takes the largest, `<` the smallest, "
        "`=` assigns: `C[i : N] = =(A[i])`"
    )
