"""Vectorise: iterations of the loops marked VECTOR become lanes.

Before, a VECTOR loop is written for one lane: scalars in it stand for the value of one iteration,
register buffers that it sets before it reads are private to an iteration, and buffers whose type
has lanes already (partial results of a reduction) hold one element per lane.

After, no VECTOR loop is left. A loop over ``n`` iterations becomes a loop over wide vectors, one
over single registers and a masked rest; guards that differ between lanes become masks; an address
that moves by a constant per iteration becomes a contiguous or strided vector access, any other a
gather. Loops inside must have bounds that do not depend on the VECTOR loop.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import field, replace

from tilec.dtypes import I32
from tilec.errors import InternalError
from tilec.kernel import build
from tilec.kernel.ir import (
    Apply,
    Barrier,
    Buffer,
    Const,
    Expr,
    Fold,
    For,
    If,
    Kernel,
    Let,
    Load,
    LoopKind,
    Prefetch,
    Ramp,
    Scope,
    Splat,
    Stmt,
    Store,
    Var,
    VType,
    Zip,
)
from tilec.kernel.walk import expressions, statements
from tilec.lower.walk import linear_step, substitute, with_args
from tilec.operations import OPERATIONS, Rule
from tilec.records import dataclass


@dataclass(frozen=True, slots=True)
class Vectorise:
    """The pass. ``lanes`` are those of one register, ``wide`` the registers of a wide vector."""

    lanes: int
    wide: int
    name: str = "vectorise"

    def apply(self, kernel: Kernel) -> Kernel:
        """Replace the VECTOR loops of a kernel."""
        registers = {b.name: b for b in kernel.locals if b.scope is Scope.REGISTER}
        memory = tuple(b for b in kernel.locals if b.scope is not Scope.REGISTER)
        work = _Vectoriser(self.lanes, self.wide, registers)
        body = work.block(kernel.body)
        used = {s.buffer for s in statements(body) if isinstance(s, Store)}
        used |= {e.buffer for e in expressions(body) if isinstance(e, Load)}
        kept = tuple(b for name, b in sorted(work.locals.items()) if name in used)
        return replace(kernel, body=body, locals=(*memory, *kept))


def widen(
    expr: Expr,
    var: str,
    start: Expr,
    lanes: int,
    mask: Expr | None,
    registers: dict[str, Buffer],
    varying: AbstractSet[str] = frozenset(),
) -> Expr:
    """An expression of the loop variable ``var`` for the lanes ``start``, ``start + 1``, ...

    The values named by ``varying`` are vectors.
    """
    widener = _Widener(registers, var, start, lanes, set(varying))
    return build.splat(widener.widen(expr, mask, predicated=False), lanes)


@dataclass(slots=True)
class _Vectoriser:
    lanes: int
    wide: int
    locals: dict[str, Buffer] = field(default_factory=dict[str, Buffer])

    def block(self, body: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
        return tuple(new for stmt in body for new in self.statement(stmt))

    def statement(self, stmt: Stmt) -> tuple[Stmt, ...]:
        match stmt:
            case For(kind=LoopKind.VECTOR):
                return self.loop(stmt)
            case For():
                return (replace(stmt, body=self.block(stmt.body)),)
            case If():
                then, otherwise = self.block(stmt.then), self.block(stmt.otherwise)
                return (replace(stmt, then=then, otherwise=otherwise),)
            case Store() | Let() | Prefetch() | Barrier():
                return (stmt,)

    def loop(self, loop: For) -> tuple[Stmt, ...]:
        """Wide vectors, then single registers, then a masked rest."""
        held = {
            self.locals[s.buffer].type.lanes
            for s in statements(loop.body)
            if isinstance(s, Store) and s.buffer in self.locals
        }
        fixed = max(held, default=1)
        # The partial results of a reduction say how many lanes there are.
        wide = self.lanes * _wide(loop.body, self.wide)
        widths = [fixed] if fixed > 1 else [wide, self.lanes]
        start, stop = loop.start, loop.stop
        done: list[Stmt] = []
        for width in dict.fromkeys(widths):
            extent = build.sub(stop, start)
            count = build.floor_div(build.maximum(extent, build.const(0)), width)
            if isinstance(count, Const) and count.value == 0:
                continue
            end = build.add(start, build.mul(count, build.const(width)))
            body = self._lanes(loop, build.var(loop.var), width, None)
            done.append(For(loop.var, start, end, body, step=width))
            start = end
        rest = build.sub(stop, start)
        if isinstance(rest, Const) and int(rest.value) <= 0:
            return tuple(done)
        width = widths[-1]
        if fixed == 1 and isinstance(rest, Const):
            width = 1 << (int(rest.value) - 1).bit_length()
        body = self._rest(loop, start, rest, width)
        if isinstance(rest, Const):
            return (*done, *body)
        return (*done, If(build.compare("cmp_gt", rest, build.const(0)), body))

    def _rest(self, loop: For, start: Expr, rest: Expr, width: int) -> tuple[Stmt, ...]:
        """The last iterations, fewer than ``width``, as one masked vector."""
        if isinstance(rest, Const) and rest.value == width:
            return self._lanes(loop, start, width, None)
        lane = Ramp(Const(0, VType(I32)), 1, VType(I32, width))
        count = Apply("cast", (rest,), VType(I32))
        limit = build.splat(
            Const(rest.value, VType(I32)) if isinstance(rest, Const) else count, width
        )
        mask = Apply("cmp_lt", (lane, limit), build.condition_type(width))
        return self._lanes(loop, start, width, mask)

    def _lanes(self, loop: For, start: Expr, width: int, mask: Expr | None) -> tuple[Stmt, ...]:
        widener = _Widener(self.locals, loop.var, start, width)
        return widener.block(loop.body, mask, predicated=False)


@dataclass(slots=True)
class _Widener:
    """Rewrites the body of one VECTOR loop for ``width`` lanes that begin at ``start``."""

    locals: dict[str, Buffer]
    var: str
    start: Expr
    width: int
    varying: set[str] = field(default_factory=set[str])

    def block(
        self, body: tuple[Stmt, ...], mask: Expr | None, *, predicated: bool
    ) -> tuple[Stmt, ...]:
        return tuple(new for s in body for new in self.statement(s, mask, predicated=predicated))

    def statement(self, stmt: Stmt, mask: Expr | None, *, predicated: bool) -> tuple[Stmt, ...]:
        match stmt:
            case For():
                start = self.uniform(stmt.start, mask, predicated)
                stop = self.uniform(stmt.stop, mask, predicated)
                inner = self.block(stmt.body, mask, predicated=predicated)
                return (replace(stmt, start=start, stop=stop, body=inner),)
            case If():
                return self._guard(stmt, mask, predicated=predicated)
            case Let():
                value = self.widen(stmt.value, mask, predicated=predicated)
                if value.type.lanes > 1:
                    self.varying.add(stmt.var.name)
                return (Let(Var(stmt.var.name, value.type), value),)
            case Barrier():
                return (stmt,)
            case Prefetch():  # of the first lane: the others lie behind it or on lines of their own
                return (replace(stmt, index=substitute(stmt.index, {self.var: self.start})),)
            case Store():
                return (self._store(stmt, mask, predicated=predicated),)

    def _guard(self, stmt: If, mask: Expr | None, *, predicated: bool) -> tuple[Stmt, ...]:
        condition = self.widen(stmt.condition, mask, predicated=predicated)
        if condition.type.lanes == 1:
            then = self.block(stmt.then, mask, predicated=predicated)
            otherwise = self.block(stmt.otherwise, mask, predicated=predicated)
            return (If(condition, then, otherwise),)
        negated = Apply("logical_not", (condition,), condition.type)
        then = self.block(stmt.then, self._and(mask, condition), predicated=True)
        return (*then, *self.block(stmt.otherwise, self._and(mask, negated), predicated=True))

    def _and(self, mask: Expr | None, condition: Expr) -> Expr:
        return (
            condition if mask is None else Apply("logical_and", (mask, condition), condition.type)
        )

    def _store(self, stmt: Store, mask: Expr | None, *, predicated: bool) -> Store:
        value = build.splat(self.widen(stmt.value, mask, predicated=predicated), self.width)
        held = self.locals.get(stmt.buffer)
        if held is not None:  # a register of each iteration, or of each lane
            buffer = self._register(held)
            index = self.uniform(stmt.index, mask, predicated)
            if mask is not None:
                old = Load(buffer.name, index, buffer.type)
                value = Apply("cond", (mask, value, old), buffer.type)
            return Store(buffer.name, index, value)
        step = linear_step(stmt.index, self.var)
        if step is None or self._names_varying(stmt.index):
            index = build.splat(self.widen(stmt.index, mask, predicated=predicated), self.width)
            return Store(stmt.buffer, index, value, mask=mask)
        index = substitute(stmt.index, {self.var: self.start})
        return Store(stmt.buffer, index, value, stride=step, mask=mask)

    def _register(self, held: Buffer) -> Buffer:
        """The buffer that holds ``width`` copies of a register buffer."""
        if held.type.lanes == self.width:
            return held
        if held.type.lanes > 1:
            raise InternalError(
                f"register {held.name} has {held.type.lanes} lanes in a loop of {self.width}"
            )
        name = f"{held.name}.x{self.width}"
        wide = replace(held, name=name, type=VType(held.type.dtype, self.width))
        return self.locals.setdefault(name, wide)

    def _names_varying(self, expr: Expr) -> bool:
        return any(
            (isinstance(e, Var) and e.name in self.varying)
            or (
                isinstance(e, Load)
                and (e.buffer in self.locals or linear_step(e.index, self.var) != 0)
            )
            for e in expressions(expr)
        )

    def uniform(self, expr: Expr, mask: Expr | None, predicated: bool) -> Expr:
        """An expression that must have the same value in all lanes."""
        value = self.widen(expr, mask, predicated=predicated)
        if value.type.lanes != 1:
            raise InternalError(f"{expr} differs between the lanes of {self.var}")
        return value

    def widen(self, expr: Expr, mask: Expr | None, *, predicated: bool) -> Expr:
        """The expression for all lanes; a scalar when it does not depend on the loop."""
        match expr:
            case Const():
                return expr
            case Var():
                if expr.name == self.var:
                    return build.ramp(self.start, self.width)
                lanes = self.width if expr.name in self.varying else 1
                return replace(expr, type=VType(expr.type.dtype, lanes))
            case Load():
                return self._load(expr, mask, predicated)
            case Apply():
                args = tuple(self.widen(arg, mask, predicated=predicated) for arg in expr.args)
                if all(arg.type.lanes == 1 for arg in args):
                    return with_args(expr, args)
                wide = tuple(build.splat(arg, self.width) for arg in args)
                return Apply(expr.op, wide, VType(expr.type.dtype, self.width))
            case Splat() | Ramp() | Fold() | Zip():
                raise InternalError(
                    f"a vector expression inside the VECTOR loop {self.var}: {expr}"
                )

    def _load(self, load: Load, mask: Expr | None, predicated: bool) -> Expr:
        held = self.locals.get(load.buffer)
        if held is not None:
            buffer = self._register(held)
            return Load(buffer.name, self.uniform(load.index, mask, predicated), buffer.type)
        kind = VType(load.type.dtype, self.width)
        step = linear_step(load.index, self.var)
        if step is None or self._names_varying(load.index):
            index = build.splat(self.widen(load.index, mask, predicated=predicated), self.width)
            return Load(load.buffer, index, kind, mask=mask)
        index = substitute(load.index, {self.var: self.start})
        if step == 0 and not predicated:
            return replace(load, index=index)
        # A guarded read of one address stays masked: the guard may be what makes it legal.
        return Load(load.buffer, index, kind, stride=step, mask=mask)


def _wide(body: tuple[Stmt, ...], wide: int) -> int:
    """Registers per wide vector.

    Elementary functions are bound by latency, so that even two of them gain from four registers at
    a time; longer bodies would spill.
    """
    heavy = sum(
        1
        for e in expressions(body)
        if isinstance(e, Apply) and e.op in OPERATIONS and OPERATIONS[e.op].rule is Rule.MATH
    )
    return wide if heavy <= 2 else max(1, wide // 2)
