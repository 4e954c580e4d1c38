"""The schedules that a tuner may try for a kernel: what the model ranks, and what lies near one.

A space has no clock. It lists what the cost model considered, best first, and the schedules that
differ from a given one in a single respect; all of them are legal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import Protocol, TypeVar

from tilec.records import dataclass
from tilec.schedule import grouped, model, stream
from tilec.schedule.footprint import inside
from tilec.schedule.grouped import Grouped
from tilec.schedule.legal import illegal
from tilec.schedule.product import Product
from tilec.schedule.reduction import Reduction
from tilec.schedule.values import KernelSchedule, Loops, Plan, Streamed, Tiled
from tilec.target.core import Core
from tilec.target.gpu import Gpu

_VECTORS = (1, 2, 3, 4, 6, 8, 12, 15)
_WIDTHS = (2, 3, 4)
"""Vectors of a tile whose loops have changed places."""

_STEPS = (64, 128, 256, 512)
"""Iterations of a reduction that caches like: what the model asks for, and less."""

_NEAR_ROWS = 3
_NEAR_VECTORS = 2
_MOST_TASKS = 8
"""Tasks of a thread, at most: more only cost their beginnings."""


class Space(Protocol):
    """The schedules of one kernel."""

    def ranked(self) -> Sequence[KernelSchedule]:
        """What the model considered, best first."""
        ...

    def near(self, plan: KernelSchedule) -> Sequence[KernelSchedule]:
        """What differs from ``plan`` in one respect, in the order of the model."""
        ...


@dataclass(frozen=True, slots=True)
class Tiles:
    """Register tiles of a sum of products.

    Attributes:
        problem: The sum of products.
        core: The target.
        ahead: Whether panels of a constant are made before the call.
        workspace_bytes: Limit of scratch memory.
    """

    problem: Product
    core: Core
    ahead: bool
    workspace_bytes: int

    def ranked(self) -> Sequence[KernelSchedule]:
        """See ``Space``."""
        found, _ = model.candidates(self.problem, self.core, self.ahead, self.workspace_bytes)
        return _distinct(
            each.plan for each in sorted(found, key=lambda each: each.elapsed(self.core))
        )

    def near(self, plan: KernelSchedule) -> Sequence[KernelSchedule]:
        """See ``Space``."""
        if not isinstance(plan, Tiled):
            return ()
        changed = [
            *self._blocks(plan),
            *self._packing(plan),
            *self._division(plan),
            *self._shapes(plan),
            *self._turned(plan),
        ]
        legal = [each for each in _distinct(changed) if each != plan and self._is_legal(each)]
        # What the model does not tell apart comes in the order above: cheap changes first.
        ranked: list[Tiled] = sorted(
            legal,
            key=lambda each: (
                model.cycles(self.problem, self.core, each) / model.used_threads(each, self.core)
            ),
        )
        return ranked

    def _is_legal(self, plan: Tiled) -> bool:
        limit = self.workspace_bytes
        return (
            illegal(self.problem, plan, self.core, ahead=self.ahead, workspace_bytes=limit) is None
        )

    def _extent(self, name: str | None) -> int:
        return next((axis.extent for axis in self.problem.axes if axis.name == name), 1)

    def _shapes(self, plan: Tiled) -> Iterable[Tiled]:
        """Other register tiles: nearby ones, the largest, and those that divide the rows evenly."""
        high = self._extent(plan.row)
        at = min(range(len(_VECTORS)), key=lambda each: abs(_VECTORS[each] - plan.vectors))
        nearby = _VECTORS[max(0, at - _NEAR_VECTORS) : at + _NEAR_VECTORS + 1]
        for vectors in sorted({plan.vectors, *nearby}):
            most = min(high, (self.core.registers - 1 - vectors) // vectors)
            wanted = {most, *range(plan.rows - _NEAR_ROWS, plan.rows + _NEAR_ROWS + 1)}
            wanted |= {-(-high // tiles) for tiles in range(1, high // max(1, most) + 3)}
            # A larger or smaller tile has about as many registers as this one.
            wanted.add(plan.rows * plan.vectors // vectors)
            for rows in sorted(rows for rows in wanted if 1 <= rows <= most):
                yield _with_rows(replace(plan, vectors=vectors), rows)

    def _turned(self, plan: Tiled) -> Iterable[Tiled]:
        """Tiles with the two loops in each other's place, as large as the registers allow."""
        if plan.row is None or plan.ahead or plan.turn is not None:
            return
        pieces = replace(plan, vector=plan.row, row=plan.vector, panel_block=0, row_block=0)
        for vectors, (pack_vector, pack_row) in product(_WIDTHS, ((False, False), (True, False))):
            most = min(self._extent(plan.vector), (self.core.registers - 1 - vectors) // vectors)
            yield replace(
                pieces, rows=most, vectors=vectors, pack_vector=pack_vector, pack_row=pack_row
            )

    def _packing(self, plan: Tiled) -> Iterable[Tiled]:
        if not plan.ahead:
            loose = replace(plan, pack_vector=not plan.pack_vector)
            yield loose if loose.pack_vector else replace(loose, panel_block=0)
        if plan.pack_row:
            yield replace(plan, pack_row=False, row_block=0)
            return
        steps = prod(inside(self.problem, plan).values())
        room = self.core.l2_bytes // 2 // max(1, steps * self.problem.dtype.bytes)
        block = max(plan.rows, room // plan.rows * plan.rows)
        yield replace(plan, pack_row=True, row_block=block, panel_block=0)

    def _blocks(self, plan: Tiled) -> Iterable[Tiled]:
        loops = {axis.name: axis.extent for axis in self.problem.reductions}
        inner = loops[plan.reduce_loop or self.problem.reductions[-1].name]
        passes = -(-inner // plan.reduce_block) if plan.reduce_block else 1
        if plan.reduce_block:
            yield replace(plan, reduce_block=0, reduce_loop=None)
        for count in sorted({1, passes - 1, passes + 1, passes // 2, 2 * passes, 3 * passes}):
            if 1 <= count <= inner:
                yield replace(plan, reduce_block=-(-inner // count))
        yield from (replace(plan, reduce_block=size) for size in _STEPS if size < inner)
        if plan.pack_row:
            block = plan.row_block or self._extent(plan.row)
            for size in (block // 2, 2 * block):
                yield replace(plan, row_block=max(plan.rows, size // plan.rows * plan.rows))
            yield replace(plan, row_block=0)
        for group in (plan.panel_block // 2, 2 * plan.panel_block or 8, 0, 4):
            yield replace(plan, panel_block=group if group > 1 else 0)

    def _division(self, plan: Tiled) -> Iterable[Tiled]:
        threads = self.core.threads
        if plan.parallel is not None:
            yield replace(plan, parallel=None, tasks=1)
        if threads == 1:
            return
        sizes = {plan.row: plan.rows, plan.vector: plan.vectors * plan.lanes}
        for axis in self.problem.axes:
            pieces = -(-axis.extent // sizes.get(axis.name, 1))
            most = min(pieces, threads * _MOST_TASKS)
            for tasks in sorted({threads, 2 * threads, 4 * threads, most}):
                if threads <= tasks <= pieces:
                    yield replace(plan, parallel=axis.name, tasks=tasks)


@dataclass(frozen=True, slots=True)
class Streams:
    """Streams of a reduction that is bound by reading.

    Attributes:
        problem: The reduction.
        core: The target.
        workspace_bytes: Limit of scratch memory.
    """

    problem: Reduction
    core: Core
    workspace_bytes: int

    def ranked(self) -> Sequence[KernelSchedule]:
        """See ``Space``."""
        found, _ = stream.candidates(self.problem, self.core, self.workspace_bytes)
        return _distinct(each.plan for each in sorted(found, key=lambda each: each.seconds))

    def near(self, plan: KernelSchedule) -> Sequence[KernelSchedule]:
        """See ``Space``."""
        if not isinstance(plan, Streamed):
            return ()
        changed = [*self._shapes(plan), *self._division(plan)]
        legal = [each for each in _distinct(changed) if each != plan and self._is_legal(each)]
        ranked: list[Streamed] = sorted(
            legal, key=lambda each: stream.cost(self.problem, self.core, each)
        )
        return ranked

    def _is_legal(self, plan: Streamed) -> bool:
        return stream.illegal(self.problem, plan, self.core, self.workspace_bytes) is None

    def _shapes(self, plan: Streamed) -> Iterable[Streamed]:
        if plan.row is not None:
            for rows in (plan.rows // 2, plan.rows - 1, plan.rows + 1, 2 * plan.rows):
                yield replace(plan, rows=max(1, rows))
        yield replace(plan, lanes=plan.lanes // 2)
        if self.problem.is_output(plan.vector):
            extent = self.problem.axis(plan.vector).extent
            span = plan.span or extent // plan.lanes * plan.lanes
            for size in (span // 4, span // 2, 2 * span):
                size = size // plan.lanes * plan.lanes
                yield replace(plan, span=size if size < extent else 0)

    def _division(self, plan: Streamed) -> Iterable[Streamed]:
        if plan.parallel is not None:
            yield replace(plan, parallel=None, parts=1)
        if self.core.threads == 1:
            return
        for axis in self.problem.axes:
            if axis.extent > 1:
                yield replace(plan, parallel=axis.name, parts=1)
        for axis in self.problem.reductions:
            now = plan.parts if plan.parallel == axis.name else 1
            for parts in sorted({now // 2, 2 * now, self.core.threads, stream.PARTS}):
                if parts > 1:
                    yield replace(plan, parallel=axis.name, parts=parts)


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of items that compute a sum of products.

    Attributes:
        problem: The sum of products.
        gpu: What runs the groups.
    """

    problem: Product
    gpu: Gpu

    def ranked(self) -> Sequence[KernelSchedule]:
        """See ``Space``."""
        return grouped.ranked(self.problem, self.gpu)

    def near(self, plan: KernelSchedule) -> Sequence[KernelSchedule]:
        """See ``Space``."""
        if not isinstance(plan, Grouped):
            return ()
        return grouped.near(self.problem, self.gpu, plan)


@dataclass(frozen=True, slots=True)
class Choices:
    """A handful of schedules of a kernel of plain loops.

    Attributes:
        outputs: Loops of the output.
        reductions: Loops of the reduction.
        lanes: Lanes of a register.
    """

    outputs: tuple[str, ...]
    reductions: tuple[str, ...]
    lanes: int

    def ranked(self) -> Sequence[KernelSchedule]:
        """See ``Space``. Some may turn out to be illegal when they are compiled."""
        vectors = [(None, 1, False)]
        for lanes in (self.lanes, self.lanes // 2):
            if lanes > 1:
                vectors += [(name, lanes, False) for name in self.outputs]
                vectors += [(name, lanes, True) for name in self.reductions]
        return _distinct(
            Loops((Plan(name, lanes, reduction, parallel),))
            for name, lanes, reduction in vectors
            for parallel in (*self.outputs, None)
            if parallel != name or name is None or len(self.outputs) == 1
        )

    def near(self, plan: KernelSchedule) -> Sequence[KernelSchedule]:
        """See ``Space``: all of them are at hand already."""
        return ()


def _with_rows(plan: Tiled, rows: int) -> Tiled:
    """The tile with other rows; whole tiles fit into a block of packed rows."""
    block = -(-plan.row_block // rows) * rows if plan.row_block else 0
    return replace(plan, rows=rows, row_block=block)


_Any = TypeVar("_Any", bound=KernelSchedule)


def _distinct(plans: Iterable[_Any]) -> list[_Any]:
    return list(dict.fromkeys(plans))
