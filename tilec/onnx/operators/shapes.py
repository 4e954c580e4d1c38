"""Operators that make, shape, join and divide tensors."""

from __future__ import annotations

from math import ceil, prod
from typing import Any

import numpy as np

from tilec import Tensor, ops
from tilec.errors import ArgumentError
from tilec.onnx.node import Node, Result
from tilec.onnx.registry import operator
from tilec.onnx.types import tile_type


@operator("Reshape")
def reshape(node: Node) -> Result:
    x = node.tensor(0)
    sizes = node.integers("shape", at=1) or []
    if not node.flag("allowzero"):
        sizes = [x.shape[at] if size == 0 else size for at, size in enumerate(sizes)]
    return ops.reshape(x, sizes)


@operator("Flatten")
def flatten(node: Node) -> Result:
    x = node.tensor(0)
    axis = node.integer("axis", 1)
    at = axis + x.ndim if axis < 0 else axis
    return ops.reshape(x, (prod(x.shape[:at]), prod(x.shape[at:])))


@operator("Squeeze")
def squeeze(node: Node) -> Result:
    return ops.squeeze(node.tensor(0), node.integers("axes", at=1))


@operator("Unsqueeze")
def unsqueeze(node: Node) -> Result:
    return ops.expand_dims(node.tensor(0), node.integers("axes", at=1) or [])


@operator("Transpose")
def transpose(node: Node) -> Result:
    return ops.transpose(node.tensor(0), node.integers("perm"))


@operator("Expand")
def expand(node: Node) -> Result:
    x = node.tensor(0)
    sizes = node.integers("shape", at=1) or []
    return ops.broadcast_to(x, ops.broadcast_shape("Expand", x.shape, sizes))


@operator("Tile")
def tile(node: Node) -> Result:
    return ops.tile(node.tensor(0), node.integers("repeats", at=1) or [])


@operator("Concat")
def concat(node: Node) -> Result:
    return ops.concatenate(node.tensors, node.integer("axis"))


@operator("Split")
def split(node: Node) -> Result:
    x, axis = node.tensor(0), node.integer("axis", 0)
    sizes = node.integers("split", at=1)
    if sizes is None:
        count = node.integer("num_outputs", len(node.outputs))
        size = x.shape[axis]
        part = ceil(size / count)
        sizes = [max(0, min(part, size - at * part)) for at in range(count)]
    return ops.split(x, sizes, axis)


@operator("Slice")
def slice_(node: Node) -> Result:
    x = node.tensor(0)
    starts = node.integers("starts", at=1) or []
    ends = node.integers("ends", at=2) or []
    axes = node.integers("axes", at=3) or [*range(len(starts))]
    steps = node.integers("steps", at=4) or [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise ArgumentError("starts, ends, axes and steps differ in length")
    cuts = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step == 0 or not -x.ndim <= axis < x.ndim:
            raise ArgumentError(f"axis {axis} cannot be sliced by {step}")
        cuts[axis] = slice(start, end, step)
    return x[tuple(cuts)]


@operator("Pad")
def pad(node: Node) -> Result:
    x = node.tensor(0)
    pads = node.integers("pads", at=1) or []
    axes = node.integers("axes", at=3) or [*range(x.ndim)]
    if len(pads) != 2 * len(axes):
        raise ArgumentError(f"pads has {len(pads)} numbers for {len(axes)} axes")
    widths = [(0, 0)] * x.ndim
    for axis, low, high in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        widths[axis] = (low, high)
    value: Any = node.number("value", 0.0) if node.given("value") else node.optional(2)
    mode: Any = node.text("mode", "constant")
    if value is None:
        value = 0
    elif isinstance(value, Tensor):
        value = ops.reshape(value, ())
    return ops.pad(x, widths, mode, value)


@operator("ConstantOfShape")
def constant_of_shape(node: Node) -> Result:
    sizes = [int(each) for each in node.array(0, "the shape").reshape(-1)]
    value: Any = node.constant("value") if node.given("value") else np.zeros(1, np.float32)
    return ops.full(sizes, value.reshape(()))


@operator("EyeLike")
def eye_like(node: Node) -> Result:
    x = node.tensor(0)
    if x.ndim != 2:
        raise ArgumentError(f"the input has {x.ndim} axes, not 2")
    dtype = tile_type(node.integer("dtype")) if node.given("dtype") else x.dtype
    return ops.eye(*x.shape, k=node.integer("k", 0), dtype=dtype)


@operator("Range")
def range_(node: Node) -> Result:
    start, limit, step = (node.array(at, "a bound").reshape(()) for at in range(3))
    if step == 0:
        raise ArgumentError("delta is 0")
    bounds: Any = start.item(), limit.item(), step.item()
    return ops.arange(*bounds, dtype=node.tensor(0).dtype)


@operator("Trilu")
def trilu(node: Node) -> Result:
    k = int(node.array(1, "k").reshape(-1)[0]) if node.has(1) else 0
    return (ops.triu if node.flag("upper", True) else ops.tril)(node.tensor(0), k)


@operator("DepthToSpace")
def depth_to_space(node: Node) -> Result:
    x, block = node.tensor(0), node.integer("blocksize")
    n, c, h, w = x.shape
    depth = c // (block * block)
    if node.text("mode", "DCR") == "DCR":
        split = ops.reshape(x, (n, block, block, depth, h, w))
        turned = ops.transpose(split, (0, 3, 4, 1, 5, 2))
    else:
        split = ops.reshape(x, (n, depth, block, block, h, w))
        turned = ops.transpose(split, (0, 1, 4, 2, 5, 3))
    return ops.reshape(turned, (n, depth, h * block, w * block))


@operator("SpaceToDepth")
def space_to_depth(node: Node) -> Result:
    x, block = node.tensor(0), node.integer("blocksize")
    n, c, h, w = x.shape
    rows, columns = h // block, w // block
    blocks = ops.reshape(x, (n, c, rows, block, columns, block))
    if node.text("mode", "DCR") == "DCR":
        turned = ops.transpose(blocks, (0, 3, 5, 1, 2, 4))
    else:
        turned = ops.transpose(blocks, (0, 1, 3, 5, 2, 4))
    return ops.reshape(turned, (n, c * block * block, rows, columns))


@operator("RandomUniform", "RandomNormal", "RandomUniformLike", "RandomNormalLike")
def random(node: Node) -> Result:
    if node.kind.endswith("Like"):
        like = node.tensor(0)
        shape, dtype = like.shape, like.dtype.name
    else:
        shape, dtype = tuple(node.integers("shape") or ()), "f32"
    if node.given("dtype"):
        dtype = tile_type(node.integer("dtype"))
    state = ops.random_state(int(node.number("seed", 0.0)))
    if "Uniform" in node.kind:
        found, _ = ops.uniform(state, shape, node.number("low", 0.0), node.number("high", 1.0))
    else:
        found, _ = ops.normal(state, shape, node.number("mean", 0.0), node.number("scale", 1.0))
    return ops.cast(found, dtype)


@operator("Bernoulli")
def bernoulli(node: Node) -> Result:
    x = node.tensor(0)
    dtype = tile_type(node.integer("dtype")) if node.given("dtype") else x.dtype
    state = ops.random_state(int(node.number("seed", 0.0)))
    return ops.cast(ops.bernoulli(state, x)[0], dtype)
