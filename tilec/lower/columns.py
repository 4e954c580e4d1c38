"""Writes reductions that stand beside each other along the outer axis: statistics of columns.

A few rows at a time are added to the sums of all columns, which stay in the caches, so that every
row is read once, in one long run, for all reductions. Parts of the rows are summed apart, on any
thread, and then together in order; what is computed from the sums is computed there.

Assumes a standing group of ``rowgroups.py``. Guarantees the order of the additions: parts follow
from the sizes alone, so that the bits do not depend on the number of threads.
"""

from __future__ import annotations

from dataclasses import field
from math import prod

from tilec.kernel import build
from tilec.kernel.ir import Apply, Buffer, Expr, For, Let, Load, LoopKind, Stmt, Store, Var, VType
from tilec.lower import special
from tilec.lower.loops import COMBINE, identity
from tilec.lower.plan import PARALLEL_CYCLES
from tilec.lower.rows import RowWriter, Step, cycles_of
from tilec.lower.translate import convert, form_expr, translate
from tilec.lower.walk import substitute
from tilec.records import dataclass
from tilec.schedule.values import Loops, Plan
from tilec.tensor.affine import Affine
from tilec.tensor.forms import Axis, form_of
from tilec.tensor.ir import Contraction

HEIGHT = 8
"""Rows that are added to the sums together, so that these are loaded and stored once for all."""

MAX_PARTS = 16
PART_ROWS = 128
"""Rows of a part: fewer, and adding up the parts takes a noticeable share of the time."""

_PART = ".part"
_ZERO = build.const(0)


@dataclass(slots=True)
class ColumnWriter(RowWriter):
    """Writes one kernel; gathers the buffers that it uses."""

    sums: dict[str, Buffer] = field(default_factory=dict[str, Buffer])

    def body(self) -> special.Body:
        """The statements."""
        self._prepare()
        cut = self.columns[0]
        parts = min(MAX_PARTS, max(1, cut.extent // PART_ROWS)) if self._is_divided() else 1
        size = -(-cut.extent // parts)
        count = -(-cut.extent // size)
        outputs = prod(axis.extent for axis in self.rows)
        wide = [step for step in self.steps if self._is_wide(step)]
        for step in wide:
            kind = (
                VType(self.total) if self._is_long(_node(step)) else VType(_node(step).body.dtype)
            )
            name = f"{self.group.result.name}.{step.name}.parts"
            self.sums[step.name] = Buffer(name, kind, outputs * count, writable=True)
        inner = self._part(wide, cut, size)
        stmts: list[Stmt] = [
            For(_PART, _ZERO, build.const(count), tuple(inner), kind=_kind(count > 1)),
            *self._ends(wide, count),
        ]
        vector = self.rows[-1].name if self.lanes > 1 else None
        plan = Plan(vector, self.lanes, parallel=_PART if count > 1 else None)
        text = f"columns: {len(wide)} reductions in one pass, "
        text += f"{self.group.saved_bytes / 2**20:.1f} MiB of traffic saved"
        return special.Body(
            tuple(stmts),
            tuple(self.locals),
            (str(Loops((plan,))),),
            self.lanes,
            tuple(self.sums.values()),
            notes=(text,),
        )

    def _is_divided(self) -> bool:
        points = prod(axis.extent for axis in (*self.rows, *self.columns))
        cycles = sum(cycles_of(step.body) for step in self.steps if self._is_wide(step))
        return self.threads and points * cycles / max(1, self.lanes) >= PARALLEL_CYCLES

    def _slot(self, part: Expr) -> Expr:
        """Where the sum of a column over a part is."""
        slot = Affine()
        for axis in self.rows:
            slot = slot * axis.extent + Affine.index(axis.name) - Affine.number(axis.low)
        before = build.mul(part, build.const(prod(axis.extent for axis in self.rows)))
        return build.add(before, form_expr(form_of(slot)))

    def _part(self, wide: list[Step], cut: Axis, size: int) -> list[Stmt]:
        """The sums of all columns over some rows."""
        part = build.var(_PART)
        slot = self._slot(part)
        zeros: list[Stmt] = [
            Store(held.name, slot, identity(_node(step).agg, held.type))
            for step in wide
            for held in (self.sums[step.name],)
        ]
        start = build.add(build.mul(part, build.const(size)), build.const(cut.low))
        stop = build.minimum(build.add(start, build.const(size)), build.const(cut.high))
        blocks = build.floor_div(build.sub(stop, start), HEIGHT)
        block = build.var(f"{cut.name}.block")
        first = build.add(start, build.mul(block, build.const(HEIGHT)))
        several = self._across(self._added(wide, cut, first, HEIGHT, slot))
        single = self._across(self._added(wide, cut, build.var(cut.name), 1, slot))
        rest = build.add(start, build.mul(blocks, build.const(HEIGHT)))
        stmts: list[Stmt] = [
            For(block.name, _ZERO, blocks, tuple(several)),
            For(cut.name, rest, stop, tuple(single)),
        ]
        for axis in reversed(self.columns[1:]):
            low, high = build.const(axis.low), build.const(axis.high)
            stmts = [For(axis.name, low, high, tuple(stmts))]
        return [*self._across(zeros), *stmts]

    def _added(
        self, wide: list[Step], cut: Axis, first: Expr, height: int, slot: Expr
    ) -> list[Stmt]:
        """Some rows combined, then with the sums of a column."""
        stmts: list[Stmt] = []
        for step in wide:
            node = _node(step)
            op, kind = COMBINE[node.agg], VType(node.body.dtype)
            body = convert(translate(step.body, self._flat, self.known), kind.dtype)
            value: Expr | None = None
            for r in range(height):
                term = substitute(body, {cut.name: build.add(first, build.const(r))})
                value = term if value is None else Apply(op, (value, term), kind)
                name = Var(f".{step.name}.{r}", kind)
                stmts.append(Let(name, value))
                value = name
            assert value is not None
            held = self.sums[step.name]
            added = (Load(held.name, slot, held.type), convert(value, held.type.dtype))
            stmts.append(Store(held.name, slot, Apply(op, added, held.type)))
        return stmts

    def _ends(self, wide: list[Step], count: int) -> list[Stmt]:
        """The parts together, and what is computed of the sums."""
        stmts: list[Stmt] = []
        for step in wide:
            held, op = self.sums[step.name], COMBINE[_node(step).agg]
            total: Expr = Load(held.name, self._slot(_ZERO), held.type)
            for part in range(1, count):
                other = Load(held.name, self._slot(build.const(part)), held.type)
                total = Apply(op, (total, other), held.type)
            stmts += self._number(step, convert(total, _node(step).type.dtype))
        for step in self.steps:
            if not self._is_wide(step):
                value = translate(step.body, self._flat, self.known)
                stmts += self._number(step, convert(value, step.member.node.type.dtype))
        return self._across(stmts)

    def _across(self, inner: list[Stmt]) -> list[Stmt]:
        """Loops over all columns; the last becomes lanes."""
        stmts: list[Stmt] = inner
        for axis in reversed(self.rows):
            is_last = axis is self.rows[-1] and self.lanes > 1
            kind = LoopKind.VECTOR if is_last else LoopKind.SERIAL
            low, high = build.const(axis.low), build.const(axis.high)
            stmts = [For(axis.name, low, high, tuple(stmts), kind=kind)]
        return stmts


def _node(step: Step) -> Contraction:
    node = step.member.node
    assert isinstance(node, Contraction)
    return node


def _kind(divided: bool) -> LoopKind:
    return LoopKind.PARALLEL if divided else LoopKind.SERIAL
