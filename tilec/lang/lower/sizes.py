"""Arithmetic on numbers that are known when sizes are bound (language reference, section 2.2).

Integers are exact and must fit 64 bits, integer division truncates toward zero, floats are computed
in double precision. With sizes unbound the same functions build symbolic sizes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from tilec.dtypes import I32, I64, DType, Kind, integer_range
from tilec.errors import InternalError, ShapeError
from tilec.lang.lower.values import Number
from tilec.operations import OPERATIONS
from tilec.source import Span
from tilec.tensor import types
from tilec.tensor.size import Coefficient, Size, SizeExpr, truncated_div

_COMPARISONS: Final = ("cmp_eq", "cmp_ne", "cmp_lt", "cmp_gt", "cmp_le", "cmp_ge")
_SYMBOLIC: Final = frozenset(
    ("add", "sub", "mul", "div", "mod", "neg", "max", "min", "cond", *_COMPARISONS)
)


def folds(op: str, numbers: Sequence[Number]) -> bool:
    """Whether an operation on numbers gives a number: sizes that are unknown have no fractions."""
    if not OPERATIONS[op].bind_time:
        return False
    if not any(isinstance(number.value, SizeExpr) for number in numbers):
        return True
    return not any(isinstance(n.value, float) for n in numbers) and op != "recip"


def fold(op: str, numbers: tuple[Number, ...], span: Span) -> Number:
    """Apply a bind-time operation to numbers.

    Raises:
        ShapeError: a division by zero, a result beyond 64 bits, or a symbolic size where its
            number is needed.
    """
    known = [n.value for n in numbers if not isinstance(n.value, SizeExpr)]
    if len(known) < len(numbers):
        return _symbolic(op, numbers, span)
    dtype = types.result_dtype(op, tuple(number.dtype for number in numbers))
    if op == "cond":
        return _number(known[1] if known[0] != 0 else known[2], dtype, span)
    if op in _COMPARISONS:
        return _number(_compute(op, [*known]), dtype, span)
    if dtype.is_float:
        return _number(_on_floats(op, [float(value) for value in known]), dtype, span)
    values = [int(value) for value in known]
    if op in ("div", "mod") and values[1] == 0:
        raise ShapeError(
            "division by zero in an expression of sizes",
            span,
            help="the divisor is 0 for these arguments; sizes are divided when they are bound",
        )
    return _number(_on_integers(op, values), dtype, span)


def converts(number: Number, dtype: DType) -> bool:
    """Whether a converted number is a number: sizes that are unknown have no fractions."""
    return not isinstance(number.value, SizeExpr) or dtype in (I32, I64)


def convert(number: Number, dtype: DType, span: Span) -> Number:
    """The number as ``as_int`` and its like convert it."""
    if isinstance(number.value, SizeExpr):
        if dtype in (I32, I64):
            return Number(number.value, dtype)
        raise needs_sizes(span)
    return Number(types.literal(number.value, dtype).value, dtype)


def integer(number: Number, place: str, span: Span) -> Size:
    """The number as an integer.

    Raises:
        ShapeError: it has a fraction.
    """
    value = number.value
    if isinstance(value, SizeExpr):
        return value
    if isinstance(value, float) and not value.is_integer():
        raise ShapeError(
            f"{place} must be an integer, but it is {value:g}",
            span,
            help="`/` between integers truncates; ceil and floor round",
        )
    return int(value)


def extent(number: Number, place: str, span: Span) -> Size:
    """The number as the size of an axis.

    Raises:
        ShapeError: it is negative or has a fraction.
    """
    size = integer(number, place, span)
    if isinstance(size, int) and size < 0:
        raise ShapeError(
            f"{place} is {size}",
            span,
            help="a size may be 0 but not negative; max(0, ...) cuts it off",
        )
    return size


def same(left: Size, right: Size) -> bool | None:
    """Whether two sizes are equal; None when that depends on symbols."""
    if left == right:
        return True
    if isinstance(left, int) and isinstance(right, int):
        return False
    return None


def broadcast(left: Size, right: Size) -> Size | None:
    """The size that two axes meet in; None when they do not fit together.

    One that depends on symbols is taken to fit, as it will be checked when they are bound.
    """
    if left == right or right == 1:
        return left
    if left == 1:
        return right
    if isinstance(left, int) and isinstance(right, int):
        return None
    if isinstance(left, int):
        return left
    return right if isinstance(right, int) else SizeExpr("broadcast", (left, right))


def add(left: Coefficient, right: Coefficient) -> Coefficient:
    """Sum of two coefficients."""
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left + right
    if left == 0:
        return right
    return left if right == 0 else SizeExpr("add", (_operand(left), _operand(right)))


def mul(left: Coefficient, right: Coefficient) -> Coefficient:
    """Product of two coefficients."""
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left * right
    if 0 in (left, right):
        return Fraction(0)
    if left == 1:
        return right
    return left if right == 1 else SizeExpr("mul", (_operand(left), _operand(right)))


def exact_div(left: Coefficient, right: Coefficient) -> Coefficient:
    """Quotient of two coefficients, the second of which is not 0."""
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left / right
    if left == 0:
        return left
    return left if right == 1 else SizeExpr("exact_div", (_operand(left), _operand(right)))


def _operand(coefficient: Coefficient) -> Size | Fraction:
    if isinstance(coefficient, Fraction) and coefficient.denominator == 1:
        return int(coefficient)
    return coefficient


def _number(value: bool | float, dtype: DType, span: Span) -> Number:
    if dtype.kind is Kind.BOOL:
        return Number(value != 0, dtype)
    if dtype.is_float:
        return Number(float(value), dtype)
    value = int(value)
    if dtype not in (I32, I64):
        return Number(types.literal(value, dtype).value, dtype)
    low, high = integer_range(dtype)
    if low <= value <= high:
        return Number(value, dtype)
    wider = types.integer_literal_dtype(value)
    if wider is None:
        raise ShapeError(
            "an expression of sizes exceeds 64 bits", span, help="make the sizes smaller"
        )
    return Number(value, wider)


def needs_sizes(span: Span) -> ShapeError:
    """The error for a number that symbols cannot stand for."""
    return ShapeError(
        "this expression has no value while sizes are unknown",
        span,
        help="bind the function to shapes first",
    )


def _symbolic(op: str, numbers: tuple[Number, ...], span: Span) -> Number:
    if op in ("ceil", "floor"):
        return numbers[0]
    args: list[Size] = []
    for number in numbers:
        if isinstance(number.value, float):
            raise needs_sizes(span)
        args.append(number.value)
    if op == "abs":
        return Number(SizeExpr("max", (args[0], SizeExpr("neg", (args[0],)))), numbers[0].dtype)
    if op not in _SYMBOLIC:
        raise needs_sizes(span)
    dtype = types.result_dtype(op, tuple(number.dtype for number in numbers))
    return Number(_simplified(op, args), dtype)


def _simplified(op: str, args: list[Size]) -> Size:
    match op, args:
        case ("add", [0, x]) | ("add" | "sub", [x, 0]) | ("mul", [1, x]) | ("mul" | "div", [x, 1]):
            return x
        case ("max" | "min", [x, y]) if x == y:
            return x
        case _:
            return SizeExpr(op, tuple(args))


def _compute(op: str, values: list[int | float]) -> bool | float:
    """The operations that mean the same for integers and floats."""
    match op, values:
        case "add", [a, b]:
            return a + b
        case "sub", [a, b]:
            return a - b
        case "mul", [a, b]:
            return a * b
        case "neg", [a]:
            return -a
        case "abs", [a]:
            return abs(a)
        case "cmp_eq", [a, b]:
            return a == b
        case "cmp_ne", [a, b]:
            return a != b
        case "cmp_lt", [a, b]:
            return a < b
        case "cmp_gt", [a, b]:
            return a > b
        case "cmp_le", [a, b]:
            return a <= b
        case "cmp_ge", [a, b]:
            return a >= b
        case _:
            raise InternalError(f"{op} is no operation on sizes")


def _on_integers(op: str, values: list[int]) -> bool | float:
    match op, values:
        case "div", [a, b]:
            return truncated_div(a, b)
        case "mod", [a, b]:
            return a - b * truncated_div(a, b)
        case "max", [a, b]:
            return max(a, b)
        case "min", [a, b]:
            return min(a, b)
        case (("ceil" | "floor"), [a]):
            return a
        case _:
            return _compute(op, [*values])


def _on_floats(op: str, values: list[float]) -> bool | float:
    match op, values:
        case "div", [a, b]:
            return _float_div(a, b)
        case "recip", [a]:
            return _float_div(1.0, a)
        case "mod", [a, b]:
            return math.nan if b == 0 or math.isinf(a) else math.fmod(a, b)
        case (("max" | "min"), [a, b]):
            if math.isnan(a) or math.isnan(b):
                return math.nan
            return max(a, b) if op == "max" else min(a, b)
        case "ceil", [a]:
            return float(math.ceil(a)) if math.isfinite(a) else a
        case "floor", [a]:
            return float(math.floor(a)) if math.isfinite(a) else a
        case _:
            return _compute(op, [*values])


def _float_div(left: float, right: float) -> float:
    if right != 0:
        return left / right
    if left == 0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)
