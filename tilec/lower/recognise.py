"""Recognises sums of products, whatever their indices are called and wherever they stand."""

from __future__ import annotations

from tilec.dtypes import F32, F64
from tilec.lower.flatten import FlatPiece, offsets
from tilec.lower.loops import Target
from tilec.schedule.product import Operand, Product
from tilec.tensor.forms import form_of
from tilec.tensor.ir import Aggregation
from tilec.tensor.scalar import Apply, IndexValue, Scalar, walk


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
