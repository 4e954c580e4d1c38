"""Convolutions as transforms of tiles around products (Winograd 1980, Lavin and Gray 2016).

A convolution ``S`` becomes four contractions and the constant matrices that they read:

    S.weights[q, p.., k, c, l] = sum_i  G[p, i].. * W[.. i .. c .. f ..]
    S.tiles[p.., t.., c]       = sum_j  B[p, j].. * X[.. t * m + j + offset .. c ..]
    S.products[p.., t.., f]    = sum_c  S.tiles[p.., t.., c] * S.weights[q, p.., k, c, l]
    S[.. t * m + u .. f ..]    = sum_p  A[u, p].. * S.products[p.., t.., f]

where f = (q * group + k) * width + l. Of weights that are transformed late, the first line is but
another order, and the third has the transform:

    S.weights[q, k, c, i.., l] = W[.. i .. c .. f ..]
    S.products[p.., t.., f]    = sum_{c, i}  G[p, i].. * S.tiles[..] * S.weights[q, k, c, i.., l]

Assumes a convolution that ``convolution.py`` has recognised. Guarantees the same values in exact
arithmetic: data outside the tensor have no index point in the second line and count as 0, as they
do in the convolution; outputs beyond the edge have none in the last. Weights are transformed in f64
and rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace

from tilec.dtypes import F64, DType
from tilec.records import dataclass
from tilec.rewrite.convolution import Convolution, tile_axes
from tilec.rewrite.cook_toom import minimal_filter, monic
from tilec.tensor.affine import Affine
from tilec.tensor.ir import Aggregation, Constant, Contraction, Node, TensorType
from tilec.tensor.scalar import Apply, Read, Scalar, at_indices, cast
from tilec.tensor.winograd import PLAIN, Matrix, Minimal, Winograd


def winograd_of(
    conv: Convolution, outputs: Sequence[int], width: int, group: int = 1, *, late: bool = False
) -> Winograd:
    """The method that makes tiles of ``outputs`` elements, one number per sliding window.

    ``width`` is the number of filters in a panel of transformed weights, and ``group`` that of
    panels that lie together; ``late`` weights are transformed where they are multiplied.
    """
    axes = tile_axes(conv, outputs)

    def minimal(m: int, r: int) -> Minimal:
        return monic(minimal_filter(m, r)) if late else minimal_filter(m, r)

    return Winograd(
        name=conv.node.name,
        data=conv.data.tensor,
        axes=axes,
        channels=conv.channels,
        channel_at=conv.channel_at,
        filters=conv.filters,
        filter_at=conv.filter_at,
        width=width,
        minimals=tuple(
            PLAIN if window.tap is None else minimal(axis.m, axis.r)
            for window, axis in zip(conv.windows, axes, strict=True)
        ),
        group=group,
        late=late,
    )


def rewritten(conv: Convolution, plan: Winograd) -> tuple[Node, ...]:
    """The nodes that compute a convolution by a method, the last one under its name."""
    made = _Maker(conv, plan)
    last = (made.weights(), made.tiles(), made.products(), made.outputs())
    return (*made.constants.values(), *last)


@dataclass(slots=True)
class _Maker:
    """Makes the nodes; ``p0`` is the product, ``t0`` the tile along output axis 0, and so on."""

    conv: Convolution
    plan: Winograd
    constants: dict[str, Constant] = field(default_factory=dict[str, Constant])

    def weights(self) -> Contraction:
        conv, plan = self.conv, self.plan
        values = {conv.filter: _filter(plan), conv.channel: Affine.index("c")}
        factors: list[Scalar] = []
        for at in self._sliding():
            tap = conv.windows[at].tap or ""
            values[tap] = conv.windows[at].value.rename({tap: f"i{at}"})
            if not plan.late:
                factors.append(self._entry("G", at, plan.minimals[at].g, f"i{at}", F64))
        read = at_indices(conv.weights, values)
        if plan.late:
            return self._sum(plan.weights, self._taps(), self._taps_shape(), (), read)
        read = cast(read, F64)
        outputs = ("q", *self._named("p"), "k", "c", "l")
        shape = (plan.groups, *self._sizes(), plan.group, plan.channels, plan.width)
        return self._sum(
            plan.weights, outputs, shape, self._named("i"), _product([*factors, read], F64)
        )

    def tiles(self) -> Contraction:
        plan, dtype = self.plan, self.conv.dtype
        access = [Affine.index("c")] * (len(plan.axes) + 1)
        factors: list[Scalar] = []
        for at, axis in enumerate(plan.axes):
            start = Affine.index(f"t{at}") * axis.m + Affine.number(axis.offset)
            access[axis.data_at] = start
            if axis.slides:
                access[axis.data_at] = start + Affine.index(f"j{at}")
                factors.append(self._entry("B", at, plan.minimals[at].b, f"j{at}", dtype))
        outputs = (*self._named("p"), *self._tiles(), "c")
        shape = (*self._sizes(), *(axis.tiles for axis in plan.axes), plan.channels)
        read = Read(plan.data, tuple(access), dtype)
        return self._sum(
            plan.tiles, outputs, shape, self._named("j"), _product([*factors, read], dtype)
        )

    def products(self) -> Contraction:
        plan, dtype = self.plan, self.conv.dtype
        left = tuple(map(Affine.index, (*self._named("p"), *self._tiles(), "c")))
        order, summed = ("q", *self._named("p"), "k", "c", "l"), ("c",)
        factors: list[Scalar] = []
        if plan.late:
            order, summed = self._taps(), ("c", *self._named("i"))
            for at in self._sliding():
                factors.append(self._entry("G", at, plan.minimals[at].g, f"i{at}", dtype))
        right = tuple(map(Affine.index, order))
        reads = [Read(plan.tiles, left, dtype), Read(plan.weights, right, dtype)]
        names = (*self._named("p"), *self._tiles())
        made = self._sum(
            plan.products,
            (*names, "q", "k", "l"),
            (*self._sizes(), *(axis.tiles for axis in plan.axes), plan.filters),
            summed,
            _product([*factors, *reads], dtype),
        )
        return replace(made, output=(*map(Affine.index, names), _filter(plan)))

    def outputs(self) -> Contraction:
        plan, node, dtype = self.plan, self.conv.node, self.conv.dtype
        access = [Affine.index("q")] * len(node.output)
        factors: list[Scalar] = []
        for at, axis in enumerate(plan.axes):
            access[axis.output_at] = Affine.index(f"t{at}") * axis.m
            if axis.slides:
                access[axis.output_at] += Affine.index(f"u{at}")
                factors.append(self._entry("A", at, plan.minimals[at].a, f"p{at}", dtype, f"u{at}"))
        names = (*self._named("p"), *self._tiles())
        read = Read(plan.products, (*map(Affine.index, names), Affine.index("q")), dtype)
        return replace(
            node,
            indices=(*names, *self._named("u"), "q"),
            output=tuple(access),
            body=_product([*factors, read], dtype),
            no_defract=False,
        )

    def _sum(
        self,
        name: str,
        outputs: tuple[str, ...],
        shape: tuple[int, ...],
        summed: tuple[str, ...],
        body: Scalar,
    ) -> Contraction:
        return Contraction(
            name=name,
            type=TensorType(self.conv.dtype, shape),
            indices=(*outputs, *summed),
            agg=Aggregation.SUM,
            output=tuple(map(Affine.index, outputs)),
            body=body,
            span=self.conv.node.span,
        )

    def _entry(
        self, letter: str, at: int, matrix: Matrix, column: str, dtype: DType, row: str = ""
    ) -> Read:
        """An entry of a constant matrix, in the row of the product by default."""
        minimal = self.plan.minimals[at]
        name = f"{self.plan.name}.{letter}{minimal.m}x{minimal.r}"
        shape = (len(matrix), len(matrix[0]))
        data = tuple(float(entry) for line in matrix for entry in line)
        self.constants[name] = Constant(name, TensorType(dtype, shape), data)
        return Read(name, (Affine.index(row or f"p{at}"), Affine.index(column)), dtype)

    def _taps(self) -> tuple[str, ...]:
        """The indices of late weights."""
        return ("q", "k", "c", *self._named("i"), "l")

    def _taps_shape(self) -> tuple[int, ...]:
        plan = self.plan
        taps = (axis.r for axis in plan.sliding)
        return (plan.groups, plan.group, plan.channels, *taps, plan.width)

    def _sliding(self) -> list[int]:
        return [at for at, axis in enumerate(self.plan.axes) if axis.slides]

    def _named(self, letter: str) -> tuple[str, ...]:
        return tuple(f"{letter}{at}" for at in self._sliding())

    def _tiles(self) -> tuple[str, ...]:
        return tuple(f"t{at}" for at in range(len(self.plan.axes)))

    def _sizes(self) -> tuple[int, ...]:
        return tuple(axis.size for axis in self.plan.sliding)


def _filter(plan: Winograd) -> Affine:
    """The number of a filter from its group, its panel there, and its place in the panel."""
    panel = Affine.index("q") * plan.group + Affine.index("k")
    return panel * plan.width + Affine.index("l")


def _product(factors: Sequence[Scalar], dtype: DType) -> Scalar:
    total, *rest = factors
    for factor in rest:
        total = Apply("mul", (total, factor), dtype)
    return total
