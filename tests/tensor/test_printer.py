"""The text of the tensor IR."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from tests.tensor.build import contraction, form, program, read, tensor, times
from tilec.dtypes import F16, F32, I32, U32
from tilec.tensor import isl
from tilec.tensor.affine import Affine
from tilec.tensor.ir import (
    Aggregation,
    ArgSort,
    Attribute,
    Constant,
    Constraint,
    Gather,
    Map,
    RandomState,
    RandomValue,
    Reshape,
    Scatter,
    TensorType,
)
from tilec.tensor.printer import print_node, print_program, print_scalar
from tilec.tensor.scalar import Apply, IndexValue, Literal, Read, cast
from tilec.tensor.size import symbol


def test_a_program_shows_types_domains_and_ranges() -> None:
    body = cast(times(read("A", "i", F16), read("F", "k", F16)), F32)
    smooth = contraction("i", (8,), body, dtype=F16, default="A", constraints=(("k", 2),))
    relu = Map("O", tensor(8, dtype=F16), ("x",), Apply("relu", (read("P", "x", F16),), F16))
    text = print_program(
        program(
            {"A": tensor(8, dtype=F16), "F": tensor(3, dtype=F16)},
            replace(smooth, name="P", no_defract=True, attributes=(Attribute("pad", ("a", "B")),)),
            relu,
        )
    )
    assert (
        text
        == """\
program test
  input A: f16[8]
  input F: f16[3]
  [[pad(a, B)]] P: f16[8] = [i] +(f32((A[i] * F[k]))), k < 2 no_defract default A
    combined in f32
    points { [i, k] : 0 <= i <= 7 and 0 <= k <= 1 }
    ranges i 0..7, k 0..1
  O: f16[8] = map [x] relu(P[x])
  output O = O
"""
    )


def test_nodes_on_one_line() -> None:
    state = tensor(3, 2048, dtype=U32)
    types = {"A": tensor(4, 2), "R": tensor(3, dtype=I32), "S": state}
    nodes = {
        Constant("C", tensor(2, dtype=I32), (1, -2)): "C: i32[2] = constant (1, -2)",
        Reshape("B", tensor(8), "A"): "B: f32[8] = reshape(A)",
        Gather("G", tensor(3, 2), "A", "R"): "G: f32[3, 2] = gather(A, R)",
        Scatter("T", tensor(9, 2), "U", "R"): "T: f32[9, 2] = scatter(U, R)",
        RandomValue("V", tensor(5), "S"): "V: f32[5] = random_value(S)",
        RandomState("W", state, "S", 5): "W: u32[3, 2048] = random_state(S, 5)",
        ArgSort("X", tensor(4, 2, dtype=I32), "A", 1): (
            "X: i32[4, 2] = argsort(A, axis 1, ascending)"
        ),
        ArgSort("Y", tensor(4, 2, dtype=I32), "A", 0, True): (
            "Y: i32[4, 2] = argsort(A, axis 0, descending)"
        ),
    }
    for node, text in nodes.items():
        assert print_node(node, types) == text


def test_long_constants_are_cut() -> None:
    text = print_node(Constant("C", tensor(20, dtype=I32), tuple(range(20))), {})
    assert text.endswith("14, 15, and 4 more)")


def test_scalars() -> None:
    a = read("A", "i, 2*j - 1/2")
    assert print_scalar(a) == "A[i, 2*j - 1/2]"
    assert print_scalar(Literal(0.1, F32)) == "0.1:f32"
    assert print_scalar(IndexValue(form("i + 1"), I32)) == "i32(i + 1)"
    test = Apply("cmp_lt", (a, Literal(2.0, F32)), F32)
    assert print_scalar(Apply("cond", (test, a, a), F32)) == (
        "cond((A[i, 2*j - 1/2] < 2.0:f32), A[i, 2*j - 1/2], A[i, 2*j - 1/2])"
    )
    assert print_scalar(Apply("neg", (a,), F32)) == "neg(A[i, 2*j - 1/2])"
    assert print_scalar(Apply("max", (a, a), F32)).startswith("max(")


def test_unbound_sizes_are_printed_and_not_asked_about() -> None:
    n = symbol("N")
    kind = TensorType(F32, (n,))
    access = (Affine((("i", Fraction(1)),), n),)
    node = replace(
        contraction("i", (4,), Read("A", access, F32)),
        type=kind,
        constraints=(Constraint(form("i"), n),),
    )
    assert print_node(node, {"A": kind}) == (
        "O: f32[N] = [i] +(A[i + N]), i < N\n  combined in f32"
    )


def test_domains_without_points_without_bounds_and_without_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    types = {"A": tensor(4)}
    empty = contraction("", (), read("A", "i + 4"), constraints=(("i", 9),))
    assert print_node(empty, types).splitlines()[2:] == ["  points { [i] : false }"]
    endless = contraction("", (), read("A", "i - j"), agg=Aggregation.MAX)
    assert print_node(endless, types).splitlines()[3] == (
        "  ranges i unbounded..unbounded, j unbounded..unbounded"
    )
    monkeypatch.setattr(isl, "MAX_OPERATIONS", 3)
    hard = contraction("i", (3,), read("A", "i/3 + j/7"), constraints=(("j - i", 9),))
    assert "too complicated" in print_node(hard, types)
