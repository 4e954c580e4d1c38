"""Passes over blocks of a reduction of several loops, after Goto and van de Geijn (2008).

A reduction that is longer than the caches goes by in blocks, whose operands stay at hand while all
outputs take what they need of them. The gradient of a convolution by its weights, 9 products of
matrices whose rows are shifted by a pixel, reads its operands once instead of 9 times. Constraints
(the padding) bound the loops of a block as they bound those of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod

from tilec.schedule.footprint import inside, passes, span
from tilec.schedule.product import Product
from tilec.schedule.traffic import are_far
from tilec.schedule.values import Tiled
from tilec.target.core import Core

STEPS = (256, 512, 1024)
"""Lengths of a pass, about: shorter ones load and store sums too often, and longer ones leave the
second level with panels of 32 columns and their rows."""

_NEAR = 5.0
"""Cycles to load a vector of sums from the second level and to store it again."""

_FAR = 20.0
"""The same where the third level holds them."""


def blocked(problem: Product, core: Core, plan: Tiled) -> Iterator[Tiled]:
    """The same tile in passes over blocks of the reduction, where operands exceed the caches."""
    if len(problem.reductions) < 2 or plan.ahead or plan.turn is not None or plan.panel_block:
        return
    moving, still = problem.split(plan.vector, plan.row)
    far = max(span(problem, form, {}) for form in (*moving.forms, *still.forms))
    if far * problem.dtype.bytes <= core.l2_bytes // 2 or not moving.is_read:
        return
    cuts = dict.fromkeys(cut for steps in STEPS if (cut := _cut(problem, steps)) is not None)
    for name, size in cuts:
        cut = replace(
            plan,
            pack_vector=True,
            pack_row=False,
            row_block=0,
            reduce_block=size,
            reduce_loop=name,
        )
        yield cut
        if plan.row is not None and not still.moves(plan.vector):
            steps = prod(inside(problem, cut).values())
            kept = core.l2_bytes // 2 // (steps * problem.dtype.bytes)
            rows = max(plan.rows, kept // plan.rows * plan.rows)
            yield replace(cut, pack_row=True, row_block=rows)


def in_runs(problem: Product, core: Core, plan: Tiled) -> Iterator[Tiled]:
    """The same tile in passes over runs of panels that are made ahead, where panels are long.

    What a pass reads of a panel stays at hand for all tiles, beside what they read and write, while
    the run for the next pass comes from memory.
    """
    if not plan.ahead or plan.turn is not None or not is_long(problem, core, plan):
        return
    most = core.l2_bytes // 8 // (plan.width * problem.dtype.bytes)
    steps = 1
    for axis in reversed(problem.reductions):
        if steps * axis.extent > most and axis.extent > 1:
            blocks = -(-axis.extent // max(1, most // steps))
            size = -(-axis.extent // blocks)
            yield replace(
                plan, pack_row=False, row_block=0, reduce_block=size, reduce_loop=axis.name
            )
        steps *= axis.extent


def is_long(problem: Product, core: Core, plan: Tiled) -> bool:
    """Whether what a pass reads of a panel takes more than a quarter of the second level."""
    steps = prod(inside(problem, plan).values())
    return steps * plan.width * problem.dtype.bytes > core.l2_bytes // 4


def by_rows(problem: Product, core: Core, plan: Tiled) -> list[Tiled]:
    """The same tile with all panels packed before, so that results are written row by row.

    Where the results are most of the memory and all panels fit into the second level.
    """
    moving, still = problem.split(plan.vector, plan.row)
    own = [a.extent for a in (*problem.axes, *problem.reductions) if moving.moves(a.name)]
    fits = prod(own) * problem.dtype.bytes <= core.l2_bytes // 2
    plain = not (plan.ahead or plan.turn or plan.panel_block or problem.constraints)
    runs = problem.store.coefficient(plan.vector) == 1 and not still.moves(plan.vector)
    if not (fits and plain and runs and plan.row and are_far(problem, core)):
        return []
    return [replace(plan, pack_vector=True, pack_row=True, row_block=plan.rows, reduce_block=0)]


def _cut(problem: Product, most: int) -> tuple[str, int] | None:
    """The loop to cut, and its iterations, for passes of some steps; None where one takes all."""
    steps = 1
    for axis in reversed(problem.reductions):
        if steps * axis.extent > most:
            blocks = -(-axis.extent // max(1, most // steps))
            return axis.name, -(-axis.extent // blocks)
        steps *= axis.extent
    return None


def summing(problem: Product, core: Core, plan: Tiled) -> float:
    """Cycles of loading the sums of earlier passes and storing them for later ones."""
    again = passes(problem, plan) - 1
    if not again:
        return 0.0
    outputs = prod(axis.extent for axis in problem.axes)
    width = plan.width
    extent = next(axis.extent for axis in problem.axes if axis.name == plan.vector)
    held = outputs * problem.stored.bytes
    held //= plan.tasks if plan.pack_row else -(-extent // width)
    each = _NEAR if held <= core.l2_bytes // 2 else _FAR
    return again * outputs / plan.lanes * each
