"""Schedules of convolutions by Winograd's method, and the model that chooses them.

Three phases follow each other, so their times add up: the data go in, the products are formed, the
outputs come out. While products are formed, transformed weights come from the cache that holds them
all, or from memory, and neither hides the other whole: with few tiles it is the weights that decide
how large a tile may be. The transforms are counted in vector operations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import ceil, log2, prod
from typing import Final

from tilec.errors import ScheduleError
from tilec.records import dataclass
from tilec.target.core import Core
from tilec.tensor.winograd import Winograd

LINE_BYTES = 64

LOOP_ENTRY = 40
"""Cycles to enter the innermost loop and leave it: addresses, a branch predicted wrongly."""

TRANSFORM = 2.4
"""Cycles per element of a tile and vector, in and out. A transform takes one load, one store and
about four operations per element, and spills what the registers cannot hold."""

COPY = 1.5
"""Cycles per element and vector for the copy of a tile at the border."""

SCRATCH = 0.65
"""Share of the second-level cache that the transforms of a block may fill."""

RESIDENT = 0.5
"""Share of the second-level cache in which transforms stay while panels of weights pass by. Of
twice as much nothing stays."""

AGAIN = 0.8
"""Share of the time for reading transforms again that nothing hides: rows are read in order."""

MEMORY = 0.4
"""Share of the memory's bandwidth that weights reach: it is latency that binds a single stream."""

THIRD = 0.75
"""The same for the third level."""

UNHIDDEN = 0.35
"""Share of the shorter one of products and of fetching weights that the longer one does not hide.
Fitted, with the two shares above, to 3x3 layers of 7 to 28 pixels and 256 to 512 channels."""

FOLDED = 1.6
"""How many times as long a broadcast takes that is part of a multiplication, as it is where a row
has one vector: 28 rows took 23.6 cycles with all operands in the first level."""

PANEL_VECTOR = 0.9
"""Cycles by which a step is longer for each vector of a panel as large as half the first level,
where also rows lie and what comes next."""

LONG_RUN = 256
"""Bytes of outputs side by side from which on memory is written at full speed."""

SHORT_RUN = 0.5
"""Share by which writing takes longer in shorter runs: 224 x 224 outputs of 64 channels took
5.6 ms in runs of 256 bytes, and 6.1 in runs of 128."""

LATE = 16
"""Channels whose taps stay in the first level: 9 KiB of 3x3 filters, and as much of what comes."""

CHAINED = 1.4
"""How many times as long steps with late weights take as their operations: transforms are chains,
and hold places in the queues of the processor. Fitted to a layer of 7 pixels and 512 channels."""

REORDERED = 0.25
"""Elements per cycle of late weights, which are only put into another order: 0.2 to 0.4 where
filters are read across their rows."""

GROUPS = (1, 2, 4, 8)
"""Panels of a group that are tried."""

FILTERING = 1.2
"""Multiplications in f64 per cycle at which a thread transforms weights: 1.7 where filters lie side
by side, 0.5 to 0.9 where they are read across their rows, as in a gradient by the data."""

BLOCKS = 6
"""How many sizes of blocks are tried, from the largest that fits."""


_TEXT: Final = re.compile(
    r"winograd (F\(\d+(?:x\d+)*,\d+(?:x\d+)*\)) (\d+)x(\d+)x(\d+), "
    r"block (\d+)(?:, group (\d+))?(?:, late (\d+))?(?:, parallel (tiles|filters))?"
)


@dataclass(frozen=True, slots=True)
class WinogradPlan:
    """Schedule of a convolution by Winograd's method.

    Attributes:
        method: The tiles and the window, like ``F(4x4,3x3)``.
        block: Tiles whose transforms are at hand together.
        rows: Tiles of a register tile.
        lanes: Elements of one vector register.
        vectors: Registers along the filters of a register tile, which is as wide as a panel.
        parallel: What is divided among threads: ``tiles``, or ``filters``; None for one thread.
        group: Panels whose products are formed together, one product of all tiles and these panels
            after the other, so that only the transforms of one product are at hand at a time.
        late: Channels whose taps pass by all products together, and are transformed in registers;
            0 for weights that are transformed ahead. ``rows`` then counts tiles, each of which has
            sums of all places along the last axis.
    """

    method: str
    block: int
    rows: int
    lanes: int
    vectors: int
    parallel: str | None = None
    group: int = 1
    late: int = 0

    def __str__(self) -> str:
        text = f"winograd {self.method} {self.rows}x{self.vectors}x{self.lanes}, block {self.block}"
        text += f", group {self.group}" if self.group > 1 else ""
        text += f", late {self.late}" if self.late else ""
        return text if self.parallel is None else f"{text}, parallel {self.parallel}"


def parse_winograd(text: str) -> WinogradPlan:
    """Read what ``str`` gives.

    Raises:
        ScheduleError: it cannot be read.
    """
    example = "winograd F(4x4,3x3) 6x4x16, block 25, parallel tiles"
    method, rows, vectors, lanes, block, group, late, parallel = parts_of(_TEXT, text, example)
    sizes = int(block), int(rows), int(lanes), int(vectors)
    return WinogradPlan(method, *sizes, parallel, int(group or 1), int(late or 0))


def parts_of(pattern: re.Pattern[str], text: str, example: str) -> tuple[str, ...]:
    """The groups of a pattern that a schedule has to match.

    Raises:
        ScheduleError: it does not.
    """
    match = pattern.fullmatch(text)
    if match is None:
        raise ScheduleError(
            f"the convolution {text!r} cannot be read", help=f"one is written like '{example}'"
        )
    return match.groups()


def padded(elems: int, size: int) -> int:
    """Elements between rows of at least ``elems``: an odd number of cache lines.

    Distances that are multiples of 4 KiB would map all rows to one set of the first-level cache.
    """
    return (-(-elems * size // LINE_BYTES) | 1) * LINE_BYTES // size


def scratch_bytes(problem: Winograd, block: int, size: int) -> int:
    """Bytes of the transforms of a block, and of the products with a group of panels."""
    return data_bytes(problem, block, size) + sum_bytes(problem, block, size)


def data_bytes(problem: Winograd, block: int, size: int) -> int:
    """Bytes of the transformed data of a block."""
    row = padded(problem.channels, size)
    return problem.products_per_tile * padded(block * row, size) * size


def sum_bytes(problem: Winograd, block: int, size: int) -> int:
    """Bytes of the products of a block with a group of panels."""
    row = padded(problem.group * block * problem.width, size)
    return problem.products_per_tile * row * size


def register_rows(core: Core, vectors: int) -> int:
    """Rows of a register tile: accumulators, one row of the weights, one broadcast."""
    return max(1, (core.registers - 1 - vectors) // vectors)


def late_rows(problem: Winograd, core: Core) -> int:
    """Tiles of a register tile with late weights: these take as many registers as one tile."""
    places = problem.sliding[-1].size
    return max(1, (core.registers - 2 - places) // places)


def illegal_winograd(
    problem: Winograd, plan: WinogradPlan, core: Core, size: int, workspace_bytes: int
) -> str | None:
    """Why a schedule cannot be followed; None when it can."""
    lanes = core.lanes(size)
    if plan.method != problem.method:
        return f"the method is {plan.method}, but the convolution was made {problem.method}"
    if plan.lanes != lanes:
        return f"a vector has {plan.lanes} lanes, but they are {lanes}"
    most = late_rows(problem, core) if plan.late else register_rows(core, plan.vectors)
    if plan.late and (plan.vectors, plan.group) != (1, 1):
        return "late weights are transformed one vector at a time, in groups of one panel"
    if plan.vectors < 1 or not 1 <= plan.rows <= most:
        return f"a tile of {plan.rows} rows of {plan.vectors} vectors does not fit the registers"
    if not 1 <= plan.group <= problem.panels:
        return f"a group of {plan.group} panels, of {problem.panels}"
    if plan.block < 1 or (plan.parallel == "filters" and plan.block < problem.tile_count):
        return f"a block of {plan.block} tiles, of {problem.tile_count}"
    if scratch_bytes(problem, plan.block, size) * core.threads > workspace_bytes:
        return f"its scratch memory is more than {workspace_bytes} bytes"
    return None


def plans(problem: Winograd, core: Core, size: int, workspace_bytes: int) -> Iterator[WinogradPlan]:
    """Schedules that are worth a prediction; none when scratch memory does not suffice."""
    lanes = core.lanes(size)
    vectors = problem.width // lanes
    rows, tiles = register_rows(core, vectors), problem.tile_count
    room = core.l2_bytes * SCRATCH
    if problem.late:
        rows = late_rows(problem, core)

    def plan(block: int, parallel: str | None) -> WinogradPlan:
        sizes = block, min(rows, block), lanes, vectors
        late = LATE if problem.late else 0
        return WinogradPlan(problem.method, *sizes, parallel, problem.group, late)

    # As many blocks as threads, or a multiple of that, so that all work until the end.
    step = core.threads if tiles >= core.threads else 1
    found = 0
    for blocks in range(step, tiles + step, step):
        block = -(-tiles // blocks)
        held = scratch_bytes(problem, block, size)
        if held > room and block > 1:
            continue
        # Register tiles of all their rows load the fewest vectors of weights.
        for each in sorted({block, max(1, block // rows) * min(rows, block)}):
            if held * core.threads <= workspace_bytes:
                yield plan(each, "tiles" if core.threads > 1 else None)
        found += 1
        if found == BLOCKS:
            break
    whole = scratch_bytes(problem, tiles, size)
    if core.threads > 1 and problem.groups >= core.threads and whole * 2 <= workspace_bytes:
        yield plan(tiles, "filters")


def cycles(
    problem: Winograd, plan: WinogradPlan, core: Core, size: int, *, constant: bool
) -> float:
    """Cycles that the model gives a schedule on all threads.

    ``constant`` says that the weights are known, so that they are transformed ahead.
    """
    threads, shared = core.threads, plan.parallel == "filters"
    tiles, block = problem.tile_count, plan.block
    blocks = -(-tiles // block)
    # What the busiest thread does: whole blocks, or panels of all tiles.
    own_tiles = min(tiles, -(-blocks // threads) * block)
    own_groups = -(-problem.groups // threads) if shared else problem.groups
    own_panels = min(problem.panels, own_groups * problem.group)
    elements = problem.products_per_tile
    channels, filters = -(-problem.channels // plan.lanes), problem.width // plan.lanes
    edge = 1 - prod(max(0, a.tiles - 2) / a.tiles for a in problem.sliding)
    inward = own_tiles * channels * elements * (TRANSFORM + COPY * edge)
    outward = own_tiles * own_panels * filters * elements * TRANSFORM
    if shared:
        inward /= min(threads, max(1, -(-channels // 4)))
    products = own_panels * (own_tiles / block)
    if problem.late:
        products *= late_cycles(problem, plan, core)
    else:
        each = product_cycles(problem.channels, plan.rows, plan.vectors, core, block)
        products *= elements * each
    kept = problem.weights_per_tile
    weights = problem.panels * problem.width * problem.channels * kept * size
    passes = 1 / threads if shared else own_tiles / block
    held = scratch_bytes(problem, block, size)
    stream = passes * weights / _rate(core, weights + held)
    total = inward + outward + max(products, stream) + UNHIDDEN * min(products, stream)
    # Each group reads again the transforms of all tiles that did not stay; lines that are written
    # are read before, and written back.
    gone = min(1.0, max(0.0, held / (core.l2_bytes * RESIDENT) - 1))
    again = (own_groups + 3) * data_bytes(problem, block, size)
    again += 3 * own_groups * sum_bytes(problem, block, size)
    total += AGAIN * gone * own_tiles / block * again / _rate(core, held)
    # Outputs that go to memory are written in runs of the filters of a group.
    pixels = prod(axis.extent for axis in problem.axes)
    run = min(problem.filters, problem.group * problem.width) * size
    if pixels * problem.filters * size > core.l2_bytes * threads and run < LONG_RUN:
        rate = MEMORY * core.memory_gigabytes / core.gigahertz
        written = pixels * problem.filters * size / rate
        total += SHORT_RUN * 2 * written
    if not constant:
        each = 1 / REORDERED if problem.late else problem.taps / FILTERING
        total += weights / size * each / threads
    return total


def flops(problem: Winograd, plan: WinogradPlan) -> int:
    """Arithmetic operations of the transforms and the products, each element of a vector counted.

    A transform along an axis takes about two operations for each element of it.
    """
    vectors = -(-problem.channels // plan.lanes) + problem.panels * problem.width // plan.lanes
    each = 2 * len(problem.sliding) * problem.products_per_tile * plan.lanes
    transforms = problem.tile_count * vectors * each
    if problem.late:
        blocks, groups = -(-problem.tile_count // plan.block), -(-plan.block // plan.rows)
        steps = problem.panels * problem.channels * _late_passes(problem) * blocks * groups
        transforms += round(2 * steps * _late_operations(problem)) * plan.lanes
    products = problem.tile_count * problem.products_per_tile
    return transforms + 2 * products * problem.channels * problem.filters


def depth(problem: Winograd | None, channels: int, taps: int) -> int:
    """Operations that must follow one another; None is the definition, a tree of all its products.

    A transform is a tree over the elements of a tile along each axis, in and out.
    """
    if problem is None:
        return 1 + _levels(channels * taps)
    transforms = sum(2 * (1 + _levels(axis.size)) for axis in problem.sliding)
    return transforms + 1 + _levels(channels)


def _levels(count: int) -> int:
    return ceil(log2(count)) if count > 1 else 0


def product_cycles(channels: int, rows: int, vectors: int, core: Core, slots: int) -> float:
    """Cycles of one product for a panel and all slots of a block."""
    groups = -(-slots // rows)
    rows = -(-slots // groups)
    full, rest = divmod(slots, rows)
    far, total = min(1.0, 2 * channels * vectors * core.vector_bytes / core.l1_bytes), 0.0
    for count, high in ((full, rows), (1 if rest else 0, rest)):
        fma = high * vectors / core.fma_per_cycle
        loads = (high + 2 * vectors) / core.loads_per_cycle  # each vector is asked for, too
        if vectors == 1:
            loads *= FOLDED
        busy = max(fma, loads, core.fma_latency) + 0.2 * loads + far * PANEL_VECTOR * vectors
        total += count * (channels * busy + 3 * high * vectors + LOOP_ENTRY)
    return total


def late_cycles(problem: Winograd, plan: WinogradPlan, core: Core) -> float:
    """Cycles of all products for a panel and all slots of a block, with late weights."""
    places = problem.sliding[-1].size
    groups, passes = -(-plan.block // plan.rows), _late_passes(problem)
    fma = places * plan.block + groups * _late_operations(problem)
    held = 2 * places * plan.block / plan.late
    step = CHAINED * fma / core.fma_per_cycle + held
    return passes * problem.channels * step + passes * groups * LOOP_ENTRY


def _late_passes(problem: Winograd) -> int:
    """Places along all axes but the last."""
    return prod(axis.size for axis in problem.sliding[:-1])


def _late_operations(problem: Winograd) -> float:
    """Operations that transform the taps of a channel for one pass.

    They are three for a pair of places along the last axis, and two for one along another axis.
    """
    *outer, last = problem.sliding
    columns = prod(axis.r for axis in problem.sliding[1:]) if outer else 0
    return 2 * columns + 1.5 * last.size


def _rate(core: Core, held: int) -> float:
    """Bytes per cycle and thread at which weights come that are read once per block."""
    if held <= core.l2_bytes * RESIDENT:
        return core.l2_bytes_per_cycle
    if held <= core.l3_bytes * 0.8:
        return THIRD * core.l3_bytes_per_cycle
    return MEMORY * core.memory_gigabytes / core.gigahertz / core.threads
