"""Concatenations in place: a part is computed where the whole will be, and nothing is copied.

``T[i, j : M, N + P] = =(A[i, j]); R[i, j + N : M, N + P] = =(B[i, j]) default T`` puts A and B side
by side. Where nobody else decides about the memory of A and B, their kernels store into that of R,
rows as far apart as those of R. A network that puts each layer's result behind all that came before
(Huang et al. 2017, "Densely connected convolutional networks") then copies none of them.

Assumes parts that are boxes, cover the whole along one axis, and begin where a cache line does.
Guarantees the same values; what is an argument, a constant, a result of the program, or a part of
another whole already, is copied as before, each part by a kernel of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Final

from tilec.kernel.ir import Buffer, View, VType
from tilec.lower import special
from tilec.lower.contraction import lower_loops
from tilec.lower.defaults import box_of, placed_defaults
from tilec.lower.groups import Group
from tilec.lower.pieces import pieces_of_map
from tilec.lower.translate import Place, contiguous
from tilec.lower.work import Lowering, target_of
from tilec.records import dataclass
from tilec.target.core import Core
from tilec.tensor.affine import Affine
from tilec.tensor.ir import Contraction, Map, Node, Program, TensorType
from tilec.tensor.part import LINE_BYTES, part_of
from tilec.tensor.scalar import Read
from tilec.tensor.size import concrete

JOIN: Final = "join"
"""Name of the pass."""


@dataclass(frozen=True, slots=True)
class Part:
    """A value that is a part of another one.

    Attributes:
        node: What copies it there, if it does not lie there.
        source: Its name.
        whole: The value that has all parts.
        axis: The axis along which they lie behind each other.
        begin: Where along that axis this one begins.
        in_place: Whether it is computed there.
    """

    node: Contraction
    source: str
    whole: str
    axis: int
    begin: int
    in_place: bool = False


@dataclass(frozen=True, slots=True)
class Joined:
    """The concatenations of a program of which a part is computed in place.

    Attributes:
        parts: All parts of such wholes, by the node that would copy them.
        within: The parts that are computed in place, by their own names.
        types: Types of the values.
    """

    parts: Mapping[str, Part]
    within: Mapping[str, Part]
    types: Mapping[str, TensorType]

    def place(self, part: Part) -> tuple[str, int, Place]:
        """The value in whose memory a part lies in the end, the first element, and its place."""
        shape = concrete(self.types[part.source].shape)
        outer = self.within.get(part.whole)
        whole, begin = part.whole, 0
        strides = contiguous(concrete(self.types[part.whole].shape))
        if outer is not None:
            whole, begin, around = self.place(outer)
            strides = around.strides
        reach = sum((n - 1) * step for n, step in zip(shape, strides, strict=True)) + 1
        name = part.source if part.in_place else f"{part.node.name}.part"
        buffer = Buffer(name, VType(self.types[part.source].dtype), reach, writable=True)
        return whole, begin + part.begin * strides[part.axis], Place(buffer, strides)

    def places(self) -> dict[str, Place]:
        """How the values lie that are computed in place."""
        return {name: self.place(part)[2] for name, part in self.within.items()}

    def hold(self, work: Lowering) -> None:
        """Say where these values are, and the other parts of their wholes."""
        nodes = {node.name: node for node in work.program.nodes}
        for part in self.parts.values():
            whole, offset, place = self.place(part)
            target = target_of(work, nodes[whole])
            run = concrete(self.types[part.source].shape)[part.axis] * place.strides[part.axis]
            pitch = place.strides[part.axis - 1] if part.axis else 0
            view = View(place.buffer, target.buffer.name, offset, run if pitch else 0, pitch)
            work.views[place.buffer.name] = view
            work.places[place.buffer.name] = place


def joined(program: Program, core: Core, disable: Sequence[str]) -> Joined:
    """The concatenations of a program of which a part can be computed in place."""
    types, placed = program.types(), placed_defaults(program)
    if not core.takes_parts or JOIN in disable:
        return Joined({}, {}, types)
    nodes = {node.name: node for node in program.nodes}
    outputs = {output.value for output in program.outputs}
    found: dict[str, Part] = {}
    within: dict[str, Part] = {}

    def is_free(part: Part) -> bool:
        node = nodes.get(part.source)
        if not isinstance(node, Contraction | Map) or part_of(node, types) is not None:
            return False
        if part.source in outputs or part.source in placed or part.source in within:
            return False
        # Runs of a part of a part are as far apart as those around it, unless that is one run.
        outer = within.get(part.whole)
        return (outer is None or outer.axis in (0, part.axis)) and _fits(part, types)

    for root in reversed(program.nodes):
        if root.name in placed or not isinstance(root, Contraction):
            continue
        parts = _parts(root, nodes, placed, types)
        chosen: list[Part] = []
        for part in parts:
            if is_free(part) and all(part.source != each.source for each in chosen):
                chosen.append(replace(part, in_place=True))
        if chosen:
            within.update((part.source, part) for part in chosen)
            found.update((part.node.name, part) for part in (*parts, *chosen))
    return Joined(found, within, types)


def write_part(work: Lowering, joins: Joined, node: Node) -> None:
    """Copy a part into its whole, if it does not lie there."""
    part = joins.parts[node.name]
    if part.in_place:
        return
    place = joins.place(part)[2]
    copy = special.copy_map(node.name, part.source, work.types[part.source])
    lower_loops(work, Group(copy), pieces_of_map(copy), place)


def _parts(
    root: Contraction,
    nodes: Mapping[str, object],
    placed: Mapping[str, Contraction],
    types: Mapping[str, TensorType],
) -> Sequence[Part]:
    """What is put side by side in a value; nothing where it is not made so, or not as a whole."""
    found: list[Part] = []
    node: object = root
    shape = concrete(root.type.shape)
    while isinstance(node, Contraction):
        part = _part(node, root, types)
        if part is None:
            return ()
        found.append(part)
        if node.default is None:
            break
        if node.default not in placed:
            return ()
        node = nodes[node.default]
    axes = {part.axis for part in found}
    if len(found) < 2 or len(axes) != 1:
        return ()
    (axis,) = axes
    found.sort(key=lambda part: part.begin)
    ends = [part.begin + concrete(types[part.source].shape)[axis] for part in found]
    begins = [part.begin for part in found]
    if any(end != begin for end, begin in zip([0, *ends], [*begins, shape[axis]], strict=True)):
        return ()
    return found


def _part(node: Contraction, root: Contraction, types: Mapping[str, TensorType]) -> Part | None:
    """A node that does nothing but put a value somewhere into the whole."""
    if not isinstance(node.body, Read) or node.body.dtype != node.type.dtype:
        return None
    source = node.body.tensor
    if types[source].dtype != node.type.dtype or node.type != root.type:
        return None
    box, own = box_of(node, types), concrete(types[source].shape)
    whole = concrete(node.type.shape)
    if box is None or 0 in own or len(own) != len(whole):
        return None
    if [high - low for low, high in box] != list(own):
        return None
    zero = Affine()
    for form, access, size, (low, _) in zip(node.output, node.body.access, own, box, strict=True):
        if access + Affine.number(low) != form and not (size == 1 and access == zero):
            return None
    cut = [axis for axis, size in enumerate(whole) if own[axis] != size]
    return Part(node, source, root.name, cut[0], box[cut[0]][0]) if len(cut) == 1 else None


def _fits(part: Part, types: Mapping[str, TensorType]) -> bool:
    """Whether lines of the whole belong to one part each, and code for whole values fits it."""
    whole, own = concrete(types[part.whole].shape), concrete(types[part.source].shape)
    step = prod(whole[part.axis + 1 :]) * types[part.whole].dtype.bytes
    rows = prod(whole[: part.axis])
    sizes = [part.begin * step, *([own[part.axis] * step, whole[part.axis] * step] * (rows > 1))]
    return all(size % LINE_BYTES == 0 for size in sizes)
