"""Trees: a reduction that one item would compute becomes the work of a group.

Assumes a kernel whose outer loops are divided, with loops inside that combine values into
registers. The iterations of such a loop go to all items of a group in turn, a few at a time where
they can be, so that neighbours read neighbours; then what the items have is combined in local
memory, in two steps: some items take their share of the partial results each, and then every item
combines what these have. (By halves there would be a barrier for each, which takes as long as
several additions.) What else happens around a row is done by all items alike, and stored by the
first one. Loops that store elements are divided in the same way; elements of a row that were kept
in scratch memory are kept in local memory.

Before: ``parallel for i { .s = 0; for j { .s = .s + A[i * n + j] }; S[i] = .s }``.
After: ``group for i { item for t { ... } }``. The order of additions follows from the size of the
group. What is not of this form stays as it is; ``verify`` has the last word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from math import prod
from typing import ClassVar, Final

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
from tilec.kernel.verify import is_right
from tilec.kernel.walk import expressions, statements
from tilec.lower.loops import COMBINE, identity
from tilec.lower.walk import linear_step
from tilec.lower.wide import Widened, multiple, span, widened
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
        body: list[Stmt] = []
        left = kernel.body
        while left:
            serial = next((at for at, s in enumerate(left) if any(parallel_loops((s,)))), len(left))
            count = serial or 1
            piece, left = left[:count], left[count:]
            stmt = piece[0]
            if serial:  # all of it is the work of one group
                stmt = For(".group", _ZERO, build.const(1), piece, kind=LoopKind.PARALLEL)
            made = self._grouped(kernel, tuple(body), stmt, left)
            kernel = kernel if made is None else made
            body += piece if made is None else made.body[len(body) : len(body) + 1]
        return kernel

    def _grouped(
        self, kernel: Kernel, before: tuple[Stmt, ...], stmt: Stmt, after: tuple[Stmt, ...]
    ) -> Kernel | None:
        """The kernel with one nest in groups; None if it is not worth it."""
        for is_wide in (True, False):
            writer = _Writer(kernel, self.gpu, is_wide)
            made = writer.nest(stmt)
            if made is None:
                return None
            held = (*writer.locals, *writer.made)
            tried = replace(kernel, body=(*before, made, *after), locals=held)
            if is_right(tried):
                return tried
        return None


@dataclass(frozen=True, slots=True)
class _Shared:
    """A loop of which every item takes a part.

    Attributes:
        loop: The loop; that over blocks, where each block is summed by itself.
        inner: The loop over elements: the same, or that of a block.
        wide: Its iterations a few at a time; None if it takes one after the other.
    """

    loop: For
    inner: For
    wide: Widened | None = None

    @property
    def points(self) -> int:
        """Iterations of all blocks, at most."""
        return -(-(_most(self.loop.stop) or 0) // self.inner.step)

    @property
    def lanes(self) -> int:
        """Iterations that an item takes at once."""
        return 1 if self.wide is None else self.wide.lanes

    def divided(self, items: int) -> For:
        """What one item does of it."""
        step = self.inner.step * items * self.lanes
        body = self.inner.body if self.wide is None else self.wide.body
        own = build.mul(build.var(".item"), build.const(self.inner.step * self.lanes))
        first = build.add(self.inner.start, own)
        if self.inner is self.loop:
            return replace(self.loop, start=first, step=step, body=body)
        block = self.loop.step * items
        end = build.add(build.var(self.loop.var), build.const(block))
        stop = build.minimum(end, self.loop.stop)
        inner = replace(self.inner, start=first, stop=stop, step=step, body=body)
        around = tuple(inner if each is self.inner else each for each in self.loop.body)
        return replace(self.loop, step=block, body=around)


@dataclass(slots=True)
class _Writer:
    """Turns one nest into groups, if it can."""

    kernel: Kernel
    gpu: Gpu
    is_wide: bool
    items: int = 1
    locals: list[Buffer] = field(default_factory=list[Buffer])
    made: list[Buffer] = field(default_factory=list[Buffer])

    def nest(self, stmt: Stmt) -> Stmt | None:
        """The groups of a nest of parallel loops."""
        self.locals = list(self.kernel.locals)
        loops: list[For] = []
        body: tuple[Stmt, ...] = (stmt,)
        while len(body) == 1 and isinstance(body[0], For) and body[0].kind is LoopKind.PARALLEL:
            loops.append(body[0])
            body = body[0].body
        spans = [each for each in map(span, loops) if each is not None]
        if not 1 <= len(loops) <= MAX_AXES or len(spans) != len(loops):
            return None
        self._keep_rows(stmt)
        found = {id(stmt): self._shared(stmt) for stmt in body if isinstance(stmt, For)}
        shared = [each for each in found.values() if each is not None]
        outputs = prod(map(len, spans))
        if not shared or not self._pays(shared, loops[-1], outputs):
            return None
        longest = max(shared, key=lambda each: each.points)
        if longest.points < SHORT:
            return None
        wanted = -(-longest.points // longest.lanes)
        most = min(ITEMS, self.gpu.group_items, 1 << (wanted - 1).bit_length())
        self.items = 1 << (max(most, min(SHORT, self.gpu.group_items)).bit_length() - 1)
        stmts: list[Stmt] = []
        for each in body:
            part = found.get(id(each))
            made = self._single(each) if part is None else self._loop(each, part, stmts)
            if made is None:
                return None
            stmts += made
        buffers = (*self.locals, *self.made)
        if sum(_bytes(buffer) for buffer in buffers if buffer.scope is Scope.LOCAL) > (
            self.gpu.group_local_bytes // 2
        ):
            return None
        item = For(".item", _ZERO, build.const(self.items), tuple(stmts), kind=LoopKind.ITEM)
        for loop in reversed(loops):
            item = replace(loop, body=(item,), kind=LoopKind.GROUP)
        return item

    def _shared(self, nest: For) -> _Shared | None:
        """The loop of a nest to divide: the innermost that is long, else the longest."""
        chain: list[_Shared] = []
        body: tuple[Stmt, ...] = (nest,)
        while len(body) == 1 and isinstance(body[0], For) and body[0].kind is LoopKind.SERIAL:
            loop = body[0]
            if loop.start == _ZERO and _most(loop.stop) is not None:
                chain.append(_Shared(loop, _blocked(loop) or loop))
            body = loop.body
        if not chain:
            return None
        long = [each for each in chain if each.points >= SHORT]
        found = long[-1] if long else max(chain, key=lambda each: each.points)
        buffers = {buffer.name: buffer for buffer in (*self.kernel.params, *self.locals)}
        inner = found.inner
        wide = widened(inner.body, inner.var, build.var(inner.var), buffers)
        if not self.is_wide or wide is None or multiple(found.loop.stop) % wide.lanes:
            return found
        return replace(found, wide=wide) if inner.step == 1 else found

    def _pays(self, found: Sequence[_Shared], inner: For, outputs: int) -> bool:
        """Whether neighbours are in the loops rather than around them, or too few are around."""
        loads = [
            (each, shared.inner)
            for shared in found
            for each in expressions(shared.loop.body)
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

    def _loop(self, nest: Stmt, shared: _Shared, before: Sequence[Stmt]) -> list[Stmt] | None:
        """A loop whose iterations go to the items in turn, and what comes of its sums."""
        sums = self._sums(shared.loop)
        if sums is None:
            return None
        own = build.compare("cmp_ne", build.var(".item"), _ZERO)
        stmts: list[Stmt] = []
        for buffer, op in sums.items():
            alone = Store(buffer.name, _ZERO, identity(_AGGREGATIONS[op], buffer.type))
            stores = [s for s in before if isinstance(s, Store) and s.buffer == buffer.name]
            if stores[-1:] != [alone]:  # the first item goes on from what was there
                stmts.append(If(own, (alone,)))
        stmts.append(_replaced(nest, shared.loop, shared.divided(self.items)))
        if shared.wide is not None:
            self.made += [each for each in shared.wide.locals if each not in self.made]
        return [*stmts, *self._combined(sums)] if sums else stmts

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

    def _combined(self, sums: Mapping[Buffer, str]) -> list[Stmt]:
        """What all items have in some registers, combined in two steps; every item gets it."""
        item = build.var(".item")
        few = 1 << (self.items.bit_length() // 2)  # about as many in either step
        puts: list[Stmt] = []
        firsts: list[Stmt] = []
        lasts: list[Stmt] = []
        waits = False
        for buffer, op in sums.items():
            held = Buffer(f"{buffer.name}.tree", buffer.type, self.items, scope=Scope.LOCAL)
            held = replace(held, writable=True)
            waits = waits or held in self.made  # others may still read what it had before
            self.made += [] if held in self.made else [held]
            total, mine = Load(buffer.name, _ZERO, buffer.type), build.var(".each")

            def added(index: Expr, *, to: Buffer = buffer, of: Buffer = held, op: str = op) -> Stmt:
                args = Load(to.name, _ZERO, to.type), Load(of.name, index, of.type)
                return Store(to.name, _ZERO, Apply(op, args, to.type))

            puts.append(Store(held.name, item, total))
            share = added(build.add(build.mul(mine, build.const(few)), item))
            firsts += [_unrolled(1, self.items // few, share), Store(held.name, item, total)]
            lasts.append(Store(buffer.name, _ZERO, Load(held.name, _ZERO, buffer.type)))
            lasts.append(_unrolled(1, few, added(mine)))
        below = build.compare("cmp_lt", item, build.const(few))
        begin: list[Stmt] = [Barrier()] if waits else []
        return [*begin, *puts, Barrier(), If(below, tuple(firsts)), Barrier(), *lasts]


def _unrolled(first: int, stop: int, stmt: Stmt) -> For:
    return For(".each", build.const(first), build.const(stop), (stmt,), kind=LoopKind.UNROLL)


def _blocked(loop: For) -> For | None:
    """The loop over the elements of a block, in a loop over blocks."""
    inside = [stmt for stmt in loop.body if isinstance(stmt, For)]
    if len(inside) != 1 or len(loop.body) == 1 or inside[0].step != 1:
        return None
    (inner,) = inside
    end = build.add(build.var(loop.var), build.const(loop.step))
    whole = (end, build.minimum(end, loop.stop))
    is_block = inner.start == build.var(loop.var) and inner.stop in whole
    return inner if is_block and inner.kind is LoopKind.SERIAL else None


def _most(stop: Expr) -> int | None:
    """The largest value that the end of a loop may have, where one is known."""
    match stop:
        case Const():
            return int(stop.value)
        case Apply(op="min"):
            found = [each for each in map(_most, stop.args) if each is not None]
            return min(found, default=None)
        case _:
            return None


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
