"""The polynomials that ``fit_polynomials.py`` fits: what, where, and how many coefficients."""

from __future__ import annotations

from typing import Any, Final

import mpmath
from remez import Fit, Function, Real

mp: Any = mpmath.mp

HALF_LN2: Final = mp.log(2) / 2 * mp.mpf("1.0005")
ROOT: Final = mp.sqrt(2)
QUARTER_PI: Final = mp.pi / 4 * mp.mpf("1.0005")

# The same number stands in math/error.py.
ERF_SPLIT: Final = mp.mpf("0.875")


def _exp(r: Real) -> Real:
    return (mp.exp(r) - 1 - r) / r**2


def _exp_weight(r: Real) -> Real:
    return r**2 / mp.exp(r)


def _cos(z: Real) -> Real:
    return (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2


def _cos_weight(z: Real) -> Real:
    return z**2 / mp.cos(mp.sqrt(z))


def _acosh(t: Real) -> Real:
    return (mp.acosh(1 + t) / mp.sqrt(2 * t) - 1) / t


def _acosh_weight(t: Real) -> Real:
    return t * mp.sqrt(2 * t) / mp.acosh(1 + t)


def _log(f: Real) -> Real:
    return (mp.log1p(f) - f + f * f / 2) / f**3


def _log_weight(f: Real) -> Real:
    return f**3 / mp.log1p(f)


def _log2(f: Real) -> Real:
    return mp.log1p(f) / f / mp.log(2)


def _log2_weight(f: Real) -> Real:
    return 1 / _log2(f)


def _exp2(r: Real) -> Real:
    return mp.mpf(2) ** r


def _exp2_weight(r: Real) -> Real:
    return mp.mpf(2) ** -r


def _atanh_tail(z: Real) -> Real:
    return ((mp.atanh(mp.sqrt(z)) / mp.sqrt(z) - 1) / z - mp.mpf(1) / 3) / z


def _atanh_tail_weight(z: Real) -> Real:
    return z * z * mp.sqrt(z) / mp.atanh(mp.sqrt(z))


def _erf(z: Real) -> Real:
    return mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1


def _erf_weight(z: Real) -> Real:
    return 1 / (1 + _erf(z))


def _erf_tail(u: Real) -> Real:
    return -mp.log(mp.erfc(u + ERF_SPLIT))


def _erf_tail_weight(u: Real) -> Real:
    return mp.erfc(u + ERF_SPLIT) / mp.erf(u + ERF_SPLIT)


def _both(
    name: str,
    meaning: str,
    function: Function,
    weight: Function,
    low: Real,
    high: Real,
    f32: int,
    f64: int,
) -> list[Fit]:
    sizes = ((32, f32), (64, f64))
    return [
        Fit(f"{name}_F{bits}", meaning, function, weight, mp.mpf(low), mp.mpf(high), count, bits)
        for bits, count in sizes
        if count
    ]


def _odd(function: Function) -> tuple[Function, Function]:
    """``(f(x) - x) / x**3`` and its weight, in ``z = x * x``."""

    def remainder(z: Real) -> Real:
        x = mp.sqrt(z)
        return (function(x) - x) / (x * z)

    def weight(z: Real) -> Real:
        x = mp.sqrt(z)
        return x * z / function(x)

    return remainder, weight


FITS: Final = (
    *_both(
        "EXP",
        "exp(r) = 1 + r + r^2 p(r)",
        _exp,
        _exp_weight,
        -HALF_LN2,
        HALF_LN2,
        5,
        10,
    ),
    *_both("SINH", "sinh(x) = x + x^3 p(x^2)", *_odd(mp.sinh), 0, 1, 4, 8),
    *_both("SIN", "sin(x) = x + x^3 p(x^2)", *_odd(mp.sin), 0, QUARTER_PI**2, 4, 6),
    *_both("COS", "cos(x) = 1 - x^2/2 + x^4 p(x^2)", _cos, _cos_weight, 0, QUARTER_PI**2, 3, 6),
    *_both("ASIN", "asin(x) = x + x^3 p(x^2)", *_odd(mp.asin), 0, "0.2501", 5, 12),
    *_both("ATAN", "atan(x) = x + x^3 p(x^2)", *_odd(mp.atan), 0, 1, 9, 20),
    *_both("ASINH", "asinh(x) = x + x^3 p(x^2)", *_odd(mp.asinh), 0, 1, 8, 20),
    *_both("ACOSH", "acosh(1 + t) = sqrt(2 t) (1 + t p(t))", _acosh, _acosh_weight, 0, 1, 7, 15),
    *_both("ATANH", "atanh(x) = x + x^3 p(x^2)", *_odd(mp.atanh), 0, "0.2501", 6, 14),
    *_both(
        "LOG",
        "log(1 + f) = f - f^2/2 + f^3 p(f)",
        _log,
        _log_weight,
        1 / ROOT - 1,
        ROOT - 1,
        9,
        20,
    ),
    Fit(
        "POW_LOG2",
        "for pow of f32: log2(1 + f) = f p(f)",
        _log2,
        _log2_weight,
        1 / ROOT - 1,
        ROOT - 1,
        13,
        64,
    ),
    Fit(
        "POW_EXP2",
        "for pow of f32: 2^r = p(r)",
        _exp2,
        _exp2_weight,
        -mp.mpf("0.501"),
        mp.mpf("0.501"),
        7,
        64,
    ),
    *_both(
        "ATANH_TAIL",
        "for pow: atanh(s) = s + s z (1/3 + z p(z)) with z = s^2",
        _atanh_tail,
        _atanh_tail_weight,
        0,
        ((ROOT - 1) / (ROOT + 1)) ** 2,
        0,
        8,
    ),
    *_both(
        "ERF",
        "erf(x) = x + x p(x^2)",
        _erf,
        _erf_weight,
        0,
        ERF_SPLIT**2,
        7,
        12,
    ),
    *(
        Fit(
            f"ERF_TAIL_F{bits}",
            "-log(1 - erf(x)) = p(x - 0.875)",
            _erf_tail,
            _erf_tail_weight,
            ERF_SPLIT - ERF_SPLIT,
            high - ERF_SPLIT,
            count,
            bits,
        )
        for bits, high, count in ((32, mp.mpf(4), 9), (64, mp.mpf(6), 18))
    ),
)
