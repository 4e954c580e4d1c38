"""The operands of a product on a device: from memory into registers, and on into local memory.

The items of a group fetch a range of steps together. Items that are neighbours fetch elements that
are neighbours in memory, four at a time where that many are there or none of them is, so that the
device reads whole lines (coalescing). What lies in memory along the steps is turned on the way into
local memory, whose rows are padded so that the elements of one access stand in different banks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf, prod

from tilec.kernel import build
from tilec.kernel.ir import CONDITION, Buffer, Const, Expr, If, Let, Load, Stmt, Store, Var, VType
from tilec.lower.translate import Places, convert, form_expr, translate
from tilec.lower.walk import substitute
from tilec.records import dataclass
from tilec.schedule.grouped import PAD, SKEW, tile_elems
from tilec.schedule.product import Operand
from tilec.tensor.forms import Axis, Form
from tilec.tensor.scalar import Read

ACCESS_BYTES = 16
"""Widest access of an item."""

ZERO = build.const(0)
TRUE = Const(True, CONDITION)


@dataclass(frozen=True, slots=True)
class Element:
    """One access of an item: its number, its step, when it is one, and coordinates of the width."""

    number: int
    step: Expr
    test: Expr
    known: Mapping[str, Expr]


@dataclass(frozen=True, slots=True)
class Staging:
    """One operand and its tile.

    Attributes:
        name: ``left`` or ``right``.
        operand: What is read.
        loops: Loops along its width.
        reductions: Loops along the steps.
        constraints: Forms that must be >= 0 at a point.
        places: Where values lie.
        width: Elements of the tile along ``loops``.
        steps: Steps of the tile.
        items: Items of a group.
        limit: Steps of all tiles together.
        held: The tile in local memory, or two of them.
        staged: What an item has on the way there.
        along_steps: Neighbours in memory are steps, else elements of the width.
        lanes: Elements of an access.
    """

    name: str
    operand: Operand
    loops: tuple[Axis, ...]
    reductions: tuple[Axis, ...]
    constraints: tuple[Form, ...]
    places: Places
    width: int
    steps: int
    items: int
    limit: int
    held: Buffer
    staged: Buffer
    along_steps: bool
    lanes: int

    def _start(self, half: Expr, step: Expr) -> Expr:
        """Where the elements of a step begin in local memory."""
        base = build.mul(half, build.const(tile_elems(self.width, self.steps)))
        at = build.add(base, build.mul(step, build.const(self.width + PAD)))
        if not self.along_steps or self.lanes == 1:
            return at
        return build.add(at, build.mul(build.floor_div(step, SKEW), build.const(SKEW)))

    def elements(
        self, stmts: list[Stmt], first: Expr, item: Expr, known: Mapping[str, Expr]
    ) -> tuple[Element, ...]:
        """The accesses of an item; what is the same in all ranges of steps is named here."""
        found: list[Element] = []
        for number in range(self.staged.high // self.lanes):
            step, across = self._place(item, number)
            where = named(stmts, f".{self.name}{number}", build.add(first, across))
            test: Expr = TRUE
            if points(self.loops) % self.width:
                test = build.compare("cmp_lt", where, build.const(points(self.loops)))
            test = build.both(test, self._inside(item, number))
            label = f".{self.name}{number}"
            here = coordinates(stmts, where, self.loops, label)
            found.append(Element(number, step, test, {**known, **here}))
        return tuple(found)

    def fetched(self, element: Element, start: Expr) -> list[Stmt]:
        """One access in the range that begins with the step ``start``."""
        stmts: list[Stmt] = []
        label = f".{self.name}{element.number}.step"
        step = named(stmts, label, build.add(start, element.step))
        total, test = points(self.reductions), element.test
        if total != self.limit:
            test = build.both(build.compare("cmp_lt", step, build.const(total)), test)
        values = {**element.known, **coordinates(stmts, step, self.reductions, label)}
        for form in self.constraints:
            here = substitute(form_expr(form), values)
            test = build.both(test, build.compare("cmp_ge", here, ZERO))
        dtype, at = self.staged.type.dtype, element.number * self.lanes
        value = convert(substitute(translate(self.operand.body, self.places), values), dtype)
        if isinstance(value, Load) and self.lanes > 1:
            value = replace(value, type=VType(dtype, self.lanes))
        taken = put(self.staged, build.const(at), value)
        if test == TRUE:
            return [*stmts, taken]
        zero = Const(0.0, VType(dtype))
        zeros = [put(self.staged, build.const(at + lane), zero) for lane in range(self.lanes)]
        return [*stmts, If(test, (taken,), tuple(zeros))]

    def filled(self, item: Expr, half: Expr) -> list[Stmt]:
        """Put what an item has fetched into local memory."""
        stmts: list[Stmt] = []
        for number in range(self.staged.high // self.lanes):
            step, across = self._place(item, number)
            at = build.add(self._start(half, step), across)
            first = number * self.lanes
            puts = [put(self.held, at, get(self.staged, build.const(first), self.lanes))]
            if self.along_steps:
                puts = [
                    put(
                        self.held,
                        build.add(at, build.const(lane * (self.width + PAD))),
                        get(self.staged, build.const(first + lane)),
                    )
                    for lane in range(self.lanes)
                ]
            test = self._inside(item, number)
            stmts += puts if test == TRUE else [If(test, tuple(puts))]
        return stmts

    def own(self, own: Buffer, half: Expr, step: Expr, item: str, across: int) -> list[Stmt]:
        """Load what an item needs of one step: chunks that all items together take in turn."""
        chunk = chunk_of(own.high)
        wide = min(chunk, ACCESS_BYTES // own.type.dtype.bytes)
        base = self._start(half, step)
        base = build.add(base, build.mul(build.var(item), build.const(chunk)))
        stmts: list[Stmt] = []
        for at in range(0, own.high, wide):
            where = at // chunk * chunk * across + at % chunk
            value = get(self.held, build.add(base, build.const(where)), wide)
            stmts.append(put(own, build.const(at), value))
        return stmts

    def _place(self, item: Expr, number: int) -> tuple[Expr, Expr]:
        """Step and place along the width of an access of an item."""
        fast = (self.steps if self.along_steps else self.width) // self.lanes
        behind, rest = divmod(number * self.items, fast)
        index = build.add(item, build.const(rest))
        slow = build.add(build.floor_div(index, fast), build.const(behind))
        quick = build.mul(build.floor_mod(index, fast), build.const(self.lanes))
        return (quick, slow) if self.along_steps else (slow, quick)

    def _inside(self, item: Expr, number: int) -> Expr:
        """Whether there is such an access: the last one of an item may be too much."""
        if (number + 1) * self.items * self.lanes <= self.steps * self.width:
            return TRUE
        step, across = self._place(item, number)
        if self.along_steps:
            return build.compare("cmp_lt", across, build.const(self.width))
        return build.compare("cmp_lt", step, build.const(self.steps))


def lanes_of(
    operand: Operand, loops: tuple[Axis, ...], constraints: Sequence[Form], size: int
) -> int:
    """Elements of ``size`` bytes that can be read at once along the last of some loops."""
    if not isinstance(operand.body, Read) or operand.body.dtype.bytes != size:
        return 1
    if any(form.coefficient(loops[-1].name) for form in constraints):
        return 1
    return neighbours(operand.forms[0], loops[-1], size)


def neighbours(form: Form, axis: Axis, size: int) -> int:
    """Elements that lie side by side and aligned along a loop, or are all not there."""
    lanes = ACCESS_BYTES // size
    others = [factor for name, factor in form.terms if name != axis.name]
    whole = [axis.extent, axis.low, form.const, *others]
    fits = form.coefficient(axis.name) == 1 and all(each % lanes == 0 for each in whole)
    return lanes if fits else 1


def distance(operand: Operand, axis: Axis) -> float:
    """How far apart the elements of neighbouring iterations lie; far, if it is the same one."""
    steps = [abs(step) for step in operand.steps(axis.name) if step]
    return min(steps, default=inf)


def coordinates(
    stmts: list[Stmt], number: Expr, axes: Sequence[Axis], label: str
) -> dict[str, Expr]:
    """Several loops run as one: the coordinates of an iteration, outermost loop first."""
    found: dict[str, Expr] = {}
    for axis in reversed(axes):
        value = number
        if axis is not axes[0]:
            value = build.floor_mod(number, axis.extent)
            number = build.floor_div(number, axis.extent)
        value = build.add(value, build.const(axis.low))
        found[axis.name] = value if len(axes) == 1 else named(stmts, f"{label}.{axis.name}", value)
    return found


def named(stmts: list[Stmt], name: str, value: Expr) -> Expr:
    """A value under a name, unless it is one already."""
    if isinstance(value, Const | Var):
        return value
    variable = Var(name, value.type)
    stmts.append(Let(variable, value))
    return variable


def chunk_of(count: int) -> int:
    """Neighbouring rows or columns of an item that has ``count``."""
    return min(4, count)


def points(axes: Sequence[Axis]) -> int:
    """Iterations of some loops."""
    return prod(axis.extent for axis in axes)


def get(buffer: Buffer, index: Expr, lanes: int = 1) -> Load:
    """Some elements of a buffer."""
    return Load(buffer.name, index, VType(buffer.type.dtype, lanes))


def put(buffer: Buffer, index: Expr, value: Expr) -> Store:
    """Store into a buffer."""
    return Store(buffer.name, index, value)
