"""Reduction splitting: long reductions into few elements, divided among tasks.

The outermost long reduction loop is cut into ``TASKS`` ranges, whose partial results stand in a
scratch buffer and are combined in order by a second, short reduction. The number of ranges does not
depend on the machine, so neither do the bits of the result.
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
from tilec.tensor.affine import Affine
from tilec.tensor.forms import Axis, Form, form_of
from tilec.tensor.scalar import Read, at_indices

TASKS = 64
"""Ranges of a split reduction: enough to balance any number of cores in use today."""

FEW_OUTPUTS = 64
"""Outputs from which on there is parallelism enough without splitting."""

MANY_POINTS = 1 << 18
"""Points of a reduction from which on splitting it pays."""

TASK = ".task"


@dataclass(frozen=True, slots=True)
class Split:
    """The two steps of a split reduction.

    Attributes:
        partial: Computes ``TASKS`` values per element into the buffer.
        final: Combines them.
        buffer: Scratch for the partial results.
    """

    partial: FlatPiece
    final: FlatPiece
    buffer: Buffer


def split(flat: FlatPiece, dtype: DType) -> Split | None:
    """Split the reduction of a piece, where it is long and has few outputs; else None."""
    piece = flat.piece
    outputs = prod(axis.extent for axis in piece.axes)
    if len(piece.parts) != 1 or not piece.covered or len(flat.stores) != 1:
        return None
    part = piece.parts[0]
    if part.divisible or outputs >= FEW_OUTPUTS or outputs == 0:
        return None
    if outputs * prod(axis.extent for axis in part.axes) < MANY_POINTS:
        return None
    cut = next((axis for axis in part.axes if axis.extent >= TASKS), None)
    if cut is None:
        return None
    share = -(-cut.extent // TASKS)
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
    slot = slot * count + Affine.index(TASK)
    first = Piece((task, *piece.axes), (), (partial_part,), covered=True)
    name = ".partial"
    again = Part((task,), (), (), Read(name, (slot,), dtype))
    final = replace(flat, piece=replace(piece, parts=(again,)))
    buffer = Buffer(name, VType(dtype), outputs * count, writable=True)
    return Split(FlatPiece(first, (slot,)), final, buffer)


def _at(form: Form, values: dict[str, Affine]) -> Form:
    affine = Affine.build(((n, Fraction(f)) for n, f in form.terms), Fraction(form.const))
    return form_of(affine.substitute(values))


def _sorted(form: Form) -> Form:
    return Form(tuple(sorted(form.terms)), form.const, form.denominator)
