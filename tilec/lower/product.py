"""Recognises sums of products, whatever their indices are called and wherever they stand.

``O[..] = +(A[..] * B[..] * ...)`` divides its loops by what they move: the *vector* loop and others
like it move the output and one operand, the *row* loops move the output and the other operand,
batch loops move all three, reduction loops move no output. Factors that move along the vector
loop are multiplied into one operand, the rest into the other.
"""

from __future__ import annotations

from dataclasses import dataclass

from tilec.dtypes import F32, F64, DType
from tilec.lower.flatten import FlatPiece, offsets
from tilec.lower.forms import Form, form_of
from tilec.lower.loops import Target
from tilec.lower.pieces import Axis
from tilec.tensor.ir import Aggregation
from tilec.tensor.scalar import Apply, IndexValue, Read, Scalar, walk


@dataclass(frozen=True, slots=True)
class Operand:
    """One side of the product: a scalar expression over offsets, and those of its reads."""

    body: Scalar
    forms: tuple[Form, ...]

    @staticmethod
    def of(body: Scalar) -> Operand:
        """The operand with some body."""
        return Operand(body, tuple(form_of(form) for form in offsets(body)))

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

    def split(self, vector: str) -> tuple[Operand, Operand]:
        """The product of the factors that move along ``vector``, and that of the others."""
        moving = [f.body for f in self.factors if f.moves(vector)]
        still = [f.body for f in self.factors if not f.moves(vector)]
        return Operand.of(self._multiplied(moving)), Operand.of(self._multiplied(still))

    def _multiplied(self, bodies: list[Scalar]) -> Scalar:
        result = bodies[0]
        for body in bodies[1:]:
            result = Apply("mul", (result, body), self.dtype)
        return result


def recognise(flat: FlatPiece, target: Target) -> Product | str:
    """The product form of a piece, or the reason why it has none."""
    piece, dtype = flat.piece, target.accumulate
    if target.agg is not Aggregation.SUM or dtype not in (F32, F64):
        return "not a sum of f32 or f64 values"
    if len(piece.parts) != 1 or len(flat.stores) != 1:
        return "several reductions meet in an element, or elements have a default"
    part = piece.parts[0]
    if part.divisible or any(isinstance(node, IndexValue) for node in walk(part.body)):
        return "index values or untested divisibility"
    after = () if flat.epilogue is None else offsets(flat.epilogue)
    if flat.epilogue is not None and any(isinstance(n, IndexValue) for n in walk(flat.epilogue)):
        return "index values in the epilogue"
    forms = (*flat.stores, *offsets(part.body), *after)
    if any(form_of(form).denominator > 1 for form in forms):
        return "rational offsets"
    factors = tuple(Operand.of(body) for body in _factors(part.body))
    if len(factors) < 2:
        return "a single factor"
    return Product(
        piece.axes,
        part.axes,
        factors,
        form_of(flat.stores[0]),
        part.constraints,
        dtype,
        target.result,
        flat.epilogue,
        target.output.type.dtype,
    )


def _factors(body: Scalar) -> list[Scalar]:
    if isinstance(body, Apply) and body.op == "mul":
        return [factor for arg in body.args for factor in _factors(arg)]
    return [body]
