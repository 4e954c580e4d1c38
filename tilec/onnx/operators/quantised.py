"""Operators on integers that stand for real numbers: ``(q - zero_point) * scale``."""

from __future__ import annotations

from tilec import Tensor, ops
from tilec.dtypes import BY_NAME, integer_range
from tilec.errors import ArgumentError
from tilec.onnx.node import Node, Result
from tilec.onnx.registry import operator
from tilec.onnx.types import tile_type


def _fitted(node: Node, x: Tensor, factor: Tensor) -> Tensor:
    """Scales or zero points, one for all, for each slice of an axis, or for each block of it."""
    if factor.size == 1:
        return ops.reshape(factor, ())
    axis = node.integer("axis", 1) % x.ndim
    if factor.ndim == 1:
        return ops.reshape(factor, [-1 if at == axis else 1 for at in range(x.ndim)])
    block = node.integer("block_size", 0) or -(-x.shape[axis] // factor.shape[axis])
    wide = ops.repeat(factor, block, axis)
    return wide[(slice(None),) * axis + (slice(0, x.shape[axis]),)]


def _saturated(x: Tensor, dtype: str) -> Tensor:
    low, high = integer_range(BY_NAME[dtype])
    return ops.cast(ops.clip(x, float(low), float(high)), dtype)


@operator("QuantizeLinear")
def quantize(node: Node) -> Result:
    x, scale = node.tensor(0), node.tensor(1)
    zero = node.optional(2)
    if zero is not None:
        dtype = zero.dtype.name
    else:
        chosen = node.integer("output_dtype", 0)
        dtype = tile_type(chosen) if chosen else "u8"
    wide = ops.cast(x, "f32") / ops.cast(_fitted(node, x, scale), "f32")
    found = ops.round(wide)
    if zero is not None:
        found = found + ops.cast(_fitted(node, x, zero), "f32")
    return _saturated(found, dtype)


@operator("DequantizeLinear")
def dequantize(node: Node) -> Result:
    x, scale = node.tensor(0), node.tensor(1)
    found = ops.cast(x, "i32")
    zero = node.optional(2)
    if zero is not None:
        found = found - ops.cast(_fitted(node, x, zero), "i32")
    result = ops.cast(found, "f32") * ops.cast(_fitted(node, x, scale), "f32")
    return ops.cast(result, scale.dtype)


def _centred(x: Tensor, zero: Tensor | None, axis: int) -> Tensor:
    wide = ops.cast(x, "i32")
    if zero is None:
        return wide
    if zero.size == 1:
        return wide - ops.cast(ops.reshape(zero, ()), "i32")
    if zero.ndim > 1:
        return wide - ops.cast(zero, "i32")
    return wide - ops.reshape(
        ops.cast(zero, "i32"), [-1 if at == axis % x.ndim else 1 for at in range(x.ndim)]
    )


@operator("MatMulInteger")
def matmul_integer(node: Node) -> Result:
    left = _centred(node.tensor(0), node.optional(2), -2)
    return left @ _centred(node.tensor(1), node.optional(3), -1)


@operator("QLinearMatMul")
def quantised_matmul(node: Node) -> Result:
    a, a_scale, a_zero, b, b_scale, b_zero, scale, zero = node.tensors
    found = _centred(a, a_zero, -2) @ _centred(b, b_zero, -1)
    return _requantised(found, _product(a_scale, b_scale), scale, zero)


def _product(left: Tensor, right: Tensor) -> Tensor:
    if left.size > 1 or right.size > 1:
        raise ArgumentError("a scale for each row or column is not supported")
    return ops.cast(ops.reshape(left, ()), "f32") * ops.cast(ops.reshape(right, ()), "f32")


def _requantised(found: Tensor, factor: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    result = ops.cast(found, "f32") * (factor / ops.cast(ops.reshape(scale, ()), "f32"))
    shifted = ops.round(result) + ops.cast(ops.reshape(zero, ()), "f32")
    return _saturated(shifted, zero.dtype.name)
