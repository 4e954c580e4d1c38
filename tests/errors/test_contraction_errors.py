"""Mistakes in aggregations that show without sizes: class, position and words of every message."""

from __future__ import annotations

import pytest

from tests.errors.cases import Case, hold
from tilec.errors import BoundsError, NameResolutionError, TileTypeError

CASES = [
    Case(
        "too many indices",
        "function (A[M, N]) -> (B) { B[i : M] = +(§A[i, j, k]); }",
        TileTypeError,
        ("A has 2 axes", "3 indices"),
        "one index per axis of A",
    ),
    Case(
        "brackets without index",
        "function (A[M]) -> (B) { B[] = +(§A[]); }",
        TileTypeError,
        ("A has 1 axis", "0 indices"),
        "one index per axis",
    ),
    Case(
        "index on a size",
        "function (A[M]) -> (B) { B[i : M] = +(A[i] * §M[i]); }",
        TileTypeError,
        ("M has 0 axes", "1 index"),
        "M[]",
    ),
    Case(
        "two ranks for one input",
        "function (A) -> (B, C) {\n  B[i : 3] = +(A[i]);\n  C[i : 3] = +(§A[i, i]);\n}",
        TileTypeError,
        ("A has 1 axis, as at line 2", "2 indices"),
        "one index per axis",
    ),
    Case(
        "more sizes than indices",
        "function (A[M, N]) -> (B) { §B[i : M, N] = +(A[i, j]); }",
        TileTypeError,
        ("B has 1 index but 2 sizes",),
        "B[i : SIZE0]",
    ),
    Case(
        "size that cannot be inferred",
        "function (A[N]) -> (B) { B[§2*i] = +(A[i]); }",
        TileTypeError,
        ("the size of axis 0 of B cannot be inferred",),
        "B[2*i : SIZE0]",
    ),
    Case(
        "non-linear index",
        "function (A[N]) -> (B) { B[i : N] = +(A[§i*j]); }",
        TileTypeError,
        ("non-linear index expression",),
        "numbers and sizes only",
    ),
    Case(
        "division by an index",
        "function (A[N]) -> (B) { B[i : N] = +(A[i/§j]); }",
        TileTypeError,
        ("divided by an index",),
        "a number or a size",
    ),
    Case(
        "division by zero",
        "function (A[N]) -> (B) { B[i : N] = +(A[i/§0]); }",
        TileTypeError,
        ("division by zero in an index expression",),
        "",
    ),
    Case(
        "float in an index expression",
        "function (A[N]) -> (B) { B[i : N] = +(A[i + §0.5]); }",
        TileTypeError,
        ("the float 0.5",),
        "i/2",
    ),
    Case(
        "tensor in an index expression",
        "function (A[N], I[N]) -> (B) { B[i : N] = +(A[§I[i]]); }",
        TileTypeError,
        ("I[...] stands in an index expression",),
        "gather(data, rows)",
    ),
    Case(
        "call in an index expression",
        "function (A[N]) -> (B) { B[i : N] = +(A[§max(i, 0)]); }",
        TileTypeError,
        ("max is called in an index expression",),
        "S = max(...)",
    ),
    Case(
        "modulo in an index expression",
        "function (A[N]) -> (B) { B[i : N] = +(A[§i % 2]); }",
        TileTypeError,
        ("the operator %",),
        "+ - * /",
    ),
    Case(
        "conditional in an index expression",
        "function (A[N]) -> (B) { B[i : N] = +(A[§i ? 0 : 1]); }",
        TileTypeError,
        ("a conditional stands in an index expression",),
        "constraints",
    ),
    Case(
        "run-time scalar in an index expression",
        "function (A[N], I[N]) -> (B) { S[] = >(I[i]); B[i : N] = +(A[i + §S]); }",
        TileTypeError,
        ("part of an index expression", "S is the result of the aggregation at line 1"),
        "number inputs",
    ),
    Case(
        "index only in constraints",
        "function (A[N]) -> (B) { B[i : N] = +(A[i]), §k < 3; }",
        BoundsError,
        ("index k appears only in constraints",),
        "drop the constraint",
    ),
    Case(
        "index in the bound of a constraint",
        "function (A[N]) -> (B) { B[i : N] = +(A[k]), k < §i; }",
        TileTypeError,
        ("index i stands right of <",),
        "i - k < N",
    ),
    Case(
        "constraint that nothing satisfies",
        "function (A[N]) -> (B) { B[i : N] = +(A[k]), §i - k < 0; }",
        BoundsError,
        ("no index satisfies this constraint",),
        "1 or more",
    ),
    Case(
        "tensor without brackets",
        "function (A[M, N]) -> (B) { B[i : M] = +(§A * 2); }",
        TileTypeError,
        ("A is a tensor with 2 axes", "no brackets"),
        "A[i, j]",
    ),
    Case(
        "index as a value",
        "function (A[N]) -> (B) { B[i : N] = +(A[i] * §i); }",
        TileTypeError,
        ("index i is used as a value",),
        "index(X, axis)",
    ),
    Case(
        "tuple in an aggregation",
        "function (A[N]) -> (B) { T = tuple(A, A); B[i : N] = +(§T[i]); }",
        TileTypeError,
        ("T is a tuple of 2, which cannot be aggregated",),
        "X = element(T, 0)",
    ),
    Case(
        "reshape in an aggregation",
        "function (A[N]) -> (B) { B[i : N] = +(§reshape(A[i], N)); }",
        TileTypeError,
        ("reshape does not work element by element",),
        "X = reshape(x, d0, d1, ...)",
    ),
    Case(
        "function of the file in an aggregation",
        "function f(X) -> (Y) { Y = X + 1; }\nfunction (A[N]) -> (B) { B[i : N] = +(§f(A[i])); }",
        TileTypeError,
        ("f is called inside an aggregation",),
        "X = f(...)",
    ),
    Case(
        "literal argument in an aggregation",
        "function (A[N]) -> (B) { B[i : N] = +(as_float(A[i], §N)); }",
        TileTypeError,
        ("argument 2 of as_float must be an integer literal",),
        "as_float(x, bits)",
    ),
    Case(
        "unknown function in an aggregation",
        "function (A[N]) -> (B) { B[i : N] = +(§expp(A[i])); }",
        NameResolutionError,
        ("unknown function expp",),
        "did you mean exp?",
    ),
    Case(
        "unknown default",
        "function (A[N]) -> (B) { B[i : N] = +(A[i]) default §D; }",
        NameResolutionError,
        ("unknown name D",),
        "define D above",
    ),
    Case(
        "rank of the default",
        "function (A[N], D[N, M]) -> (B) { B[i : N] = +(A[i]) default §D; }",
        TileTypeError,
        ("the default D is a tensor with 2 axes", "B is a tensor with 1 axis"),
        "the shape of the result",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_message(case: Case) -> None:
    hold(case)


def test_case_names_are_distinct() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
