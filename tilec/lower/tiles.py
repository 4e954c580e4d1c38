"""Sums of products around a register tile, after Goto and van de Geijn (2008).

A tile of ``rows`` x ``vectors`` registers accumulates over the reduction loops; each step loads
``vectors`` vectors of one operand and broadcasts ``rows`` scalars of the other. Panels of an operand
are copied into the order in which tiles read them, where that pays; tiles at the edges are written
for their own size, so that no inner loop holds a guard. Where a constraint couples the row
loop with a reduction loop (the padding of a convolution), the tiles that touch the border unroll
that reduction loop and leave out the rows that have no point.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from typing import TypeAlias

from tilec.dtypes import I32
from tilec.kernel import build
from tilec.kernel.ir import (
    Apply,
    Buffer,
    Const,
    Expr,
    For,
    Let,
    Load,
    LoopKind,
    Ramp,
    Scope,
    Splat,
    Stmt,
    Store,
    Var,
    VType,
)
from tilec.lower.forms import Form
from tilec.lower.loops import place_constraints
from tilec.lower.pieces import Axis, Part
from tilec.lower.product import Operand, Product
from tilec.lower.special import Body
from tilec.lower.translate import Places, convert, form_expr, translate
from tilec.lower.walk import substitute
from tilec.schedule.values import Tiled

PanelBody: TypeAlias = Callable[[int], list[Stmt]]

_ZERO = build.const(0)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Consecutive tiles along the row loop: ``count`` of ``size`` rows from ``start``.

    ``static`` tiles touch the border of a constraint and are written for their one position.
    """

    start: int
    count: int
    size: int
    static: bool


@dataclass(slots=True)
class TileWriter:
    """Writes the kernel of one product under one schedule."""

    problem: Product
    plan: Tiled
    places: Places
    output: Buffer
    locals: list[Buffer] = field(default_factory=list[Buffer])

    def body(self) -> Body:
        """The statements, scratch buffers and schedule line."""
        plan = self.plan
        outer = [a for a in self.problem.axes if a.name not in (plan.vector, plan.row)]
        stmts = self._outer(outer)
        return Body(tuple(stmts), tuple(self.locals), (str(plan),), plan.lanes)

    @property
    def _vector(self) -> Axis:
        return next(a for a in self.problem.axes if a.name == self.plan.vector)

    @property
    def _row(self) -> Axis:
        return next((a for a in self.problem.axes if a.name == self.plan.row), Axis("row", 0, 1))

    @property
    def _width(self) -> int:
        return self.plan.lanes * self.plan.vectors

    @property
    def _operands(self) -> tuple[Operand, Operand]:
        return self.problem.split(self.plan.vector)

    def _outer(self, outer: list[Axis]) -> list[Stmt]:
        """Loops over the outputs that are in no tile, then the tasks."""
        if outer:
            axis = outer[0]
            kind = LoopKind.PARALLEL if axis.name == self.plan.parallel else LoopKind.SERIAL
            stmts = tuple(self._outer(outer[1:]))
            low, high = build.const(axis.low), build.const(axis.high)
            return [For(axis.name, low, high, stmts, kind=kind)]
        plan = self.plan
        panels = (build.const(0), build.const(-(-self._vector.extent // self._width)))
        rows = self._row_tiles()
        if plan.parallel == plan.vector:
            total = -(-self._vector.extent // self._width)
            share = -(-total // plan.tasks)
            first = build.mul(build.var("task"), build.const(share))
            last = build.minimum(build.add(first, build.const(share)), build.const(total))
            stmts = tuple(self._reduce(rows, (first, last), share))
            count = -(-total // share)
            return [For("task", _ZERO, build.const(count), stmts, kind=LoopKind.PARALLEL)]
        return self._reduce(rows, panels, -(-self._vector.extent // self._width))

    def _row_tiles(self) -> list[_Rows]:
        """Cut the row loop into tiles; runs of equal tiles become loops."""
        axis, size = self._row, self.plan.rows
        tiles: list[_Rows] = []
        at = axis.low
        while at < axis.high:
            height = min(size, axis.high - at)
            static = not self._is_clean(at, height)
            last = tiles[-1] if tiles else None
            if last is not None and not (last.static or static) and last.size == height:
                tiles[-1] = replace(last, count=last.count + 1)
            else:
                tiles.append(_Rows(at, 1, height, static))
            at += height
        return tiles

    def _is_clean(self, start: int, height: int) -> bool:
        """Whether every constraint on the row loop holds for all points of some rows."""
        box = {a.name: (a.low, a.high - 1) for a in (*self.problem.axes, *self.problem.reductions)}
        box[self._row.name] = (start, start + height - 1)
        return all(
            form.range(box)[0] >= 0
            for form in self.problem.constraints
            if form.coefficient(self._row.name)
        )

    # Blocks of the reduction, and what is packed for each.

    def _reduce(self, rows: list[_Rows], panels: tuple[Expr, Expr], most_panels: int) -> list[Stmt]:
        plan = self.plan
        inner = self.problem.reductions[-1] if self.problem.reductions else None
        if inner is None or not plan.reduce_block or plan.reduce_block >= inner.extent:
            return self._block(rows, panels, most_panels, None, first=True)
        size = plan.reduce_block
        # The first block initialises the outputs, the others add to them.
        opening = self._block(rows, panels, most_panels, (build.const(inner.low), size), first=True)
        full = (inner.extent - size) // size
        stmts = list(opening)
        at = build.var("block")
        if full:
            body = self._block(rows, panels, most_panels, (at, size), first=False)
            start = inner.low + size
            stmts.append(
                For(
                    "block", build.const(start), build.const(start + full * size), tuple(body), size
                )
            )
        rest = inner.extent - size - full * size
        if rest:
            begin = build.const(inner.high - rest)
            stmts += self._block(rows, panels, most_panels, (begin, rest), first=False)
        return stmts

    def _block(
        self,
        rows: list[_Rows],
        panels: tuple[Expr, Expr],
        most_panels: int,
        block: tuple[Expr, int] | None,
        *,
        first: bool,
    ) -> list[Stmt]:
        """All tiles of a task for one block of the reduction."""
        plan = self.plan
        stmts: list[Stmt] = []
        if plan.pack_vector:
            stmts += self._pack_vector(panels, most_panels, block)
        for run in rows:
            stmts += self._run(run, panels, block, first=first)
        return stmts

    def _run(
        self,
        run: _Rows,
        panels: tuple[Expr, Expr],
        block: tuple[Expr, int] | None,
        *,
        first: bool,
    ) -> list[Stmt]:
        """A run of equal row tiles: blocks of rows that are packed together, panels, tiles."""
        plan = self.plan
        if run.static:
            return self._panels(
                panels, lambda wide: self._tile(run, None, wide, block, first=first)
            )
        per_block = max(1, plan.row_block // run.size) if plan.row_block else run.count
        per_block = min(per_block, run.count)
        tile = build.var("tile")

        def tiles(low: Expr, high: Expr) -> list[Stmt]:
            stmts: list[Stmt] = []
            if plan.pack_row:
                stmts += self._pack_row(run, low, high, per_block, block)
            start = low if plan.pack_row else None

            def inner(wide: int) -> list[Stmt]:
                body = self._tile(run, (tile, start or _ZERO), wide, block, first=first)
                return [For("tile", low, high, tuple(body))]

            return [*stmts, *self._panels(panels, inner)]

        if per_block == run.count:
            return tiles(_ZERO, build.const(run.count))
        group = build.var("group")
        stop = build.minimum(build.add(group, build.const(per_block)), build.const(run.count))
        body = tuple(tiles(group, stop))
        return [For("group", _ZERO, build.const(run.count), body, step=per_block)]

    def _panels(self, panels: tuple[Expr, Expr], inner: PanelBody) -> list[Stmt]:
        """The loop over panels along the vector loop; the last, narrower one is written apart."""
        extent, width = self._vector.extent, self._width
        full, rest = divmod(extent, width)
        low, high = panels
        stop = build.minimum(high, build.const(full))
        stmts: list[Stmt] = []
        if full:
            stmts.append(For("panel", low, stop, tuple(inner(width))))
        if rest:
            start = build.maximum(low, build.const(full))
            stmts.append(For("panel", start, high, tuple(inner(rest))))
        return stmts

    # The register tile.

    def _tile(
        self,
        run: _Rows,
        tile: tuple[Expr, Expr] | None,
        width: int,
        block: tuple[Expr, int] | None,
        *,
        first: bool,
    ) -> list[Stmt]:
        """Accumulate one tile and store it; ``width`` elements of it exist."""
        plan, problem = self.plan, self.problem
        lanes = plan.lanes
        vectors = -(-width // lanes)
        acc = self._register(run.size * vectors)
        kind = acc.type
        row = self._row.name
        column = build.mul(build.var("panel"), build.const(self._width))
        top: Expr = build.const(run.start)
        if tile is not None:
            top = build.add(build.mul(tile[0], build.const(run.size)), top)
        where = substitute(form_expr(problem.store), {plan.vector: column, row: top})
        step, stride = problem.store.coefficient(plan.vector), problem.store.coefficient(row)
        stmts: list[Stmt] = []
        cells = [(r, j) for r in range(run.size) for j in range(vectors)]
        ends: list[Stmt] = []
        for r, j in cells:
            slot = build.const(r * vectors + j)
            at = build.add(where, build.const(r * stride + j * lanes * step))
            mask = _mask(width - j * lanes, lanes)
            old = Load(self.output.name, at, kind, step, mask)
            value: Expr = Const(0.0, kind) if first else old
            stmts.append(Store(acc.name, slot, value))
            ends.append(Store(self.output.name, at, Load(acc.name, slot, kind), step, mask))
        if tile is None:
            stmts += self._border(run, acc, column, width, block)
        else:
            part = [f for f in problem.constraints if not f.coefficient(row)]
            values = {row: top, plan.vector: column}
            local = build.sub(tile[0], tile[1])
            stmts += self._steps(
                acc,
                tuple(range(run.size)),
                vectors,
                width,
                part,
                values,
                local,
                {},
                block,
                run.size,
            )
        return [*stmts, *ends]

    def _border(
        self,
        run: _Rows,
        acc: Buffer,
        column: Expr,
        width: int,
        block: tuple[Expr, int] | None,
    ) -> list[Stmt]:
        """The steps of a tile that touches a border: coupled reductions are unrolled."""
        row = self._row.name
        coupled = [f for f in self.problem.constraints if f.coefficient(row)]
        unrolled = [
            a for a in self.problem.reductions if any(f.coefficient(a.name) for f in coupled)
        ]
        rest = [f for f in self.problem.constraints if not f.coefficient(row)]
        vectors = -(-width // self.plan.lanes)
        stmts: list[Stmt] = []
        for values in product(*(range(a.low, a.high) for a in unrolled)):
            point = {a.name: value for a, value in zip(unrolled, values, strict=True)}
            valid = tuple(
                r
                for r in range(run.size)
                if all(_at(f, {**point, row: run.start + r}) >= 0 for f in coupled)
            )
            if not valid:
                continue
            known = {name: build.const(value) for name, value in point.items()}
            places = {row: build.const(run.start), self.plan.vector: column}
            stmts += self._steps(
                acc, valid, vectors, width, rest, places, _ZERO, known, block, run.size
            )
        return stmts

    def _steps(
        self,
        acc: Buffer,
        rows: tuple[int, ...],
        vectors: int,
        width: int,
        constraints: list[Form],
        values: dict[str, Expr],
        local: Expr,
        known: dict[str, Expr],
        block: tuple[Expr, int] | None,
        height: int,
    ) -> list[Stmt]:
        """The reduction loops of a tile around one multiplication step."""
        problem, plan = self.problem, self.plan
        vector, other = self._operands
        free = [a for a in problem.reductions if a.name not in known]
        at = {**values, **known}
        kind = acc.type
        lets: list[Stmt] = []
        for j in range(vectors):
            lets.append(Let(Var(f"b{j}", kind), self._vector_value(vector, j, width, at, block)))
        for r in rows:
            value = self._row_value(other, r, at, local, block, height)
            lets.append(Let(Var(f"a{r}", kind), Splat(value, kind)))
            for j in range(vectors):
                slot = build.const(r * vectors + j)
                sums = Load(acc.name, slot, kind)
                step = Apply("fma", (Var(f"a{r}", kind), Var(f"b{j}", kind), sums), kind)
                lets.append(Store(acc.name, slot, step))
        part = Part(tuple(free), tuple(constraints), (), vector.body)
        bounds, guards, hoisted = place_constraints(part, free, None)
        body: list[Stmt] = lets
        from_block = block if block is not None and free else None
        for axis in reversed(free):
            low, high = bounds[axis.name]
            if from_block is not None and axis == problem.reductions[-1]:
                low, high = from_block[0], build.add(from_block[0], build.const(from_block[1]))
            low, high = substitute(low, known), substitute(high, known)
            body = [For(axis.name, low, high, tuple(body))]
        if guards or hoisted:
            raise AssertionError("guards are excluded by the choice of schedules")
        return body

    def _vector_value(
        self,
        operand: Operand,
        j: int,
        width: int,
        at: dict[str, Expr],
        block: tuple[Expr, int] | None,
    ) -> Expr:
        plan = self.plan
        kind = VType(self.problem.dtype, plan.lanes)
        if plan.pack_vector:
            step = substitute(self._step_number(block), at)
            total = self._block_steps(block)
            panel = build.sub(build.var("panel"), self._first_panel())
            offset = build.mul(
                build.add(build.mul(panel, build.const(total)), step), build.const(self._width)
            )
            return Load("panels", build.add(offset, build.const(j * plan.lanes)), kind)
        loaded = translate(operand.body, self.places)
        if not isinstance(loaded, Load):
            raise AssertionError("an operand with arithmetic is packed")
        index = build.add(substitute(loaded.index, at), build.const(j * plan.lanes))
        return Load(loaded.buffer, index, kind, 1, _mask(width - j * plan.lanes, plan.lanes))

    def _row_value(
        self,
        operand: Operand,
        r: int,
        at: dict[str, Expr],
        local: Expr,
        block: tuple[Expr, int] | None,
        height: int,
    ) -> Expr:
        if self.plan.pack_row and self.plan.row is not None:
            step = substitute(self._step_number(block), at)
            base = build.mul(local, build.const(self._block_steps(block)))
            offset = build.mul(build.add(base, step), build.const(height))
            return Load("rows", build.add(offset, build.const(r)), VType(self.problem.dtype))
        row = self._row.name
        moved = {**at, row: build.add(at[row], build.const(r))}
        return convert(substitute(translate(operand.body, self.places), moved), self.problem.dtype)

    # Panels.

    def _first_panel(self) -> Expr:
        if self.plan.parallel != self.plan.vector:
            return _ZERO
        total = -(-self._vector.extent // self._width)
        return build.mul(build.var("task"), build.const(-(-total // self.plan.tasks)))

    def _step_number(self, block: tuple[Expr, int] | None) -> Expr:
        """Position of a reduction point in a packed panel."""
        axes = self.problem.reductions
        total: Expr = _ZERO
        for depth, axis in enumerate(axes):
            inner = prod(a.extent for a in axes[depth + 1 :])
            value: Expr = build.sub(build.var(axis.name), build.const(axis.low))
            if block is not None and depth == len(axes) - 1:
                value = build.sub(build.var(axis.name), block[0])
            elif block is not None:
                inner = inner // axes[-1].extent * block[1]
            total = build.add(total, build.mul(value, build.const(inner)))
        return total

    def _block_steps(self, block: tuple[Expr, int] | None) -> int:
        """Reduction points per panel."""
        axes = self.problem.reductions
        total = prod(a.extent for a in axes)
        return total if block is None else total // axes[-1].extent * block[1]

    def _reduction_loops(self, body: tuple[Stmt, ...], block: tuple[Expr, int] | None) -> Stmt:
        axes = self.problem.reductions
        for axis in reversed(axes):
            low, high = build.const(axis.low), build.const(axis.high)
            if block is not None and axis == axes[-1]:
                low, high = block[0], build.add(block[0], build.const(block[1]))
            body = (For(axis.name, low, high, body),)
        return body[0]

    def _pack_vector(
        self, panels: tuple[Expr, Expr], most: int, block: tuple[Expr, int] | None
    ) -> list[Stmt]:
        """Copy the vector operand: ``panels[panel][step][lane]``, zeros beyond the edge."""
        operand, _ = self._operands
        steps = self._block_steps(block)
        self._scratch("panels", most * self._most_steps() * self._width)
        panel = build.sub(build.var("panel"), self._first_panel())
        lane = build.var("lane")

        def copy(width: int) -> list[Stmt]:
            line = build.add(build.mul(panel, build.const(steps)), self._step_number(block))
            offset = build.add(build.mul(line, build.const(self._width)), lane)
            column = build.add(build.mul(build.var("panel"), build.const(self._width)), lane)
            value = convert(translate(operand.body, self.places), self.problem.dtype)
            moved = substitute(value, {self.plan.vector: column})
            filled: tuple[Stmt, ...] = (
                For(
                    "lane",
                    _ZERO,
                    build.const(width),
                    (Store("panels", offset, moved),),
                    1,
                    LoopKind.VECTOR,
                ),
            )
            if width < self._width:
                zero = Store("panels", offset, Const(0.0, VType(self.problem.dtype)))
                filled += (
                    For(
                        "lane",
                        build.const(width),
                        build.const(self._width),
                        (zero,),
                        1,
                        LoopKind.VECTOR,
                    ),
                )
            return [self._reduction_loops(filled, block)]

        return self._panels(panels, copy)

    def _pack_row(
        self,
        run: _Rows,
        low: Expr,
        high: Expr,
        most: int,
        block: tuple[Expr, int] | None,
    ) -> list[Stmt]:
        """Copy the row operand: ``rows[tile][step][row]``."""
        _, operand = self._operands
        steps = self._block_steps(block)
        self._scratch("rows", most * self._most_steps() * run.size)
        local = build.sub(build.var("tile"), low)
        line = build.add(build.mul(local, build.const(steps)), self._step_number(block))
        lane = build.var("lane")
        offset = build.add(build.mul(line, build.const(run.size)), lane)
        top = build.add(build.mul(build.var("tile"), build.const(run.size)), build.const(run.start))
        value = convert(translate(operand.body, self.places), self.problem.dtype)
        moved = substitute(value, {self._row.name: build.add(top, lane)})
        inner = For(
            "lane",
            _ZERO,
            build.const(run.size),
            (Store("rows", offset, moved),),
            1,
            LoopKind.VECTOR,
        )
        return [For("tile", low, high, (self._reduction_loops((inner,), block),))]

    def _most_steps(self) -> int:
        inner = self.problem.reductions[-1].extent
        total = prod(a.extent for a in self.problem.reductions)
        size = self.plan.reduce_block
        return total // inner * size if size and size < inner else total

    def _scratch(self, name: str, elems: int) -> None:
        self.locals = [b for b in self.locals if b.name != name or b.high >= elems]
        if all(b.name != name for b in self.locals):
            kind = VType(self.problem.dtype)
            self.locals.append(Buffer(name, kind, elems, scope=Scope.CACHE, writable=True))

    def _register(self, elems: int) -> Buffer:
        name = f"acc{elems}"
        held = Buffer(
            name,
            VType(self.problem.dtype, self.plan.lanes),
            elems,
            scope=Scope.REGISTER,
            writable=True,
        )
        if held not in self.locals:
            self.locals.append(held)
        return held


def _mask(width: int, lanes: int) -> Expr | None:
    """Mask of the lanes below ``width``; None when all are."""
    if width >= lanes:
        return None
    lane = Ramp(Const(0, VType(I32)), 1, VType(I32, lanes))
    limit = Const(width, VType(I32, lanes))
    return Apply("cmp_lt", (lane, limit), build.condition_type(lanes))


def _at(form: Form, point: dict[str, int]) -> int:
    return form.const + sum(factor * point[name] for name, factor in form.terms)
