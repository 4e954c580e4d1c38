"""Mistakes that show when sizes are bound: class, position and words of every message."""

from __future__ import annotations

import pytest

from tests.errors.cases import Case, bind, hold
from tilec.errors import (
    ArgumentError,
    BoundsError,
    LimitError,
    ShapeError,
    TilecError,
    TileTypeError,
)

ARGUMENTS = [
    Case(
        "sizes of two arguments",
        "function (A[M, K], B[§K, N]) -> (C) { C[i, j : M, N] = +(A[i, k] * B[k, j]); }",
        ShapeError,
        ("size K is 512 in argument A but 500 in argument B",),
        "axis 1 of A (case.tile:1:16) and axis 0 of B",
        {"A": "f32[8, 512]", "B": "f32[500, 8]"},
    ),
    Case(
        "sizes of one argument",
        "function (A[N, §N]) -> (B) { B[i : N] = +(A[i, i]); }",
        ShapeError,
        ("size N is 4 on axis 0 but 5 on axis 1 of argument A",),
        "names both axes N",
        {"A": "f32[4, 5]"},
    ),
    Case(
        "literal size in the header",
        "function (A[N, §3]) -> (B) { B[i : N] = +(A[i, c]); }",
        ShapeError,
        ("axis 1 of input A has size 4", "asks for 3"),
        "has size 3",
        {"A": "f32[5, 4]"},
    ),
    Case(
        "rank in the header",
        "function (§A[M, N]) -> (B) { B = A; }",
        TileTypeError,
        ("input A was given 1 axis, but the header has 2",),
        "2 axes",
        {"A": "f32[5]"},
    ),
    Case(
        "rank of a scalar input",
        "function (A[N], §S[]) -> (B) { B = A * S; }",
        TileTypeError,
        ("input S was given 1 axis, but the header has 0",),
        "a number",
        {"A": "f32[5]", "S": "f32[1]"},
    ),
    Case(
        "rank by access",
        "function (§A) -> (B) { B[] = +(A[i, j]); }",
        TileTypeError,
        ("input A was given 3 axes, but its accesses ask for 2",),
        "2 axes",
        {"A": "f32[2, 3, 4]"},
    ),
    Case(
        "dtype in the header",
        "function (§A[N]: f16) -> (B) { B = A; }",
        TileTypeError,
        ("input A was given f32, but the header asks for f16",),
        "as_float(A, 16)",
        {"A": "f32[5]"},
    ),
    Case(
        "missing input",
        "function (A[N], §B[N]) -> (C) { C = A + B; }",
        ArgumentError,
        ("input B was not given",),
        "pass an array as B",
        {"A": "f32[5]"},
    ),
    Case(
        "missing bind scalar",
        "function (A[N], §S) -> (C) { C[i : S] = +(A[i]); }",
        ArgumentError,
        ("input S is used as a size",),
        "pass a Python number as S",
        {"A": "f32[5]"},
    ),
    Case(
        "unknown input",
        "§function (Weights[N]) -> (C) { C = Weights; }",
        ArgumentError,
        ("there is no input Weight",),
        "did you mean Weights?",
        {"Weight": "f32[5]", "Weights": "f32[5]"},
    ),
    Case(
        "number beyond 64 bits",
        "function (A[N], §S) -> (C) { C[i : S] = +(A[i]); }",
        TileTypeError,
        ("given as S does not fit 64 bits",),
        "",
        {"A": "f32[5]"},
        {"S": 1 << 70},
    ),
    Case(
        "sizes in a call",
        "function f(X[N], Y[N]) -> (Z) { Z = X + Y; }\n"
        "function (A[N], B[M]) -> (C) { C = f(A, §B); }",
        ShapeError,
        ("size N is 4 in argument X of f but 5 in argument Y",),
        "same size",
        {"A": "f32[4]", "B": "f32[5]"},
    ),
]

SIZES = [
    Case(
        "fractional size",
        "function (A[N]) -> (B) { B[i : §N * 0.5] = +(A[i]); }",
        ShapeError,
        ("the size of axis 0 of B must be an integer, but it is 2.5",),
        "truncates",
        {"A": "f32[5]"},
    ),
    Case(
        "negative size",
        "function (A[N]) -> (B) { B[i : §N - 9] = +(A[i]); }",
        ShapeError,
        ("the size of axis 0 of B is -4",),
        "max(0, ...)",
        {"A": "f32[5]"},
    ),
    Case(
        "division of sizes by zero",
        "function (A[N]) -> (B) { K = §8 / (N - 5); B[i : K] = +(A[i]); }",
        ShapeError,
        ("division by zero in an expression of sizes",),
        "the divisor is 0",
        {"A": "f32[5]"},
    ),
    Case(
        "index divided by a size of zero",
        "function (A[N]) -> (B) { K = N - 5; B[i : N] = +(A[i / §K]); }",
        ShapeError,
        ("division by zero in an index expression",),
        "K is 0",
        {"A": "f32[5]"},
    ),
    Case(
        "fractional number in an index expression",
        "function (A[N], S) -> (B) { B[i : N] = +(A[i + §S]); }",
        ShapeError,
        ("S in an index expression must be an integer, but it is 1.5",),
        "floor",
        {"A": "f32[5]"},
        {"S": 1.5},
    ),
    Case(
        "size beyond 64 bits",
        "function (A[N]) -> (B) { K = §N * 9223372036854775807; B = A; }",
        ShapeError,
        ("exceeds 64 bits",),
        "smaller",
        {"A": "f32[5]"},
    ),
    Case(
        "tensor beyond 2^63 bytes",
        "function (A[N]) -> (B) { K = 4294967296; §B[i, j : K, K] = +(A[i] * A[j]); }",
        LimitError,
        ("B would have the shape [4294967296, 4294967296]",),
        "2^63 bytes",
        {"A": "f32[5]"},
    ),
    Case(
        "false assertion",
        "function (A[N]) -> (B) {\n  C = §assert_even(N - N / 2 * 2 == 0);\n  B = A;\n}",
        ShapeError,
        ("assert_even failed",),
        "the program demands N - N / 2 * 2 == 0",
        {"A": "f32[5]"},
    ),
    Case(
        "match",
        "function (A[N], B[M]) -> (C) { K = §match(N, M); C = A; }",
        ShapeError,
        ("match(5, 6): the sizes differ",),
        "must be equal",
        {"A": "f32[5]", "B": "f32[6]"},
    ),
    Case(
        "broadcast of sizes",
        "function (A[N], B[M]) -> (C) { K = §broadcast(N, M); C = A; }",
        ShapeError,
        ("broadcast(5, 6): the sizes differ",),
        "one of them 1",
        {"A": "f32[5]", "B": "f32[6]"},
    ),
    Case(
        "ambiguous inferred size",
        "function (A[N], B[M]) -> (C) { C[§i] = +(A[i] * B[i]); }",
        ShapeError,
        ("the size of axis 0 of C is ambiguous", "5 values in A and 6 in B"),
        "write the sizes after a colon",
        {"A": "f32[5]", "B": "f32[6]"},
    ),
]

OPERATIONS = [
    Case(
        "shapes in an elementwise operation",
        "function (A, B) -> (C) { C = §A + B * 2; }",
        ShapeError,
        ("A[4]", "B * 2[3]"),
        "sizes 4 and 3 meet",
        {"A": "f32[4]", "B": "f32[3]"},
    ),
    Case(
        "shapes in a conditional",
        "function (A, B) -> (C) { C = §A < 0 ? A : B; }",
        ShapeError,
        ("shapes do not match", "[2, 4]", "B[2, 3]"),
        "one of them 1",
        {"A": "f32[2, 4]", "B": "f32[2, 3]"},
    ),
    Case(
        "bit operation on floats",
        "function (A, B) -> (C) { C = B | §A; }",
        TileTypeError,
        ("| (bit_or) needs integers", "f32"),
        "as_int(A, 32)",
        {"A": "f32[4]", "B": "i32[4]"},
    ),
    Case(
        "bit operation on floats in an aggregation",
        "function (A, B) -> (C) { C[] = +(B[i] << §A[i]); }",
        TileTypeError,
        ("<< (bit_left) needs integers", "f32"),
        "as_int(A[i], 32)",
        {"A": "f32[4]", "B": "i32[4]"},
    ),
    Case(
        "bit operation on a float scalar",
        "function (A) -> (C) { C = ~§A; }",
        TileTypeError,
        ("~ (bit_not) needs integers", "f64"),
        "as_int(A, 32)",
        {"A": "f64[4]"},
    ),
    Case(
        "reshape to another count",
        "function (A) -> (B) { B = §reshape(A, 5, 3); }",
        ShapeError,
        ("invalid reshape: A[4, 3] has 12 elements", "[5, 3] has 15"),
        "keeps the number",
        {"A": "f32[4, 3]"},
    ),
    Case(
        "float rows",
        "function (A, I) -> (B) { B = gather(A, §I); }",
        TileTypeError,
        ("gather takes integers as rows", "f32"),
        "as_int(X, 32)",
        {"A": "f32[4]", "I": "f32[2]"},
    ),
    Case(
        "gather from nothing",
        "function (A, I) -> (B) { B = gather(§A, I); }",
        ShapeError,
        ("gather from A[0], which has no rows",),
        "at least one row",
        {"A": "f32[0]", "I": "i32[2]"},
    ),
    Case(
        "gather from an argument without axes",
        "function (A, I) -> (B) { B = gather(§A, I); }",
        TileTypeError,
        ("A[] is a scalar",),
        "gather(data, rows)",
        {"A": "f32[]", "I": "i32[2]"},
    ),
    Case(
        "scatter of unlike shapes",
        "function (A, I, L) -> (B) { B = §scatter(A, I, L); }",
        ShapeError,
        ("scatter of A[4, 3] at I[5]",),
        "the first axes",
        {"A": "f32[4, 3]", "I": "i32[5]", "L": "f32[9]"},
    ),
    Case(
        "scatter into nothing",
        "function (A, I, L) -> (B) { B = scatter(A, I, §L); }",
        ShapeError,
        ("scatter into a result without rows",),
        "at least one row",
        {"A": "f32[4]", "I": "i32[4]", "L": "f32[0]"},
    ),
    Case(
        "axis of an argument",
        "function (A) -> (B) { B = §index(A, 1); }",
        TileTypeError,
        ("axis 1 of A[4]",),
        "1 axis, counted from 0",
        {"A": "f32[4]"},
    ),
    Case(
        "softmax of another size",
        "function (A[M, N]) -> (B) { B = §builtin_softmax(A, N, M); }",
        ShapeError,
        ("builtin_softmax of A[2, 3] as a matrix of 3 rows and 2 columns",),
        "those of the operand",
        {"A": "f32[2, 3]"},
    ),
    Case(
        "simple_reduce to another size",
        "function (A) -> (B) { B = §simple_reduce(A, 2); }",
        ShapeError,
        ("simple_reduce of A[4, 3] to [2]",),
        "summed to 1",
        {"A": "f32[4, 3]"},
    ),
    Case(
        "state of the random generator",
        "function (S) -> (V) { V = prng_value(prng_step(§S, 4)); }",
        TileTypeError,
        ("u32[3, 2048]", "i32[3, 2048]"),
        "prng_step(S, N, M)",
        {"S": "i32[3, 2048]"},
    ),
    Case(
        "scalar operand with axes",
        "function (A, B) -> (D) { C = B * 1; D[] = +(A[i] * §C); }",
        TileTypeError,
        ("C has 1 axis for these arguments", "stands here as a scalar"),
        "C[...]",
        {"A": "f32[4]", "B": "f32[4]"},
    ),
    Case(
        "rank of an intermediate",
        "function (A, B) -> (D) { C = B * 1; D[] = +(A[i] * §C[i, j]); }",
        TileTypeError,
        ("C has 1 axis for these arguments", "2 indices"),
        "2 axes",
        {"A": "f32[4]", "B": "f32[4]"},
    ),
]

DOMAINS = [
    Case(
        "access beyond the end",
        "function (A[N]) -> (B) { §B[i : N] = +(A[i + 7]); }",
        BoundsError,
        ("no index point of B",),
        "an access reaches no element",
        {"A": "f32[4]"},
    ),
    Case(
        "constant access beyond the end",
        "function (A[N]) -> (B) { §B[] = +(A[7]); }",
        BoundsError,
        ("index 0 of A is 7, which is outside 0 to 3",),
        "make the tensor larger",
        {"A": "f32[4]"},
    ),
    Case(
        "constant output beyond the end",
        "function (A[N]) -> (B) { §B[i, 3 : N, 2] = +(A[i]); }",
        BoundsError,
        ("index 1 of B is 3, which is outside 0 to 1",),
        "shift the index",
        {"A": "f32[4]"},
    ),
    Case(
        "fractional access",
        "function (A[N]) -> (B) { §B[] = +(A[N / 3]); }",
        BoundsError,
        ("index 0 of A is 4/3, which is no integer",),
        "exact division",
        {"A": "f32[4]"},
    ),
    Case(
        "fractional offset",
        "function (A[N]) -> (B) { §B[i : N] = +(A[i + N / 3]); }",
        BoundsError,
        ("no index point of B",),
        "offsets",
        {"A": "f32[4]"},
    ),
    Case(
        "constraints that exclude each other",
        "function (A[N]) -> (B) { §B[i : N] = +(A[i]), i - 3 < 9, 1 - i < 9; }",
        BoundsError,
        ("no index point of B",),
        "excludes all",
        {"A": "f32[4]"},
    ),
    Case(
        "index without bounds",
        "function (A[N]) -> (B) { §B[i : N] = >(A[i + j - k]); }",
        BoundsError,
        ("nothing bounds the indices j, k of B",),
        ", j < 3",
        {"A": "f32[4]"},
    ),
    Case(
        "index that cancels out",
        "function (A[N]) -> (B) { §B[i : N] = +(A[i + j - j]); }",
        BoundsError,
        ("index j of B cancels out",),
        "drop j",
        {"A": "f32[4]"},
    ),
    Case(
        "index multiplied by a size of zero",
        "function (A[N], S) -> (B) { §B[i : N] = +(A[i + S * j]), j < 2; }",
        BoundsError,
        ("index j of B cancels out",),
        "not 0",
        {"A": "f32[4]"},
        {"S": 0},
    ),
    Case(
        "element written twice",
        "function (A[N]) -> (B) { §B[i : N] = =(A[j]); }",
        BoundsError,
        ("`=` writes B[0] more than once", "i=0, j=0", "i=0, j=1"),
        "combine the values",
        {"A": "f32[4]"},
    ),
    Case(
        "element written twice through a stride",
        "function (A[N]) -> (B) { §B[2*i + j : 8] = =(A[i]), j < 3; }",
        BoundsError,
        ("`=` writes B[2] more than once", "i=0, j=2", "i=1, j=0"),
        "combine the values",
        {"A": "f32[4]"},
    ),
    Case(
        "no_defract that does not hold",
        "function (A[N]) -> (B) { §B[2*i + j : 8] = +(A[i]), j < 3 no_defract; }",
        BoundsError,
        ("no_defract promises one value per element", "B[2]", "i=0, j=2", "i=1, j=0"),
        "drop no_defract",
        {"A": "f32[4]"},
    ),
    Case(
        "shape of the default",
        "function (A[N], D[M]) -> (B) { B[i : N] = +(A[i]) default §D; }",
        ShapeError,
        ("the default D has the shape [5], but B has [4]",),
        "the shape of the result",
        {"A": "f32[4]", "D": "f32[5]"},
    ),
    Case(
        "rank of the default",
        "function (A[N], D) -> (B) { E = D * 2; B[i] = +(A[i]) default §E; }",
        TileTypeError,
        ("the default E has 2 axes for these arguments, but B has 1",),
        "the shape of the result",
        {"A": "f32[4]", "D": "f32[4, 1]"},
    ),
    Case(
        "dtype of the default",
        "function (A[N], D[N]) -> (B) { B[i : N] = +(A[i]) default §D; }",
        TileTypeError,
        ("the default D is i32, but B is f32",),
        "X = as_float(D, 32)",
        {"A": "f32[4]", "D": "i32[4]"},
    ),
]

CASES = [*ARGUMENTS, *SIZES, *OPERATIONS, *DOMAINS]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_message(case: Case) -> None:
    hold(case)


def test_case_names_are_distinct() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def _messages(text: str, shapes: dict[str, str]) -> list[str]:
    with pytest.raises(TilecError) as caught:
        bind(text, shapes)
    return [error.message for error in caught.value.all()]


def test_independent_mistakes_are_told_together() -> None:
    text = """function (A[N], B[M]) -> (C, E) {
        C = A + B;
        D = C * 2;
        E[i : N] = +(A[i + 9]);
    }"""
    assert _messages(text, {"A": "f32[4]", "B": "f32[3]"}) == [
        "shapes do not match in an elementwise operation: A[4] and B[3]",
        "no index point of E satisfies all accesses and constraints",
    ]


def test_all_arguments_are_checked() -> None:
    text = "function (A[M, K], B[K, N], C[N]: i32) -> (D) { D = A; }"
    assert _messages(text, {"A": "f32[2, 3]", "B": "f32[4, 5]", "C": "f32[5]"}) == [
        "size K is 3 in argument A but 4 in argument B",
        "input C was given f32, but the header asks for i32",
    ]


def test_a_function_that_is_called_twice_tells_its_mistake_once() -> None:
    text = """function f(X[N]) -> (Y) { Y[i : N] = +(X[i + 9]); }
    function (A[N]) -> (B) { B = f(A) + f(A); }"""
    assert _messages(text, {"A": "f32[4]"}) == [
        "no index point of Y satisfies all accesses and constraints"
    ]


def _tower(body: str) -> str:
    functions = ["function f0(X) -> (Y) { Y = X + 1; }"]
    functions += [body.replace("THIS", f"f{k}").replace("BELOW", f"f{k - 1}") for k in range(1, 30)]
    return "\n".join(functions)


@pytest.mark.parametrize("shapes", [{"X": "f32[4]"}, {"X": "f32[]"}])
@pytest.mark.parametrize(
    "body",
    [
        "function THIS(X) -> (Y) { A = BELOW(X); Y = BELOW(A); }",
        "function THIS(X) -> (Y) { A = BELOW(X); B = BELOW(X); Y = A + B; }",
        "function THIS(X) -> (Y) { A = BELOW(1); B = BELOW(A); Y = X; }",
    ],
)
def test_expansion_is_limited(
    body: str, shapes: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tilec.lang.lower.builder.MAX_STEPS", 300)
    messages = _messages(_tower(body), shapes)
    assert messages == ["the program has more than 300 statements, functions expanded"]
