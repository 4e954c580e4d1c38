"""Views: who reads a consecutive part of a value is handed its address, and nothing is copied.

The steps of a recurrent layer read one slice each of the products of all inputs. With a view for
each slice their kernels differ in no number, so that all steps share one (see ``sharing.py``).

Assumes parts that ``tilec/tensor/part.py`` recognises, of values that lie in row-major order.
Guarantees that results of the program are never views.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Final

from tilec.kernel.ir import Buffer, View
from tilec.lower.translate import Place, contiguous
from tilec.lower.work import Lowering
from tilec.tensor.ir import Node
from tilec.tensor.part import Part, part_of
from tilec.tensor.size import concrete

VIEWS: Final = "views"
"""Name of the pass."""


def parts(work: Lowering) -> Mapping[str, Part]:
    """The copies of a program that can be views, by name."""
    if VIEWS in work.disable or not work.core.takes_parts:
        return {}
    program, types = work.program, work.types
    outputs = {output.value for output in program.outputs}
    found = {node.name: part_of(node, types) for node in program.nodes if node.name not in outputs}
    return {name: part for name, part in found.items() if part is not None}


def viewed(work: Lowering, node: Node, part: Part) -> bool:
    """Make a value a view; False where what it is a part of does not lie in row-major order."""
    place = work.places.get(part.whole)
    shape = concrete(work.types[part.whole].shape)
    if place is None or place.strides != contiguous(shape):
        return False
    own = concrete(node.type.shape)
    outer = work.views.get(place.buffer.name)
    whole = place.buffer.name if outer is None else outer.whole
    offset = part.offset + (0 if outer is None else outer.offset)
    buffer = Buffer(node.name, place.buffer.type, prod(own))
    work.views[buffer.name] = View(buffer, whole, offset)
    work.places[node.name] = Place(buffer, contiguous(own))
    return True
