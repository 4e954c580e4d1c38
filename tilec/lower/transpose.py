"""Writes maps that read along one loop and store along another: permutations of axes.

Squares of as many rows as a vector has lanes are read row by row, transposed in registers, and
stored column by column, so that every cache line is read once and written once, as a whole. Element
by element, each line would come to the first cache as often as it has elements: rows that are a
power of two apart meet in a few of its sets.

Squares come in groups, so that lines beside each other are touched one soon after the other. Of
large results, groups are strips as high as a square: their rows are as many long runs for the
prefetchers, and lines are written past the caches one by one, which takes the same time wherever
they lie. Only whole lines can be. Rows that end within a page are too short for the prefetchers:
there each square asks for the one below, in the next strip. Where the rows of a large result begin
within lines and are a page or more apart, a group is left in scratch memory first and stored in
runs of a kilobyte.

Assumes a piece that ``transposition`` recognises. Guarantees that what is left at the edges is
written by plain loops.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from math import prod

from tilec.kernel import build
from tilec.kernel.ir import (
    Buffer,
    Expr,
    For,
    Load,
    LoopKind,
    Prefetch,
    Scope,
    Stmt,
    Store,
    Var,
    VType,
)
from tilec.lower import plan as plain
from tilec.lower import special
from tilec.lower.flatten import FlatPiece, offsets
from tilec.lower.loops import LoopWriter, Target
from tilec.lower.pieces import restrict
from tilec.lower.plan import MIN_TASKS
from tilec.lower.square import turned
from tilec.lower.translate import RESULT, Place, convert, form_expr, translate
from tilec.lower.vectorise import widen
from tilec.lower.walk import substitute
from tilec.records import dataclass
from tilec.schedule.values import Loops, Plan
from tilec.target.core import Core
from tilec.tensor.forms import Axis, form_of
from tilec.tensor.ir import Aggregation
from tilec.tensor.scalar import Read, Scalar, reads, rewrite

_ZERO = build.const(0)

_ELEMENT_BYTES = (4, 8)
"""Of narrower elements a square would not fit into the registers."""

GROUP = 4
"""Squares of a group in either direction, where the caches hold the result."""

STRIP_BYTES = 4096
"""Of each row of a strip: hardware prefetchers follow long runs, to the end of a page."""

RUN_BYTES = 1024
"""Of a row of the result that is stored at once, out of scratch memory: fewer are too short for
the prefetchers."""

_HELD = 4
"""A part of the second-level cache that scratch memory takes: what is read passes by, too."""

PAGE_BYTES = 4096

_RUN = ".run"


@dataclass(frozen=True, slots=True)
class Turn:
    """Two loops that change places.

    Attributes:
        along: Loop along which the result is stored.
        across: Loop along which the reads are consecutive.
        reads: These reads.
    """

    along: Axis
    across: Axis
    reads: tuple[Read, ...]


@dataclass(frozen=True, slots=True)
class Transposition:
    """What has to be transposed.

    Attributes:
        along: Loop along which the result is stored.
        across: Loop along which the reads are consecutive.
        reads: These reads.
        lanes: Elements of a vector, and rows of a square.
        groups: Squares of a group along the two loops.
        in_runs: Whether results are stored in runs, out of scratch memory.
        asks: Whether a square asks for that of the next strip.
    """

    along: Axis
    across: Axis
    reads: tuple[Read, ...]
    lanes: int
    groups: Mapping[str, int]
    in_runs: bool
    asks: bool

    @property
    def pitch(self) -> int:
        """Elements between rows in scratch memory: no power of two, so that they share no sets."""
        return self.lanes * (self.groups[self.along.name] + 1)


def turn_of(flat: FlatPiece, target: Target) -> Turn | None:
    """The loops that change places in a map, if there are any."""
    piece = flat.piece
    if target.agg is not Aggregation.ASSIGN or not piece.covered or len(piece.parts) != 1:
        return None
    (part,) = piece.parts
    if part.axes or part.constraints or part.divisible:
        return None
    after = () if flat.epilogue is None else offsets(flat.epilogue)
    if any(form_of(form).denominator > 1 for form in (*flat.stores, *offsets(part.body), *after)):
        return None
    store = form_of(flat.stores[0])
    along = next((axis for axis in piece.axes if store.coefficient(axis.name) == 1), None)
    if along is None:
        return None
    found = dict.fromkeys(
        read
        for read in reads(part.body)
        if form_of(read.access[0]).coefficient(along.name) not in (0, 1)
    )
    across = [
        axis
        for axis in piece.axes
        if found and all(form_of(read.access[0]).coefficient(axis.name) == 1 for read in found)
    ]
    return Turn(along, across[0], tuple(found)) if len(across) == 1 else None


def transposition(flat: FlatPiece, target: Target, core: Core) -> Transposition | None:
    """The transposition in a map, if there is one that fits the registers."""
    turn = turn_of(flat, target) if core.vector_bytes else None
    if turn is None:
        return None
    store, across = form_of(flat.stores[0]), turn.across
    sizes = {read.dtype.bytes for read in turn.reads} | {target.output.type.dtype.bytes}
    if len(sizes) != 1 or not sizes.issubset(_ELEMENT_BYTES):
        return None
    size, axes = sizes.pop(), flat.piece.axes
    lanes = core.lanes(size)
    if lanes < 2 or min(turn.along.extent, across.extent) < lanes:
        return None
    square, high, wide = lanes * size, GROUP, GROUP
    is_large = prod(axis.extent for axis in axes) * size > core.last_cache_bytes
    is_apart = abs(store.coefficient(across.name)) * size >= PAGE_BYTES
    others = (axis for axis in axes if axis is not turn.along)
    is_whole = all(store.coefficient(axis.name) * size % core.line_bytes == 0 for axis in others)
    in_runs = is_large and is_apart and not is_whole
    if in_runs:
        high, wide = RUN_BYTES // square, max(1, core.l2_bytes // _HELD // RUN_BYTES // lanes)
    elif is_large and is_whole:
        high, wide = 1, STRIP_BYTES // square
    groups = {turn.along.name: high, across.name: wide}
    asks = is_large and is_whole and across.extent * size <= PAGE_BYTES
    return Transposition(turn.along, across, turn.reads, lanes, groups, in_runs, asks)


def turned_body(reads: Sequence[Read], held: Iterable[str], body: Scalar) -> Scalar:
    """A body whose reads along the other loop are of what is at hand under some names."""
    names = dict(zip(reads, held, strict=True))

    def change(node: Scalar) -> Scalar | None:
        if not isinstance(node, Read) or node not in names:
            return None
        return Read(names[node], (), node.dtype)

    return rewrite(body, change)


@dataclass(slots=True)
class TransposeWriter:
    """Writes one kernel; gathers the buffers that it uses."""

    problem: Transposition
    flat: FlatPiece
    target: Target
    places: dict[str, Place]
    threads: bool
    locals: list[Buffer] = field(default_factory=list[Buffer])

    def body(self) -> special.Body:
        """The squares, then the edges."""
        problem = self.problem
        plan = Plan(problem.along.name, problem.lanes, parallel=self._parallel())
        stmts = [*self._squares(plan.parallel), *self._edges()]
        return special.Body(
            tuple(stmts),
            tuple(self.locals),
            (str(Loops((plan,))),),
            problem.lanes,
            stores_once=True,
        )

    @property
    def _others(self) -> list[Axis]:
        return [
            axis
            for axis in self.flat.piece.axes
            if axis not in (self.problem.along, self.problem.across)
        ]

    def _parallel(self) -> str | None:
        plan = Plan(self.problem.along.name, self.problem.lanes)
        if not self.threads or plain.parallel(self.flat, plan) is None:
            return None
        long = next((axis.name for axis in self._others if axis.extent >= MIN_TASKS), None)
        return long or max((self.problem.along, self.problem.across), key=self._tasks).name

    def _tasks(self, axis: Axis) -> int:
        """Groups along a loop."""
        return axis.extent // self.problem.lanes // self.problem.groups[axis.name]

    def _squares(self, parallel: str | None) -> list[Stmt]:
        problem = self.problem
        starts = {
            axis.name: build.add(
                build.mul(build.var(f"{axis.name}.block"), build.const(problem.lanes)),
                build.const(axis.low),
            )
            for axis in (problem.along, problem.across)
        }
        stmts: list[Stmt] = self._square(starts)
        axes = (problem.across, problem.along)
        several = [axis for axis in axes if self._is_grouped(axis, parallel)]
        for axis in axes:
            first, stop = _ZERO, build.const(axis.extent // problem.lanes)
            if axis in several:
                first, stop = self._group(axis)
            stmts = [For(f"{axis.name}.block", first, stop, tuple(stmts))]
        if problem.in_runs:
            stmts += self._runs()
        for axis in sorted(several, key=lambda axis: axis.name == parallel):
            kind = LoopKind.PARALLEL if axis.name == parallel else LoopKind.SERIAL
            count = build.const(axis.extent // problem.lanes)
            step = problem.groups[axis.name]
            stmts = [For(f"{axis.name}.group", _ZERO, count, tuple(stmts), step, kind)]
        for axis in reversed(self._others):
            kind = LoopKind.PARALLEL if axis.name == parallel else LoopKind.SERIAL
            low, high = build.const(axis.low), build.const(axis.high)
            stmts = [For(axis.name, low, high, tuple(stmts), kind=kind)]
        return stmts

    def _is_grouped(self, axis: Axis, parallel: str | None) -> bool:
        """Whether there may be several groups along a loop."""
        many = axis.extent // self.problem.lanes > self.problem.groups[axis.name]
        return many or self.problem.in_runs or axis.name == parallel

    def _group(self, axis: Axis) -> tuple[Expr, Expr]:
        """The squares of a group along a loop."""
        first = build.var(f"{axis.name}.group")
        count = build.const(axis.extent // self.problem.lanes)
        size = build.const(self.problem.groups[axis.name])
        return first, build.minimum(build.add(first, size), count)

    def _runs(self) -> list[Stmt]:
        """Store a group row by row, out of scratch memory."""
        problem, lanes = self.problem, build.const(self.problem.lanes)
        kind, names = VType(self.target.output.type.dtype), (".column", ".row")
        rows = problem.groups[problem.across.name] * problem.lanes
        run = Buffer(_RUN, kind, rows * problem.pitch, scope=Scope.CACHE, writable=True)
        self.locals.append(run)
        held = build.add(
            build.mul(build.var(".row"), build.const(problem.pitch)), build.var(".column")
        )
        point: dict[str, Expr] = {}
        counts: list[Expr] = []
        for axis, name in zip((problem.along, problem.across), names, strict=True):
            first, stop = self._group(axis)
            begin = build.add(build.mul(first, lanes), build.const(axis.low))
            point[axis.name] = build.add(begin, build.var(name))
            counts.append(build.mul(build.sub(stop, first), lanes))
        where = substitute(form_expr(form_of(self.flat.stores[0])), point)
        value = Load(_RUN, held, VType(kind.dtype, problem.lanes))
        store = Store(self.target.output.name, where, value)
        inner = For(".column", _ZERO, counts[0], (store,), problem.lanes)
        return [For(".row", _ZERO, counts[1], (inner,))]

    def _square(self, starts: dict[str, Expr]) -> list[Stmt]:
        """One square: its rows, then column by column what is stored."""
        problem, lanes = self.problem, self.problem.lanes
        along, across = problem.along.name, problem.across.name
        stmts: list[Stmt] = []
        known: dict[str, Expr] = {}
        columns: list[tuple[Buffer, tuple[Var, ...]]] = []
        for number, read in enumerate(problem.reads):
            kind = VType(read.dtype, lanes)
            form, rows = form_of(read.access[0]), list[Load]()
            for r in range(lanes):
                point = {**starts, along: build.add(starts[along], build.const(r))}
                where = substitute(form_expr(form), point)
                rows.append(Load(self.places[read.tensor].buffer.name, where, kind))
            if problem.asks:
                below = build.const(form.coefficient(along) * lanes)
                stmts += [Prefetch(row.buffer, build.add(row.index, below)) for row in rows]
            square = turned(rows, f".square{number}.")
            stmts += square.stmts
            held = Buffer(f".column{number}", kind, 1, scope=Scope.REGISTER, writable=True)
            self.locals.append(held)
            columns.append((held, square.rows))
            known[held.name] = Load(held.name, _ZERO, VType(read.dtype))
        body = turned_body(problem.reads, known, self.flat.piece.parts[0].body)
        value = translate(body, self.places, known)
        value = convert(value, self.target.result)
        if self.flat.epilogue is not None:
            value = translate(self.flat.epilogue, self.places, {RESULT: value})
        store = form_expr(form_of(self.flat.stores[0]))
        registers = {buffer.name: buffer for buffer, _ in columns}
        for c in range(lanes):
            for held, vectors in columns:
                stmts.append(Store(held.name, _ZERO, vectors[c]))
            point = {across: build.add(starts[across], build.const(c))}
            wide = widen(substitute(value, point), along, starts[along], lanes, None, registers)
            if problem.in_runs:
                stmts.append(Store(_RUN, self._held(c), wide))
            else:
                where = substitute(store, {**starts, **point})
                stmts.append(Store(self.target.output.name, where, wide))
        return stmts

    def _held(self, column: int) -> Expr:
        """Where a column of a square is in scratch memory."""
        along, across, lanes = self.problem.along.name, self.problem.across.name, self.problem.lanes

        def own(name: str) -> Expr:
            return build.sub(build.var(f"{name}.block"), build.var(f"{name}.group"))

        row = build.add(build.mul(own(across), build.const(lanes)), build.const(column))
        first = build.mul(own(along), build.const(lanes))
        return build.add(build.mul(row, build.const(self.problem.pitch)), first)

    def _edges(self) -> list[Stmt]:
        """What is left of the rows, then of the columns."""
        problem, lanes = self.problem, self.problem.lanes
        along, across = problem.along, problem.across
        whole = along.low + along.extent // lanes * lanes
        pieces = [restrict(self.flat.piece, along.name, whole, along.high)]
        inner = restrict(self.flat.piece, along.name, along.low, whole)
        last = across.low + across.extent // lanes * lanes
        pieces.append(restrict(inner, across.name, last, across.high))
        writer = LoopWriter(self.places, self.target, self.locals)
        stmts: list[Stmt] = []
        for piece in pieces:
            if any(axis.extent == 0 for axis in piece.axes):
                continue
            flat = replace(self.flat, piece=piece)
            plan = plain.choose(flat, self.target.agg, lanes)
            if self.threads:
                plan = replace(plan, parallel=plain.parallel(flat, plan))
            stmts += writer.piece(flat, plan)
        return stmts
