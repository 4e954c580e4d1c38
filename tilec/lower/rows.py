"""Writes a kernel that goes through rows: each is read from memory once, whatever is done with it.

The members of a group are put into *passes* over a row. A reduction ends with its pass; what needs
its result belongs to the next. All members of a pass share one loop, whose iterations become lanes,
with several accumulators for each reduction. The first pass brings the row into the caches, the
others find it there. Numbers of a row stay in registers, elements that a later pass needs in a
buffer of one row, which each thread has for itself.

Assumes a group of ``rowgroups.py``. Guarantees the order of the additions: it follows from the
width of vectors alone, so that the bits do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from math import prod

from tilec.dtypes import F64, DType
from tilec.kernel import build
from tilec.kernel.ir import (
    Apply,
    Buffer,
    Expr,
    Fold,
    For,
    Let,
    Load,
    LoopKind,
    Prefetch,
    Scope,
    Stmt,
    Store,
    Var,
    VType,
)
from tilec.lower import special
from tilec.lower.block import Block
from tilec.lower.decide import operations_of
from tilec.lower.flatten import merged_axis, moved_body, offset_of, offsets, run_together
from tilec.lower.loops import CASCADE_BLOCK, CASCADE_POINTS, COMBINE, identity
from tilec.lower.plan import MIN_TASKS, PARALLEL_CYCLES, WIDE
from tilec.lower.quotients import by_inverses
from tilec.lower.rowgroups import varies
from tilec.lower.translate import Place, contiguous, convert, form_expr, translate
from tilec.lower.units import Kind, Member, RowGroup
from tilec.operations import OPERATIONS, Rule
from tilec.records import dataclass
from tilec.schedule.values import Loops, Plan
from tilec.tensor.affine import Affine
from tilec.tensor.forms import Axis, form_of
from tilec.tensor.ir import Aggregation, Contraction
from tilec.tensor.scalar import Apply as ScalarApply
from tilec.tensor.scalar import IndexValue, Literal, Read, Scalar, reads, rewrite, walk

_ZERO = build.const(0)

_ELEMENTARY_CYCLES = 15.0

_LINE_BYTES = 64


@dataclass(slots=True)
class Step:
    """A member with offsets for coordinates.

    Attributes:
        member: The member.
        body: Its body; reads of numbers of the row have no offset.
        store: Offset at which its value is stored; None where it is not.
        number: The pass, or for a number the pass before which it is known.
    """

    member: Member
    body: Scalar
    store: Affine | None = None
    number: int = 0

    @property
    def name(self) -> str:
        """Name of its value."""
        return self.member.name


@dataclass(slots=True)
class RowWriter:
    """Writes one kernel; gathers the buffers that it uses."""

    group: RowGroup
    places: Mapping[str, Place]
    lanes: int
    threads: bool
    ahead: bool = False
    least: float = PARALLEL_CYCLES
    block: Block | None = None
    total: DType = F64
    locals: list[Buffer] = field(default_factory=list[Buffer])
    steps: list[Step] = field(default_factory=list[Step])
    rows: list[Axis] = field(default_factory=list[Axis])
    columns: list[Axis] = field(default_factory=list[Axis])
    buffers: dict[str, Place] = field(default_factory=dict[str, Place])
    known: dict[str, Expr] = field(default_factory=dict[str, Expr])

    def _prepare(self) -> None:
        """Steps, places and loops of the group."""
        self.rows, self.columns = list(self.group.rows), list(self.group.columns)
        passes = passes_of(self.group)
        self._place(passes)
        self._flatten(passes)
        if self.block is not None:
            self._cut(self.block)
        self.rows = self._merged(self.rows)
        self.columns = self._merged(self.columns)

    def body(self) -> special.Body:
        """The statements."""
        self._prepare()
        last = max(step.number for step in self.steps)
        stmts = [stmt for number in range(last + 1) for stmt in self._pass(number)]
        parallel = self._parallel()
        for axis in reversed(self.rows):
            kind = LoopKind.PARALLEL if axis.name == parallel else LoopKind.SERIAL
            low, high = build.const(axis.low), build.const(axis.high)
            stmts = [For(axis.name, low, high, tuple(stmts), kind=kind)]
        vector = self.columns[-1].name if self.lanes > 1 else None
        plan = Plan(vector, self.lanes, parallel=parallel)
        return special.Body(
            tuple(stmts),
            tuple(self.locals),
            (str(Loops((plan,))),),
            self.lanes,
            notes=(self.note,),
            stores_once=True,
        )

    @property
    def note(self) -> str:
        """What the group is worth, and what it keeps of a row."""
        width = prod(axis.extent for axis in self.columns)
        passes = 1 + max(step.number for step in self.steps if self._is_wide(step))
        kept = [f"{place.buffer.name}: {place.buffer.type}[{width}]" for place in self._kept()]
        text = f"rows: {passes} passes over each row of {width}, "
        text += f"{self.group.saved_bytes / 2**20:.1f} MiB of traffic saved"
        return text + (f", kept of a row: {', '.join(kept)}" if kept else "")

    def _kept(self) -> list[Place]:
        return [p for p in self.buffers.values() if p.buffer.scope is Scope.CACHE]

    # Where values lie.

    def _place(self, passes: Mapping[str, int]) -> None:
        """A buffer for the elements that a later pass needs and nothing else stores."""
        shape = tuple(axis.extent for axis in self.columns)
        for member in self.group.members:
            if member.name in self.group.outputs:
                self.buffers[member.name] = self.places[member.name]
            elif member.kind is Kind.ROW and self._is_read_later(member, passes):
                kind = VType(member.node.type.dtype)
                row = Buffer(f".{member.name}.row", kind, prod(shape), scope=Scope.CACHE)
                row = replace(row, writable=True)
                strides = (*(0 for _ in self.rows), *contiguous(shape))
                self.locals.append(row)
                self.buffers[member.name] = Place(row, strides)

    def _is_read_later(self, member: Member, passes: Mapping[str, int]) -> bool:
        readers = [
            other
            for other in self.group.members
            if any(read.tensor == member.name for read in reads(other.body))
        ]
        return any(passes[reader.name] > passes[member.name] for reader in readers)

    def _flatten(self, passes: Mapping[str, int]) -> None:
        loops = (*self.rows, *self.columns)
        here = tuple(Affine.index(axis.name) for axis in loops)
        numbers = {m.name for m in self.group.members if m.kind is not Kind.ROW}
        for member in self.group.members:
            number = passes[member.name]
            same = {m.name for m in self.group.members if passes[m.name] == number}

            def change(node: Scalar, at_hand: set[str] = numbers | same) -> Scalar | None:
                if not isinstance(node, Read):
                    return None
                if node.tensor in at_hand:
                    return replace(node, access=())
                place = self.buffers.get(node.tensor) or self.places[node.tensor]
                return replace(node, access=(offset_of(place.strides, node.access),))

            step = Step(member, rewrite(member.body, change), number=number)
            place = self.buffers.get(member.name)
            if place is not None:
                point = here if member.kind is Kind.ROW else here[: len(self.rows)]
                rest = len(place.strides) - len(point)
                step.store = offset_of(place.strides, (*point, *(Affine() for _ in range(rest))))
            self.steps.append(step)

    def _cut(self, block: Block) -> None:
        """Only the rows of a block."""
        values = block.values(self.rows)
        for step in self.steps:
            step.body = block.body(step.body, values)
            if step.store is not None:
                step.store = block.store(step.name, step.store, values)
        self.rows = list(block.axes(self.rows))

    def _merged(self, axes: list[Axis]) -> list[Axis]:
        """Loops that run together as one, where every offset allows it."""
        axes = list(axes)
        at = len(axes) - 2
        while at >= 0:
            outer, inner = axes[at], axes[at + 1]
            forms = [form for step in self.steps for form in offsets(step.body)]
            forms += [step.store for step in self.steps if step.store is not None]
            pinned = any(isinstance(n, IndexValue) for s in self.steps for n in walk(s.body))
            if not pinned and run_together(forms, outer, inner):
                axis, values = merged_axis(outer, inner)
                axes[at : at + 2] = [axis]
                for step in self.steps:
                    step.body = moved_body(step.body, values)
                    step.store = None if step.store is None else step.store.substitute(values)
            at -= 1
        return axes

    def _parallel(self) -> str | None:
        """The row loop to divide among threads, when there is work enough for more than one."""
        points = prod(axis.extent for axis in (*self.rows, *self.columns))
        cycles = sum(cycles_of(step.body) for step in self.steps if self._is_wide(step))
        if not self.threads or points * cycles / max(1, self.lanes) < self.least:
            return None
        return next((axis.name for axis in self.rows if axis.extent >= MIN_TASKS), None)

    # Statements.

    def _is_wide(self, step: Step) -> bool:
        return step.member.kind is not Kind.SCALAR

    def _pass(self, number: int) -> list[Stmt]:
        """The numbers that are known before a pass, then the loop over the row, then its sums."""
        stmts: list[Stmt] = []
        for step in self.steps:
            if step.number == number and not self._is_wide(step):
                value = translate(step.body, self._flat, self.known)
                stmts += self._number(step, convert(value, step.member.node.type.dtype))
        wide = [step for step in self.steps if step.number == number and self._is_wide(step)]
        if not wide:
            return stmts
        before, inner, after = self._loop(wide)
        return [*stmts, *before, *inner, *after]

    def _loop(self, wide: list[Step]) -> tuple[list[Stmt], list[Stmt], list[Stmt]]:
        bodies = {step.name: self._hoisted(step) for step in wide}
        before = [stmt for let, _ in bodies.values() for stmt in let]
        width = self._width(wide)
        inner: list[Stmt] = []
        after: list[Stmt] = []
        zeros: list[Stmt] = []
        flushes: list[Stmt] = []
        for step in wide:
            value = translate(bodies[step.name][1], self._flat, self.known)
            node = step.member.node
            if step.member.kind is Kind.ROW:
                name = Var(f".{step.name}", VType(node.type.dtype))
                inner.append(Let(name, convert(value, node.type.dtype)))
                self.known[step.name] = name
                if step.store is not None:
                    inner.append(self._stored(step, name))
                continue
            assert isinstance(node, Contraction)
            op, kind = COMBINE[node.agg], VType(node.body.dtype, width)
            long = self._is_long(node)
            total = self._register(f".{step.name}.sum", VType(self.total, width) if long else kind)
            part = self._register(f".{step.name}.part", kind) if long else total
            before.append(_set(total, identity(node.agg, total.type)))
            combined = Apply(op, (_get(part), convert(value, kind.dtype)), VType(kind.dtype))
            inner.append(_set(part, combined))
            if long:
                zeros.append(_set(part, identity(node.agg, kind)))
                flushed = Apply("add", (_get(total), convert(_get(part), self.total)), total.type)
                flushes.append(_set(total, flushed))
            result = Fold(op, _get(total), VType(total.type.dtype))
            after += self._number(step, convert(result, node.type.dtype))
        inner += self._next_row(wide)
        return before, self._nest(inner, zeros, flushes, width), after

    def _next_row(self, wide: list[Step]) -> list[Stmt]:
        """Asks for the next row in the pass over this one that takes longest.

        Later passes find the row in the caches, so that memory would rest meanwhile: the hardware
        follows a row to the end of its page and no further.
        """
        later = [step for step in self.steps if step.number and self._is_wide(step)]
        heavy = max(later, key=lambda step: cycles_of(step.body), default=None)
        if not self.ahead or heavy is None or all(step is not heavy for step in wide):
            return []
        stmts: dict[Stmt, None] = {}
        for step in self.steps:
            for read in reads(step.body):
                form = form_of(read.access[0]) if read.access else None
                if form is None or form.coefficient(self.columns[-1].name) != 1:
                    continue
                ahead = form.coefficient(self.rows[-1].name)
                if not ahead or read.tensor in self.buffers:
                    continue
                here = build.add(form_expr(form), build.const(ahead))
                buffer, line = self.places[read.tensor].buffer.name, _LINE_BYTES // read.dtype.bytes
                for at in range(0, self._width(wide), line):
                    stmts[Prefetch(buffer, build.add(here, build.const(at)))] = None
        return list(stmts)

    def _nest(
        self, inner: list[Stmt], zeros: list[Stmt], flushes: list[Stmt], width: int
    ) -> list[Stmt]:
        """The loops over the elements of a row; long sums are flushed after every block."""
        axis = self.columns[-1]
        kind = LoopKind.VECTOR if self.lanes > 1 else LoopKind.SERIAL
        low, high = build.const(axis.low), build.const(axis.high)
        stmts: list[Stmt] = [For(axis.name, low, high, tuple(inner), kind=kind)]
        if flushes:
            start, block = build.var(f"{axis.name}.block"), CASCADE_BLOCK * width
            stop = build.minimum(build.add(start, build.const(block)), high)
            loop = For(axis.name, start, stop, tuple(inner), kind=kind)
            stmts = [For(start.name, low, high, (*zeros, loop, *flushes), step=block)]
        for axis in reversed(self.columns[:-1]):
            low, high = build.const(axis.low), build.const(axis.high)
            stmts = [For(axis.name, low, high, tuple(stmts))]
        return stmts

    def _hoisted(self, step: Step) -> tuple[list[Stmt], Scalar]:
        """What is the same for all elements of the row, named before the loop; and the rest."""
        columns = frozenset(axis.name for axis in self.columns)
        elements = frozenset(each.name for each in self.steps if each.member.kind is Kind.ROW)
        lets: list[Stmt] = []

        def moves(value: Scalar) -> bool:
            return varies(value, columns, elements)

        def hoist(value: Scalar) -> Scalar:
            if moves(value):
                if isinstance(value, ScalarApply):
                    return replace(value, args=tuple(map(hoist, value.args)))
                return value
            if isinstance(value, Literal) or (isinstance(value, Read) and not value.access):
                return value
            made = translate(value, self._flat, self.known)
            name = Var(f".{step.name}.row{len(lets)}", made.type)
            lets.append(Let(name, made))
            self.known[name.name] = name
            return Read(name.name, (), value.dtype)

        return lets, hoist(by_inverses(step.body, moves))

    def _number(self, step: Step, value: Expr) -> list[Stmt]:
        name = Var(f".{step.name}", VType(step.member.node.type.dtype))
        self.known[step.name] = name
        stmts: list[Stmt] = [Let(name, value)]
        return stmts if step.store is None else [*stmts, self._stored(step, name)]

    def _stored(self, step: Step, value: Expr) -> Stmt:
        assert step.store is not None
        where = form_expr(form_of(step.store))
        return Store(self.buffers[step.name].buffer.name, where, value)

    @property
    def _flat(self) -> dict[str, Place]:
        """Every buffer with one axis of stride 1: coordinates are offsets already."""
        places = {**self.places, **self.buffers}
        return {name: Place(place.buffer, (1,)) for name, place in places.items()}

    def _is_long(self, node: Contraction) -> bool:
        points = prod(axis.extent for axis in self.columns)
        floats = node.agg is Aggregation.SUM and node.body.dtype.is_float
        return floats and points > CASCADE_POINTS

    def _width(self, wide: Iterable[Step]) -> int:
        """Lanes of the accumulators of a pass: fewer where elementary functions need registers."""
        if self.lanes <= 1:
            return 1
        heavy = sum(_elementary(step.body) for step in wide)
        width = self.lanes * (WIDE if heavy <= 2 else WIDE // 2)
        return width if self.columns[-1].extent >= width else self.lanes

    def _register(self, name: str, kind: VType) -> Buffer:
        held = Buffer(name, kind, 1, scope=Scope.REGISTER, writable=True)
        self.locals.append(held)
        return held


def passes_of(group: RowGroup) -> dict[str, int]:
    """The pass of each member; for a number, the one before which it is known."""
    kinds = {member.name: member.kind for member in group.members}
    passes: dict[str, int] = {}
    for member in group.members:
        number = 0
        for name in dict.fromkeys(read.tensor for read in reads(member.body)):
            if name in kinds:
                number = max(number, passes[name] + (kinds[name] is Kind.REDUCTION))
        passes[member.name] = number
    # Elements are computed where they are first needed, so that fewer are kept.
    for member in reversed(group.members):
        users = [
            passes[other.name]
            for other in group.members
            if any(read.tensor == member.name for read in reads(other.body))
        ]
        if member.kind is Kind.ROW and users and member.name not in group.outputs:
            passes[member.name] = max(passes[member.name], min(users))
    return passes


def flops_of_rows(group: RowGroup) -> int:
    """Arithmetic operations of a group."""
    points = prod(axis.extent for axis in (*group.rows, *group.columns))
    return points * sum(operations_of(member.body) + 1 for member in group.members)


def cycles_of(body: Scalar) -> float:
    """Of one vector, roughly."""
    applied = sum(isinstance(node, ScalarApply) for node in walk(body))
    return 1.0 + _ELEMENTARY_CYCLES * _elementary(body) + 0.5 * applied


def _elementary(body: Scalar) -> int:
    """Elementary functions in a body."""
    nodes = [node for node in walk(body) if isinstance(node, ScalarApply)]
    return sum(OPERATIONS[node.op].rule is Rule.MATH for node in nodes)


def _get(buffer: Buffer) -> Load:
    return Load(buffer.name, _ZERO, buffer.type)


def _set(buffer: Buffer, value: Expr) -> Store:
    return Store(buffer.name, _ZERO, value)
