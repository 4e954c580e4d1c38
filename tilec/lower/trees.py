"""Trees: a reduction that one item would compute becomes the work of a group.

Assumes a kernel whose outer loops are divided, with loops inside that combine values into
registers. The iterations of such a loop go to all items of a group in turn, so that neighbours read
neighbours; then the partial results of the items are combined by halves in local memory, and every
item gets the result. What else happens around a row is done by all items alike, and stored by the
first one. Loops that store elements are divided in the same way; elements of a row that were kept
in scratch memory are kept in local memory.

Before: ``parallel for i { .s = 0; for j { .s = .s + A[i * n + j] }; S[i] = .s }``.
After: ``group for i { item for t { ... } }``. The order of additions follows from the size of the
group. What is not of this form stays as it is; ``verify`` has the last word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace
from math import prod
from typing import ClassVar, Final

from tilec.errors import InternalError
from tilec.kernel import build
from tilec.kernel.groups import MAX_AXES
from tilec.kernel.ir import (
    Apply,
    Barrier,
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
)
from tilec.kernel.uses import Uses, parallel_loops
from tilec.kernel.verify import verify_kernel
from tilec.kernel.walk import expressions, statements
from tilec.lower.loops import COMBINE, identity
from tilec.lower.walk import linear_step
from tilec.records import dataclass
from tilec.target.gpu import Gpu

ITEMS: Final = 256
"""Items of a group: enough to keep memory busy with few groups on a unit."""

SHORT: Final = 32
"""Iterations below which a loop is not worth a group."""

_ZERO = build.const(0)
_AGGREGATIONS = {op: agg for agg, op in COMBINE.items()}


@dataclass(frozen=True, slots=True)
class Trees:
    """The pass, for one device."""

    name: ClassVar[str] = "trees"

    gpu: Gpu

    def apply(self, kernel: Kernel) -> Kernel:
        """Give what is worth it to groups."""
        if not any(parallel_loops(kernel.body)):  # all of it is the work of one group
            once = For(".group", _ZERO, build.const(1), kernel.body, kind=LoopKind.PARALLEL)
            made = self._grouped(replace(kernel, body=(once,)))
            return kernel if made is None else made
        return self._grouped(kernel) or kernel

    def _grouped(self, kernel: Kernel) -> Kernel | None:
        """The kernel with the nests that are worth it in groups; None if there are none."""
        found: Kernel | None = None
        for at, stmt in enumerate(kernel.body):
            writer = _Writer(kernel, self.gpu)
            made = writer.nest(stmt)
            if made is None:
                continue
            body = (*kernel.body[:at], made, *kernel.body[at + 1 :])
            tried = replace(kernel, body=body, locals=(*writer.locals, *writer.shared))
            if _is_right(tried):
                found = kernel = tried
        return found


def _is_right(kernel: Kernel) -> bool:
    try:
        verify_kernel(kernel)
    except InternalError:  # items meet: what they do is more than a reduction
        return False
    return True


@dataclass(slots=True)
class _Writer:
    """Turns one nest into groups, if it can."""

    kernel: Kernel
    gpu: Gpu
    items: int = 1
    locals: list[Buffer] = field(default_factory=list[Buffer])
    shared: list[Buffer] = field(default_factory=list[Buffer])

    def nest(self, stmt: Stmt) -> Stmt | None:
        """The groups of a nest of parallel loops."""
        self.locals = list(self.kernel.locals)
        loops: list[For] = []
        body: tuple[Stmt, ...] = (stmt,)
        while len(body) == 1 and isinstance(body[0], For) and body[0].kind is LoopKind.PARALLEL:
            loops.append(body[0])
            body = body[0].body
        if not 1 <= len(loops) <= MAX_AXES or any(_trips(loop) is None for loop in loops):
            return None
        divided = {id(stmt): _divided(stmt) for stmt in body if isinstance(stmt, For)}
        found = [loop for loop in divided.values() if loop is not None]
        longest = max((_trips(loop) or 0 for loop in found), default=0)
        outputs = prod(_trips(loop) or 0 for loop in loops)
        if longest < SHORT or not self._pays(found, loops[-1], outputs):
            return None
        self.items = min(ITEMS, self.gpu.group_items, 1 << (longest - 1).bit_length())
        self.items = 1 << (self.items.bit_length() - 1)
        self._keep_rows(stmt)
        if sum(_bytes(buffer) for buffer in self.locals if buffer.scope is Scope.LOCAL) > (
            self.gpu.group_local_bytes // 2
        ):
            return None
        stmts: list[Stmt] = []
        for each in body:
            loop = divided.get(id(each))
            made = self._single(each) if loop is None else self._loop(each, loop)
            if made is None:
                return None
            stmts += made
        made = For(".item", _ZERO, build.const(self.items), tuple(stmts), kind=LoopKind.ITEM)
        for loop in reversed(loops):
            made = replace(loop, body=(made,), kind=LoopKind.GROUP)
        return made

    def _pays(self, found: Sequence[For], inner: For, outputs: int) -> bool:
        """Whether neighbours are in the loops rather than around them, or too few are around."""
        loads = [
            (each, loop)
            for loop in found
            for each in expressions(loop.body)
            if isinstance(each, Load) and self._is_global(each.buffer)
        ]
        along = any(linear_step(load.index, loop.var) in (1, -1) for load, loop in loads)
        across = any(linear_step(load.index, inner.var) in (1, -1) for load, _ in loads)
        return (along and not across) or outputs < self.gpu.units * self.gpu.warp

    def _is_global(self, name: str) -> bool:
        return any(buffer.name == name for buffer in self.kernel.params)

    def _keep_rows(self, stmt: Stmt) -> None:
        """Scratch memory of the nest becomes local memory."""
        used = Uses().block((stmt,)).buffers
        self.locals = [
            replace(b, scope=Scope.LOCAL) if b.name in used and b.scope is Scope.CACHE else b
            for b in self.locals
        ]

    def _single(self, stmt: Stmt) -> list[Stmt] | None:
        """What all items do alike; what it stores in memory is stored by the first one."""
        match stmt:
            case Let():
                return [stmt]
            case Store() if not self._is_global(stmt.buffer):
                return [stmt]
            case Store():
                return [If(build.compare("cmp_eq", build.var(".item"), _ZERO), (stmt,))]
            case For() | If():
                stores = [s for s in statements((stmt,)) if isinstance(s, Store)]
                private = all(not self._is_global(each.buffer) for each in stores)
                return [stmt] if private else None
            case _:
                return []

    def _loop(self, nest: Stmt, loop: For) -> list[Stmt] | None:
        """A loop whose iterations go to the items in turn, and the trees of what it combines."""
        sums = self._sums(loop)
        if sums is None:
            return None
        first = build.add(loop.start, build.mul(build.var(".item"), build.const(loop.step)))
        inner = replace(loop, start=first, step=loop.step * self.items)
        own = build.compare("cmp_ne", build.var(".item"), _ZERO)
        stmts: list[Stmt] = []
        for buffer, op in sums.items():
            value = identity(_AGGREGATIONS[op], buffer.type)
            stmts.append(If(own, (Store(buffer.name, _ZERO, value),)))
        stmts.append(_replaced(nest, loop, inner))
        for buffer, op in sums.items():
            stmts += self._tree(buffer, op)
        return stmts

    def _sums(self, loop: For) -> dict[Buffer, str] | None:
        """Registers that a loop combines values into, and how; None if it does more with some."""
        registers = {b.name: b for b in self.locals if b.scope is Scope.REGISTER}
        found: dict[Buffer, str] = {}
        fresh: set[str] = set()
        for stmt in statements(loop.body):
            read = {e.buffer for e in _read(stmt)}
            if isinstance(stmt, Store) and stmt.buffer in registers:
                buffer = registers[stmt.buffer]
                op = _combines(stmt)
                if stmt.buffer in fresh:
                    continue
                if op is not None and found.get(buffer, op) == op and buffer.high == 1:
                    found[buffer] = op
                elif stmt.buffer not in read and buffer not in found:
                    fresh.add(stmt.buffer)  # each iteration has its own
                else:
                    return None
            elif any(registers.get(name) in found for name in read):
                return None
        return found

    def _tree(self, buffer: Buffer, op: str) -> list[Stmt]:
        """What all items have in a register, combined by halves."""
        name = f"{buffer.name}.tree"
        if all(held.name != name for held in self.shared):
            made = Buffer(name, buffer.type, self.items, scope=Scope.LOCAL, writable=True)
            self.shared.append(made)
        item = build.var(".item")

        def held(index: Expr) -> Load:
            return Load(name, index, buffer.type)

        stmts: list[Stmt] = [Store(name, item, Load(buffer.name, _ZERO, buffer.type)), Barrier()]
        half = self.items // 2
        while half:
            other = held(build.add(item, build.const(half)))
            total = Store(name, item, Apply(op, (held(item), other), buffer.type))
            below = build.compare("cmp_lt", item, build.const(half))
            stmts += [If(below, (total,)), Barrier()]
            half //= 2
        return [*stmts, Store(buffer.name, _ZERO, held(_ZERO)), Barrier()]


def _divided(nest: For) -> For | None:
    """The loop of a nest to divide: the innermost that is long, else the longest."""
    chain: list[For] = []
    body: tuple[Stmt, ...] = (nest,)
    while len(body) == 1 and isinstance(body[0], For) and body[0].kind is LoopKind.SERIAL:
        chain.append(body[0])
        body = body[0].body
    known = [loop for loop in chain if _trips(loop) is not None]
    long = [loop for loop in known if (_trips(loop) or 0) >= SHORT]
    return long[-1] if long else max(known, key=lambda loop: _trips(loop) or 0, default=None)


def _trips(loop: For) -> int | None:
    """How often a loop runs, where that is known."""
    if not (isinstance(loop.start, Const) and isinstance(loop.stop, Const)):
        return None
    return len(range(int(loop.start.value), int(loop.stop.value), loop.step))


def _replaced(stmt: Stmt, old: For, new: For) -> Stmt:
    if stmt is old:
        return new
    assert isinstance(stmt, For)
    return replace(stmt, body=(_replaced(stmt.body[0], old, new),))


def _combines(stmt: Store) -> str | None:
    """How a statement combines a value into the register that it stores."""
    value = stmt.value
    if not isinstance(value, Apply) or value.op not in _AGGREGATIONS:
        return None
    first, *rest = value.args
    own = isinstance(first, Load) and first.buffer == stmt.buffer
    others = any(e.buffer == stmt.buffer for r in rest for e in _loads(r))
    return value.op if own and not others else None


def _read(stmt: Stmt) -> list[Load]:
    match stmt:
        case For() | If() | Barrier():
            return []
        case _:
            return [e for e in expressions((stmt,)) if isinstance(e, Load)]


def _loads(expr: Expr) -> list[Load]:
    return [e for e in expressions(expr) if isinstance(e, Load)]


def _bytes(buffer: Buffer) -> int:
    return buffer.high * buffer.type.dtype.bytes
