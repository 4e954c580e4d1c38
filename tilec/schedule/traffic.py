"""Cycles that a register tile spends beside its multiplications: fetching, packing and storing.

The figures were measured on Cascade Lake, f32, 16 lanes; they have to rank schedules, no more.
"""

from __future__ import annotations

from math import prod

from tilec.schedule.footprint import LINE_BYTES, inside, passes, span
from tilec.schedule.legal import square_loop
from tilec.schedule.product import Product
from tilec.schedule.values import Tiled
from tilec.target.core import Core
from tilec.tensor.forms import Form

FAR_CACHES = 4
"""Second-level caches that an operand must exceed for waiting on what is behind them to count."""

PAGE_BYTES = 4096
"""Rows of results from which on the order of writing matters: shorter ones begin anew anyway."""

_COPY = 1.0
"""One vector of a panel, read and written where both are contiguous, between multiplications."""

_LANE = 1.3
"""One lane that is read or written by itself, from lines that stay in the first-level cache."""

_TURNED = 8.0
"""One vector that is kept in scratch memory, and turned about in a whole square of them."""

_SQUARE = 0.4
"""One lane of a vector that is packed in a square of them."""

_LINE = 3.0
"""How much longer that takes when nothing else uses the line while it is there."""

_NEAR = 3.0
"""One line of a row from the second-level cache."""

_FAR = 16.0
"""One line from beyond the second-level cache that is asked for ahead, but that no prefetcher
follows: of runs of two lines or less, half of that for four lines, and so on; twice that where
nothing asks for it ahead."""


def traffic(problem: Product, core: Core, plan: Tiled) -> float:
    """Cycles of fetching the operands and packing the moving one, by all threads together."""
    moving, still = problem.split(plan.vector, plan.row)
    rows = sum(_rows(problem, core, plan, form) for form in still.forms)
    rows += _again(problem, core, plan) + _written(problem, core, plan)
    own = [axis for axis in problem.axes if moving.moves(axis.name)]
    elems = prod(axis.extent for axis in (*own, *problem.reductions))
    if plan.ahead:
        return rows + elems * _evicted(problem, core, plan)
    is_far = elems * problem.dtype.bytes > FAR_CACHES * core.l2_bytes
    each = sum(_fetched(problem, plan, form, is_far) for form in moving.forms)
    if plan.pack_vector:
        each += sum(_copied(problem, plan, form) for form in moving.forms)
    each += _spilled(problem, core, plan)
    # Tasks that share a panel fetch and pack it each for themselves.
    shared = plan.parallel is not None and all(axis.name != plan.parallel for axis in own)
    return rows + elems * each * (plan.tasks if shared else 1)


def are_far(problem: Product, core: Core) -> bool:
    """Whether the results leave the second level before they are all there, and rows are long."""
    size = problem.stored.bytes
    row = [a.extent for a in problem.axes if problem.store.coefficient(a.name) == 1]
    elems = prod(axis.extent for axis in problem.axes)
    return max(row, default=0) * size >= PAGE_BYTES and elems * size > FAR_CACHES * core.l2_bytes


def _written(problem: Product, core: Core, plan: Tiled) -> float:
    """Cycles of writing results panel by panel, in short runs that lie a row apart.

    4608 x 1536 x 16 took 2.2 times as long as row by row.
    """
    if not are_far(problem, core) or (plan.pack_row and plan.row_block == plan.rows):
        return 0.0
    return prod(a.extent for a in problem.axes) * problem.stored.bytes / LINE_BYTES * _FAR


def _again(problem: Product, core: Core, plan: Tiled) -> float:
    """Cycles of reading panels again that the second level does not keep for the next tile.

    Before results are turned, every tile reads a panel for each iteration of a block.
    """
    moving, _ = problem.split(plan.vector, plan.row)
    if plan.turn is None or not moving.moves(plan.turn):
        return 0.0
    steps = prod(axis.extent for axis in problem.reductions)
    extents = {axis.name: axis.extent for axis in problem.axes}
    width = min(plan.width, extents[plan.vector])
    if plan.lanes * steps * width * problem.dtype.bytes <= core.l2_bytes // 2:
        return 0.0
    tiles = prod(extents.values()) // plan.rows
    return tiles * steps * problem.dtype.bytes / (core.l3_bytes_per_cycle or 1)


def _evicted(problem: Product, core: Core, plan: Tiled) -> float:
    """Cycles for each element of a panel made ahead that leaves the second level between tiles.

    From a quarter of that level on, the more of it the panel takes: 49 x 2048 x 512, whose weights
    come from memory at each call, lost a third of its speed by panels of half of it, and a 3x3
    convolution of 14 x 14 x 512 by a step of 2 as much by panels of 0.84 of it.
    """
    held = prod(inside(problem, plan).values()) * plan.width * problem.dtype.bytes
    share = min(1.0, max(0.0, held / core.l2_bytes - 0.25) / 0.75)
    moving, _ = problem.split(plan.vector, plan.row)
    still = [axis.extent for axis in problem.axes if not moving.moves(axis.name)]
    again = max(0.0, prod(still) / plan.rows - 1)
    return share * again * problem.dtype.bytes / (core.l3_bytes_per_cycle or 1)


def _spilled(problem: Product, core: Core, plan: Tiled) -> float:
    """Cycles for each element of a panel that the second level cannot hold.

    Each tile reads it from the third, or from memory: the gradient of ResNet's first layer by its
    weights took 3.3 times as long as in passes. A copy is written there, too, whose line has to be
    read for that: 4096 x 128 x 4096 lost half of its speed with panels of all of L2. Where squares
    are turned, sixteen rows of the source pass through the second level beside the panel:
    7680 x 4 x 2560 lost half of its speed with panels of 0.6 of L2, and nothing with 0.16.
    """
    steps = prod(inside(problem, plan).values())
    width = plan.width * max(1, plan.panel_block)
    # What lies in place, in order, is asked for ahead: twice the second level is read at no loss.
    room = core.l2_bytes * 3 // 4 if plan.pack_vector else 2 * core.l2_bytes
    held, moves = steps * width * problem.dtype.bytes, 0.0
    if held > room:
        moving, _ = problem.split(plan.vector, plan.row)
        still = [axis.extent for axis in problem.axes if not moving.moves(axis.name)]
        # The first reading of what lies in place is counted as fetching.
        moves = prod(still) / plan.rows + (3 if plan.pack_vector else -1)
    elif (
        plan.pack_vector
        and held > room // 3
        and square_loop(problem, plan, plan.vector) is not None
    ):
        moves = 3.0
    return max(0.0, moves) * problem.dtype.bytes / (core.l3_bytes_per_cycle or 1)


def storing(problem: Product, vector: str, lanes: int, turned: int = 0) -> float:
    """Cycles of storing one vector; ``turned`` is how many lie side by side after a turn."""
    step = abs(problem.store.coefficient(vector))
    if turned:
        return 8.0 + _TURNED * max(1.0, lanes / turned)
    if step == 1:
        return 3.0
    return lanes * _LANE * (_LINE if step * problem.stored.bytes >= LINE_BYTES else 1.0)


def _fetched(problem: Product, plan: Tiled, form: Form, is_far: bool) -> float:
    """Cycles of waiting for one element that is read at some offset."""
    if not is_far or any(abs(form.coefficient(a.name)) == 1 for a in problem.reductions):
        return 0.0
    line = LINE_BYTES // problem.dtype.bytes
    step = abs(form.coefficient(plan.vector))
    run = plan.width if step == 1 else 1
    return _FAR * min(1.0, 2 * line / run) / min(run, line)


def _copied(problem: Product, plan: Tiled, form: Form) -> float:
    """Cycles of copying one element that is read at some offset."""
    if form.coefficient(plan.vector) in (0, 1):
        return _COPY / plan.lanes
    along = square_loop(problem, plan, plan.vector)
    if along is not None:
        return _SQUARE * -(-along.extent // plan.lanes) * plan.lanes / along.extent
    inside = (plan.vector, *(axis.name for axis in problem.reductions))
    steps = [abs(form.coefficient(name)) * problem.dtype.bytes for name in inside]
    # A line is used up while it is at hand if some loop of the copy moves inside it.
    return _LANE * (1.0 if any(0 < step <= LINE_BYTES // 2 for step in steps) else _LINE)


def _rows(problem: Product, core: Core, plan: Tiled, form: Form) -> float:
    """Cycles of waiting for the rows of all tiles, which are read where they lie."""
    if plan.row is None or form.coefficient(plan.vector):
        return 0.0
    if plan.pack_row:
        return _packed_rows(problem, core, plan, form)
    size, own = problem.dtype.bytes, abs(form.coefficient(plan.row))
    sizes, steps = inside(problem, plan), 1
    for axis in problem.reductions:
        step = abs(form.coefficient(axis.name))
        if 0 < step * size < LINE_BYTES:
            return 0.0  # rows are read in order, and a prefetcher follows
        if not own or step % own or step >= own * plan.rows:  # else rows overlap along a window
            steps *= sizes[axis.name]
    lines = steps * max(1.0, plan.rows * min(LINE_BYTES, own * size) / LINE_BYTES)
    first = 0.0
    if span(problem, form, sizes) * size > FAR_CACHES * core.l2_bytes:
        each = 2 * _FAR
    elif lines * LINE_BYTES <= core.l1_bytes // 2:
        each = 0.0
    else:
        each = _NEAR
    extents = {axis.name: axis.extent for axis in problem.axes}
    panels = -(-extents[plan.vector] // plan.width)
    tiles = panels * -(-extents[plan.row] // plan.rows)
    others = prod(extents.values()) // (extents[plan.vector] * extents[plan.row])
    elems = span(problem, form, {})
    if each < 2 * _FAR and elems * size > FAR_CACHES * core.l2_bytes:
        first = panels * elems * size / LINE_BYTES * 2 * _FAR  # a block comes from afar once
    return first + lines * each * tiles * others * passes(problem, plan)


def _packed_rows(problem: Product, core: Core, plan: Tiled, form: Form) -> float:
    """Cycles of fetching and copying rows, once for each task that does not divide them."""
    loops = (*problem.axes, *problem.reductions)
    elems = prod(axis.extent for axis in loops if form.coefficient(axis.name))
    side_by_side = form.coefficient(plan.row or "") == 1
    if side_by_side:
        each, run = 2 * _COPY / plan.rows, plan.rows  # a masked vector for each step
        extents = {axis.name: axis.extent for axis in problem.axes}
        wide = extents[plan.vector] >= 2 * plan.lanes
        if plan.reduce_block and wide and not problem.constraints:
            run = max(run, plan.row_block)  # a step is read for all tiles of a block at once
    elif along := [a.extent for a in problem.reductions if abs(form.coefficient(a.name)) == 1]:
        # Steps that lie side by side are turned in squares of vectors, the last one partly filled.
        each, run = _SQUARE * -(-along[0] // plan.lanes) * plan.lanes / along[0], 0
    else:
        each, run = _LANE, 1
    line = LINE_BYTES // problem.dtype.bytes
    own, fetched = span(problem, form, {}), 0.0
    if run and own * problem.dtype.bytes > FAR_CACHES * core.l2_bytes:
        fetched = own * _FAR * min(1.0, 2 * line / run) / min(run, line)
    shared = plan.parallel is not None and not form.coefficient(plan.parallel)
    return (elems * each + fetched) * (plan.tasks if shared else 1)
