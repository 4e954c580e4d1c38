"""Packing: operands copied into the order in which register tiles read them.

``panels[panel][step][lane]`` holds the vector operand; a step is one point of the reduction loops,
of one pass. The other operand is copied to ``rows[tile][step][row]``: a tile reads one run of
memory then, where rows that lie apart are as many streams, whose lines all end at the same step.
Where that would scatter the elements of each row one by one, it is ``rows[tile][row][step]``, with
a distance between rows that does not map them all to one set of the cache. Elements beyond the edge
are zero, elements that the constraints exclude are left unwritten, because no tile reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from math import prod
from typing import TypeAlias

from tilec.dtypes import I32, DType
from tilec.kernel import build
from tilec.kernel.ir import (
    Apply,
    Const,
    Expr,
    For,
    If,
    Load,
    LoopKind,
    Ramp,
    Stmt,
    Store,
    VType,
)
from tilec.lower.loops import place_constraints
from tilec.lower.pieces import Part
from tilec.lower.square import turned
from tilec.lower.translate import Places, convert, translate
from tilec.lower.vectorise import widen
from tilec.lower.walk import substitute
from tilec.records import dataclass
from tilec.schedule.footprint import LINE_BYTES
from tilec.schedule.product import Operand
from tilec.tensor.forms import Axis, Form

_ZERO = build.const(0)

STRIP = 64
"""Steps that are copied for all lanes before the next ones: each vector of them is scattered over
as many lines of the panel, which have to stay in the first level until the last lane has passed."""

Bounds: TypeAlias = tuple[Expr, Expr]
"""First value of a loop, and the one behind its last."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The reduction points of one pass, and their position in a panel.

    Attributes:
        axes: Reduction loops, outermost first.
        sizes: Iterations of each in one pass; the whole extent of those that are not cut.
    """

    axes: tuple[Axis, ...]
    sizes: tuple[int, ...]

    @property
    def cut(self) -> tuple[tuple[Axis, Expr, int], ...]:
        """The loops that run in blocks, where those begin, and their sizes."""
        return tuple(
            (axis, build.var(f"{axis.name}.block"), size)
            for axis, size in zip(self.axes, self.sizes, strict=True)
            if size < axis.extent
        )

    @property
    def count(self) -> int:
        """Most steps of one pass: the length of a panel."""
        return prod(self.sizes)

    def passes(self, body: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
        """The loops over blocks around what is done in one pass."""
        for axis, _, size in reversed(self.cut):
            low, high = build.const(axis.low), build.const(axis.high)
            body = (For(f"{axis.name}.block", low, high, body, step=size),)
        return body

    def is_first(self) -> Expr:
        """Whether a pass is the first one."""
        begins = (
            build.compare("cmp_eq", start, build.const(axis.low)) for axis, start, _ in self.cut
        )
        return reduce(build.both, begins)

    def is_last(self) -> Expr:
        """Whether a pass is the last one."""
        ends = (
            build.compare("cmp_ge", start, build.const(axis.high - size))
            for axis, start, size in self.cut
        )
        return reduce(build.both, ends)

    def range(self, axis: Axis, narrowed: Mapping[str, Bounds] | None = None) -> Bounds:
        """Bounds of a reduction loop within the pass; ``narrowed`` bound some of them, too."""
        low, high = build.const(axis.low), build.const(axis.high)
        first, last = (narrowed or {}).get(axis.name, (low, high))
        for each, start, size in self.cut:
            if each == axis:
                stop = build.add(start, build.const(size))
                stop = stop if axis.extent % size == 0 else build.minimum(stop, high)
                first = start if first == low else build.maximum(first, start)
                last = stop if last == high else build.minimum(last, stop)
        return first, last

    def position(self) -> Expr:
        """Number of the step at the current values of the loop variables."""
        total: Expr = _ZERO
        starts = {axis.name: start for axis, start, _ in self.cut}
        for depth, axis in enumerate(self.axes):
            start = starts.get(axis.name, build.const(axis.low))
            value = build.sub(build.var(axis.name), start)
            inner = prod(self.sizes[depth + 1 :])
            total = build.add(total, build.mul(value, build.const(inner)))
        return total

    def loops(
        self, body: tuple[Stmt, ...], narrowed: Mapping[str, Bounds] | None = None
    ) -> tuple[Stmt, ...]:
        """All loops of the pass around some statements, some of them narrowed."""
        return self._around(self.axes, body, narrowed or {})

    def strips(
        self, lanes: Callable[[Stmt], Stmt], copy: Stmt, narrowed: Mapping[str, Bounds]
    ) -> tuple[Stmt, ...]:
        """Loops that run along the innermost axis for each lane, a strip of it at a time.

        Args:
            lanes: Puts the loop over lanes around a statement.
            copy: What is done at a step.
            narrowed: Bounds of some loops.
        """
        axis = self.axes[-1]
        low, high = self.range(axis, narrowed)
        if axis.extent <= STRIP:
            body = lanes(For(axis.name, low, high, (copy,), kind=LoopKind.VECTOR))
        else:
            start = build.var(".strip")
            stop = build.minimum(build.add(start, build.const(STRIP)), high)
            inner = For(axis.name, start, stop, (copy,), kind=LoopKind.VECTOR)
            body = For(start.name, low, high, (lanes(inner),), step=STRIP)
        return self._around(self.axes[:-1], (body,), narrowed)

    def _around(
        self, axes: tuple[Axis, ...], body: tuple[Stmt, ...], narrowed: Mapping[str, Bounds]
    ) -> tuple[Stmt, ...]:
        for axis in reversed(axes):
            low, high = self.range(axis, narrowed)
            body = (For(axis.name, low, high, body),)
        return body


@dataclass(frozen=True, slots=True)
class Packer:
    """Writes the copies of one operand into a scratch buffer.

    Attributes:
        buffer: Name of the scratch buffer.
        width: Lanes of a panel, or rows of a tile.
        steps: Reduction points of a pass.
        dtype: Type of the packed elements.
        places: Where tensors lie.
        constraints: Conditions on the points of the operand.
        row_major: True to keep the steps of one row together.
        lanes: Of the vectors by which squares are turned about.
        squares: Reduction loop along which vectors are read, to turn squares of them about.
    """

    buffer: str
    width: int
    steps: Steps
    dtype: DType
    places: Places
    constraints: tuple[Form, ...] = ()
    row_major: bool = False
    lanes: int = 1
    squares: Axis | None = None

    @property
    def slot_elems(self) -> int:
        """Elements of one panel, or of the rows of one tile."""
        return self.width * (self._row_distance if self.row_major else self.steps.count)

    @property
    def _row_distance(self) -> int:
        """Elements between rows: whole vectors, and an odd number of cache lines."""
        lines = -(-self.steps.count * self.dtype.bytes // LINE_BYTES) | 1
        return lines * LINE_BYTES // self.dtype.bytes

    def copy(self, operand: Operand, loop: str, slot: Expr, first: Expr, width: int) -> list[Stmt]:
        """Pack ``width`` iterations of ``loop`` from ``first`` as panel number ``slot``."""
        lane = build.var(".lane")
        offset = self.offset(slot, lane)
        value = convert(translate(operand.body, self.places), self.dtype)
        moved = substitute(value, {loop: build.add(first, lane)})
        along_steps = self.row_major or (
            operand.steps(loop) != (1,) and operand.steps(self.steps.axes[-1].name) == (1,)
        )
        if self.squares is not None:
            return list(self._squares(self.squares, moved, slot, width))
        copy = Store(self.buffer, offset, moved)
        narrowed, hoisted = self._bounds(operand)
        if along_steps:

            def lanes(body: Stmt) -> Stmt:
                return _lanes(0, width, (body,), LoopKind.SERIAL)

            stmts = self.steps.strips(lanes, copy, narrowed)
        else:
            stmts = self.steps.loops((_lanes(0, width, (copy,), LoopKind.VECTOR),), narrowed)
        for guard in hoisted:
            stmts = (If(guard, stmts),)
        if width < self.width:
            stmts = (*stmts, *self.steps.loops((self._blank(slot, width),)))
        return list(stmts)

    def step(
        self, operand: Operand, loop: str, slot: Expr, first: Expr, width: int
    ) -> tuple[Stmt, ...]:
        """What ``copy`` does at one step, where lanes lie side by side and nothing constrains."""
        lane = build.var(".lane")
        value = convert(translate(operand.body, self.places), self.dtype)
        moved = substitute(value, {loop: build.add(first, lane)})
        copy = Store(self.buffer, self.offset(slot, lane), moved)
        stmts = (_lanes(0, width, (copy,), LoopKind.VECTOR),)
        return stmts if width == self.width else (*stmts, self._blank(slot, width))

    def _blank(self, slot: Expr, width: int) -> Stmt:
        """Zeros behind the last lane of a narrower panel."""
        zero = Const(0.0, VType(self.dtype))
        store = Store(self.buffer, self.offset(slot, build.var(".lane")), zero)
        return _lanes(width, self.width, (store,), LoopKind.VECTOR)

    def _bounds(self, operand: Operand) -> tuple[Mapping[str, Bounds], list[Expr]]:
        """Bounds of the loops that constraints narrow, and what holds for all steps or none."""
        if not self.constraints:
            return {}, []
        part = Part(self.steps.axes, self.constraints, (), operand.body)
        narrowed, _, hoisted = place_constraints(part, list(self.steps.axes), None)
        return narrowed, hoisted

    def _squares(self, along: Axis, source: Expr, slot: Expr, width: int) -> tuple[Stmt, ...]:
        """Copy a panel by squares of some lanes and as many steps of one loop.

        Where passes cut that loop, blocks are whole squares, and only the last pass has a rest.
        """
        rest = along.extent % self.lanes
        low, high = self.steps.range(along)
        end = build.const(along.high - rest)
        stmts: list[Stmt] = []
        for lane in range(0, width, self.lanes):
            first = build.var(".square")
            square = self._square(along.name, source, slot, (lane, width), first, self.lanes)
            stmts.append(For(".square", low, build.minimum(high, end), square, step=self.lanes))
            if rest:
                edge = self._square(along.name, source, slot, (lane, width), end, rest)
                stmts.append(For(".square", build.maximum(low, end), high, edge, step=self.lanes))
        body = tuple(stmts)
        for axis in reversed(self.steps.axes):
            if axis != along:
                body = (For(axis.name, *self.steps.range(axis), body),)
        return body

    def _square(
        self,
        name: str,
        source: Expr,
        slot: Expr,
        lanes: tuple[int, int],
        first: Expr,
        steps: int,
    ) -> tuple[Stmt, ...]:
        """Copy some steps from ``first``, for the lanes from ``lanes[0]`` that the panel has."""
        kind = VType(self.dtype, self.lanes)
        low, high = lanes
        mask = mask_below(steps, self.lanes)
        rows: list[Expr] = []
        for lane in range(low, low + self.lanes):
            if lane < high:
                each = substitute(source, {".lane": build.const(lane)})
                rows.append(widen(each, name, first, self.lanes, mask, {}))
            else:
                rows.append(Const(0.0, kind))
        square = turned(rows)
        valid = mask_below(self.width - low, self.lanes)
        stores: list[Stmt] = []
        for step, row in enumerate(square.rows[:steps]):
            at = substitute(
                self.offset(slot, build.const(low)), {name: build.add(first, build.const(step))}
            )
            stores.append(Store(self.buffer, at, row, mask=valid))
        return (*square.stmts, *stores)

    def offset(self, slot: Expr, lane: Expr) -> Expr:
        """Offset of a lane (or row) of the current step in panel number ``slot``."""
        start = build.mul(slot, build.const(self.slot_elems))
        step = self.steps.position()
        if self.row_major:
            inside = build.add(build.mul(lane, build.const(self._row_distance)), step)
        else:
            inside = build.add(build.mul(step, build.const(self.width)), lane)
        return build.add(start, inside)

    def load(self, slot: Expr, lane: int, lanes: int) -> Load:
        """Lanes of the current step, or one row of it."""
        return Load(self.buffer, self.offset(slot, build.const(lane)), VType(self.dtype, lanes))


def _lanes(low: int, high: int, body: tuple[Stmt, ...], kind: LoopKind) -> For:
    return For(".lane", build.const(low), build.const(high), body, kind=kind)


def mask_below(count: int, lanes: int) -> Expr | None:
    """Mask of the first lanes; None when they are all."""
    if count >= lanes:
        return None
    lane = Ramp(Const(0, VType(I32)), 1, VType(I32, lanes))
    limit = Const(count, VType(I32, lanes))
    return Apply("cmp_lt", (lane, limit), build.condition_type(lanes))
