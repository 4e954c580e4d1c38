"""Straight-line code of constant matrices: exactly the product, in few operations."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilec.dtypes import F64
from tilec.kernel.ir import Apply, Const, Expr, Let, Var, VType
from tilec.lower.straight import Straight
from tilec.rewrite.cook_toom import minimal_filter
from tilec.tensor.winograd import Matrix

KIND = VType(F64)


def run(matrix: Matrix, given_values: list[Fraction]) -> tuple[list[Fraction], list[str]]:
    """The values that the code computes, in rationals, and its operations."""
    code = Straight(KIND, ".v")
    inputs = [Var(f"x{at}", KIND) for at in range(len(given_values))]
    results = code.times(matrix, inputs)
    known = {f"x{at}": value for at, value in enumerate(given_values)}
    operations: list[str] = []

    def value(expr: Expr) -> Fraction:
        match expr:
            case Var():
                return known[expr.name]
            case Const():
                return Fraction(expr.value)
            case Apply(op=op):
                args = [value(arg) for arg in expr.args]
                operations.append(op)
                found = {"add": args[0] + args[1], "sub": args[0] - args[1]}
                found["mul"] = args[0] * args[1]
                found["fma"] = args[0] * args[1] + args[-1]
                return found[op]
            case _:
                raise AssertionError(expr)

    for stmt in code.stmts:
        assert isinstance(stmt, Let)
        known[stmt.var.name] = value(stmt.value)
    return [value(each) for each in results], operations


@given(st.data())
def test_any_matrix(data: st.DataObject) -> None:
    rows, columns = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
    entry = st.sampled_from([Fraction(0), Fraction(1), Fraction(-1), Fraction(3, 4), Fraction(-2)])
    matrix = tuple(tuple(data.draw(entry) for _ in range(columns)) for _ in range(rows))
    values = [data.draw(st.fractions(-4, 4, max_denominator=4)) for _ in range(columns)]
    expected = [
        sum((factor * value for factor, value in zip(row, values, strict=True)), Fraction(0))
        for row in matrix
    ]
    assert run(matrix, values)[0] == expected


@pytest.mark.parametrize(
    ("m", "inward", "outward"), [(2, 4, 4), (4, 12, 12)], ids=["F(2,3)", "F(4,3)"]
)
def test_few_operations(m: int, inward: int, outward: int) -> None:
    made = minimal_filter(m, 3)
    ones = [Fraction(1)] * made.size
    assert len(run(made.b, ones)[1]) == inward
    assert len(run(made.a, ones)[1]) == outward


def test_ones_take_no_multiplication() -> None:
    made = minimal_filter(2, 3)
    ones = [Fraction(1)] * made.size
    assert set(run(made.b, ones)[1] + run(made.a, ones)[1]) == {"add", "sub"}
