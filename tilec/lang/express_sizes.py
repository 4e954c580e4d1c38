"""Sizes and index expressions of the tensor IR as Tile expressions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from fractions import Fraction
from typing import Final, TypeAlias

from tilec.errors import GradientError
from tilec.lang import ast
from tilec.operations import OPERATIONS
from tilec.records import dataclass
from tilec.source import Source, Span
from tilec.tensor.affine import Affine
from tilec.tensor.size import Coefficient, Size, SizeExpr

SPAN: Final = Span(Source("<derived>", ""), 0, 0)
"""Place of everything that stands in no text."""

_IN_BRACKETS: Final = {"add": "+", "sub": "-", "mul": "*", "exact_div": "/"}
"""What index expressions know; there ``/`` is exact."""

_Part: TypeAlias = "Size | Fraction"


@dataclass(slots=True)
class Sizes:
    """Spells sizes. What brackets cannot hold becomes a statement before.

    Attributes:
        fresh: Gives a name that nothing has.
        emit: Takes such a statement.
        names: The statements so far, by what they compute.
    """

    fresh: Callable[[str], str]
    emit: Callable[[ast.Statement], None]
    names: dict[Size, str] = field(default_factory=dict[Size, str])

    def value(self, size: _Part) -> ast.Expr:
        """A size outside brackets."""
        if isinstance(size, Fraction):
            raise GradientError(f"the size {size} has no spelling outside of brackets")
        if isinstance(size, int):
            return integer(size)
        if size.op == "symbol":
            return ast.Name(size.name, SPAN)
        if size.op == "axes":
            raise open_rank(size.name)
        args = tuple(map(self.value, size.args))
        if size.op == "cond":
            test, then, otherwise = args
            return ast.Conditional(test, then, otherwise, True, SPAN)
        symbol = None if size.op == "broadcast" else OPERATIONS[size.op].symbol
        if symbol is None:
            return ast.Call(size.op, args, SPAN)
        if len(args) == 1:
            return ast.Unary(symbol, args[0], SPAN)
        return ast.Binary(symbol, args[0], args[1], SPAN)

    def form(self, form: Affine) -> ast.Expr:
        """An index expression: positive terms first, the constant last."""
        terms = sorted(form.terms, key=lambda term: _is_negative(term[1]))
        total: ast.Expr | None = None
        for name, factor in terms:
            index = ast.Index(name, SPAN)
            if total is not None and _is_negative(factor):
                total = ast.Binary("-", total, self._scaled(index, _negated(factor)), SPAN)
            else:
                term = self._scaled(index, factor)
                total = term if total is None else ast.Binary("+", total, term, SPAN)
        if total is None:
            return self.coefficient(form.const)
        if form.const == 0:
            return total
        if _is_negative(form.const):
            return ast.Binary("-", total, self.coefficient(_negated(form.const)), SPAN)
        return ast.Binary("+", total, self.coefficient(form.const), SPAN)

    def coefficient(self, value: Coefficient | int) -> ast.Expr:
        """A factor or a constant in brackets."""
        if isinstance(value, int):
            return integer(value)
        if isinstance(value, Fraction):
            return _fraction(value)
        if value.op == "symbol":
            return ast.Name(value.name, SPAN)
        if value.op == "neg":
            return ast.Unary("-", self.coefficient(_argument(value.args[0])), SPAN)
        if value.op in _IN_BRACKETS:
            left, right = (self.coefficient(_argument(arg)) for arg in value.args)
            return ast.Binary(_IN_BRACKETS[value.op], left, right, SPAN)
        return ast.Name(self.named(value), SPAN)

    def named(self, size: Size) -> str:
        """The name of a statement that computes a size."""
        if size not in self.names:
            value = self.value(size)
            self.names[size] = self.fresh("Size")
            self.emit(ast.Assignment(self.names[size], value, (), SPAN))
        return self.names[size]

    def _scaled(self, index: ast.Expr, factor: Coefficient) -> ast.Expr:
        if factor == 1:
            return index
        if isinstance(factor, Fraction):
            over, under = factor.numerator, factor.denominator
            scaled = index
            if over == -1:
                scaled = ast.Unary("-", index, SPAN)
            elif over != 1:
                scaled = ast.Binary("*", integer(over), index, SPAN)
            return scaled if under == 1 else ast.Binary("/", scaled, integer(under), SPAN)
        if factor.op == "exact_div" and factor.args[0] == 1:
            return ast.Binary("/", index, self.coefficient(_argument(factor.args[1])), SPAN)
        return ast.Binary("*", self.coefficient(factor), index, SPAN)


def integer(value: int) -> ast.Expr:
    """An integer, with its sign in front."""
    if value < 0:
        return ast.Unary("-", ast.IntLiteral(-value, SPAN), SPAN)
    return ast.IntLiteral(value, SPAN)


def open_rank(name: str) -> GradientError:
    """The error for what depends on the number of axes of an input."""
    return GradientError(
        f"the gradient depends on the number of axes of {name}, which the header leaves open",
        help=f"name the axes in the header: {name}[N, M], or {name}[] for a number",
    )


def _argument(part: _Part) -> Coefficient | int:
    return part


def _fraction(value: Fraction) -> ast.Expr:
    if value.denominator == 1:
        return integer(value.numerator)
    return ast.Binary("/", integer(value.numerator), integer(value.denominator), SPAN)


def _is_negative(value: Coefficient) -> bool:
    if isinstance(value, SizeExpr):
        if value.op == "neg":
            return True
        first = value.args[0] if value.op == "mul" else 0
        return not isinstance(first, SizeExpr) and first < 0
    return value < 0


def _negated(value: Coefficient) -> Coefficient:
    if isinstance(value, SizeExpr):
        if value.op == "neg":
            inner = value.args[0]
            return Fraction(inner) if isinstance(inner, int) else inner
        first, second = value.args
        assert not isinstance(first, SizeExpr)
        if first == -1 and isinstance(second, SizeExpr):
            return second
        return SizeExpr("mul", (-first, second))
    return -value
