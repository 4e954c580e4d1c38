"""How much memory the packed copies of a schedule take."""

from __future__ import annotations

from math import prod

from tilec.schedule.product import Product
from tilec.schedule.values import Tiled

LINE_BYTES = 64


def scratch_bytes(problem: Product, plan: Tiled, threads: int) -> int:
    """Bytes of packed copies of all threads, each of which has its own."""
    dtype = problem.dtype.bytes
    inner = problem.reductions[-1].extent
    steps = prod(axis.extent for axis in problem.reductions[:-1])
    steps *= min(plan.reduce_block or inner, inner)
    extents = {axis.name: axis.extent for axis in problem.axes}
    width = plan.lanes * plan.vectors
    total = 0
    if plan.pack_vector and not plan.ahead:
        panels = -(-extents[plan.vector] // width)
        if plan.parallel == plan.vector:
            panels = -(-panels // plan.tasks)
        if not plan.pack_row:
            panels = min(panels, max(1, plan.panel_block))
        total += panels * steps * width * dtype
    if plan.pack_row and plan.row is not None:
        # Rows are kept a whole, odd number of cache lines apart.
        row = (-(-steps * dtype // LINE_BYTES) | 1) * LINE_BYTES
        total += min(max(plan.row_block, plan.rows) or 1, extents[plan.row] + plan.rows) * row
        if not plan.row_block:
            total += max(0, extents[plan.row] - plan.rows) * row
    if plan.turn is not None:
        is_row = plan.turn == plan.row
        count, each = (plan.rows, width) if is_row else (plan.lanes, plan.rows * width)
        total += count * turn_distance(each, dtype) * dtype
    return total * (1 if plan.parallel is None else threads)


def turn_distance(elems: int, size: int) -> int:
    """Elements between iterations whose results are turned.

    They are an odd number of cache lines, so that lanes of one place do not fall into one set.
    """
    lines = -(-elems * size // LINE_BYTES) | 1
    return lines * LINE_BYTES // size
