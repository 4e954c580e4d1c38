"""Sums of products: the problems that register tiles solve.

``O[..] = +(A[..] * B[..] * ...)`` divides its loops by what they move: the *vector* loop and others
like it move the output and one operand, the *row* loops move the output and the other operand,
batch loops move all three, reduction loops move no output. Of a tile's operands the *moving* one is
the product of the factors that move along the vector loop and are the same for all rows; the rest
makes the *still* one, of which each row has its own. A still operand that moves along the vector
loop, too, is read as vectors (the image of a depthwise convolution), else it is broadcast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import Final

from tilec.dtypes import DType
from tilec.records import dataclass
from tilec.tensor.forms import Axis, Form, form_of
from tilec.tensor.scalar import Apply, Read, Scalar, reads, rewrite

_MOST_POINTS: Final = 1 << 16
"""Points of loops that are tested one by one, at most."""


@dataclass(frozen=True, slots=True)
class Operand:
    """One side of the product: a scalar expression over offsets, and those of its reads."""

    body: Scalar
    forms: tuple[Form, ...]

    @staticmethod
    def of(body: Scalar) -> Operand:
        """The operand with some body."""
        return Operand(body, tuple(form_of(read.access[0]) for read in reads(body)))

    def steps(self, name: str) -> tuple[int, ...]:
        """How far each read moves when the loop ``name`` moves by 1."""
        return tuple(form.coefficient(name) for form in self.forms)

    def moves(self, name: str) -> bool:
        """Whether the value depends on the loop."""
        return any(self.steps(name))

    @property
    def is_read(self) -> bool:
        """Whether it is one array element without arithmetic."""
        return isinstance(self.body, Read)


@dataclass(frozen=True, slots=True)
class Product:
    """A sum of products over rectangular loops with affine constraints.

    Attributes:
        axes: Output loops, outermost first.
        reductions: Reduction loops, outermost first.
        factors: What is multiplied.
        store: Offset of the output element.
        constraints: Forms that must be >= 0.
        dtype: Type in which products are formed and summed.
        result: Type of the sum before the epilogue.
        epilogue: What is stored, as an expression of ``RESULT``; None for the sum itself.
        stored: Type of the stored elements.
    """

    axes: tuple[Axis, ...]
    reductions: tuple[Axis, ...]
    factors: tuple[Operand, ...]
    store: Form
    constraints: tuple[Form, ...]
    dtype: DType
    result: DType
    epilogue: Scalar | None
    stored: DType

    def is_shared(self, factor: Operand, vector: str, row: str | None) -> bool:
        """Whether a factor moves along ``vector`` and is the same for all rows."""
        return factor.moves(vector) and (row is None or not factor.moves(row))

    def split(self, vector: str, row: str | None) -> tuple[Operand, Operand]:
        """The moving and the still operand of a tile; ``legal`` says whether there are both."""
        moving = [f for f in self.factors if self.is_shared(f, vector, row)]
        still = [f for f in self.factors if not self.is_shared(f, vector, row)]
        return self._multiplied(moving), self._multiplied(still)

    def unnamed(self) -> Product:
        """The product with numbers for the names of tensors: equal for all layers of a kind."""
        numbers: dict[str, str] = {}

        def change(node: Scalar) -> Scalar | None:
            if not isinstance(node, Read):
                return None
            return replace(node, tensor=numbers.setdefault(node.tensor, str(len(numbers))))

        factors = tuple(replace(f, body=rewrite(f.body, change)) for f in self.factors)
        after = None if self.epilogue is None else rewrite(self.epilogue, change)
        return replace(self, factors=factors, epilogue=after)

    def share_inside(self) -> float:
        """Share of all points that the constraints leave; 0 where counting them takes long.

        Constraints that have no loop in common leave shares that multiply.
        """
        extents = {axis.name: axis for axis in (*self.axes, *self.reductions)}
        waiting, share = list(self.constraints), 1.0
        while waiting:
            some = [waiting.pop()]
            names = {name for name, _ in some[0].terms}
            while more := [form for form in waiting if names & {name for name, _ in form.terms}]:
                some += more
                names |= {name for form in more for name, _ in form.terms}
                waiting = [form for form in waiting if form not in more]
            loops = [extents[name] for name in sorted(names)]
            count = prod(axis.extent for axis in loops)
            if count > _MOST_POINTS:
                return 0.0
            points = product(*(range(axis.low, axis.high) for axis in loops))
            share *= sum(_is_inside(some, loops, point) for point in points) / max(1, count)
        return share

    def _multiplied(self, factors: list[Operand]) -> Operand:
        body = factors[0].body
        for factor in factors[1:]:
            body = Apply("mul", (body, factor.body), self.dtype)
        return Operand(body, tuple(form for factor in factors for form in factor.forms))


def _is_inside(forms: Sequence[Form], loops: Sequence[Axis], point: tuple[int, ...]) -> bool:
    values = {axis.name: (at, at) for axis, at in zip(loops, point, strict=True)}
    return all(form.range(values)[0] >= 0 for form in forms)
