"""asinh, acosh, atanh: polynomials near their zeros, elsewhere logarithms."""

from __future__ import annotations

from typing import Final

from tilec.kernel.elementary import coefficients as fitted
from tilec.kernel.elementary.formats import format_of
from tilec.kernel.elementary.logarithm import log_of_pair
from tilec.kernel.elementary.pairs import add_exactly, alone, divide
from tilec.kernel.elementary.values import (
    Value,
    fma,
    magnitude,
    polynomial,
    select,
    sqrt,
    with_sign,
)

_ASINH: Final = {32: fitted.ASINH_F32, 64: fitted.ASINH_F64}
_ACOSH: Final = {32: fitted.ACOSH_F32, 64: fitted.ACOSH_F64}
_ATANH: Final = {32: fitted.ATANH_F32, 64: fitted.ATANH_F64}


def asinh(x: Value) -> Value:
    """``log(|x| + sqrt(x**2 + 1))`` with the sign of x."""
    size = magnitude(x)
    square = size * size
    small = fma(size * square, polynomial(square, _ASINH[x.type.bits]), size)
    large = _log_of_sum(size, 1.0)
    return with_sign(select(size < 1, small, large), x)


def acosh(x: Value) -> Value:
    """``log(x + sqrt(x**2 - 1))``; NaN below 1.

    Near 1 it is ``sqrt(2t) (1 + t p(t))`` with ``t = x - 1``.
    """
    t = x - 1
    root = sqrt(t + t)
    small = fma(root * t, polynomial(t, _ACOSH[x.type.bits]), root)
    return select(x >= 2, _log_of_sum(x, -1.0), small)


def atanh(x: Value) -> Value:
    """``log((1 + x) / (1 - x)) / 2``; NaN outside of -1 to 1."""
    size = magnitude(x)
    square = size * size
    small = fma(size * square, polynomial(square, _ATANH[x.type.bits]), size)
    quotient = divide(add_exactly(1.0, size), alone(1 - size))
    # 1 - x is exact here; at 1 the quotient is infinite and its rest NaN.
    finite = quotient.value < float("inf")
    large = log_of_pair(quotient.value, select(finite, quotient.rest / quotient.value, 0.0)) * 0.5
    return with_sign(select(size < 0.5, small, large), x)


def _log_of_sum(size: Value, one: float) -> Value:
    """``log(size + sqrt(size**2 + one))`` for sizes from 1 on."""
    form = format_of(size)
    # Where one is lost beside the square, the sum is twice the size.
    is_huge = size > 2.0 ** (form.fraction // 2 + 2)
    root = sqrt(fma(size, size, one))
    total = add_exactly(size, root) if one < 0 else add_exactly(root, size)
    # The inverse of the sum is the difference, but for its sign.
    correction = total.rest * (root - size) * one
    value = select(is_huge, size, total.value)
    extra = select(is_huge, size.bits().of(1), 0)
    return log_of_pair(value, select(is_huge, 0.0, correction), extra)
