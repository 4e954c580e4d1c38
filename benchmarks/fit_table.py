"""The polynomials that ``fit_polynomials.py`` fits: what, where, and how many coefficients."""

from __future__ import annotations

from typing import Any, Final

import mpmath
from remez import Fit, Function, Real, rounded

mp: Any = mpmath.mp

HALF_LN2: Final = mp.log(2) / 2 * mp.mpf("1.0005")
ROOT: Final = mp.sqrt(2)
QUARTER_PI: Final = mp.pi / 4 * mp.mpf("1.0005")

# These numbers stand in elementary/error.py, too.
ERF_MIDDLE: Final = mp.mpf("0.5")
ERF_SPLIT: Final = {32: mp.mpf(1.0628918409347534), 64: mp.mpf(1.0625000000000588)}
ERF_ONE: Final = {32: mp.mpf("3.925"), 64: mp.mpf("5.95")}


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


def _erf(v: Real) -> Real:
    x = mp.sqrt(v + ERF_MIDDLE)
    return mp.erf(x) / x - 1


def _erf_weight(v: Real) -> Real:
    return 1 / (1 + _erf(v))


def _erf_tail(bits: int) -> Fit:
    """With ``r (r + slope) = sqrt(erfc(x)) - start``, p is that of ``r = u p(u)``."""
    split = ERF_SPLIT[bits]
    start = rounded(mp.sqrt(mp.erfc(split)), bits)
    slope = rounded(2 * mp.sqrt(start), bits)

    def root(u: Real) -> Real:
        return mp.sqrt(mp.erfc(u + split))

    def rise(u: Real) -> Real:
        return mp.sqrt(root(u) - start + slope**2 / 4) - slope / 2

    def weight(u: Real) -> Real:
        return 2 * root(u) * (2 * rise(u) + slope) * u / mp.erf(u + split)

    meaning = "erf(x) = 1 - (s + r (r + t))^2 with r = u p(u)"
    high, count = ERF_ONE[bits] - split, {32: 8, 64: 20}[bits]
    name = f"ERF_TAIL_F{bits}"
    return Fit(name, meaning, lambda u: rise(u) / u, weight, mp.mpf(0), high, count, bits)


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
        "erf(x) = x + x p(x^2 - 1/2)",
        _erf,
        _erf_weight,
        -ERF_MIDDLE,
        ERF_SPLIT[32] ** 2 - ERF_MIDDLE,
        7,
        14,
    ),
    _erf_tail(32),
    _erf_tail(64),
)
