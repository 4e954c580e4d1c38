"""Products with weights that are transformed in registers, just before they are multiplied.

Weights transformed ahead are up to four times as many, and with few tiles it is their way from
memory that takes the time: a layer of 512 channels and filters has 9.4 MB of taps, but 37.7 MB of
weights of F(4x4,3x3). Here a step reads the taps of one channel and a vector of filters, transforms
them along all axes but the last for one place of the product there, then along the last axis for
all places; each result meets one value of each tile. So the sums of a register tile belong to
several products, ``[place along the last axis][tile]``.

The taps of some channels stay in the first-level cache while all products pass by, so that they
come from memory once; sums wait in scratch memory meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from itertools import product
from math import prod

from tilec.kernel import build
from tilec.kernel.ir import (
    Apply,
    Buffer,
    Const,
    Expr,
    For,
    If,
    Load,
    Prefetch,
    Scope,
    Splat,
    Stmt,
    Store,
    VType,
)
from tilec.lower.straight import Straight
from tilec.records import dataclass
from tilec.schedule.footprint import LINE_BYTES
from tilec.schedule.winograd import WinogradPlan
from tilec.tensor.winograd import Winograd

_ZERO = build.const(0)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where values of a product and a tile lie: the buffer, and elements between two of each."""

    buffer: str
    product: int
    tile: int


@dataclass(slots=True)
class LateProducts:
    """Writes the products of panel ``.filters`` and all tiles of a block.

    Attributes:
        problem: The convolution.
        plan: Its schedule.
        kind: The type of a vector.
        weights: Buffer of the taps, ``[panel, channel, tap.., filter of panel]``.
        tiles: The transformed data, with consecutive channels.
        sums: The products, with consecutive filters.
        locals: The registers.
    """

    problem: Winograd
    plan: WinogradPlan
    kind: VType
    weights: str
    tiles: Layout
    sums: Layout
    locals: list[Buffer] = field(default_factory=list[Buffer])

    @property
    def step(self) -> int:
        """Elements of the taps of a channel in a panel."""
        return self.problem.taps * self.problem.width

    @property
    def _panel(self) -> Expr:
        """Where the taps of the panel begin."""
        return build.mul(build.var(".filters"), build.const(self.problem.channels * self.step))

    def all(self, slots: int) -> tuple[Stmt, ...]:
        """The products of some tiles."""
        channels = build.const(self.problem.channels)
        passes: list[Stmt] = []
        *outer, _ = (range(axis.size) for axis in self.problem.sliding)
        groups = -(-slots // self.plan.rows)
        rows = -(-slots // groups)
        visits = groups * prod(map(len, outer))
        for number, places in enumerate(product(*outer)):
            full, rest = divmod(slots, rows)
            for first, count, size in ((0, full, rows), (full, 1, rest)):
                if count and size:
                    group = build.add(build.const(first), build.var(".group"))
                    visit = build.add(build.const(number * groups), group)
                    stmts = tuple(self._pass(places, number, group, rows, size, visit, visits))
                    passes.append(For(".group", _ZERO, build.const(count), stmts))
        return (For(".from", _ZERO, channels, tuple(passes), step=self.plan.late),)

    def _pass(
        self,
        places: tuple[int, ...],
        number: int,
        group: Expr,
        rows: int,
        size: int,
        visit: Expr,
        visits: int,
    ) -> Iterator[Stmt]:
        """One register tile of ``size`` tiles and all places along the last axis."""
        last = self.problem.sliding[-1].size
        sums = Buffer(f".late{size}", self.kind, last * size, scope=Scope.REGISTER, writable=True)
        if sums not in self.locals:
            self.locals.append(sums)
        begun = build.mul(group, build.const(rows))
        zeros: list[Stmt] = []
        olds: list[Stmt] = []
        ends: list[Stmt] = []
        for place, row in product(range(last), range(size)):
            held = build.const(place * size + row)
            at = self._at(self.sums, number * last + place, build.add(begun, build.const(row)))
            zeros.append(Store(sums.name, held, Const(0.0, self.kind)))
            olds.append(Store(sums.name, held, Load(self.sums.buffer, at, self.kind)))
            ends.append(Store(self.sums.buffer, at, Load(sums.name, held, self.kind)))
        is_first = build.compare("cmp_eq", build.var(".from"), _ZERO)
        yield If(is_first, tuple(zeros), tuple(olds))
        body = (*self._multiply(places, number, begun, size, sums), *self._next(visit, visits))
        stop = build.add(build.var(".from"), build.const(self.plan.late))
        if self.problem.channels % self.plan.late:
            stop = build.minimum(stop, build.const(self.problem.channels))
        yield For(".channel", build.var(".from"), stop, body)
        yield from ends

    def _multiply(
        self, places: tuple[int, ...], number: int, begun: Expr, size: int, sums: Buffer
    ) -> Iterator[Stmt]:
        """Transform the taps of a channel, and multiply them by the data of the tiles."""
        problem, channel = self.problem, build.var(".channel")
        code = Straight(self.kind, ".w")
        here = build.add(self._panel, build.mul(channel, build.const(self.step)))
        counts = [axis.r for axis in problem.sliding]

        def load(window: tuple[int, ...]) -> Expr:
            tap = 0
            for count, at in zip(counts, window, strict=True):
                tap = tap * count + at
            at = build.add(here, build.const(tap * problem.width))
            return Load(self.weights, at, self.kind)

        *before, last = (minimal.g for minimal in problem.matrices)
        matrices = [*((matrix[at],) for matrix, at in zip(before, places, strict=True)), last]
        values = code.tile(matrices, load).values()
        yield from code.stmts
        for place, value in enumerate(values):
            for row in range(size):
                slot = build.add(begun, build.const(row))
                at = build.add(self._at(self.tiles, number * len(last) + place, slot), channel)
                datum = Splat(Load(self.tiles.buffer, at, VType(self.kind.dtype)), self.kind)
                held = build.const(place * size + row)
                total = Load(sums.name, held, self.kind)
                yield Store(sums.name, held, Apply("fma", (datum, value, total), self.kind))

    def _next(self, visit: Expr, visits: int) -> Iterator[Stmt]:
        """Ask for a part of the taps that come next, as much at each step of each pass."""
        share = -(-self.step // visits)
        behind = build.sub(build.var(".channel"), build.var(".from"))
        behind = build.add(build.mul(visit, build.const(self.plan.late)), behind)
        first = build.add(build.var(".from"), build.const(self.plan.late))
        first = build.add(self._panel, build.mul(first, build.const(self.step)))
        first = build.add(first, build.mul(behind, build.const(share)))
        for at in range(0, share, LINE_BYTES // self.kind.dtype.bytes):
            yield Prefetch(self.weights, build.add(first, build.const(at)))

    def _at(self, layout: Layout, number: int, slot: Expr) -> Expr:
        return build.add(
            build.const(number * layout.product), build.mul(slot, build.const(layout.tile))
        )
