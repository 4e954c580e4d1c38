"""Special functions, composed of elementary ones and of polynomials.

The polynomials interpolate at Chebyshev's points, and are given as coefficients of powers of a
variable from -1 to 1. They are exact to 1e-8, which is more than f32 shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

from tilec.dtypes import BF16, F16, F32, DType
from tilec.ops.elementary import exp, sqrt
from tilec.ops.elementwise import cast, floating, less, where
from tilec.ops.texts import constant, listed, numbered, single, text
from tilec.program.boundary import public
from tilec.program.function import Function
from tilec.program.tensor import Operand, Tensor

_ERFC: Final = (
    0.510791352621,
    0.343580341174,
    0.139736046429,
    0.0182211545247,
    -0.0107553367198,
    -0.00324001710226,
    0.00154537243191,
    0.000420719071754,
    -0.000331888145094,
    -2.24496352322e-05,
    7.32470652572e-05,
    -9.72899130526e-06,
    -1.25540715999e-05,
    2.58512566991e-06,
    1.15627402314e-06,
)
"""``erfc(x) * exp(x*x) / t`` where ``t = 1 / (1 + x/2)`` of ``2*t - 1``, for x >= 0."""
_I0_SMALL: Final = (
    0.207001921224,
    -0.113004336109,
    0.094515631894,
    -0.0890428891868,
    0.0873432153251,
    -0.0849730495922,
    0.0792787441926,
    -0.0694645149168,
    0.0567491108094,
    -0.0433137937311,
    0.0302974086459,
    -0.0188651258821,
    0.0116616338466,
    -0.00800984972951,
    0.00406265388563,
    -0.000759696653691,
    0.000469624732863,
    -0.00085085271626,
    0.000335946172766,
)
"""``i0(x) * exp(-x)`` of ``x/4 - 1``, for x from 0 to 8."""
_I0_LARGE: Final = (
    0.402176509445,
    0.00336055222711,
    0.000136216348111,
    1.11399240048e-05,
    1.48016682934e-06,
    3.07125178546e-07,
    1.02229645947e-07,
    3.1734682871e-08,
    3.21339941908e-09,
)
"""``i0(x) * exp(-x) * sqrt(x)`` of ``16/x - 1``, for x >= 8."""


@cache
def _polynomial(degree: int) -> Function:
    """Horner's scheme."""
    names = numbered("C", degree + 1)
    found = names[-1]
    for name in names[-2::-1]:
        found = f"({found}) * X + {name}"
    return text(f"function polynomial(X, {listed(names)}) -> (Y) {{ Y = {found}; }}")


def _value(coefficients: Sequence[float], x: Tensor) -> Tensor:
    known = [constant(each, x.dtype) for each in coefficients]
    return single(_polynomial(len(coefficients) - 1), x, *known)


def _wide(x: Operand) -> tuple[Tensor, DType]:
    """A float of 32 bits at least, and the type of the result."""
    kind = floating(x)
    return cast(x, F32 if kind in (F16, BF16) else kind), kind


def _size(x: Tensor) -> Tensor:
    """The absolute value, whose derivative at 0 is 1."""
    return where(less(x, 0), -x, x)


@public
def erfc(x: Operand) -> Tensor:
    """``scipy.special.erfc``: ``1 - erf(x)``, exact where that is small."""
    found, kind = _wide(x)
    size = _size(found)
    t = 1 / (1 + size / 2)
    rest = t * _value(_ERFC, 2 * t - 1) * exp(-size * size)
    return cast(where(less(found, 0), 2 - rest, rest), kind)


@public
def i0(x: Operand) -> Tensor:
    """``numpy.i0``: the modified Bessel function of the first kind and order 0."""
    found, kind = _wide(x)
    size = _size(found)
    small = size <= 8
    near, far = where(small, size, 8), where(small, 8, size)
    value = where(
        small, _value(_I0_SMALL, near / 4 - 1), _value(_I0_LARGE, 16 / far - 1) / sqrt(far)
    )
    return cast(value * exp(size), kind)
