"""Wide: an item takes a few neighbouring iterations, and moves their elements all at once.

One access of 16 bytes costs an item as much as one of 4, and asks memory for more before the item
waits. So elements that lie side by side are loaded together into registers, computed one by one,
and stored together; devices without vector arithmetic, such as most GPUs, lose nothing by that.

Assumes iterations that are independent, or that combine values in order. Guarantees that nothing is
loaded or stored that was not before; accesses of several elements begin at multiples of their size
from the start of a buffer.

Before: ``parallel for i in 0 .. 4096 { B[i] = A[i] + 1 }``. After: ``parallel for i in 0 .. 4096 by
4``, with ``.A.0[0; 4] = A[i; 4]``, four additions, and ``B[i; 4] = .B.out[0; 4]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from math import gcd, prod
from typing import ClassVar, Final

from tilec.dtypes import BOOL
from tilec.kernel import build
from tilec.kernel.ir import (
    INDEX,
    Apply,
    Buffer,
    Const,
    Expr,
    For,
    If,
    Kernel,
    Let,
    Load,
    LoopKind,
    Scope,
    Stmt,
    Store,
    Var,
    VType,
)
from tilec.kernel.verify import is_right
from tilec.kernel.walk import expressions, roots
from tilec.lower.walk import linear_step, mapped, substitute
from tilec.records import dataclass
from tilec.target.gpu import Gpu

MOST: Final = 4
"""Elements of an access, at most: CUDA has no longer vectors."""

_LANE = ".lane"
_ZERO = build.const(0)


@dataclass(frozen=True, slots=True)
class Widened:
    """Statements that do several iterations, and the registers that they need."""

    lanes: int
    body: tuple[Stmt, ...]
    locals: tuple[Buffer, ...]


@dataclass(frozen=True, slots=True)
class Wide:
    """The pass, for nests in which every item stores elements of its own."""

    name: ClassVar[str] = "wide"

    gpu: Gpu

    def apply(self, kernel: Kernel) -> Kernel:
        """Widen the innermost loops of a kernel where enough items are left."""
        for at, stmt in enumerate(kernel.body):
            made = self._nest(kernel, stmt)
            if made is None:
                continue
            wide, found = made
            body = (*kernel.body[:at], wide, *kernel.body[at + 1 :])
            held = tuple(dict.fromkeys((*kernel.locals, *found.locals)))
            tried = replace(kernel, body=body, locals=held)
            if is_right(tried):
                kernel = tried
        return kernel

    def _nest(self, kernel: Kernel, stmt: Stmt) -> tuple[Stmt, Widened] | None:
        loops: list[For] = []
        body: tuple[Stmt, ...] = (stmt,)
        while len(body) == 1 and isinstance(body[0], For) and body[0].kind is LoopKind.PARALLEL:
            loops.append(body[0])
            body = body[0].body
        spans = [each for each in map(span, loops) if each is not None]
        if not loops or len(spans) != len(loops) or loops[-1].step != 1:
            return None
        if prod(map(len, spans)) < self.gpu.units * self.gpu.unit_items:
            return None
        inner, (start, stop) = loops[-1], (spans[-1].start, spans[-1].stop)
        found = widened(body, inner.var, build.var(inner.var), kernel.buffers())
        if found is None or start % found.lanes or stop - start < found.lanes:
            return None
        within = found.body
        if (stop - start) % found.lanes:
            test = build.compare("cmp_le", build.var(inner.var), build.const(stop - found.lanes))
            rest = build.var(f"{inner.var}.rest")
            single = _each(body, lambda each: rest if each == build.var(inner.var) else None)
            tail = For(rest.name, build.var(inner.var), inner.stop, single)
            within = (If(test, found.body, (tail,)),)
        made: Stmt = replace(inner, body=within, step=found.lanes)
        for loop in reversed(loops[:-1]):
            made = replace(loop, body=(made,))
        return made, found


def widened(
    body: tuple[Stmt, ...], var: str, first: Expr, buffers: Mapping[str, Buffer]
) -> Widened | None:
    """The iterations of a loop from ``first`` on, which is a multiple of their number.

    None where an element has no neighbours, or where they are not aligned.
    """
    if not all(isinstance(stmt, Let | Store) for stmt in body):
        return None
    accesses = list(_accesses(body, buffers))
    if any(each.mask is not None or _kind(each).lanes > 1 for each in accesses):
        return None
    changing = _changing(body, var)
    if any(changing & _names(each.index) for each in accesses):
        return None
    steps = [linear_step(each.index, var) for each in accesses]
    if any(step not in (0, 1) for step in steps):
        return None
    moving = [each for each, step in zip(accesses, steps, strict=True) if step == 1]
    stored = [each.buffer for each in accesses if isinstance(each, Store)]
    loaded = {each.buffer for each in accesses if isinstance(each, Load)}
    if loaded & {*stored} or len({*stored}) < len(stored):
        return None
    if len(stored) > sum(isinstance(each, Store) for each in moving):
        return None  # one element takes all values in turn
    if not moving or any(_kind(each).dtype == BOOL for each in moving):
        return None
    lanes = min(MOST, *(16 // _kind(each).dtype.bytes for each in moving))
    starts = [substitute(each.index, {var: _ZERO}) for each in moving]
    if lanes < 2 or any(multiple(each) % lanes for each in starts):
        return None
    return _Writer(var, first, lanes, buffers).write(body, moving)


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes the iterations of one body."""

    var: str
    first: Expr
    lanes: int
    buffers: Mapping[str, Buffer]

    def write(self, body: tuple[Stmt, ...], moving: list[Load | Store]) -> Widened:
        loads = dict.fromkeys(each for each in moving if isinstance(each, Load))
        own = {each: self._register(each, str(number)) for number, each in enumerate(loads)}
        out = {
            each.buffer: self._register(each, "out") for each in moving if isinstance(each, Store)
        }
        lane = build.var(_LANE)
        here = build.add(self.first, lane)

        def change(expr: Expr) -> Expr | None:
            match expr:
                case Load() if expr in own:
                    return Load(own[expr].name, lane, expr.type)
                case Var() if expr.name == self.var:
                    return here
                case _:
                    return None

        single: list[Stmt] = []
        for stmt in _each(body, change):
            if isinstance(stmt, Store) and stmt.buffer in out:
                stmt = Store(out[stmt.buffer].name, lane, stmt.value)
            single.append(stmt)
        stmts: list[Stmt] = []
        for load, register in own.items():
            kind = VType(load.type.dtype, self.lanes)
            stmts.append(Store(register.name, _ZERO, Load(load.buffer, self._at(load), kind)))
        count = build.const(self.lanes)
        stmts.append(For(_LANE, _ZERO, count, tuple(single), kind=LoopKind.UNROLL))
        for store in moving:
            if isinstance(store, Store):
                register = out[store.buffer]
                kind = VType(register.type.dtype, self.lanes)
                stmts.append(Store(store.buffer, self._at(store), Load(register.name, _ZERO, kind)))
        return Widened(self.lanes, tuple(stmts), (*own.values(), *out.values()))

    def _at(self, access: Load | Store) -> Expr:
        return substitute(access.index, {self.var: self.first})

    def _register(self, access: Load | Store, what: str) -> Buffer:
        name, kind = f".{access.buffer}.x{self.lanes}.{what}", self.buffers[access.buffer].type
        return Buffer(name, kind, self.lanes, scope=Scope.REGISTER, writable=True)


def _each(body: tuple[Stmt, ...], change: Callable[[Expr], Expr | None]) -> tuple[Stmt, ...]:
    """Values and stores with other expressions."""
    found: list[Stmt] = []
    for stmt in body:
        if isinstance(stmt, Let):
            found.append(replace(stmt, value=mapped(stmt.value, change)))
        elif isinstance(stmt, Store):
            index, value = mapped(stmt.index, change), mapped(stmt.value, change)
            found.append(replace(stmt, index=index, value=value))
    return tuple(found)


def _accesses(body: tuple[Stmt, ...], buffers: Mapping[str, Buffer]) -> Iterator[Load | Store]:
    """What statements load from memory and store there."""
    memory = {name for name, each in buffers.items() if each.scope is not Scope.REGISTER}
    for stmt in body:
        found = [each for root in roots(stmt) for each in expressions(root)]
        for each in (*found, stmt):
            if isinstance(each, Load | Store) and each.buffer in memory:
                yield each


def _kind(access: Load | Store) -> VType:
    return access.type if isinstance(access, Load) else access.value.type


def _changing(body: tuple[Stmt, ...], var: str) -> set[str]:
    """Names of values that are not the same in all iterations."""
    found: set[str] = set()
    for stmt in body:
        if isinstance(stmt, Let):
            loads = any(isinstance(each, Load) for each in expressions(stmt.value))
            if loads or _names(stmt.value) & {var, *found}:
                found.add(stmt.var.name)
    return found


def _names(expr: Expr) -> set[str]:
    return {each.name for each in expressions(expr) if isinstance(each, Var)}


def multiple(index: Expr) -> int:
    """What is known to divide an index; 0 of 0, which everything divides."""
    match index:
        case Const():
            return abs(int(index.value))
        case Apply(op="add" | "sub" | "min" | "max") if index.type == INDEX:
            return gcd(*map(multiple, index.args))
        case Apply(op="mul") if index.type == INDEX:
            return prod(map(multiple, index.args))
        case _:
            return 1


def span(loop: For) -> range | None:
    """The iterations of a loop, where they are known."""
    if not (isinstance(loop.start, Const) and isinstance(loop.stop, Const)):
        return None
    return range(int(loop.start.value), int(loop.stop.value), loop.step)
