"""Roots of unity, exact where they are rational and else rounded once to f64."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

BITS = 160
"""Bits behind the binary point while a series is summed: far more than f64 holds."""


@lru_cache(maxsize=4096)
def wave(number: int, count: int) -> tuple[float, float]:
    """Cosine and sine of ``number`` of ``count`` equal parts of a turn.

    Arguments are brought into the first eighth of the turn, so that values that are equal by
    symmetry are equal to the last bit, and 0, 1 and -1 are exact.
    """
    turn = Fraction(number, count) % 1
    quarter, rest = divmod(turn * 4, 1)
    cosine, sine = _first_quarter(rest / 4)
    for _ in range(int(quarter)):
        cosine, sine = -sine, cosine
    return cosine + 0.0, sine + 0.0


def _first_quarter(turn: Fraction) -> tuple[float, float]:
    """Cosine and sine below a quarter of a turn."""
    if turn * 8 > 1:
        cosine, sine = _series(Fraction(1, 4) - turn)
        return sine, cosine
    return _series(turn)


@lru_cache(maxsize=512)
def _series(turn: Fraction) -> tuple[float, float]:
    """Cosine and sine up to an eighth of a turn, from their power series in fixed point."""
    one = 1 << BITS
    angle = 2 * _pi() * turn.numerator // turn.denominator
    sums, term, power = [0, 0], one, 0
    while term:
        sums[power % 2] += -term if power % 4 in (2, 3) else term
        power += 1
        term = term * angle // (one * power)
    cosine, sine = (float(Fraction(each, one)) for each in sums)
    return cosine, cosine if turn * 8 == 1 else sine


@lru_cache(maxsize=1)
def _pi() -> int:
    """Pi in fixed point, by Machin's formula: pi / 4 = 4 atan(1/5) - atan(1/239)."""
    return 4 * (4 * _inverse_tangent(5) - _inverse_tangent(239))


def _inverse_tangent(divisor: int) -> int:
    """The arc whose tangent is ``1 / divisor``, in fixed point."""
    term, total, odd = (1 << BITS) // divisor, 0, 1
    while term:
        total += -(term // odd) if odd % 4 == 3 else term // odd
        term //= divisor * divisor
        odd += 2
    return total
