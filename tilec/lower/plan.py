"""Which loop of a piece becomes vectors: the loop order of a kernel without the optimiser.

The costs are relative: 1 for a contiguous vector access, a multiple of it for what the hardware
does lane by lane. They only have to rank the few loops of one kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from tilec.dtypes import DType
from tilec.lower.flatten import FlatPiece, offsets
from tilec.lower.pieces import Part
from tilec.tensor.forms import Axis, form_of
from tilec.tensor.ir import Aggregation

WIDE = 4
"""Registers a vector value spans in long loops: enough independent chains to hide FMA latency
(4 cycles, two a cycle, on current x86 cores) without spilling in small bodies."""

_BROADCAST, _UNIT, _REVERSE, _GATHER = 0.1, 1.0, 1.3, 6.0
_FOLD = 12.0
_PREDICATE = 1.6


@dataclass(frozen=True, slots=True)
class Plan:
    """The loop that becomes lanes.

    Attributes:
        vector: Name of the loop, None for scalar code.
        lanes: Lanes of one register for the widest type in the kernel.
        reduction: True when ``vector`` is a reduction loop (of part 0).
    """

    vector: str | None
    lanes: int
    reduction: bool = False

    def __str__(self) -> str:
        if self.vector is None:
            return "scalar"
        kind = "reduction" if self.reduction else "output"
        return f"vector {self.vector} ({kind}), {self.lanes} lanes x up to {WIDE}"


def choose(flat: FlatPiece, agg: Aggregation, widest: DType, vector_bytes: int) -> Plan:
    """The cheapest loop by the model above; scalar code when no loop has two iterations."""
    lanes = max(1, vector_bytes // widest.bytes)
    best = Plan(None, 1)
    best_cost = _scalar_cost(flat)
    if any(part.divisible for part in flat.piece.parts):
        return best
    for axis in flat.piece.axes:
        cost = _output_cost(flat, axis, lanes)
        if cost < best_cost:
            best, best_cost = Plan(axis.name, lanes), cost
    if len(flat.piece.parts) == 1 and agg is not Aggregation.ASSIGN:
        part = flat.piece.parts[0]
        for axis in part.axes:
            cost = _reduction_cost(part, axis, lanes)
            if cost < best_cost:
                best, best_cost = Plan(axis.name, lanes, reduction=True), cost
    return best


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
