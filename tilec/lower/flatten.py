"""Flatten: accesses become offsets into buffers, and loops that run together become one.

Two neighbouring loops merge when every address moves along the outer one exactly as it would
move past the end of the inner one (``stride_outer == stride_inner * extent_inner`` everywhere),
so that a contiguous array of any rank is one long loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction

from tilec.lower.pieces import Part, Piece
from tilec.lower.translate import RESULT, Place
from tilec.records import dataclass
from tilec.tensor.affine import Affine
from tilec.tensor.forms import Axis, Form, form_of
from tilec.tensor.ir import Map
from tilec.tensor.scalar import IndexValue, Read, Scalar, at_indices, rewrite, walk


@dataclass(frozen=True, slots=True)
class Epilogue:
    """A map that is applied to each element of ``producer`` before it is stored."""

    map: Map
    producer: str

    def body(self, values: dict[str, Affine]) -> Scalar:
        """The map's body at some coordinates, with the element as ``RESULT``."""

        def change(node: Scalar) -> Scalar | None:
            if isinstance(node, Read) and node.tensor == self.producer:
                return Read(RESULT, (), node.dtype)
            return None

        return at_indices(rewrite(self.map.body, change), values)


@dataclass(frozen=True, slots=True)
class FlatPiece:
    """A piece whose reads have one coordinate, the offset in their buffer.

    Attributes:
        piece: Loops, constraints and bodies; ``piece.output`` keeps the coordinates.
        stores: Offset of the output element, then of the default element if there is one.
        epilogue: What is stored, as an expression of ``RESULT``; None for the result itself.
    """

    piece: Piece
    stores: tuple[Affine, ...]
    epilogue: Scalar | None = None


def flatten(
    piece: Piece,
    places: Mapping[str, Place],
    output: Place,
    default: Place | None,
    epilogue: Epilogue | None = None,
) -> FlatPiece:
    """Replace coordinates by offsets. Pieces with untested divisibility keep exact divisions."""
    parts = tuple(replace(part, body=_flat_body(part.body, places)) for part in piece.parts)
    targets = [output] if default is None else [output, default]
    stores = tuple(offset_of(place.strides, piece.output) for place in targets)
    if epilogue is None:
        return FlatPiece(replace(piece, parts=parts), stores)
    values = dict(zip(epilogue.map.indices, piece.output, strict=True))
    after = _flat_body(epilogue.body(values), places)
    return FlatPiece(replace(piece, parts=parts), stores, after)


def flat_places(places: Mapping[str, Place]) -> dict[str, Place]:
    """The places to translate flattened bodies with: every buffer has one axis of stride 1."""
    return {name: Place(place.buffer, (1,)) for name, place in places.items()}


def merge_loops(flat: FlatPiece) -> FlatPiece:
    """Merge neighbouring loops, output loops and the reduction loops of each part alike."""
    axes: list[Axis] = list(flat.piece.axes)
    at = len(axes) - 2
    while at >= 0:
        merged = _merge_outputs(flat, axes[at], axes[at + 1])
        if merged is not None:
            flat = merged
            axes = list(flat.piece.axes)
        at -= 1
    parts = tuple(_merge_reductions(part) for part in flat.piece.parts)
    return replace(flat, piece=replace(flat.piece, parts=parts))


def offsets(body: Scalar) -> tuple[Affine, ...]:
    """Offset of each read of a flattened body; a value that is at hand has none."""
    return tuple(node.access[0] for node in walk(body) if isinstance(node, Read) and node.access)


def _flat_body(body: Scalar, places: Mapping[str, Place]) -> Scalar:
    """A body whose reads have offsets for coordinates."""

    def change(node: Scalar) -> Scalar | None:
        if not isinstance(node, Read) or node.tensor == RESULT:
            return None
        return replace(node, access=(offset_of(places[node.tensor].strides, node.access),))

    return rewrite(body, change)


def offset_of(strides: tuple[int, ...], access: tuple[Affine, ...]) -> Affine:
    """Offset of some coordinates in a buffer."""
    total = Affine()
    for form, stride in zip(access, strides, strict=True):
        total = total + form * stride
    return total


def _merge_outputs(flat: FlatPiece, outer: Axis, inner: Axis) -> FlatPiece | None:
    piece = flat.piece
    forms = list(flat.stores)
    for part in piece.parts:
        if _pinned(part, outer.name, inner.name):
            return None
        forms += offsets(part.body)
    if flat.epilogue is not None:
        if any(isinstance(node, IndexValue) for node in walk(flat.epilogue)):
            return None
        forms += offsets(flat.epilogue)
    if not run_together(forms, outer, inner):
        return None
    axis, values = merged_axis(outer, inner)
    parts = tuple(replace(part, body=moved_body(part.body, values)) for part in piece.parts)
    axes = tuple(axis if a == inner else a for a in piece.axes if a != outer)
    stores = tuple(form.substitute(values) for form in flat.stores)
    after = None if flat.epilogue is None else moved_body(flat.epilogue, values)
    return FlatPiece(replace(piece, axes=axes, parts=parts), stores, after)


def _merge_reductions(part: Part) -> Part:
    at = len(part.axes) - 2
    while at >= 0:
        outer, inner = part.axes[at], part.axes[at + 1]
        if not _pinned(part, outer.name, inner.name) and run_together(
            list(offsets(part.body)), outer, inner
        ):
            axis, values = merged_axis(outer, inner)
            axes = (*part.axes[:at], axis, *part.axes[at + 2 :])
            part = replace(part, axes=axes, body=moved_body(part.body, values))
        at -= 1
    return part


def _pinned(part: Part, *names: str) -> bool:
    """Whether a guard or an index value needs one of the loops by itself."""
    forms: list[Form] = [*part.constraints, *part.divisible]
    forms += [form_of(node.form) for node in walk(part.body) if isinstance(node, IndexValue)]
    forms += [form for form in map(form_of, offsets(part.body)) if form.denominator > 1]
    return any(form.coefficient(name) for form in forms for name in names)


def run_together(forms: Iterable[Affine], outer: Axis, inner: Axis) -> bool:
    """Whether offsets move along the outer loop as they would past the end of the inner one."""
    if outer.low != 0 or inner.low != 0:
        return False
    for form in forms:
        coefficients, _ = form.rational()
        step = coefficients.get(inner.name, Fraction(0))
        if coefficients.get(outer.name, Fraction(0)) != step * inner.extent:
            return False
    return True


def merged_axis(outer: Axis, inner: Axis) -> tuple[Axis, dict[str, Affine]]:
    """The one loop, and what its offsets substitute: the outer loop adds nothing of its own."""
    name = f"{outer.name}.{inner.name}"  # no name of a program has a point in it
    values = {outer.name: Affine(), inner.name: Affine.index(name)}
    return Axis(name, 0, outer.extent * inner.extent), values


def moved_body(body: Scalar, values: Mapping[str, Affine]) -> Scalar:
    """A flattened body at other offsets."""

    def change(node: Scalar) -> Scalar | None:
        if isinstance(node, Read) and node.access:
            return replace(node, access=(node.access[0].substitute(values),))
        return None

    return rewrite(body, change)
