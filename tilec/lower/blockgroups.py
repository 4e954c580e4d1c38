"""Which kernels are computed block by block: products whose results other kernels read at once.

Attention has a product for its scores, a softmax over each row of them, and a product with the
values. For a block of queries all three fit into the second-level cache, so that the scores never
see memory. The same holds for a pointwise convolution behind a depthwise one, for the layers of a
perceptron, and for a softmax behind a product.

Units belong together when all that one reads of another has the same leading coordinates as what it
computes. One of these axes is cut into blocks, such that what only the group needs of a block takes
half of L2.

Assumes units in an order in which operands come before uses. Guarantees that groups do not need
each other in a circle, that a block is written before it is read, and that a group moves fewer
bytes than its units would, operands that are read again for every block included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from math import prod

from tilec.dtypes import F32, F64
from tilec.lower.groups import Group
from tilec.lower.units import BlockGroup, RowGroup, Single, Unit, nodes_of, order_of, stored
from tilec.records import dataclass
from tilec.target.core import Core
from tilec.tensor.affine import Affine
from tilec.tensor.ir import Aggregation, Contraction, Map, Node, Program, TensorType, operands
from tilec.tensor.scalar import reads
from tilec.tensor.size import concrete

MOST_UNITS = 8
"""Kernels of a group, at most: more hardly ever fit into a cache together."""

MIN_ROWS = 32
"""Rows of a block from which on a product of it reads its other operand often enough."""

SPARE = 4 / 3
"""How many more blocks than necessary there may be, so that all of them have the same size."""

EVEN = 0.8
"""Share of the threads' time that a division into blocks must use."""


def block_groups(
    program: Program, units: Sequence[Single], core: Core, apart: frozenset[str]
) -> tuple[Unit, ...]:
    """The kernels of a program with those put together that can go block by block.

    Args:
        program: The program.
        units: Its kernels so far.
        core: Its caches bound what a block keeps.
        apart: Nodes that have a kernel of another kind.
    """
    search = _Search(program, program.types(), tuple(units), core, apart)
    found = list[Unit](units)
    for unit in units:
        if unit not in found:
            continue
        group = search.group_from(unit)
        if group is None or any(each not in found for each in group.units):
            continue
        wider = list(found)
        wider[max(found.index(each) for each in group.units)] = group
        # Two groups may need each other although neither needs itself.
        order = order_of([each for each in wider if each not in group.units])
        found = found if order is None else list(order)
    return tuple(found)


@dataclass(slots=True)
class _Search:
    """Grows groups."""

    program: Program
    types: Mapping[str, TensorType]
    units: tuple[Single, ...]
    core: Core
    apart: frozenset[str]
    owner: dict[str, int] = field(default_factory=dict[str, int])
    users: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    outputs: frozenset[str] = frozenset()
    axes: dict[str, _Axes] = field(default_factory=dict[str, "_Axes"])

    def __post_init__(self) -> None:
        self.outputs = frozenset(output.value for output in self.program.outputs)
        for at, unit in enumerate(self.units):
            nodes = nodes_of(unit)
            self.owner.update((node.name, at) for node in nodes)
            for name in dict.fromkeys(name for node in nodes for name in operands(node)):
                self.users.setdefault(name, []).append(at)

    def group_from(self, seed: Single) -> BlockGroup | None:
        """The largest group that begins with some unit and is worth it."""
        if not _is_product(seed) and not isinstance(seed, RowGroup):
            return None
        chosen = [self.owner[seed.result.name]]
        if self._shared(chosen) == 0:
            return None
        while len(chosen) < MOST_UNITS:
            after = next((at for at in self._readers(chosen) if self._joins(chosen, at)), None)
            if after is None:
                break
            chosen.append(after)
        for count in range(len(chosen), 1, -1):
            some = sorted(chosen[:count])
            if any(_is_product(self.units[at]) for at in some):
                group = self._cut(some)
                if group is not None:
                    return group
        return None

    def _readers(self, chosen: Sequence[int]) -> list[int]:
        """Units that read what some compute."""
        names = (node.name for at in chosen for node in nodes_of(self.units[at]))
        found = {at for name in names for at in self.users.get(name, ())}
        return sorted(found - set(chosen))

    def _joins(self, chosen: Sequence[int], at: int) -> bool:
        return self._shared([*chosen, at]) > 0 and not self._in_a_circle(chosen, at)

    def _in_a_circle(self, chosen: Sequence[int], at: int) -> bool:
        """Whether a unit needs another one that needs one of the group."""
        pending, seen = [at], {at}
        while pending:
            for node in nodes_of(self.units[pending.pop()]):
                for made in (self.owner[name] for name in operands(node) if name in self.owner):
                    if made in chosen or made in seen or made < min(chosen):
                        if made in chosen and node.name not in self._names([at]):
                            return True
                        continue
                    seen.add(made)
                    pending.append(made)
        return False

    def _names(self, chosen: Sequence[int]) -> set[str]:
        return {node.name for at in chosen for node in nodes_of(self.units[at])}

    def _shared(self, chosen: Sequence[int]) -> int:
        """Leading axes that all values of some units have in common; 0 where there are none."""
        inside = self._names(chosen)
        first = concrete(self.units[chosen[0]].result.type.shape)
        count = len(first)
        for at in chosen:
            unit = self.units[at]
            if not self.apart.isdisjoint(node.name for node in nodes_of(unit)):
                return 0
            if isinstance(unit, RowGroup):
                if unit.is_standing:
                    return 0
                count = min(count, len(unit.rows))
            elif not isinstance(unit.node, Map) and not _is_product(unit):
                return 0
            for node in nodes_of(unit):
                count = min(count, self._axes_of(node).common(inside, first))
        return count

    def _axes_of(self, node: Node) -> _Axes:
        """The axes of a node; it is asked for again with each unit that may join a group."""
        found = self.axes.get(node.name)
        if found is None:
            found = self.axes[node.name] = _axes(node)
        return found

    def _cut(self, chosen: Sequence[int]) -> BlockGroup | None:
        """The group of some units with the axis that is cut; None where it saves nothing."""
        shape = concrete(self.units[chosen[0]].result.type.shape)[: self._shared(chosen)]
        kept = tuple(name for at in chosen for name in self._kept(chosen, at))
        total = sum(self._bytes(name) for name in kept)
        if total <= self.core.l2_bytes // 2:
            return None  # it stays in the caches anyway
        for cut in range(len(shape)):
            each = total // prod(shape[: cut + 1])
            # A little more than a half: of two large values the numbers of their rows may be kept.
            most = min(shape[cut], self.core.l2_bytes * 9 // 16 // max(1, each))
            size = self._size(shape, cut, most)
            if size == 0:
                continue
            saved = 2 * total - self._read_again(chosen, shape, cut, size)
            if saved <= 0:
                return None
            units = tuple(self.units[at] for at in chosen)
            return BlockGroup(units, shape, cut, size, kept, saved)
        return None

    def _kept(self, chosen: Sequence[int], at: int) -> list[str]:
        """The values of a unit that only the group needs."""
        return [
            name
            for name in (node.name for node in stored(self.units[at]))
            if name not in self.outputs and set(self.users.get(name, ())) <= set(chosen)
        ]

    def _size(self, shape: tuple[int, ...], cut: int, most: int) -> int:
        """Indices of a block, so that threads get equal shares; 0 where there is no such size."""
        extent, threads = shape[cut], self.core.threads
        least = min(extent, -(-MIN_ROWS // prod(shape[cut + 1 :])))
        if most < least:
            return 0
        fewest = -(-extent // most)
        sizes = dict.fromkeys(-(-extent // blocks) for blocks in range(fewest, extent // least + 1))
        fair: list[int] = []
        for size in sizes:
            tasks = prod(shape[:cut]) * -(-extent // size)
            if tasks / (-(-tasks // threads) * threads) >= EVEN:
                fair.append(size)
        equal = (size for size in fair if extent % size == 0 and extent // size <= SPARE * fewest)
        return next(equal, fair[0] if fair else 0)

    def _read_again(
        self, chosen: Sequence[int], shape: tuple[int, ...], cut: int, size: int
    ) -> int:
        """Bytes of operands that come to each block anew, beyond reading them once."""
        inside, blocks = self._names(chosen), -(-shape[cut] // size)
        again = held = 0
        for node in (node for at in chosen for node in nodes_of(self.units[at])):
            names = _leading(node)
            for read in dict.fromkeys(reads(node.body) if isinstance(node, Contraction) else ()):
                if read.tensor in inside:
                    continue
                used = {name for form in read.access for name in form.indices}
                if names[cut] in used:
                    continue
                once = self._bytes(read.tensor)
                moved = prod(n for n, name in zip(shape, names, strict=False) if name in used)
                held += once // max(1, moved)
                again += once * (prod(shape[:cut]) // max(1, moved)) * blocks
        return 0 if held <= self.core.l2_bytes // 2 else again

    def _bytes(self, name: str) -> int:
        kind = self.types[name]
        return prod(concrete(kind.shape)) * kind.dtype.bytes


def _is_product(unit: Single) -> bool:
    """Whether a unit may be a register tile: what makes blocks worth it."""
    if not isinstance(unit, Group) or not isinstance(unit.node, Contraction):
        return False
    node = unit.node
    is_sum = node.agg is Aggregation.SUM and node.body.dtype in (F32, F64)
    return is_sum and node.default is None and len(reads(node.body)) > 1


def _leading(node: Node) -> tuple[str, ...]:
    """Indices that the first axes of a value are, as far as each is one of its own."""
    if isinstance(node, Map):
        return node.indices
    if not isinstance(node, Contraction):
        return ()
    names: list[str] = []
    for form in node.output:
        name = form.indices[0] if len(form.terms) == 1 else ""
        if not name or form != Affine.index(name) or name in names:
            break
        names.append(name)
    return tuple(names)


@dataclass(frozen=True, slots=True)
class _Axes:
    """What decides which leading axes a node has in common with others.

    Attributes:
        leading: Indices that the first axes of its value are, with their extents.
        reads: Values that it reads, and at which coordinates.
    """

    leading: tuple[tuple[str, int], ...]
    reads: tuple[tuple[str, tuple[Affine, ...]], ...]

    def common(self, inside: set[str], shape: tuple[int, ...]) -> int:
        """Leading axes of some extents, which are the coordinates of all that is read inside."""
        wanted = [access for name, access in self.reads if name in inside]
        count = 0
        for (name, extent), size in zip(self.leading, shape, strict=False):
            same = (Affine.index(name), *((Affine(),) if size == 1 else ()))
            reached = all(len(access) > count and access[count] in same for access in wanted)
            if extent != size or not reached:
                break
            count += 1
        return count


def _axes(node: Node) -> _Axes:
    if not isinstance(node, Contraction | Map) or (
        isinstance(node, Contraction) and (node.default is not None or node.constraints)
    ):
        return _Axes((), ())
    extents = zip(_leading(node), concrete(node.type.shape), strict=False)
    return _Axes(tuple(extents), tuple((read.tensor, read.access) for read in reads(node.body)))
