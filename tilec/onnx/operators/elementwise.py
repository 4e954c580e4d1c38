"""Operators that work on single elements."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Final

from tilec import Tensor, ops
from tilec.errors import ArgumentError
from tilec.onnx.node import Node, Result
from tilec.onnx.registry import operator
from tilec.onnx.types import tile_type

_UNARY: Final[dict[str, Callable[[Tensor], Tensor]]] = {
    "Abs": ops.absolute,
    "Acos": ops.arccos,
    "Acosh": ops.arccosh,
    "Asin": ops.arcsin,
    "Asinh": ops.arcsinh,
    "Atan": ops.arctan,
    "Atanh": ops.arctanh,
    "BitwiseNot": ops.bitwise_not,
    "Ceil": ops.ceil,
    "Cos": ops.cos,
    "Cosh": ops.cosh,
    "Erf": ops.erf,
    "Exp": ops.exp,
    "Floor": ops.floor,
    "IsNaN": ops.isnan,
    "Log": ops.log,
    "Neg": ops.negative,
    "Not": ops.logical_not,
    "Reciprocal": ops.reciprocal,
    "Round": ops.round,
    "Sign": ops.sign,
    "Sin": ops.sin,
    "Sinh": ops.sinh,
    "Sqrt": ops.sqrt,
    "Tan": ops.tan,
}


@operator(*_UNARY)
def unary(node: Node) -> Result:
    return _UNARY[node.kind](node.tensor(0))


_BINARY: Final[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "Add": ops.add,
    "And": ops.logical_and,
    "BitwiseAnd": ops.bitwise_and,
    "BitwiseOr": ops.bitwise_or,
    "BitwiseXor": ops.bitwise_xor,
    "Div": ops.truncated_divide,
    "Equal": ops.equal,
    "Greater": ops.greater,
    "GreaterOrEqual": ops.greater_equal,
    "Less": ops.less,
    "LessOrEqual": ops.less_equal,
    "Mul": ops.multiply,
    "Or": ops.logical_or,
    "Sub": ops.subtract,
    "Xor": ops.logical_xor,
}


@operator(*_BINARY)
def binary(node: Node) -> Result:
    return _BINARY[node.kind](node.tensor(0), node.tensor(1))


@operator("Max", "Min", "Sum", "Mean")
def variadic(node: Node) -> Result:
    by_name = {"Max": ops.maximum, "Min": ops.minimum}
    tensors = node.tensors
    found = reduce(by_name.get(node.kind, ops.add), tensors)
    return ops.divide(found, len(tensors)) if node.kind == "Mean" else found


@operator("Pow")
def power(node: Node) -> Result:
    base = node.tensor(0)
    return ops.cast(ops.power(base, node.tensor(1)), base.dtype)


@operator("Mod")
def modulo(node: Node) -> Result:
    function = ops.fmod if node.flag("fmod") else ops.remainder
    return function(node.tensor(0), node.tensor(1))


@operator("BitShift")
def bit_shift(node: Node) -> Result:
    by_name = {"LEFT": ops.left_shift, "RIGHT": ops.right_shift}
    direction = node.text("direction")
    if direction not in by_name:
        raise ArgumentError(f"direction is {direction!r}, neither LEFT nor RIGHT")
    return by_name[direction](node.tensor(0), node.tensor(1))


@operator("Where")
def where(node: Node) -> Result:
    return ops.where(node.tensor(0), node.tensor(1), node.tensor(2))


@operator("Clip")
def clip(node: Node) -> Result:
    low, high = (
        node.number(name) if node.given(name) else node.optional(at)
        for at, name in ((1, "min"), (2, "max"))
    )
    return ops.clip(node.tensor(0), low, high)


@operator("IsInf")
def is_infinite(node: Node) -> Result:
    return ops.isinf(
        node.tensor(0),
        positive=node.flag("detect_positive", True),
        negative=node.flag("detect_negative", True),
    )


@operator("Cast")
def cast(node: Node) -> Result:
    return ops.cast(node.tensor(0), tile_type(node.integer("to")))


@operator("CastLike")
def cast_like(node: Node) -> Result:
    return ops.cast(node.tensor(0), node.tensor(1).dtype)
