"""What kernels of convolutions by transforms of tiles have in common.

A tile is known by its number, from which follow its places along the axes of the output, ``.at0``,
``.at1`` and so on; between two transforms lie products of small matrices; and outputs are stored
with the epilogue applied, but for those beyond the edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from tilec.dtypes import DType
from tilec.kernel import build
from tilec.kernel.ir import (
    CONDITION,
    INDEX,
    Buffer,
    Const,
    Expr,
    If,
    Let,
    Load,
    Stmt,
    Store,
    Var,
    VType,
)
from tilec.lower.flatten import Epilogue
from tilec.lower.registers import RegisterTile
from tilec.lower.tiles import TileWriter
from tilec.lower.translate import RESULT, Place, Places, translate
from tilec.lower.vectorise import widen
from tilec.lower.walk import substitute
from tilec.records import dataclass
from tilec.schedule.product import Operand, Product
from tilec.schedule.values import Tiled
from tilec.tensor.affine import Affine
from tilec.tensor.forms import Axis, form_of
from tilec.tensor.scalar import Read
from tilec.tensor.tiling import TileAxis

TRUE: Expr = Const(True, CONDITION)

FAR_BYTES = 1 << 20
"""Weights beyond this do not stay in a second-level cache."""

FETCH_CYCLES = 300
"""Cycles ahead that weights are asked for: what a line takes from the memory of a server."""

NEAR_FETCH_CYCLES = 100
"""The same where earlier passes have asked for them already, so that the second level has them."""


def places_of_tile(axes: Sequence[TileAxis], number: Expr) -> list[Stmt]:
    """The numbers of a tile along the axes of the output."""
    lets: list[Stmt] = []
    for at, axis in enumerate(axes):
        inside = prod(other.tiles for other in axes[at + 1 :])
        place = build.floor_div(number, inside)
        if axis.tiles == 1:
            place = build.const(0)
        elif at and any(other.tiles > 1 for other in axes[:at]):
            place = build.floor_mod(place, axis.tiles)
        lets.append(Let(Var(f".at{at}", INDEX), place))
    return lets


def output_at(axis: TileAxis, at: int, inner: Expr) -> Expr:
    """An element of a tile along an axis of the output."""
    return build.add(build.mul(build.var(f".at{at}"), build.const(axis.m)), inner)


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where outputs go, and what is done to them before."""

    axes: tuple[TileAxis, ...]
    lanes: int
    places: Places
    output: Place
    epilogue: Epilogue | None

    def store(
        self,
        window: Sequence[Expr],
        value: Load,
        held: Buffer,
        filters: Expr,
        mask: Expr | None,
    ) -> list[Stmt]:
        """Store a vector of filters of an output, unless it lies beyond the edge.

        Args:
            window: The place in the tile along each axis that slides.
            value: The sum, in a register.
            held: The buffer of that register.
            filters: The first filter.
            mask: Those filters that exist.
        """
        elements = iter(window)
        index, inside = filters, TRUE
        coordinates = [Affine.index(".f")] * len(self.output.strides)
        known: dict[str, Expr] = {}
        for at, axis in enumerate(self.axes):
            inner = next(elements) if axis.slides else build.const(0)
            here = output_at(axis, at, inner)
            known[f".here{at}"] = here
            coordinates[axis.output_at] = Affine.index(f".here{at}")
            step = build.const(self.output.strides[axis.output_at])
            index = build.add(index, build.mul(here, step))
            last = inner.value if isinstance(inner, Const) else axis.m - 1
            if (axis.tiles - 1) * axis.m + int(last) >= axis.extent:
                short = build.compare("cmp_lt", here, build.const(axis.extent))
                inside = build.both(inside, short)
        result: Expr = value
        if self.epilogue is not None:
            names = self.epilogue.map.indices
            body = self.epilogue.body(dict(zip(names, coordinates, strict=True)))
            sums = {RESULT: Load(held.name, value.index, value.type)}
            expr = substitute(translate(body, self.places, sums), known)
            result = widen(expr, ".f", filters, self.lanes, mask, {held.name: held})
        store = Store(self.output.buffer.name, index, result, 1, mask)
        return [store] if inside == TRUE else [If(inside, (store,))]


@dataclass(frozen=True, slots=True)
class Multiply:
    """Products of transformed tiles and one panel of transformed weights.

    Attributes:
        tiles: Buffer of the tiles, with consecutive channels.
        data: Address of slot 0 and channel 0, as an affine form.
        row: Elements between slots.
        weights: The buffer of the weights.
        panel: Address of channel 0 of the panel, as an affine form.
        channels: Channels.
        width: Filters of the panel, and elements between its channels.
        sums: Buffer of the products.
        result: Address of slot 0, as an affine form.
        result_row: Elements between its slots.
        dtype: Their type.
        far: Whether the weights come from beyond the second level.
    """

    tiles: str
    data: Affine
    row: int
    weights: Buffer
    panel: Affine
    channels: int
    width: int
    sums: str
    result: Affine
    result_row: int
    dtype: DType
    far: bool

    def slots(self, slots: int, rows: int, lanes: int) -> tuple[tuple[Stmt, ...], list[Buffer]]:
        """The register tiles for some slots, and the buffers that they need."""
        dtype, scalar = self.dtype, VType(self.dtype)
        slot, lane, channel = (Affine.index(name) for name in (".row", ".lane", ".channel"))
        places = {
            self.tiles: Place(Buffer(self.tiles, scalar, 0), (1,)),
            self.weights.name: Place(self.weights, (1,)),
        }
        weights = self.panel + channel * self.width + lane
        data = self.data + slot * self.row + channel
        task = Product(
            axes=(Axis(".row", 0, slots), Axis(".lane", 0, self.width)),
            reductions=(Axis(".channel", 0, self.channels),),
            factors=(
                Operand.of(Read(self.tiles, (data,), dtype)),
                Operand.of(Read(self.weights.name, (weights,), dtype)),
            ),
            store=form_of(self.result + slot * self.result_row + lane),
            constraints=(),
            dtype=dtype,
            result=dtype,
            epilogue=None,
            stored=dtype,
        )
        groups = -(-slots // rows)
        tile = Tiled(".lane", ".row", -(-slots // groups), lanes, self.width // lanes)
        sums = Buffer(self.sums, scalar, 0)
        # Weights lie in the order in which they are read, but hardware prefetchers stop at a page.
        # Of several passes over a panel each asks for its part of the next one: if only the first
        # one did, memory would rest in the others.
        visits = groups if self.far and groups > 1 else 0
        cycles = NEAR_FETCH_CYCLES if visits else FETCH_CYCLES
        fetch = -(-cycles * 2 // (tile.rows * tile.vectors)) if self.far else 0
        body = TileWriter(RegisterTile(task, tile, places, sums, fetch=fetch, visits=visits)).body()
        return body.statements, list(body.locals)
