"""Which loop becomes vectors, and which is divided among threads."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.lower.texts import flat_pieces, program
from tilec.lower.plan import MIN_TASKS, PARALLEL_CYCLES, choose, parallel
from tilec.schedule.values import Plan


def chosen(
    text: str, strides: Mapping[str, tuple[int, ...]] | None = None, **shapes: tuple[int, ...]
) -> Plan:
    """The plan of a program of one kernel, for registers of 16 elements."""
    (flat,), target = flat_pieces(program(text, **shapes), strides)
    return choose(flat, target.agg, 16)


def test_contiguous_outputs_come_first() -> None:
    assert chosen("S[j : M] = +(A[i, j])", A=(200, 300)) == Plan("j", 16)


def test_a_sum_along_rows_runs_along_rows() -> None:
    assert chosen("S[i : M] = +(A[i, j])", A=(200, 300)) == Plan("j", 16, reduction=True)


def test_strides_decide() -> None:
    transposed = {"A": (1, 200)}
    assert chosen("S[i : M] = +(A[i, j])", transposed, A=(200, 300)) == Plan("i", 16)


def test_short_loops_are_not_worth_a_fold() -> None:
    plan = chosen("S[i : M] = +(A[i, j])", A=(2000, 3))
    assert plan == Plan("i", 16)


def test_one_element_is_scalar() -> None:
    assert chosen("C = -A", A=(1,)) == Plan(None, 1)
    assert chosen("S[] = +(A[i])", A=(1,)) == Plan(None, 1)


def test_an_assignment_has_no_reduction_to_fold() -> None:
    assert not chosen("function (A[N]) -> (O) { O[] = =(A[j]), j < 1; }", A=(300,)).reduction


def test_a_divided_loop_does_not_become_lanes() -> None:
    (flat,), target = flat_pieces(program("S[j : M] = +(A[i, j])", A=(200, 300)))
    plan = choose(flat, target.agg, 16, divided="j")
    assert plan.vector != "j"
    assert plan.parallel == "j"


@pytest.mark.parametrize(
    ("text", "shape", "wanted"),
    [
        ("C = -A", (PARALLEL_CYCLES * 8,), None),  # too little work, at 16 lanes
        ("C = -A", (PARALLEL_CYCLES * 32,), "i0"),
        ("C = exp(A)", (PARALLEL_CYCLES * 2,), "i0"),
        ("S[i : M] = +(A[i, j])", (1 << 11, 1 << 11), "i"),
        ("S[j : M] = +(A[i, j])", (1 << 11, 1 << 11), "j"),
        ("S[i : M] = +(A[i, j])", (MIN_TASKS - 1, 1 << 20), None),
    ],
)
def test_threads(text: str, shape: tuple[int, ...], wanted: str | None) -> None:
    (flat,), target = flat_pieces(program(text, A=shape))
    assert parallel(flat, choose(flat, target.agg, 16)) == wanted
