"""Convolutions as one product of matrices and a copy, or sum, of what the windows share.

After Caffe con Troll (Hadjis et al. 2015), which names three kinds by what is written out:

1. the data once for every tap, so that the product sums over taps and channels (``im2col``);
2. the data once for every tap of the last window, and the products once for every tap of the
   others;
3. the products once for every tap, which are then summed where they belong.

With i the taps that the data are written out for, and j the others,

    S.lifted[.. p .. x .., i.., c]   = X[.. p .. x + i .. c ..]
    S.products[.. p .. x .., j.., f] = sum_i,c  S.lifted[.. p .. x .., i.., c] * W[.. j .. i ..]
    S[.. y .. x .. f ..]             = sum_j    S.products[.. y + j .. x .., j.., f]

Assumes a convolution that ``convolution.py`` has recognised, with filters over all channels.
Guarantees the same values in exact arithmetic: what lies outside the data has no index point in the
first line, or in the last one, and so is 0.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from tilec.rewrite.convolution import Convolution, Window
from tilec.tensor.affine import Affine
from tilec.tensor.ir import Aggregation, Contraction, Node, TensorType
from tilec.tensor.scalar import Apply, Read, Scalar, at_indices
from tilec.tensor.size import concrete

KINDS = ("lowering-1", "lowering-2", "lowering-3")
"""Names of the kinds."""


def lowered(conv: Convolution, kind: str) -> tuple[Node, ...]:
    """The nodes that compute a convolution by a kind of lowering, the last one under its name."""
    sliding = [window for window in conv.windows if window.tap is not None]
    copied = {"lowering-1": sliding, "lowering-2": sliding[-1:], "lowering-3": []}[kind]
    kept = [window for window in sliding if window not in copied]
    nodes: list[Node] = []
    data: Scalar = conv.data
    if copied:
        lifted = _lifted(conv, copied, kept)
        nodes.append(lifted)
        data = Read(lifted.name, lifted.output, conv.dtype)
    else:
        data = at_indices(conv.data, _positions(conv, copied, kept))
    if not kept:
        return (*nodes, _multiplied(conv, copied, kept, data, conv.node.name))
    products = _multiplied(conv, copied, kept, data, f"{conv.node.name}.products")
    return (*nodes, products, _summed(conv, kept, products))


def lifted_elems(conv: Convolution, kind: str) -> int:
    """Elements that are written out."""
    return sum(prod(concrete(node.type.shape)) for node in lowered(conv, kind)[:-1])


def _place(window: Window) -> str:
    """Index of an element along an axis: of the output, or of the data where taps are kept."""
    return f"p{window.output_at}"


def _tap(window: Window) -> str:
    return f"w{window.output_at}"


def _extent(window: Window, kept: list[Window]) -> int:
    return window.data_extent if window in kept else window.extent


def _positions(conv: Convolution, copied: list[Window], kept: list[Window]) -> dict[str, Affine]:
    """Values of the indices of the convolution where the data are read."""
    values = {conv.channel: Affine.index("c")}
    for window in conv.windows:
        place = Affine.index(_place(window))
        values[window.index] = place
        if window.tap is None:
            continue
        if window not in copied:
            values[window.index] = place + Affine.number(-window.offset)
        number = Affine.index(_tap(window)) if window in copied else Affine()
        values[window.tap] = window.value.rename({window.tap: _tap(window)})
        if window not in copied:
            values[window.tap] = _at(window, number)
    return values


def _at(window: Window, number: Affine) -> Affine:
    """The tap as an index expression of its number."""
    tap = window.tap or ""
    terms, const = window.value.rational()
    return number * int(terms[tap]) + Affine.number(int(const))


def _lifted(conv: Convolution, copied: list[Window], kept: list[Window]) -> Contraction:
    """The data, once for every tap of some windows."""
    places = tuple(map(_place, conv.windows))
    taps = tuple(map(_tap, copied))
    names = (*places, *taps, "c")
    shape = (
        *(_extent(window, kept) for window in conv.windows),
        *(window.taps for window in copied),
        conv.channels,
    )
    return Contraction(
        name=f"{conv.node.name}.lifted",
        type=TensorType(conv.dtype, shape),
        indices=names,
        agg=Aggregation.ASSIGN,
        output=tuple(map(Affine.index, names)),
        body=at_indices(conv.data, _positions(conv, copied, kept)),
        span=conv.node.span,
    )


def _multiplied(
    conv: Convolution, copied: list[Window], kept: list[Window], data: Scalar, name: str
) -> Contraction:
    """The product of matrices; under the name of the convolution it has its layout."""
    values = {conv.channel: Affine.index("c"), conv.filter: Affine.index("f")}
    for window in (*copied, *kept):
        values[window.tap or ""] = _at(window, Affine.index(_tap(window)))
    weights = at_indices(conv.weights, values)
    places = tuple(map(_place, conv.windows))
    summed = (*map(_tap, copied), "c")
    body = Apply("mul", (data, weights), conv.dtype)
    if name == conv.node.name:
        access = [Affine.index("f")] * len(conv.node.output)
        for window in conv.windows:
            access[window.output_at] = Affine.index(_place(window))
        return replace(
            conv.node,
            indices=(*places, "f", *summed),
            output=tuple(access),
            body=body,
            no_defract=False,
        )
    outputs = (*places, *map(_tap, kept), "f")
    shape = (
        *(_extent(window, kept) for window in conv.windows),
        *(window.taps for window in kept),
        conv.filters,
    )
    return Contraction(
        name=name,
        type=TensorType(conv.dtype, shape),
        indices=(*outputs, *summed),
        agg=Aggregation.SUM,
        output=tuple(map(Affine.index, outputs)),
        body=body,
        span=conv.node.span,
    )


def _summed(conv: Convolution, kept: list[Window], products: Contraction) -> Contraction:
    """The sums over those taps for which products were written out."""
    access = [Affine.index("f")] * len(conv.node.output)
    read: list[Affine] = []
    for window in conv.windows:
        place = Affine.index(_place(window))
        access[window.output_at] = place
        inside = Affine.index(_tap(window)) + Affine.number(window.offset)
        read.append(place + inside if window in kept else place)
    taps = tuple(map(_tap, kept))
    body = Read(products.name, (*read, *map(Affine.index, (*taps, "f"))), conv.dtype)
    return replace(
        conv.node,
        indices=(*map(_place, conv.windows), "f", *taps),
        output=tuple(access),
        body=body,
        no_defract=False,
    )
