"""Exponentials, logarithms, roots, angles: floats keep their type, integers become f32."""

from __future__ import annotations

import math
from math import pi
from typing import Final

from tilec.dtypes import F64
from tilec.ops.elementwise import builtin, cast, floating
from tilec.ops.texts import constant, single, written
from tilec.program.boundary import public
from tilec.program.tensor import Operand, Tensor

_FILE: Final = "elementary"


def _of(name: str, x: Operand) -> Tensor:
    return single(written(_FILE, name), cast(x, floating(x)))


def _with(name: str, number: float, *operands: Operand) -> Tensor:
    """A call with a constant of the type of the operands behind them."""
    kind = floating(*operands)
    known = [cast(each, kind) for each in operands]
    return single(written(_FILE, name), *known, constant(number, kind))


@public
def exp(x: Operand) -> Tensor:
    """``numpy.exp``."""
    return single(builtin("exp", 1), x)


@public
def exp2(x: Operand) -> Tensor:
    """``numpy.exp2``."""
    return _with("exp_scaled", math.log(2), x)


@public
def expm1(x: Operand) -> Tensor:
    """``numpy.expm1``: ``exp(x) - 1``, exact near 0."""
    return _of("exp_minus_1", x)


@public
def log(x: Operand) -> Tensor:
    """``numpy.log``."""
    return single(builtin("log", 1), x)


@public
def log2(x: Operand) -> Tensor:
    """``numpy.log2``."""
    return _with("log_scaled", 1 / math.log(2), x)


@public
def log10(x: Operand) -> Tensor:
    """``numpy.log10``."""
    return _with("log_scaled", 1 / math.log(10), x)


@public
def log1p(x: Operand) -> Tensor:
    """``numpy.log1p``: ``log(1 + x)``, exact near 0."""
    return _of("log_plus_1", x)


@public
def logaddexp(a: Operand, b: Operand) -> Tensor:
    """``numpy.logaddexp``: ``log(exp(a) + exp(b))`` without overflow."""
    kind = floating(a, b)
    return single(written(_FILE, "log_add_exp"), cast(a, kind), cast(b, kind))


@public
def sqrt(x: Operand) -> Tensor:
    """``numpy.sqrt``."""
    return single(builtin("sqrt", 1), x)


@public
def rsqrt(x: Operand) -> Tensor:
    """``1 / numpy.sqrt(x)``."""
    return _of("inverse_root", x)


@public
def cbrt(x: Operand) -> Tensor:
    """``numpy.cbrt``."""
    return _with("cube_root", 1 / 3, x)


@public
def reciprocal(x: Operand) -> Tensor:
    """``1 / x``; integers become f32."""
    return single(builtin("recip", 1), x)


@public
def hypot(a: Operand, b: Operand) -> Tensor:
    """``numpy.hypot``: ``sqrt(a*a + b*b)`` without overflow."""
    kind = floating(a, b)
    return single(written(_FILE, "length_2"), cast(a, kind), cast(b, kind))


@public
def erf(x: Operand) -> Tensor:
    """``scipy.special.erf``."""
    return single(builtin("erf", 1), x)


@public
def erfinv(x: Operand) -> Tensor:
    """``scipy.special.erfinv``; infinite at -1 and 1."""
    kind = floating(x)
    given = cast(x, kind)
    found = cast(_of("inverse_erf", given), kind)
    if kind != F64:
        return found
    slope = constant(2 / math.sqrt(pi), kind)
    for _ in range(2):
        found = single(written(_FILE, "inverse_erf_closer"), given, found, slope)
    return found


@public
def sin(x: Operand) -> Tensor:
    """``numpy.sin``."""
    return single(builtin("sin", 1), x)


@public
def cos(x: Operand) -> Tensor:
    """``numpy.cos``."""
    return single(builtin("cos", 1), x)


@public
def tan(x: Operand) -> Tensor:
    """``numpy.tan``."""
    return single(builtin("tan", 1), x)


@public
def arcsin(x: Operand) -> Tensor:
    """``numpy.arcsin``."""
    return single(builtin("asin", 1), x)


@public
def arccos(x: Operand) -> Tensor:
    """``numpy.arccos``."""
    return single(builtin("acos", 1), x)


@public
def arctan(x: Operand) -> Tensor:
    """``numpy.arctan``."""
    return single(builtin("atan", 1), x)


@public
def arctan2(y: Operand, x: Operand) -> Tensor:
    """``numpy.arctan2``: the angle of the point (x, y)."""
    return _with("angle", pi, y, x)


@public
def sinh(x: Operand) -> Tensor:
    """``numpy.sinh``."""
    return single(builtin("sinh", 1), x)


@public
def cosh(x: Operand) -> Tensor:
    """``numpy.cosh``."""
    return single(builtin("cosh", 1), x)


@public
def tanh(x: Operand) -> Tensor:
    """``numpy.tanh``."""
    return single(builtin("tanh", 1), x)


@public
def arcsinh(x: Operand) -> Tensor:
    """``numpy.arcsinh``."""
    return single(builtin("asinh", 1), x)


@public
def arccosh(x: Operand) -> Tensor:
    """``numpy.arccosh``."""
    return single(builtin("acosh", 1), x)


@public
def arctanh(x: Operand) -> Tensor:
    """``numpy.arctanh``."""
    return single(builtin("atanh", 1), x)


@public
def sinc(x: Operand) -> Tensor:
    """``numpy.sinc``: ``sin(pi * x) / (pi * x)``."""
    return _with("sine_over", pi, x)


@public
def deg2rad(x: Operand) -> Tensor:
    """``numpy.deg2rad``."""
    return _with("scaled", pi / 180, x)


@public
def rad2deg(x: Operand) -> Tensor:
    """``numpy.rad2deg``."""
    return _with("scaled", 180 / pi, x)
