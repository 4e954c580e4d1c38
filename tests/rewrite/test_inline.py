"""Elementwise values that are computed where they are read, and those that are stored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

import tilec
from tests.lower.texts import program
from tests.property.programs import RANDOM, Case, cases
from tilec.lang.check import check_file
from tilec.lang.lower.program import lower
from tilec.lang.parse import parse
from tilec.rewrite.cse import ShareEqual
from tilec.rewrite.dead import DropDead
from tilec.rewrite.inline import CHEAP_OPERATIONS, MAX_DEPTH, MAX_OPERATIONS, Inline
from tilec.source import Source
from tilec.tensor.evaluate import evaluate
from tilec.tensor.ir import Map, Program, TensorType
from tilec.tensor.scalar import Apply, walk
from tilec.tensor.verify import verify


def kept(made: Program) -> list[str]:
    """Names of the nodes that stay."""
    after = Inline().apply(made)
    verify(after)
    return [node.name for node in after.nodes]


def test_a_chain_becomes_one_map() -> None:
    made = program("function (X[N]) -> (D) { B = X + 1; C = exp(B); D = C * 2 - X; }", X=(9,))
    assert kept(made) == ["D"]


def test_values_with_two_readers_are_stored() -> None:
    text = "function (X[N]) -> (C, D) { B = exp(X); C = B + 1; D = B * 2; }"
    assert kept(program(text, X=(9,))) == ["B", "C", "D"]


def test_outputs_are_stored() -> None:
    text = "function (X[N]) -> (B, C) { B = X + 1; C = B * 2; }"
    assert kept(program(text, X=(9,))) == ["B", "C"]


def test_contractions_neither_take_in_nor_go_in() -> None:
    text = "function (X[N]) -> (D) { B = X + 1; S[] = +(B[i]); D = X / S; }"
    assert kept(program(text, X=(9,))) == ["B", "S", "D"]


@pytest.mark.parametrize(
    ("body", "stays"),
    [
        ("X + 1", False),  # cheaper to repeat than to store and load
        ("(X + 1) * 2", False),
        ("(X + 1) * 2 - X", True),
        ("exp(X)", True),  # a function is never repeated
    ],
)
def test_broadcasting_repeats_what_is_cheap(body: str, stays: bool) -> None:
    made = program(
        f"function (X[N], Y[M, N]) -> (C) {{ B = {body}; C = Y * B; }}", X=(9,), Y=(7, 9)
    )
    assert (len(kept(made)) == 2) is stays
    assert CHEAP_OPERATIONS == 2


def test_long_chains_are_cut() -> None:
    """They once became one expression that was too deep for the recursion of later passes."""
    count = 500
    chain = " ".join(f"B{n + 1} = B{n} * 0.5 + X;" for n in range(count))
    text = f"function (X[N]) -> (B{count}) {{ B0 = X; {chain} }}"
    after = Inline().apply(program(text, X=(9,)))
    verify(after)
    assert len(after.nodes) == -(-2 * count // MAX_DEPTH)
    ones = np.ones(9, np.float32)
    np.testing.assert_array_equal(tilec.function(text)(ones), 2 * ones)


def test_wide_bodies_stop_growing() -> None:
    lines = ["B0 = X * 2 - Y;"]
    lines += [f"B{n + 1} = B{n} * X + (B{n} - Y) * (B{n} + X);" for n in range(9)]
    text = f"function (X[N], Y[N]) -> (B9) {{ {' '.join(lines)} }}"
    after = Inline().apply(program(text, X=(9,), Y=(9,)))
    verify(after)
    sizes = [
        sum(isinstance(part, Apply) for part in walk(node.body))
        for node in after.nodes
        if isinstance(node, Map)
    ]
    assert len(sizes) > 1
    assert max(sizes) <= MAX_OPERATIONS


def test_the_order_of_coordinates_is_kept() -> None:
    """A map is read across, by an index value, and through a broadcast."""
    text = """function (X[N], Y[M, N]) -> (D) {
      B = X * 2;
      C = Y + B;
      D = C - index(C, 1);
    }"""
    made = program(text, X=(3,), Y=(2, 3))
    x, y = np.arange(3, dtype=np.float32), np.arange(6, dtype=np.float32).reshape(2, 3)
    (before,) = evaluate(made, {"X": x, "Y": y}).values()
    (after,) = evaluate(Inline().apply(made), {"X": x, "Y": y}).values()
    np.testing.assert_array_equal(after, before)
    np.testing.assert_array_equal(after, y + x * 2 - np.arange(3))


def bound(case: Case) -> Program:
    """The tensor program of a random case."""
    file = parse(Source("<property>", case.text))
    checked = check_file(file)[-1]
    specs = {name: tilec.Spec(a.shape, a.dtype.name) for name, a in case.arrays.items()}
    return lower(checked, {name: TensorType(s.dtype, s.shape) for name, s in specs.items()})


@settings(RANDOM, max_examples=60)
@given(cases(max_statements=4))
def test_values_are_unchanged(case: Case) -> None:
    before = bound(case)
    after = ShareEqual().apply(DropDead().apply(before))
    verify(after)
    inlined = Inline().apply(after)
    verify(inlined)
    wanted, found = evaluate(before, case.arrays), evaluate(inlined, case.arrays)
    assert list(wanted) == list(found)
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)


def test_what_is_known_ahead_stays_apart() -> None:
    text = "function f(X[N], G[N], V[N]) -> (Y) { S = G / sqrt(V); Y = X * S; }"
    made = program(text, X=(4,), G=(4,), V=(4,))
    assert kept(made) == ["Y"]
    after = Inline(frozenset({"G", "V"})).apply(made)
    assert [node.name for node in after.nodes] == ["S", "Y"]


def test_what_is_read_twice_at_one_place_is_inlined() -> None:
    text = "function f(X[N]) -> (Y) { S = exp(X) / 3.0; Y = S < 0 ? 0 : S; }"
    assert kept(program(text, X=(4,))) == ["Y"]
    x = np.linspace(-1, 1, 64, dtype=np.float32)
    asm = tilec.function(text).compile(x).source("llvm")
    assert asm.count("fdiv") == tilec.function("Y = exp(X) / 3.0;").compile(x).source("llvm").count(
        "fdiv"
    )
