"""Which schedule a reduction gets that is bound by reading, and which it can have.

The model is that of Williams et al. (2009): a step takes as long as its loads, its arithmetic, or
the bytes that come from wherever the operands lie, whichever is longest.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from tilec.records import dataclass
from tilec.schedule.footprint import LINE_BYTES
from tilec.schedule.legal import WORKSPACE_BYTES
from tilec.schedule.reduction import Access, Reduction
from tilec.schedule.traffic import FAR_CACHES
from tilec.schedule.values import Streamed
from tilec.target.core import Core
from tilec.tensor.forms import Axis

ACCUMULATORS = 8
"""Independent sums of a dot product: FMA takes 4 cycles, and two can begin in each."""

MOST_USES = 8
"""Times that an element may be used: then sums of three rows still fit into the registers."""

WIDE = 4
"""Registers that the sums of fewer columns fit into: there a step of plain loops keeps them."""

MIN_BYTES = 8 << 10
"""Operands below this size are as fast in plain loops, whose code is shorter."""

COLUMN_ROWS = 4
"""Rows that are added to sums of columns at once, at least: fewer load and store them too often."""

MIN_ROWS = 16
"""Rows from which on sums that stay in the first cache are faster than sums in registers."""

SPAN_BYTES = 16 << 10
"""Sums kept at hand: half of a first cache of 32 KiB, and runs of four pages."""

SIDE_BY_SIDE = ((4, 1.0), (2, 1.05), (0, 1.2))
"""How much longer reading takes for at least so many rows side by side."""

PARALLEL_SECONDS = 3e-6
"""Time from which on a second thread pays: a fork and join of threads that still look for work
takes about a third of a microsecond, but the first lines of the other's operands come late."""

TASKS = 8
"""Iterations of a loop that is divided, at least: even for any small number of threads."""

PARTS = 16
"""Pieces of a reduction at most; no number of threads changes it, so neither the results."""

PART_ROWS = 128
"""Rows of a part, at least: its sums are set, stored, and read again by the last step, which takes
as long as reading three rows."""

PART_BYTES = 32 << 10
"""Bytes that a piece of a reduction reads, at least."""

COPY_CYCLES = (0.6, 1.2)
"""One element of an operand that is copied to lie consecutively, up to eight elements apart (they
are read by vectors and shuffled) and beyond."""

STORE_CYCLES = 3.0
"""One result that is stored by itself."""

MOST_ROWS = 32
"""Values that are added to each other before they are added to a total (see ``lower/loops.py``)."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A legal schedule and the seconds that the model gives it on one thread."""

    plan: Streamed
    seconds: float


def choose(
    problem: Reduction, core: Core, workspace_bytes: int = WORKSPACE_BYTES
) -> Streamed | str:
    """The schedule, or the reason why the reduction is not one that is bound by reading."""
    found, reason = candidates(problem, core, workspace_bytes)
    best = min(found, key=lambda each: each.seconds, default=None)
    return reason if best is None else best.plan


def candidates(
    problem: Reduction, core: Core, workspace_bytes: int = WORKSPACE_BYTES
) -> tuple[list[Candidate], str]:
    """All schedules that the model considers, and why there are none if there are none."""
    big = problem.big
    if problem.elements(big) * big.bytes < MIN_BYTES:
        return [], "too little is read"
    uses = problem.points / problem.elements(big)
    if uses > MOST_USES:
        return [], "operands are used more often than they are read"
    idle = [axis for axis in problem.axes if axis.extent > 1 and not big.moves(axis.name)]
    if len(idle) > 1 or (uses > 1 and (not idle or idle[0].extent != uses)):
        return [], "several loops use the same elements"
    share = idle[0] if idle else None
    found: list[Candidate] = []
    reason = "no operand has long runs of consecutive elements"
    for axis in (*problem.axes, *problem.reductions):
        if axis is share or not _is_run(problem, axis, big, core):
            continue
        pack = bool(spread(problem, axis.name))
        for plan in _plans(problem, core, axis, share):
            plan = replace(plan, pack=pack)
            plan = _divided(problem, core, plan)
            why = illegal(problem, plan, core, workspace_bytes)
            if why is None:
                found.append(Candidate(plan, cost(problem, core, plan)))
            else:
                reason = why
    return found, reason


def seconds(problem: Reduction, core: Core, plan: Streamed) -> float:
    """What the model gives a legal schedule on one thread."""
    shares = _shares(problem, plan)
    extent = problem.axis(plan.vector).extent
    vectors = -(-extent // plan.lanes) * (problem.points / max(1, extent))
    group = plan.rows * shares
    loads = 0.0
    for access in problem.reads:
        if access.moves(plan.vector):
            times = plan.rows if plan.row is not None and access.moves(plan.row) else 1
            times *= shares if plan.share is not None and access.moves(plan.share) else 1
            loads += times / group
    busy = max(loads / core.loads_per_cycle, problem.operations / core.fma_per_cycle)
    outputs = problem.points / max(1, _steps(problem))
    if problem.is_output(plan.vector):
        # Every row of a step shares one update of the sums: load, convert, add, store.
        busy += (4 if problem.cascades else 2) / plan.rows
        ends = outputs / plan.lanes * 4
        if abs(problem.store.coefficient(plan.vector)) > 1:
            ends = outputs * STORE_CYCLES
    else:
        width = plan.lanes * accumulators(plan.rows * shares)
        chain = core.fma_latency / (group * width / plan.lanes)
        busy = max(busy, chain) + (0.15 if problem.cascades else 0)
        ends = outputs * (5 if group == 1 else 3) + outputs / group * 3 * core.fma_latency
    compute = (vectors * busy + ends + _copying(problem, plan)) / (core.gigahertz * 1e9)
    slower = next(factor for rows, factor in SIDE_BY_SIDE if plan.rows >= rows)
    return max(compute, slower * reading(problem, core) + _again(problem, core, plan))


def reading(problem: Reduction, core: Core) -> float:
    """Seconds in which one thread reads all operands from where they lie between two calls."""
    size = problem.bytes
    level = next((name for name, held in core.levels if size <= held), "memory")
    return size / core.bandwidth(level, 1)


def cost(problem: Reduction, core: Core, plan: Streamed) -> float:
    """What schedules are compared by: seconds on one thread, more where tasks are uneven."""
    return seconds(problem, core, plan) * _unevenness(problem, plan)


def scratch_bytes(problem: Reduction, plan: Streamed, core: Core) -> int:
    """Bytes of the sums that all threads keep, and of the results of parts."""
    item = _sum_bytes(problem)
    if plan.parts > 1:
        copies = -(-_copied_bytes(problem, plan) // plan.parts) * core.threads
        outputs = prod(places(problem, plan, axis) for axis in problem.axes)
        return plan.parts * outputs * item + copies
    if plan.pack:
        return _copied_bytes(problem, plan)
    if not problem.is_output(plan.vector):
        return 0
    threads = 1 if plan.parallel is None else core.threads
    return (
        places(problem, plan, problem.axis(plan.vector)) * _shares(problem, plan) * item * threads
    )


def places(problem: Reduction, plan: Streamed, axis: Axis) -> int:
    """How many sums lie side by side along an output loop, in partial results or at hand.

    Sums of columns lie along the lanes, an odd number of cache lines for each other output: runs
    a power of two apart would meet in one set of the first-level cache.
    """
    if axis.name != plan.vector:
        return axis.extent
    count = plan.span if plan.span and plan.parts == 1 else axis.extent
    line = LINE_BYTES // _sum_bytes(problem)
    return (-(-count // line) | 1) * line


def _sum_bytes(problem: Reduction) -> int:
    return 8 if problem.cascades else problem.lane_bytes


def spread(problem: Reduction, vector: str) -> tuple[Access, ...]:
    """The operands whose elements along a loop do not lie side by side."""
    return tuple(each for each in problem.reads if abs(each.form.coefficient(vector)) > 1)


def accumulators(sums: int) -> int:
    """Registers of each of so many dot products that are summed side by side."""
    return max(1, ACCUMULATORS // sums)


def illegal(
    problem: Reduction,
    plan: Streamed,
    core: Core,
    workspace_bytes: int = WORKSPACE_BYTES,
) -> str | None:
    """Why a schedule cannot be followed; None when it can."""
    return (
        _illegal_loops(problem, plan)
        or _illegal_sizes(problem, plan, core)
        or _illegal_copies(problem, plan)
        or _illegal_constraints(problem, plan)
        or _illegal_division(problem, plan)
        or _illegal_workspace(problem, plan, core, workspace_bytes)
    )


def _is_run(problem: Reduction, axis: Axis, big: Access, core: Core) -> bool:
    """Whether the operands lie consecutively along a loop, or do not move."""
    name = axis.name
    lanes = core.lanes(problem.lane_bytes)
    least = WIDE * lanes + 1 if problem.is_output(name) else lanes
    if axis.extent < least or big.form.coefficient(name) not in (
        1,
        -1,
    ):
        return False
    if not spread(problem, name):
        return True
    return not problem.is_output(name) and not problem.constraints


def _plans(problem: Reduction, core: Core, vector: Axis, share: Axis | None) -> list[Streamed]:
    """Schedules on one thread with some loop as lanes."""
    lanes = core.lanes(problem.lane_bytes)
    shares = 1 if share is None else share.extent
    name = None if share is None else share.name
    if not problem.is_output(vector.name):
        rows = [
            axis
            for axis in problem.axes
            if axis is not share and axis.extent > 1 and problem.big.moves(axis.name)
        ]
        most = core.registers // 4 if shares == 1 else core.registers * 3 // 4 // shares
        plans = [
            Streamed(vector.name, lanes, row.name, count, name)
            for row in rows
            for count in (8, 6, 4, 3, 2)
            if count <= min(most, row.extent)
        ]
        return [*plans, Streamed(vector.name, lanes, None, 1, name)]
    sums = 8 if problem.cascades else 4
    span = SPAN_BYTES // sums // lanes * lanes
    wide = 2 if problem.cascades else 1
    count = wide * max(COLUMN_ROWS, core.registers // 4 // shares)
    return [
        Streamed(
            vector.name,
            lanes,
            row.name,
            count,
            name,
            span=span if vector.extent > span else 0,
        )
        for row in problem.reductions
        if row.extent >= max(MIN_ROWS, 2 * count) and problem.big.moves(row.name)
    ]


def _divided(problem: Reduction, core: Core, plan: Streamed) -> Streamed:
    """The schedule with its loops divided among threads, where that pays.

    Nothing here depends on how many threads there are: the results must not.
    """
    if core.threads == 1 or seconds(problem, core, plan) < PARALLEL_SECONDS:
        return plan
    taken = (plan.vector, plan.row, plan.share)
    outer = [axis for axis in problem.axes if axis.name not in taken and axis.extent >= TASKS]
    if outer:
        return replace(plan, parallel=outer[0].name)
    if problem.is_output(plan.vector):
        if plan.span and problem.axis(plan.vector).extent >= PARTS * plan.span:
            return replace(plan, parallel=plan.vector)
        row = problem.axis(plan.row or plan.vector)
        parts = min(PARTS, row.extent // PART_ROWS, problem.bytes // PART_BYTES)
        return replace(plan, parts=parts, parallel=row.name) if parts > 1 else plan
    whole = plan.row is not None and _tasks(problem, plan.row, plan.rows) >= TASKS
    if whole and not _is_far(problem, core, plan):
        return replace(plan, parallel=plan.row)
    cut = max(problem.reductions, key=lambda axis: axis.extent)
    width = plan.lanes * ACCUMULATORS if cut.name == plan.vector else 1
    # What all rows share is read again for each of them: a part of it stays in the second level.
    most = max(PARTS, -(-_shared_bytes(problem) // (core.l2_bytes // 4)))
    parts = min(most, cut.extent // (2 * width), problem.bytes // PART_BYTES)
    return replace(plan, parts=parts, parallel=cut.name) if parts > 1 else plan


def _unevenness(problem: Reduction, plan: Streamed) -> float:
    """How much longer the longest of some tasks takes than their mean."""
    if plan.parallel is None:
        return 1.0 if problem.bytes < PART_BYTES else 1.5
    if plan.parts > 1:
        return 1.02
    size = plan.rows if plan.parallel == plan.row else plan.span or 1
    size = 1 if plan.parallel not in (plan.row, plan.vector) else size
    tasks = _tasks(problem, plan.parallel, size)
    return -(-tasks // TASKS) * TASKS / tasks


def _tasks(problem: Reduction, name: str, size: int) -> int:
    return -(-problem.axis(name).extent // size)


def _steps(problem: Reduction) -> int:
    """Index points of an output element."""
    outputs = 1
    for axis in problem.axes:
        outputs *= axis.extent
    return problem.points // max(1, outputs)


def _shares(problem: Reduction, plan: Streamed) -> int:
    return 1 if plan.share is None else problem.axis(plan.share).extent


def _copied_bytes(problem: Reduction, plan: Streamed) -> int:
    """Bytes of the copies of all operands that are copied."""
    if not plan.pack:
        return 0
    loops = (*problem.axes, *problem.reductions)
    return sum(
        access.bytes * prod(axis.extent for axis in loops if access.moves(axis.name))
        for access in spread(problem, plan.vector)
    )


def _copying(problem: Reduction, plan: Streamed) -> float:
    """Cycles of making the copies."""
    return sum(
        problem.elements(access) * COPY_CYCLES[abs(access.form.coefficient(plan.vector)) > 8]
        for access in (spread(problem, plan.vector) if plan.pack else ())
    )


def _shared_bytes(problem: Reduction) -> int:
    """Bytes of all operands but the largest one."""
    return problem.bytes - problem.elements(problem.big) * problem.big.bytes


def _is_far(problem: Reduction, core: Core, plan: Streamed) -> bool:
    """Whether what all rows share comes from far for each of them; the third level keeps up."""
    return _shared_bytes(problem) // plan.parts > FAR_CACHES * core.l2_bytes


def _again(problem: Reduction, core: Core, plan: Streamed) -> float:
    """Seconds of reading again, for each block of rows, what the second level does not hold."""
    if plan.row is None:
        blocks = prod(axis.extent for axis in problem.axes if axis.name != plan.share)
    else:
        blocks = _tasks(problem, plan.row, plan.rows)
    if problem.is_output(plan.vector) or not _is_far(problem, core, plan):
        return 0.0
    return (blocks - 1) * _shared_bytes(problem) / core.bandwidth("L3", 1)


def _illegal_loops(problem: Reduction, plan: Streamed) -> str | None:
    outputs = [axis.name for axis in problem.axes]
    reductions = [axis.name for axis in problem.reductions]
    if plan.vector not in (*outputs, *reductions):
        return f"there is no loop {plan.vector}; the loops are {', '.join((*outputs, *reductions))}"
    columns = plan.vector in outputs
    allowed, kind = (reductions, "reduction") if columns else (outputs, "output")
    if plan.row is None:
        if columns:
            return f"what is added to sums along {plan.vector} needs a loop of rows"
        if plan.rows != 1:
            return f"there are {plan.rows} rows, but no loop of rows"
    elif plan.row not in allowed:
        return f"there is no {kind} loop {plan.row} beside {plan.vector}"
    if plan.share is None:
        return None
    if plan.share not in outputs or plan.share in (plan.vector, plan.row):
        return f"there is no further output loop {plan.share} that could share what is read"
    return None


def _illegal_sizes(problem: Reduction, plan: Streamed, core: Core) -> str | None:
    most = core.lanes(problem.lane_bytes)
    if not 1 < plan.lanes <= most or plan.lanes & (plan.lanes - 1):
        return f"a vector has {plan.lanes} lanes, but they are a power of two from 2 to {most}"
    if plan.row is not None and not 1 <= plan.rows <= problem.axis(plan.row).extent:
        return f"{plan.rows} rows of {problem.axis(plan.row).extent}"
    columns = problem.is_output(plan.vector)
    shares = _shares(problem, plan)
    if not columns and plan.rows * shares > core.registers * 3 // 4:
        return f"{plan.rows * shares} sums do not fit into {core.registers} registers"
    if columns and (plan.rows > MOST_ROWS or plan.rows * shares > 2 * MOST_ROWS):
        return f"a step adds {plan.rows} rows to {shares} sums, and the most is {MOST_ROWS} to 2"
    if plan.span and not columns:
        return f"a span is of an output loop, and {plan.vector} is one of the reduction"
    if plan.span < 0 or plan.span % plan.lanes:
        return f"a span of {plan.span} is no multiple of {plan.lanes} lanes"
    return None


def _illegal_copies(problem: Reduction, plan: Streamed) -> str | None:
    if not plan.pack:
        return None
    if problem.is_output(plan.vector):
        return f"sums along {plan.vector} are added to what is read where it lies"
    if not spread(problem, plan.vector):
        return f"all operands lie consecutively along {plan.vector}, so nothing is packed"
    if problem.constraints:
        return "a constraint leaves points out, so what is there to be packed is not known"
    return None


def _illegal_constraints(problem: Reduction, plan: Streamed) -> str | None:
    cut = plan.parallel if plan.parts > 1 else None
    for form in problem.constraints:
        for name in (plan.vector, plan.row, plan.share, cut):
            if name is not None and form.coefficient(name):
                return f"a constraint binds the loop {name}"
    return None


def _illegal_division(problem: Reduction, plan: Streamed) -> str | None:
    if plan.parts < 1 or (plan.parts > 1 and plan.parallel is None):
        return "there is at least one part"
    if plan.parallel is None:
        return None
    if plan.parts == 1:
        if not problem.is_output(plan.parallel):
            return f"there is no output loop {plan.parallel} to divide among threads"
        if plan.parallel == plan.share:
            return f"the loop {plan.parallel} shares what is read, so it is not divided"
        return None
    if all(axis.name != plan.parallel for axis in problem.reductions):
        return f"there is no reduction loop {plan.parallel} to cut into parts"
    if problem.is_output(plan.vector) and plan.parallel != plan.row:
        return f"the rows are those of {plan.row}, so {plan.parallel} is not cut"
    if plan.parts > problem.axis(plan.parallel).extent:
        return f"{plan.parts} parts of {problem.axis(plan.parallel).extent} iterations"
    return None


def _illegal_workspace(
    problem: Reduction, plan: Streamed, core: Core, workspace_bytes: int
) -> str | None:
    needed = scratch_bytes(problem, plan, core)
    if needed <= workspace_bytes:
        return None
    return f"the sums take {needed} bytes, more than the limit of {workspace_bytes}"
