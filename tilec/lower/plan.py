"""Which loop of a piece becomes vectors: the loop order of a kernel without the optimiser.

The costs are relative: 1 for a contiguous vector access, a multiple of it for what the hardware
does lane by lane. They only have to rank the few loops of one kernel.
"""

from __future__ import annotations

from math import prod

from tilec.lower.flatten import FlatPiece, offsets
from tilec.lower.pieces import Part
from tilec.operations import OPERATIONS, Rule
from tilec.schedule.values import Plan
from tilec.tensor.forms import Axis, form_of
from tilec.tensor.ir import Aggregation
from tilec.tensor.scalar import Apply, Scalar, walk

WIDE = 4
"""Registers a vector value spans in long loops: enough independent chains to hide FMA latency
(4 cycles, two a cycle, on current x86 cores) without spilling in small bodies."""

PARALLEL_CYCLES = 60_000
"""Work from which on a second thread pays: waking one that sleeps costs about 15 microseconds."""

AWAKE_CYCLES = 8_000
"""The same where a kernel before this one was divided: its threads still look for work, and a fork
and join of these takes half a microsecond."""

MIN_TASKS = 8
"""Iterations that a loop must have to be divided evenly enough."""

_BROADCAST, _UNIT, _REVERSE, _GATHER = 0.1, 1.0, 1.3, 6.0
_FOLD = 12.0
_PREDICATE = 1.6


def choose(flat: FlatPiece, agg: Aggregation, lanes: int, divided: str | None = None) -> Plan:
    """The cheapest loop for registers of ``lanes``; scalar code when no loop has two iterations.

    ``divided`` is a loop that is already divided among threads, so that it cannot become lanes.
    """
    best = Plan(None, 1, parallel=divided)
    best_cost = _scalar_cost(flat)
    if any(part.divisible for part in flat.piece.parts):
        return best
    for axis in flat.piece.axes:
        cost = _output_cost(flat, axis, lanes)
        if axis.name != divided and cost < best_cost:
            best, best_cost = Plan(axis.name, lanes, parallel=divided), cost
    if len(flat.piece.parts) == 1 and agg is not Aggregation.ASSIGN:
        part = flat.piece.parts[0]
        for axis in part.axes:
            cost = _reduction_cost(part, axis, lanes)
            if cost < best_cost:
                best, best_cost = Plan(axis.name, lanes, reduction=True, parallel=divided), cost
    return best


def parallel(flat: FlatPiece, plan: Plan, least: float = PARALLEL_CYCLES) -> str | None:
    """The output loop to divide among threads, when there are at least so many cycles of work."""
    outputs = prod(axis.extent for axis in flat.piece.axes)
    bodies = [(prod(a.extent for a in part.axes), part.body) for part in flat.piece.parts]
    bodies += [] if flat.epilogue is None else [(1, flat.epilogue)]
    work = outputs * sum(points * _work(body) for points, body in bodies)
    if work / max(1, plan.lanes) < least:
        return None
    serial = [axis for axis in flat.piece.axes if axis.name != plan.vector]
    if not serial and len(flat.piece.axes) == 1:
        return flat.piece.axes[0].name
    long = [axis for axis in serial if axis.extent >= MIN_TASKS]
    return long[0].name if long else None


def _work(body: Scalar) -> float:
    """Cycles of one vector of a body, roughly."""
    cycles = 1.0
    for node in walk(body):
        if isinstance(node, Apply):
            cycles += 15.0 if OPERATIONS[node.op].rule is Rule.MATH else 0.5
    return cycles


def _scalar_cost(flat: FlatPiece) -> float:
    return sum(1.0 + len(offsets(part.body)) for part in flat.piece.parts) + 1.0


def _output_cost(flat: FlatPiece, axis: Axis, lanes: int) -> float:
    if axis.extent < 2:
        return float("inf")
    cost = 0.0
    work = 1.0
    for part in flat.piece.parts:
        points = prod(a.extent for a in part.axes)
        work = max(work, points)
        each = 1.0 + sum(
            _access(form_of(form).coefficient(axis.name)) for form in offsets(part.body)
        )
        if any(form.coefficient(axis.name) for form in part.constraints):
            each *= _PREDICATE
        cost += each
    cost += sum(_access(form_of(form).coefficient(axis.name)) for form in flat.stores) / work
    return cost / _used(axis.extent, lanes)


def _reduction_cost(part: Part, axis: Axis, lanes: int) -> float:
    if axis.extent < 2:
        return float("inf")
    points = prod(a.extent for a in part.axes)
    each = 1.0 + sum(_access(form_of(form).coefficient(axis.name)) for form in offsets(part.body))
    return (each + _FOLD * lanes / points) / _used(axis.extent, lanes)


def _access(stride: int) -> float:
    """Cost of one vector access whose lanes are ``stride`` elements apart."""
    return {0: _BROADCAST, 1: _UNIT, -1: _REVERSE}.get(stride, _GATHER)


def _used(extent: int, lanes: int) -> float:
    """Lanes that do useful work per vector, on average."""
    return extent / -(-extent // lanes)
