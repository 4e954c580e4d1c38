"""Defaults in place: a value that is only the default of another is computed where that one is.

What is then left of the other is to store the elements that have a point, so that a concatenation
``T[i : N + M] = =(P[i]); R[i + N : N + M] = =(Q[i]) default T`` is two copies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tilec.tensor import domain
from tilec.tensor.forms import form_of
from tilec.tensor.ir import (
    Aggregation,
    Constant,
    Contraction,
    Program,
    Reshape,
    TensorType,
    operands,
)
from tilec.tensor.scalar import reads
from tilec.tensor.size import concrete

Span = tuple[int, int]
"""Coordinates from the first to before the second."""


def placed_defaults(program: Program) -> dict[str, Contraction]:
    """Values that can be computed where another is, with that other; users before operands."""
    types = program.types()
    uses = [name for node in program.nodes for name in operands(node)]
    uses += [output.value for output in program.outputs]
    made = {node.name for node in program.nodes if not isinstance(node, Constant | Reshape)}
    found: dict[str, Contraction] = {}
    for node in reversed(program.nodes):
        if not isinstance(node, Contraction) or node.default not in made:
            continue
        inside = any(read.tensor == node.default for read in reads(node.body))
        same = types[node.default] == node.type
        if same and not inside and uses.count(node.default) == 1:
            found[node.default] = node
    return found


def overwritten(
    name: str, placed: Mapping[str, Contraction], types: Mapping[str, TensorType]
) -> tuple[int, tuple[Span, ...]] | None:
    """Where everything is stored again after a value: an axis, and ranges of its coordinates."""
    spans: list[Span] = []
    axes: set[int] = set()
    while name in placed:
        node = placed[name]
        box = box_of(node, types)
        shape = concrete(node.type.shape)
        cut = [] if box is None else [at for at, n in enumerate(shape) if box[at] != (0, n)]
        if box is not None and len(cut) == 1:
            axes.add(cut[0])
            spans.append(box[cut[0]])
        name = node.name
    if len(axes) != 1:
        return None
    return axes.pop(), _joined(spans)


def _joined(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Ranges that touch as one."""
    found: list[Span] = []
    for low, high in sorted(spans):
        if found and low <= found[-1][1]:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return tuple(found)


def box_of(node: Contraction, types: Mapping[str, TensorType]) -> list[Span] | None:
    """The coordinates that a node stores, if they are a box and each is stored."""
    if node.agg is not Aggregation.ASSIGN or node.constraints:
        return None
    forms = [form for read in reads(node.body) for form in read.access]
    if any(len(form.terms) > 1 for form in (*forms, *node.output)):
        return None  # conditions that bind several indices cut corners off
    if any(form_of(form).denominator > 1 for form in forms):
        return None  # coordinates that are integers at some points only leave gaps
    points = domain.of(node, dict(types))
    if domain.is_empty(points):
        return None
    bounds = domain.bounds(points)
    box: list[Span] = []
    seen: set[str] = set()
    for form in node.output:
        coefficients, const = form.rational()
        if len(coefficients) != 1 or set(coefficients.values()) != {1} or const.denominator != 1:
            return None
        (index,) = coefficients
        if index in seen:
            return None
        seen.add(index)
        low, high = bounds[index]
        box.append((low + int(const), high + int(const) + 1))
    return box
