"""Groups of items: how they are nested, and proofs that their items agree on barriers and memory.

Local memory is small and its offsets are made of items and loops alone. So all items of a group are
followed at once, as arrays of offsets, from barrier to barrier. Between two barriers no element may
be touched by two items if one of them writes. Long loops are followed until they repeat, which is
known where their variable stands in offsets under ``floor_mod`` only. Conditions that are not known
(of a group, of data) may hold or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from math import lcm
from typing import Any, Final, Never

import numpy as np
from numpy.typing import NDArray

from tilec.errors import InternalError
from tilec.kernel.ir import (
    Apply,
    Barrier,
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
)
from tilec.kernel.printer import print_statement
from tilec.kernel.uses import Uses
from tilec.kernel.walk import expressions, operands, roots, statements
from tilec.records import dataclass

MAX_STEPS: Final = 1 << 22
"""Accesses of items that are followed in one kernel; schedules stay far below."""

MAX_AXES: Final = 3
"""Nested loops of groups, and of items, that devices have."""

_Values = NDArray[Any]
_NOBODY, _SEVERAL = -1, -2


@dataclass(frozen=True, slots=True)
class Nest:
    """Loops over groups, loops over the items of one, and what an item does."""

    groups: tuple[For, ...]
    items: tuple[For, ...]
    body: tuple[Stmt, ...]


def nest_of(loop: For) -> Nest:
    """The nest that begins with a ``GROUP`` loop.

    Raises:
        InternalError: it is not nested as it should be.
    """
    levels: dict[LoopKind, list[For]] = {LoopKind.GROUP: [], LoopKind.ITEM: []}
    body: tuple[Stmt, ...] = (loop,)
    for kind, found in levels.items():
        while len(body) == 1 and isinstance(body[0], For) and body[0].kind is kind:
            found.append(body[0])
            body = body[0].body
        if not 1 <= len(found) <= MAX_AXES:
            raise InternalError(f"the loop {loop.var} has {len(found)} nested {kind.value} loops")
    for each in (*levels[LoopKind.GROUP], *levels[LoopKind.ITEM]):
        if not (isinstance(each.start, Const) and isinstance(each.stop, Const)):
            raise InternalError(f"the bounds of the {each.kind.value} loop {each.var} vary")
    return Nest(tuple(levels[LoopKind.GROUP]), tuple(levels[LoopKind.ITEM]), body)


def check_group(kernel: Kernel, loop: For) -> None:
    """Check the barriers of a nest and what its items do in local memory.

    Raises:
        InternalError: not all items reach a barrier, two items meet, or an element is read that
            none has written.
    """
    nest = nest_of(loop)
    used = Uses().block(nest.body).buffers
    for buffer in kernel.locals:
        if buffer.name in used and buffer.scope is Scope.CACHE:
            raise InternalError(f"{kernel.name}: items have no scratch memory like {buffer.name}")
    _Items(kernel, nest).follow()


@dataclass(slots=True)
class _Touched:
    """Who wrote and read each element since the last barrier; what was ever written."""

    writer: _Values
    reader: _Values
    known: _Values


@dataclass(slots=True)
class _Items:
    """All items of one group at once."""

    kernel: Kernel
    nest: Nest
    count: int = 1
    steps: int = 0
    touched: dict[str, _Touched] = field(default_factory=dict[str, _Touched])
    cut: set[str] = field(default_factory=set[str])

    def follow(self) -> None:
        """Run the body."""
        trips = [_trips(loop) for loop in self.nest.items]
        self.count = int(np.prod([len(each) for each in trips]))
        grid = np.meshgrid(*(np.array(each) for each in trips), indexing="ij")
        names: dict[str, Any] = dict.fromkeys(loop.var for loop in self.nest.groups)
        for loop, values in zip(self.nest.items, grid, strict=True):
            names[loop.var] = values.reshape(-1)
        for buffer in self.kernel.locals:
            if buffer.scope is Scope.LOCAL:
                nobody = np.full(buffer.high, _NOBODY)
                self.touched[buffer.name] = _Touched(nobody, nobody.copy(), nobody > 0)
        self.block(self.nest.body, names, np.ones(self.count, bool))

    def block(self, body: tuple[Stmt, ...], names: Mapping[str, Any], active: _Values) -> None:
        """Statements that the ``active`` items may run."""
        known = dict(names)
        for stmt in body:
            match stmt:
                case Barrier():
                    for each in self.touched.values():
                        each.writer[...] = each.reader[...] = _NOBODY
                case For():
                    self._loop(stmt, known, active)
                case If():
                    self._branches(stmt, known, active)
                case Let():
                    self._loads(stmt, (stmt.value,), known, active)
                    known[stmt.var.name] = self.value(stmt.value, known)
                    if self.cut & {*_names(stmt.value)}:
                        self.cut.add(stmt.var.name)
                case Store():
                    given = (stmt.index, stmt.value, *(() if stmt.mask is None else (stmt.mask,)))
                    self._loads(stmt, given, known, active)
                    if stmt.buffer in self.touched:
                        self._touch(stmt, stmt, stmt.value.type.lanes, known, active)
                case _:
                    pass

    def _branches(self, stmt: If, known: dict[str, Any], active: _Values) -> None:
        if _has_barrier((stmt,)):
            self._fail(stmt, "a barrier stands in a branch")
        self._loads(stmt, (stmt.condition,), known, active)
        test = self._test(stmt.condition, known)
        for body, holds in ((stmt.then, True), (stmt.otherwise, False)):
            here = active if test is None else active & (np.asarray(test, bool) == holds)
            if here.any():
                self.block(body, known, here)

    def _test(self, condition: Expr, known: Mapping[str, Any]) -> Any:
        """A condition; of a loop that is followed in part it is not known."""
        return None if self.cut & {*_names(condition)} else self.value(condition, known)

    def _loop(self, loop: For, known: dict[str, Any], active: _Values) -> None:
        """A loop that matters, as far as it is not a repetition."""
        barriers = _has_barrier(loop.body)
        if not barriers and not self.touched.keys() & Uses().block(loop.body).buffers.keys():
            return
        start: Any = self.value(loop.start, known)
        stop: Any = self.value(loop.stop, known)
        if start is None or stop is None:
            self._fail(loop, "it is not known how often it runs")
        spread = np.ndim(start) + np.ndim(stop) > 0
        if barriers and spread:
            self._fail(loop, "not all items reach its barriers equally often")
        counts: Any = -((start - stop) // loop.step)
        trips = int(np.asarray(counts).max())
        period = _period(loop)
        shortened = trips > 2 * period + 2 and _repeats(loop, frozenset(self.touched))
        before = set(self.cut)
        if shortened:
            trips = 2 * period + 2
            self.cut.add(loop.var)
        for trip in range(trips):
            at: Any = start + trip * loop.step
            here = active & (np.asarray(at) < stop)
            if here.any():
                self.block(loop.body, {**known, loop.var: at}, here)
        self.cut = before

    def _loads(
        self, stmt: Stmt, exprs: tuple[Expr, ...], known: Mapping[str, Any], active: _Values
    ) -> None:
        for expr in exprs:
            for each in expressions(expr):
                if isinstance(each, Load) and each.buffer in self.touched:
                    self._touch(stmt, each, each.type.lanes, known, active)

    def _touch(
        self,
        stmt: Stmt,
        access: Load | Store,
        lanes: int,
        known: Mapping[str, Any],
        active: _Values,
    ) -> None:
        """One access by all items that take part."""
        index = self.value(access.index, known)
        if index is None:
            self._fail(stmt, "an offset in local memory depends on more than items and loops")
        if access.mask is not None:
            mask = self._test(access.mask, known)
            active = active if mask is None else active & np.asarray(mask, bool)
        who = np.flatnonzero(active)
        first = np.broadcast_to(np.asarray(index), (self.count,))[who]
        self.steps += who.size * lanes
        if self.steps > MAX_STEPS:
            self._fail(stmt, "its group takes too many steps to be followed")
        held = self.touched[access.buffer]
        for lane in range(lanes):
            at = first + lane * access.stride
            if isinstance(access, Load) and not held.known[at].all():
                self._fail(stmt, f"{access.buffer}[{at[~held.known[at]][0]}] was never written")
            self._meet(stmt, access, held, at, who)

    def _meet(
        self, stmt: Stmt, access: Load | Store, held: _Touched, at: _Values, who: _Values
    ) -> None:
        own = held.writer if isinstance(access, Store) else held.reader
        others = [held.writer, held.reader] if isinstance(access, Store) else [held.writer]
        for other in others:
            wrong = (other[at] != _NOBODY) & (other[at] != who)
            if wrong.any():
                self._clash(stmt, access.buffer, int(at[wrong][0]))
        fresh = own[at] == _NOBODY
        own[at] = np.where(fresh | (own[at] == who), who, _SEVERAL)
        if (own[at] != who).any():  # several items in this very access
            if isinstance(access, Store):
                self._clash(stmt, access.buffer, int(at[own[at] != who][0]))
            own[at[own[at] != who]] = _SEVERAL
            unique, counts = np.unique(at, return_counts=True)
            own[unique[counts > 1]] = _SEVERAL
        if isinstance(access, Store):
            held.known[at] = True

    def _clash(self, stmt: Stmt, buffer: str, element: int) -> None:
        self._fail(stmt, f"items meet in {buffer}[{element}] without a barrier between them")

    def _fail(self, stmt: Stmt, why: str) -> Never:
        line = print_statement(stmt).splitlines()[0].strip()
        raise InternalError(f"{self.kernel.name}: {why}: {line}")

    def value(self, expr: Expr, known: Mapping[str, Any]) -> Any:
        """An integer or a condition: one for all items, one for each, or None for unknown."""
        match expr:
            case Const():
                return expr.value
            case Var():
                return known.get(expr.name)
            case Apply() if expr.op in _OPERATIONS and expr.type.lanes == 1:
                args = [self.value(arg, known) for arg in expr.args]
                if any(arg is None for arg in args):
                    return None
                return _OPERATIONS[expr.op](*args)
            case _:
                return None


_OPERATIONS: Final[dict[str, Callable[..., Any]]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "floor_div": np.floor_divide,
    "floor_mod": np.remainder,
    "min": np.minimum,
    "max": np.maximum,
    "cmp_eq": np.equal,
    "cmp_ne": np.not_equal,
    "cmp_lt": np.less,
    "cmp_le": np.less_equal,
    "cmp_gt": np.greater,
    "cmp_ge": np.greater_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_not": np.logical_not,
}


_LINEAR: Final = ("add", "sub", "mul")


def _trips(loop: For) -> range:
    assert isinstance(loop.start, Const)
    assert isinstance(loop.stop, Const)
    return range(int(loop.start.value), int(loop.stop.value), loop.step)


def _has_barrier(body: tuple[Stmt, ...]) -> bool:
    return any(isinstance(stmt, Barrier) for stmt in statements(body))


def _names(expr: Expr) -> Iterator[str]:
    return (each.name for each in expressions(expr) if isinstance(each, Var))


def _period(loop: For) -> int:
    """Iterations after which whatever is under ``floor_mod`` comes again."""
    found = 1
    for stmt in statements(loop.body):
        for expr in roots(stmt):
            for each in expressions(expr):
                if isinstance(each, Apply) and each.op == "floor_mod" and each.type.lanes == 1:
                    divisor = each.args[1]
                    if isinstance(divisor, Const) and loop.var in _names(each.args[0]):
                        found = lcm(found, int(divisor.value))
    return found


def _repeats(loop: For, buffers: frozenset[str]) -> bool:
    """Whether offsets in local memory, and inner loops, know the variable under ``floor_mod``."""
    tainted = {loop.var}
    for stmt in statements(loop.body):
        if isinstance(stmt, Let) and not _is_periodic(stmt.value, loop.var, tainted):
            tainted.add(stmt.var.name)
    for stmt in statements(loop.body):
        checked: list[Expr] = []
        if isinstance(stmt, For):
            checked += [stmt.start, stmt.stop]
        if isinstance(stmt, Store) and stmt.buffer in buffers:
            checked.append(stmt.index)
        for expr in roots(stmt):
            loads = (each for each in expressions(expr) if isinstance(each, Load))
            checked += [load.index for load in loads if load.buffer in buffers]
        if not all(_is_periodic(expr, loop.var, tainted) for expr in checked):
            return False
    return True


def _is_periodic(expr: Expr, var: str, tainted: set[str]) -> bool:
    """Whether a variable stands under ``floor_mod`` only, and what is made of it nowhere."""
    if isinstance(expr, Var):
        return expr.name not in tainted
    if isinstance(expr, Apply) and expr.op == "floor_mod" and isinstance(expr.args[1], Const):
        inside = [each for each in expressions(expr.args[0]) if isinstance(each, Apply | Load)]
        linear = all(isinstance(each, Apply) and each.op in _LINEAR for each in inside)
        return linear and not (tainted - {var}) & {*_names(expr.args[0])}
    return all(_is_periodic(each, var, tainted) for each in operands(expr))
