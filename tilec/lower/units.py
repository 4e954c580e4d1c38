"""What becomes a kernel: nodes on their own, row by row, or block by block."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from math import prod
from typing import TypeAlias, TypeVar

from tilec.lower.groups import Group
from tilec.records import dataclass
from tilec.tensor.forms import Axis
from tilec.tensor.ir import Contraction, Map, Node, operands
from tilec.tensor.scalar import Scalar
from tilec.tensor.size import concrete


class Kind(Enum):
    """What a member computes for one row."""

    REDUCTION = "reduction"  # a number from all elements of the row
    SCALAR = "scalar"  # a number from other numbers
    ROW = "row"  # an element for each element


@dataclass(frozen=True, slots=True)
class Member:
    """A node of a group, over the loops of the group."""

    node: Contraction | Map
    kind: Kind
    body: Scalar

    @property
    def name(self) -> str:
        """Name of its value."""
        return self.node.name


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Nodes that become one kernel, row by row.

    Attributes:
        rows: Loops over the rows, which all members share.
        columns: Loops over the elements of a row.
        members: The nodes, operands before uses. Cheap maps have become part of their readers.
        nodes: All nodes, those too that no member stands for any more.
        outputs: Names of the values that something else needs.
        saved_bytes: Traffic with memory that the nodes have on their own and the group has not.
        is_standing: Whether elements are consecutive from row to row, and not in a row.
    """

    rows: tuple[Axis, ...]
    columns: tuple[Axis, ...]
    members: tuple[Member, ...]
    nodes: tuple[Node, ...]
    outputs: frozenset[str]
    saved_bytes: int
    is_standing: bool = False

    @property
    def result(self) -> Node:
        """The last value that is stored."""
        return next(node for node in reversed(self.nodes) if node.name in self.outputs)


@dataclass(frozen=True, slots=True)
class BlockGroup:
    """Units that become one kernel, block by block of axes that all their values begin with.

    Attributes:
        units: What is computed for each block, operands before uses.
        shared: Extents of the axes that all values begin with.
        cut: Number of the axis that is cut into blocks; of those before it a block has one index.
        size: Indices of that axis in a block; the last block may have fewer.
        kept: Names of the values that nothing outside of a block needs.
        saved_bytes: Traffic with memory that the units have on their own and the group has not.
    """

    units: tuple[Single, ...]
    shared: tuple[int, ...]
    cut: int
    size: int
    kept: tuple[str, ...]
    saved_bytes: int

    @property
    def result(self) -> Node:
        """The last value that is stored."""
        return self.units[-1].result


Single: TypeAlias = "Group | RowGroup"
Unit: TypeAlias = "Group | RowGroup | BlockGroup"

_Any = TypeVar("_Any", bound=Unit)


def nodes_of(unit: Unit) -> tuple[Node, ...]:
    """The nodes of a kernel."""
    if isinstance(unit, RowGroup):
        return unit.nodes
    if isinstance(unit, BlockGroup):
        return tuple(node for each in unit.units for node in nodes_of(each))
    return (unit.node,) if unit.epilogue is None else (unit.node, unit.epilogue)


def saved_bytes(unit: Unit) -> int:
    """Traffic with memory that the nodes of a kernel would have on their own and it has not."""
    if isinstance(unit, BlockGroup):
        return unit.saved_bytes + sum(map(saved_bytes, unit.units))
    if isinstance(unit, RowGroup):
        return unit.saved_bytes
    if unit.epilogue is None:
        return 0
    kind = unit.node.type  # it would be written by one kernel and read by the other
    return 2 * prod(concrete(kind.shape)) * kind.dtype.bytes


def stored(unit: Single) -> tuple[Node, ...]:
    """The nodes of a kernel whose values it stores."""
    if isinstance(unit, RowGroup):
        return tuple(member.node for member in unit.members if member.name in unit.outputs)
    return (unit.result,)


def ordered(units: Sequence[_Any]) -> tuple[_Any, ...]:
    """The units so that operands come before uses; otherwise as they were."""
    found = order_of(units)
    if found is None:
        raise AssertionError("kernels need each other in a circle")
    return found


def order_of(units: Sequence[_Any]) -> tuple[_Any, ...] | None:
    """The units in an order that ``ordered`` gives; None where they need each other in a circle."""
    made = {node.name for unit in units for node in nodes_of(unit)}
    waiting, done, result = list(units), set[str](), list[_Any]()
    while waiting:
        for unit in waiting:
            own = {node.name for node in nodes_of(unit)}
            needed = {name for node in nodes_of(unit) for name in operands(node)}
            if (needed & made) - own <= done:
                break
        else:
            return None
        waiting.remove(unit)
        done |= own
        result.append(unit)
    return tuple(result)
