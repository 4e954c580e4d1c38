"""Products on devices: tiles of a group in local memory, tiles of an item in registers.

Every output loop moves one side of the product, the other, or both: rows, columns and batches. Rows
and columns each run as one loop, however many they are, so that a convolution is a product of
matrices whose left one is gathered on the way (implicit GEMM; Chetlur et al. 2014, cuDNN). Two
tiles of a step range stand in local memory in turn, one of which is filled from registers while the
other is used (Volkov and Demmel 2008; Nath et al. 2010, MAGMA).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from math import ceil, prod

from tilec.errors import ScheduleError
from tilec.records import dataclass
from tilec.schedule.product import Operand, Product
from tilec.target.gpu import Gpu
from tilec.tensor.forms import Axis, Form

CHUNK = 4
"""Neighbouring rows or columns of an item: what one access of 16 bytes has of f32."""

PAD = 4
"""Elements between the steps of a tile: they move the elements of a column to other banks, and keep
accesses of 16 bytes aligned."""

SKEW = 8
"""Steps after which a tile is moved by as many elements. The items of a warp that put neighbours in
memory, which are steps, into local memory have four groups of steps: padding alone would put the
first and the third of them into the same banks."""

FEW = 16
"""Rows or columns below which most of any tile would be empty."""

LAUNCH_SECONDS = 4e-6
"""What one more launch takes, for the sums of a split reduction."""

LATENCY_CYCLES = 600
"""What memory takes to answer, about, on all families."""

ROUND_CYCLES = 40
"""Operations of an item around one range of steps: addresses, tests, barriers."""

MAX_PARTS = 64
MIN_STEPS = 8

_TEXT = re.compile(r"groups (\d+)x(\d+)x(\d+), items (\d+)x(\d+)(, one buffer)?(?:, (\d+) parts)?")
HELP = "it is like 'groups 128x128x8, items 8x8, 4 parts'"


@dataclass(frozen=True, slots=True)
class Grouped:
    """Schedule of a product on a device.

    Attributes:
        rows: Rows of the tile of a group.
        columns: Columns of it.
        steps: Steps of the reduction whose operands stand in local memory together.
        item_rows: Rows of the tile of an item.
        item_columns: Columns of it.
        buffers: Tiles of each operand in local memory: 2 to fill one while the other is used.
        parts: Pieces of the reduction that are summed by groups of their own, and then together.
    """

    rows: int
    columns: int
    steps: int
    item_rows: int
    item_columns: int
    buffers: int = 2
    parts: int = 1

    @property
    def shape(self) -> tuple[int, int]:
        """Items of a group along rows and columns."""
        return self.rows // self.item_rows, self.columns // self.item_columns

    @property
    def items(self) -> int:
        """Items of a group."""
        return prod(self.shape)

    def local_bytes(self, element: int) -> int:
        """Local memory of a group."""
        tiles = tile_elems(self.rows, self.steps) + tile_elems(self.columns, self.steps)
        return self.buffers * tiles * element

    def registers(self, element: int) -> int:
        """Registers of an item: sums, what is on its way, and some for addresses.

        Operands count twice: compilers load those of the next step while one is multiplied.
        """
        staged = -(-self.steps * (self.rows + self.columns) // self.items)
        tile = self.item_rows * self.item_columns + 2 * (self.item_rows + self.item_columns)
        return (tile + staged) * (element // 4) + 24

    def __str__(self) -> str:
        text = f"groups {self.rows}x{self.columns}x{self.steps}"
        text += f", items {self.item_rows}x{self.item_columns}"
        text += ", one buffer" if self.buffers == 1 else ""
        return text + (f", {self.parts} parts" if self.parts > 1 else "")


def tile_elems(width: int, steps: int) -> int:
    """What a tile of one operand takes of local memory."""
    return steps * (width + PAD) + (steps - 1) // SKEW * SKEW


def parse_grouped(text: str) -> Grouped:
    """Read what ``str`` gives.

    Raises:
        ScheduleError: it cannot be read.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ScheduleError(f"the groups {text!r} cannot be read", help=HELP)
    rows, columns, steps, item_rows, item_columns, single, parts = match.groups()
    tile = int(rows), int(columns), int(steps)
    return Grouped(*tile, int(item_rows), int(item_columns), 1 if single else 2, int(parts or 1))


@dataclass(frozen=True, slots=True)
class Sides:
    """A product as one of matrices.

    Attributes:
        rows: Loops that move the output and the left operand.
        columns: Loops that move the output and the right operand.
        batch: Loops that move both operands, or none.
        left: The operand that columns do not move.
        right: The operand that rows do not move.
        left_constraints: Forms that must be >= 0, over rows and the reduction.
        right_constraints: The same over columns and the reduction.
    """

    rows: tuple[Axis, ...]
    columns: tuple[Axis, ...]
    batch: tuple[Axis, ...]
    left: Operand
    right: Operand
    left_constraints: tuple[Form, ...]
    right_constraints: tuple[Form, ...]


def sides(problem: Product) -> Sides | str:
    """The sides of a product, or the reason why it has none."""
    long = [axis for axis in problem.axes if axis.extent > 1]
    if not long or not problem.reductions:
        return "there is nothing to make tiles of"
    last = min(long, key=lambda axis: abs(problem.store.coefficient(axis.name)))
    moved = [factor.moves(last.name) for factor in problem.factors]
    if all(moved) or not any(moved):
        return f"all factors move along {last.name}, or none"
    right, left = problem.split(last.name, None)
    kinds: dict[tuple[bool, bool], list[Axis]] = {}
    for axis in problem.axes:
        kinds.setdefault((left.moves(axis.name), right.moves(axis.name)), []).append(axis)
    rows, columns = kinds.get((True, False), []), kinds.get((False, True), [])
    batch = [axis for axis in problem.axes if axis not in rows and axis not in columns]
    if min(_points(rows), _points(columns)) < FEW:
        return f"there are fewer than {FEW} rows or columns"
    of_rows = {axis.name for axis in (*rows, *batch, *problem.reductions)}
    of_columns = {axis.name for axis in (*columns, *batch, *problem.reductions)}
    constraints: tuple[list[Form], list[Form]] = ([], [])
    for form in problem.constraints:
        names = {name for name, _ in form.terms}
        if not names <= of_rows and not names <= of_columns:
            return "a constraint couples rows with columns"
        constraints[not names <= of_rows].append(form)
    return Sides(
        tuple(rows),
        tuple(columns),
        tuple(batch),
        left,
        right,
        tuple(constraints[0]),
        tuple(constraints[1]),
    )


def _points(axes: list[Axis] | tuple[Axis, ...]) -> int:
    return prod(axis.extent for axis in axes)


def illegal(problem: Product, plan: Grouped, gpu: Gpu) -> str | None:
    """Why a schedule cannot be followed."""
    found = sides(problem)
    if isinstance(found, str):
        return found
    sizes = (plan.rows, plan.columns, plan.steps, plan.item_rows, plan.item_columns)
    if min(sizes) < 1 or plan.buffers not in (1, 2) or plan.parts < 1:
        return "sizes are positive, and there are one or two buffers"
    for whole, part, what in (
        (plan.rows, plan.item_rows, "rows"),
        (plan.columns, plan.item_columns, "columns"),
    ):
        chunk = min(CHUNK, part)
        if whole % part or part % chunk or whole % CHUNK:
            return f"{whole} {what} of a group cannot be divided into items of {part}"
    if plan.items > gpu.group_items:
        return f"a group of {plan.items} items is larger than {gpu.group_items} on {gpu.name}"
    needed = plan.local_bytes(problem.dtype.bytes)
    if needed > gpu.group_local_bytes:
        return f"a group takes {needed} bytes of local memory, of {gpu.group_local_bytes}"
    if plan.registers(problem.dtype.bytes) > gpu.item_registers:
        needed = plan.registers(problem.dtype.bytes)
        return f"an item takes {needed} registers, of {gpu.item_registers}"
    total = prod(axis.extent for axis in problem.reductions)
    if plan.parts > max(1, -(-total // plan.steps)):
        return f"there are fewer than {plan.parts} parts of {plan.steps} steps"
    return None


def ranked(problem: Product, gpu: Gpu) -> list[Grouped]:
    """All schedules that the model considers and a device can follow, best first."""
    legal = [plan for plan in _candidates(problem, gpu) if illegal(problem, plan, gpu) is None]
    return sorted(legal, key=lambda plan: seconds(problem, gpu, plan))


def near(problem: Product, gpu: Gpu, plan: Grouped) -> list[Grouped]:
    """Schedules that differ from one in a single respect, best first."""
    parts = (plan.parts // 2, plan.parts * 2)
    changed = [
        *(replace(plan, rows=size) for size in (plan.rows // 2, plan.rows * 2)),
        *(replace(plan, columns=size) for size in (plan.columns // 2, plan.columns * 2)),
        *(replace(plan, steps=size) for size in (plan.steps // 2, plan.steps * 2)),
        *(replace(plan, item_rows=size) for size in (plan.item_rows // 2, plan.item_rows * 2)),
        *(replace(plan, item_columns=n) for n in (plan.item_columns // 2, plan.item_columns * 2)),
        replace(plan, buffers=3 - plan.buffers),
        *(replace(plan, parts=count) for count in parts if count),
    ]
    legal = [each for each in changed if illegal(problem, each, gpu) is None]
    return sorted(legal, key=lambda each: seconds(problem, gpu, each))


def choose(problem: Product, gpu: Gpu) -> Grouped | str:
    """The schedule of least predicted time, or the reason why there is none."""
    found = sides(problem)
    if isinstance(found, str):
        return found
    return next(iter(ranked(problem, gpu)), f"no tile fits {gpu.name}")


def _candidates(problem: Product, gpu: Gpu) -> Iterator[Grouped]:
    for rows, columns, steps, item in product(
        (128, 64, 32, 16), (128, 64, 32, 16), (16, 8), ((8, 8), (8, 4), (4, 8), (4, 4), (2, 4))
    ):
        plan = Grouped(rows, columns, steps, *item)
        if not min(64, gpu.group_items) <= plan.items <= min(256, gpu.group_items):
            continue
        yield plan
        yield replace(plan, buffers=1)
        parts = 2
        total = prod(axis.extent for axis in problem.reductions)
        while parts <= MAX_PARTS and parts * steps * MIN_STEPS <= total:
            yield replace(plan, parts=parts)
            parts *= 2


@dataclass(frozen=True, slots=True)
class Costs:
    """What a schedule takes.

    Attributes:
        items: Seconds of the items: arithmetic, local memory and waiting, on the fullest unit.
        caches: Seconds in which the caches and memory give what groups read, and take the results.
        more: Seconds of the launch that adds parts.
        moved_bytes: What groups read.
    """

    items: float
    caches: float
    more: float
    moved_bytes: float

    @property
    def seconds(self) -> float:
        """Predicted time."""
        return max(self.items, self.caches) + self.more


def seconds(problem: Product, gpu: Gpu, plan: Grouped) -> float:
    """Predicted time."""
    return costs(problem, gpu, plan).seconds


def costs(problem: Product, gpu: Gpu, plan: Grouped) -> Costs:
    """What a schedule takes of arithmetic, local memory and memory, for the fullest unit."""
    found = sides(problem)
    assert isinstance(found, Sides)
    element = problem.dtype.bytes
    down, across = (
        ceil(_points(found.rows) / plan.rows),
        ceil(_points(found.columns) / plan.columns),
    )
    groups = down * across * _points(found.batch) * plan.parts
    total = prod(axis.extent for axis in problem.reductions)
    steps = ceil(ceil(total / plan.parts) / plan.steps) * plan.steps
    each = ceil(groups / gpu.units)  # of the fullest unit
    held = min(each, resident(gpu, plan, element))
    tile, width = plan.item_rows * plan.item_columns, plan.item_rows + plan.item_columns
    # An item begins one operation a cycle at most, and fewer if it has few sums apart. Loads of
    # operands take turns, too; so does what is fetched, put into local memory, and addressed.
    staged = -(-plan.steps * (plan.rows + plan.columns) // plan.items)
    begun = plan.steps * (tile + width / CHUNK + 1) + staged * (1 + 1 / CHUNK) + ROUND_CYCLES
    rate = min(gpu.fma_per_cycle, held * plan.items * min(1.0, tile / gpu.fma_latency))
    # Items of a row read the same elements of a column at once: half of what is read is shared.
    read = plan.items * width * element / 2 / gpu.local_bytes_per_cycle
    busy = max(plan.items * begun / rate * (element // 4), plan.steps * read)
    # While a group waits for what it has asked of memory, the others on the unit work.
    waits = LATENCY_CYCLES / held
    of_round = max(busy, waits) if plan.buffers == 2 else max(busy, waits) + waits / 2
    cycles = each * (steps // plan.steps) * of_round
    moved = groups * (plan.rows + plan.columns) * steps * element
    outputs = _points(problem.axes) * element
    memory = moved / (gpu.cache_gigabytes * 1e9) + outputs / (gpu.memory_gigabytes * 1e9)
    more = 0.0
    if plan.parts > 1:
        more = LAUNCH_SECONDS + 2 * plan.parts * outputs / (gpu.memory_gigabytes * 1e9)
    return Costs(cycles / (gpu.gigahertz * 1e9), memory, more, moved)


def resident(gpu: Gpu, plan: Grouped, element: int) -> int:
    """Groups that a unit holds at once."""
    registers = plan.registers(element) * plan.items
    local = plan.local_bytes(element)
    return max(
        1,
        min(
            gpu.unit_registers // registers,
            gpu.unit_local_bytes // local,
            gpu.unit_items // plan.items,
        ),
    )


def used(problem: Product, plan: Grouped, gpu: Gpu) -> str:
    """The groups of a schedule, and what they take of a device."""
    found, element = sides(problem), problem.dtype.bytes
    assert isinstance(found, Sides)
    down = ceil(_points(found.rows) / plan.rows)
    across = ceil(_points(found.columns) / plan.columns)
    groups = down * across * _points(found.batch) * plan.parts
    return (
        f"{groups} of {plan.items} items, {resident(gpu, plan, element)} at once on a unit, "
        f"{plan.local_bytes(element) / 1024:.1f} KiB of local memory, about "
        f"{plan.registers(element)} registers an item"
    )


def note(problem: Product, plan: Grouped, gpu: Gpu) -> str:
    """What a schedule takes of a device, and what time is predicted."""
    predicted = 1e3 * seconds(problem, gpu, plan)
    return f"groups: {used(problem, plan, gpu)}; {predicted:.3g} ms predicted on {gpu.name}"
