"""What the roofs of a kernel of plain loops are computed from: its loops and what they move."""

from __future__ import annotations

from tilec.lower.decide import Planned
from tilec.lower.plan import WIDE
from tilec.operations import OPERATIONS, Rule
from tilec.schedule.roofs import Nest, Stream
from tilec.schedule.values import Plan
from tilec.tensor.affine import Affine
from tilec.tensor.forms import Axis, form_of
from tilec.tensor.scalar import Apply, Read, Scalar, walk

_ELEMENTARY_CYCLES = 15.0
_DIVISION_CYCLES = 8.0
_CYCLES = 0.5
"""Of a vector operation: two start in a cycle."""


def nests_of(planned: Planned) -> tuple[Nest, ...]:
    """A nest for each part of a piece under a plan; the first one has the stores."""
    flat, plan = planned.flat, planned.plan
    piece = flat.piece
    outputs = [axis for axis in piece.axes if plan.reduction or axis.name != plan.vector]
    last = next((axis for axis in piece.axes if axis not in outputs), None)
    after = [] if flat.epilogue is None else [flat.epilogue]
    found: list[Nest] = []
    for part in piece.parts:
        inner = [axis for axis in part.axes if axis.name != plan.vector]
        lanes = last or next((axis for axis in part.axes if axis not in inner), None)
        loops = _loops(outputs, inner, lanes, plan)
        streams = [_stream(read, loops) for read in _reads(part.body)]
        if not found:
            streams += [_stream(read, loops, per_element=True) for e in after for read in _reads(e)]
            strides = _strides(flat.stores[0], loops)
            streams.append(Stream(planned.stored_bytes, strides, writes=True, per_element=True))
        cycles = _cycles(part.body) + (_CYCLES if part.axes else 0.0)
        extents = tuple(extent for _, extent, _ in loops)
        divided = plan.parallel is not None
        found.append(Nest(extents, max(1, plan.lanes), tuple(streams), cycles, divided))
    return tuple(found)


_Loop = tuple[str, int, int]
"""Index, iterations, and by how much each moves the index."""


def _loops(outputs: list[Axis], inner: list[Axis], lanes: Axis | None, plan: Plan) -> list[_Loop]:
    """All loops, outermost first; that of the lanes is cut into wide vectors."""
    loops = [(axis.name, axis.extent, 1) for axis in outputs]
    reductions = [(axis.name, axis.extent, 1) for axis in inner]
    if lanes is None:
        return [*loops, *reductions] or [("", 1, 1)]
    if plan.reduction:
        return [*loops, *reductions, (lanes.name, lanes.extent, 1)]
    wide = max(1, min(lanes.extent, plan.lanes * WIDE))
    blocks = (lanes.name, -(-lanes.extent // wide), wide)
    return [*loops, blocks, *reductions, (lanes.name, wide, 1)]


def _reads(body: Scalar) -> list[Read]:
    """Reads of arrays, each once."""
    found = [node for node in walk(body) if isinstance(node, Read) and node.access]
    return list(dict.fromkeys(found))


def _stream(read: Read, loops: list[_Loop], *, per_element: bool = False) -> Stream:
    strides = _strides(read.access[0], loops)
    return Stream(read.dtype.bytes, strides, per_element=per_element)


def _strides(offset: Affine, loops: list[_Loop]) -> tuple[int, ...]:
    form = form_of(offset)
    return tuple(form.coefficient(name) * step // form.denominator for name, _, step in loops)


def _cycles(body: Scalar) -> float:
    """Of one vector of a body."""
    total = 0.0
    for node in walk(body):
        if isinstance(node, Apply):
            if OPERATIONS[node.op].rule is Rule.MATH:
                total += _ELEMENTARY_CYCLES
            else:
                total += _DIVISION_CYCLES if node.op in ("div", "mod") else _CYCLES
    if isinstance(body, Apply) and body.op == "mul":
        total -= _CYCLES  # one with the addition that follows
    return total
