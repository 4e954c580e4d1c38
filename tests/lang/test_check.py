"""What checking finds out about a right program."""

from __future__ import annotations

import pytest

from tilec.dtypes import F16
from tilec.lang.check import Checked, check_file
from tilec.lang.kinds import RandomKind, TensorKind, TupleKind, describe
from tilec.lang.parse import parse
from tilec.lang.scope import did_you_mean
from tilec.source import Source


def check(text: str) -> Checked:
    """The last function of a text."""
    return check_file(parse(Source("test.tile", text)))[-1]


def test_inputs_and_sizes() -> None:
    checked = check(
        "function f(A[M, 3]: f16, B, S[], C[M]) -> (R) {"
        " R[i : M] = +(A[i, j] * B[i] * S[] * C[i]); }"
    )
    assert checked.name == "f"
    assert checked.size_names == ("M",)
    facts = {fact.name: fact for fact in checked.inputs}
    assert {name: fact.rank for name, fact in facts.items()} == {"A": 2, "B": 1, "S": 0, "C": 1}
    assert facts["A"].dtype == F16
    assert facts["B"].dims is None
    assert not any(fact.is_bind_scalar for fact in checked.inputs)
    assert checked.output_kinds == (TensorKind(1),)


@pytest.mark.parametrize(
    ("body", "scalars"),
    [
        ("R[i : S] = +(A[i]);", {"S"}),
        ("R[i : N] = +(A[i + S]);", {"S"}),
        ("R[i : N] = +(A[S*i + T]);", {"S", "T"}),
        ("R[i + S : N] = +(A[i]);", {"S"}),
        ("R[i : N] = +(A[i - j]), j < S;", {"S"}),
        ("R[i : N] = +(A[i - j]), j - S < N;", {"S"}),
        ("R = reshape(A, S, N / S);", {"S"}),
        ("R = A * S + T;", set[str]()),
        ("R[i : N] = +(A[i] * S[] + T);", set[str]()),
        ("K = S / 2; L = max(K, T); R[i : L] = +(A[i]);", {"S", "T"}),
        ("K = S > 2 ? T : N; R[i : K] = +(A[i]);", {"S", "T"}),
        ("K = element(tuple(A, S), 1); R[i : K] = +(A[i]);", {"S"}),
        ("P = tuple(A, tuple(S, T)); Q = element(P, 1); R[i : element(Q, 0)] = +(A[i]);", {"S"}),
        ("P = tuple(S, N) * 2; R[i : element(P, 0)] = +(A[i]);", {"S"}),
        ("C = assert_positive(S > 0); R = A;", {"S"}),
        ("K = match(S, N); R = A;", {"S"}),
        ("K = as_int(S * 0.5, 32); R[i : K] = +(A[i]);", {"S"}),
        ("P = builtin_softmax(reshape(A, 1, S), 1, S); R = P;", {"S"}),
        ("V = prng_value(prng_step(reshape(A, 3, 2048), S)); R = V;", {"S"}),
    ],
)
def test_bind_scalars(body: str, scalars: set[str]) -> None:
    checked = check(f"function (A[N], S, T) -> (R) {{ {body} }}")
    assert checked.bind_scalars == scalars
    assert {fact.name for fact in checked.inputs if fact.is_bind_scalar} == scalars


def test_bind_scalars_through_calls() -> None:
    functions = """
    function window(X[N], K) -> (Y) { Y[i : N - K] = +(X[i + j]), j < K; }
    function both(S, T, U) -> (P, Q) { P = S * T; Q = U + 1; }
    """
    checked = check(functions + "function (A[N], S) -> (R) { R = window(A, S); }")
    assert checked.bind_scalars == {"S"}
    assert set(checked.callees) == {"window"}
    checked = check(
        functions + "function (A[N], S, T, U) -> (R) {"
        " B = both(S, T, U); R = reshape(A, element(B, 1)) * element(B, 0); }"
    )
    assert checked.bind_scalars == {"U"}
    checked = check(
        functions + "function (A[N], S) -> (R) { Q = both(A, A, S); R = element(Q, 0); }"
    )
    assert checked.bind_scalars == set()


def test_what_outputs_are_folded_from() -> None:
    checked = check(
        "function f(A[N], S) -> (P, Q, R, N) { P = S * 2 + N; Q = A * S; R = sqrt(S); }"
    )
    assert checked.folded_from == (frozenset({"S"}), None, None, frozenset())


def test_functions_may_stand_in_any_order() -> None:
    first, second = check_file(
        parse(
            Source(
                "t",
                "function f(A) -> (B) { B = g(A); } function g(X) -> (Y) { Y = X + 1; }",
            )
        )
    )
    assert (first.name, second.name) == ("f", "g")
    assert first.callees == {"g": second}
    assert (first.depth, second.depth) == (2, 1)


@pytest.mark.parametrize(
    ("body", "rank"),
    [
        ("R = A + B;", 3),
        ("R = A + X;", None),
        ("R = index(B, 2);", 3),
        ("R = shape(B);", 1),
        ("R = reshape(B, M, 1);", 2),
        ("R = gather(B, A);", 3),
        ("R = scatter(B, A, A);", 3),
        ("R = argsort(B);", 3),
        ("R = simple_reduce(B, M);", 1),
        ("R = element(tuple(A, B), 1);", 3),
        ("R = A < 1 ? B : 2;", 3),
        ("R[i, j, 0 : M, M, 1] = +(A[i] * A[j]);", 3),
        ("R[i, j] = +(A[i] * B[j, k, k]);", 2),
        ("R = match(M, M);", 0),
        ("R = prng_value(prng_step(X, 2, 3));", 2),
        ("R = prng_state(prng_step(X, 2, 3));", 2),
    ],
)
def test_ranks(body: str, rank: int | None) -> None:
    checked = check(f"function (A[M], B[M, K, K], X) -> (R) {{ {body} }}")
    assert checked.output_kinds == (TensorKind(rank),)


def test_escaped_and_primed_names() -> None:
    checked = check("function (A'[N], #x[N]) -> (#r) { #r[$I : N] = +(A'[$I] * #x[$I]); }")
    assert [fact.name for fact in checked.inputs] == ["A'", "x"]


def test_did_you_mean() -> None:
    assert did_you_mean("Weigth", ["Weights", "Bias"]) == "did you mean Weights?"
    assert did_you_mean("x", ["X", "Bias"]) == "did you mean X?"
    assert did_you_mean("Q", ["Weights", "Bias"]) is None


def test_descriptions() -> None:
    assert describe(TensorKind(0)) == "a scalar"
    assert describe(TensorKind(2)) == "a tensor with 2 axes"
    assert describe(TensorKind(None)) == "a tensor"
    assert describe(TupleKind((TensorKind(0),), 1)) == "a tuple of 1"
    assert describe(RandomKind(1)) == "a random generator's step"
