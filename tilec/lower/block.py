"""One block: which coordinates its loops stand for, and where values lie that only it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import prod

from tilec.kernel.ir import Buffer, Scope, VType
from tilec.lower.flatten import FlatPiece
from tilec.lower.pieces import Piece, at_values
from tilec.lower.translate import Place, contiguous
from tilec.lower.units import BlockGroup
from tilec.records import dataclass
from tilec.tensor.affine import Affine
from tilec.tensor.forms import Axis
from tilec.tensor.ir import TensorType
from tilec.tensor.scalar import Read, Scalar, at_indices, rewrite
from tilec.tensor.size import concrete

NUMBER = ".part"
"""The variable that counts the blocks of the axis that is cut."""


def outer(axis: int) -> str:
    """The variable that is the coordinate of an axis before the one that is cut."""
    return f".at{axis}"


@dataclass(frozen=True, slots=True)
class Block:
    """A block of some size.

    Attributes:
        cut: Number of the axis that is cut.
        step: Indices of that axis in all blocks but the last.
        size: Indices in this one.
        places: Where values lie that only the block needs.
    """

    cut: int
    step: int
    size: int
    places: Mapping[str, Place]

    @staticmethod
    def of(group: BlockGroup, size: int, types: Mapping[str, TensorType]) -> Block:
        """A block of a group; what only it needs is in scratch memory."""
        places: dict[str, Place] = {}
        for name in group.kept:
            shape = (group.size, *concrete(types[name].shape)[group.cut + 1 :])
            held = Buffer(
                f".{name}.block",
                VType(types[name].dtype),
                prod(shape),
                scope=Scope.CACHE,
                writable=True,
            )
            places[name] = Place(held, (*(0 for _ in range(group.cut)), *contiguous(shape)))
        return Block(group.cut, group.size, size, places)

    def axes(self, axes: Sequence[Axis]) -> tuple[Axis, ...]:
        """The loops over some values that a block has of them."""
        return (Axis(axes[self.cut].name, 0, self.size), *axes[self.cut + 1 :])

    def values(self, axes: Sequence[Axis]) -> dict[str, Affine]:
        """The coordinates that the leading loops over some values stand for in a block."""
        found = {axis.name: Affine.index(outer(at)) for at, axis in enumerate(axes[: self.cut])}
        name = axes[self.cut].name
        return found | {name: Affine(((name, Fraction(1)), (NUMBER, Fraction(self.step))))}

    def body(self, body: Scalar, values: Mapping[str, Affine]) -> Scalar:
        """An expression over offsets, in a block."""

        def change(node: Scalar) -> Scalar | None:
            if isinstance(node, Read) and node.access:
                return replace(node, access=(self._own(node.tensor, node.access[0]),))
            return None

        return rewrite(at_indices(body, values), change)

    def store(self, name: str, form: Affine, values: Mapping[str, Affine]) -> Affine:
        """The offset at which a value is stored, in a block."""
        return self._own(name, form.substitute(values))

    def flat(self, flat: FlatPiece, name: str) -> FlatPiece:
        """The part of a piece of the value ``name`` that belongs to a block."""
        piece = flat.piece
        values = self.values(piece.axes)
        parts = tuple(at_values(part, values) for part in piece.parts)
        parts = tuple(replace(part, body=self.body(part.body, {})) for part in parts)
        output = tuple(form.substitute(values) for form in piece.output)
        after = None if flat.epilogue is None else self.body(flat.epilogue, values)
        stores = tuple(self.store(name, form, values) for form in flat.stores)
        return FlatPiece(Piece(self.axes(piece.axes), output, parts, piece.covered), stores, after)

    def first(self, flat: FlatPiece) -> FlatPiece:
        """A part as it is in the first block: like others, without variables from outside."""
        values = {outer(at): Affine() for at in range(self.cut)} | {NUMBER: Affine()}
        piece = flat.piece
        parts = tuple(at_values(part, values) for part in piece.parts)
        after = None if flat.epilogue is None else at_indices(flat.epilogue, values)
        stores = tuple(form.substitute(values) for form in flat.stores)
        return FlatPiece(replace(piece, parts=parts), stores, after)

    def _own(self, name: str, form: Affine) -> Affine:
        """An offset, counted from the first element of the block where only that one is kept."""
        place = self.places.get(name)
        if place is None:
            return form
        begin = self.step * place.strides[self.cut]
        return form + Affine(((NUMBER, Fraction(-begin)),))
