"""Sequences and optional values: they exist while a model is translated, and are no tensors."""

from __future__ import annotations

import numpy as np

from tilec import ops
from tilec.errors import ArgumentError
from tilec.onnx.node import Item, Node, Result, as_tensor
from tilec.onnx.registry import operator


@operator("SequenceConstruct")
def sequence_construct(node: Node) -> Result:
    return [each.item for each in node.entries]


@operator("SequenceEmpty")
def sequence_empty(node: Node) -> Result:
    empty: list[Item] = []
    return empty


@operator("SequenceLength")
def sequence_length(node: Node) -> Result:
    return np.asarray(len(node.sequence(0)), np.int64)


@operator("SequenceAt")
def sequence_at(node: Node) -> Result:
    items = node.sequence(0)
    return items[_position(node, 1, len(items))]


@operator("SequenceInsert")
def sequence_insert(node: Node) -> Result:
    items = [*node.sequence(0)]
    at = _position(node, 2, len(items), last=True) if node.has(2) else len(items)
    items.insert(at, node.entries[1].item)
    return items


@operator("SequenceErase")
def sequence_erase(node: Node) -> Result:
    items = [*node.sequence(0)]
    del items[_position(node, 1, len(items)) if node.has(1) else -1]
    return items


def _position(node: Node, at: int, count: int, *, last: bool = False) -> int:
    """A position counted from the first; ``last`` allows the one behind all."""
    found = int(node.array(at, "a position in a sequence").reshape(-1)[0])
    if not -count <= found < count + last:
        raise ArgumentError(f"position {found} is outside of a sequence of length {count}")
    return found + count if found < 0 else found


@operator("ConcatFromSequence")
def concat_from_sequence(node: Node) -> Result:
    parts = [as_tensor(each) for each in node.sequence(0)]
    join = ops.stack if node.flag("new_axis") else ops.concatenate
    return join(parts, node.integer("axis"))


@operator("SplitToSequence")
def split_to_sequence(node: Node) -> Result:
    x = node.tensor(0)
    axis = node.integer("axis", 0) % max(x.ndim, 1)
    size = x.shape[axis]
    if not node.has(1):
        parts = ops.split(x, [1] * size, axis)
        kept = [each if node.flag("keepdims", True) else ops.squeeze(each, axis) for each in parts]
        return [*kept]
    given = node.array(1, "the sizes of the parts")
    if given.ndim:
        return [*ops.split(x, [int(each) for each in given], axis)]
    step = int(given)
    if step < 1:
        raise ArgumentError(f"parts of size {step} divide nothing")
    sizes = [min(step, size - at) for at in range(0, size, step)]
    return [*ops.split(x, sizes, axis)]


@operator("Optional")
def optional(node: Node) -> Result:
    return node.entries[0].item if node.count else None


@operator("OptionalHasElement")
def optional_has_element(node: Node) -> Result:
    return np.asarray(node.has(0))


@operator("OptionalGetElement")
def optional_get_element(node: Node) -> Result:
    if not node.has(0):
        raise ArgumentError("the optional value is not there")
    return node.entries[0].item
