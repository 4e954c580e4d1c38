"""Which nodes share a kernel: a contraction and the map that alone consumes it."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from tilec.records import dataclass
from tilec.tensor.affine import Affine
from tilec.tensor.ir import Contraction, Map, Node, Program, operands
from tilec.tensor.scalar import reads


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes that become one kernel.

    Attributes:
        node: What is computed.
        epilogue: Applied to each element before it is stored; None stores the element itself.
    """

    node: Node
    epilogue: Map | None = None

    @property
    def result(self) -> Node:
        """The node whose value the kernel stores."""
        return self.node if self.epilogue is None else self.epilogue


def groups(
    program: Program, *, fuse: bool, apart: AbstractSet[str] = frozenset()
) -> tuple[Group, ...]:
    """The nodes of a program in groups, in an order in which operands come before uses.

    A map becomes the epilogue of a contraction when nothing else needs the contraction, and it
    reads it element by element. Contractions in ``apart`` have no epilogue.
    """
    if not fuse:
        return tuple(Group(node) for node in program.nodes)
    outputs = {output.value for output in program.outputs}
    users: dict[str, list[Node]] = {}
    for node in program.nodes:
        for name in operands(node):
            users.setdefault(name, []).append(node)
    after: dict[str, Map] = {}
    fused: set[str] = set()
    for node in program.nodes:
        if not isinstance(node, Contraction) or node.name in outputs or node.name in apart:
            continue
        readers = users.get(node.name, [])
        if len(readers) == 1 and isinstance(readers[0], Map) and readers[0].name not in fused:
            reader = readers[0]
            if _elementwise(reader, node):
                after[node.name] = reader
                fused.add(reader.name)
    producer = {reader.name: name for name, reader in after.items()}
    by_name = {node.name: node for node in program.nodes}
    result: list[Group] = []
    for node in program.nodes:
        if node.name in after:
            continue  # computed where its epilogue stands, when that one's operands are ready
        if node.name in producer and isinstance(node, Map):
            result.append(Group(by_name[producer[node.name]], node))
        else:
            result.append(Group(node))
    return tuple(result)


def _elementwise(reader: Map, node: Contraction) -> bool:
    if reader.type.shape != node.type.shape:
        return False
    zero = Affine()
    return all(
        form == Affine.index(name) or (size == 1 and form == zero)
        for read in reads(reader.body)
        if read.tensor == node.name
        for name, form, size in zip(reader.indices, read.access, reader.type.shape, strict=True)
    )
