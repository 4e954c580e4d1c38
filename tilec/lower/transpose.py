"""Writes maps that read along one loop and store along another: permutations of axes.

Squares of as many rows as a vector has lanes are read row by row, transposed in registers, and
stored column by column, so that every cache line is read once and written once, as a whole. Element
by element, each line would come to the first cache as often as it has elements: rows that are a
power of two apart meet in a few of its sets.

Squares come in groups, so that lines beside each other are touched one soon after the other. Where
no cache holds all that moves, groups are strips as high as a square: their rows are as many long
runs for the prefetchers, and lines are written past the caches one by one, which takes the same
time wherever they lie. Rows that end within a page are too short for the prefetchers. Where another
loop goes on behind them, some of its iterations are part of the strip; else each square asks for
the one below, in the next strip.

Rows that follow each other without a gap are one run, and where a block of them fits into the
second-level cache, it is read as it lies and written in runs, too, by stores that ask for their
lines: on few cores, that is faster than single lines past the caches.

Only whole lines can be written past the caches. Where the rows of a result begin within lines, each
row of a square waits in scratch memory for the square below, and a line is taken out of both.

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
    If,
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

TALL = 256
"""Strips of a group whose rows wait for those of the next strip: only the first and the last of
them are stored across lines."""

APART_BYTES = 1536
"""Rows of a result that begin within lines closer to each other are faster in groups."""

RUN_BYTES = 1024
"""Of each row of a result that is written in runs: a block of that height stays in L2."""

_BLOCKS = 8
"""Blocks that L2 holds: this one, what is read next, what is written, and what is in the way."""

_AHEAD_BYTES = 256
"""Between a store into a run and the line that it asks for."""

_LEAST_STRIPS = 4
"""Of fewer strips most rows would be stored across lines."""

_WAITING = ".waiting"


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
        line: Elements of a cache line.
        groups: Squares of a group along the two loops, iterations of the one beside them.
        beside: Loop that goes on where rows of the reads end, if strips take some of it.
        waits: Whether rows of a square wait for the square below, to be stored as whole lines.
        asks: Whether a square asks for that of the next strip.
        runs: Whether blocks are read as they lie and written in runs, by stores that ask.
    """

    along: Axis
    across: Axis
    reads: tuple[Read, ...]
    lanes: int
    line: int
    groups: Mapping[str, int]
    beside: Axis | None
    waits: bool = False
    asks: bool = False
    runs: bool = False


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
    known = (turn.along, across, turn.reads, lanes, core.line_bytes // size)
    moved = prod(axis.extent for axis in axes) * size * (1 + len(turn.reads))
    is_large = moved > core.last_cache_bytes
    if is_large and _is_block(turn, RUN_BYTES * across.extent, core):
        groups = {turn.along.name: RUN_BYTES // (lanes * size), across.name: across.extent}
        return Transposition(*known, groups, None, runs=True)
    others = [axis for axis in axes if axis is not turn.along]
    is_whole = all(store.coefficient(axis.name) * size % core.line_bytes == 0 for axis in others)
    strips = turn.along.extent // lanes
    is_apart = abs(store.coefficient(across.name)) * size >= APART_BYTES
    waits = is_large and not is_whole and is_apart and strips >= _LEAST_STRIPS
    groups, beside = {turn.along.name: GROUP, across.name: GROUP}, None
    if is_large and (is_whole or waits):
        groups = {turn.along.name: TALL if waits else 1, across.name: STRIP_BYTES // (lanes * size)}
        beside = _beside(turn, others)
        if beside is not None:
            groups[beside.name] = max(1, STRIP_BYTES // (across.extent * size))
    is_short = beside is None and across.extent * size <= STRIP_BYTES
    asks = is_large and (is_whole or waits) and is_short
    return Transposition(*known, groups, beside, waits, asks)


def _is_block(turn: Turn, size: int, core: Core) -> bool:
    """Whether rows that are read follow each other, and so many of them fit into L2.

    Args:
        turn: The loops and the reads.
        size: Bytes of a block of each read.
        core: The processor.
    """
    steps = {form_of(read.access[0]).coefficient(turn.along.name) for read in turn.reads}
    fits = size * len(turn.reads) * _BLOCKS <= core.l2_bytes
    return core.asks and fits and steps == {turn.across.extent}


def _beside(turn: Turn, others: Sequence[Axis]) -> Axis | None:
    """The loop that goes on in memory where the rows that are read end, if there is one."""
    steps = (
        {form_of(read.access[0]).coefficient(axis.name) for read in turn.reads} for axis in others
    )
    found = zip(others, steps, strict=True)
    return next((axis for axis, each in found if each == {turn.across.extent}), None)


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
            if axis not in (self.problem.along, self.problem.across, self.problem.beside)
        ]

    def _parallel(self) -> str | None:
        plan = Plan(self.problem.along.name, self.problem.lanes)
        if not self.threads or plain.parallel(self.flat, plan) is None:
            return None
        long = next((axis.name for axis in self._others if axis.extent >= MIN_TASKS), None)
        return long or max(self._grouped, key=self._tasks).name

    @property
    def _grouped(self) -> list[Axis]:
        """Loops whose iterations come in groups, the innermost first."""
        problem = self.problem
        inner = (problem.across, problem.beside, problem.along)
        if problem.runs:
            inner = (problem.along, problem.across)
        return [axis for axis in inner if axis is not None]

    def _count(self, axis: Axis) -> int:
        """Squares along a loop, or its iterations."""
        return axis.extent if axis is self.problem.beside else axis.extent // self.problem.lanes

    def _tasks(self, axis: Axis) -> int:
        """Groups along a loop."""
        return self._count(axis) // self.problem.groups[axis.name]

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
        several = [axis for axis in self._grouped if self._is_grouped(axis, parallel)]
        for axis in self._grouped:
            first, stop = self._group(axis) if axis in several else self._all(axis)
            stmts = [For(self._loop(axis), first, stop, tuple(stmts))]
        for axis in sorted(several, key=lambda axis: axis.name == parallel):
            kind = LoopKind.PARALLEL if axis.name == parallel else LoopKind.SERIAL
            first, stop = self._all(axis)
            step = problem.groups[axis.name]
            stmts = [For(f"{axis.name}.group", first, stop, tuple(stmts), step, kind)]
        for axis in reversed(self._others):
            kind = LoopKind.PARALLEL if axis.name == parallel else LoopKind.SERIAL
            low, high = build.const(axis.low), build.const(axis.high)
            stmts = [For(axis.name, low, high, tuple(stmts), kind=kind)]
        return stmts

    def _is_grouped(self, axis: Axis, parallel: str | None) -> bool:
        """Whether there may be several groups along a loop."""
        many = self._count(axis) > self.problem.groups[axis.name]
        return many or self.problem.waits or axis.name == parallel

    def _all(self, axis: Axis) -> tuple[Expr, Expr]:
        """The squares along a loop, or its iterations."""
        if axis is self.problem.beside:
            return build.const(axis.low), build.const(axis.high)
        return _ZERO, build.const(self._count(axis))

    def _loop(self, axis: Axis) -> str:
        """The variable that counts them."""
        return axis.name if axis is self.problem.beside else f"{axis.name}.block"

    def _group(self, axis: Axis) -> tuple[Expr, Expr]:
        """The squares of a group along a loop."""
        first, (_, stop) = build.var(f"{axis.name}.group"), self._all(axis)
        size = build.const(self.problem.groups[axis.name])
        return first, build.minimum(build.add(first, size), stop)

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
            if problem.runs:
                stmts += self._next_block(read)
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
        wheres: list[Expr] = []
        for c in range(lanes):
            for held, vectors in columns:
                stmts.append(Store(held.name, _ZERO, vectors[c]))
            point = {across: build.add(starts[across], build.const(c))}
            wide = widen(substitute(value, point), along, starts[along], lanes, None, registers)
            wheres.append(substitute(store, {**starts, **point}))
            if problem.runs:
                ahead = build.const(_AHEAD_BYTES // wide.type.dtype.bytes)
                stmts.append(Prefetch(self.target.output.name, build.add(wheres[c], ahead), True))
            if problem.waits:
                stmts.append(Store(_WAITING, self._waiting(c, own=True), wide))
            else:
                stmts.append(Store(self.target.output.name, wheres[c], wide))
        return [*stmts, *(self._joined(wheres) if problem.waits else ())]

    def _next_block(self, read: Read) -> list[Stmt]:
        """Ask for a part of the next block, which lies behind this one: as much as a square."""
        problem, lanes = self.problem, self.problem.lanes
        along, across = problem.along, problem.across
        height = problem.groups[along.name]
        group, squares = build.var(f"{along.name}.group"), build.const(height)
        below = build.sub(build.var(self._loop(along)), group)
        done = build.add(build.mul(build.var(self._loop(across)), squares), below)
        row = build.mul(build.add(group, squares), build.const(lanes))
        begin = {
            along.name: build.add(row, build.const(along.low)),
            across.name: build.const(across.low),
        }
        form = form_expr(form_of(read.access[0]))
        where = build.add(substitute(form, begin), build.mul(done, build.const(lanes * lanes)))
        name = self.places[read.tensor].buffer.name
        parts = range(0, lanes * lanes, problem.line)
        return [Prefetch(name, build.add(where, build.const(at))) for at in parts]

    def _joined(self, wheres: Sequence[Expr]) -> list[Stmt]:
        """Store the rows of a square in lines, of which most begin in the square above.

        Args:
            wheres: Where the rows belong in the result.
        """
        problem, lanes = self.problem, self.problem.lanes
        size = (
            2
            * lanes
            * lanes
            * prod(problem.groups[axis.name] for axis in self._grouped if axis is not problem.along)
        )
        kind = VType(self.target.output.type.dtype, lanes)
        self.locals.append(
            Buffer(_WAITING, VType(kind.dtype), size, scope=Scope.CACHE, writable=True)
        )
        name, whole, alone, after = (
            self.target.output.name,
            list[Stmt](),
            list[Stmt](),
            list[Stmt](),
        )
        for c, where in enumerate(wheres):
            own, over = self._waiting(c, own=True), build.floor_mod(where, lanes)
            line = Load(_WAITING, build.sub(own, over), kind)
            whole.append(Store(name, build.sub(where, over), line))
            alone.append(Store(name, where, Load(_WAITING, own, kind)))
            after.append(Store(_WAITING, self._waiting(c, own=False), Load(_WAITING, own, kind)))
        block, (first, stop) = build.var(self._loop(problem.along)), self._group(problem.along)
        is_first = build.compare("cmp_eq", block, first)
        is_last = build.compare("cmp_eq", block, build.sub(stop, build.const(1)))
        return [
            If(build.compare("cmp_gt", block, first), tuple(whole)),
            If(build.either(is_first, is_last), tuple(alone)),
            *after,
        ]

    def _waiting(self, row: int, *, own: bool) -> Expr:
        """Where a row of a square waits, or the row of the square above it."""
        problem, lanes, found = self.problem, self.problem.lanes, _ZERO
        for axis in (problem.beside, problem.across):
            if axis is not None:
                at = build.sub(build.var(self._loop(axis)), build.var(f"{axis.name}.group"))
                size = build.const(problem.groups[axis.name])
                found = build.add(build.mul(found, size), at)
        found = build.add(build.mul(found, build.const(lanes)), build.const(row))
        first = build.mul(found, build.const(2 * lanes))
        return build.add(first, build.const(lanes)) if own else first

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
