"""Layout: images between layers lie in memory with their channels last.

A layer that is written with channels before rows and columns, as ONNX and PyTorch have it, reads
and writes single numbers of each channel. With the channels last, a register holds those of one
pixel: the loads of data are broadcasts, and results are stored in whole lines (Georganas et al.
2018 block the channels for the same reason).

Assumes bound sizes. A value's coordinates are affine forms, so its axes can be put in another order
by permuting the coordinates of whoever writes and reads it: nothing is moved. Guarantees that
inputs and outputs of the program lie as they did; what has no coordinates, such as a reshape, reads
a copy in the old order, unless both orders are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, TypeVar

from tilec.records import dataclass
from tilec.tensor.affine import Affine
from tilec.tensor.ir import (
    Aggregation,
    Contraction,
    Map,
    Node,
    Program,
    Reshape,
    TensorType,
    operands,
)
from tilec.tensor.scalar import Read, Scalar, reads, rewrite
from tilec.tensor.size import Size

_Any = TypeVar("_Any")


@dataclass(frozen=True, slots=True)
class ChannelsLast:
    """The pass."""

    name: ClassVar[str] = "layout"

    def apply(self, program: Program) -> Program:
        """The program with images channels last; the same object where it has none."""
        moved = _images(program)
        if not moved:
            return program
        types, nodes = program.types(), list[Node]()
        taken = set(types)
        back: dict[str, str] = {}
        for node in program.nodes:
            if isinstance(node, Contraction | Map):
                nodes.append(_permuted(node, moved))
                continue
            for name in operands(node):
                if name in moved and name not in back:
                    back[name] = _free(f"{name}.planes", taken)
                    nodes.append(_in_order(back[name], types[name], name))
            nodes.append(_reading(node, back))
        return replace(program, nodes=tuple(nodes))


def _images(program: Program) -> set[str]:
    """Values that change: results of windows that slide, and what is computed from them."""
    kept = {output.value for output in program.outputs}
    for node in reversed(program.nodes):
        # A default and what it is the default of lie alike.
        if isinstance(node, Contraction) and node.default is not None and node.name in kept:
            kept.add(node.default)
    found: set[str] = set()
    for node in program.nodes:
        rank = len(node.type.shape)
        if node.name in kept or rank < 3 or not isinstance(node, Contraction | Map):
            continue
        if isinstance(node, Map):
            if any(
                each.tensor in found and _is_same_pixel(each, node) for each in reads(node.body)
            ):
                found.add(node.name)
        elif node.default is not None:
            if node.default in found:
                found.add(node.name)
        else:
            data = [each for each in reads(node.body) if _slides(each, node)]
            if data and (_is_layer(node, data) or any(each.tensor in found for each in data)):
                found.add(node.name)
    return found


def _is_same_pixel(read: Read, node: Map) -> bool:
    """Whether an operand is read along the same axes as the result is stored."""
    pairs = zip(node.indices, read.access, strict=False)
    return len(read.access) == len(node.indices) and all(
        set(form.indices) <= {name} for name, form in pairs
    )


def _is_layer(node: Contraction, data: Sequence[Read]) -> bool:
    """Whether another operand has weights for each channel of the result."""
    channel = set(node.output[1].indices)
    others = [read for read in reads(node.body) if read not in data]
    used = {name for read in others for form in read.access for name in form.indices}
    return node.agg is Aggregation.SUM and bool(channel) and channel <= used


def _slides(read: Read, node: Contraction) -> bool:
    """Whether a window of this operand, or one pixel of it, moves with each pixel of the result."""
    if len(read.access) != len(node.output):
        return False
    pairs = list(zip(node.output, read.access, strict=True))
    (image, image_read), (_, channel), *pixels = pairs
    if image != image_read or len(channel.indices) > 1:
        return False
    for form, at in pixels:
        if len(form.indices) != 1 or not set(form.indices) <= set(at.indices):
            return False
    return True


def _permuted(node: Contraction | Map, moved: set[str]) -> Node:
    """The node with other coordinates for the values that change."""

    def change(scalar: Scalar) -> Scalar | None:
        if isinstance(scalar, Read) and scalar.tensor in moved:
            return replace(scalar, access=_last(scalar.access))
        return None

    body = rewrite(node.body, change)
    if isinstance(node, Contraction):
        node = replace(node, indices=_channels_inside(node, body, moved))
    if node.name not in moved:
        return replace(node, body=body)
    kind = TensorType(node.type.dtype, _last(node.type.shape))
    if isinstance(node, Map):
        return replace(node, type=kind, indices=_last(node.indices), body=body)
    return replace(node, type=kind, output=_last(node.output), body=body)


def _channels_inside(node: Contraction, body: Scalar, moved: set[str]) -> tuple[str, ...]:
    """The indices with those of channels behind the others: neighbours are summed in turn.

    The order of a sum is free, and loops run in this order.
    """
    channels = {
        name for read in reads(body) if read.tensor in moved for name in read.access[-1].indices
    }
    return (
        *(name for name in node.indices if name not in channels),
        *(name for name in node.indices if name in channels),
    )


def _last(parts: Sequence[_Any]) -> tuple[_Any, ...]:
    """The second of some parts behind the others."""
    return (parts[0], *parts[2:], parts[1])


def _in_order(name: str, kind: TensorType, source: str) -> Node:
    """A value in the order of the text, from the one with channels last."""
    if _is_same(kind.shape):
        return Reshape(name, kind, source)  # no element moves
    indices = tuple(f"i{axis}" for axis in range(len(kind.shape)))
    access = _last(tuple(map(Affine.index, indices)))
    return Map(name, kind, indices, Read(source, access, kind.dtype))


def _is_same(shape: Sequence[Size]) -> bool:
    """Whether the order of the elements is that with the channels last."""
    return shape[1] == 1 or all(size == 1 for size in shape[2:])


def _reading(node: Node, names: dict[str, str]) -> Node:
    """A node of another kind with other operands."""
    changed = {
        field: names[value]
        for field in ("operand", "data", "rows", "updates", "state", "like")
        if (value := getattr(node, field, None)) in names
    }
    return replace(node, **changed) if changed else node


def _free(wanted: str, taken: set[str]) -> str:
    while wanted in taken:
        wanted += "'"
    taken.add(wanted)
    return wanted
