"""Which values of a program are needed, and reading other values instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tilec.tensor.ir import (
    ArgSort,
    Constant,
    Contraction,
    Gather,
    Map,
    Node,
    Program,
    RandomState,
    RandomValue,
    Reshape,
    Scatter,
    SumTo,
    operands,
)
from tilec.tensor.scalar import Read, Scalar, rewrite


def needed(program: Program) -> frozenset[str]:
    """Names of the values, inputs included, from which the outputs are computed."""
    found = {output.value for output in program.outputs}
    for node in reversed(program.nodes):
        if node.name in found:
            found.update(operands(node))
    return frozenset(found)


def reading(node: Node, instead: Mapping[str, str]) -> Node:
    """The node with operands replaced by other values of the same type."""

    def of(name: str) -> str:
        return instead.get(name, name)

    def change(scalar: Scalar) -> Scalar | None:
        if isinstance(scalar, Read) and scalar.tensor in instead:
            return replace(scalar, tensor=of(scalar.tensor))
        return None

    match node:
        case Constant():
            return node
        case Contraction():
            default = None if node.default is None else of(node.default)
            return replace(node, body=rewrite(node.body, change), default=default)
        case Map():
            return replace(node, body=rewrite(node.body, change))
        case Reshape() | ArgSort():
            return replace(node, operand=of(node.operand))
        case Gather():
            return replace(node, data=of(node.data), rows=of(node.rows))
        case Scatter():
            return replace(node, updates=of(node.updates), rows=of(node.rows))
        case RandomValue() | RandomState():
            return replace(node, state=of(node.state))
        case SumTo():
            return replace(node, operand=of(node.operand), like=of(node.like))
