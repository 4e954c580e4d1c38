"""Inline: elementwise values that one other elementwise value reads are computed where it does.

Assumes a verified program. Guarantees the same values: a map reads its operands at affine
coordinates, so its body with those coordinates put in is again a body. A map is inlined when that
computes no element more often than before, or when computing it again is cheaper than storing and
loading it. What depends on bound inputs alone stays apart: it is computed once, ahead of all calls.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import ClassVar

from tilec.operations import OPERATIONS, Rule
from tilec.records import dataclass
from tilec.rewrite.constants import constant_values
from tilec.tensor.ir import Map, Node, Program, operands
from tilec.tensor.part import part_of
from tilec.tensor.scalar import Apply, Read, Scalar, at_indices, reads, rewrite, walk
from tilec.tensor.size import concrete

CHEAP_OPERATIONS = 2
"""Operations that may be repeated per element rather than passed through memory."""

MAX_OPERATIONS = 400
"""Bodies are not grown beyond this, so that registers suffice and compilation stays fast."""

MAX_DEPTH = 120
"""Nor nested deeper than a statement may be: passes and backends walk them recursively."""


@dataclass(frozen=True, slots=True)
class Inline:
    """The pass.

    Attributes:
        bound: Inputs that are known before any call.
        parts: Whether copies of parts cost nothing, since readers are handed their address.
    """

    bound: frozenset[str] = frozenset()
    parts: bool = False

    name: ClassVar[str] = "inline"

    def apply(self, program: Program) -> Program:
        """Inline maps into maps, from the first node to the last."""
        maps: dict[str, Map] = {}
        nodes: list[Node] = []
        kept = {output.value for output in program.outputs}
        uses: dict[str, int] = {}
        constant = constant_values(program, self.bound)
        types = program.types()
        for node in program.nodes:
            for name in operands(node):
                uses[name] = uses.get(name, 0) + 1
        for node in program.nodes:
            if isinstance(node, Map):
                fixed = kept if node.name in constant else kept | constant
                node = _absorb(node, maps, fixed, uses)
                # Parts stay apart: kernels that differ in nothing but the part are one kernel.
                if not self.parts or part_of(node, types) is None:
                    maps[node.name] = node
            nodes.append(node)
        read = kept | {name for node in nodes for name in operands(node)}
        alive = tuple(n for n in nodes if n.name in read or not isinstance(n, Map))
        return replace(program, nodes=alive)


def _absorb(node: Map, maps: dict[str, Map], kept: set[str], uses: dict[str, int]) -> Map:
    """The map with those that it alone reads in its body."""
    found: dict[str, list[Read]] = {}
    for read in reads(node.body):
        found.setdefault(read.tensor, []).append(read)
    body = node.body
    for name, places in found.items():
        producer = maps.get(name)
        if producer is None or name in kept or uses[name] != 1:
            continue
        # What is read twice at one place is computed once: backends see that it is the same.
        if not _pays(producer, node, len(set(places))):
            continue
        if _fits(body, producer.body, len(places)):
            body = rewrite(body, lambda scalar, p=producer: _inlined(scalar, p))
    return replace(node, body=body)


def _inlined(scalar: Scalar, producer: Map) -> Scalar | None:
    if not isinstance(scalar, Read) or scalar.tensor != producer.name:
        return None
    values = dict(zip(producer.indices, scalar.access, strict=True))
    return at_indices(producer.body, values)


def _pays(producer: Map, consumer: Map, count: int) -> bool:
    before = prod(concrete(producer.type.shape))
    after = prod(concrete(consumer.type.shape)) * count
    if after <= before:
        return True
    heavy = any(
        isinstance(node, Apply) and OPERATIONS[node.op].rule is Rule.MATH
        for node in walk(producer.body)
    )
    return not heavy and _size(producer.body) <= CHEAP_OPERATIONS


def _fits(body: Scalar, inner: Scalar, count: int) -> bool:
    """Whether a body stays small enough when ``inner`` takes the place of ``count`` reads."""
    if _size(body) + count * _size(inner) > MAX_OPERATIONS:
        return False
    return _depth(body) + _depth(inner) <= MAX_DEPTH


def _size(body: Scalar) -> int:
    return sum(isinstance(node, Apply) for node in walk(body))


def _depth(body: Scalar) -> int:
    if not isinstance(body, Apply):
        return 0
    return 1 + max((_depth(arg) for arg in body.args), default=0)
