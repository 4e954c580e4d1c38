"""Divisions of many numbers by one: multiplications by its inverse.

A processor divides a register of numbers in 5 to 16 cycles and multiplies two in one. With d the
divisor and c a power of two, ``x / d`` becomes ``x * (1 / (d c)) * c``: two roundings instead of
one, so that the result is up to 1.5 units of the last place from the exact one. c is 1 unless the
inverse of d would overflow or be subnormal; infinities, zeros and NaN come out as by a division.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from tilec.dtypes import BOOL, F32, F64
from tilec.tensor.scalar import Apply, Literal, Scalar

_LARGEST: Final = {F32: 126, F64: 1022}
"""Between 2 to this power and its inverse a number has an inverse that is normal, too."""


def by_inverses(value: Scalar, varies: Callable[[Scalar], bool]) -> Scalar:
    """``value`` with divisions of what varies by what does not as multiplications."""
    if not isinstance(value, Apply):
        return value
    value = replace(value, args=tuple(by_inverses(arg, varies) for arg in value.args))
    if value.op != "div" or value.dtype not in _LARGEST:
        return value
    above, below = value.args
    if isinstance(below, Literal) or varies(below) or not varies(above):
        return value
    factor = _factor(below)
    inverse = Apply("div", (Literal(1.0, value.dtype), _times(below, factor)), value.dtype)
    return _times(_times(above, inverse), factor)


def _factor(divisor: Scalar) -> Scalar:
    """A power of two that brings a divisor to where it has a normal inverse."""
    dtype = divisor.dtype
    power = _LARGEST[dtype]
    size, step = Apply("abs", (divisor,), dtype), 2.0 ** (power // 2 + 1)
    is_large = Apply("cmp_gt", (size, Literal(2.0**power, dtype)), BOOL)
    is_small = Apply("cmp_lt", (size, Literal(2.0**-power, dtype)), BOOL)
    up = Apply("cond", (is_small, Literal(step, dtype), Literal(1.0, dtype)), dtype)
    return Apply("cond", (is_large, Literal(1 / step, dtype), up), dtype)


def _times(left: Scalar, right: Scalar) -> Scalar:
    return Apply("mul", (left, right), left.dtype)
