"""pow: ``2**(y log2(|x|))``, and the special cases of C99."""

from __future__ import annotations

from typing import Final

from tilec.kernel.elementary import coefficients as fitted
from tilec.kernel.elementary.exponential import Reduced, exp_of_rest
from tilec.kernel.elementary.formats import F64
from tilec.kernel.elementary.logarithm import split_exponent
from tilec.kernel.elementary.pairs import Pair, alone, constant, divide, multiply_exactly
from tilec.kernel.elementary.values import (
    Value,
    clamp,
    fma,
    magnitude,
    negated,
    polynomial,
    select,
    sign_of,
    truncate,
    with_sign,
)

_INFINITY: Final = float("inf")
# From here on 2**_LIMIT overflows, and 2**-_LIMIT is 0.
_LIMIT: Final = 1080.0
# 1/3 and 2/ln(2) as pairs.
_THIRD: Final = (0.3333333333333333, 1.850371707708594e-17)
_TWO_LOG2_E: Final = (2.8853900817779268, 4.0710547481862066e-17)


def pow(x: Value, y: Value) -> Value:
    """``x**y``."""
    size = magnitude(x)
    # The logarithms below are finite and unspecific for 0, infinity and NaN. An infinite power
    # makes the right thing of the first two, NaN of the third.
    is_zero = size.equals(0)
    large = with_sign(select(is_zero, _INFINITY, size), y)
    power = select(is_zero | ~(size < _INFINITY), y + large, y)
    result = _f32_power(size, power) if x.type.bits == 32 else _f64_power(size, power)
    half, whole = y * 0.5, truncate(y)
    result = select(y.equals(0) | size.equals(1), 1.0, result)
    odd = truncate(half).differs(half) & whole.equals(y)
    result = negated(result, select(odd, sign_of(x), 0))
    # Also -1 to the power NaN; x = 1 and y = 0 give 1 whatever the other is.
    undefined = (x < 0) & (x > -_INFINITY) & whole.differs(y)
    return select(undefined, float("nan"), result)


def _f32_power(x: Value, y: Value) -> Value:
    """In f64, rounded once at the end.

    Pairs of f32, as below, take fewer instructions, but in a chain too long for a processor to
    overlap with the next vector's: measured, this is faster at any number of lanes.
    """
    m, k = split_exponent(x)
    f = m.to_float(64) - 1
    log2 = fma(f, polynomial(f, fitted.POW_LOG2), k.to_float(64))
    exponent = clamp(y.to_float(64) * log2, -200.0, 200.0)
    shifter = F64.shifter + F64.bias
    shifted = exponent + shifter
    r = exponent - (shifted - shifter)
    scale = (shifted.bits() << F64.fraction).as_float()
    return (polynomial(r, fitted.POW_EXP2) * scale).to_float(32)


def _f64_power(x: Value, y: Value) -> Value:
    """In pairs.

    An error of the exponent is multiplied by up to 1000, so the logarithm and its product with y
    are good to ten bits beyond the format.
    """
    logarithm = _log2(x)
    product = multiply_exactly(y, logarithm.value)
    rest = fma(y, logarithm.rest, product.rest)
    within = magnitude(product.value) < _LIMIT
    exponent = clamp(product.value, -_LIMIT, _LIMIT)
    parts = _exp2(Pair(exponent, select(within, rest, 0.0)))
    return parts.value() * parts.second


def _log2(x: Value) -> Pair:
    """log2 of x > 0, by ``log(m) = 2 atanh((m - 1) / (m + 1))``."""
    m, k = split_exponent(x)
    below = m + 1
    s = divide(alone(m - 1), Pair(below, m - (below - 1)))
    square = multiply_exactly(s.value, s.value)
    square = Pair(square.value, fma(s.value + s.value, s.rest, square.rest))
    tail = square.value * polynomial(square.value, fitted.ATANH_TAIL_F64)
    inner = square * (constant(x, *_THIRD) + tail)
    series = alone(x.of(1.0)) + inner
    return alone(k.to_float()) + s * series * constant(x, *_TWO_LOG2_E)


def _exp2(exponent: Pair) -> Reduced:
    """The parts of two to a power within the limits, or NaN."""
    shifter = F64.shifter + 2 * F64.bias
    shifted = exponent.value + shifter
    fraction = exponent.value - (shifted - shifter)
    part = multiply_exactly(fraction, fraction.of(F64.ln2_high))
    rest = fma(fraction, F64.ln2_low, part.rest)
    return exp_of_rest(shifted, part.value, fma(exponent.rest, F64.ln2_high, rest))
