"""sin, cos and tan."""

from __future__ import annotations

from typing import Final

from tilec.kernel.elementary import coefficients as fitted
from tilec.kernel.elementary.pairs import Pair, add_exactly, quotient
from tilec.kernel.elementary.values import (
    Value,
    fma,
    magnitude,
    negated,
    polynomial,
    select,
    sign_of,
)
from tilec_llvm.math.reduction import Angle, reduced_angle

_SIN: Final = {32: fitted.SIN_F32, 64: fitted.SIN_F64}
_COS: Final = {32: fitted.COS_F32, 64: fitted.COS_F64}


def sin(x: Value) -> Value:
    """The sine."""
    angle = reduced_angle(magnitude(x))
    sine, cosine = _sine_and_cosine(angle)
    result = select((angle.quadrant & 1).equals(0), sine.total(), cosine.total())
    return negated(result, sign_of(x) ^ _top_bit(angle.quadrant.shift_right(1)))


def cos(x: Value) -> Value:
    """The cosine."""
    angle = reduced_angle(magnitude(x))
    sine, cosine = _sine_and_cosine(angle)
    result = select((angle.quadrant & 1).equals(0), cosine.total(), sine.total())
    return negated(result, _top_bit((angle.quadrant + 1).shift_right(1)))


def tan(x: Value) -> Value:
    """The tangent."""
    angle = reduced_angle(magnitude(x))
    sine, cosine = _sine_and_cosine(angle)
    even = (angle.quadrant & 1).equals(0)
    sine, cosine = sine.normalised(), cosine.normalised()
    above = Pair(select(even, sine.value, cosine.value), select(even, sine.rest, cosine.rest))
    below = Pair(select(even, cosine.value, sine.value), select(even, cosine.rest, sine.rest))
    result = quotient(above, below)
    return negated(result, sign_of(x) ^ _top_bit(angle.quadrant))


def _sine_and_cosine(angle: Angle) -> tuple[Pair, Pair]:
    """Of ``r + rest``, to first order in the rest; the second parts are small, not tiny."""
    r, rest = angle.r, angle.rest
    bits = r.type.bits
    square = r * r
    half = square * 0.5
    slope = fma(-half, rest, rest)  # cos(r) times the rest
    bend = fma(r * square, polynomial(square, _SIN[bits]), slope)
    top = add_exactly(1.0, -half)
    curve = fma(square * square, polynomial(square, _COS[bits]), -(r * rest))
    return Pair(r, bend), Pair(top.value, top.rest + curve)


def _top_bit(x: Value) -> Value:
    """The lowest bit as the highest."""
    return x << (x.type.bits - 1)
