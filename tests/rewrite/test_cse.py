"""Equal values are computed once, and only equal ones."""

from __future__ import annotations

import pytest

from tests.lower.texts import program
from tilec.dtypes import U32
from tilec.rewrite.cse import ShareEqual
from tilec.tensor.ir import Program, TensorType
from tilec.tensor.verify import verify


def kept(made: Program) -> list[str]:
    """Names of the nodes that stay."""
    after = ShareEqual().apply(made)
    verify(after)
    return [node.name for node in after.nodes]


@pytest.mark.parametrize(
    ("body", "stays"),
    [
        ("A = exp(X); B = exp(X); C = A + B;", ["A", "C"]),
        ("A = X * 2; B = exp(A); D = X * 2; E = exp(D); C = B * E;", ["A", "B", "C"]),
        ("A[i] = +(X[i]); B[k] = +(X[k]); C = A + B;", ["A", "C"]),
        ("A = X * 2; B = X * 3; C = A + B;", ["A", "B", "C"]),
        ("A = X * 0.0; B = X * (-0.0); C = A + B;", ["A", "B", "C"]),
        ("A[i] = +(X[i]); B[i] = >(X[i]); C = A + B;", ["A", "B", "C"]),
        ("A[i : N] = +(X[i]); B[i : N] = +(X[N - 1 - i]); C = A + B;", ["A", "B", "C"]),
    ],
)
def test_equal_values_are_one(body: str, stays: list[str]) -> None:
    assert kept(program(f"function (X[N]) -> (C) {{ {body} }}", X=(9,))) == stays


def test_two_outputs_may_be_one_value() -> None:
    made = program("function (X[N]) -> (A, B) { A = exp(X); B = exp(X); }", X=(9,))
    after = ShareEqual().apply(made)
    verify(after)
    assert [(each.name, each.value) for each in after.outputs] == [("A", "A"), ("B", "A")]
    assert ShareEqual().apply(after) is after


def test_draws_from_one_state_are_equal() -> None:
    text = (
        "function (S[3, 2048]: u32) -> (A, B) { P = prng_step(S, 5); Q = prng_step(S, 5); "
        "A = prng_value(P); B = prng_value(Q); }"
    )
    assert kept(program(text, S=TensorType(U32, (3, 2048)))) == ["A"]
