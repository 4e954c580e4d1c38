"""The benchmark of the tuner: its cases, and the grids that they are held against."""

from __future__ import annotations

from functools import cache

import pytest

import tilec
from benchmarks.grid import grid
from benchmarks.tuner import CASES, measure
from tilec.options import Options
from tilec.program.tuner import Task, tasks_of
from tilec.schedule.space import Streams, Tiles
from tilec.schedule.values import Streamed, Tiled


@cache
def task(at: int) -> Task:
    text, shapes = CASES[at]
    function = tilec.function(text)
    specs = [tilec.Spec(shape) for shape in shapes]
    (found,) = tasks_of(
        function.parts.text, function.recipe(*specs, options=Options(tuned=False, num_threads=2))
    )
    return found


@pytest.mark.parametrize("at", range(len(CASES)))
def test_each_case_is_one_kernel_with_a_choice(at: int) -> None:
    assert isinstance(task(at).space, Tiles | Streams)


@pytest.mark.parametrize(("at", "kind"), [(0, Tiled), (14, Streamed)])
def test_a_grid_has_each_kind_of_schedule_once(at: int, kind: type) -> None:
    points = grid(task(at).space)
    assert len(points) == len(set(points)) > 100
    assert all(isinstance(each, kind) for each in points)
    assert {each.parallel for each in points if isinstance(each, Tiled | Streamed)} >= {None, "i"}


def test_a_case_is_measured() -> None:
    row = measure(0, 1.0, 2.0)
    assert 0.2 < float(str(row["share"])) < 5
    assert str(row["tuned"]).startswith("tile ")
