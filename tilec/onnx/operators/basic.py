"""The first operators of arithmetic and shapes."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Final

from tilec import Tensor
from tilec.onnx.node import Node, Result
from tilec.onnx.registry import operator
from tilec.onnx.types import tile_type
from tilec.ops.elementwise import cast
from tilec.ops.joining import concatenate
from tilec.ops.shapes import reshape as reshaped
from tilec.ops.shapes import transpose as transposed

_BINARY: Final[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mul": lambda a, b: a * b,
    "Div": lambda a, b: a / b,
    "Greater": lambda a, b: a > b,
    "Less": lambda a, b: a < b,
}


@operator(*_BINARY)
def binary(node: Node) -> Result:
    return _BINARY[node.kind](node.tensor(0), node.tensor(1))


@operator("Neg")
def negative(node: Node) -> Result:
    return -node.tensor(0)


@operator("Reshape")
def reshape(node: Node) -> Result:
    x = node.tensor(0)
    wanted = node.integers("shape", at=1) or []
    if not node.flag("allowzero"):
        wanted = [x.shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    return reshaped(x, wanted)


@operator("Flatten")
def flat(node: Node) -> Result:
    x = node.tensor(0)
    axis = node.integer("axis", 1)
    rows = prod(x.shape[:axis])
    return reshaped(x, (rows, prod(x.shape[axis:])))


@operator("Transpose")
def transpose(node: Node) -> Result:
    return transposed(node.tensor(0), node.integers("perm"))


@operator("Concat")
def concat(node: Node) -> Result:
    return concatenate(node.tensors, node.integer("axis"))


@operator("Cast")
def cast_to(node: Node) -> Result:
    return cast(node.tensor(0), tile_type(node.integer("to")))
