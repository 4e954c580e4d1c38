"""Index expressions of the text as affine forms, with sizes put in."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from tilec.errors import InternalError, ShapeError
from tilec.lang import ast
from tilec.lang.lower import sizes
from tilec.lang.lower.values import Number, Value
from tilec.tensor.affine import Affine
from tilec.tensor.size import Coefficient, SizeExpr

_Terms = dict[str, Coefficient]


def affine(expr: ast.Expr, env: Mapping[str, Value]) -> Affine:
    """The affine form of a checked index expression; ``/`` divides exactly."""
    terms, const = _form(expr, env)
    return Affine.build(terms.items(), const)


def _form(expr: ast.Expr, env: Mapping[str, Value]) -> tuple[_Terms, Coefficient]:
    match expr:
        case ast.IntLiteral():
            return {}, Fraction(expr.value)
        case ast.Index():
            return {expr.name: Fraction(1)}, Fraction(0)
        case ast.Name():
            return {}, _size(expr, env)
        case ast.Unary():
            return _scaled(_form(expr.arg, env), Fraction(-1))
        case ast.Binary(op="+"):
            return _sum(_form(expr.left, env), _form(expr.right, env))
        case ast.Binary(op="-"):
            return _sum(_form(expr.left, env), _scaled(_form(expr.right, env), Fraction(-1)))
        case ast.Binary(op="*"):
            left, right = _form(expr.left, env), _form(expr.right, env)
            return _scaled(right, left[1]) if right[0] else _scaled(left, right[1])
        case ast.Binary(op="/"):
            return _quotient(expr, env)
        case _:
            raise InternalError("an index expression was not checked", expr.span)


def _size(expr: ast.Name, env: Mapping[str, Value]) -> Coefficient:
    value = env[expr.name]
    if not isinstance(value, Number):
        raise sizes.needs_sizes(expr.span)
    size = sizes.integer(value, f"{expr.name} in an index expression", expr.span)
    return size if isinstance(size, SizeExpr) else Fraction(size)


def _sum(
    left: tuple[_Terms, Coefficient], right: tuple[_Terms, Coefficient]
) -> tuple[_Terms, Coefficient]:
    terms = dict(left[0])
    for name, factor in right[0].items():
        terms[name] = sizes.add(terms.get(name, Fraction(0)), factor)
    return terms, sizes.add(left[1], right[1])


def _scaled(form: tuple[_Terms, Coefficient], factor: Coefficient) -> tuple[_Terms, Coefficient]:
    terms = {name: sizes.mul(factor, value) for name, value in form[0].items()}
    return terms, sizes.mul(factor, form[1])


def _quotient(expr: ast.Binary, env: Mapping[str, Value]) -> tuple[_Terms, Coefficient]:
    terms, const = _form(expr.left, env)
    _, divisor = _form(expr.right, env)
    if divisor == 0:
        raise ShapeError(
            "division by zero in an index expression",
            expr.right.span,
            help=f"{expr.right.span.text} is 0 for these arguments",
        )
    quotients = {name: sizes.exact_div(value, divisor) for name, value in terms.items()}
    return quotients, sizes.exact_div(const, divisor)
