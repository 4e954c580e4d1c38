"""Scalar expressions of the tensor IR as Tile expressions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tilec.dtypes import DType, Kind
from tilec.errors import GradientError, InternalError
from tilec.lang import ast
from tilec.lang.express_sizes import SPAN, Sizes, integer
from tilec.operations import OPERATIONS
from tilec.records import dataclass
from tilec.tensor.affine import Affine
from tilec.tensor.scalar import Apply, IndexValue, Literal, Read, Scalar
from tilec.tensor.size import SizeExpr
from tilec.tensor.types import cast_function


@dataclass(frozen=True, slots=True)
class Values:
    """Spells surfaces.

    Attributes:
        sizes: Spells sizes and index expressions.
        in_brackets: True inside an aggregation, where tensors are read at coordinates.
        position: Gives the value of an index outside of aggregations.
    """

    sizes: Sizes
    in_brackets: bool
    position: Callable[[str], ast.Expr]

    def expression(self, value: Scalar) -> ast.Expr:
        """An expression of the text."""
        match value:
            case Literal():
                return literal(value)
            case Read():
                if not self.in_brackets:
                    return ast.Name(value.tensor, SPAN)
                forms = tuple(map(self.sizes.form, value.access))
                return ast.Access(value.tensor, forms, SPAN)
            case IndexValue():
                return self._index(value.form)
            case Apply(op="cast"):
                return cast_of(self.expression(value.args[0]), value.dtype)
            case Apply():
                return self._operation(value)

    def _index(self, form: Affine) -> ast.Expr:
        if not form.terms:
            const = form.const
            return self.sizes.value(const if isinstance(const, SizeExpr) else int(const))
        if form == Affine.index(form.indices[0]):
            return self.position(form.indices[0])
        raise InternalError(f"the position {form} has no spelling")

    def _operation(self, value: Apply) -> ast.Expr:
        args = tuple(map(self.expression, value.args))
        if value.op == "cond":
            test, then, otherwise = args
            return ast.Conditional(test, then, otherwise, True, SPAN)
        symbol = OPERATIONS[value.op].symbol
        if symbol is None:
            return ast.Call(value.op, args, SPAN)
        if len(args) == 1:
            return ast.Unary(symbol, args[0], SPAN)
        return ast.Binary(symbol, args[0], args[1], SPAN)


def literal(value: Literal) -> ast.Expr:
    """A constant of the text; of floats the shortest digits that mean the same f32."""
    number = value.value
    if isinstance(number, bool | int):
        return integer(int(number))
    if not np.isfinite(number):
        raise GradientError(f"the constant {number} cannot be written in Tile")
    text = str(np.float32(abs(number)))
    positive = ast.FloatLiteral(float(text), text, SPAN)
    return ast.Unary("-", positive, SPAN) if number < 0 else positive


def cast_of(value: ast.Expr, dtype: DType) -> ast.Expr:
    """A conversion."""
    if dtype.kind is Kind.BOOL:
        return ast.Call("as_bool", (value,), SPAN)
    return ast.Call(cast_function(dtype), (value, integer(dtype.bits)), SPAN)
