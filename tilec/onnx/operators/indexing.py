"""Operators that read or write at positions that are data."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tilec import Tensor, ops
from tilec.errors import ArgumentError
from tilec.onnx.node import Node, Result
from tilec.onnx.registry import operator

_COMBINE: Final[dict[str, ops.Combine]] = {
    "none": "replace",
    "add": "add",
    "mul": "mul",
    "max": "max",
    "min": "min",
}


@operator("Gather")
def gather(node: Node) -> Result:
    return ops.take(node.tensor(0), node.tensor(1), node.integer("axis", 0))


@operator("GatherElements")
def gather_elements(node: Node) -> Result:
    return ops.gather_elements(node.tensor(0), node.tensor(1), node.integer("axis", 0))


@operator("GatherND")
def gather_nd(node: Node) -> Result:
    return ops.gather_nd(node.tensor(0), node.tensor(1), node.integer("batch_dims", 0))


def _combine(node: Node) -> ops.Combine:
    found = node.text("reduction", "none")
    if found not in _COMBINE:
        raise ArgumentError(f"reduction is {found!r}", help=f"known are {', '.join(_COMBINE)}")
    return _COMBINE[found]


@operator("ScatterElements", "Scatter")
def scatter_elements(node: Node) -> Result:
    x, positions, updates = node.tensors
    return ops.scatter_elements(x, positions, updates, node.integer("axis", 0), _combine(node))


@operator("ScatterND")
def scatter_nd(node: Node) -> Result:
    x, positions, updates = node.tensors
    return ops.scatter_nd(x, positions, updates, _combine(node))


@operator("TensorScatter")
def tensor_scatter(node: Node) -> Result:
    """Rows of a cache from a position of each batch on; modulo its length if it is a ring."""
    past, update = node.tensor(0), node.tensor(1)
    axis = node.integer("axis", -2) % past.ndim
    ring = node.text("mode", "linear") == "circular"
    steps = ops.reshape(ops.arange(update.shape[axis]), [-1] + [1] * (past.ndim - 1 - axis))
    start = node.optional(2)
    if start is not None:
        first = ops.reshape(ops.cast(start, "i32"), [-1] + [1] * (past.ndim - 1))
        steps = first + steps
    positions = ops.remainder(steps, past.shape[axis]) if ring else steps
    return ops.scatter_elements(past, ops.broadcast_to(positions, update.shape), update, axis)


@operator("OneHot")
def one_hot(node: Node) -> Result:
    depth = int(node.array(1, "the depth").reshape(-1)[0])
    values = node.tensor(2)
    indices = ops.cast(node.tensor(0), "i64")
    return ops.one_hot(indices, depth, on=values[1], off=values[0], axis=node.integer("axis", -1))


@operator("ReverseSequence")
def reverse_sequence(node: Node) -> Result:
    x, lengths = node.tensor(0), node.tensor(1)
    batch, time = node.integer("batch_axis", 1), node.integer("time_axis", 0)

    def along(vector: Tensor, axis: int) -> Tensor:
        return ops.reshape(vector, [-1 if at == axis else 1 for at in range(x.ndim)])

    steps = along(ops.arange(x.shape[time]), time)
    ends = along(ops.cast(lengths, "i32"), batch)
    positions = ops.where(steps < ends, ends - 1 - steps, steps)
    shape = [size if at in (batch, time) else 1 for at, size in enumerate(x.shape)]
    wide = [size if at != time else x.shape[time] for at, size in enumerate(x.shape)]
    return ops.take_along_axis(x, ops.broadcast_to(ops.reshape(positions, shape), wide), time)


# The shapes of what follows depend on elements, which must be known.


@operator("Compress")
def compress(node: Node) -> Result:
    kept = np.flatnonzero(node.array(1, "the condition"))
    x = node.tensor(0)
    if not node.given("axis"):
        return ops.take(ops.reshape(x, (-1,)), kept, 0)
    axis = node.integer("axis")
    return ops.take(x, kept, axis)


@operator("NonZero")
def nonzero(node: Node) -> Result:
    return np.array(np.nonzero(node.array(0, "what is not 0")), np.int64)


@operator("Unique")
def unique(node: Node) -> Result:
    x: Any = node.array(0, "what occurs once")
    axis = node.integer("axis") if node.given("axis") else None
    values, first, inverse, counts = np.unique(
        x, return_index=True, return_inverse=True, return_counts=True, axis=axis
    )
    inverse = inverse.reshape(-1)
    if not node.flag("sorted", True):
        order = np.argsort(first)
        values = np.take(values, order, axis=axis or 0)
        first, counts = first[order], counts[order]
        inverse = np.argsort(order)[inverse]
    return values, first.astype(np.int64), inverse.astype(np.int64), counts.astype(np.int64)
