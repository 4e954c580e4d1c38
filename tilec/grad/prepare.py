"""What has to hold before a program is differentiated."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from tilec.errors import GradientError
from tilec.grad.contractions import Contracted, Ties
from tilec.grad.tape import Tape
from tilec.tensor import surface
from tilec.tensor.affine import Affine
from tilec.tensor.ir import Aggregation, Contraction, Node, Program, operands
from tilec.tensor.scalar import Read, Scalar, reads
from tilec.tensor.size import Size

_EXTREME = (Aggregation.MAX, Aggregation.MIN)


def varied(program: Program, sources: Iterable[str]) -> frozenset[str]:
    """The float values that change when ``sources`` do."""
    types = program.types()
    found = {name for name in sources if types[name].dtype.is_float}
    for node in program.nodes:
        if node.type.dtype.is_float and not found.isdisjoint(operands(node)):
            found.add(node.name)
    return frozenset(found)


def settle_extremes(program: Program, sources: Collection[str], reserved: set[str]) -> Program:
    """Give what ``>`` and ``<`` choose from a name, where it is computed and changes.

    The derivative asks which value was chosen. A value that is computed in two places may be
    rounded differently there, so it is computed once and read twice.
    """
    changing = varied(program, sources)
    tape = Tape([], program.types(), {*program.types(), *reserved})
    for node in program.nodes:
        if isinstance(node, Contraction) and node.agg in _EXTREME and node.name in changing:
            node = _settled(node, tape)
        tape.nodes.append(node)
    return replace(program, nodes=tuple(tape.nodes))


def _settled(node: Contraction, tape: Tape) -> Node:
    value = surface.body_surface(node.body, node.agg, node.type.dtype)
    if isinstance(value, Read):
        return node
    sizes = _extents(node, value, tape)
    missing = [index for index in node.indices if index not in sizes]
    if missing:
        raise GradientError(
            f"the derivative of {node.name} needs the range of {missing[0]}, "
            "which is no axis by itself",
            node.span,
            help="compute the values in a statement before: "
            f"V[...] = =(...); {node.name}[...] = {node.agg.value}(V[...])",
        )
    places = tuple(map(Affine.index, node.indices))
    shape = tuple(sizes[index] for index in node.indices)
    points = Contracted(node, value, Ties.ALL, tape)
    values = points.over_points(value, Aggregation.ASSIGN, places, shape)
    # Elements of `values` that no point reaches are 0; the choice must not see them.
    kept = tape.define(f"{node.name}_values", values)
    chosen = points.over_points(
        tape.read(kept.tensor, places), node.agg, node.output, node.type.shape, node.default
    )
    return replace(chosen, name=node.name, attributes=node.attributes)


def _extents(node: Contraction, value: Scalar, tape: Tape) -> dict[str, Size]:
    """Size of an axis that each index runs over by itself."""
    pairs: list[tuple[Affine, Size]] = [*zip(node.output, node.type.shape, strict=True)]
    for read in reads(value):
        pairs += zip(read.access, tape.types[read.tensor].shape, strict=True)
    pairs += [(constraint.form, constraint.bound) for constraint in node.constraints]
    sizes: dict[str, Size] = {}
    for form, size in pairs:
        if form.indices and form == Affine.index(form.indices[0]):
            sizes.setdefault(form.indices[0], size)
    return sizes
