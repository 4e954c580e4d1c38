"""log, and the logarithm of sums for the inverse hyperbolic functions."""

from __future__ import annotations

from typing import Final

from tilec.kernel.elementary import coefficients as fitted
from tilec.kernel.elementary.formats import format_of
from tilec.kernel.elementary.values import Value, fma, polynomial, select

# Where the significand is split: the bits of sqrt(1/2), so that log(m) is between ±ln(2)/2.
_ROOT_BITS: Final = {32: 0x3F3504F3, 64: 0x3FE6A09E667F3BCD}
_LOG: Final = {32: fitted.LOG_F32, 64: fitted.LOG_F64}


def split_exponent(x: Value) -> tuple[Value, Value]:
    """``m`` between sqrt(1/2) and sqrt(2) and an integer ``k`` with ``x = m 2**k``, x > 0."""
    form = format_of(x)
    # Subnormal numbers are first scaled to normal ones.
    lift = form.fraction + 2
    subnormal = x < form.tiniest
    bits = select(subnormal, x * 2.0**lift, x).bits()
    k = (bits - _ROOT_BITS[form.bits]) >> form.fraction
    m = (bits - (k << form.fraction)).as_float()
    return m, k + select(subnormal, k.of(-lift), 0)


def log(x: Value) -> Value:
    """The natural logarithm; NaN below 0."""
    m, k = split_exponent(x)
    return _special_cases(x, _log_parts(m - 1, k.to_float(), x.of(-0.0)))


def log_of_pair(x: Value, correction: Value, extra: Value | None = None) -> Value:
    """``log(x) + correction + extra * ln2`` with a tiny correction and an integer ``extra``."""
    m, k = split_exponent(x)
    exponent = k if extra is None else k + extra
    return _special_cases(x, _log_parts(m - 1, exponent.to_float(), correction))


def _special_cases(x: Value, result: Value) -> Value:
    result = select(x < float("inf"), result, x)  # NaN fails the test, too
    return select(x <= 0, select(x < 0, x.of(float("nan")), -float("inf")), result)


def _log_parts(f: Value, k: Value, correction: Value) -> Value:
    """``k ln2 + log(1 + f) + correction``."""
    form = format_of(f)
    square = f * f
    small = square * f * polynomial(f, _LOG[form.bits])
    small = fma(k, form.ln2_low, small + correction)
    small = fma(square, -0.5, small)
    return fma(k, form.ln2_high, f + small)
