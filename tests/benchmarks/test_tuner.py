"""The benchmark of the tuner: its cases, and the grids that they are held against."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

import tilec
from benchmarks.grid import beside, grid
from benchmarks.tuner import CASES, main
from tilec.options import Options
from tilec.program.tuner import Task, tasks_of
from tilec.schedule.space import Streams, Tiles
from tilec.schedule.values import Streamed, Tiled, parse_kernel


@cache
def task(at: int) -> Task:
    text, shapes = CASES[at]
    function = tilec.function(text)
    specs = [tilec.Spec(shape) for shape in shapes]
    (found,) = tasks_of(
        function.parts.text,
        function.recipe(*specs, options=Options(tuned=False, num_threads=2, conv="direct")),
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


def test_points_beside_another_differ_in_one_respect() -> None:
    points = grid(task(0).space)
    middle = parse_kernel("tile i=4 j=2x16, pack j, 2 tasks over i")
    near = beside(points, middle)
    assert middle not in near
    assert len(near) > 20
    assert parse_kernel("tile i=4 j=2x16, pack j, 2 tasks over j") in near
    assert parse_kernel("tile i=5 j=2x16, pack j, 2 tasks over j") not in near


def test_a_case_is_measured_in_pieces(tmp_path: Path) -> None:
    runner = CliRunner()

    def run(*arguments: str) -> str:
        result = runner.invoke(main, ["--folder", str(tmp_path), "--only", "0", *arguments])
        assert result.exit_code == 0, result.output
        return result.output

    assert "0 and 6 schedules" in run("compile", "--count", "6")
    assert "6 schedules" in run("time")
    assert "0 schedules" in run("time")
    assert "6 and" in run("compile", "--count", "4")  # beside the fastest
    run("time")
    assert "0  " in run("tune", "--budget", "1")
    assert run("tune") == ""  # it has a result
    row = json.loads((tmp_path / "00.json").read_text())
    assert 0.2 < row["share"] < 5
    assert row["tuned"].startswith("tile ")
    assert "geometric mean" in run("table")
