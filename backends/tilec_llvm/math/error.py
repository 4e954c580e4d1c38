"""erf."""

from __future__ import annotations

from typing import Final

from tilec_llvm.math import coefficients as fitted
from tilec_llvm.math.builder import Value, clamp, fma, magnitude, polynomial, select, with_sign
from tilec_llvm.math.exponential import Reduced, exp_of_rest
from tilec_llvm.math.formats import format_of

_SMALL: Final = {32: fitted.ERF_F32, 64: fitted.ERF_F64}
_TAIL: Final = {32: fitted.ERF_TAIL_F32, 64: fitted.ERF_TAIL_F64}

# The formula changes at _SPLIT, which also stands in benchmarks/fit_table.py. The second polynomial
# is one in |x| - _SPLIT: exact where the exponential is largest. From _ONE on the result is 1.
_SPLIT: Final = 0.875
_ONE: Final = {32: 4.0, 64: 6.0}
# ln(2) cut to 14 fractional bits, and the rest. Its small multiples are exact.
_LN2_HIGH: Final = 11356 / 16384
_LN2_LOW: Final = 3.194618494530942e-05


def erf(x: Value) -> Value:
    """The error function.

    Near 0 an odd polynomial. Further out ``1 - exp(-g(|x|))`` with a polynomial for
    ``g = -log(1 - erf)``: there the exponential is below 1/4, so that its errors count little.
    """
    form = format_of(x)
    size = clamp(magnitude(x), None, _ONE[form.bits])
    square = size * size
    small = fma(size, polynomial(square, _SMALL[form.bits]), size)
    parts = _exp_of_tail(size - _SPLIT)
    large = fma(-parts.value(), parts.second, 1.0)
    return with_sign(select(size < _SPLIT, small, large), x)


def _exp_of_tail(u: Value) -> Reduced:
    """The parts of ``exp(-g)``.

    With ``g = first + u p(u)`` the reduction is ``(-first - n ln2) - u p(u)``. The upper parts of
    the difference are cut so that it is exact, and g itself is never rounded.
    """
    form = format_of(u)
    first, *others = _TAIL[form.bits]
    first_high = round(first * 2**14) / 2**14
    slope = polynomial(u, tuple(others))
    shifter = form.shifter + 2 * form.bias
    shifted = fma(fma(u, slope, first), -form.log2_e, shifter)
    n = shifted - shifter
    r = fma(-u, slope, fma(n, -_LN2_HIGH, -first_high))
    return exp_of_rest(shifted, r, fma(n, -_LN2_LOW, first_high - first))
