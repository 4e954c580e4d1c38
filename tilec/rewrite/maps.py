"""Maps: assignments that compute each element of their result on its own become maps.

A slice, a gate of a recurrent layer or a mask is written as ``Y[i, j] = =(X[i, j + 3])``. As a map
it is inlined where it is read, follows a product as its epilogue, and shares the loops of rows.

Assumes bound sizes and assignments that were checked. Guarantees the same values. An assignment
that moves elements stays what it is: one that leaves some elements to a default, permutes axes, or
takes every second element of a row is a copy that those who read it are better off with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from tilec.records import dataclass
from tilec.tensor.affine import Affine
from tilec.tensor.forms import Box, form_of
from tilec.tensor.ir import Aggregation, Contraction, Map, Node, Program, TensorType
from tilec.tensor.scalar import Read, cast, reads
from tilec.tensor.size import concrete


@dataclass(frozen=True, slots=True)
class Maps:
    """The pass."""

    name: ClassVar[str] = "maps"

    def apply(self, program: Program) -> Program:
        """The program with maps for assignments; the same object where it has none."""
        types = program.types()
        nodes = tuple(_as_map(node, types) for node in program.nodes)
        return program if nodes == program.nodes else replace(program, nodes=nodes)


def _as_map(node: Node, types: Mapping[str, TensorType]) -> Node:
    if not isinstance(node, Contraction) or node.agg is not Aggregation.ASSIGN:
        return node
    shape = concrete(node.type.shape)
    names = _names(node, shape)
    if names is None:
        return node
    box = {name: (0, size - 1) for name, size in zip(names, shape, strict=True)}
    if 0 in shape or not set(node.indices) <= set(names):
        return node
    if any(not _lies_alike(read, names) for read in reads(node.body)):
        return node
    bounded = [(each.form, concrete((each.bound,))[0]) for each in node.constraints]
    for read in reads(node.body):
        bounded += zip(read.access, concrete(types[read.tensor].shape), strict=True)
    if not all(_is_inside(form, size, box) for form, size in bounded):
        return node
    body = cast(node.body, node.type.dtype)
    return Map(node.name, node.type, names, body, node.attributes, node.span)


def _names(node: Contraction, shape: tuple[int, ...]) -> tuple[str, ...] | None:
    """An index for each axis; None where a coordinate is anything else."""
    found: list[str] = []
    for axis, (form, size) in enumerate(zip(node.output, shape, strict=True)):
        name = form.indices[0] if len(form.terms) == 1 else ""
        if size == 1 and form == Affine():
            name = f"_o{axis}"  # no index of a program begins with an underscore
        elif form != Affine.index(name):
            return None
        found.append(name)
    return tuple(found) if len(set(found)) == len(found) else None


def _lies_alike(read: Read, names: tuple[str, ...]) -> bool:
    """Whether neighbours of the result are neighbours, or one element, of what is read."""
    used = [name for form in read.access for name in form.indices]
    if any(len(form.terms) > 1 for form in read.access) or len(set(used)) < len(used):
        return False
    last = names[-1] if names else ""
    steps = [factor for form in read.access for name, factor in form.terms if name == last]
    return [name for name in names if name in used] == used and steps in ([], [1])


def _is_inside(form: Affine, size: int, box: Box) -> bool:
    """Whether a coordinate is a position of an axis at every point."""
    found = form_of(form)
    low, high = found.range(box)
    return found.denominator == 1 and low >= 0 and high < size
