"""Which schedules of a product can be followed, and why the others cannot."""

from __future__ import annotations

from math import prod

from tilec.schedule.footprint import inside, scratch_bytes
from tilec.schedule.product import Product
from tilec.schedule.values import Tiled
from tilec.target.core import Core
from tilec.tensor.forms import Axis
from tilec.tensor.scalar import Read

WORKSPACE_BYTES = 32 << 20
"""Scratch memory of a kernel, all threads together, unless the options say otherwise."""

TURN_COLUMNS = 128
"""Columns from which on rows are turned about when they are packed, which takes a shuffle and more
for each element: they are used for as many multiplications, 16 or more at a time."""

_BORDER_STEPS = 32
"""Steps that the border of a tile may unroll."""


def illegal(
    problem: Product,
    plan: Tiled,
    core: Core,
    *,
    ahead: bool = False,
    workspace_bytes: int = WORKSPACE_BYTES,
) -> str | None:
    """Why a schedule cannot be followed; None when it can.

    Args:
        problem: The sum of products.
        plan: The schedule.
        core: The target.
        ahead: Whether the vector operand is a constant that is packed before the call.
        workspace_bytes: Limit of scratch memory.
    """
    return _illegal_loops(problem, plan) or illegal_sizes(
        problem, plan, core, ahead=ahead, workspace_bytes=workspace_bytes
    )


def illegal_sizes(
    problem: Product, plan: Tiled, core: Core, *, ahead: bool, workspace_bytes: int
) -> str | None:
    """``illegal`` for a schedule whose loops are known to have the roles that it gives them."""
    return (
        _illegal_tile(problem, plan, core)
        or _illegal_packing(problem, plan)
        or _illegal_blocks(problem, plan)
        or _illegal_turn(problem, plan)
        or _illegal_workspace(problem, plan, core, workspace_bytes)
        or _illegal_ahead(plan, ahead)
    )


def illegal_pair(problem: Product, vector: str, row: str | None) -> str | None:
    """Why two output loops cannot be the lanes and the rows of a tile."""
    if row == vector:
        return f"{row} is both loops of the tile"
    moving = [factor for factor in problem.factors if factor.moves(vector)]
    if not moving:
        return f"no factor moves along {vector}"
    if row is None:
        return f"every factor moves along {vector}" if len(moving) == len(problem.factors) else None
    if not any(factor.moves(row) for factor in problem.factors):
        return f"no operand moves along {row}"
    if not any(problem.is_shared(factor, vector, row) for factor in problem.factors):
        return f"the operand along {vector} moves along {row}, too"
    return None


def illegal_constraints(problem: Product, vector: Axis, row: Axis | None) -> str | None:
    """Why tiles cannot follow the constraints on the index points."""
    reductions = {a.name for a in problem.reductions}
    for form in problem.constraints:
        names = {name for name, _ in form.terms}
        if vector.name in names:
            return f"a constraint binds the loop {vector.name}"
        if not names & reductions:
            return "a constraint binds output loops alone"
        if row is not None and row.name in names:
            if names - reductions - {row.name}:
                return f"a constraint couples {row.name} with other loops around it"
            if prod(a.extent for a in problem.reductions if a.name in names) > _BORDER_STEPS:
                return f"the border along {row.name} has too many steps to unroll"
        elif problem.reductions[-1].name in names and len(problem.reductions) == 1:
            return "a constraint binds the only reduction loop"
    return None


def _illegal_loops(problem: Product, plan: Tiled) -> str | None:
    axes = {axis.name: axis for axis in problem.axes}
    if not problem.reductions:
        return "there is no reduction loop"
    for name in (plan.vector, plan.row, plan.parallel, plan.turn):
        if name is not None and name not in axes:
            known = ", ".join(axes)
            return f"there is no output loop {name}; the output loops are {known}"
    vector, row = axes[plan.vector], None if plan.row is None else axes[plan.row]
    reason = illegal_pair(problem, plan.vector, plan.row)
    return reason or illegal_constraints(problem, vector, row)


def _illegal_tile(problem: Product, plan: Tiled, core: Core) -> str | None:
    most = core.vector_bytes // problem.dtype.bytes
    if not 2 <= plan.lanes <= most or plan.lanes & (plan.lanes - 1):
        return f"a vector has {plan.lanes} lanes, but they are a power of two from 2 to {most}"
    if plan.vectors < 1 or plan.rows < 1:
        return "a tile has at least one row and one vector"
    high = next((axis.extent for axis in problem.axes if axis.name == plan.row), 1)
    if plan.rows > high:
        where = f"the loop {plan.row} has {high}" if plan.row else "without a row loop there is 1"
        return f"the tile has {plan.rows} rows, but {where}"
    needed = plan.rows * plan.vectors + plan.vectors + 1
    if needed > core.registers:
        return (
            f"a tile of {plan.rows} rows and {plan.vectors} vectors needs {needed} registers, "
            f"but there are {core.registers}"
        )
    return None


def _illegal_packing(problem: Product, plan: Tiled) -> str | None:
    moving, still = problem.split(plan.vector, plan.row)
    if not plan.pack_vector:
        if not moving.is_read:
            return f"the operand along {plan.vector} has arithmetic, so it has to be packed"
        if moving.steps(plan.vector) != (1,):
            return (
                f"the operand along {plan.vector} does not have unit stride, so it has to be packed"
            )
    if plan.ahead and not plan.pack_vector:
        return f"what is made ahead is packed: 'pack {plan.vector} ahead'"
    if plan.pack_row and plan.row is None:
        return "there is no row loop to pack"
    if plan.pack_row and still.moves(plan.vector):
        return f"rows along {plan.row} differ along {plan.vector}, so that they cannot be packed"
    if plan.pack_row and any(form.coefficient(plan.row or "") for form in problem.constraints):
        return f"rows along {plan.row} cannot be packed where constraints leave some of them out"
    return None


def _illegal_ahead(plan: Tiled, ahead: bool) -> str | None:
    # The last question: panels are made ahead for schedules alone that have no other fault.
    if plan.ahead and not ahead:
        return f"the operand along {plan.vector} is no constant that could be packed ahead"
    return None


def _illegal_blocks(problem: Product, plan: Tiled) -> str | None:
    if min(plan.reduce_block, plan.row_block, plan.panel_block) < 0 or plan.tasks < 1:
        return "blocks are not negative, and there is at least one task"
    if plan.row_block and not plan.pack_row:
        return "a row block is of packed rows, and the rows are not packed"
    if plan.tasks > 1 and plan.parallel is None:
        return f"{plan.tasks} tasks need a loop to be divided"
    if plan.panel_block:
        reason = _illegal_panels(problem, plan)
        if reason is not None:
            return reason
    if not plan.reduce_block:
        return f"{plan.reduce_loop} is cut into blocks of no size" if plan.reduce_loop else None
    if plan.ahead and plan.reduce_loop is None and len(problem.reductions) > 1:
        return (
            "panels that are made ahead are read in runs of steps: name the reduction loop that is "
            f"cut, as in 'reduce block {plan.reduce_block} of {problem.reductions[-1].name}'"
        )
    loops = [axis.name for axis in problem.reductions]
    if plan.reduce_loop is not None and plan.reduce_loop not in loops:
        known = ", ".join(loops)
        return f"there is no reduction loop {plan.reduce_loop}; the reduction loops are {known}"
    sizes = inside(problem, plan)
    cut = [axis.name for axis in problem.reductions if sizes[axis.name] < axis.extent]
    for form in problem.constraints:
        if form.coefficient(plan.row or "") and any(map(form.coefficient, cut)):
            return f"a constraint couples {plan.row} with a reduction loop that is cut"
    if problem.stored != problem.dtype:
        return (
            f"partial sums are {problem.dtype.name}, but the output holds {problem.stored.name}: "
            "the reduction cannot be cut"
        )
    return None


def _illegal_panels(problem: Product, plan: Tiled) -> str | None:
    if not plan.pack_vector or plan.ahead or plan.pack_row:
        return (
            f"a panel block is of panels along {plan.vector} that are packed during the call, "
            "while rows stay where they lie"
        )
    if not copies_vectors(problem, plan.vector, plan.row):
        return f"panels along {plan.vector} are not packed by whole vectors, so not together"
    return None


def copies_vectors(problem: Product, vector: str, row: str | None) -> bool:
    """Whether packing moves whole vectors: one array without arithmetic, lanes side by side."""
    moving, _ = problem.split(vector, row)
    return (
        not problem.constraints
        and isinstance(moving.body, Read)
        and moving.body.dtype == problem.dtype
        and moving.steps(vector) == (1,)
    )


def square_loop(problem: Product, plan: Tiled, loop: str) -> Axis | None:
    """The reduction loop along which packing reads vectors, to turn squares of them about.

    ``loop`` is the one of the tile whose operand is packed: its iterations lie apart in memory, and
    side by side in the copy. Rows of few columns are not worth the turn.
    """
    moving, still = problem.split(plan.vector, plan.row)
    operand, lanes = moving, plan.lanes
    if loop != plan.vector:
        operand, lanes = still, row_lanes(plan)
        if next(axis.extent for axis in problem.axes if axis.name == plan.vector) < TURN_COLUMNS:
            return None
    if problem.constraints or operand.steps(loop) == (1,):
        return None
    sizes = inside(problem, plan)
    for axis in problem.reductions:
        size = sizes[axis.name]
        if size < lanes or (size < axis.extent and size % lanes):
            continue
        steps = operand.steps(axis.name)
        if 1 in steps and all(step in (0, 1) for step in steps):
            return axis
    return None


def rows_apart(problem: Product, plan: Tiled) -> bool:
    """Whether packed rows keep their steps together, each apart from the others.

    They lie so in memory, and nothing turns squares of them about.
    """
    _, still = problem.split(plan.vector, plan.row)
    row = plan.row or ""
    return still.steps(row) != (1,) and square_loop(problem, plan, row) is None


def row_lanes(plan: Tiled) -> int:
    """Lanes of the vectors by which rows are packed: no more than the rows of a tile fill."""
    return min(plan.lanes, max(2, 1 << (plan.rows - 1).bit_length()))


def _illegal_turn(problem: Product, plan: Tiled) -> str | None:
    if plan.turn is None:
        return None
    moving, _ = problem.split(plan.vector, plan.row)
    if problem.store.coefficient(plan.turn) != 1 or plan.turn == plan.vector:
        return f"results are turned to a loop of unit stride, which {plan.turn} is not"
    if plan.parallel == plan.turn:
        return f"{plan.turn}, to which results are turned, cannot be divided"
    if plan.reduce_block or plan.panel_block or plan.pack_row:
        return "results of whole sums only, of rows that are not packed, can be turned"
    if plan.pack_vector and moving.moves(plan.turn):
        return f"a panel along {plan.vector} is needed for each iteration of {plan.turn}"
    return None


def _illegal_workspace(
    problem: Product, plan: Tiled, core: Core, workspace_bytes: int
) -> str | None:
    needed = scratch_bytes(problem, plan, core.threads)
    if needed <= workspace_bytes:
        return None
    return f"packed copies take {needed} bytes, more than the limit of {workspace_bytes}"
