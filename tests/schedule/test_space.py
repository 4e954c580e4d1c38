"""What the tuner may try is legal, and holds every kind of change."""

from __future__ import annotations

import pytest

import tilec
from tilec.program.tuner import Task, tasks_of
from tilec.schedule.space import Choices, Streams, Tiles
from tilec.schedule.values import (
    KernelSchedule,
    Loops,
    Schedule,
    Streamed,
    Tiled,
    parse_kernel,
)
from tilec.target.core import Core

MATMUL = "C[i, j : M, N] = +(A[i, k] * B[k, j])"


def task(text: str, *shapes: tuple[int, ...]) -> Task:
    function = tilec.function(text)
    recipe = function.recipe(*(tilec.Spec(shape) for shape in shapes))
    (found,) = tasks_of(function.parts.text, recipe)
    return found


def around(found: Task) -> list[KernelSchedule]:
    return [*found.space.ranked(), *found.space.near(found.first)]


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        (MATMUL, ((64, 96), (96, 80))),
        (MATMUL, ((35, 1500), (1500, 700))),
        ("C[i : M] = +(A[i, k] * B[k])", ((300, 400), (400,))),
        ("C[j : N] = +(A[i, j])", ((400, 300),)),
        ("C[i, j : M, N] = >(A[i, k] + B[k, j])", ((30, 40), (40, 20))),
    ],
)
def test_every_schedule_can_be_followed(text: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    """The compiler takes a sample of them; plain loops are only known to be legal then."""
    found = task(text, *shapes)
    plans = around(found)
    assert len(plans) == len(dict.fromkeys(plans)) or not isinstance(found.space, Choices)
    assert found.first in found.space.ranked()
    function = tilec.function(text)
    specs = [tilec.Spec(shape) for shape in shapes]
    with_roof = [plan for plan in plans if not isinstance(plan, Loops)]
    for plan in with_roof[:: max(1, len(with_roof) // 3)]:
        made = function.compile(*specs, schedule=Schedule((("", plan),)))
        assert list(made.schedule.values()) == [plan]


def test_near_tiles_change_every_part() -> None:
    found = task(MATMUL, (300, 1500), (1500, 700))
    assert isinstance(found.space, Tiles)
    first = found.first
    assert isinstance(first, Tiled)
    near = [plan for plan in found.space.near(first) if isinstance(plan, Tiled)]
    for name in ("rows", "vectors", "pack_vector", "pack_row", "reduce_block", "parallel"):
        assert any(getattr(plan, name) != getattr(first, name) for plan in near), name
    if found.space.core.threads > 1:
        assert any(plan.tasks > first.tasks for plan in near)
    assert all(plan.ahead == first.ahead for plan in near)
    packed = next(plan for plan in near if plan.pack_row)
    assert any(
        isinstance(plan, Tiled) and plan.row_block != packed.row_block
        for plan in found.space.near(packed)
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("tile i=6 j=4x16, pack j, panel block 21", "tile i=6 j=4x16, pack j"),
        ("tile i=6 j=4x16, pack j", "tile i=6 j=4x16, pack j, reduce block 64"),
        ("tile i=6 j=4x16, pack j, 2 tasks over i", "tile j=14 i=2x16, 2 tasks over i"),
        ("tile i=14 j=2x16, pack j, 2 tasks over i", "tile i=6 j=4x16, pack j, 2 tasks over i"),
    ],
)
def test_steps_that_a_search_missed(before: str, after: str) -> None:
    """Without them the tuner ended at .82 to .95 of an exhaustive search's speed."""
    text = "C[i, j : M, N] = +(A[k, i] * B[j, k])"
    found = task(text, (256, 384), (320, 256))
    assert isinstance(found.space, Tiles)
    space = Tiles(found.space.problem, Core(), ahead=False, workspace_bytes=1 << 25)
    assert parse_kernel(after) in space.near(parse_kernel(before))


def test_taps_beyond_a_border_are_no_work() -> None:
    """The roof of 8 outputs with 3 taps each counted 24 points, of which 2 read nothing."""
    text = "function (I[W, C], K[S, C, D]) -> (O) { O[w, d : W, D] = +(I[w+s-1, c] * K[s, c, d]); }"
    found = task(text, (8, 64), (3, 64, 32))
    assert isinstance(found.space, Tiles)
    assert found.space.problem.share_inside() == pytest.approx(22 / 24)
    plain = task(MATMUL, (64, 96), (96, 80))
    assert isinstance(plain.space, Tiles)
    assert plain.space.problem.share_inside() == 1


def test_near_streams_change_every_part() -> None:
    found = task("C[j : N] = +(A[i, j])", (4000, 9000))
    assert isinstance(found.space, Streams)
    first = found.first
    assert isinstance(first, Streamed)
    near = [plan for plan in found.space.near(first) if isinstance(plan, Streamed)]
    for name in ("rows", "lanes", "span"):
        assert any(getattr(plan, name) != getattr(first, name) for plan in near), name


def test_kernels_that_are_alike_are_one_task() -> None:
    text = """function (A[M, K], B[K, N], C[K, N]) -> (X, Y, Z) {
        X[i, j : M, N] = +(A[i, k] * B[k, j]);
        Y[i, j : M, N] = +(A[i, k] * C[k, j]);
        Z[i, j : M, N] = >(A[i, k] + C[k, j]);
    }"""
    function = tilec.function(text)
    specs = (tilec.Spec((48, 64)), tilec.Spec((64, 32)), tilec.Spec((64, 32)))
    tasks = tasks_of(function.parts.text, function.recipe(*specs))
    assert [len(each.names) for each in tasks] == [2, 1]
    names = {each.key for each in tasks}
    turned = [tilec.Spec((48, 64), "f32", (1, 48)), *specs[1:]]
    assert not names & {e.key for e in tasks_of(function.parts.text, function.recipe(*turned))}
