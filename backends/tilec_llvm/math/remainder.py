"""recip and mod."""

from __future__ import annotations

from tilec.kernel.elementary.formats import format_of
from tilec.kernel.elementary.values import Value, fma, magnitude, select, truncate, with_sign
from tilec_llvm.math.builder import repeat


def recip(x: Value) -> Value:
    """``1 / x``, correctly rounded."""
    return 1 / x


def mod(x: Value, y: Value) -> Value:
    """C's fmod: ``x - trunc(x / y) * y`` without any rounding, with the sign of x.

    A quotient of at most ``2**(fraction + 1)`` is one too large at worst when it is rounded, and
    what an fma leaves is then exact. Larger quotients are taken in steps by multiples of y.
    """
    dividend, divisor = magnitude(x), magnitude(y)
    defined = (dividend < float("inf")) & (divisor > 0)
    start = select(defined, dividend, 0.0)
    exponent = _exponent(divisor)

    def step(rest: Value) -> tuple[Value, Value]:
        form = format_of(rest)
        # No more than the true distance of the exponents, but for subnormal rests, which differ
        # from any divisor by at most ``fraction``.
        raw = rest.bits().shift_right(form.fraction)
        distance = raw - exponent - form.fraction
        shift = select(distance > 0, distance, 0)
        multiple = _times_power(divisor, shift)
        quotient = truncate(rest / multiple)
        left = fma(-quotient, multiple, rest)
        left = select(left < 0, left + multiple, left)
        return left, left >= divisor

    # An infinite divisor leaves NaN behind, and every dividend as it is.
    result = select(dividend < divisor, dividend, repeat(start, step))
    return select(defined, with_sign(result, x), float("nan"))


def _exponent(x: Value) -> Value:
    """The biased exponent; of subnormal numbers that which they would have, below 1."""
    form = format_of(x)
    lift = form.fraction + 1
    is_subnormal = x < form.tiniest
    raw = select(is_subnormal, x * 2.0**lift, x).bits().shift_right(form.fraction)
    return raw - select(is_subnormal, x.bits().of(lift), 0)


def _times_power(x: Value, power: Value) -> Value:
    """``x * 2**power`` for powers that leave it finite, in two exact steps."""
    form = format_of(x)
    half = power.shift_right(1)
    first = ((half + form.bias) << form.fraction).as_float()
    second = ((power - half + form.bias) << form.fraction).as_float()
    return x * first * second
