"""exp and what is made of it: sigmoid, tanh, sinh, cosh.

All share one reduction: ``x = n ln2 + r`` with n whole and ``|r| <= ln2/2``, so that
``exp(x) = 2**n exp(r)``. The first step of the reduction is exact: ``n * ln2_high`` and ``x`` are
multiples of the same small power of two and their difference has few enough bits for an fma.
"""

from __future__ import annotations

from typing import Final

from tilec.kernel.elementary import coefficients as fitted
from tilec.kernel.elementary.formats import Format, format_of
from tilec.kernel.elementary.pairs import Pair, multiply_exactly
from tilec.kernel.elementary.values import (
    Value,
    clamp,
    fma,
    has_scaling,
    limited,
    magnitude,
    polynomial,
    scaled,
    select,
    with_sign,
)
from tilec.records import dataclass

_EXP: Final = {32: fitted.EXP_F32, 64: fitted.EXP_F64}
_SINH: Final = {32: fitted.SINH_F32, 64: fitted.SINH_F64}


@dataclass(frozen=True, slots=True)
class Reduced:
    """``exp(x) = first * second * (1 + r + w)``, where ``first * second = 2**n``.

    Neither factor overflows or is subnormal, although their product may be. ``r`` is exactly
    ``x - n * ln2_high``; ``w`` is small, so that its rounding errors hardly count.
    """

    first: Value
    second: Value
    r: Value
    w: Value

    def value(self) -> Value:
        """``exp(x) / second``."""
        return fma(self.r + self.w, self.first, self.first)


def reduced_exp(x: Value) -> Reduced:
    """The parts of ``exp(x)`` for x between ``exp_low`` and ``exp_high``, or NaN."""
    form = format_of(x)
    # The shifter carries twice the bias, so that halving the integer gives a biased exponent.
    shifter = form.shifter + 2 * form.bias
    shifted = fma(x, form.log2_e, shifter)
    n = shifted - shifter
    return exp_of_rest(shifted, fma(n, -form.ln2_high, x), n * -form.ln2_low)


def exp_of_rest(shifted: Value, r: Value, correction: Value) -> Reduced:
    """The parts of ``2**n exp(r + correction)``; ``shifted`` is n plus shifter and twice bias."""
    form = format_of(r)
    corrected = r + correction
    w = fma(corrected * corrected, polynomial(corrected, _EXP[form.bits]), correction)
    return Reduced(*_factors(shifted), r, w)


def _factors(shifted: Value) -> tuple[Value, Value]:
    """Two powers of two whose product is ``2**n``; ``shifted`` is n plus shifter and twice bias."""
    form = format_of(shifted)
    doubled = shifted.bits()
    half = doubled.shift_right(1)
    return (half << form.fraction).as_float(), ((doubled - half) << form.fraction).as_float()


def exp(x: Value) -> Value:
    """``e**x``.

    Registers of AVX-512 need no limits: there r is limited instead, which changes it only where n
    alone makes the result 0 or infinite.
    """
    form = format_of(x)
    if has_scaling(x):
        shifted = fma(x, form.log2_e, form.shifter)
        n = shifted - form.shifter
        return scaled(_power(limited(_rest(x, n), 0.5)), n)
    x = clamp(x, form.exp_low, form.exp_high)
    shifter = form.shifter + 2 * form.bias
    shifted = fma(x, form.log2_e, shifter)
    first, second = _factors(shifted)
    return _power(_rest(x, shifted - shifter)) * first * second


def _rest(x: Value, n: Value) -> Value:
    """``x - n ln2``."""
    form = format_of(x)
    return fma(n, -form.ln2_low, fma(n, -form.ln2_high, x))


def _power(r: Value) -> Value:
    """``exp(r)``."""
    slope = fma(r, polynomial(r, _EXP[r.type.bits]), 1)
    return fma(r, slope, 1)


def sigmoid(x: Value) -> Value:
    """``1 / (1 + exp(-x))``, by one division and one correction of its rounding errors.

    With ``z = exp(-|x|)`` it is ``1 / (1 + z)`` or, for negative x, ``z / (1 + z)``. What the
    inverse leaves of 1 is exact but for one rounding, since it lies between 1/2 and 1.
    """
    z = exp(-magnitude(x))
    inverse = 1 / (1 + z)
    error = fma(-inverse, z, 1 - inverse)
    above = select(x < 0, z, x.of(1.0))
    first = multiply_exactly(above, inverse)
    return first.value + fma(first.value, error, first.rest)


def tanh(x: Value) -> Value:
    """``-m / (2 + m)`` with ``m = exp(-2|x|) - 1``, which is exact to the last bits near 0, too.

    What the quotient q leaves of ``-m`` is exact but for one rounding: ``2q`` lies between ``-m``
    and ``-2m``. What m itself has lost to rounding is added to it.
    """
    form = format_of(x)
    m = _below_one(clamp(-2 * magnitude(x), -(form.fraction + 7) * form.ln2_high, None))
    inverse = 1 / (2 + m.value)
    quotient = -m.value * inverse
    error = fma(-quotient, m.value, fma(quotient, -2.0, -m.value))
    error = error - fma(quotient, m.rest, m.rest)
    return with_sign(fma(error, inverse, quotient), x)


def _below_one(x: Value) -> Pair:
    """``exp(x) - 1`` for negative x whose power of two is normal."""
    form = format_of(x)
    shifter = form.shifter + form.bias
    shifted = fma(x, form.log2_e, shifter)
    r = _rest(x, shifted - shifter)
    scale = (shifted.bits() << form.fraction).as_float()
    rise = fma(r * r, polynomial(r, _EXP[form.bits]), r)
    below = scale - 1
    value = fma(scale, rise, below)
    return Pair(value, fma(scale, rise, below - value))


def sinh(x: Value) -> Value:
    """``(exp(x) - exp(-x)) / 2``; up to 1 a polynomial, where that would cancel."""
    form = format_of(x)
    size = magnitude(x)
    power, inverse = _half_powers(form, size)
    square = x * x
    small = fma(size * square, polynomial(square, _SINH[form.bits]), size)
    return with_sign(select(size <= 1, small, power - inverse), x)


def cosh(x: Value) -> Value:
    """``(exp(x) + exp(-x)) / 2``."""
    power, inverse = _half_powers(format_of(x), magnitude(x))
    return power + inverse


def _half_powers(form: Format, size: Value) -> tuple[Value, Value]:
    """``exp(size) / 2`` and ``exp(-size) / 2``; the first overflows only if the result does."""
    parts = reduced_exp(clamp(size, None, form.exp_high + 1))
    power = parts.value() * 0.5
    # The inverse of a power of two has the opposite exponent.
    second_inverse = ((2 * form.bias << form.fraction) - parts.second.bits()).as_float()
    return power * parts.second, 0.25 / power * second_inverse
