"""Grids of schedules, laid without the cost model: what an exhaustive search has to try.

A grid is the product of sizes that have nothing to do with what the model thinks of them, so that
its best point judges the model's ranking and the tuner's steps alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import astuple

from tilec.schedule import stream
from tilec.schedule.legal import illegal
from tilec.schedule.space import Space, Streams, Tiles
from tilec.schedule.values import KernelSchedule, Streamed, Tiled

_VECTORS = (1, 2, 3, 4, 6, 8)
_ROWS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 20, 28)
_REDUCE = (0, 64, 128, 256, 512, 1024)
_PANELS = (0, 4, 16)
_RUNS = (1, 2, 3, 4, 6, 8, 12)
_SPANS = (0, 512, 2048, 8192)
_PARTS = (2, 4, 8, 16)


def grid(space: Space) -> list[KernelSchedule]:
    """Every legal point of the grid of a kernel."""
    if isinstance(space, Tiles):
        return [*_tiles(space)]
    if isinstance(space, Streams):
        return [*_streams(space)]
    return list(space.ranked())


def beside(points: Sequence[KernelSchedule], plan: KernelSchedule) -> list[KernelSchedule]:
    """The points of a grid that differ from one of them in a single respect."""
    own = _respects(plan)
    return [
        point
        for point in points
        if sum(one != other for one, other in zip(own, _respects(point), strict=True)) == 1
    ]


def _respects(plan: KernelSchedule) -> tuple[object, ...]:
    """What sets points of a grid apart, each the outcome of one choice."""
    if isinstance(plan, Tiled):
        # How many rows are packed together follows from the tile, and is no choice.
        packed, division = (plan.pack_vector, plan.pack_row), (plan.parallel, plan.tasks)
        loops = (plan.vector, plan.row)
        return loops, plan.rows, plan.vectors, packed, plan.reduce_block, plan.panel_block, division
    if isinstance(plan, Streamed):
        runs, division = (plan.row, plan.rows), (plan.parallel, plan.parts)
        return plan.vector, plan.lanes, runs, plan.share, plan.span, division
    return astuple(plan)


def _tiles(space: Tiles) -> Iterator[Tiled]:
    problem, core = space.problem, space.core
    names = [axis.name for axis in problem.axes if axis.extent > 1]
    most = core.lanes(problem.dtype.bytes)
    inner = problem.reductions[-1].extent
    shapes = itertools.product(names, (None, *names), _VECTORS, _ROWS)
    divisions = [(None, 1)]
    if core.threads > 1:
        divisions += [(name, n * core.threads) for name in names for n in (1, 4)]
    for vector, row, vectors, rows in shapes:
        if vector == row or (row is None and rows > 1):
            continue
        tile = Tiled(vector, row, rows, most, vectors, ahead=space.ahead)
        if not _is_legal(space, Tiled(vector, row, rows, most, vectors, True, ahead=space.ahead)):
            continue
        blocks = (block for block in _REDUCE if block < inner)
        for block, packed, group, (parallel, tasks) in itertools.product(
            blocks, ((True, False), (True, True), (False, False), (False, True)), _PANELS, divisions
        ):
            pack_vector, pack_row = packed
            rows_at_hand = 0
            if pack_row:
                room = core.l2_bytes // 2 // ((block or inner) * problem.dtype.bytes)
                rows_at_hand = max(1, room // rows) * rows
            plan = Tiled(
                tile.vector, tile.row, tile.rows, tile.lanes, tile.vectors,
                pack_vector, pack_row, block, rows_at_hand, group, tasks, parallel, tile.ahead,
            )  # fmt: skip
            if _is_legal(space, plan):
                yield plan


def _is_legal(space: Tiles, plan: Tiled) -> bool:
    limit = space.workspace_bytes
    return (
        illegal(space.problem, plan, space.core, ahead=space.ahead, workspace_bytes=limit) is None
    )


def _streams(space: Streams) -> Iterator[Streamed]:
    problem, core = space.problem, space.core
    axes = [*problem.axes, *problem.reductions]
    names = [axis.name for axis in axes if axis.extent > 1]
    divisions: list[tuple[str | None, int]] = [(None, 1)]
    if core.threads > 1:
        divisions += [(name, 1) for name in names]
        divisions += [(axis.name, n) for axis in problem.reductions for n in _PARTS]
    lanes = core.lanes(problem.lane_bytes)
    shapes = itertools.product(
        names, (lanes, lanes // 2), (None, *names), _RUNS, (None, *names), _SPANS, divisions
    )
    for vector, width, row, rows, share, span, (parallel, parts) in shapes:
        if row is None and rows > 1:
            continue
        plan = Streamed(vector, width, row, rows, share, span, parts, parallel)
        if stream.illegal(problem, plan, core, space.workspace_bytes) is None:
            yield plan
