"""Values of the forward program that its gradient is given instead of computing them again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from math import prod
from typing import Final

from tilec.grad.reverse import without_dead
from tilec.operations import OPERATIONS, Rule
from tilec.records import dataclass
from tilec.tensor import domain
from tilec.tensor.ir import Contraction, Input, Map, Node, Program, TensorType, operands
from tilec.tensor.scalar import Apply, Scalar, walk
from tilec.tensor.size import concrete

FLOPS_PER_BYTE: Final = 25
"""Operations that take as long as storing a byte and loading it again: two cores with AVX-512 do
about 12 in the time in which memory moves one byte.
"""

_MATH_FLOPS: Final = 20
"""Operations in an elementary function."""


@dataclass(frozen=True, slots=True)
class Intermediate:
    """A value of the forward program that the gradient needs.

    Attributes:
        name: Its name in the text.
        bytes: What keeping it takes.
        flops: What computing it again takes, with all that is not kept either.
        is_output: Whether the function returns it anyway.
        kept: Whether it is kept.
    """

    name: str
    bytes: int
    flops: int
    is_output: bool
    kept: bool


def needed(gradient: Program, forward: Program) -> tuple[str, ...]:
    """The values of the forward program that its gradient computes again, in order."""
    own = {node.name for node in forward.nodes}
    return tuple(node.name for node in gradient.nodes if node.name in own)


def with_kept(gradient: Program, kept: Collection[str], inputs: int) -> Program:
    """The gradient with some of its values as inputs, behind the first ``inputs``."""
    given = tuple(
        Input(node.name, node.type, node.span) for node in gradient.nodes if node.name in kept
    )
    nodes = tuple(node for node in gradient.nodes if node.name not in kept)
    first, last = gradient.inputs[:inputs], gradient.inputs[inputs:]
    whole = without_dead(replace(gradient, inputs=(*first, *given, *last), nodes=nodes))
    return whole


def judged(
    bound: Program, names: Collection[str], forced: Collection[str] | None
) -> tuple[Intermediate, ...]:
    """What keeping and recomputing cost, and what is better.

    Args:
        bound: The forward program with its sizes.
        names: The values that the gradient needs.
        forced: What is kept; None leaves it to the costs.
    """
    types = bound.types()
    outputs = {output.value for output in bound.outputs}
    again: dict[str, int] = {item.name: 0 for item in bound.inputs}
    found: list[Intermediate] = []
    for node in bound.nodes:
        flops = _flops(node, types) + sum(again[name] for name in operands(node))
        again[node.name] = flops
        if node.name not in names:
            continue
        size = prod(concrete(node.type.shape)) * node.type.dtype.bytes
        is_output = node.name in outputs
        pays = is_output or flops > FLOPS_PER_BYTE * size
        kept = pays if forced is None else node.name in forced
        if kept:
            again[node.name] = 0
        found.append(Intermediate(node.name, size, flops, is_output, kept))
    return tuple(found)


def _flops(node: Node, types: dict[str, TensorType]) -> int:
    match node:
        case Contraction():
            points = domain.of(node, types)
            if domain.is_empty(points):
                return 0
            ranges = domain.bounds(points).values()
            return prod(high - low + 1 for low, high in ranges) * (1 + _operations(node.body))
        case Map():
            return prod(concrete(node.type.shape)) * _operations(node.body)
        case _:
            return prod(concrete(node.type.shape))


def _operations(body: Scalar) -> int:
    return sum(
        _MATH_FLOPS if OPERATIONS[part.op].rule is Rule.MATH else 1
        for part in walk(body)
        if isinstance(part, Apply) and part.op != "cast"
    )
