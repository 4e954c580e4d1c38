"""Writes a product for groups of items: tiles in local memory, tiles in registers.

    group for rows, columns of tiles:
      item for .item:
        fetch the first steps of both operands into registers, and from there into local memory
        for each range of steps:
          fetch the next range into registers          (memory answers while the group computes)
          for each step: load a column of the left and a row of the right tile, multiply
          put the next range into the other half of local memory
        epilogue and store

Rows and columns may be several loops: their number is one index, divided into coordinates where it
is needed. Elements outside, and those that a constraint leaves out, are fetched as zeros, so that
no test stands where sums are formed. (A zero times an infinity of the other operand is no zero:
with constraints this holds for finite operands only, as with every library's padded convolutions.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace

from tilec.kernel import build
from tilec.kernel.ir import (
    INDEX,
    Apply,
    Barrier,
    Buffer,
    Const,
    Expr,
    For,
    If,
    Let,
    LoopKind,
    Scope,
    Stmt,
    Var,
    VType,
)
from tilec.lower.flatten import FlatPiece
from tilec.lower.loops import LoopWriter, Target
from tilec.lower.pieces import Part
from tilec.lower.special import Body
from tilec.lower.staging import (
    ZERO,
    Element,
    Staging,
    chunk_of,
    coordinates,
    distance,
    get,
    lanes_of,
    named,
    neighbours,
    points,
    put,
)
from tilec.lower.translate import RESULT, Place, Places, convert, form_expr, translate
from tilec.lower.walk import substitute
from tilec.records import dataclass
from tilec.schedule.grouped import Grouped, Sides, tile_elems
from tilec.schedule.product import Operand, Product
from tilec.schedule.values import Plan
from tilec.tensor.affine import Affine
from tilec.tensor.forms import Axis, Form, form_of
from tilec.tensor.scalar import Read

PART = ".part"


@dataclass(slots=True)
class GroupWriter:
    """Writes the kernel of one product under one schedule."""

    problem: Product
    sides: Sides
    plan: Grouped
    flat: FlatPiece
    target: Target
    places: Places
    locals: list[Buffer] = field(default_factory=list[Buffer])
    partial: Buffer | None = None

    def body(self) -> Body:
        """The statements."""
        if self.plan.parts > 1:
            name, kind = f"{self.target.output.name}.partial", VType(self.problem.dtype)
            size = points(self.problem.axes) * self.plan.parts
            self.partial = Buffer(name, kind, size, writable=True)
        stmts: tuple[Stmt, ...] = (self._groups(),)
        if self.partial is not None:
            stmts = (*stmts, *self._combined(self.partial))
        scratch = () if self.partial is None else (self.partial,)
        return Body(stmts, tuple(self.locals), (str(self.plan),), 1, scratch)

    # Loops.

    @property
    def _rounds(self) -> int:
        """Ranges of steps of one part."""
        return -(-points(self.problem.reductions) // (self.plan.steps * self.plan.parts))

    def _groups(self) -> For:
        plan, sides = self.plan, self.sides
        nest = _loop(".item", plan.items, tuple(self._item()), LoopKind.ITEM)
        nest = _loop(".column", -(-points(sides.columns) // plan.columns), (nest,), LoopKind.GROUP)
        nest = _loop(".row", -(-points(sides.rows) // plan.rows), (nest,), LoopKind.GROUP)
        batch = points(sides.batch) * plan.parts
        return nest if batch == 1 else _loop(".batch", batch, (nest,), LoopKind.GROUP)

    def _item(self) -> list[Stmt]:
        """What one item does."""
        plan, sides = self.plan, self.sides
        stmts: list[Stmt] = []
        batch = build.var(".batch") if points(sides.batch) * plan.parts > 1 else ZERO
        part = named(stmts, PART, build.floor_mod(batch, plan.parts))
        batch = build.floor_div(batch, plan.parts)
        known = coordinates(stmts, batch, sides.batch, ".batch")
        item = build.var(".item")
        self._square(stmts, item)
        row = build.mul(build.var(".row"), build.const(plan.rows))
        column = build.mul(build.var(".column"), build.const(plan.columns))
        left = self._staging("left", sides.left, sides.rows, plan.rows, sides.left_constraints)
        right = self._staging(
            "right", sides.right, sides.columns, plan.columns, sides.right_constraints
        )
        elements = [
            (left, left.elements(stmts, row, item, known)),
            (right, right.elements(stmts, column, item, known)),
        ]
        sums = self._register(".sum", VType(self.problem.dtype), plan.item_rows * plan.item_columns)
        zero = Const(0.0, sums.type)
        stmts.append(_unrolled(".i", sums.high, (put(sums, build.var(".i"), zero),)))
        first = build.mul(part, build.const(self._rounds))
        stmts += self._pipeline(left, right, item, elements, first, sums)
        return [*stmts, *self._stores(known, part, row, column, sums)]

    def _square(self, stmts: list[Stmt], item: Expr) -> None:
        """Names the place of an item among those of its group.

        Rows go to items in pairs: the second item of each pair has the same columns as the first,
        and the next pair has the same rows. Local memory answers accesses of 16 bytes to a quarter
        of a warp at a time, and to two quarters at once where items beside each other, or the next
        but one, ask for the same (the same lanes as CUTLASS's, interleaved by two).
        """
        down, across = self.plan.shape
        pair = 2 if down % 2 == 0 else 1
        high = build.mul(build.floor_div(item, pair * across), build.const(pair))
        row = build.add(high, build.floor_mod(item, pair))
        column = build.floor_div(build.floor_mod(item, pair * across), pair)
        stmts += [Let(Var(".y", INDEX), row), Let(Var(".x", INDEX), column)]

    def _staging(
        self,
        name: str,
        operand: Operand,
        loops: tuple[Axis, ...],
        width: int,
        constraints: tuple[Form, ...],
    ) -> Staging:
        plan, kind, reductions = self.plan, VType(self.problem.dtype), self.problem.reductions
        size = plan.buffers * tile_elems(width, plan.steps)
        held = Buffer(f".{name}", kind, size, scope=Scope.LOCAL, writable=True)
        self.locals.append(held)
        along = distance(operand, reductions[-1]) < distance(operand, loops[-1])
        lanes = lanes_of(operand, reductions if along else loops, constraints, kind.dtype.bytes)
        if (plan.steps if along else width) % lanes or width * plan.steps < lanes * plan.items:
            lanes = 1
        count = -(-plan.steps * width // (lanes * plan.items)) * lanes
        return Staging(
            name,
            operand,
            loops,
            reductions,
            constraints,
            self.places,
            width,
            plan.steps,
            plan.items,
            self._rounds * plan.parts * plan.steps,
            held,
            self._register(f".{name}.next", kind, count),
            along,
            lanes,
        )

    def _pipeline(
        self,
        left: Staging,
        right: Staging,
        item: Expr,
        elements: list[tuple[Staging, tuple[Element, ...]]],
        first: Expr,
        sums: Buffer,
    ) -> list[Stmt]:
        """All ranges of steps: what comes next is fetched while this one is used."""
        rounds, buffers = self._rounds, self.plan.buffers

        def fetched(number: Expr) -> list[Stmt]:
            start = build.mul(build.add(first, number), build.const(self.plan.steps))
            return [s for side, each in elements for one in each for s in side.fetched(one, start)]

        def filled(number: Expr) -> list[Stmt]:
            half = build.floor_mod(number, buffers)
            return [stmt for side, _ in elements for stmt in side.filled(item, half)]

        here = build.var(".round")
        following = build.add(here, build.const(1))
        again = build.compare("cmp_lt", following, build.const(rounds))
        # Names of the first range are not seen by the loop: a block of its own has them.
        stmts: list[Stmt] = [_loop(".begin", 1, (*fetched(ZERO), *filled(ZERO))), Barrier()]
        if rounds == 1:
            return [*stmts, *self._multiplied(left, right, ZERO, sums)]
        body: list[Stmt] = [
            If(again, tuple(fetched(following))),
            *self._multiplied(left, right, build.floor_mod(here, buffers), sums),
        ]
        if buffers == 1:
            body.append(Barrier())
        body += [If(again, tuple(filled(following))), Barrier()]
        return [*stmts, _loop(".round", rounds, tuple(body))]

    def _multiplied(self, left: Staging, right: Staging, half: Expr, sums: Buffer) -> list[Stmt]:
        """All steps of a range: an outer product of what an item has of both sides."""
        plan, kind = self.plan, VType(self.problem.dtype)
        step, i, j = build.var(".step"), build.var(".i"), build.var(".j")
        rows = self._register(".rows", kind, plan.item_rows)
        columns = self._register(".columns", kind, plan.item_columns)
        at = build.add(build.mul(i, build.const(plan.item_columns)), j)
        total = Apply("fma", (get(rows, i), get(columns, j), get(sums, at)), kind)
        inner = _unrolled(".j", plan.item_columns, (put(sums, at, total),))
        body = (
            *left.own(rows, half, step, ".y", plan.shape[0]),
            *right.own(columns, half, step, ".x", plan.shape[1]),
            _unrolled(".i", plan.item_rows, (inner,)),
        )
        return [_unrolled(".step", plan.steps, body)]

    # Results.

    def _stores(
        self, known: Mapping[str, Expr], part: Expr, row: Expr, column: Expr, sums: Buffer
    ) -> list[Stmt]:
        """The sums of an item with their epilogue, row by row."""
        plan, sides = self.plan, self.sides
        stmts: list[Stmt] = []
        place = _spread(build.var(".i"), plan.shape[0], ".y", chunk_of(plan.item_rows))
        number = named(stmts, ".m", build.add(row, place))
        inner: list[Stmt] = []
        values = {**known, **coordinates(inner, number, sides.rows, ".m")}
        chunk = chunk_of(plan.item_columns)
        body = self._row(values, part, column, chunk, sums)
        inner.append(_unrolled(".chunk", plan.item_columns // chunk, tuple(body)))
        stmts += _where(number, points(sides.rows), plan.rows, inner)
        return [_unrolled(".i", plan.item_rows, tuple(stmts))]

    def _row(
        self, known: Mapping[str, Expr], part: Expr, column: Expr, chunk: int, sums: Buffer
    ) -> list[Stmt]:
        """Neighbouring sums of a row, stored at once where they can be."""
        plan, columns = self.plan, self.sides.columns
        form, output = form_expr(self._slot()), self.partial or self.target.output
        shift = build.mul(part, build.const(points(self.problem.axes)))
        size = output.type.dtype.bytes
        together = 1 < chunk <= neighbours(self._slot(), columns[-1], size)
        stmts: list[Stmt] = []
        first = build.mul(build.var(".chunk"), build.const(chunk))
        place = build.mul(build.var(".x"), build.const(chunk))
        place = build.add(build.mul(first, build.const(plan.shape[1])), place)
        start = named(stmts, ".n", build.add(column, place))
        at = build.add(build.mul(build.var(".i"), build.const(plan.item_columns)), first)
        out = self._register(".out", output.type, chunk) if together else None
        inner: list[Stmt] = []
        for lane in range(chunk):
            body: list[Stmt] = []
            number = build.add(start, build.const(lane))
            values = {**known, **coordinates(body, number, columns, f".n{lane}")}
            value = self._result(get(sums, build.add(at, build.const(lane))), values)
            if out is not None:
                inner += [*body, put(out, build.const(lane), value)]
                continue
            where = build.add(substitute(form, values), shift)
            body.append(put(output, where, value))
            inner += _where(number, points(columns), plan.columns, body)
        if out is None:
            return [*stmts, *inner]
        values = {**known, **coordinates(inner, start, columns, ".n")}
        where = build.add(substitute(form, values), shift)
        inner.append(put(output, where, get(out, ZERO, chunk)))
        return [*stmts, *_where(start, points(columns), plan.columns, inner)]

    def _result(self, value: Expr, values: Mapping[str, Expr]) -> Expr:
        """What is stored for a sum, which may be of a wider type than the contraction."""
        if self.partial is not None:
            return value
        result = convert(value, self.problem.result)
        if self.problem.epilogue is None:
            return result
        return substitute(translate(self.problem.epilogue, self.places, {RESULT: result}), values)

    def _slot(self) -> Form:
        """Where a sum is stored: in the output, or among the partial sums of one part."""
        return self.problem.store if self.partial is None else form_of(self._dense())

    def _dense(self) -> Affine:
        slot = Affine()
        for axis in self.problem.axes:
            slot = slot * axis.extent + (Affine.index(axis.name) - Affine.number(axis.low))
        return slot

    def _combined(self, partial: Buffer) -> tuple[Stmt, ...]:
        """The parts of each sum, added in order."""
        slot = Affine.index(PART) * points(self.problem.axes) + self._dense()
        dtype = self.problem.dtype
        again = Part((Axis(PART, 0, self.plan.parts),), (), (), Read(partial.name, (slot,), dtype))
        final = replace(self.flat, piece=replace(self.flat.piece, parts=(again,)))
        places = {**self.places, partial.name: Place(partial, (1,))}
        writer = LoopWriter(places, self.target, self.locals, prefix=".final")
        return writer.piece(final, Plan(None, 1))

    def _register(self, name: str, kind: VType, size: int) -> Buffer:
        """The register buffer of a name, made when it is first asked for."""
        made = Buffer(name, kind, size, scope=Scope.REGISTER, writable=True)
        if made not in self.locals:
            self.locals.append(made)
        return made


def _loop(name: str, stop: int, body: tuple[Stmt, ...], kind: LoopKind = LoopKind.SERIAL) -> For:
    return For(name, ZERO, build.const(stop), body, kind=kind)


def _unrolled(name: str, stop: int, body: tuple[Stmt, ...]) -> For:
    return _loop(name, stop, body, LoopKind.UNROLL)


def _where(number: Expr, total: int, width: int, stmts: list[Stmt]) -> list[Stmt]:
    """Statements for what is inside; no tile reaches beyond where tiles of ``width`` fit."""
    if total % width == 0:
        return stmts
    return [If(build.compare("cmp_lt", number, build.const(total)), tuple(stmts))]


def _spread(index: Expr, across: int, item: str, chunk: int) -> Expr:
    """Row of a group that is some row of an item: chunks go to all items in turn."""
    far = build.mul(build.floor_div(index, chunk), build.const(across * chunk))
    near = build.add(build.mul(build.var(item), build.const(chunk)), build.floor_mod(index, chunk))
    return build.add(far, near)
