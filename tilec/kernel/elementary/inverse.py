"""asin, acos, atan."""

from __future__ import annotations

from typing import Final

from tilec.kernel.elementary import coefficients as fitted
from tilec.kernel.elementary.formats import format_of
from tilec.kernel.elementary.pairs import Pair, constant
from tilec.kernel.elementary.values import (
    Value,
    fma,
    magnitude,
    negated,
    polynomial,
    select,
    sign_of,
    sqrt,
    with_sign,
)

_ASIN: Final = {32: fitted.ASIN_F32, 64: fitted.ASIN_F64}
_ATAN: Final = {32: fitted.ATAN_F32, 64: fitted.ATAN_F64}


def asin(x: Value) -> Value:
    """The arc sine; NaN outside of -1 to 1."""
    form = format_of(x)
    is_big, angle = _arc_sine(magnitude(x))
    turned = constant(x, *form.half_pi) + angle.scaled(-2.0)
    return with_sign(select(is_big, turned.total(), angle.total()), x)


def acos(x: Value) -> Value:
    """The arc cosine; NaN outside of -1 to 1."""
    form = format_of(x)
    is_big, angle = _arc_sine(magnitude(x))
    high, low = form.half_pi
    first = select(is_big, select(x < 0, x.of(2 * high), 0.0), high)
    second = select(is_big, select(x < 0, x.of(2 * low), 0.0), low)
    sign = sign_of(x) ^ select(is_big, x.bits().of(0), sign_of(x.of(-1.0)))
    factor = negated(select(is_big, x.of(2.0), 1.0), sign)
    return (Pair(first, second) + angle.scaled(factor)).total()


def _arc_sine(size: Value) -> tuple[Value, Pair]:
    """Whether ``size > 1/2``, and the arc sine; where so, of ``sqrt((1 - size) / 2)`` instead.

    ``asin(x) = pi/2 - 2 asin(sqrt((1 - x) / 2))`` keeps the polynomial within 1/2.
    """
    is_big = size > 0.5
    square = select(is_big, fma(size, -0.5, 0.5), size * size)
    root = select(is_big, sqrt(square), size)
    return is_big, Pair(root, root * square * polynomial(square, _ASIN[size.type.bits]))


def atan(x: Value) -> Value:
    """The arc tangent, beyond 1 from that of the inverse."""
    form = format_of(x)
    size = magnitude(x)
    is_big = size > 1
    t = select(is_big, -1 / size, size)
    square = t * t
    bend = t * square * polynomial(square, _ATAN[form.bits])
    high, low = form.half_pi
    base = Pair(select(is_big, x.of(high), 0.0), select(is_big, x.of(low), 0.0))
    return with_sign((base + Pair(t, bend)).total(), x)
