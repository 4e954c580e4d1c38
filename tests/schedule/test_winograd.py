"""Which tiles, blocks and divided loops the model takes for layers that were measured."""

from __future__ import annotations

from itertools import product

import pytest

from tests.rewrite.convolutions import conv
from tilec.rewrite.convolution import Convolution, convolution_of
from tilec.rewrite.winograd import winograd_of
from tilec.schedule.winograd import GROUPS, WinogradPlan, cycles, flops, plans
from tilec.target.core import Core
from tilec.tensor.ir import Contraction

CORE = Core(l3_bytes=36608 << 10)


def best(size: int, channels: int, filters: int) -> WinogradPlan:
    """The fastest schedule of a 3x3 layer by prediction."""
    output, data = (size, size, filters), (size, size, channels)
    program = conv("y x f", "y+i-1 x+j-1 c", "i j c f", output, data, (3, 3, channels, filters))
    (node,) = program.nodes
    assert isinstance(node, Contraction)
    found = convolution_of(node, program.types())
    assert isinstance(found, Convolution)
    timed: list[tuple[float, str, WinogradPlan]] = []
    lanes = CORE.lanes(4)
    problems = [
        winograd_of(found, (m, m), vectors * lanes, group)
        for m, vectors, group in product((2, 3, 4), (1, 2, 4), GROUPS)
    ]
    problems += [winograd_of(found, (m, m), lanes, late=True) for m in (2, 3, 4)]
    for problem in problems:
        if problem.group <= problem.panels:
            for plan in plans(problem, CORE, 4, 1 << 28):
                time = cycles(problem, plan, CORE, 4, constant=True)
                timed.append((time, str(plan), plan))
    return min(timed)[2]


@pytest.mark.parametrize(
    ("size", "channels", "filters", "method"),
    [(14, 512, 512, "F(3x3,3x3)"), (28, 512, 512, "F(4x4,3x3)")],
)
def test_large_weights_are_read_once(size: int, channels: int, filters: int, method: str) -> None:
    plan = best(size, channels, filters)
    assert (plan.method, plan.vectors, plan.parallel) == (method, 2, "filters")


@pytest.mark.parametrize(
    ("size", "channels", "filters"), [(7, 512, 512), (8, 384, 384), (7, 192, 384)]
)
def test_few_tiles_take_late_weights(size: int, channels: int, filters: int) -> None:
    plan = best(size, channels, filters)
    assert (plan.method, plan.late, plan.parallel) == ("F(4x4,3x3)", 16, "filters")


def test_late_transforms_are_counted() -> None:
    """A step of the 6 passes over 512 channels and 32 panels is taken for 15 fused operations."""
    program = conv("y x f", "y+i-1 x+j-1 c", "i j c f", (7, 7, 512), (7, 7, 512), (3, 3, 512, 512))
    (node,) = program.nodes
    assert isinstance(node, Contraction)
    found = convolution_of(node, program.types())
    assert isinstance(found, Convolution)
    plan = WinogradPlan("F(4x4,3x3)", 4, 4, 16, 1, "filters")
    ahead, late = (winograd_of(found, (4, 4), 16, late=late) for late in (False, True))
    assert flops(late, plan) - flops(ahead, plan) == 6 * 512 * 32 * 15 * 2 * 16


@pytest.mark.parametrize(("size", "channels"), [(28, 256), (28, 512), (14, 512)])
def test_tiles_that_leave_the_second_level_meet_groups_of_panels(size: int, channels: int) -> None:
    plan = best(size, channels, 512)
    assert (plan.parallel, plan.group > 1) == ("filters", True)


@pytest.mark.parametrize(
    ("size", "channels", "filters", "block"), [(112, 128, 128, 14), (224, 64, 64, 28)]
)
def test_blocks_are_whole_register_tiles(
    size: int, channels: int, filters: int, block: int
) -> None:
    assert best(size, channels, filters).block == block


@pytest.mark.parametrize(
    ("size", "channels", "filters"),
    [(56, 64, 64), (28, 128, 128), (112, 64, 128), (112, 128, 128), (56, 256, 256)],
)
def test_many_tiles_are_divided(size: int, channels: int, filters: int) -> None:
    plan = best(size, channels, filters)
    assert (plan.method, plan.vectors, plan.parallel) == ("F(4x4,3x3)", 2, "tiles")
