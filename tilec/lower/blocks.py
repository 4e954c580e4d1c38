"""Writes a kernel that goes block by block: products and what becomes of them, in the caches.

Each unit of the group is written as it would be alone, by register tiles, loops or rows, but for a
block of its values: the leading loops stand for coordinates that the block begins with. What only
the group needs lies in scratch memory of each thread. Blocks are divided among threads.

Assumes a group of ``blockgroups.py``. Guarantees the order of the additions of register tiles and
rows: it follows from the schedule and the sizes, so that the bits do not depend on the threads.
"""

from __future__ import annotations

from dataclasses import field, replace
from math import prod

from tilec.errors import ScheduleError
from tilec.kernel import build
from tilec.kernel.ir import INDEX, Buffer, Expr, For, If, Let, LoopKind, Stmt, Var
from tilec.lower import special
from tilec.lower.block import NUMBER, Block, outer
from tilec.lower.contraction import epilogue_of, target_of_node, tile_body
from tilec.lower.decide import flops_of
from tilec.lower.flatten import FlatPiece, flat_places, flatten, merge_loops
from tilec.lower.groups import Group
from tilec.lower.loops import LoopWriter, Target
from tilec.lower.pieces import pieces_of, pieces_of_map
from tilec.lower.plan import choose
from tilec.lower.recognise import recognise
from tilec.lower.rows import RowWriter, flops_of_rows
from tilec.lower.units import BlockGroup, RowGroup, stored
from tilec.lower.walk import renamed
from tilec.lower.work import Lowering, most_lanes, target_of
from tilec.records import dataclass
from tilec.schedule import model
from tilec.schedule.legal import illegal
from tilec.schedule.values import Blocked, Loops, Plan, Tiled
from tilec.tensor.ir import Contraction, Map

_TASK = ".task"
_ZERO = build.const(0)


def reblocked(name: str, group: BlockGroup, wanted: Blocked) -> BlockGroup:
    """The group with the blocks that a caller wants.

    Raises:
        ScheduleError: there are no such blocks.
    """
    if wanted.axis < len(group.shared) and 1 <= wanted.size <= group.shared[wanted.axis]:
        return replace(group, cut=wanted.axis, size=wanted.size)
    axes = ", ".join(f"{at} of {extent}" for at, extent in enumerate(group.shared))
    raise ScheduleError(
        f"the schedule of {name} is illegal: there are no {wanted}",
        help=f"its blocks are along one of the axes {axes}",
    )


@dataclass(slots=True)
class BlockWriter:
    """Writes one kernel; gathers its buffers, notes and operations."""

    group: BlockGroup
    work: Lowering
    locals: dict[str, Buffer] = field(default_factory=dict[str, Buffer])
    notes: list[str] = field(default_factory=list[str])
    lanes: int = 1
    flops: int = 0

    def body(self) -> special.Body | None:
        """The statements; None where a unit cannot be written for a block."""
        group = self.group
        for unit in group.units:
            for node in stored(unit):
                if node.name not in group.kept:
                    target_of(self.work, node)
        extent = group.shared[group.cut]
        full, rest = divmod(extent, group.size)
        whole = self._block(group.size, is_first=True)
        stmts = whole
        if whole is not None and rest:
            last = self._block(rest, is_first=False)
            if last is None:
                return None
            inside = build.compare("cmp_lt", build.var(NUMBER), build.const(full))
            stmts = [If(inside, tuple(whole), tuple(last))]
        if stmts is None:
            return None
        blocks = full + (rest > 0)
        tasks = prod(group.shared[: group.cut]) * blocks
        lets: list[Stmt] = []
        number = build.var(_TASK)
        for at in range(group.cut):
            below = blocks * prod(group.shared[at + 1 : group.cut])
            index = build.floor_div(number, below)
            if at and prod(group.shared[:at]) > 1:
                index = build.floor_mod(index, group.shared[at])
            lets.append(Let(Var(outer(at), INDEX), index))
        part = number if tasks == blocks else build.floor_mod(number, blocks)
        lets.append(Let(Var(NUMBER, INDEX), part))
        kind = LoopKind.SERIAL if "thread" in self.work.disable else LoopKind.PARALLEL
        loop = For(_TASK, _ZERO, build.const(tasks), (*lets, *stmts), kind=kind)
        kept = ", ".join(f"{name}: {self.work.types[name]}" for name in group.kept)
        note = f"blocks: {len(group.units)} kernels in one, {tasks} blocks, "
        note += f"{group.saved_bytes / 2**20:.1f} MiB of traffic saved, kept in blocks: {kept}"
        return special.Body(
            (loop,),
            tuple(self.locals.values()),
            (str(Blocked(group.cut, group.size)),),
            self.lanes,
            notes=(note, *self.notes),
        )

    def _block(self, size: int, *, is_first: bool) -> list[Stmt] | None:
        """The units of a block, one after the other."""
        block = Block.of(self.group, size, self.work.types)
        work = replace(
            self.work,
            core=replace(self.work.core, threads=1),
            disable=self.work.disable | {"thread"},
            places={**self.work.places, **block.places},
        )
        for place in block.places.values():
            self.locals[place.buffer.name] = place.buffer
        stmts: list[Stmt] = []
        for unit in self.group.units:
            if isinstance(unit, RowGroup):
                body = self._rows(work, unit, block)
            else:
                body = self._single(work, unit, block)
            if body is None:
                return None
            stmts += self._own(body)
            if is_first:
                self.notes += [f"{unit.result.name}: {line}" for line in body.schedule]
        return stmts

    def _rows(self, work: Lowering, unit: RowGroup, block: Block) -> special.Body:
        lanes = max(1, min(most_lanes(work, member.node) for member in unit.members))
        self._count(flops_of_rows(unit), block)
        return RowWriter(unit, work.places, lanes, threads=False, block=block).body()

    def _single(self, work: Lowering, unit: Group, block: Block) -> special.Body | None:
        node = unit.node
        if not isinstance(node, Contraction | Map):
            return None
        output = target_of(work, unit.result)
        found = pieces_of_map(node) if isinstance(node, Map) else pieces_of(node, work.types)
        if len(found) != 1 or len(found[0].parts) != 1:
            return None
        flat = flatten(found[0], work.places, output, None, epilogue_of(unit))
        self._count(flops_of([flat]), block)
        target = target_of_node(node, output, None)
        part = merge_loops(block.flat(flat, unit.result.name))
        if isinstance(node, Contraction):
            plan = self._tile(work, flat, part, block, target, node.name)
            problem = recognise(part, target)
            if plan is None or isinstance(problem, str):
                return None
            panel = _first_panel(plan, flat, block)
            return tile_body(work, problem, plan, target, node.name, panel)
        lanes = most_lanes(work, node)
        loops = choose(block.first(part), target.agg, lanes) if lanes else Plan(None, 1)
        writer = LoopWriter(flat_places(work.places), target)
        stmts = writer.piece(part, loops)
        return special.Body(stmts, tuple(writer.locals), (str(Loops((loops,))),), loops.lanes)

    def _count(self, flops: int, block: Block) -> None:
        """Count the operations of a unit, once: a smaller last block is written apart."""
        if block.size == block.step:
            self.flops += flops

    def _tile(
        self,
        work: Lowering,
        flat: FlatPiece,
        part: FlatPiece,
        block: Block,
        target: Target,
        name: str,
    ) -> Tiled | None:
        """The register tile for a part of a product; None where there is none.

        Panels that were made ahead are as wide as the tile of the whole product, and each block has
        to begin with one of them.
        """
        pieces = (merge_loops(flat), part, block.first(part))
        whole, some, problem = (recognise(each, target) for each in pieces)
        if isinstance(whole, str) or isinstance(some, str) or isinstance(problem, str):
            return None
        if "tile" in work.disable or work.core.vector_bytes == 0 or not problem.reductions:
            return None
        ahead, limit = name in work.panels, work.workspace_bytes
        found, _ = model.candidates(problem, work.core, ahead, limit)
        plans = [
            each
            for each in found
            if illegal(some, each.plan, work.core, ahead=ahead, workspace_bytes=limit) is None
        ]
        if ahead:
            made = model.choose(whole, self.work.core, ahead=True, workspace_bytes=limit)
            if isinstance(made, str):
                return None
            shape = (made.vector, made.vectors)
            plans = [each for each in plans if (each.plan.vector, each.plan.vectors) == shape]
            if _is_along(made, flat, block) and block.step % made.width:
                return None
        best = min(plans, key=lambda each: each.cycles, default=None)
        return None if best is None else best.plan

    def _own(self, body: special.Body) -> tuple[Stmt, ...]:
        """The statements of a unit, with names of their own for buffers that differ in size."""
        names: dict[str, str] = {}
        for held in body.locals:
            label, count = held.name, 0
            while self.locals.get(label, replace(held, name=label)) != replace(held, name=label):
                count += 1
                label = f"{held.name}.{count}"
            names[held.name] = label
            self.locals[label] = replace(held, name=label)
        self.lanes = max(self.lanes, body.lanes)
        return renamed(body.statements, {old: new for old, new in names.items() if old != new})


def _is_along(plan: Tiled, flat: FlatPiece, block: Block) -> bool:
    """Whether the loop that is cut into blocks is the one along the vectors of a register tile."""
    return plan.vector == flat.piece.axes[block.cut].name


def _first_panel(plan: Tiled, flat: FlatPiece, block: Block) -> Expr:
    """The first panel of a block among those that were made ahead for the whole product."""
    if not (plan.ahead and _is_along(plan, flat, block)):
        return _ZERO
    return build.mul(build.var(NUMBER), build.const(block.step // plan.width))
