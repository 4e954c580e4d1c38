"""Operands of a stream that are copied first, so that they lie consecutively along its lanes.

The columns of a narrow matrix lie apart from row to row. They are few, so copying them costs next
to nothing beside reading the wide operand, and then each is a run of vectors. A copy has an axis
for each loop that moves the operand; the loop of the lanes is the last. Of a reduction that is cut
into parts, each part copies what it needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TypeAlias

from tilec.kernel import build
from tilec.kernel.ir import Buffer, Expr, For, LoopKind, Scope, Stmt, Store, VType
from tilec.lower.translate import Places, offset, translate
from tilec.lower.walk import substitute
from tilec.records import dataclass
from tilec.schedule.footprint import LINE_BYTES
from tilec.tensor.affine import Affine
from tilec.tensor.forms import Axis, form_of
from tilec.tensor.scalar import Read, Scalar, reads, rewrite

ORIGIN = ".origin"
"""First iteration of the loop that is cut, in the part at hand."""

_ZERO = build.const(0)

Ranges: TypeAlias = Mapping[str, tuple[Expr, int]]
"""First value and iterations of a loop that runs in part."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A loop of the reduction that is cut into parts, and the iterations of each."""

    axis: Axis
    size: int


@dataclass(frozen=True, slots=True)
class Copy:
    """One operand: how it is read where it lies, and out of its copy.

    Attributes:
        source: The read.
        loops: The loops that move it, that of the lanes last.
        held: The read of the copy.
        buffer: The copy.
    """

    source: Read
    loops: tuple[Axis, ...]
    held: Read
    buffer: Buffer


@dataclass(frozen=True, slots=True)
class Copies:
    """What a point of the reduction computes out of copies.

    Attributes:
        body: The expression, in which copies are read.
        made: The copies.
        vector: Loop of the lanes.
        cut: The loop that is cut into parts, if one is.
    """

    body: Scalar
    made: tuple[Copy, ...] = ()
    vector: str = ""
    cut: Cut | None = None

    @staticmethod
    def none(body: Scalar) -> Copies:
        """Everything is read where it lies."""
        return Copies(body)

    @staticmethod
    def of(body: Scalar, loops: Sequence[Axis], vector: str, cut: Cut | None) -> Copies:
        """Copies of all reads whose elements along the loop ``vector`` do not lie side by side."""
        made: dict[Read, Copy] = {}
        for read in reads(body):
            form = form_of(read.access[0])
            if read in made or abs(form.coefficient(vector)) <= 1:
                continue
            own = [axis for axis in loops if form.coefficient(axis.name)]
            own.sort(key=lambda axis: axis.name == vector)
            name = f".copy{len(made)}"
            kind = VType(read.dtype)
            size = prod(_distances(own, read.dtype.bytes, cut))
            buffer = Buffer(name, kind, size, scope=Scope.CACHE, writable=True)
            held = Read(name, (_position(own, read.dtype.bytes, cut),), read.dtype)
            made[read] = Copy(read, tuple(own), held, buffer)

        def change(node: Scalar) -> Scalar | None:
            return made[node].held if isinstance(node, Read) and node in made else None

        return Copies(rewrite(body, change), tuple(made.values()), vector, cut)

    @property
    def buffers(self) -> tuple[Buffer, ...]:
        """Scratch memory that the copies need."""
        return tuple(copy.buffer for copy in self.made)

    def stmts(self, places: Places, ranges: Ranges) -> list[Stmt]:
        """Makes the copies."""
        found: list[Stmt] = []
        for copy in self.made:
            at = self._here(offset(places[copy.buffer.name], copy.held.access), ranges)
            body: Stmt = Store(copy.buffer.name, at, translate(copy.source, places))
            for axis in reversed(copy.loops):
                first, count = ranges.get(axis.name, (build.const(axis.low), axis.extent))
                kind = LoopKind.VECTOR if axis.name == self.vector else LoopKind.SERIAL
                stop = build.add(first, build.const(count))
                body = For(axis.name, first, stop, (body,), kind=kind)
            found.append(body)
        return found

    def value(self, places: Places, ranges: Ranges) -> Expr:
        """What a point computes."""
        return self._here(translate(self.body, places), ranges)

    def _here(self, expr: Expr, ranges: Ranges) -> Expr:
        if self.cut is None:
            return expr
        return substitute(expr, {ORIGIN: ranges[self.cut.axis.name][0]})


def _distances(loops: Sequence[Axis], size: int, cut: Cut | None) -> list[int]:
    """Places of a copy along each loop; an odd number of cache lines along the last.

    Runs a power of two apart would meet in one set of the first-level cache.
    """
    places = [cut.size if cut is not None and cut.axis == a else a.extent for a in loops]
    places[-1] = (-(-places[-1] * size // LINE_BYTES) | 1) * LINE_BYTES // size
    return places


def _position(loops: Sequence[Axis], size: int, cut: Cut | None) -> Affine:
    """Offset in a copy at the current values of the loops."""
    total = Affine()
    for axis, places in zip(loops, _distances(loops, size, cut), strict=True):
        is_cut = cut is not None and cut.axis == axis
        start = Affine.index(ORIGIN) if is_cut else Affine.number(axis.low)
        total = total * places + Affine.index(axis.name) - start
    return total
