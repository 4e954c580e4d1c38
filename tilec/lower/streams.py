"""Writes a reduction that is bound by reading its largest operand.

Two forms, by the loop that becomes lanes. *Dots*: a loop of the reduction. A block of output rows
is read side by side, each with sums of its own in registers, so that the other operand is loaded
once for all of them. *Columns*: a loop of the output. A few rows at a time are added to the sums of
a span of columns, which stay in the first cache, so that every row is read in one long run.

Assumes a piece that ``reduction`` recognises and a legal schedule (``schedule/stream.py``).
Guarantees the order of the additions: it follows from the schedule alone, not from the threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field, replace
from math import prod

from tilec.dtypes import F64, DType
from tilec.kernel import build
from tilec.kernel.ir import (
    Apply,
    Buffer,
    Const,
    Expr,
    Fold,
    For,
    If,
    Let,
    Load,
    LoopKind,
    Scope,
    Stmt,
    Store,
    Var,
    VType,
)
from tilec.lower import plan as plain
from tilec.lower import special
from tilec.lower.copies import Copies, Cut
from tilec.lower.flatten import FlatPiece, offsets
from tilec.lower.loops import (
    CASCADE_BLOCK,
    COMBINE,
    LoopWriter,
    Target,
    identity,
    is_cascade,
    place_constraints,
)
from tilec.lower.pieces import Part
from tilec.lower.square import folded
from tilec.lower.translate import RESULT, Place, convert, form_expr, translate
from tilec.lower.walk import substitute
from tilec.operations import OPERATIONS, Rule
from tilec.records import dataclass
from tilec.schedule.reduction import Access, Reduction
from tilec.schedule.stream import accumulators, places
from tilec.schedule.values import Streamed
from tilec.tensor.affine import Affine
from tilec.tensor.forms import Axis, form_of
from tilec.tensor.ir import Aggregation
from tilec.tensor.scalar import Apply as ScalarApply
from tilec.tensor.scalar import Read, reads, walk

PART = ".part"

MIN_TOGETHER = 4
"""Sums whose lanes are combined together, at least: two take as long as one after the other."""

_ZERO = build.const(0)

Block = Callable[[Expr, int], list[Stmt]]
"""Writes some consecutive iterations: the first, and how many."""


def reduction(flat: FlatPiece, target: Target) -> Reduction | str:
    """A piece as a reduction that may be bound by reading, or the reason why it is none."""
    piece = flat.piece
    if target.agg is Aggregation.ASSIGN:
        return "nothing is reduced"
    if len(piece.parts) != 1 or len(flat.stores) != 1 or not piece.covered:
        return "several reductions meet in an element, or elements have a default"
    part = piece.parts[0]
    extents = [axis.extent for axis in (*piece.axes, *part.axes)]
    if part.divisible or not part.axes or 0 in extents:
        return "untested divisibility, or no point"
    after = () if flat.epilogue is None else offsets(flat.epilogue)
    if any(form_of(f).denominator > 1 for f in (*flat.stores, *offsets(part.body), *after)):
        return "rational offsets"
    nodes = [node for node in walk(part.body) if isinstance(node, ScalarApply)]
    if any(OPERATIONS[node.op].rule is Rule.MATH for node in nodes):
        return "elementary functions take longer than reading"
    read = dict.fromkeys(
        Access(form_of(each.access[0]), each.dtype.bytes) for each in reads(part.body)
    )
    if not read:
        return "nothing is read"
    widest = max(target.accumulate.bytes, *(node.dtype.bytes for node in walk(part.body)))
    return Reduction(
        piece.axes,
        part.axes,
        tuple(read),
        form_of(flat.stores[0]),
        part.constraints,
        max(4 if target.accumulate.is_float else 1, widest),
        1 + sum(OPERATIONS[node.op].rule is not Rule.CAST for node in nodes[:-1]),
        is_cascade(target, [part]),
    )


@dataclass(slots=True)
class StreamWriter:
    """Writes one kernel; gathers the buffers that it uses."""

    problem: Reduction
    plan: Streamed
    flat: FlatPiece
    target: Target
    places: dict[str, Place]
    locals: list[Buffer] = field(default_factory=list[Buffer])
    partial: Buffer | None = None
    number: Expr = _ZERO
    ranges: dict[str, tuple[Expr, int]] = field(default_factory=dict[str, tuple[Expr, int]])
    copies: Copies = field(init=False)

    def __post_init__(self) -> None:
        part = self.flat.piece.parts[0]
        self.copies = Copies.none(part.body)
        if self.plan.pack:
            loops = (*self.problem.axes, *self.problem.reductions)
            self.copies = Copies.of(part.body, loops, self.plan.vector, self._cut())
        for buffer in self.copies.buffers:
            self.places = {**self.places, buffer.name: Place(buffer, (1,))}
            self.locals.append(buffer)

    def body(self) -> special.Body:
        """The statements."""
        plan = self.plan
        stmts = self._in_parts() if plan.parts > 1 else [*self._copied(), *self._outputs()]
        scratch = () if self.partial is None else (self.partial,)
        return special.Body(tuple(stmts), tuple(self.locals), (str(plan),), plan.lanes, scratch)

    # Parts of the reduction.

    def _in_parts(self) -> list[Stmt]:
        """All parts of the reduction into a buffer, whose values are then combined in order."""
        cut = self._cut()
        assert cut is not None
        size = cut.size
        cut = cut.axis
        count = -(-cut.extent // size)
        outputs = self._slots
        kind = VType(self._total)
        name = f"{self.target.output.name}.partial"
        self.partial = Buffer(name, kind, outputs * count, writable=True)

        def part(start: Expr, iterations: int) -> list[Stmt]:
            self.ranges[cut.name] = (start, iterations)
            is_last = isinstance(start, Const)  # or the only one
            self.number = build.const(count - 1) if is_last else build.var(f"{PART}.block")
            return [*self._copied(), *self._outputs()]

        stmts = _blocks(PART, cut.low, cut.extent, size, part, LoopKind.PARALLEL)
        return [*stmts, *self._combined_parts(outputs, count)]

    def _cut(self) -> Cut | None:
        """The loop that is cut into parts, and the iterations of one; None without parts."""
        if self.plan.parts == 1:
            return None
        axis = self.problem.axis(self.plan.parallel or "")
        unit = 1
        if axis.name == self.plan.row:
            unit = self.plan.rows
        elif axis.name == self.plan.vector:
            unit = self._width
        return Cut(axis, -(-axis.extent // (self.plan.parts * unit)) * unit)

    def _copied(self) -> list[Stmt]:
        """The copies of what does not lie consecutively, of this part if there are parts."""
        return self.copies.stmts(self.places, self.ranges)

    def _combined_parts(self, outputs: int, count: int) -> list[Stmt]:
        """The second, short reduction."""
        assert self.partial is not None
        slot = Affine.index(PART) * outputs + self._slot()
        again = Part((Axis(PART, 0, count),), (), (), Read(self.partial.name, (slot,), self._total))
        final = replace(self.flat, piece=replace(self.flat.piece, parts=(again,)))
        target = replace(self.target, accumulate=self._total)
        plan = plain.choose(final, target.agg, self.plan.lanes)
        plan = replace(plan, parallel=plain.parallel(final, plan))
        places = {**self.places, self.partial.name: Place(self.partial, (1,))}
        writer = LoopWriter(places, target, self.locals, prefix=".final")
        return list(writer.piece(final, plan))

    def _slot(self) -> Affine:
        """Place of an output element among all; those along the lanes lie side by side."""
        slot = Affine()
        for axis in sorted(self.problem.axes, key=lambda axis: axis.name == self.plan.vector):
            here = Affine.index(axis.name) - Affine.number(axis.low)
            slot = slot * places(self.problem, self.plan, axis) + here
        return slot

    @property
    def _slots(self) -> int:
        """Places for one part of all output elements."""
        return prod(places(self.problem, self.plan, axis) for axis in self.problem.axes)

    # Output loops.

    def _outputs(self) -> list[Stmt]:
        """The loops over the output around one of the two forms."""
        plan = self.plan
        stmts: list[Stmt] = self._columns() if self.problem.is_output(plan.vector) else self._dots()
        for axis in reversed(self.problem.axes):
            if axis.name in (plan.vector, plan.row, plan.share):
                continue
            low, high = build.const(axis.low), build.const(axis.high)
            stmts = [For(axis.name, low, high, tuple(stmts), kind=self._kind(axis.name))]
        return stmts

    def _kind(self, name: str) -> LoopKind:
        divided = self.plan.parts == 1 and name == self.plan.parallel
        return LoopKind.PARALLEL if divided else LoopKind.SERIAL

    def _shared(self) -> list[dict[str, Expr]]:
        """The iterations of the loop that shares what is read."""
        if self.plan.share is None:
            return [{}]
        axis = self.problem.axis(self.plan.share)
        return [{axis.name: build.const(at)} for at in range(axis.low, axis.high)]

    # Dot products.

    def _dots(self) -> list[Stmt]:
        plan = self.plan
        if plan.row is None:
            return self._dot_block([{}])
        row = self.problem.axis(plan.row)

        def block(start: Expr, count: int) -> list[Stmt]:
            return self._dot_block(
                [{row.name: build.add(start, build.const(r))} for r in range(count)]
            )

        return _blocks(row.name, row.low, row.extent, plan.rows, block, self._kind(row.name))

    def _dot_block(self, rows: list[dict[str, Expr]]) -> list[Stmt]:
        """Some rows: sums in registers, all reduction loops, the results."""
        points = [{**row, **share} for row in rows for share in self._shared()]
        width = self._width
        parts = [
            self._register(f".sum{at}", self.target.accumulate, width) for at in range(len(points))
        ]
        cut = None
        order = [axis for axis in self.problem.reductions if axis.name != self.plan.vector]
        order.append(self.problem.axis(self.plan.vector))
        totals = parts
        if self.problem.cascades:
            totals = [self._register(f".total{at}", F64, width) for at in range(len(points))]
            cut = self._cascade(order)
        op = COMBINE[self.target.agg]
        inner: list[Stmt] = []
        for point, held in zip(points, parts, strict=True):
            value = convert(substitute(self._value, point), held.type.dtype)
            inner.append(_set(held, Apply(op, (_get(held), value), VType(held.type.dtype))))
        stmts: list[Stmt] = [_set(held, self._identity(held.type)) for held in totals]
        stmts += self._reduced(order, inner, cut, list(zip(parts, totals, strict=True)))
        results = self._folded(stmts, totals, op)
        for at, (point, result) in enumerate(zip(points, results, strict=True)):
            named = Var(f".dot{at}", result.type)
            stmts.append(Let(named, result))
            stmts.append(self._stored(named, point))
        return stmts

    def _folded(self, stmts: list[Stmt], sums: Sequence[Buffer], op: str) -> list[Expr]:
        """The lanes of each sum combined; many sums are combined together."""
        results: list[Expr] = []
        lanes, dtype = sums[0].type.lanes, sums[0].type.dtype
        while len(results) < len(sums):
            first, left = len(results), len(sums) - len(results)
            count = min(lanes, 1 << left.bit_length() - 1)
            if count < MIN_TOGETHER:
                results.append(Fold(op, _get(sums[first]), VType(dtype)))
                continue
            together = folded(
                [_get(held) for held in sums[first : first + count]], op, f".fold{first}."
            )
            name = f".dots{first}"
            held = Buffer(name, VType(dtype), lanes, scope=Scope.CACHE, writable=True)
            if held not in self.locals:
                self.locals.append(held)
            stmts += [*together.stmts, Store(name, _ZERO, together.rows[0])]
            step = lanes // count
            results += [Load(name, build.const(n * step), VType(dtype)) for n in range(count)]
        return results

    def _cascade(self, order: list[Axis]) -> tuple[int, int]:
        """Depth of the loop that is cut into blocks of additions, and its iterations per block."""
        inner = 1
        for depth in reversed(range(len(order))):
            step = self._width if depth == len(order) - 1 else 1
            trips = -(-order[depth].extent // step)
            if inner * trips > CASCADE_BLOCK:
                return depth, max(1, CASCADE_BLOCK // inner) * step
            inner *= trips
        return 0, order[0].extent

    def _reduced(
        self,
        order: list[Axis],
        inner: list[Stmt],
        cut: tuple[int, int] | None,
        sums: list[tuple[Buffer, Buffer]],
    ) -> list[Stmt]:
        """The reduction loops around one step; sums of a block are added to the totals."""
        bounds, guards, hoisted = self._bounds(order)
        stmts: list[Stmt] = inner
        for guard in guards:
            stmts = [If(guard, tuple(stmts))]
        for depth in reversed(range(len(order))):
            axis = order[depth]
            kind = LoopKind.VECTOR if axis.name == self.plan.vector else LoopKind.SERIAL
            loop = For(axis.name, *bounds[axis.name], tuple(stmts), kind=kind)
            stmts = [loop]
            if cut is not None and cut[0] == depth:
                stmts = self._flushed(axis, loop, cut[1], sums)
        for guard in hoisted:
            stmts = [If(guard, tuple(stmts))]
        return stmts

    def _flushed(
        self, axis: Axis, loop: For, size: int, sums: list[tuple[Buffer, Buffer]]
    ) -> list[Stmt]:
        """A loop in blocks, after each of which the sums are added to the totals."""
        zeros = [_set(part, self._identity(part.type)) for part, _ in sums]
        flushes: list[Stmt] = [
            _set(total, Apply("add", (_get(total), convert(_get(part), F64)), total.type))
            for part, total in sums
        ]
        begin, count = self.ranges.get(axis.name, (build.const(axis.low), axis.extent))
        bound = any(form.coefficient(axis.name) for form in self.problem.constraints)

        def block(first: Expr, length: int) -> list[Stmt]:
            stop = build.add(first, build.const(length))
            if bound:
                first, stop = build.maximum(first, loop.start), build.minimum(stop, loop.stop)
            return [*zeros, replace(loop, start=first, stop=stop), *flushes]

        return _blocks(axis.name, begin, count, size, block, LoopKind.SERIAL)

    # Sums of columns.

    def _columns(self) -> list[Stmt]:
        axis = self.problem.axis(self.plan.vector)
        span = self.plan.span or axis.extent
        return _blocks(axis.name, axis.low, axis.extent, span, self._span, self._kind(axis.name))

    def _span(self, start: Expr, count: int) -> list[Stmt]:
        """The sums of some columns over all rows."""
        plan = self.plan
        column = build.var(plan.vector)
        here = {plan.vector: build.add(start, column)}
        shared = self._shared()
        sums = [self._sums(at, share, here) for at, share in enumerate(shared)]
        zeros = [Store(held, at, self._identity(VType(self._total))) for held, at in sums]
        stmts: list[Stmt] = [self._lanes(count, zeros)]
        row = self.problem.axis(plan.row or "")
        first, rows = self.ranges.get(row.name, (build.const(row.low), row.extent))

        def step(top: Expr, height: int) -> list[Stmt]:
            body: list[Stmt] = []
            for number, ((held, at), share) in enumerate(zip(sums, shared, strict=True)):
                added = self._rows(body, number, top, height, {**here, **share})
                kind = VType(self._total)
                op = COMBINE[self.target.agg]
                total = Apply(op, (Load(held, at, kind), convert(added, kind.dtype)), kind)
                body.append(Store(held, at, total))
            return [self._lanes(count, body)]

        others = [axis for axis in self.problem.reductions if axis is not row]
        bounds, guards, hoisted = self._bounds(others)
        inner = _blocks(row.name, first, rows, plan.rows, step, LoopKind.SERIAL)
        for guard in (*guards, *hoisted):
            inner = [If(guard, tuple(inner))]
        for axis in reversed(others):
            low, high = bounds[axis.name]
            inner = [For(axis.name, low, high, tuple(inner))]
        stmts += inner
        if self.partial is None:
            ends: list[Stmt] = []
            for number, ((held, at), share) in enumerate(zip(sums, shared, strict=True)):
                # By a name of its own, so that only the epilogue's indices are moved.
                value = Var(f".sum{number}", VType(self._total))
                ends.append(Let(value, Load(held, at, value.type)))
                ends.append(self._stored(value, {**here, **share}))
            stmts.append(self._lanes(count, ends))
        return stmts

    def _lanes(self, count: int, body: Sequence[Stmt]) -> Stmt:
        """A loop over columns."""
        return For(self.plan.vector, _ZERO, build.const(count), tuple(body), kind=LoopKind.VECTOR)

    def _rows(
        self, body: list[Stmt], number: int, top: Expr, height: int, known: dict[str, Expr]
    ) -> Expr:
        """Some rows combined; each step of that has a name of its own."""
        op, kind = COMBINE[self.target.agg], VType(self.target.accumulate)
        row = self.plan.row or ""
        value: Expr | None = None
        for r in range(height):
            point = {**known, row: build.add(top, build.const(r))}
            term = convert(substitute(self._value, point), kind.dtype)
            value = term if value is None else Apply(op, (value, term), kind)
            name = Var(f".row{number}.{r}", kind)
            body.append(Let(name, value))
            value = name
        assert value is not None
        return value

    def _sums(self, at: int, share: dict[str, Expr], here: dict[str, Expr]) -> tuple[str, Expr]:
        """Where the sum of a column is kept: in the partial results, or in scratch memory."""
        if self.partial is not None:
            return self.partial.name, self._partial_slot({**here, **share})
        distance = places(self.problem, self.plan, self.problem.axis(self.plan.vector))
        size = distance * len(self._shared())
        held = Buffer(".sums", VType(self._total), size, scope=Scope.CACHE, writable=True)
        if held not in self.locals:
            self.locals.append(held)
        return held.name, build.add(build.var(self.plan.vector), build.const(at * distance))

    # Common parts.

    @property
    def _total(self) -> DType:
        """Type of the sum of an element."""
        return F64 if self.problem.cascades else self.target.accumulate

    @property
    def _width(self) -> int:
        """Lanes of the sums of one dot product."""
        sums = self.plan.rows * len(self._shared())
        wide = self.plan.lanes * accumulators(sums)
        extent = self.problem.axis(self.plan.vector).extent
        return wide if extent >= wide else self.plan.lanes

    @property
    def _value(self) -> Expr:
        return self.copies.value(self.places, self.ranges)

    def _identity(self, kind: VType) -> Expr:
        return identity(self.target.agg, kind)

    def _bounds(
        self, order: list[Axis]
    ) -> tuple[dict[str, tuple[Expr, Expr]], list[Expr], list[Expr]]:
        part = replace(self.flat.piece.parts[0], axes=tuple(order))
        bounds, guards, hoisted = place_constraints(part, order, None)
        for name, (start, count) in self.ranges.items():
            if name in bounds:
                bounds[name] = (start, build.add(start, build.const(count)))
        return bounds, guards, hoisted

    def _partial_slot(self, point: dict[str, Expr]) -> Expr:
        assert self.partial is not None
        before = build.mul(self.number, build.const(self._slots))
        return build.add(before, substitute(form_expr(form_of(self._slot())), point))

    def _stored(self, value: Var, point: dict[str, Expr]) -> Stmt:
        """Stores the sum of an element, or of a part of it."""
        if self.partial is not None:
            return Store(self.partial.name, self._partial_slot(point), value)
        result = convert(value, self.target.result)
        if self.flat.epilogue is not None:
            result = substitute(translate(self.flat.epilogue, self.places, {RESULT: result}), point)
        where = substitute(form_expr(form_of(self.flat.stores[0])), point)
        return Store(self.target.output.name, where, result)

    def _register(self, name: str, dtype: DType, lanes: int) -> Buffer:
        held = Buffer(name, VType(dtype, lanes), 1, scope=Scope.REGISTER, writable=True)
        if held not in self.locals:
            self.locals.append(held)
        return held


def _blocks(
    name: str, low: int | Expr, extent: int, size: int, write: Block, kind: LoopKind
) -> list[Stmt]:
    """A loop over blocks of ``size`` iterations; the last may be smaller.

    One block needs no loop. Blocks on several threads are one loop, with the last inside.
    """
    first = build.const(low) if isinstance(low, int) else low
    full, rest = divmod(extent, size)
    if full + bool(rest) <= 1:
        return write(first, extent)
    number = build.var(f"{name}.block")
    body = write(build.add(first, build.mul(number, build.const(size))), size)
    last = write(build.add(first, build.const(full * size)), rest) if rest else []
    if rest and kind is LoopKind.PARALLEL:
        inside = build.compare("cmp_lt", number, build.const(full))
        body, last, full = [If(inside, tuple(body), tuple(last))], [], full + 1
    return [For(number.name, _ZERO, build.const(full), tuple(body), kind=kind), *last]


def _get(buffer: Buffer) -> Load:
    return Load(buffer.name, _ZERO, buffer.type)


def _set(buffer: Buffer, value: Expr) -> Store:
    return Store(buffer.name, _ZERO, value)
