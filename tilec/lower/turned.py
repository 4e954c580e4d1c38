"""Transposes on devices: squares that a group turns in local memory.

A map that reads along one loop and stores along another would touch a line of memory for each
element on one of the two sides. A group reads a square row by row and stores it column by column,
so that neighbouring items read neighbours and store neighbours (Ruetsch and Micikevicius 2009). Its
rows are one element longer in local memory than they need be: the elements of a column then stand
in different banks, whatever their size.

Assumes a piece in which ``turn_of`` finds the two loops. Guarantees that elements outside are
neither read nor stored, and that only squares at the edges test for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from tilec.kernel import build
from tilec.kernel.ir import (
    Barrier,
    Buffer,
    Expr,
    For,
    If,
    Load,
    LoopKind,
    Scope,
    Stmt,
    Store,
    VType,
)
from tilec.lower.flatten import FlatPiece
from tilec.lower.loops import Target
from tilec.lower.special import Body
from tilec.lower.staging import coordinates, get, points
from tilec.lower.translate import RESULT, Place, convert, form_expr, translate
from tilec.lower.transpose import Turn, turned_body
from tilec.lower.walk import substitute
from tilec.records import dataclass
from tilec.schedule.values import Loops, Plan
from tilec.target.gpu import Gpu
from tilec.tensor.forms import Axis, form_of

SIDE = 32
"""Elements of a row of a square: of f32, a line of memory."""

ROWS = 8
"""Rows that the items of a group take at once: each item has several elements on the way."""

_ZERO = build.const(0)


@dataclass(slots=True)
class TurnWriter:
    """Writes one kernel; gathers the buffers that it uses."""

    turn: Turn
    flat: FlatPiece
    target: Target
    places: Mapping[str, Place]
    gpu: Gpu
    locals: list[Buffer] = field(default_factory=list[Buffer])

    def body(self) -> Body | None:
        """The squares; None where they would be too empty, or do not fit."""
        along, across = self.turn.along, self.turn.across
        if 2 * min(along.extent, across.extent) < self.side or self.side < 2:
            return None
        size = sum(read.dtype.bytes for read in self.turn.reads) * self.side * self.pitch
        if 2 * size > self.gpu.group_local_bytes:
            return None
        batch = points(self._others)
        nest = _loop(".x", self.side, tuple(self._item()), LoopKind.ITEM)
        nest = _loop(".y", self.rows, (nest,), LoopKind.ITEM)
        for name, axis in ((".across", across), (".along", along)):
            nest = _loop(name, -(-axis.extent // self.side), (nest,), LoopKind.GROUP)
        if batch > 1:
            nest = _loop(".batch", batch, (nest,), LoopKind.GROUP)
        note = f"squares: {self.side} x {self.side} elements are turned in local memory"
        schedule = str(Loops((Plan(None, 1, parallel=along.name),)))
        return Body((nest,), tuple(self.locals), (schedule,), notes=(note,))

    @property
    def side(self) -> int:
        """Elements of a row, and rows, of a square."""
        return min(SIDE, 1 << (self.gpu.group_items.bit_length() - 1))

    @property
    def rows(self) -> int:
        """Rows that the items take at once."""
        most = min(ROWS, self.side, self.gpu.group_items // self.side)
        return 1 << (most.bit_length() - 1)  # of which each row is some item's

    @property
    def pitch(self) -> int:
        """Elements from row to row in local memory."""
        return self.side + 1

    @property
    def _others(self) -> list[Axis]:
        both = (self.turn.along, self.turn.across)
        return [axis for axis in self.flat.piece.axes if axis not in both]

    def _item(self) -> list[Stmt]:
        """What one item does: it fetches parts of rows, and stores parts of columns."""
        stmts: list[Stmt] = []
        along, across = self.turn.along, self.turn.across
        batch = build.var(".batch") if points(self._others) > 1 else _ZERO
        known = coordinates(stmts, batch, self._others, ".batch")
        near = build.var(".x")
        far = build.add(build.mul(build.var(".r"), build.const(self.rows)), build.var(".y"))
        held: dict[str, Expr] = {}
        fetched: list[Stmt] = []
        row = known | {along.name: self._at(along, far), across.name: self._at(across, near)}
        for number, read in enumerate(self.turn.reads):
            kind = VType(read.dtype)
            size = self.side * self.pitch
            tile = Buffer(f".tile{number}", kind, size, scope=Scope.LOCAL, writable=True)
            self.locals.append(tile)
            where = substitute(form_expr(form_of(read.access[0])), row)
            value = Load(self.places[read.tensor].buffer.name, where, kind)
            fetched.append(Store(tile.name, self._held(far, near), value))
            held[tile.name] = get(tile, self._held(near, far))
        column = known | {along.name: self._at(along, near), across.name: self._at(across, far)}
        body = turned_body(self.turn.reads, held, self.flat.piece.parts[0].body)
        value = convert(translate(body, self.places, held), self.target.result)
        if self.flat.epilogue is not None:
            value = translate(self.flat.epilogue, self.places, {RESULT: value})
        where = substitute(form_expr(form_of(self.flat.stores[0])), column)
        stored = Store(self.target.output.name, where, substitute(value, column))
        return [
            *stmts,
            self._several(self._inside(far, near, tuple(fetched))),
            Barrier(),
            self._several(self._inside(near, far, (stored,))),
        ]

    def _at(self, axis: Axis, place: Expr) -> Expr:
        """The iteration of a loop at some place in a square."""
        name = ".along" if axis is self.turn.along else ".across"
        first = build.mul(build.var(name), build.const(self.side))
        return build.add(build.add(first, place), build.const(axis.low))

    def _held(self, row: Expr, column: Expr) -> Expr:
        return build.add(build.mul(row, build.const(self.pitch)), column)

    def _inside(self, along: Expr, across: Expr, body: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
        """Statements for the elements of a square that there are."""
        for axis, place in ((self.turn.along, along), (self.turn.across, across)):
            if axis.extent % self.side:
                test = build.compare("cmp_lt", self._at(axis, place), build.const(axis.high))
                body = (If(test, body),)
        return body

    def _several(self, body: tuple[Stmt, ...]) -> Stmt:
        return _loop(".r", self.side // self.rows, body, LoopKind.UNROLL)


def _loop(name: str, stop: int, body: tuple[Stmt, ...], kind: LoopKind) -> For:
    return For(name, _ZERO, build.const(stop), body, kind=kind)
