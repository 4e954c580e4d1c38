"""Mistakes in names, calls and values: class, position and words of every message."""

from __future__ import annotations

import pytest

from tests.errors.cases import Case, hold
from tilec.errors import BoundsError, LimitError, NameResolutionError, TileTypeError
from tilec.lang.check import MAX_CALL_DEPTH, MAX_NESTING, check_file
from tilec.lang.check_values import MAX_LEAVES
from tilec.lang.parse import parse
from tilec.source import Source

NAMES = [
    Case(
        "unknown name",
        "function (A[N]) -> (B) {\n  B = A + §Bias;\n}",
        NameResolutionError,
        ("unknown name Bias",),
        "define Bias above, or add it to the inputs",
    ),
    Case(
        "misspelt name",
        "function (Weights[N]) -> (B) { B = §Weigths * 2; }",
        NameResolutionError,
        ("unknown name Weigths",),
        "did you mean Weights?",
    ),
    Case(
        "name in other case",
        "function (X[N], LR) -> (B) { B = X * §Lr; }",
        NameResolutionError,
        ("unknown name Lr",),
        "did you mean LR?",
    ),
    Case(
        "unknown tensor in an aggregation",
        "function (A[M, K]) -> (C) { C[i, j : M, K] = +(A[i, k] * §Q[k, j]); }",
        NameResolutionError,
        ("unknown name Q",),
        "define Q above",
    ),
    Case(
        "use before definition",
        "function (A[N]) -> (B) {\n  B = §C + 1;\n  C = A * 2;\n}",
        NameResolutionError,
        ("C is used before line 3 defines it",),
        "move the definition up",
    ),
    Case(
        "reassignment",
        "function (A[N]) -> (B) {\n  B = A + 1;\n  §B = A + 2;\n}",
        NameResolutionError,
        ("reassignment to B", "assigned at line 2"),
        "choose another name",
    ),
    Case(
        "reassignment of an input",
        "function (A[N]) -> (B) { §A = A + 1; B = A; }",
        NameResolutionError,
        ("reassignment to A", "an input", "line 1"),
        "choose another name",
    ),
    Case(
        "reassignment of a size",
        "function (A[N]) -> (N) { §N = A + 1; }",
        NameResolutionError,
        ("reassignment to N", "a size", "line 1"),
        "choose another name",
    ),
    Case(
        "reassignment by an aggregation",
        "function (A[N]) -> (B) { B = A + 1; §B[i : N] = +(A[i]); }",
        NameResolutionError,
        ("reassignment to B", "line 1"),
        "choose another name",
    ),
    Case(
        "size with the name of an input",
        "function (N, A[§N]) -> (B) { B = A; }",
        NameResolutionError,
        ("N is defined as a size", "an input (line 1)"),
        "choose another name",
    ),
    Case(
        "duplicate input",
        "function (A[N], §A[M]) -> (B) { B[i : 3] = +(A[i]); }",
        NameResolutionError,
        ("A is defined as an input", "already an input"),
        "choose another name",
    ),
    Case(
        "duplicate output",
        "function (A[N]) -> (B, §B) { B = A; }",
        NameResolutionError,
        ("output B is named twice",),
        "R2 = B",
    ),
    Case(
        "output never defined",
        "function (A[N]) -> (§Result) { Resalt = A; }",
        NameResolutionError,
        ("output Result is never defined",),
        "did you mean Resalt?",
    ),
    Case(
        "output never defined, nothing similar",
        "function (A[N]) -> (§Q) { B = A; }",
        NameResolutionError,
        ("output Q is never defined",),
        "add a statement Q = ...",
    ),
    Case(
        "unknown function",
        "function (A[N]) -> (B) { B = §sigmoyd(A); }",
        NameResolutionError,
        ("unknown function sigmoyd",),
        "did you mean sigmoid?",
    ),
    Case(
        "unknown function, nothing similar",
        "function (A[N]) -> (B) { B = §zzz(A); }",
        NameResolutionError,
        ("unknown function zzz",),
        "use a builtin",
    ),
    Case(
        "function with the name of a builtin",
        "§function exp(X) -> (Y) { Y = X; }\nfunction (A[N]) -> (B) { B = A; }",
        NameResolutionError,
        ("the function exp has the name of a builtin",),
        "choose another name",
    ),
    Case(
        "function defined twice",
        "function f(X) -> (Y) { Y = X; }\n§function f(X) -> (Y) { Y = X; }\n"
        "function (A) -> (B) { B = f(A); }",
        NameResolutionError,
        ("the function f is defined twice", "line 1"),
        "choose another name",
    ),
    Case(
        "recursion",
        "function f(X) -> (Y) { Y = §f(X) + 1; }\nfunction (A) -> (B) { B = A; }",
        NameResolutionError,
        ("f calls itself",),
        "cannot recur",
    ),
]

CALLS = [
    Case(
        "arity of a builtin",
        "function (A[N]) -> (B) { B = §pow(A); }",
        TileTypeError,
        ("pow was given 1 argument",),
        "pow(a, b)",
    ),
    Case(
        "arity of a special builtin",
        "function (A[N]) -> (B) { B = §scatter(A, A); }",
        TileTypeError,
        ("scatter was given 2 arguments",),
        "scatter(updates, rows, like)",
    ),
    Case(
        "arity of a function of the file",
        "function f(X, Y) -> (Z) { Z = X + Y; }\nfunction (A) -> (B) { B = §f(A); }",
        TileTypeError,
        ("f was given 1 argument", "2 inputs"),
        "f(X, Y)",
    ),
    Case(
        "rank of a function's argument",
        "function f(X[M, N]) -> (Z) { Z = X; }\nfunction (A[N]) -> (B) { B = f(§A); }",
        TileTypeError,
        ("f takes a tensor with 2 axes as X", "a tensor with 1 axis"),
        "line 1",
    ),
    Case(
        "index needs a literal axis",
        "function (A[N], K) -> (B) { B = index(A, §K); }",
        TileTypeError,
        ("argument 2 of index must be an integer literal",),
        "index(x, axis)",
    ),
    Case(
        "axis of index",
        "function (A[N, M]) -> (B) { B = index(A, §2); }",
        TileTypeError,
        ("axis 2 of a tensor with 2 axes",),
        "the last one is 1",
    ),
    Case(
        "index of a scalar",
        "function (A[]) -> (B) { B = index(§A, 0); }",
        TileTypeError,
        ("index needs an axis", "a scalar"),
        "",
    ),
    Case(
        "order of argsort",
        "function (A[N]) -> (B) { B = argsort(A, 0, §2); }",
        TileTypeError,
        ("argsort has no order 2",),
        "0 is ascending",
    ),
    Case(
        "width of as_float",
        "function (A[N]) -> (B) { B = as_float(A, §8); }",
        TileTypeError,
        ("as_float has no width of 8 bits",),
        "16, 32, 64",
    ),
    Case(
        "literal width of as_int",
        "function (A[N]) -> (B) { B = as_int(A, §N); }",
        TileTypeError,
        ("argument 2 of as_int must be an integer literal",),
        "as_int(x, bits)",
    ),
    Case(
        "element of a tensor",
        "function (A[N]) -> (B) { B = element(§A, 0); }",
        TileTypeError,
        ("element needs a tuple", "a tensor with 1 axis"),
        "tuple(a, b, ...)",
    ),
    Case(
        "element out of range",
        "function (A[N]) -> (B) { T = tuple(A, A); B = element(T, §2); }",
        TileTypeError,
        ("element 2 of a tuple of 2",),
        "the last one is 1",
    ),
    Case(
        "element at a name",
        "function (A[N], K) -> (B) { T = tuple(A, A); B = element(T, §K); }",
        TileTypeError,
        ("argument 2 of element must be an integer literal",),
        "element(t, k)",
    ),
    Case(
        "tuples of different lengths",
        "function (A[N]) -> (B) { T = tuple(A, A); U = tuple(A, A, A); B = element(§T + U, 0); }",
        TileTypeError,
        ("tuples of 2 and 3 values",),
        "their lengths must agree",
    ),
    Case(
        "tuple as output",
        "function (A[N]) -> (§T) { T = tuple(A, A); }",
        TileTypeError,
        ("output T is a tuple of 2",),
        "one by one",
    ),
    Case(
        "tuple passed to a function",
        "function f(X) -> (Y) { Y = X; }\nfunction (A[N]) -> (B) { T = tuple(A, A); B = f(§T); }",
        TileTypeError,
        ("a tuple of 2 is passed to f",),
        "one by one",
    ),
    Case(
        "quantize",
        "function (A[N]) -> (B) { B = §quantize(A, 8); }",
        TileTypeError,
        ("quantize is not part of tilec",),
        "as_int(round(X / S), 8)",
    ),
    Case(
        "state of the wrong rank",
        "function (S[N]) -> (V) { V = prng_value(prng_step(§S, 4)); }",
        TileTypeError,
        ("u32[3, 2048]", "a tensor with 1 axis"),
        "prng_step(S, N, M)",
    ),
    Case(
        "random value of a tensor",
        "function (S[A, B]) -> (V) { V = prng_value(§S); }",
        TileTypeError,
        ("prng_value needs a step of the generator",),
        "P = prng_step(S, N)",
    ),
    Case(
        "random step as a value",
        "function (S[A, B]) -> (V) { P = prng_step(S, 4); V = §P + 1; }",
        TileTypeError,
        ("a random generator's step is no tensor",),
        "prng_value(p)",
    ),
    Case(
        "random step as output",
        "function (S[A, B]) -> (§P) { P = prng_step(S, 4); }",
        TileTypeError,
        ("output P is a random generator's step",),
        "prng_value",
    ),
    Case(
        "gather from a scalar",
        "function (A[], I[N]) -> (B) { B = gather(§A, I); }",
        TileTypeError,
        ("gather takes rows of axis 0",),
        "gather(data, rows)",
    ),
    Case(
        "scatter with too few axes",
        "function (A[N], I[N, M], L[R]) -> (B) { B = §scatter(A, I, L); }",
        TileTypeError,
        ("scatter of a tensor with 1 axis at rows given by a tensor with 2 axes",),
        "the first axes",
    ),
    Case(
        "scatter like a scalar",
        "function (A[N], I[N], L[]) -> (B) { B = scatter(A, I, §L); }",
        TileTypeError,
        ("the last argument of scatter", "a scalar"),
        "as many rows",
    ),
    Case(
        "softmax of a vector",
        "function (A[N]) -> (B) { B = builtin_softmax(§A, N, 1); }",
        TileTypeError,
        ("builtin_softmax needs a matrix", "a tensor with 1 axis"),
        "reshape it",
    ),
    Case(
        "simple_reduce to more axes",
        "function (A[N]) -> (B) { B = §simple_reduce(A, N, N); }",
        TileTypeError,
        ("simple_reduce of a tensor with 1 axis to 2 axes",),
        "sums axes away",
    ),
]

VALUES = [
    Case(
        "index outside brackets",
        "function (A[N]) -> (B) { B = A * §i; }",
        TileTypeError,
        ("index i stands outside the brackets",),
        "index(X, axis)",
    ),
    Case(
        "lower case tensor",
        "function (A[N]) -> (B) { B = §a * 2; }",
        TileTypeError,
        ("index a stands outside the brackets",),
        "did you mean A?",
    ),
    Case(
        "access outside an aggregation",
        "function (A[N]) -> (B) { B = §A[0] * 2; }",
        TileTypeError,
        ("A[...] stands outside an aggregation",),
        "write A for all elements",
    ),
    Case(
        "float literal beyond f32",
        "function (A[N]) -> (B) { B = A * §1e39; }",
        TileTypeError,
        ("the float 1e39 does not fit f32",),
        "3.4028234e38",
    ),
    Case(
        "tuple as a size",
        "function (A[N]) -> (B) { T = tuple(N, N); B[i : §T] = +(A[i]); }",
        TileTypeError,
        ("an output size must be a number", "a tuple of 2"),
        "element(t, k)",
    ),
    Case(
        "tensor as a size",
        "function (A[N]) -> (B) { B[i : §A] = +(A[i]); }",
        TileTypeError,
        ("an output size must be known when sizes are bound", "A is a tensor with 1 axis"),
        "number inputs",
    ),
    Case(
        "aggregation as a size",
        "function (A[N]) -> (B) {\n  S[] = +(A[k]);\n  B[i : §S] = +(A[i]);\n}",
        TileTypeError,
        ("an output size", "S is the result of the aggregation at line 2"),
        "number inputs",
    ),
    Case(
        "run-time value as a size",
        "function (A[N]) -> (B) { S = sqrt(N); B[i : §S] = +(A[i]); }",
        TileTypeError,
        ("an output size", "sqrt(...) is computed when the program runs"),
        "arithmetic",
    ),
    Case(
        "bit operation in a size",
        "function (A[N]) -> (B) { B[i : §N & 3] = +(A[i]); }",
        TileTypeError,
        ("an output size", "the operator & works on tensors only"),
        "arithmetic",
    ),
    Case(
        "result of a function as a size",
        "function f(X[N]) -> (Y) { Y[] = +(X[i]); }\n"
        "function (A[N]) -> (B) { B = reshape(A, §f(A)); }",
        TileTypeError,
        ("argument 2 of reshape", "f(...) is computed when the program runs"),
        "number inputs",
    ),
    Case(
        "tensor passed where a function needs a size",
        "function f(X, S) -> (Y) { Y = reshape(X, S); }\nfunction (A[N]) -> (B) { B = f(A, §A); }",
        TileTypeError,
        ("S of f must be known when sizes are bound", "A is a tensor with 1 axis"),
        "number inputs",
    ),
]

CASES = [*NAMES, *CALLS, *VALUES]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_message(case: Case) -> None:
    hold(case)


def test_case_names_are_distinct() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def _caught(text: str) -> list[str]:
    with pytest.raises((NameResolutionError, TileTypeError, BoundsError, LimitError)) as caught:
        check_file(parse(Source("case.tile", text)))
    return [f"{e.span.line if e.span else 0}: {e.message}" for e in caught.value.all()]


def test_independent_mistakes_are_told_together_in_order() -> None:
    text = """function (A[N], B[N]) -> (C, E) {
        C = A + Missing;
        D = exp(A, B);
        E[i : N] = +(A[i, j] * B[i]);
    }"""
    assert _caught(text) == [
        "2: unknown name Missing",
        "3: exp was given 2 arguments",
        "4: A has 1 axis, but is accessed with 2 indices",
    ]


def test_one_mistake_is_told_once() -> None:
    text = """function (A[N]) -> (C) {
        B = Missing + 1;
        D = exp(B) * Missing;
        C[i : B] = +(D[i, j] * B[k]);
    }"""
    assert _caught(text) == ["2: unknown name Missing"]


def test_mistakes_of_all_functions_are_told_together() -> None:
    text = """function f(X) -> (Y) { Y = X + Q; }
    function (A) -> (B) { B = f(A) + R; }"""
    assert _caught(text) == ["1: unknown name Q", "2: unknown name R"]


def test_mutual_recursion_names_the_way() -> None:
    text = """function f(X) -> (Y) { Y = g(X); }
    function g(X) -> (Y) { Y = f(X); }
    function (A) -> (B) { B = f(A); }"""
    assert _caught(text) == ["1: f calls itself through g", "2: g calls itself through f"]


def test_nesting_is_limited() -> None:
    deep = "-" * MAX_NESTING + "A"
    assert _caught(f"function (A) -> (B) {{ B = {deep}; }}") == [
        f"1: an expression is nested {MAX_NESTING + 1} levels deep"
    ]


def test_calls_of_calls_are_limited() -> None:
    functions = ["function f0(X) -> (Y) { Y = X; }"]
    functions += [
        f"function f{k}(X) -> (Y) {{ Y = f{k - 1}(X); }}" for k in range(1, MAX_CALL_DEPTH + 1)
    ]
    found = _caught("\n".join(functions))
    assert found[0].endswith(f"functions call one another {MAX_CALL_DEPTH + 1} levels deep")


def test_tuples_are_limited() -> None:
    lines = ["T0 = tuple(A, A);"]
    lines += [f"T{k} = tuple(T{k - 1}, T{k - 1});" for k in range(1, 40)]
    found = _caught("function (A[N]) -> (A) {\n" + "\n".join(lines) + "\n}")
    assert found == [f"10: a tuple of {2 * MAX_LEAVES} values"]
