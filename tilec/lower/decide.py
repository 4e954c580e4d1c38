"""What callers ask of the schedules of kernels, and what was decided for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TypeAlias

from tilec.errors import ScheduleError
from tilec.lower.flatten import FlatPiece
from tilec.lower.loops import Target
from tilec.lower.units import Unit
from tilec.operations import OPERATIONS, Rule
from tilec.records import dataclass
from tilec.schedule.grouped import Grouped
from tilec.schedule.product import Product
from tilec.schedule.reduction import Reduction
from tilec.schedule.transformed import TransformPlan
from tilec.schedule.values import (
    DIRECT,
    Loops,
    OwnSchedule,
    Plan,
    Rewritten,
    Schedule,
    Streamed,
    Tiled,
)
from tilec.tensor.ir import Aggregation, Program
from tilec.tensor.scalar import Apply, Scalar, walk
from tilec.tensor.transformed import Transformed


@dataclass(frozen=True, slots=True)
class Planned:
    """A piece that runs as plain loops, and the bytes of an element that it stores."""

    flat: FlatPiece
    plan: Plan
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class Decision:
    """How a kernel was scheduled.

    Attributes:
        kernel: Its name.
        problem: What it is as a problem of the plan, or the reason why there is no register tile.
        plan: The register tile, the stream, the groups, or the transforms; None for plain loops.
        flops: Arithmetic operations, as if no constraint left a point out.
        ahead: Whether the vector operand is a constant that is packed ahead.
        pieces: Pieces, plans and types of the plain loops; none for a register tile.
        source: What a register tile or a stream was made of.
        fused: Names of the values that it computes, where there are several.
        saved_bytes: Traffic with memory that they would have as kernels of their own.
    """

    kernel: str
    problem: Product | Reduction | Transformed | str
    plan: Tiled | Streamed | Grouped | TransformPlan | None
    flops: int
    ahead: bool = False
    pieces: tuple[Planned, ...] = ()
    source: tuple[FlatPiece, Target] | None = None
    fused: tuple[str, ...] = ()
    saved_bytes: int = 0


Decide: TypeAlias = "Callable[[Decision], None]"


def kernel_name(program: Program, group: Unit) -> str:
    """Name of the kernel that computes a group."""
    return f"{program.name}_{group.result.name}"


def wanted_for(schedule: Schedule, name: str) -> OwnSchedule | None:
    """What the caller asks of a kernel; None leaves it to the cost model."""
    found = schedule.get(name, schedule.get(""))
    return found.then if isinstance(found, Rewritten) else found


def method_for(schedule: Schedule, name: str) -> str | None:
    """The method by which a caller wants a kernel to be computed; None says nothing of it."""
    found = schedule.get(name, schedule.get(""))
    return found.method if isinstance(found, Rewritten) else None


def check_names(schedule: Schedule, kernels: Sequence[str]) -> None:
    """See that every name of a schedule is that of one kernel.

    Raises:
        ScheduleError: it is not.
    """
    known = ", ".join(kernels)
    for name in schedule:
        if name == "" and len(kernels) != 1:
            raise ScheduleError(
                f"the schedule does not say for which of {len(kernels)} kernels it is",
                help=f"begin each line with one of the kernels {known}, and a colon",
            )
        if name and name not in kernels:
            raise ScheduleError(f"there is no kernel {name}", help=f"the kernels are {known}")


def check_methods(schedule: Schedule, rewritten: Mapping[str, str]) -> None:
    """See that kernels were rewritten as a schedule wants.

    Args:
        schedule: The schedule.
        rewritten: What was done, by kernel.

    Raises:
        ScheduleError: a kernel cannot be computed by the method.
    """
    for name, wanted in schedule.entries:
        if isinstance(wanted, Rewritten) and wanted.method not in (DIRECT, rewritten.get(name)):
            reason = f"the kernel cannot be computed by {wanted.method}"
            raise ScheduleError.illegal(name, wanted, reason)


def refuse(
    name: str, wanted: Tiled | Streamed | Grouped | TransformPlan | None, reason: str
) -> str:
    """The reason for plain loops.

    Raises:
        ScheduleError: the caller asked for something else.
    """
    if wanted is None:
        return reason
    raise ScheduleError.illegal(name, wanted, reason)


def obey(
    name: str,
    wanted: Loops,
    chosen: Sequence[Plan],
    flats: Sequence[FlatPiece],
    agg: Aggregation,
    most: int,
) -> list[Plan]:
    """The plans that a caller asks for, one per piece.

    Args:
        name: The kernel.
        wanted: What the caller asks for.
        chosen: What the cost model chose: a split reduction has its tasks from there.
        flats: The pieces.
        agg: How values of an element are combined.
        most: Lanes of a register.

    Raises:
        ScheduleError: they cannot be followed.
    """
    plans = list(wanted.plans) * (len(flats) if len(wanted.plans) == 1 else 1)
    reason = None
    if len(plans) != len(flats):
        reason = f"it has {len(plans)} loops for {len(flats)} pieces"
    for plan, flat in zip(plans, flats, strict=False):
        reason = reason or _illegal(plan, flat, agg, most)
    if len({plan.parallel is None for plan in plans}) > 1 and not _is_split(chosen):
        reason = reason or "either all pieces are divided among threads, or none is"
    if _is_split(chosen) and [p.parallel for p in plans] != [p.parallel for p in chosen]:
        tasks = "; ".join(map(str, chosen))
        reason = reason or f"the reduction is split among tasks as in '{tasks}'"
    if _is_split(chosen) and plans[0].vector == chosen[0].parallel:
        reason = reason or f"the tasks {plans[0].vector} cannot be vectors, too"
    if reason is not None:
        raise ScheduleError.illegal(name, wanted, reason)
    return plans


def flops_of(flats: Sequence[FlatPiece]) -> int:
    """Arithmetic operations of some pieces."""
    total = 0
    for flat in flats:
        outputs = prod(axis.extent for axis in flat.piece.axes)
        for part in flat.piece.parts:
            points = prod(axis.extent for axis in part.axes)
            total += outputs * points * (operations_of(part.body) + bool(part.axes))
        if flat.epilogue is not None:
            total += outputs * operations_of(flat.epilogue)
    return total


def operations_of(body: Scalar) -> int:
    """Arithmetic operations of one evaluation."""
    nodes = [node for node in walk(body) if isinstance(node, Apply)]
    return sum(OPERATIONS[node.op].rule is not Rule.CAST for node in nodes)


def _is_split(chosen: Sequence[Plan]) -> bool:
    """Whether the plans are the two halves of a split reduction."""
    return len({plan.parallel is None for plan in chosen}) > 1


def _illegal(plan: Plan, flat: FlatPiece, agg: Aggregation, most: int) -> str | None:
    outputs = [axis.name for axis in flat.piece.axes]
    if plan.parallel is not None:
        if plan.parallel not in outputs:
            return f"there is no output loop {plan.parallel} to divide among threads"
        if plan.parallel == plan.vector and len(outputs) > 1:
            return f"{plan.vector} can be both divided and made vectors only when it is alone"
    if plan.vector is None:
        return None
    if most < 2:
        return "there are no vectors, or the pass that makes them is switched off"
    if not 2 <= plan.lanes <= most or plan.lanes & (plan.lanes - 1):
        return f"a vector has {plan.lanes} lanes, but they are a power of two from 2 to {most}"
    if any(part.divisible for part in flat.piece.parts):
        return "an index that must divide evenly has to be tested one by one"
    if not plan.reduction:
        if plan.vector in outputs:
            return None
        return f"there is no output loop {plan.vector}; the output loops are {', '.join(outputs)}"
    if len(flat.piece.parts) != 1 or agg is Aggregation.ASSIGN:
        return "there is no single reduction to make vectors of"
    known = [axis.name for axis in flat.piece.parts[0].axes]
    if plan.vector in known:
        return None
    return f"there is no reduction loop {plan.vector}; there are {', '.join(known) or 'none'}"
