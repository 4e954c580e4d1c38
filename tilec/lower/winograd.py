"""Convolutions by Winograd's method as one kernel: transforms and products of a block of tiles.

Three phases share scratch memory that stays in the second-level cache. The data of a block of tiles
are transformed into ``.tiles[product][slot][channel]``. Then, group after group of panels of
filters, the products go to ``.sums[product][panel][slot][filter]``, by the same register tiles as
any other product, and are transformed into outputs, with the epilogue applied on the way. Distances
between rows are odd numbers of cache lines, so that rows do not share sets of a cache.

A group of one panel needs little room for sums, but goes through the transforms of all products:
where these leave the second-level cache, larger groups read them less often.

Either blocks of tiles are divided among threads, and each thread has scratch memory of its own; or
there is one block, whose data are transformed by all threads together and read by all, and the
panels of filters are divided: then each transformed weight is read by one thread only, once.

Assumes data with consecutive channels, and outputs with consecutive filters. Guarantees the same
bits with any number of threads: the schedule alone says what is summed in which order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from functools import reduce

from tilec.dtypes import I32, DType
from tilec.kernel import build
from tilec.kernel.ir import (
    Apply,
    Buffer,
    Const,
    Expr,
    For,
    If,
    Load,
    LoopKind,
    Ramp,
    Scope,
    Stmt,
    Store,
    VType,
)
from tilec.lower.flatten import Epilogue
from tilec.lower.late import LateProducts, Layout
from tilec.lower.special import Body
from tilec.lower.straight import Straight
from tilec.lower.tileloops import FAR_BYTES, TRUE, Multiply, Outputs, places_of_tile
from tilec.lower.translate import Place, Places
from tilec.records import dataclass
from tilec.schedule.winograd import WinogradPlan, padded
from tilec.tensor.affine import Affine
from tilec.tensor.tiling import TileAxis
from tilec.tensor.winograd import Winograd

CHUNK = 4
"""Vectors of channels that are transformed together: the elements around a tile at the border are
copied for so many first, which a first-level cache holds, and a page is read in long runs."""

TILES, SUMS, PATCH = ".tiles", ".sums", ".patch"
_ZERO = build.const(0)


@dataclass(slots=True)
class WinogradWriter:
    """Writes the kernel of one convolution."""

    problem: Winograd
    plan: WinogradPlan
    dtype: DType
    places: Places
    output: Place
    epilogue: Epilogue | None = None
    locals: list[Buffer] = field(default_factory=list[Buffer])

    @property
    def kind(self) -> VType:
        """The type of a vector."""
        return VType(self.dtype, self.plan.lanes)

    @property
    def row(self) -> int:
        """Elements between the channels of two slots."""
        return padded(self.problem.channels, self.dtype.bytes)

    @property
    def tile_step(self) -> int:
        """Elements between the slots of two products."""
        return padded(self.plan.block * self.row, self.dtype.bytes)

    @property
    def sum_step(self) -> int:
        """Elements between the sums of two products."""
        return padded(self.problem.group * self.member_step, self.dtype.bytes)

    @property
    def member_step(self) -> int:
        """Elements between the sums of two panels of a group."""
        return self.plan.block * self.problem.width

    def body(self) -> Body:
        """The statements, scratch buffers and schedule line."""
        problem, block = self.problem, self.plan.block
        count = problem.products_per_tile
        scalar = VType(self.dtype)
        for name, elems in (
            (TILES, count * self.tile_step),
            (SUMS, count * self.sum_step),
            (PATCH, count * CHUNK * self.plan.lanes),
        ):
            held = Buffer(name, scalar, elems, scope=Scope.CACHE, writable=True)
            self.locals.append(held)
        shared = self.plan.parallel == "filters"
        chunk = CHUNK * self.plan.lanes
        inward = For(
            ".chunk",
            _ZERO,
            build.const(-(-problem.channels // chunk)),
            tuple(self._over_slots(self._inward())),
            kind=LoopKind.PARALLEL if shared else LoopKind.SERIAL,
        )
        panels = For(
            ".filters",
            _ZERO,
            build.const(problem.groups),
            (*self._products(), *self._over_slots(self._over_members(self._outward()))),
            kind=LoopKind.PARALLEL if shared else LoopKind.SERIAL,
        )
        blocks = -(-problem.tile_count // block)
        stmts: tuple[Stmt, ...] = (inward, panels)
        kind = LoopKind.PARALLEL if self.plan.parallel == "tiles" else LoopKind.SERIAL
        stmts = (For(".part", _ZERO, build.const(blocks), stmts, kind=kind),)
        return Body(stmts, tuple(self.locals), (str(self.plan),), self.plan.lanes)

    # Tiles: their slots in scratch memory and their places.

    @property
    def _first(self) -> Expr:
        """Number of the block's first tile."""
        return build.mul(build.var(".part"), build.const(self.plan.block))

    def _over_slots(self, inner: Sequence[Stmt]) -> list[Stmt]:
        """A loop over the tiles of a block; ``.at0`` is the tile's number along axis 0."""
        left = build.sub(build.const(self.problem.tile_count), self._first)
        stop = build.minimum(build.const(self.plan.block), left)
        number: Expr = build.add(self._first, build.var(".slot"))
        lets = places_of_tile(self.problem.axes, number)
        return [For(".slot", _ZERO, stop, (*lets, *inner))]

    # Data in.

    def _inward(self) -> list[Stmt]:
        """Transform the tile's data in a chunk of channels.

        A tile inside is read where it lies; of one at the border a copy is made first, in which
        what lies outside is 0.
        """
        axes = list(enumerate(self.problem.axes))
        inside = _all(_whole(at, axis) for at, axis in axes)
        direct = self._channels(lambda c, mask: self._transform(c, mask, copied=False))
        if inside == TRUE:
            return direct
        element = _all(_element(at, axis) for at, axis in axes)
        at = self._patch(tuple(build.var(f".j{at}") for at, axis in axes if axis.slides))
        zeros = tuple(
            Store(PATCH, build.add(at, build.const(v * self.plan.lanes)), Const(0.0, self.kind))
            for v in range(CHUNK)
        )
        copy = self._channels(lambda c, mask: [self._copy(c, mask)])
        stmts: tuple[Stmt, ...] = (If(element, tuple(copy), zeros),)
        for number, axis in reversed(axes):
            if axis.slides:
                size = build.const(axis.size)
                stmts = (For(f".j{number}", _ZERO, size, stmts),)
        border = self._channels(lambda c, mask: self._transform(c, None, copied=True))
        return [If(inside, tuple(direct), (*stmts, *border))]

    @property
    def _chunk(self) -> int:
        return CHUNK * self.plan.lanes

    def _channels(self, inner: Callable[[Expr, Expr | None], Sequence[Stmt]]) -> list[Stmt]:
        """A loop over the vectors of channels in the chunk; a last, narrower one is apart."""
        first = build.mul(build.var(".chunk"), build.const(self._chunk))
        end = build.add(first, build.const(self._chunk))
        return self._vectors(".c", first, end, self.problem.channels, inner)

    def _vectors(
        self,
        name: str,
        first: Expr,
        end: Expr,
        extent: int,
        inner: Callable[[Expr, Expr | None], Sequence[Stmt]],
    ) -> list[Stmt]:
        """Vectors from ``first`` to ``end``, of which those beyond ``extent`` are left out."""
        lanes = self.plan.lanes
        whole = extent // lanes * lanes
        stmts: list[Stmt] = []
        if whole:
            stop = build.minimum(end, build.const(whole))
            body = tuple(inner(build.var(name), None))
            stmts.append(For(name, first, stop, body, step=lanes))
        if whole < extent:
            lane = Ramp(Const(0, VType(I32)), 1, VType(I32, lanes))
            limit = Const(extent - whole, VType(I32, lanes))
            mask = Apply("cmp_lt", (lane, limit), build.condition_type(lanes))
            here = build.both(
                build.compare("cmp_le", first, build.const(whole)),
                build.compare("cmp_gt", end, build.const(whole)),
            )
            stmts.append(If(here, tuple(inner(build.const(whole), mask))))
        return stmts

    def _copy(self, channel: Expr, mask: Expr | None) -> Stmt:
        """Copy a vector of one element of the window."""
        window = tuple(
            build.var(f".j{at}") for at, axis in enumerate(self.problem.axes) if axis.slides
        )
        inside = build.sub(channel, build.mul(build.var(".chunk"), build.const(self._chunk)))
        return Store(
            PATCH, build.add(self._patch(window), inside), self._datum(window, channel, mask)
        )

    def _patch(self, window: tuple[Expr, ...]) -> Expr:
        """Where the copy of an element of the window begins."""
        total: Expr = _ZERO
        for axis, at in zip(self.problem.sliding, window, strict=True):
            total = build.add(build.mul(total, build.const(axis.size)), at)
        return build.mul(total, build.const(self._chunk))

    def _datum(self, window: tuple[Expr, ...], channel: Expr, mask: Expr | None) -> Load:
        """A vector of channels of one element of the window, where it lies."""
        place = self.places[self.problem.data]
        elements = iter(window)
        index: Expr = _ZERO
        for at, axis in enumerate(self.problem.axes):
            step = build.const(place.strides[axis.data_at])
            start = build.mul(build.var(f".at{at}"), build.const(axis.m))
            start = build.add(start, build.const(axis.offset))
            here = build.add(start, next(elements)) if axis.slides else start
            index = build.add(index, build.mul(here, step))
        return Load(place.buffer.name, build.add(index, channel), self.kind, 1, mask)

    def _transform(self, channel: Expr, mask: Expr | None, *, copied: bool) -> list[Stmt]:
        """Transform a vector of channels of one tile."""
        code = Straight(self.kind, ".d")
        chunk = build.mul(build.var(".chunk"), build.const(self._chunk))

        def load(window: tuple[int, ...]) -> Expr:
            elements = tuple(map(build.const, window))
            if not copied:
                return self._datum(elements, channel, mask)
            at = build.add(self._patch(elements), build.sub(channel, chunk))
            return Load(PATCH, at, self.kind)

        matrices = [minimal.b for minimal in self.problem.matrices]
        at = build.add(build.mul(build.var(".slot"), build.const(self.row)), channel)
        for number, value in enumerate(code.tile(matrices, load).values()):
            index = build.add(at, build.const(number * self.tile_step))
            code.stmts.append(Store(TILES, index, value))
        return code.stmts

    # Products.

    def _products(self) -> list[Stmt]:
        """All products of a panel; the last block may have fewer tiles than the others."""
        problem, block = self.problem, self.plan.block
        write = self._late_products if problem.late else self._register_tiles
        blocks = -(-problem.tile_count // block)
        last = problem.tile_count - (blocks - 1) * block
        stmts = write(min(block, problem.tile_count))
        if blocks > 1 and last != block:
            full = build.compare("cmp_lt", build.var(".part"), build.const(blocks - 1))
            stmts = (If(full, stmts, write(last)),)
        if problem.late:
            return list(stmts)
        count = build.const(problem.products_per_tile)
        return [For(".product", _ZERO, count, tuple(self._over_members(stmts)))]

    def _late_products(self, slots: int) -> tuple[Stmt, ...]:
        """All products of a panel whose weights are transformed in registers."""
        made = LateProducts(
            self.problem,
            self.plan,
            self.kind,
            weights=self.places[self.problem.weights].buffer.name,
            tiles=Layout(TILES, self.tile_step, self.row),
            sums=Layout(SUMS, self.sum_step, self.problem.width),
        )
        stmts = made.all(slots)
        self.locals += [each for each in made.locals if each not in self.locals]
        return stmts

    def _over_members(self, inner: Sequence[Stmt]) -> list[Stmt]:
        """A loop over the panels of a group."""
        problem = self.problem
        if problem.group == 1:
            return list(inner)
        count: Expr = build.const(problem.group)
        if problem.panels % problem.group:
            begun = build.mul(build.var(".filters"), build.const(problem.group))
            count = build.minimum(count, build.sub(build.const(problem.panels), begun))
        return [For(".member", _ZERO, count, tuple(inner))]

    @property
    def _panel(self) -> Expr:
        """Number of a panel."""
        first = build.mul(build.var(".filters"), build.const(self.problem.group))
        return first if self.problem.group == 1 else build.add(first, build.var(".member"))

    def _register_tiles(self, slots: int) -> tuple[Stmt, ...]:
        """The sums of one product for all slots and the filters of a panel."""
        problem, width = self.problem, self.problem.width
        number, elems = Affine.index(".product"), problem.channels * width
        panel, result = number * (problem.group * elems), number * self.sum_step
        if problem.group > 1:
            member = Affine.index(".member")
            panel, result = panel + member * elems, result + member * self.member_step
        elems *= problem.group * problem.products_per_tile
        panel += Affine.index(".filters") * elems
        made = Multiply(
            tiles=TILES,
            data=number * self.tile_step,
            row=self.row,
            weights=self.places[problem.weights].buffer,
            panel=panel,
            channels=problem.channels,
            width=width,
            sums=SUMS,
            result=result,
            result_row=width,
            dtype=self.dtype,
            far=problem.groups * elems * self.dtype.bytes > FAR_BYTES,
        )
        stmts, used = made.slots(slots, self.plan.rows, self.plan.lanes)
        self.locals += [each for each in used if each not in self.locals]
        return stmts

    # Outputs.

    def _outward(self) -> list[Stmt]:
        """Transform the tile's products of a panel and store the outputs."""
        first = build.mul(self._panel, build.const(self.problem.width))
        end = build.add(first, build.const(self.problem.width))
        return self._vectors(".f", first, end, self.problem.filters, self._outputs)

    def _outputs(self, filters: Expr, mask: Expr | None) -> list[Stmt]:
        problem = self.problem
        code = Straight(self.kind, ".o")
        panel = build.mul(self._panel, build.const(problem.width))
        slot = build.mul(build.var(".slot"), build.const(problem.width))
        at = build.add(slot, build.sub(filters, panel))
        if problem.group > 1:
            at = build.add(at, build.mul(build.var(".member"), build.const(self.member_step)))
        sizes = [axis.size for axis in problem.sliding]

        def load(window: tuple[int, ...]) -> Expr:
            number = 0
            for size, place in zip(sizes, window, strict=True):
                number = number * size + place
            return Load(SUMS, build.add(at, build.const(number * self.sum_step)), self.kind)

        matrices = [minimal.a for minimal in problem.matrices]
        values = code.tile(matrices, load)
        held = Buffer(".out", self.kind, len(values), scope=Scope.REGISTER, writable=True)
        if held not in self.locals:
            self.locals.append(held)
        for number, value in enumerate(values.values()):
            code.stmts.append(Store(held.name, build.const(number), value))
        outputs = Outputs(problem.axes, self.plan.lanes, self.places, self.output, self.epilogue)
        for number, window in enumerate(values):
            value = Load(held.name, build.const(number), self.kind)
            code.stmts += outputs.store(tuple(map(build.const, window)), value, held, filters, mask)
        return code.stmts


def _all(conditions: Iterable[Expr]) -> Expr:
    return reduce(build.both, conditions, TRUE)


def _whole(at: int, axis: TileAxis) -> Expr:
    """Whether the window of a tile lies in the data; constant where those of all tiles do."""
    start = build.mul(build.var(f".at{at}"), build.const(axis.m))
    holds = TRUE
    if axis.offset < 0:
        begin = build.add(start, build.const(axis.offset))
        holds = build.compare("cmp_ge", begin, _ZERO)
    size = axis.size
    if axis.offset + (axis.tiles - 1) * axis.m + size > axis.data_extent:
        end = build.add(start, build.const(axis.offset + size))
        holds = build.both(holds, build.compare("cmp_le", end, build.const(axis.data_extent)))
    return holds


def _element(at: int, axis: TileAxis) -> Expr:
    """Whether an element of the window lies in the data."""
    if _whole(at, axis) == TRUE:
        return TRUE
    start = build.mul(build.var(f".at{at}"), build.const(axis.m))
    here = build.add(build.add(start, build.var(f".j{at}")), build.const(axis.offset))
    return build.both(
        build.compare("cmp_ge", here, _ZERO),
        build.compare("cmp_lt", here, build.const(axis.data_extent)),
    )
