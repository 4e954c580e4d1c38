"""Lints: identity, position, words and counterexample; and silence where all is well."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tests.errors.cases import bind
from tests.lang.test_lower import IDIOMS, Idiom
from tilec.dtypes import I32
from tilec.lang.check import Checked, check_file
from tilec.lang.lint import Lint, lint, sample_sizes
from tilec.lang.parse import parse
from tilec.source import Source


def check(text: str) -> Checked:
    """The last function of a text."""
    return check_file(parse(Source("lint.tile", text)))[-1]


@dataclass(frozen=True)
class Found:
    """A program with one lint at the mark ``§``."""

    id: str
    text: str
    words: tuple[str, ...]
    help: str
    shapes: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def name(self) -> str:
        """Name for the report."""
        return f"{self.id}: {self.words[0]}"


FOUND = [
    Found(
        "untied-index",
        "function (A[N]) -> (O) { O[i : N - 1] = >(A[§i + j]); }",
        ("no access or constraint bounds j for a given i", "every O[i] equals the global maximum"),
        "did you mean `, j < 3`?",
    ),
    Found(
        "untied-index",
        "function (A[N]) -> (O) { O[i : N / 2] = <(A[§2*i + j]); }",
        ("bounds j for a given i", "global minimum of A"),
        "did you mean `, j < 2`?",
        {"A": "f32[8]"},
    ),
    Found(
        "untied-index",
        "function (A[B, N, C]) -> (O) { O[b, i, c : B, N, C] = +(A[b, §3*i + j, c]); }",
        ("every O[b, i, c] is the same whatever i is", "the sum over the whole axis 1 of A"),
        "did you mean `, j < 3`?",
        {"A": "f32[2, 9, 3]"},
    ),
    Found(
        "untied-index",
        "function (A[N]) -> (O) { O[i : N] = *(A[§i + 2*j]); }",
        ("O[i] is the same 2 steps of i further on",),
        "did you mean `, j < 3`?",
    ),
    Found(
        "untied-index",
        "function (A[N], B[N]) -> (O) { O[i : N] = +(A[§i + j] * B[i + j]); }",
        ("every O[i] is the same whatever i is",),
        "`, j < 3`",
    ),
    Found(
        "unwritten-output",
        "function (A[N]) -> (O) { §O[2*i : 2*N] = =(A[i]); }",
        ("O[1] is never written, so it is 0",),
        "default",
    ),
    Found(
        "unwritten-output",
        "function (A[N]) -> (O) { §O[i, i : N, N] = =(A[i]); }",
        ("O[0, 1] is never written",),
        "f32[3, 3]",
        {"A": "f32[3]"},
    ),
    Found(
        "unread-input",
        "function (§A[N]) -> (O) { O[i : N / 2] = >(A[2*i + j]), j < 1; }",
        ("A[1] is never read, for A of f32[4]",),
        "output sizes",
        {"A": "f32[4]"},
    ),
    Found(
        "unread-input",
        "function (§A[M, N]) -> (O) { O[i : M] = =(A[i, 2]); }",
        ("A[0, 0] is never read",),
        "output sizes",
    ),
    Found(
        "chained-conditional",
        "function (A, B) -> (R) { R = §A ? 1 : B ? 2 : 3; }",
        ("groups from the left",),
        "parentheses",
    ),
    Found(
        "loose-xor",
        "function (A, B) -> (R) { R = §A ^ B | 1; }",
        ("`^` binds looser than `|`",),
        "parentheses",
    ),
    Found(
        "loose-xor",
        "function (A, B) -> (R) { R = 3 + (§A | B ^ 1); }",
        ("`^` binds looser than `|`",),
        "parentheses",
    ),
    Found(
        "truncating-division",
        "function (A[N]) -> (R) { R[i : §N / 2] = >(A[2*i + j]), j < 3; }",
        ("the size N / 2 truncates: it is 3 for 7 / 2",),
        "rounds up",
        {"A": "f32[7]"},
    ),
    Found(
        "truncating-division",
        "function (A[N]) -> (R) { K = §N / 3 + 1; R = reshape(A, K, 2); }",
        ("the size N / 3 truncates: it is 1 for 4 / 3",),
        "rounds up",
        {"A": "f32[4]"},
    ),
    Found(
        "last-maximum",
        "function (P[N]) -> (R) { M[] = >(P[i]); X = index(P, 0); §R[] = >(P[i] == M[] ? X[i]); }",
        ("finds the last position in X",),
        "aggregate N - X",
    ),
    Found(
        "ignored-combination",
        "function (A[N], B[N], C[N]) -> (R) { R[i : N] = +(§A[i] + B[i] ? C[i]); }",
        ("`+` before `?`",),
        "A[i] == B[i]",
    ),
    Found(
        "ignored-combination",
        "function (A[N], B[N], C[N]) -> (R) { R[i : N] = +(§A[i] * B[i] ? C[i]); }",
        ("`*` before `?`",),
        "A[i] == B[i]",
    ),
    Found(
        "unused-value",
        "function (A[N]) -> (R) { §B = A * 2; R = A; }",
        ("B is computed, but no output needs it",),
        "return B",
    ),
    Found(
        "unused-input",
        "function (A[N], §B[M]) -> (R) { R = A; }",
        ("input B is never used",),
        "drop it",
    ),
]


@pytest.mark.parametrize("found", FOUND, ids=[found.name for found in FOUND])
def test_found(found: Found) -> None:
    text = found.text.replace("§", "")
    checked = check(text)
    source = Source("lint.tile", text)
    lints = lint(checked, bind(source, found.shapes)) if found.shapes else lint(checked)
    (one,) = [each for each in lints if each.id not in _BESIDE.get(found.id, ())]
    assert one.id == found.id
    at = 0
    for words in found.words:
        assert words in one.message[at:], one.message
        at = one.message.index(words, at)
    assert found.help in one.help
    column = found.text.index("§") + 1
    assert (one.span.line, one.span.column) == (1, column), one.render()
    rendered = one.render().split("\n")
    assert rendered[0].startswith(f"lint.tile:1:{column}: warning: ")
    assert rendered[0].endswith(f"[{found.id}]")
    assert rendered[2].index("^") == len("  1 | ") + column - 1
    assert rendered[3] == f"  help: {one.help}"


_BESIDE = {"truncating-division": ("unread-input",)}
"""Lints that a program shows beside the one under test, because both are true."""

_EXPECTED = {
    "last arg max": {"last-maximum"},
    "last arg max, misspelt": {"last-maximum", "ignored-combination"},
    "slice": {"truncating-division", "unread-input"},
    "zero insertion, from the left": {"unwritten-output"},
    "diagonal": {"unread-input"},
    "bind scalar": {"truncating-division"},
    "bind scalar as a value, too": {"unread-input"},
}


@pytest.mark.parametrize("idiom", IDIOMS, ids=[idiom.name for idiom in IDIOMS])
def test_idioms_are_not_suspicious(idiom: Idiom) -> None:
    ids = {each.id for each in lint(check(idiom.text))}
    assert ids == _EXPECTED.get(idiom.name, set[str]())


@pytest.mark.parametrize(
    "text",
    [
        "function (A, B) -> (R) { R = A ? 1 : (B ? 2 : 3); }",
        "function (A, B) -> (R) { R = (A ? 1 : B) ? 2 : 3; }",
        "function (A, B) -> (R) { R = A ^ (B | 1); }",
        "function (A, B) -> (R) { R = (A | B) ^ 1; }",
        "function (A, B) -> (R) { R = (A ^ B) | 1; }",
        "function (A[N]) -> (R) { R[i : (N + 2 - 1) / 2] = >(A[2*i + j]), j < 2; }",
        "function (A[N], S) -> (R) { R[i : (N + S - 1) / S] = >(A[S*i + j]), j < S; }",
        "function (A[N]) -> (R) { C = assert_some(N > 1); R = A; }",
        "function (A[N], B[M]) -> (R) { R = A * M; }",
        "function (A[N]) -> (R) { R[i, j : N, 4] = +(A[i]); }",
        "function (A[N]) -> (R) { R[i : N] = +(A[k]), i - k < N; }",
        "function (I[N, H, W, C], K[Y, X, C, O]) -> (R) {"
        " R[n, h, w, o : N, H, W, O] = +(I[n, h + y - 1, w + x - 1, c] * K[y, x, c, o]); }",
    ],
)
def test_silence(text: str) -> None:
    assert lint(check(text)) == ()


def test_several_lints_come_in_order_and_once() -> None:
    text = """function (A[N, M], Z) -> (R) {
        B = A ? 1 : A ? 2 : 3;
        R[i, j : N / 2, M / 2] = >(A[2*i + k, 2*j + l]);
    }"""
    found = lint(check(text), bind(text, {"A": "f32[5, 4]", "Z": "f32[]"}))
    assert [(each.id, each.span.line) for each in found] == [
        ("unused-input", 1),
        ("unused-value", 2),
        ("chained-conditional", 2),
        ("truncating-division", 3),
        ("untied-index", 3),
        ("untied-index", 3),
    ]
    assert len(set(found)) == len(found)


def test_lints_of_a_called_function_are_its_own() -> None:
    functions = """function pool(X[N]) -> (Y) { Y[i : N] = >(X[i + j]); }
    function (A[N]) -> (R) { R = pool(A); }"""
    pool, main = check_file(parse(Source("lint.tile", functions)))
    assert [each.id for each in lint(pool)] == ["untied-index"]
    assert lint(main) == ()


def test_sizes_of_zero_are_silent() -> None:
    text = "function (A[N]) -> (R) { R[2*i : N] = +(A[i]); }"
    assert lint(check(text), bind(text, {"A": "f32[0]"})) == ()


@pytest.mark.parametrize(
    "text",
    [
        "function (S[A, B]) -> (V) { V = prng_value(prng_step(S, 4)); }",
        "function (S) -> (V) { V = prng_value(prng_step(S, 4)); }",
        "function (A, I) -> (R) { R = gather(A, I); }",
        "function (A, B) -> (R) { R = A & B; }",
        "function (A[N, 3], K[3, 3], B) -> (R) { R[n, c : N, 3] = +(A[n, d] * K[d, c] * B[c]); }",
        "function (A[N], S, T) -> (R) { R[i : N - S * T] = +(A[i + j]), j < S; }",
        "function (A[N], B[M]) -> (R) { C = assert_same(N == M); R = A + B; }",
        "function (A[N]) -> (R) { R[i : N - 12] = +(A[i + 12]); }",
        "function (A[N]) -> (R) { R = reshape(A, N / 2, 2); }",
    ],
)
def test_samples_bind(text: str) -> None:
    sample = sample_sizes(check(text))
    assert sample is not None
    assert sample.program.outputs


def test_samples_are_distinct_sizes() -> None:
    sample = sample_sizes(check("function (A[M, K], B[K, N]) -> (C) { C = gather(A, M); D = B; }"))
    assert sample is not None
    sizes = {size for type_ in sample.types.values() for size in type_.shape}
    assert len(sizes) == 3


def test_samples_take_integers_as_rows() -> None:
    sample = sample_sizes(check("function (A[N, M], I[K]) -> (R) { R = gather(A, I); }"))
    assert sample is not None
    assert sample.types["I"].dtype == I32


def test_a_function_that_binds_to_nothing_is_checked_by_its_text() -> None:
    text = "function (A[N]) -> (R) { C = assert_never(N < 0); R = A ? 1 : A ? 2 : 3; }"
    checked = check(text)
    assert sample_sizes(checked) is None
    assert [each.id for each in lint(checked)] == ["chained-conditional"]


def test_lints_print_as_they_render() -> None:
    (one,) = lint(check("function (A[N], B) -> (R) { R = A; }"))
    assert isinstance(one, Lint)
    assert str(one) == one.render()
