"""The register tile of a product: its sums, from the first multiplication to the stores.

A tile of ``rows`` x ``vectors`` registers accumulates over the reduction loops; each step loads
``vectors`` vectors of one operand and broadcasts ``rows`` scalars of the other, or loads vectors
of it, too, where it moves along both loops. Where a constraint couples the row loop with a
reduction loop (the padding of a convolution), all tiles share the steps in which all rows have a
point. Tiles at the border have others besides, each written for the rows that have one. Which tiles
there are, and in which order, is the matter of ``tiles.py``.
"""

from __future__ import annotations

from dataclasses import field, replace
from itertools import groupby, product
from math import prod

from tilec.errors import InternalError
from tilec.kernel import build
from tilec.kernel.ir import (
    Apply,
    Buffer,
    Const,
    Expr,
    For,
    If,
    Let,
    Load,
    Prefetch,
    Scope,
    Splat,
    Stmt,
    Store,
    Var,
    VType,
)
from tilec.lower.loops import place_constraints
from tilec.lower.panels import Bounds, Packer, Steps, mask_below
from tilec.lower.pieces import Part
from tilec.lower.translate import RESULT, Places, convert, form_expr, translate
from tilec.lower.turn import SCRATCH, Turn
from tilec.lower.vectorise import widen
from tilec.lower.walk import substitute
from tilec.records import dataclass
from tilec.schedule.footprint import LINE_BYTES, inside
from tilec.schedule.legal import row_lanes, rows_apart, square_loop
from tilec.schedule.product import Operand, Product
from tilec.schedule.values import Tiled
from tilec.tensor.forms import Axis, Form

_ZERO = build.const(0)

PREFETCH_STEPS = 16
"""Steps that the source of a panel is asked for ahead: 16 steps of 12 cycles or more are what a
line takes from the third level of a server (70 ns)."""

NEAR_BYTES = 256 << 10
"""Operands up to this size stay in the second level, from which nothing needs to be asked for."""


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive tiles along the row loop.

    Attributes:
        start: First row.
        number: Number of the first tile, counted over all runs.
        count: Tiles.
        size: Rows of each.
        border: Tiles, counted from the start, with rows that a constraint leaves out of some steps.
    """

    start: int
    number: int
    count: int
    size: int
    border: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tile:
    """One register tile: rows from ``top`` in slot ``slot`` of the packed rows.

    With ``packs`` the panel is not there yet: the tile reads its elements where they lie and writes
    them into the panel on the way. ``number`` counts along the row loop, ``visit`` among all tiles
    of a task that read the same panel.
    """

    run: Run
    top: Expr
    slot: Expr
    width: int
    packs: bool = False
    number: Expr = _ZERO
    visit: Expr = _ZERO


@dataclass(slots=True)
class RegisterTile:
    """Writes the tiles of one product under one schedule.

    ``ready`` is the buffer of the packed vector operand: scratch memory, or panels made ahead. The
    first of the panels made ahead that this product reads is ``first_ready``: it may be a part.
    ``fetch`` is the number of steps that the vectors are asked for ahead, for an operand that
    comes from afar in one long run of which this product is a part; 0 leaves that to the strides.
    ``visits`` is the number of tiles that ask for the next panel, each for a part of it; it follows
    in memory, made ahead or as it lies.
    """

    problem: Product
    plan: Tiled
    places: Places
    output: Buffer
    ready: str = ".panels"
    first_ready: Expr = _ZERO
    fetch: int = 0
    visits: int = 0
    locals: list[Buffer] = field(default_factory=list[Buffer])
    vector: Axis = field(init=False)
    row: Axis = field(init=False)
    moving: Operand = field(init=False)
    still: Operand = field(init=False)
    steps: Steps = field(init=False)
    panels: Packer = field(init=False)
    packed_rows: Packer = field(init=False)
    moving_value: Expr = field(init=False)
    still_value: Expr = field(init=False)
    turn: Turn | None = field(init=False)
    written: int = 0

    def __post_init__(self) -> None:
        problem, plan = self.problem, self.plan
        axes = {axis.name: axis for axis in problem.axes}
        self.vector = axes[plan.vector]
        self.row = Axis(".row", 0, 1) if plan.row is None else axes[plan.row]
        self.moving, self.still = problem.split(plan.vector, plan.row)
        self.moving_value = translate(self.moving.body, self.places)
        self.still_value = translate(self.still.body, self.places)
        self.turn = None
        if plan.turn is not None:
            self.turn = Turn(axes[plan.turn], plan.turn == plan.row, plan.lanes)
        self.steps = Steps(problem.reductions, tuple(inside(problem, plan).values()))
        still = [a.name for a in problem.axes if not self.moving.moves(a.name)]
        own = [f for f in problem.constraints if not any(f.coefficient(name) for name in still)]
        # Panels that are made ahead hold all steps, of which a pass reads a run.
        whole = Steps(problem.reductions, tuple(axis.extent for axis in problem.reductions))
        self.panels = Packer(
            self.ready,
            self.width,
            whole if plan.ahead else self.steps,
            problem.dtype,
            self.places,
            tuple(own),
            lanes=plan.lanes,
            squares=square_loop(problem, plan, plan.vector),
        )
        squares = square_loop(problem, plan, self.row.name)
        self.packed_rows = Packer(
            ".rows",
            plan.rows,
            self.steps,
            problem.dtype,
            self.places,
            problem.constraints,
            row_major=rows_apart(problem, plan),
            lanes=row_lanes(plan),
            squares=squares,
        )

    @property
    def width(self) -> int:
        """Elements of a full tile along the vector loop."""
        return self.plan.width

    @property
    def turns_panels(self) -> bool:
        """Whether the vectors that are read differ from block to block of the turned loop."""
        return self.plan.turn is not None and self.moving.moves(self.plan.turn)

    def write(self, tile: Tile, first_panel: Expr | None = None) -> list[Stmt]:
        """Accumulate one tile and store it."""
        lanes, store = self.plan.lanes, self.problem.store
        vectors = -(-tile.width // lanes)
        acc = self._accumulators(tile.run.size * vectors)
        column = build.mul(build.var(".panel"), build.const(self.width))
        position = {self.plan.vector: column, self.row.name: tile.top}
        where = substitute(form_expr(store), position)
        step, stride = store.coefficient(self.plan.vector), store.coefficient(self.row.name)
        zeros: list[Stmt] = []
        olds: list[Stmt] = []
        partial: list[Stmt] = []
        finished: list[Stmt] = []
        for r, j in product(range(tile.run.size), range(vectors)):
            slot = build.const(r * vectors + j)
            at = build.add(where, build.const(r * stride + j * lanes * step))
            mask = mask_below(tile.width - j * lanes, lanes)
            value = Load(acc.name, slot, acc.type)
            zeros.append(Store(acc.name, slot, Const(0.0, acc.type)))
            olds.append(Store(acc.name, slot, Load(self.output.name, at, acc.type, step, mask)))
            partial.append(Store(self.output.name, at, value, step, mask))
            result = self._finished(value, tile, r, j, mask)
            finished.append(Store(self.output.name, at, result, step, mask))
        begin, ends = zeros, finished
        if self.steps.cut:
            begin = [If(self.steps.is_first(), tuple(zeros), tuple(olds))]
            if partial != finished:
                ends = [If(self.steps.is_last(), tuple(finished), tuple(partial))]
        slot: Expr = _ZERO
        if self.plan.ahead:
            slot = build.add(build.var(".panel"), self.first_ready)
        elif first_panel is not None:
            slot = build.sub(build.var(".panel"), first_panel)
        sums = [*begin, *self._steps_of_all(tile, acc, position, slot)]
        for number in tile.run.border:
            sums += self._steps_of_some(tile, number, acc, position, slot)
        if self.turn is None:
            return [*sums, *ends]
        return self._turned(self.turn, tile, acc, sums, position)

    def _turned(
        self, turn: Turn, tile: Tile, acc: Buffer, sums: list[Stmt], position: dict[str, Expr]
    ) -> list[Stmt]:
        """A tile whose results are kept until those of a block of the turned loop are there."""
        problem, lanes, size = self.problem, self.plan.lanes, tile.run.size
        vectors = -(-tile.width // lanes)
        shape = (size, vectors * lanes)
        self.scratch(SCRATCH, turn.elems(problem, *shape))
        for r, j in product(range(size), range(vectors)):
            at = turn.kept(problem, *shape, build.const(r), build.const(j * lanes))
            value = Load(acc.name, build.const(r * vectors + j), acc.type)
            sums.append(Store(SCRATCH, at, value))
        stmts = turn.store(
            problem, self.places, self.output, sums, position, self.row.name, *shape, tile.width
        )
        return stmts if self.turns_panels else turn.blocks(stmts)

    def _finished(self, value: Load, tile: Tile, r: int, j: int, mask: Expr | None) -> Expr:
        """What is stored for a finished sum: rounded, then the epilogue."""
        problem, lanes = self.problem, self.plan.lanes
        result = convert(value, problem.result)
        if problem.epilogue is None:
            return result
        expr = translate(problem.epilogue, self.places, {RESULT: result})
        row = {self.row.name: build.add(tile.top, build.const(r))}
        column = build.mul(build.var(".panel"), build.const(self.width))
        start = build.add(column, build.const(j * lanes))
        registers = {b.name: b for b in self.locals if b.scope is Scope.REGISTER}
        return widen(substitute(expr, row), self.plan.vector, start, lanes, mask, registers)

    def _steps_of_all(
        self, tile: Tile, acc: Buffer, position: dict[str, Expr], slot: Expr
    ) -> list[Stmt]:
        """The steps in which every row of the tile has a point."""
        run, row = tile.run, self.row.name
        forms = [f for f in self.problem.constraints if not f.coefficient(row)]
        if run.border:
            if len(run.border) == run.count and not any(
                len(rows) == run.size
                for number in run.border
                for _, _, rows in self._points(run, number)
            ):
                return []
            # They hold for all rows if they do for the first and for the last.
            for form in self._coupled():
                last = min(0, form.coefficient(row)) * (run.size - 1)
                forms.append(form.plus(Form((), last)))
        return self._multiply(tile, acc, tuple(range(run.size)), position, slot, tuple(forms))

    def _steps_of_some(
        self, tile: Tile, number: int, acc: Buffer, position: dict[str, Expr], slot: Expr
    ) -> list[Stmt]:
        """The steps of a tile at the border in which only some of its rows have a point.

        Neighbouring values of the innermost coupled reduction that leave the same rows are a loop.
        """
        run = tile.run
        top = build.const(run.start + number * run.size)
        forms = tuple(f for f in self.problem.constraints if not f.coefficient(self.row.name))
        stmts: list[Stmt] = []
        for point, (name, first, last), rows in self._points(run, number):
            if 0 < len(rows) < run.size:
                known = {name: build.const(value) for name, value in point.items()}
                known = {**position, **known, self.row.name: top}
                between = {name: (first, last + 1)}
                at = replace(tile, top=top)
                stmts += self._multiply(at, acc, rows, known, slot, forms, between)
        if run.count == 1 or not stmts:
            return stmts
        here = build.compare("cmp_eq", build.var(".tile"), build.const(number))
        return [If(here, tuple(stmts))]

    def _coupled(self) -> list[Form]:
        """The constraints on the row loop."""
        return [f for f in self.problem.constraints if f.coefficient(self.row.name)]

    def _points(
        self, run: Run, number: int
    ) -> list[tuple[dict[str, int], tuple[str, int, int], tuple[int, ...]]]:
        """The rows of a tile that have a point, for all values of the coupled reductions.

        Each entry has the values of the outer ones, and a range of the innermost of them.
        """
        coupled, row = self._coupled(), self.row.name
        top = run.start + number * run.size
        *outer, last = [
            axis
            for axis in self.problem.reductions
            if any(form.coefficient(axis.name) for form in coupled)
        ]
        found: list[tuple[dict[str, int], tuple[str, int, int], tuple[int, ...]]] = []
        for values in product(*(range(axis.low, axis.high) for axis in outer)):
            point = {axis.name: at for axis, at in zip(outer, values, strict=True)}

            def valid(at: int, point: dict[str, int] = point) -> tuple[int, ...]:
                def holds(r: int) -> bool:
                    here = {**point, last.name: at, row: top + r}
                    return all(_at(form, here) >= 0 for form in coupled)

                return tuple(filter(holds, range(run.size)))

            for rows, same in groupby(range(last.low, last.high), valid):
                found_at = list(same)
                found.append((point, (last.name, found_at[0], found_at[-1]), rows))
        return found

    def _multiply(
        self,
        tile: Tile,
        acc: Buffer,
        rows: tuple[int, ...],
        known: dict[str, Expr],
        slot: Expr,
        forms: tuple[Form, ...],
        between: dict[str, tuple[int, int]] | None = None,
    ) -> list[Stmt]:
        """The reduction loops around one step.

        ``known`` has the values of the other loops; ``forms`` are not negative at any step, and
        ``between`` narrows some reductions.
        """
        self.written += 1
        label = f".{self.written}"  # a border may write several steps into one block
        lanes = self.plan.lanes
        vectors = -(-tile.width // lanes)
        body: list[Stmt] = []
        for j in range(vectors):
            held = Var(f".b{j}{label}", acc.type)
            if tile.packs:
                body += self._fetch(j, tile.width, known)
                body.append(Let(held, self.source(j, tile.width, known)))
                body.append(self.filled(j, held, known, slot))
            else:
                if not self.plan.pack_vector:
                    body += self._fetch(j, tile.width, known)
                body.append(Let(held, self._vector_value(j, tile.width, known, slot)))
        differ = self.still.moves(self.plan.vector)
        for r in rows:
            for j in range(vectors):
                a = Var(f".a{r}.{j}{label}" if differ else f".a{r}{label}", acc.type)
                if differ or j == 0:
                    body.append(Let(a, self._row_value(r, j, tile, known)))
                at = build.const(r * vectors + j)
                terms = (a, Var(f".b{j}{label}", acc.type), Load(acc.name, at, acc.type))
                body.append(Store(acc.name, at, Apply("fma", terms, acc.type)))
        if rows == tuple(range(tile.run.size)):
            body += self._next_panel(tile, slot, known)
        free = [axis for axis in self.problem.reductions if axis.name not in known]
        bounds, guards, hoisted = place_constraints(
            Part(tuple(free), forms, (), self.moving.body), free, None
        )
        if guards:
            raise InternalError(f"the schedule {self.plan} leaves a guard in the inner loop")
        for axis in reversed(free):
            low, high = bounds[axis.name]
            first, stop = map(build.const, (between or {}).get(axis.name, (axis.low, axis.high)))
            low = build.maximum(substitute(low, known), first)
            high = build.minimum(substitute(high, known), stop)
            low, high = self.steps.range(axis, {axis.name: (low, high)})
            body = [For(axis.name, low, high, tuple(body))]
        for guard in hoisted:
            body = [If(substitute(guard, known), tuple(body))]
        return body

    def _vector_value(self, j: int, width: int, known: dict[str, Expr], slot: Expr) -> Expr:
        if not self.plan.pack_vector:
            return self.source(j, width, known)
        lanes = self.plan.lanes
        return substitute(self.panels.load(slot, j * lanes, lanes), known)

    def _fetch(self, j: int, width: int, known: dict[str, Expr]) -> list[Stmt]:
        """Ask for a vector of a later step, once for each cache line, where steps lie far apart."""
        inner, size = self.problem.reductions[-1].name, self.problem.dtype.bytes
        (step,) = self.moving.steps(inner)
        loops = (*self.problem.axes, *self.problem.reductions)
        held = prod(axis.extent for axis in loops if self.moving.moves(axis.name)) * size
        near = abs(step) * size < 4 * LINE_BYTES or held <= NEAR_BYTES
        if (near and not self.fetch) or j * self.plan.lanes * size % LINE_BYTES:
            return []
        later = {inner: build.add(build.var(inner), build.const(self.fetch or PREFETCH_STEPS))}
        source = self.source(j, width, {**known, **later})
        return [Prefetch(source.buffer, source.index)]

    def _next_panel(self, tile: Tile, slot: Expr, known: dict[str, Expr]) -> list[Stmt]:
        """Ask for a part of what the next pass or panel reads: as much at each step of each tile.

        Panels of weights come from the memory of the machine. The first tile that reads one would
        wait for it, and the others leave the memory idle.
        """
        if not self.visits:
            return []
        share = -(-self.width // self.visits)
        behind = build.mul(tile.visit, build.const(self.steps.count))
        behind = build.add(behind, self.steps.position())
        begun = build.sub(self.panels.steps.position(), self.steps.position())
        buffer, index = self.ready, build.mul(slot, build.const(self.panels.slot_elems))
        if not self.plan.pack_vector:
            first = {axis.name: build.const(axis.low) for axis in self.problem.reductions}
            source = self.source(0, tile.width, {**known, **first})
            buffer, index = source.buffer, source.index
        index = build.add(index, build.mul(begun, build.const(self.width)))
        index = build.add(index, build.const(self.steps.count * self.width))
        index = build.add(index, build.mul(behind, build.const(share)))
        line = LINE_BYTES // self.problem.dtype.bytes
        return [Prefetch(buffer, build.add(index, build.const(at))) for at in range(0, share, line)]

    def source(self, j: int, width: int, known: dict[str, Expr]) -> Load:
        """A vector of the current step, read where it lies."""
        lanes = self.plan.lanes
        kind = VType(self.problem.dtype, lanes)
        loaded = self.moving_value
        if not isinstance(loaded, Load):
            raise InternalError(
                f"the schedule {self.plan} does not pack an operand with arithmetic"
            )
        index = build.add(substitute(loaded.index, known), build.const(j * lanes))
        return Load(loaded.buffer, index, kind, 1, mask_below(width - j * lanes, lanes))

    def _row_value(self, r: int, j: int, tile: Tile, known: dict[str, Expr]) -> Expr:
        """The still operand of one row, in the lanes of vector ``j``."""
        lanes = self.plan.lanes
        kind = VType(self.problem.dtype, lanes)
        if self.plan.pack_row:
            packed = self.packed_rows.load(tile.slot, r, 1)
            return Splat(substitute(packed, known), kind)
        at = {**known, self.row.name: build.add(tile.top, build.const(r))}
        start = build.add(at.pop(self.plan.vector), build.const(j * lanes))
        value = convert(substitute(self.still_value, at), kind.dtype)
        mask = mask_below(tile.width - j * lanes, lanes)
        return widen(value, self.plan.vector, start, lanes, mask, {})

    def pack_rows(self, run: Run, bounds: Bounds, slot: Expr, top: Expr) -> list[Stmt]:
        """Copy the rows of some tiles of a run, whose slots and tops depend on ``.tile``.

        Rows that lie side by side are copied step by step for all tiles: memory is read in long
        runs, where one tile after the other would come back to every line for its next part.
        """
        copy = (self.still, self.row.name, slot, top, run.size)
        if self.still.steps(self.row.name) == (1,) and not self.problem.constraints:
            step = self.packed_rows.step(*copy)
            return list(self.steps.loops((For(".tile", *bounds, step),)))
        return [For(".tile", *bounds, tuple(self.packed_rows.copy(*copy)))]

    def scratch(self, name: str, elems: int) -> None:
        """Ask for a scratch buffer of at least some size."""
        held = max([b.high for b in self.locals if b.name == name], default=0)
        self.locals = [b for b in self.locals if b.name != name]
        kind = VType(self.problem.dtype)
        buffer = Buffer(name, kind, max(elems, held), scope=Scope.CACHE, writable=True)
        self.locals.append(buffer)

    def _accumulators(self, elems: int) -> Buffer:
        kind = VType(self.problem.dtype, self.plan.lanes)
        held = Buffer(f".acc{elems}", kind, elems, scope=Scope.REGISTER, writable=True)
        if held not in self.locals:
            self.locals.append(held)
        return held

    def filled(self, j: int, value: Expr, known: dict[str, Expr], slot: Expr) -> Store:
        """Write a vector of the current step into its panel."""
        lanes = self.plan.lanes
        index = substitute(self.panels.offset(slot, build.const(j * lanes)), known)
        return Store(self.ready, index, value)


def _at(form: Form, point: dict[str, int]) -> int:
    return form.const + sum(factor * point[name] for name, factor in form.terms)
