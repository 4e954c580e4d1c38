"""The files of the sets, and which rows are chosen."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks import sets
from benchmarks.case import RowError

FILE = {
    "title": "Products",
    "source": "nowhere",
    "kind": "gemm",
    "most_flop": 1000,
    "defaults": {"n": 2},
    "columns": ["m", "k"],
    "rows": [[2, 2], [4, 4], [100, 100]],
}


@pytest.mark.parametrize("name", sets.names())
def test_every_row_of_every_set_becomes_a_case(name: str) -> None:
    chosen = sets.load(name)
    cases = list(chosen.cases())
    assert cases
    assert len({case.name for case in cases}) == len(cases)
    assert chosen.title
    assert chosen.source


def test_there_are_a_dozen_odd_contractions() -> None:
    assert len(sets.load("contractions").rows) >= 12


def chosen(**options: Any) -> tuple[list[str], dict[str, str]]:
    given: dict[str, Any] = {"only": None, "everything": False, "quick": False} | options
    cases, skipped = sets.choose(sets.parse("x", json.dumps(FILE)), **given)
    return [case.name for case in cases], skipped


def test_large_rows_are_left_out_and_named() -> None:
    names, skipped = chosen()
    assert names == ["2x2x2", "4x2x4"]
    assert skipped == {"100x2x100": "0.0 GFLOP; --all measures it"}


def test_all_rows_on_demand() -> None:
    assert len(chosen(everything=True)[0]) == 3


def test_rows_by_name() -> None:
    assert chosen(only="4x")[0] == ["4x2x4"]
    assert chosen(only="?x2x?")[0] == ["2x2x2", "4x2x4"]


def test_quick_spreads_over_the_set() -> None:
    large = sets.load("conv-googlenet")
    cases, skipped = sets.choose(large, only=None, everything=False, quick=True)
    assert len(cases) == sets.QUICK_ROWS
    assert len(cases) + len(skipped) == len(large.rows)


@pytest.mark.parametrize("change", [{"rows": [[1]]}, {"rows": None}, {"columns": 3}])
def test_files_that_are_not_well_formed(change: dict[str, object]) -> None:
    with pytest.raises(RowError, match="the set x is not well formed"):
        sets.parse("x", json.dumps(FILE | change))


def test_unknown_sets() -> None:
    with pytest.raises(RowError, match="there is no set 'nothing'"):
        sets.load("nothing")
