"""Schedules of products for groups of items: legal ones, chosen ones, and their texts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.lower.texts import flat_pieces, program
from tilec.errors import ScheduleError
from tilec.lower.recognise import recognise
from tilec.schedule import grouped
from tilec.schedule.grouped import Grouped, parse_grouped
from tilec.schedule.product import Product
from tilec.schedule.space import Groups
from tilec.schedule.values import Schedule
from tilec.target import gpu

NVIDIA = gpu.by_name("nvidia")
PLAN = Grouped(128, 128, 8, 8, 8)
MATMUL = "function (A[M, K], B[K, N]) -> (C) { C[i, j : M, N] = +(A[i, k] * B[k, j]); }"
CONVOLUTION = (
    "function (X[N, H, W, C], K[3, 3, C, D]) -> (R) "
    "{ R[n, y, x, d : N, H, W, D] = +(X[n, y + i - 1, x + j - 1, c] * K[i, j, c, d]); }"
)


def problem(text: str, **shapes: tuple[int, ...]) -> Product:
    flats, target = flat_pieces(program(text, **shapes))
    found = recognise(flats[0], target)
    assert isinstance(found, Product)
    return found


def matmul(m: int, k: int, n: int) -> Product:
    return problem(MATMUL, A=(m, k), B=(k, n))


def test_a_convolution_is_a_product_of_matrices() -> None:
    found = grouped.sides(problem(CONVOLUTION, X=(2, 14, 14, 32), K=(3, 3, 32, 64)))
    assert isinstance(found, grouped.Sides)
    assert [axis.name for axis in found.rows] == ["n", "y", "x"]
    assert [axis.name for axis in found.columns] == ["d"]
    assert len(found.left_constraints) == 4
    assert not found.right_constraints


def test_what_both_operands_move_along_is_a_batch() -> None:
    text = (
        "function (A[B, M, K], D[B, K, N]) -> (C) "
        "{ C[b, i, j : B, M, N] = +(A[b, i, k] * D[b, k, j]); }"
    )
    found = grouped.sides(problem(text, A=(3, 32, 8), D=(3, 8, 32)))
    assert isinstance(found, grouped.Sides)
    assert [axis.name for axis in found.batch] == ["b"]


@pytest.mark.parametrize(
    ("text", "shapes", "reason"),
    [
        (MATMUL, {"A": (8, 64), "B": (64, 64)}, "fewer than 16 rows"),
        (
            "function (A[M, N], B[K, N]) -> (C) { C[j : N] = +(A[i, j] * B[i, j]); }",
            {"A": (64, 64), "B": (64, 64)},
            "all factors move along j",
        ),
    ],
)
def test_what_is_no_product_of_matrices(
    text: str, shapes: dict[str, tuple[int, ...]], reason: str
) -> None:
    assert reason in str(grouped.sides(problem(text, **shapes)))


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (replace(PLAN, item_rows=3), "cannot be divided"),
        (replace(PLAN, rows=0), "sizes are positive"),
        (replace(PLAN, item_rows=2, item_columns=2), "a group of 4096 items"),
        (replace(PLAN, steps=64), "bytes of local memory"),
        (replace(PLAN, item_rows=16, item_columns=16), "registers, of 255"),
        (replace(PLAN, parts=200), "fewer than 200 parts"),
    ],
)
def test_illegal_schedules_say_why(plan: Grouped, reason: str) -> None:
    assert reason in str(grouped.illegal(matmul(1024, 1024, 1024), plan, NVIDIA))
    assert grouped.illegal(matmul(1024, 1024, 1024), PLAN, NVIDIA) is None


def test_large_products_take_large_tiles_and_fill_the_device() -> None:
    for size in (2048, 4096):
        product = matmul(size, size, size)
        plan = grouped.choose(product, NVIDIA)
        assert isinstance(plan, Grouped)
        assert (plan.item_rows, plan.item_columns, plan.parts) == (8, 8, 1)
        peak = 2 * size**3 / grouped.seconds(product, NVIDIA, plan) / NVIDIA.peak_flops
        assert peak > 0.6, (size, str(plan), peak)


def test_what_lies_near_differs_in_one_respect_and_is_legal() -> None:
    product = matmul(512, 512, 512)
    space = Groups(product, NVIDIA)
    first = space.ranked()[0]
    assert first == grouped.choose(product, NVIDIA)
    near = space.near(replace(PLAN, steps=16, parts=2))
    assert len(near) >= 8
    for plan in near:
        assert isinstance(plan, Grouped)
        assert grouped.illegal(product, plan, NVIDIA) is None


def test_long_thin_products_are_split() -> None:
    plan = grouped.choose(matmul(128, 100_000, 128), NVIDIA)
    assert isinstance(plan, Grouped)
    assert plan.parts > 8


@pytest.mark.parametrize("each", gpu.families(), ids=lambda each: each.gpu.name)
def test_every_family_has_a_legal_schedule(each: gpu.Family) -> None:
    product = matmul(512, 512, 512)
    plan = grouped.choose(product, each.gpu)
    assert isinstance(plan, Grouped)
    assert grouped.illegal(product, plan, each.gpu) is None


def test_schedules_are_read_as_they_are_written() -> None:
    for plan in (PLAN, replace(PLAN, buffers=1, parts=4)):
        assert parse_grouped(str(plan)) == plan
        schedule = Schedule((("main_C", plan),))
        assert Schedule.parse(str(schedule)) == schedule
        assert Schedule.from_json(schedule.as_json()) == schedule
    with pytest.raises(ScheduleError, match="cannot be read"):
        parse_grouped("groups 128 by 128")
