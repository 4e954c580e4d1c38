"""Assignments that become maps, and those that stay copies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from tests.lower.texts import program
from tests.property.programs import RANDOM, Case, cases
from tests.rewrite.test_inline import bound
from tilec.rewrite.inline import Inline
from tilec.rewrite.maps import Maps
from tilec.tensor.evaluate import evaluate
from tilec.tensor.ir import Map
from tilec.tensor.verify import verify


@pytest.mark.parametrize(
    ("statement", "is_map"),
    [
        ("Y[i : M] = =(X[2, i])", True),
        ("Y[i, j : N, M - 3] = =(X[i, j + 3])", True),
        ("Y[i, 0, j : N, 1, M] = =(X[i, j])", True),
        ("Y[i, j : 3, M] = =(X[2*i, j])", True),  # whole rows
        ("Y[i, j : N, M] = =(exp(X[i, j]) * X[i, 0])", True),
        ("Y[j, i : M, N] = =(X[i, j])", False),  # moves elements
        ("Y[i, j : N, 4] = =(X[i, 2*j])", False),
        ("Y[i, j : N, M] = =(X[i, 7 - j])", False),
        ("Y[i, j : N, M] = =(X[i, j + 3])", False),  # some elements are 0
        ("Y[i, j : N, M] = =(X[i, j]), j < 3", False),
        ("Y[i + 1, j : N + 1, M] = =(X[i, j])", False),
        ("Y[i, j : N, M] = =(X[i, j - i])", False),
        ("Y[i, i : 1, 1] = =(X[i, 0])", False),
        ("Y[i : N] = +(X[i, j])", False),
    ],
)
def test_what_is_a_map(statement: str, is_map: bool) -> None:
    made = program(f"function (X[N, M]) -> (Y) {{ {statement}; }}", X=(5, 8))
    after = Maps().apply(made)
    verify(after)
    assert isinstance(after.nodes[-1], Map) is is_map
    x = np.random.default_rng(2).standard_normal((5, 8)).astype(np.float32)
    (wanted,), (found,) = (evaluate(each, {"X": x}).values() for each in (made, after))
    np.testing.assert_array_equal(found, wanted)
    assert found.dtype == wanted.dtype


@settings(RANDOM, max_examples=60)
@given(cases(max_statements=4))
def test_values_are_unchanged(case: Case) -> None:
    before = bound(case)
    after = Inline().apply(Maps().apply(before))
    verify(after)
    wanted, found = evaluate(before, case.arrays), evaluate(after, case.arrays)
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)
