"""How much memory the packed copies of a schedule take."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from tilec.schedule.product import Product
from tilec.schedule.values import Tiled
from tilec.tensor.forms import Form

LINE_BYTES = 64


def inside(problem: Product, plan: Tiled) -> dict[str, int]:
    """Iterations of each reduction loop in one pass."""
    sizes = {axis.name: axis.extent for axis in problem.reductions}
    if not plan.reduce_block:
        return sizes
    cut = plan.reduce_loop or problem.reductions[-1].name
    for axis in problem.reductions if plan.reduce_loop else ():
        if axis.name == cut:
            break
        sizes[axis.name] = 1
    sizes[cut] = min(plan.reduce_block, sizes[cut])
    return sizes


def passes(problem: Product, plan: Tiled) -> int:
    """Passes over the outputs, in each of which a part of the reduction is added to them."""
    sizes = inside(problem, plan)
    return prod(-(-axis.extent // sizes[axis.name]) for axis in problem.reductions)


def span(problem: Product, form: Form, sizes: Mapping[str, int]) -> int:
    """Elements from the first to the last that are read, with some loops of other sizes."""
    extents = {axis.name: axis.extent for axis in (*problem.axes, *problem.reductions)}
    extents.update(sizes)
    reach = 1 + sum(abs(factor) * (extents[name] - 1) for name, factor in form.terms)
    return min(reach, prod(extents[name] for name, _ in form.terms))


def scratch_bytes(problem: Product, plan: Tiled, threads: int) -> int:
    """Bytes of packed copies of all threads, each of which has its own."""
    dtype = problem.dtype.bytes
    steps = prod(inside(problem, plan).values())
    extents = {axis.name: axis.extent for axis in problem.axes}
    width = plan.width
    total = 0
    if plan.pack_vector and not plan.ahead:
        panels = -(-extents[plan.vector] // width)
        if plan.parallel == plan.vector:
            panels = -(-panels // plan.tasks)
        if not plan.row_block:
            panels = min(panels, max(1, plan.panel_block))
        total += panels * steps * width * dtype
    if plan.pack_row and plan.row is not None:
        tiles = -(-extents[plan.row] // plan.rows)
        if plan.row_block:
            tiles = min(tiles, max(1, plan.row_block // plan.rows))
        else:
            moving, _ = problem.split(plan.vector, plan.row)
            for name, extent in extents.items():
                if name not in (plan.vector, plan.row) and not moving.moves(name):
                    tiles *= -(-extent // plan.tasks) if name == plan.parallel else extent
            if plan.parallel == plan.row:
                tiles = -(-tiles // plan.tasks)
        # Rows whose steps are kept together begin an odd number of cache lines apart.
        total += tiles * plan.rows * (-(-steps * dtype // LINE_BYTES) | 1) * LINE_BYTES
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
