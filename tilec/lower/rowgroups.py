"""Which nodes share their loops over rows: chains and sets of reductions and maps.

A softmax reads each row three times, for its largest element, for the sum and for the quotients.
Nodes whose outputs begin with the same axes, and that need nothing of each other but the same row,
become one kernel: its outer loops run over the rows, and what one node leaves to the next stays in
registers and in a buffer of one row.

Assumes a verified program with bound sizes. Guarantees that groups do not depend on each other in a
circle, that every element of a reduction is used once per reduction (a product of matrices is none
of these), and that a group moves fewer bytes than its nodes would on their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import TypeAlias

from tilec.lower.groups import Group
from tilec.lower.plan import MIN_TASKS
from tilec.lower.translate import contiguous
from tilec.lower.units import Kind, Member, RowGroup, Single, nodes_of, ordered
from tilec.operations import OPERATIONS, Rule
from tilec.records import dataclass
from tilec.target.core import Core
from tilec.tensor.affine import Affine
from tilec.tensor.forms import Axis
from tilec.tensor.ir import Aggregation, Contraction, Map, Node, Program, TensorType, operands
from tilec.tensor.scalar import Apply, IndexValue, Read, Scalar, at_indices, reads, rewrite, walk
from tilec.tensor.size import concrete

FEW_ROWS_ELEMS = 1 << 16
"""Elements from which on fewer than ``MIN_TASKS`` rows would leave threads without work."""

CHEAP_OPERATIONS = 2
"""Operations on an element that are repeated in each pass rather than kept in the row's buffer."""


_Frame: TypeAlias = tuple[tuple[Axis, ...], tuple[Axis, ...]]
"""Loops over rows, and over the elements of a row."""


def row_groups(
    program: Program,
    units: Sequence[Group],
    strides: Mapping[str, tuple[int, ...]],
    core: Core,
    apart: frozenset[str] = frozenset(),
) -> tuple[Single, ...]:
    """The kernels of a program with those over common rows put together, in a legal order.

    Args:
        program: The program.
        units: Its kernels so far.
        strides: Strides of the inputs; other values are contiguous.
        core: Its caches bound what a group keeps of a row.
        apart: Nodes that have a kernel of another kind.
    """
    found, types = list[Single](units), program.types()
    owner: dict[str, Single] = {node.name: unit for unit in units for node in nodes_of(unit)}
    users: dict[str, list[Node]] = {}
    for node in program.nodes:
        for name in operands(node):
            users.setdefault(name, []).append(node)
    for unit in units:
        if unit not in found or not _is_free(unit, apart):
            continue
        frame = _frame(unit.node, types) or _frame_of_chain(unit, users, owner, types, core)
        if frame is None:
            continue
        search = _Search(program, types, frame, units, owner, users, apart)
        chosen = search.grow(unit)
        group = search.group(chosen)
        group = None if group is None else _fitted(group, types, strides, core)
        if group is None:
            continue
        at = max(found.index(each) for each in chosen)
        found[at] = group
        found = [each for each in found if each not in chosen]
        owner.update((node.name, group) for node in group.nodes)
    return tuple(found) if len(found) == len(units) else ordered(found)


@dataclass(slots=True)
class _Search:
    """Grows one group.

    Attributes:
        program: The program.
        types: Types of its values.
        frame: Loops that the members of the group share.
        units: The kernels that may go along.
        owner: The kernel or group so far that computes a value.
        users: The nodes that read a value.
        apart: Nodes that have a kernel of another kind.
    """

    program: Program
    types: Mapping[str, TensorType]
    frame: _Frame
    units: Sequence[Group]
    owner: Mapping[str, Single]
    users: Mapping[str, Sequence[Node]]
    apart: frozenset[str]

    def grow(self, seed: Group) -> list[Group]:
        """The units that go with the first one."""
        chosen = [seed]
        members = self._members(seed) or ()
        if not self._is_valid(members):
            return chosen
        known: dict[str, tuple[Member, ...] | None] = {}
        grown = True
        while grown:
            grown = False
            for unit in self._near(chosen):
                name = unit.result.name
                given = known[name] if name in known else self._members(unit)
                known[name] = given
                if not given or not _connected(members, given):
                    continue
                trial = (*members, *given)
                if not self._is_valid(trial) or self._in_a_circle([*chosen, unit]):
                    continue
                chosen, members, grown = [*chosen, unit], trial, True
        return chosen

    def _near(self, chosen: Sequence[Group]) -> list[Group]:
        """Units that touch a value which some units touch, in their order."""
        nodes = [node for unit in chosen for node in nodes_of(unit)]
        touched = {name for node in nodes for name in (node.name, *operands(node))}
        near = {name for name in touched if name in self.owner}
        near.update(user.name for name in touched for user in self.users.get(name, ()))
        owners = {id(self.owner[name]): self.owner[name] for name in near}
        inside = {id(unit) for unit in chosen}
        found = [each for each in owners.values() if isinstance(each, Group)]
        place = {node.name: at for at, node in enumerate(self.program.nodes)}
        found.sort(key=lambda unit: place[unit.result.name])
        return [unit for unit in found if id(unit) not in inside]

    def group(self, chosen: Sequence[Group]) -> RowGroup | None:
        """The group of some units; None where it saves nothing."""
        inside = [member for unit in chosen for member in self._members(unit) or ()]
        order = {node.name: at for at, node in enumerate(self.program.nodes)}
        members = tuple(sorted(inside, key=lambda member: order[member.name]))
        names = {member.name for member in members}
        outputs = names & {output.value for output in self.program.outputs}
        for node in self.program.nodes:
            if node.name not in names:
                outputs |= names.intersection(operands(node))
        if not outputs:
            return None
        before = sum(self._traffic(nodes_of(unit)) for unit in chosen)
        nodes = tuple(member.node for member in members)
        saved = before - self._traffic(nodes, frozenset(outputs))
        if saved <= 0:
            return None
        kept = _without_cheap(members, outputs, self.frame)
        return RowGroup(*self.frame, kept, nodes, frozenset(outputs), saved)

    def _members(self, unit: Group) -> tuple[Member, ...] | None:
        if not _is_free(unit, self.apart):
            return None
        found = [_member(node, self.frame, self.types) for node in nodes_of(unit)]
        return None if None in found else tuple(each for each in found if each is not None)

    def _is_valid(self, members: Iterable[Member]) -> bool:
        """Whether members need nothing of each other but the same row."""
        rows, columns = self.frame
        kinds = {member.name: member.kind for member in members}
        here = tuple(Affine.index(axis.name) for axis in rows)
        element = (*here, *(Affine.index(axis.name) for axis in columns))
        for member in members:
            for read in reads(member.body):
                kind = kinds.get(read.tensor)
                if kind is Kind.ROW and read.access != element:
                    return False
                if kind is not None and read.access[: len(here)] != here:
                    return False
        return True

    def _in_a_circle(self, chosen: Sequence[Group]) -> bool:
        """Whether a group would need a value that needs one of its own."""
        inside = {node.name for unit in chosen for node in nodes_of(unit)}
        pending = [node for name in inside for node in self.users.get(name, ())]
        pending = [node for node in pending if node.name not in inside]
        seen: set[str] = set()
        while pending:
            reached = [n for n in nodes_of(self.owner[pending.pop().name]) if n.name not in seen]
            seen.update(node.name for node in reached)
            after = [user for node in reached for user in self.users.get(node.name, ())]
            if any(node.name in inside for node in after):
                return True
            pending += after
        return False

    def _traffic(self, nodes: Sequence[Node], stored: frozenset[str] | None = None) -> int:
        """Bytes of the large tensors that a kernel of these nodes reads and writes."""
        names = {node.name for node in nodes}
        touched = {name for node in nodes for name in operands(node)} - names
        if stored is None:
            last = nodes[-1].name  # of a unit, which keeps what its epilogue reads in registers
            stored = frozenset((last,))
        touched |= stored
        return sum(map(self._large_bytes, sorted(touched)))

    def _large_bytes(self, name: str) -> int:
        kind = self.types[name]
        elems = prod(concrete(kind.shape))
        large = prod(axis.extent for axes in self.frame for axis in axes)
        return elems * kind.dtype.bytes if elems >= large else 0


def _is_free(unit: Group, apart: frozenset[str]) -> bool:
    return apart.isdisjoint(node.name for node in nodes_of(unit))


def _frame(node: Node, types: Mapping[str, TensorType]) -> _Frame | None:
    """The loops of the rows that a reduction has; None when it is no such reduction."""
    if not isinstance(node, Contraction) or node.agg is Aggregation.ASSIGN:
        return None
    rows: list[str] = []
    for at, form in enumerate(node.output):
        plain = _plain(form)
        if plain is None or plain in rows:
            if any(form != Affine() for form in node.output[at:]):
                return None
            break
        rows.append(plain)
    if not rows or node.default is not None or node.constraints:
        return None
    extents: dict[str, int] = {}
    wide: tuple[str, ...] | None = None
    for read in reads(node.body):
        for form, size in zip(read.access, concrete(types[read.tensor].shape), strict=True):
            plain = _plain(form)
            if plain is None and form != Affine():
                return None
            if plain is not None and extents.setdefault(plain, size) != size:
                return None
        names = tuple(form.indices[0] for form in read.access if form.terms)
        if wide is None and set(names) == set(node.indices) and len(set(names)) == len(names):
            wide = names
    if wide is None or any(isinstance(each, IndexValue) for each in walk(node.body)):
        return None
    shape = concrete(node.type.shape)
    outer = tuple(Axis(name, 0, extents[name]) for name in rows)
    inner = tuple(Axis(name, 0, extents[name]) for name in wide if name not in rows)
    if not inner or any(a.extent != n for a, n in zip(outer, shape, strict=False)):
        return None
    if any(n != 1 for n in shape[len(outer) :]) or 0 in extents.values():
        return None
    return outer, inner


def _frame_of_chain(
    unit: Group,
    users: Mapping[str, Sequence[Node]],
    owner: Mapping[str, Single],
    types: Mapping[str, TensorType],
    core: Core,
) -> _Frame | None:
    """The loops of a map that another one reads, element by element; None for any other."""
    node, shape = unit.node, concrete(unit.node.type.shape)
    if not isinstance(node, Map) or len(shape) < 2 or 0 in shape:
        return None
    if not any(
        isinstance(each, Map) and owner[each.name] is not unit and _reads_elements(each, node)
        for each in users.get(node.name, ())
    ):
        return None
    axes = tuple(Axis(name, 0, size) for name, size in zip(node.indices, shape, strict=True))
    at = len(axes) - 1
    while at > 1 and prod(shape[at:]) < core.lanes(4):
        at -= 1
    return axes[:at], axes[at:]


def _reads_elements(reader: Map, node: Map) -> bool:
    here = tuple(map(Affine.index, reader.indices))
    found = [read.access for read in reads(reader.body) if read.tensor == node.name]
    return reader.type.shape == node.type.shape and all(access == here for access in found)


def _plain(form: Affine) -> str | None:
    """The index that a coordinate is."""
    name = form.indices[0] if len(form.terms) == 1 else ""
    return name if name and form == Affine.index(name) else None


def _member(node: Node, frame: _Frame, types: Mapping[str, TensorType]) -> Member | None:
    """A node over the loops of a frame; None where it does not fit."""
    rows, columns = frame
    if isinstance(node, Contraction):
        own = _frame(node, types)
        if own is None or [[a.extent for a in axes] for axes in own] != [
            [axis.extent for axis in axes] for axes in frame
        ]:
            return None
        names = [axis.name for axes in own for axis in axes]
        kind = Kind.REDUCTION
    elif isinstance(node, Map):
        shape = concrete(node.type.shape)
        if shape[: len(rows)] != tuple(axis.extent for axis in rows):
            return None
        names, rest = list(node.indices), shape[len(rows) :]
        is_row = rest == tuple(axis.extent for axis in columns)
        if not is_row and any(n != 1 for n in rest):
            return None
        kind = Kind.ROW if is_row and prod(rest) > 1 else Kind.SCALAR
    else:
        return None
    loops = (*rows, *columns) if kind is not Kind.SCALAR else rows
    values = dict.fromkeys(names, Affine())
    values |= {old: Affine.index(axis.name) for old, axis in zip(names, loops, strict=False)}
    return Member(node, kind, at_indices(node.body, values))


def _connected(members: Sequence[Member], others: Sequence[Member]) -> bool:
    """Whether one reads a value of the other, or both the same elements."""

    def names(some: Sequence[Member]) -> set[object]:
        return {member.name for member in some}

    def touched(some: Sequence[Member]) -> set[object]:
        return {read.tensor for member in some for read in reads(member.body)}

    def elements(some: Sequence[Member]) -> set[object]:
        wide = [member for member in some if member.kind is not Kind.SCALAR]
        return {(read.tensor, read.access) for member in wide for read in reads(member.body)}

    chained = names(members) & touched(others) or touched(members) & names(others)
    return bool(chained or elements(members) & elements(others))


def _without_cheap(
    members: tuple[Member, ...], outputs: Iterable[str], frame: _Frame
) -> tuple[Member, ...]:
    """The members, with maps of few operations put into those that read them."""
    columns = frozenset(axis.name for axis in frame[1])
    stored = set(outputs)
    elements = frozenset(member.name for member in members if member.kind is Kind.ROW)
    cheap: dict[str, Scalar] = {}
    kept: list[Member] = []

    def inlined(scalar: Scalar) -> Scalar | None:
        return cheap.get(scalar.tensor) if isinstance(scalar, Read) else None

    for member in members:
        member = replace(member, body=rewrite(member.body, inlined))
        is_free = member.kind is Kind.ROW and member.name not in stored
        if is_free and _is_cheap(member.body, lambda value: varies(value, columns, elements)):
            cheap[member.name] = member.body
        else:
            kept.append(member)
    return tuple(kept)


def _is_cheap(body: Scalar, moves: Callable[[Scalar], bool]) -> bool:
    """Whether computing a value again costs no more than a load or two."""
    ops = [node for node in walk(body) if isinstance(node, Apply) and moves(node)]
    heavy = any(OPERATIONS[node.op].rule is Rule.MATH for node in ops)
    loads = {node for node in walk(body) if isinstance(node, Read) and moves(node)}
    return len(ops) <= CHEAP_OPERATIONS and not heavy and len(loads) <= 1


def varies(scalar: Scalar, columns: frozenset[str], elements: frozenset[str]) -> bool:
    """Whether a value differs between the elements of a row.

    Args:
        scalar: The value.
        columns: Names of the loops over a row.
        elements: Names of values that have an element for each.
    """
    for node in walk(scalar):
        if isinstance(node, Read):
            if node.tensor in elements:
                return True
            if any(not columns.isdisjoint(form.indices) for form in node.access):
                return True
        elif isinstance(node, IndexValue) and not columns.isdisjoint(node.form.indices):
            return True
    return False


def _fitted(
    group: RowGroup,
    types: Mapping[str, TensorType],
    strides: Mapping[str, tuple[int, ...]],
    core: Core,
) -> RowGroup | None:
    """The group, if vectors fit its elements and the caches what it keeps."""
    width = prod(axis.extent for axis in group.columns)
    rows = prod(axis.extent for axis in group.rows)
    names = {member.name for member in group.members}
    outside = [
        (read, strides.get(read.tensor) or contiguous(concrete(types[read.tensor].shape)))
        for member in group.members
        for read in reads(member.body)
        if read.tensor not in names
    ]
    if all(_step(read, steps, group.columns[-1]) <= 1 for read, steps in outside):
        if 2 * width < core.lanes(4) or (rows < MIN_TASKS and rows * width > FEW_ROWS_ELEMS):
            return None
        kept = {m.name: m.node.type for m in group.members if m.kind is Kind.ROW}
        moving = [read for read, steps in outside if _step(read, steps, group.columns[-1])]
        kept |= {read.tensor: types[read.tensor] for read in moving}
        needed = width * sum(kind.dtype.bytes for kind in kept.values())
        return group if needed <= core.l2_bytes // 2 else None
    if any(_step(read, steps, group.rows[-1]) > 1 for read, steps in outside):
        return None
    reductions = [member for member in group.members if member.kind is Kind.REDUCTION]
    if len(reductions) + sum(m.kind is Kind.SCALAR for m in group.members) < len(group.members):
        return None
    if any(read.tensor in names for member in reductions for read in reads(member.body)):
        return None
    sums = rows * len(reductions) * _SUM_BYTES
    if 2 * rows < core.lanes(4) or sums > core.l2_bytes // 2:
        return None
    return replace(group, is_standing=True)


_SUM_BYTES = 8
"""Of a sum that is long enough to be kept in f64."""


def _step(read: Read, strides: tuple[int, ...], axis: Axis) -> int:
    """By how much one iteration of a loop moves a read."""
    used = zip(read.access, strides, strict=True)
    return int(abs(sum(step * form.rational()[0].get(axis.name, 0) for form, step in used)))
