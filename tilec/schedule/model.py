"""The cost model: picks the whole schedule of a product from a description of the machine.

Analytic, after Low et al. (2016): a register tile must hide the latency of FMA, its operands must
arrive from cache fast enough, and blocks are sized so that each operand stays in the cache it is
read from. Nothing is run.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, partial
from math import gcd, log2, prod

from tilec.records import dataclass
from tilec.schedule.blocks import blocked, by_rows, in_runs, summing
from tilec.schedule.footprint import LINE_BYTES, scratch_bytes
from tilec.schedule.legal import (
    WORKSPACE_BYTES,
    copies_vectors,
    illegal_constraints,
    illegal_pair,
    illegal_sizes,
)
from tilec.schedule.product import Operand, Product
from tilec.schedule.traffic import FAR_CACHES, storing, traffic
from tilec.schedule.values import Tiled
from tilec.target.core import Core
from tilec.tensor.forms import Axis

MIN_WORK = 1 << 15
"""Multiplications below which one plain loop nest is as good and compiles faster."""

PARALLEL_CYCLES = 1 << 14
"""Cycles of multiplications on one thread below which a second one does not pay: fork and join
take some 1500, and each thread meets its operands in a cold cache."""

UNSHARED = 8
"""How much longer a multiplication takes, about, whose operands all come from memory."""

PACK_USES = 3
"""Tiles that read a panel from which on packing it pays: rows of a wide matrix share few cache
lines and pages, and a copy costs about as much as three tiles lose by that."""

MIN_TURN = 4
"""Results side by side from which on they are stored together."""

KEPT = 12
"""Tiles of a pair of loops, the cheapest by their multiplications, of which whole schedules are
made."""

WAYS = 8
"""Lines of one set of the first-level cache."""

PAGE_BYTES = 4096
"""Addresses this far apart share a set of the first-level cache, and none shares a page."""

L2_BYTES_PER_CYCLE = 24
"""What a core sustains from its second-level cache, where panels are read from."""

ODD_LINES = 1.25
"""What a step costs that reads an odd number of lines of a panel: L2 fetches lines in pairs.
Tiles of three vectors run 4 to 7 % slower than others, count for count."""

LOOP_ENTRY = 40
"""Cycles to enter the innermost loop and leave it: addresses, a branch predicted wrongly."""

EVEN = 0.8
"""Share of the threads' time that a division into panels must use to be preferred: each panel is
then packed by one thread only."""

AGAIN = 0.1
"""Cycles for each element of an operand that every thread packs for itself, beside the first."""

AGAIN_FAR = 1.0
"""The same of an operand that the second level cannot hold. 512 x 1500 x 2560 lost 1.3 by it."""

FEW_TILES = 32
"""Tiles per panel up to which panels are packed in groups: then reading them is a good part of the
work, and long runs of memory are read faster than many short ones."""

MIN_BLOCK = 32
"""Reduction steps between which it pays to store the outputs and load them again."""

RUN_BYTES = 4096
"""Memory read in one run while a group of panels is packed: a page, over which the hardware's
prefetcher follows."""

REDUCE_BLOCK = 384
"""Reduction steps per pass over packed panels: a panel of 32 columns then fills L1 one and a half
times, and the outputs are loaded and stored once per 384 FMAs."""


def choose(
    problem: Product,
    core: Core,
    *,
    ahead: bool = False,
    workspace_bytes: int = WORKSPACE_BYTES,
) -> Tiled | str:
    """The schedule, or the reason why the product is left to the plain loops.

    ``ahead`` says that the vector operand is a constant, whose panels cost nothing per call.
    """
    return _chosen(problem.unnamed(), core, ahead, workspace_bytes)


@lru_cache(maxsize=1024)
def _chosen(problem: Product, core: Core, ahead: bool, workspace_bytes: int) -> Tiled | str:
    """``choose``: networks have many equal layers, each of which is asked about twice."""
    total = prod(a.extent for a in (*problem.axes, *problem.reductions))
    if total < MIN_WORK or not problem.reductions:
        return "too little work"
    found, reason = candidates(problem, core, ahead, workspace_bytes)
    best = min(found, key=lambda each: each.elapsed(core), default=None)
    return reason if best is None else best.plan


@dataclass(frozen=True, slots=True)
class Candidate:
    """A legal schedule and the cycles that the model gives it on one thread."""

    plan: Tiled
    cycles: float

    def elapsed(self, core: Core) -> float:
        """Cycles until all threads that take part are done."""
        return self.cycles / used_threads(self.plan, core)


def used_threads(plan: Tiled, core: Core) -> int:
    """Threads that take part."""
    return 1 if plan.parallel is None else core.threads


def candidates(
    problem: Product, core: Core, ahead: bool, workspace_bytes: int
) -> tuple[list[Candidate], str]:
    """All schedules that the model considers, and why there are not more."""
    lanes = core.vector_bytes // problem.dtype.bytes
    found: list[Candidate] = []
    reason = "no output loop has consecutive elements"
    for axis in problem.axes:
        is_short = axis.extent < lanes // 2
        if axis.extent < 2:
            continue
        for row in (*(a for a in problem.axes if a is not axis and a.extent > 1), None):
            name = None if row is None else row.name
            why = illegal_pair(problem, axis.name, name) or illegal_constraints(problem, axis, row)
            if why is not None:
                reason = why
                continue
            operand, other = problem.split(axis.name, name)
            if row is None and operand.steps(axis.name) != (1,):
                reason = "nothing would reuse a packed operand"
                continue
            # A vector that is filled in part still pays where it is read and stored as it lies:
            # then the rows, which are most of the memory, are read once, in order.
            straight = operand.steps(axis.name) == (1,) == (problem.store.coefficient(axis.name),)
            if is_short and not straight:
                continue
            turn = _turn(problem, axis, row, operand)
            fetch = _fetch(problem, core, other)
            tile = partial(_cycles, problem, core, axis, row, other, lanes, turn, fetch)
            shapes = {
                (min(rows, row.extent if row else 1), vectors) for rows, vectors in _tiles(core)
            }
            wide = -(-axis.extent // lanes)
            shapes = {(rows, min(vectors, wide)) for rows, vectors in shapes}
            for rows, vectors in sorted(shapes, key=lambda each: (tile(*each), each))[:KEPT]:
                plan = _plan(problem, core, axis, row, operand, other, rows, vectors, lanes, ahead)
                if scratch_bytes(problem, plan, core.threads) > workspace_bytes:
                    plan = replace(plan, pack_row=False, row_block=0)
                in_place = replace(plan, pack_row=False, row_block=0, reduce_block=0)
                loose = [in_place] if plan.pack_row and other.is_read else []
                loose += by_rows(problem, core, plan)
                cut = (*blocked(problem, core, plan), *in_runs(problem, core, plan))
                for each in (plan, *loose, *cut):
                    why = illegal_sizes(
                        problem, each, core, ahead=ahead, workspace_bytes=workspace_bytes
                    )
                    if why is None:
                        found.append(Candidate(each, cycles(problem, core, each)))
                    else:
                        reason = why
    return found, reason


def cycles(problem: Product, core: Core, plan: Tiled) -> float:
    """The cycles that the model gives a legal schedule on one thread."""
    axes = {axis.name: axis for axis in problem.axes}
    row = None if plan.row is None else axes[plan.row]
    _, still = problem.split(plan.vector, plan.row)
    pair, fetch = (axes[plan.vector], row), 0.0 if plan.pack_row else _fetch(problem, core, still)
    work = _cycles(
        problem, core, *pair, still, plan.lanes, plan.turn, fetch, plan.rows, plan.vectors
    )
    return work + traffic(problem, core, plan) + summing(problem, core, plan)


def _tiles(core: Core) -> list[tuple[int, int]]:
    """Register tiles that fit: accumulators, one row of the vector operand, one broadcast."""
    return [
        (rows, vectors)
        for vectors in (1, 2, 3, 4, 6, 8, 12, 15)
        for rows in range(1, 32)
        if rows * vectors + vectors + 1 <= core.registers
    ]


def _plan(
    problem: Product,
    core: Core,
    axis: Axis,
    row: Axis | None,
    operand: Operand,
    other: Operand,
    rows: int,
    vectors: int,
    lanes: int,
    ahead: bool,
) -> Tiled:
    inner = problem.reductions[-1]
    count = row.extent if row is not None else 1
    uses = prod(
        a.extent for a in problem.axes if not operand.moves(a.name)
    )  # how often each element of the vector operand is read
    contiguous = operand.is_read and operand.steps(axis.name) == (1,)
    wide = any(abs(step) > vectors * lanes for step in operand.steps(inner.name))
    far = _elements(problem, operand) * problem.dtype.bytes > core.l2_bytes
    pack_vector = ahead or not contiguous or (wide and uses >= (1 if far else PACK_USES) * rows)
    coupled = any(row is not None and form.coefficient(row.name) for form in problem.constraints)
    far_rows = any(abs(step) * problem.dtype.bytes >= 2048 for step in other.steps(inner.name))
    held = _elements(problem, other) * problem.dtype.bytes
    scattered = held > FAR_CACHES * core.l2_bytes and all(
        abs(step) * problem.dtype.bytes >= LINE_BYTES for step in other.steps(inner.name)
    )
    reads = prod(a.extent for a in problem.axes if not other.moves(a.name))
    pack_row = (
        row is not None
        and rows > 1
        and not coupled
        and not other.moves(axis.name)
        and not problem.constraints
        and (not other.is_read or (far_rows and reads >= 64) or (scattered and reads >= lanes))
    )
    turn = _turn(problem, axis, row, operand)
    if turn is not None:
        pack_row = False
        pack_vector = pack_vector and not operand.moves(turn)
    reduce_block = row_block = 0
    # Partial sums need outputs of their own type; panels made ahead are cut by ``in_runs``.
    whole = problem.stored != problem.dtype or ahead or bool(problem.constraints)
    whole = whole or turn is not None
    # A panel stays in L2 while all rows pass by; together with packed rows, in a part of it.
    room = REDUCE_BLOCK if pack_row else core.l2_bytes // 2 // (vectors * core.vector_bytes)
    if (pack_vector or pack_row) and not whole and inner.extent > room * 3 // 2:
        blocks = -(-inner.extent // room)
        reduce_block = -(-inner.extent // blocks)
        if pack_row:  # whole squares of vectors
            reduce_block = -(-reduce_block // lanes) * lanes
    panel_block = 0
    together = turn is None and pack_vector and wide and far and not whole and not pack_row
    if (
        together
        and uses <= FEW_TILES * rows
        and copies_vectors(problem, axis.name, row and row.name)
    ):
        panel_block, reduce_block = _panel_block(problem, core, axis, vectors * lanes)
    if pack_row:
        steps = reduce_block or prod(a.extent for a in problem.reductions)
        fits = core.l2_bytes // 2 // (steps * problem.dtype.bytes)
        row_block = max(rows, fits // rows * rows)
    parallel, tasks = _parallel(
        problem, core, axis, row, vectors * lanes, count, rows, turn, far, ahead
    )
    return Tiled(
        axis.name,
        None if row is None else row.name,
        rows,
        lanes,
        vectors,
        pack_vector,
        pack_row,
        reduce_block,
        row_block,
        panel_block,
        tasks,
        parallel,
        ahead,
        turn,
    )


def _panel_block(problem: Product, core: Core, axis: Axis, width: int) -> tuple[int, int]:
    """Panels that are packed together, and the reduction block with which they fit into L2."""
    size = problem.dtype.bytes
    panels = -(-axis.extent // width)
    share = -(-panels // core.threads)
    group = min(RUN_BYTES // (width * size), share)
    *outer, inner = (a.extent for a in problem.reductions)
    room = core.l2_bytes // 2 // (max(1, group) * width * size * prod(outer))
    if group < 2 or room < MIN_BLOCK:
        return 0, 0
    blocks = -(-inner // room)
    return group, -(-inner // blocks) if blocks > 1 else 0


def _turn(problem: Product, axis: Axis, row: Axis | None, operand: Operand) -> str | None:
    """The loop to turn results to, where lanes along ``axis`` would be stored one by one."""
    if abs(problem.store.coefficient(axis.name)) == 1:
        return None
    for unit in problem.axes:
        if problem.store.coefficient(unit.name) != 1 or unit.extent < MIN_TURN:
            continue
        in_place = operand.is_read and operand.steps(axis.name) == (1,)
        if in_place or not operand.moves(unit.name):
            return unit.name
    return None


FORK_CYCLES = 20_000
"""What it costs to divide one iteration of a batch among threads: a fork, and operands that each
of them reads."""


def _parallel(
    problem: Product,
    core: Core,
    axis: Axis,
    row: Axis | None,
    width: int,
    count: int,
    rows: int,
    turn: str | None,
    far: bool,
    ahead: bool,
) -> tuple[str | None, int]:
    """The loop to divide: panels where that is even, so that no panel is packed twice."""
    total = prod(a.extent for a in (*problem.axes, *problem.reductions))
    moving, still = problem.split(axis.name, row and row.name)
    apart = still.moves(axis.name)  # nothing is read twice, so that memory is the limit
    work = total * (UNSHARED if apart else 1)
    at_once = core.vector_bytes // problem.dtype.bytes * core.fma_per_cycle
    if core.threads == 1 or work < PARALLEL_CYCLES * at_once:
        return None, 1

    others = [a for a in problem.axes if a is not axis and a is not row and a.name != turn]
    outer = [a for a in others if _even(a.extent, core) >= EVEN]
    # Around a batch loop there is one fork for all, inside of it one for each iteration.
    batch = next((a for a in outer if moving.moves(a.name)), None)
    if batch is not None:
        idle = work / at_once / core.threads * (1 / _even(batch.extent, core) - 1)
        if idle <= FORK_CYCLES * batch.extent:
            return batch.name, batch.extent
    if apart and outer:
        return outer[0].name, core.threads
    panels = -(-axis.extent // width)
    tiles = -(-count // rows)
    long = [a for a in others if a.extent >= 2 * core.threads]
    by_rows = row is not None and row.name != turn
    # An operand that all cores can keep is packed by each; one that they cannot, in parts.
    even = by_rows and _even(tiles, core) >= max(EVEN, _even(panels, core))
    if row is not None and not far and not long and even:
        return row.name, core.threads
    if ahead and (axes := long or [a for a in (row,) if a is not None and by_rows]):
        # Panels are there: the larger operand is divided, and each core reads its part of it.
        larger = _elements(problem, still) > _elements(problem, moving)
        pieces = axes[0].extent if long else tiles
        if larger and still.moves(axes[0].name) and _even(pieces, core) >= EVEN:
            return axes[0].name, core.threads
    if _even(panels, core) >= EVEN:
        # An uneven division into panels is worse than packing all of them by every thread, if the
        # panels are few and the rows are many.
        uneven = 1 / _even_lanes(axis.extent, width, core) - 1 / _even(tiles, core)
        lost = total / at_once * uneven
        twice = _elements(problem, moving) * (AGAIN_FAR if far else AGAIN) * (core.threads - 1)
        if row is not None and even and not ahead and lost > 2 * twice:
            return row.name, core.threads
        return axis.name, core.threads
    if long:
        inside = moving.moves(long[0].name)
        return long[0].name, long[0].extent if inside else core.threads
    if row is not None and even:
        return row.name, core.threads
    if panels >= core.threads:
        return axis.name, core.threads
    if by_rows and row and tiles >= core.threads:
        return row.name, core.threads
    # An uneven division is better than none: 3 iterations of 3 on 2 threads take two thirds.
    few = [a for a in others if a.extent >= core.threads]
    if few:
        return max(few, key=lambda a: _even(a.extent, core)).name, core.threads
    return None, 1


def _elements(problem: Product, operand: Operand) -> int:
    """Index points that an operand depends on: at least its elements."""
    return prod(a.extent for a in (*problem.axes, *problem.reductions) if operand.moves(a.name))


def _even(pieces: int, core: Core) -> float:
    """Share of the threads' time that is used when they divide some pieces."""
    return pieces / (-(-pieces // core.threads) * core.threads)


def _even_lanes(extent: int, width: int, core: Core) -> float:
    """Share of the threads' time that is used when they divide panels, the last one narrower."""
    most = -(-extent // (width * core.threads)) * width
    return extent / (min(most, extent) * core.threads)


def _cycles(
    problem: Product,
    core: Core,
    axis: Axis,
    row: Axis | None,
    other: Operand,
    lanes: int,
    turn: str | None,
    fetch: float,
    rows: int,
    vectors: int,
) -> float:
    """Cycles of the multiplications of the whole problem on one thread, tile edges included."""
    steps = prod(a.extent for a in problem.reductions)
    others = prod(a.extent for a in problem.axes if a is not axis and a is not row)
    per_tile = 0.0
    entries = prod(a.extent for a in problem.reductions[:-1])
    is_vector = other.moves(axis.name)
    # Lanes of a still operand that do not lie side by side are read one by one.
    apart = lanes * sum(abs(step) > 1 for step in other.steps(axis.name))
    full, rest = divmod(-(-axis.extent // lanes), vectors)
    columns = [(full, vectors)] + ([(1, rest)] if rest else [])
    high = row.extent if row is not None else 1
    lines = [(high // rows, rows)]
    if high % rows:
        lines.append((1, high % rows))
    for many, wide in columns:
        for count, deep in lines:
            fma = deep * wide / core.fma_per_cycle
            loads = ((deep * wide if is_vector else deep) + wide) / core.loads_per_cycle
            loads += deep * wide * apart
            chain = float(core.fma_latency)
            held = deep if row is not None and turn == row.name else lanes
            store = storing(problem, axis.name, lanes, 0 if turn is None else held)
            stream = wide * core.vector_bytes / L2_BYTES_PER_CYCLE
            if wide % 2:
                stream *= ODD_LINES
            # Loads compete for issue slots, and what comes from farther delays those from L1.
            busy = max(fma, loads, chain, stream)
            busy += 0.3 * loads + 0.15 * stream + 0.35 * deep * fetch
            busy = busy * steps + store * deep * wide + entries * LOOP_ENTRY
            per_tile += many * count * busy
    if is_vector and vectors == 1 and axis.extent > lanes:
        per_tile *= 1.2  # lines are fetched in pairs
    step = max((abs(s) for s in other.steps(row.name)), default=1) if row is not None else 1
    distance = step * problem.dtype.bytes
    if fetch:
        per_tile *= _crowding(rows, distance)
    # Every row is a stream of its own for the prefetchers; near ones share pages.
    return per_tile * others * (1 + 0.007 * rows + 0.0005 * log2(1 + distance / LINE_BYTES))


def _fetch(problem: Product, core: Core, other: Operand) -> float:
    """Cycles in which an element of the other operand comes to L1, shared among its uses."""
    extents = {a.name: a.extent for a in (*problem.axes, *problem.reductions)}
    cycles = 0.0
    for form in other.forms:
        span = 1 + sum(abs(factor) * (extents[name] - 1) for name, factor in form.terms)
        points = prod(extents[name] for name, _ in form.terms)
        near = span * problem.dtype.bytes <= core.l2_bytes // 2
        rate = core.l2_bytes_per_cycle if near else core.l3_bytes_per_cycle or 1
        cycles += problem.dtype.bytes / rate * min(1, span / points)
    return cycles


def _crowding(rows: int, distance: int) -> float:
    """What rows of a tile lose that fall into the same sets of the first-level cache.

    A line of a row serves several steps, while the panel streams through the cache.
    """
    sharing = rows / (PAGE_BYTES // gcd(distance, PAGE_BYTES))
    return 1.3 if sharing >= WAYS else 1 + 0.04 * max(0.0, sharing - 3)
