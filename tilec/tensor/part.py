"""Copies of a part of a value that lies in one piece: they need not be made.

``Y[i, j] = X[3, i, j]`` are consecutive elements of X. Whoever reads Y may be handed the address
of the first one instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tilec.records import dataclass
from tilec.tensor.forms import Form, form_of
from tilec.tensor.ir import Map, Node, TensorType
from tilec.tensor.scalar import Read
from tilec.tensor.size import concrete

LINE_BYTES = 64
"""Parts begin where a cache line does, if the whole does: code for whole values fits them, too."""


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive elements of a value, in row-major order.

    Attributes:
        whole: The value.
        offset: Position of the first element.
    """

    whole: str
    offset: int


def part_of(node: Node, types: Mapping[str, TensorType]) -> Part | None:
    """What a node copies, if that lies in one piece; None for any other node."""
    if not isinstance(node, Map) or not isinstance(node.body, Read):
        return None
    whole, own = concrete(types[node.body.tensor].shape), concrete(node.type.shape)
    forms = [form_of(form) for form in node.body.access]
    moving = [axis for axis, form in enumerate(forms) if form.terms]
    if 0 in own or any(form.denominator != 1 for form in forms) or not _in_order(node, forms, own):
        return None
    # Behind the first axis that is not a single position all others are whole.
    first = moving[0] if moving else len(whole)
    extents = dict(zip(node.indices, own, strict=True))
    for axis, (form, size) in enumerate(zip(forms, whole, strict=True)):
        count = extents[form.terms[0][0]] if form.terms else 1
        if axis > first and count != size:
            return None
    offset = 0
    for form, size in zip(forms, whole, strict=True):
        offset = offset * size + form.const
    if offset * node.type.dtype.bytes % LINE_BYTES:
        return None
    return Part(node.body.tensor, offset)


def _in_order(node: Map, forms: Sequence[Form], own: Sequence[int]) -> bool:
    """Whether the coordinates are the indices, shifted, one after the other."""
    if any(len(form.terms) > 1 or any(by != 1 for _, by in form.terms) for form in forms):
        return False
    used = [form.terms[0][0] for form in forms if form.terms]
    wanted = [name for name, size in zip(node.indices, own, strict=True) if size > 1]
    return [name for name in used if name in wanted] == wanted and len(set(used)) == len(used)
