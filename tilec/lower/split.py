"""Reduction splitting: long reductions into few elements, divided among tasks.

The outermost long reduction loop is cut into ranges, whose partial results stand in a scratch
buffer and are combined in order by a second, short reduction. For processors there are ``TASKS`` of
them: the number does not depend on the machine, so neither do the bits of the result. For devices
of groups there are as many as fill the device, which wants hundreds of groups, or many thousands of
items where neighbouring elements belong to neighbouring results.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import prod

from tilec.dtypes import DType
from tilec.kernel.ir import Buffer, VType
from tilec.lower.flatten import FlatPiece
from tilec.lower.pieces import Part, Piece
from tilec.records import dataclass
from tilec.target.gpu import Gpu
from tilec.tensor.affine import Affine
from tilec.tensor.forms import Axis, Form, form_of
from tilec.tensor.scalar import Read, at_indices, reads

TASKS = 64
"""Ranges of a split reduction: enough to balance any number of cores in use today."""

FEW_OUTPUTS = 64
"""Outputs from which on there is parallelism enough without splitting."""

MANY_POINTS = 1 << 18
"""Points of a reduction from which on splitting it pays."""

GROUPS = 4
"""Groups of a unit that reduce elements which lie side by side: enough to keep memory busy."""

GROUP_POINTS = 2048
ITEM_POINTS = 32
"""Points below which a range is not worth a group, and not worth an item."""

MOST_RANGES = 512
"""Ranges on devices, at most: what they leave is reduced, too."""

WHOLE = 32
"""Long ranges are multiples of this, so that items may take a few elements at once."""

TASK = ".task"


@dataclass(frozen=True, slots=True)
class Split:
    """The two steps of a split reduction.

    Attributes:
        partial: Computes a value of each range per element into the buffer.
        final: Combines them.
        buffer: Scratch for the partial results.
    """

    partial: FlatPiece
    final: FlatPiece
    buffer: Buffer


def split(flat: FlatPiece, dtype: DType, gpu: Gpu | None = None) -> Split | None:
    """Split the reduction of a piece, where it is long and has few outputs; else None."""
    piece = flat.piece
    outputs = prod(axis.extent for axis in piece.axes)
    if len(piece.parts) != 1 or not piece.covered or len(flat.stores) != 1:
        return None
    part = piece.parts[0]
    if part.divisible or outputs == 0:
        return None
    if outputs * prod(axis.extent for axis in part.axes) < MANY_POINTS:
        return None
    in_groups = gpu is None or _is_of_groups(flat, gpu)
    if gpu is None:
        tasks = TASKS if outputs < FEW_OUTPUTS else 1
    else:
        tasks = _ranges(flat, gpu, in_groups)
    if tasks < 2:
        return None
    cut = next((axis for axis in part.axes if axis.extent >= tasks), None)
    if cut is None:
        return None
    share = -(-cut.extent // tasks)
    if gpu is not None and share > WHOLE:
        share = -(-share // WHOLE) * WHOLE
    count = -(-cut.extent // share)
    task = Axis(TASK, 0, count)
    start = Affine(((TASK, Fraction(share)),), Fraction(cut.low))
    moved = {cut.name: Affine.index(cut.name) + start}
    inner = tuple(Axis(a.name, 0, share) if a is cut else a for a in part.axes)
    inside = Form(((TASK, -share), (cut.name, -1)), cut.extent - 1)
    constraints = [_at(form, moved) for form in part.constraints]
    if share * count != cut.extent:
        constraints.append(_sorted(inside))
    partial_part = Part(inner, tuple(constraints), (), at_indices(part.body, moved))
    slot = Affine()
    for axis in piece.axes:
        slot = slot * axis.extent + Affine.index(axis.name) - Affine.number(axis.low)
    # Neighbours in the second reduction are ranges, or elements if each has an item.
    number = Affine.index(TASK)
    slot = slot * count + number if in_groups else number * outputs + slot
    first = Piece((task, *piece.axes), (), (partial_part,), covered=True)
    name = ".partial"
    again = Part((task,), (), (), Read(name, (slot,), dtype))
    final = replace(flat, piece=replace(piece, parts=(again,)))
    buffer = Buffer(name, VType(dtype), outputs * count, writable=True)
    return Split(FlatPiece(first, (slot,)), final, buffer)


def _is_of_groups(flat: FlatPiece, gpu: Gpu) -> bool:
    """Whether a group reduces an element, for neighbours in memory are points of its reduction."""
    piece = flat.piece
    if prod(axis.extent for axis in piece.axes) < gpu.warp:
        return True
    part, inner = piece.parts[0], piece.axes[-1].name
    forms = [form_of(read.access[0]) for read in reads(part.body) if read.access]
    along = any(abs(form.coefficient(axis.name)) == 1 for form in forms for axis in part.axes)
    return along and not any(abs(form.coefficient(inner)) == 1 for form in forms)


def _ranges(flat: FlatPiece, gpu: Gpu, in_groups: bool) -> int:
    """Ranges that fill a device."""
    outputs = prod(axis.extent for axis in flat.piece.axes)
    points = prod(axis.extent for axis in flat.piece.parts[0].axes)
    wanted = GROUPS * gpu.units if in_groups else gpu.units * gpu.unit_items // 2
    worth = GROUP_POINTS if in_groups else ITEM_POINTS
    return min(wanted // outputs, points // worth, MOST_RANGES)


def _at(form: Form, values: dict[str, Affine]) -> Form:
    affine = Affine.build(((n, Fraction(f)) for n, f in form.terms), Fraction(form.const))
    return form_of(affine.substitute(values))


def _sorted(form: Form) -> Form:
    return Form(tuple(sorted(form.terms)), form.const, form.denominator)
