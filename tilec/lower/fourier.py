"""Convolutions by the Fourier transform of tiles as one kernel.

Lanes are channels, so that a transform is straight-line code over vectors. The rows of a tile are
transformed as real data into ``.rows[frequency][row][part]``, then the columns of each frequency.
Where channels are summed over, the factors of all products lie in
``.tiles[product][slot][channel]``, small products of matrices make
``.sums[product][slot][filter]``, and these are transformed back, again by columns and then by rows.
A depthwise convolution multiplies the columns of a frequency where they are, and transforms them
back at once: nothing but the rows of one tile is ever stored.

Distances between rows are odd numbers of cache lines, so that rows do not share sets of a cache.

Assumes data with consecutive channels, and outputs with consecutive filters. Guarantees the same
bits with any number of threads: the schedule alone says what is summed in which order.
"""

from __future__ import annotations

from dataclasses import field

from tilec.dtypes import I64, DType
from tilec.kernel import build
from tilec.kernel.ir import (
    INDEX,
    Apply,
    Buffer,
    Const,
    Expr,
    For,
    If,
    Let,
    Load,
    LoopKind,
    Ramp,
    Scope,
    Stmt,
    Store,
    Var,
    VType,
)
from tilec.lower.dft import Complex, real_inverse, real_transform, transform
from tilec.lower.flatten import Epilogue
from tilec.lower.special import Body
from tilec.lower.straight import Straight
from tilec.lower.tileloops import FAR_BYTES, Multiply, Outputs, output_at, places_of_tile
from tilec.lower.translate import Place, Places
from tilec.records import dataclass
from tilec.schedule.fourier import FourierPlan, frequency_vectors
from tilec.schedule.winograd import padded
from tilec.tensor.affine import Affine
from tilec.tensor.fourier import Fourier
from tilec.tensor.tiling import TileAxis

TILES, SUMS, LINE, ROWS, COLUMNS = ".tiles", ".sums", ".line", ".rows", ".columns"
RESULTS, OUT = ".results", ".out"
_ZERO = build.const(0)


@dataclass(slots=True)
class FourierWriter:
    """Writes the kernel of one convolution."""

    problem: Fourier
    plan: FourierPlan
    dtype: DType
    places: Places
    output: Place
    epilogue: Epilogue | None = None
    locals: list[Buffer] = field(default_factory=list[Buffer])

    @property
    def lanes(self) -> int:
        """Elements of a vector."""
        return self.plan.lanes

    @property
    def kind(self) -> VType:
        """The type of a vector."""
        return VType(self.dtype, self.plan.lanes)

    def body(self) -> Body:
        """The statements, scratch buffers and schedule line."""
        problem = self.problem
        first, second = problem.sliding
        self._scratch(LINE, second.size * self.lanes)
        self._scratch(ROWS, problem.half * frequency_vectors(first.size) * self.lanes)
        self._scratch(COLUMNS, problem.half * frequency_vectors(first.m) * self.lanes)
        self._scratch(RESULTS, second.m * self.lanes)
        self.locals.append(Buffer(OUT, self.kind, 1, scope=Scope.REGISTER, writable=True))
        stmts = self._depthwise() if problem.depthwise else self._dense()
        return Body(tuple(stmts), tuple(self.locals), (str(self.plan),), self.lanes)

    def _scratch(self, name: str, elems: int) -> None:
        held = Buffer(name, VType(self.dtype), elems, scope=Scope.CACHE, writable=True)
        self.locals.append(held)

    def _loop(self, name: str, stop: Expr, body: list[Stmt]) -> For:
        kind = LoopKind.PARALLEL if self.plan.parallel else LoopKind.SERIAL
        return For(name, _ZERO, stop, tuple(body), kind=kind)

    def _depthwise(self) -> list[Stmt]:
        """Every tile and vector of channels on its own."""
        problem = self.problem
        vectors = -(-problem.channels // self.lanes)
        tile = build.floor_mod(build.var(".item"), problem.tile_count)
        vector = build.floor_div(build.var(".item"), problem.tile_count)
        body = [
            Let(Var(".vector", INDEX), vector),
            *places_of_tile(problem.axes, tile),
            *self._rows_in(),
            self._frequencies(self._multiplied()),
            *self._rows_out(),
        ]
        return [self._loop(".item", build.const(vectors * problem.tile_count), body)]

    def _dense(self) -> list[Stmt]:
        """Blocks of tiles: transforms in, products, transforms out."""
        problem, block = self.problem, self.plan.block
        count, tiles = problem.products_per_tile, problem.tile_count
        self._scratch(TILES, count * self.tile_step)
        self._scratch(SUMS, count * self.sum_step)
        blocks = -(-tiles // block)
        first = build.mul(build.var(".part"), build.const(block))
        slots = build.minimum(build.const(block), build.sub(build.const(tiles), first))

        def each(extent: int, body: list[Stmt], name: str) -> For:
            """A loop over the tiles of a block and vectors of channels or filters."""
            vectors = -(-extent // self.lanes)
            item = build.var(name)
            head: list[Stmt] = [
                Let(Var(".slot", INDEX), build.floor_div(item, vectors)),
                Let(Var(".vector", INDEX), build.floor_mod(item, vectors)),
                *places_of_tile(problem.axes, build.add(first, build.var(".slot"))),
            ]
            return self._loop(name, build.mul(slots, build.const(vectors)), [*head, *body])

        inward = each(problem.channels, [*self._rows_in(), self._frequencies(self._in())], ".in")
        last = tiles - (blocks - 1) * block
        multiply: tuple[Stmt, ...] = self._products(min(block, tiles))
        if blocks > 1 and last != block:
            full = build.compare("cmp_lt", build.var(".part"), build.const(blocks - 1))
            multiply = (If(full, multiply, self._products(last)),)
        panels = For(".filters", _ZERO, build.const(problem.panels), multiply)
        products = self._loop(".product", build.const(count), [panels])
        back = [self._frequencies(self._back()), *self._rows_out()]
        outward = each(problem.filters, back, ".outward")
        return [For(".part", _ZERO, build.const(blocks), (inward, products, outward))]

    @property
    def _slot_elems(self) -> tuple[int, int]:
        """Elements between the channels, and the filters, of two slots."""
        problem = self.problem
        return padded(problem.channels, self.dtype.bytes), problem.panels * problem.width

    @property
    def tile_step(self) -> int:
        """Elements between the slots of two products."""
        return padded(self.plan.block * self._slot_elems[0], self.dtype.bytes)

    @property
    def sum_step(self) -> int:
        """Elements between the sums of two products."""
        return padded(self.plan.block * self._slot_elems[1], self.dtype.bytes)

    @property
    def _channel(self) -> Expr:
        return build.mul(build.var(".vector"), build.const(self.lanes))

    def _mask(self, extent: int) -> Expr | None:
        """The lanes that exist, in the last vector."""
        if extent % self.lanes == 0:
            return None
        lane = Ramp(self._channel, 1, VType(I64, self.lanes))
        limit = Const(extent, VType(I64, self.lanes))
        return Apply("cmp_lt", (lane, limit), build.condition_type(self.lanes))

    # Data in: rows, then columns.

    def _rows_in(self) -> list[Stmt]:
        """Transform the rows of a tile; those outside of the data are 0."""
        (at0, first), (at1, second) = self._sliding
        y = build.add(output_at(first, at0, build.var(".y")), build.const(first.offset))
        x = build.add(output_at(second, at1, build.var(".x")), build.const(second.offset))
        slot = build.mul(build.var(".x"), build.const(self.lanes))
        zero = Const(0.0, self.kind)
        copy: Stmt = Store(LINE, slot, self._datum({at0: y, at1: x}))
        if not _covers(second):
            copy = If(_inside(x, second), (copy,), (Store(LINE, slot, zero),))
        line = For(".x", _ZERO, build.const(second.size), (copy,))
        code = Straight(self.kind, ".d")
        values = [self._load(code, LINE, build.const(at)) for at in range(second.size)]
        empty: list[Stmt] = []
        for k, (real, imaginary) in enumerate(real_transform(code, values)):
            for part, value in enumerate((real, imaginary)):
                at = self._row(build.const(k), build.var(".y"), part)
                code.stmts.append(Store(ROWS, at, zero if value is None else value))
                empty.append(Store(ROWS, at, zero))
        body: tuple[Stmt, ...] = (line, *code.stmts)
        if not _covers(first):
            body = (If(_inside(y, first), body, tuple(empty)),)
        return [For(".y", _ZERO, build.const(first.size), body)]

    def _datum(self, sliding: dict[int, Expr]) -> Load:
        """A vector of channels of an element of the data."""
        place, index = self.places[self.problem.data], self._channel
        for at, axis in enumerate(self.problem.axes):
            here = sliding.get(at, output_at(axis, at, build.const(axis.offset)))
            step = build.const(place.strides[axis.data_at])
            index = build.add(index, build.mul(here, step))
        mask = self._mask(self.problem.channels)
        return Load(place.buffer.name, index, self.kind, 1, mask)

    def _frequencies(self, body: list[Stmt]) -> For:
        """A loop over the frequencies of rows."""
        return For(".k", _ZERO, build.const(self.problem.half), tuple(body))

    def _spectrum(self, code: Straight) -> list[Complex]:
        """The transformed columns of a frequency."""
        k, length = build.var(".k"), self.problem.lengths[0]
        values: list[Complex] = []
        for j in range(length):
            at = build.const(j)
            real, imaginary = (
                code.name(Load(ROWS, self._row(k, at, part), self.kind)) for part in (0, 1)
            )
            values.append((real, imaginary))
        return transform(code, values, -1)

    def _in(self) -> list[Stmt]:
        """The columns of a frequency as factors of Gauss's products."""
        problem, code = self.problem, Straight(self.kind, ".d")
        slot = build.mul(build.var(".slot"), build.const(self._slot_elems[0]))
        at = build.add(self._product(self.tile_step), build.add(slot, self._channel))
        for number, (real, imaginary) in enumerate(self._spectrum(code)):
            both = (real, imaginary or Const(0.0, self.kind))
            for part, value in enumerate((code.name(Apply("add", both, self.kind)), *both)):
                place = (number * problem.parts + part) * self.tile_step
                code.stmts.append(Store(TILES, build.add(at, build.const(place)), value))
        return code.stmts

    # Products.

    def _products(self, slots: int) -> tuple[Stmt, ...]:
        """All filters of one product."""
        problem, width = self.problem, self.problem.width
        number, panel = Affine.index(".product"), Affine.index(".filters")
        own = problem.channels * width
        elems = problem.panels * problem.products_per_tile * own
        made = Multiply(
            tiles=TILES,
            data=number * self.tile_step,
            row=self._slot_elems[0],
            weights=self.places[problem.weights].buffer,
            panel=panel * (problem.products_per_tile * own) + number * own,
            channels=problem.channels,
            width=width,
            sums=SUMS,
            result=number * self.sum_step + panel * width,
            result_row=self._slot_elems[1],
            dtype=self.dtype,
            far=elems * self.dtype.bytes > FAR_BYTES,
        )
        stmts, used = made.slots(slots, self.plan.rows, self.lanes)
        self.locals += [each for each in used if each not in self.locals]
        return stmts

    def _multiplied(self) -> list[Stmt]:
        """The columns of a frequency, times the weights, transformed back."""
        problem, code = self.problem, Straight(self.kind, ".d")
        own = problem.products_per_tile * self.lanes
        panel = build.mul(build.var(".vector"), build.const(own))
        at = build.add(panel, self._product(self.lanes))
        weights = self.places[problem.weights].buffer.name
        products: list[Complex] = []
        for number, (real, imaginary) in enumerate(self._spectrum(code)):
            w_real, w_imaginary = (
                self._vector(code, weights, build.add(at, build.const(place * self.lanes)))
                for place in (2 * number, 2 * number + 1)
            )
            other = imaginary or Const(0.0, self.kind)

            def plus(a: Expr, b: Expr, sign: str, c: Expr, d: Expr) -> Expr:
                """``a b + c d`` or ``a b - c d``."""
                first = code.name(Apply("mul", (c, d), self.kind))
                second = first if sign == "+" else Apply("neg", (first,), self.kind)
                return code.name(Apply("fma", (a, b, second), self.kind))

            products.append(
                (
                    plus(real, w_real, "-", other, w_imaginary),
                    plus(real, w_imaginary, "+", other, w_real),
                )
            )
        return [*code.stmts, *self._columns_out(products)]

    # Data out: columns, then rows.

    def _back(self) -> list[Stmt]:
        """The sums of Gauss's products of a frequency, transformed back."""
        problem, code = self.problem, Straight(self.kind, ".p")
        slot = build.mul(build.var(".slot"), build.const(self._slot_elems[1]))
        at = build.add(self._product(self.sum_step), build.add(slot, self._channel))
        values: list[Complex] = []
        for number in range(problem.lengths[0]):
            first, second, third = (
                self._vector(
                    code, SUMS, build.add(at, build.const((number * 3 + part) * self.sum_step))
                )
                for part in range(3)
            )
            real = code.name(Apply("sub", (first, third), self.kind))
            values.append((real, code.name(Apply("add", (first, second), self.kind))))
        return [*code.stmts, *self._columns_out(values)]

    def _columns_out(self, values: list[Complex]) -> list[Stmt]:
        """Transform the columns of a frequency back; of the results the first m are outputs."""
        first, code = self.problem.sliding[0], Straight(self.kind, ".c")
        for u, parts in enumerate(transform(code, values, 1)[: first.m]):
            for part, value in enumerate(parts):
                at = self._column(build.var(".k"), build.const(u), part)
                code.stmts.append(Store(COLUMNS, at, value or Const(0.0, self.kind)))
        return code.stmts

    def _rows_out(self) -> list[Stmt]:
        """Transform rows back and store the outputs."""
        problem, code = self.problem, Straight(self.kind, ".o")
        first, second = problem.sliding
        spectrum: list[Complex] = []
        for k in range(problem.half):
            real, imaginary = (
                self._vector(code, COLUMNS, self._column(build.const(k), build.var(".u"), part))
                for part in (0, 1)
            )
            spectrum.append((real, imaginary))
        for u, value in enumerate(real_inverse(code, spectrum, second.size)[: second.m]):
            code.stmts.append(Store(RESULTS, build.const(u * self.lanes), value))
        at = build.mul(build.var(".v"), build.const(self.lanes))
        held = self.locals[self._out]
        outputs = Outputs(problem.axes, self.lanes, self.places, self.output, self.epilogue)
        window = (build.var(".u"), build.var(".v"))
        store = outputs.store(
            window,
            Load(OUT, _ZERO, self.kind),
            held,
            self._channel,
            self._mask(problem.filters),
        )
        result = Store(OUT, _ZERO, Load(RESULTS, at, self.kind))
        code.stmts.append(For(".v", _ZERO, build.const(second.m), (result, *store)))
        return [For(".u", _ZERO, build.const(first.m), tuple(code.stmts))]

    # Addresses.

    @property
    def _out(self) -> int:
        return next(at for at, held in enumerate(self.locals) if held.name == OUT)

    @property
    def _sliding(self) -> tuple[tuple[int, TileAxis], tuple[int, TileAxis]]:
        first, second = (each for each in enumerate(self.problem.axes) if each[1].slides)
        return first, second

    def _product(self, step: int) -> Expr:
        """The first product of a frequency of rows."""
        return build.mul(
            build.var(".k"), build.const(self.problem.lengths[0] * self.problem.parts * step)
        )

    def _row(self, k: Expr, row: Expr, part: int) -> Expr:
        return self._vector_at(k, row, part, self.problem.lengths[0])

    def _column(self, k: Expr, row: Expr, part: int) -> Expr:
        return self._vector_at(k, row, part, self.problem.sliding[0].m)

    def _vector_at(self, k: Expr, row: Expr, part: int, rows: int) -> Expr:
        """Address of a vector of ``[frequency][row][part]``."""
        lanes = self.lanes
        first = build.mul(k, build.const(frequency_vectors(rows) * lanes))
        second = build.mul(row, build.const(2 * lanes))
        return build.add(build.add(first, second), build.const(part * lanes))

    def _load(self, code: Straight, name: str, vector: Expr) -> Expr:
        return self._vector(code, name, build.mul(vector, build.const(self.lanes)))

    def _vector(self, code: Straight, name: str, at: Expr) -> Expr:
        return code.name(Load(name, at, self.kind))


def _covers(axis: TileAxis) -> bool:
    """Whether the data have every element that the tiles read."""
    reach = axis.offset + (axis.tiles - 1) * axis.m + axis.size
    return axis.offset >= 0 and reach <= axis.data_extent


def _inside(here: Expr, axis: TileAxis) -> Expr:
    """Whether the data have an element."""
    return build.both(
        build.compare("cmp_ge", here, _ZERO),
        build.compare("cmp_lt", here, build.const(axis.data_extent)),
    )
