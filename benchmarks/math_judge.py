"""Judges results of the elementary functions, for tests and measurements.

Errors are in units of the last place of the exact result: 0.5 is correct rounding. A wrong special
value (NaN, infinity, the sign of a zero) has an infinite error, a right one none. A unit is never
less than the smallest subnormal number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import mpmath
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Real = Any
"""A number of mpmath, which has no types."""

mp: Any = mpmath.mp
PRECISION: Final = 160
"""Bits of the exact results."""


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


_NUMPY: Final[dict[str, Callable[..., Any]]] = {
    "sigmoid": _sigmoid,
    "erf": np.vectorize(math.erf, otypes=[np.float64]),
    "pow": np.power,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "recip": np.reciprocal,
    "mod": np.fmod,
}


def numpy_function(op: str) -> Callable[..., Any]:
    """What NumPy, or for erf the C library, has for an operation."""
    return _NUMPY.get(op) or getattr(np, op)


def in_f64(op: str, *operands: Array) -> Array:
    """The operation in f64: exact enough to judge f32."""
    with np.errstate(all="ignore"):
        return np.asarray(numpy_function(op)(*(item.astype(np.float64) for item in operands)))


def exact(op: str, *operands: float) -> Real | None:
    """The operation in high precision; None where the result is not a finite real number."""
    with mp.workprec(PRECISION):
        try:
            result = _exact(op, *(mp.mpf(value) for value in operands))
        except (ValueError, ZeroDivisionError):
            return None
        return result if isinstance(result, mp.mpf) and mp.isfinite(result) else None


def _exact(op: str, x: Real, *others: Real) -> Real:
    match op:
        case "sigmoid":
            return 1 / (1 + mp.exp(-x))
        case "recip":
            return 1 / x
        case "pow":
            return mp.power(x, *others)
        case "mod":
            return mp.sign(x) * mp.fmod(abs(x), abs(others[0]))
        case _:
            return getattr(mp, op)(x)


def errors_f32(result: Array, exact: Array) -> Array:
    """Errors of f32 results; ``exact`` holds f64 values."""
    exponent = exact.view(np.int64) & (0x7FF << 52)
    unit = np.maximum(exponent, (1023 - 126) << 52) - (23 << 52)
    with np.errstate(all="ignore"):
        error = np.abs(result - exact) / unit.view(np.float64)
        special = np.flatnonzero(~(error < 1e9) | (result == 0))
        got, rounded = result[special], exact[special].astype(np.float32)
        same = (got == rounded) & (np.signbit(got) == np.signbit(rounded))
        same |= np.isnan(got) & np.isnan(rounded)
        # A zero that should be a small number has an error like any other.
        small = (got == 0) & (rounded != 0) & (np.signbit(got) == np.signbit(rounded))
        error[special] = np.where(same, 0.0, np.where(small, error[special], np.inf))
    return error


def error_f64(result: float, exact: Real) -> float:
    """Error of one f64 result."""
    rounded = float(exact)
    if math.isnan(result):
        return math.inf
    if math.isinf(result) or math.isinf(rounded):
        return 0.0 if result == rounded else math.inf
    if exact == 0:
        return 0.0 if result == 0 else math.inf
    with mp.workprec(PRECISION):
        return abs(float((exact - result) / math.ulp(rounded)))
