"""erf."""

from __future__ import annotations

from typing import Final

from tilec.kernel.elementary import coefficients as fitted
from tilec.kernel.elementary.values import (
    Value,
    clamp,
    fma,
    magnitude,
    polynomial,
    select,
    with_sign,
)

_SMALL: Final = {32: fitted.ERF_F32, 64: fitted.ERF_F64}
_TAIL: Final = {32: fitted.ERF_TAIL_F32, 64: fitted.ERF_TAIL_F64}

# These numbers stand in benchmarks/fit_table.py, too. The formula changes at _SPLIT, a number near
# 17/16 whose sqrt(erfc) is _START, to a thousandth of the last place. From _ONE on the result is 1.
_MIDDLE: Final = 0.5
_SPLIT: Final = {32: 1.0628918409347534, 64: 1.0625000000000588}
_START: Final = {32: 0.36441570520401, 64: 0.3646117531910152}
_ONE: Final = {32: 3.925, 64: 5.95}


def erf(x: Value) -> Value:
    """The error function.

    Near 0 an odd polynomial, in ``x**2 - 1/2`` so that the sums that count most are of small
    numbers. Further out ``1 - q**4`` with a polynomial q: the fourth root of erfc is nearly
    straight, and needs half as many coefficients as erfc itself.
    """
    bits = x.type.bits
    size = clamp(magnitude(x), None, _ONE[bits])
    near = polynomial(fma(size, size, -_MIDDLE), _SMALL[bits])
    small = fma(size, near, size)
    root = _root_of_rest(size - _SPLIT[bits])
    large = fma(-root, root, 1.0)
    return with_sign(select(size < _SPLIT[bits], small, large), x)


def _root_of_rest(u: Value) -> Value:
    """The root of erfc, the square of ``start**(1/2) + r`` with ``r = u p(u)``.

    Multiplied out, it is rounded once where it is largest; q itself would lose half a bit.
    """
    bits = u.type.bits
    r = u * polynomial(u, _TAIL[bits])
    return fma(r, r + 2 * _START[bits] ** 0.5, _START[bits])
