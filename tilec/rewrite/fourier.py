"""Convolutions as products of spectra: tiles that overlap, of which the valid outputs are kept.

A convolution ``S`` with windows along two axes becomes six contractions and the tables of roots of
unity that they read. With k and l the frequencies along the second and the first window, s real or
imaginary part, t the tiles, j their elements, u the outputs of a tile, and g the factors of Gauss's
product of complex numbers from three real ones,

    S.weights.rows[k, s, i, c, f]     = sum_i2   V[k, s, i2] * W[.. i .. i2 .. c .. f ..]
    S.weights[q, k, l, g, c, lane]    = sum_s,i  U[l, g, s, i] * S.weights.rows[k, s, i, c, f]
    S.rows[k, s, j, t.., c]           = sum_j2   R[k, s, j2] * X[.. t * m + j2 + offset .. c ..]
    S.tiles[k, l, g, t.., c]          = sum_s,j  C[l, g, s, j] * S.rows[k, s, j, t.., c]
    S.products[k, l, g, t.., f]       = sum_c    S.tiles[k, l, g, t.., c] * S.weights[q, k, ..]
    S.columns[k, s, u, t.., f]        = sum_l,g  D[u, s, l, g] * S.products[k, l, g, t.., f]
    S[.. t * m + u .. f ..]           = sum_k,s  E[u2, k, s] * S.columns[k, s, u, t.., f]

where f = q * width + lane. A depthwise convolution sums over no channels: g is real or imaginary
part, and the products are complex ones.

Assumes a convolution that ``convolution.py`` has recognised. Guarantees the same values in exact
arithmetic, since the first m of m + r - 1 values of a cyclic correlation are those of the linear
one. Weights are transformed in f64 and rounded once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field, replace
from fractions import Fraction
from itertools import product

from tilec.dtypes import F64, DType
from tilec.records import dataclass
from tilec.rewrite.convolution import Convolution, tile_axes
from tilec.tensor.affine import Affine
from tilec.tensor.fourier import Fourier
from tilec.tensor.ir import Aggregation, Constant, Contraction, Node, TensorType
from tilec.tensor.scalar import Apply, Read, Scalar, at_indices, cast
from tilec.tensor.waves import wave

GAUSS_DATA = ((1, 1), (1, 0), (0, 1))
"""Gauss's product of v and w: factors made of v, ``re + im``, ``re`` and ``im``, ..."""

GAUSS_WEIGHTS = ((1, 0), (-1, 1), (1, 1))
"""... factors made of w, ``re``, ``im - re`` and ``re + im``, ..."""

GAUSS_OUT = ((1, 0, -1), (1, 1, 0))
"""... and of the three products the real and the imaginary part."""

PARTS = ((1, 0), (0, 1))
"""Real and imaginary part as they are."""

_Factors = tuple[tuple[int, ...], ...]


def fourier_of(conv: Convolution, outputs: Sequence[int], width: int) -> Fourier:
    """The method that makes tiles of ``outputs`` elements, one number per sliding window."""
    return Fourier(
        name=conv.node.name,
        data=conv.data.tensor,
        axes=tile_axes(conv, outputs),
        channels=conv.channels,
        channel_at=conv.channel_at,
        filters=conv.filters,
        filter_at=conv.filter_at,
        width=width,
        depthwise=conv.is_depthwise,
    )


def rewritten(conv: Convolution, plan: Fourier) -> tuple[Node, ...]:
    """The nodes that compute a convolution by a method, the last one under its name."""
    made = _Maker(conv, plan)
    last = (
        made.weight_rows(),
        made.weights(),
        made.rows(),
        made.tiles(),
        made.products(),
        made.columns(),
        made.outputs(),
    )
    return (*made.constants.values(), *last)


@dataclass(slots=True)
class _Maker:
    """Makes the nodes; ``at`` are the places of the two sliding windows among the axes."""

    conv: Convolution
    plan: Fourier
    constants: dict[str, Constant] = field(default_factory=dict[str, Constant])

    @property
    def at(self) -> tuple[int, int]:
        first, second = (at for at, axis in enumerate(self.plan.axes) if axis.slides)
        return first, second

    @property
    def _filters(self) -> tuple[str, ...]:
        """The index over which the products of a depthwise convolution do not sum is ``f``."""
        return ("f",) if self.plan.depthwise else ("c", "f")

    def weight_rows(self) -> Contraction:
        conv, plan = self.conv, self.plan
        first, second = (conv.windows[at] for at in self.at)
        values = {conv.filter: Affine.index("f")}
        if not plan.depthwise:
            values[conv.channel] = Affine.index("c")
        for window, name in ((first, "i"), (second, "i2")):
            values[window.tap or ""] = window.value.rename({window.tap or "": name})
        table = self._table(
            "V", (plan.half, 2, second.taps), lambda at: wave(at[0] * at[2], plan.lengths[1])[at[1]]
        )
        factor = _read(table, ("k", "s", "i2"), F64)
        read = cast(at_indices(conv.weights, values), F64)
        sizes = {"k": plan.half, "s": 2, "i": first.taps, "c": plan.channels, "f": plan.filters}
        outputs = ("k", "s", "i", *self._filters)
        return self._sum(plan.weight_rows, outputs, sizes, ("i2",), (factor, read), F64)

    def weights(self) -> Contraction:
        conv, plan = self.conv, self.plan
        taps, (length, other) = conv.windows[self.at[0]].taps, plan.lengths
        factors = PARTS if plan.depthwise else GAUSS_WEIGHTS
        scale = length * other

        def entry(at: tuple[int, ...]) -> float:
            row, g, s, i = at
            return _mixed(factors[g], _complex(row * i, length, s)) / scale

        table = self._table("U", (length, plan.parts, 2, taps), entry)
        rows = ("k", "s", "i", *self._filters)
        access = tuple(_filter(plan.width) if name == "f" else Affine.index(name) for name in rows)
        reads = (_read(table, ("l", "g", "s", "i"), F64), Read(plan.weight_rows, access, F64))
        outputs = ("q", "k", "l", "g", *self._filters[:-1], "lane")
        sizes = {"q": plan.panels, "c": plan.channels, "lane": plan.width}
        return self._sum(plan.weights, outputs, sizes, ("s", "i"), reads, F64)

    def rows(self) -> Contraction:
        plan, dtype, (first, second) = self.plan, self.conv.dtype, self.at
        length = plan.lengths[1]
        table = self._table(
            "R", (plan.half, 2, length), lambda at: wave(-at[0] * at[2], length)[at[1]]
        )
        access = [Affine.index("c")] * (len(plan.axes) + 1)
        for at, axis in enumerate(plan.axes):
            start = Affine.index(f"t{at}") * axis.m + Affine.number(axis.offset)
            inner = {first: "j", second: "j2"}.get(at)
            access[axis.data_at] = start if inner is None else start + Affine.index(inner)
        reads = (_read(table, ("k", "s", "j2"), dtype), Read(plan.data, tuple(access), dtype))
        sizes = {"j": plan.lengths[0], "c": plan.channels}
        return self._sum(plan.rows, ("k", "s", "j", *self._tiles, "c"), sizes, ("j2",), reads)

    def tiles(self) -> Contraction:
        plan, length = self.plan, self.plan.lengths[0]
        factors = PARTS if plan.depthwise else GAUSS_DATA

        def entry(at: tuple[int, ...]) -> float:
            row, g, s, j = at
            return _mixed(factors[g], _complex(-row * j, length, s))

        table = self._table("C", (length, plan.parts, 2, length), entry)
        dtype = self.conv.dtype
        reads = (
            _read(table, ("l", "g", "s", "j"), dtype),
            _read(plan.rows, ("k", "s", "j", *self._tiles, "c"), dtype),
        )
        outputs = ("k", "l", "g", *self._tiles, "c")
        return self._sum(plan.tiles, outputs, {"c": plan.channels}, ("s", "j"), reads)

    def products(self) -> Contraction:
        plan, dtype = self.plan, self.conv.dtype
        panel = _filter(plan.width)
        outputs = ("k", "l", "g", *self._tiles, "q", "lane")
        if not plan.depthwise:
            weights = _read(plan.weights, ("q", "k", "l", "g", "c", "lane"), dtype)
            data = _read(plan.tiles, ("k", "l", "g", *self._tiles, "c"), dtype)
            made = self._sum(plan.products, outputs, {}, ("c",), (data, weights))
        else:
            # Re = re re - im im, Im = re im + im re.
            signs: dict[tuple[int, ...], float] = {
                (0, 0, 0): 1.0,
                (0, 1, 1): -1.0,
                (1, 0, 1): 1.0,
                (1, 1, 0): 1.0,
            }
            table = self._table("M", (2, 2, 2), lambda at: signs.get(at, 0.0))
            weights = _read(plan.weights, ("q", "k", "l", "w", "lane"), dtype)
            names = ("k", "l", "v", *self._tiles)
            data = Read(plan.tiles, (*map(Affine.index, names), panel), dtype)
            factors = (_read(table, ("g", "v", "w"), dtype), data, weights)
            made = self._sum(plan.products, outputs, {}, ("v", "w"), factors)
        shape = (plan.half, plan.lengths[0], plan.parts, *self._counts, plan.filters)
        access = (*map(Affine.index, outputs[:-2]), panel)
        return replace(made, type=TensorType(dtype, shape), output=access)

    def columns(self) -> Contraction:
        plan, (first, _), length = self.plan, self.at, self.plan.lengths[0]
        factors = PARTS if plan.depthwise else GAUSS_OUT

        def entry(at: tuple[int, ...]) -> float:
            u, s, row, g = at
            return sum(factors[h][g] * _complex(row * u, length, h)[s] for h in (0, 1))

        table = self._table("D", (plan.axes[first].m, 2, length, plan.parts), entry)
        dtype = self.conv.dtype
        reads = (
            _read(table, ("u", "s", "l", "g"), dtype),
            _read(plan.products, ("k", "l", "g", *self._tiles, "f"), dtype),
        )
        outputs = ("k", "s", "u", *self._tiles, "f")
        sizes = {"u": plan.axes[first].m, "f": plan.filters}
        return self._sum(plan.columns, outputs, sizes, ("l", "g"), reads)

    def outputs(self) -> Contraction:
        plan, node, (first, second) = self.plan, self.conv.node, self.at
        length, dtype = plan.lengths[1], self.conv.dtype

        def entry(at: tuple[int, ...]) -> float:
            u, k, s = at
            cosine, sine = wave(k * u, length)
            weight = 1.0 if 2 * k % length == 0 else 2.0  # for the mirror image
            return weight * (-sine if s else cosine)

        table = self._table("E", (plan.axes[second].m, plan.half, 2), entry)
        access = [Affine.index("f")] * len(node.output)
        for at, axis in enumerate(plan.axes):
            inner = {first: "u", second: "u2"}.get(at)
            start = Affine.index(f"t{at}") * axis.m
            access[axis.output_at] = start if inner is None else start + Affine.index(inner)
        reads = (
            _read(table, ("u2", "k", "s"), dtype),
            _read(plan.columns, ("k", "s", "u", *self._tiles, "f"), dtype),
        )
        return replace(
            node,
            indices=(*self._tiles, "u", "u2", "f", "k", "s"),
            output=tuple(access),
            body=_product(reads, dtype),
            no_defract=False,
        )

    @property
    def _tiles(self) -> tuple[str, ...]:
        return tuple(f"t{at}" for at in range(len(self.plan.axes)))

    @property
    def _counts(self) -> tuple[int, ...]:
        return tuple(axis.tiles for axis in self.plan.axes)

    def _sum(
        self,
        name: str,
        outputs: tuple[str, ...],
        sizes: dict[str, int],
        summed: tuple[str, ...],
        factors: Sequence[Scalar],
        dtype: DType | None = None,
    ) -> Contraction:
        plan = self.plan
        known = {"k": plan.half, "l": plan.lengths[0], "g": plan.parts, "s": 2, **sizes}
        known |= dict(zip(self._tiles, self._counts, strict=True))
        known |= {"q": plan.panels, "lane": plan.width}
        rows = name == plan.weight_rows
        return Contraction(
            name=name,
            type=TensorType(F64 if rows else self.conv.dtype, tuple(known[o] for o in outputs)),
            indices=(*outputs, *summed),
            agg=Aggregation.SUM,
            output=tuple(map(Affine.index, outputs)),
            body=_product(factors, dtype or self.conv.dtype),
            span=self.conv.node.span,
        )

    def _table(
        self, letter: str, shape: tuple[int, ...], entry: Callable[[tuple[int, ...]], float]
    ) -> str:
        """A constant of numbers; those that make weights are f64."""
        name = f"{self.plan.name}.{letter}"
        dtype = F64 if letter in "UV" else self.conv.dtype
        data = tuple(float(entry(at)) for at in product(*map(range, shape)))
        self.constants[name] = Constant(name, TensorType(dtype, shape), data)
        return name


def _complex(number: int, count: int, part: int) -> tuple[float, float]:
    """Real and imaginary part of 1 or i, turned."""
    cosine, sine = wave(number, count)
    return (-sine, cosine) if part else (cosine, sine)


def _mixed(factors: Sequence[int], parts: tuple[float, float]) -> float:
    return sum(factor * part for factor, part in zip(factors, parts, strict=True))


def _read(name: str, indices: Sequence[str], dtype: DType) -> Read:
    return Read(name, tuple(map(Affine.index, indices)), dtype)


def _filter(width: int) -> Affine:
    """The number of a filter from its panel and its place there."""
    if width == 1:
        return Affine.index("q") + Affine.index("lane")
    return Affine((("lane", Fraction(1)), ("q", Fraction(width))))


def _product(factors: Sequence[Scalar], dtype: DType) -> Scalar:
    total, *rest = factors
    for factor in rest:
        total = Apply("mul", (total, factor), dtype)
    return total
