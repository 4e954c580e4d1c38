"""Minimax polynomials by Remez exchange, in 80-digit arithmetic.

The weight turns the error of the polynomial into the error of the function relative to its value.
The leading coefficients are rounded to the format one by one, and the others fitted again around
them, so that rounding costs almost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import mpmath

mp: Any = mpmath.mp
mp.dps = 80
Real = Any  # an mpf; mpmath has no types
Function = Callable[[Real], Real]

ROUNDED_FIRST: Final = 4
"""Coefficients that are rounded one by one; rounding the smaller ones is harmless."""


@dataclass(frozen=True)
class Fit:
    """One polynomial: its meaning in words, ``g``, ``w``, the interval, size and format."""

    name: str
    meaning: str
    function: Function
    weight: Function
    low: Real
    high: Real
    count: int
    bits: int


def _grid(fit: Fit) -> list[Real]:
    size = 24 * (fit.count + 2)
    middle, half = (fit.high + fit.low) / 2, (fit.high - fit.low) / 2
    return [middle - half * mp.cos(mp.pi * (2 * i + 1) / (2 * size)) for i in range(size)]


def _evaluate(coefficients: Sequence[Real], x: Real) -> Real:
    total = mp.mpf(0)
    for coefficient in reversed(coefficients):
        total = total * x + coefficient
    return total


def _alternation(errors: list[Real], size: int) -> list[int]:
    """Positions of ``size`` extrema of alternating sign, the largest there are."""
    peaks: list[int] = []
    for position, error in enumerate(errors):
        if peaks and (errors[peaks[-1]] > 0) == (error > 0):
            if abs(error) > abs(errors[peaks[-1]]):
                peaks[-1] = position
        else:
            peaks.append(position)
    while len(peaks) > size:
        worse_first = abs(errors[peaks[0]]) < abs(errors[peaks[-1]])
        del peaks[0 if worse_first else -1]
    return peaks


def _remez(
    xs: list[Real], values: list[Real], weights: list[Real], fixed: list[Real], count: int
) -> tuple[list[Real], Real]:
    """Coefficients with the leading ``fixed`` kept, and the largest weighted error."""
    first = len(fixed)
    free = count - first
    rest = [value - _evaluate(fixed, x) for x, value in zip(xs, values, strict=True)]
    size = free + 1
    chosen = [round((i + 0.5) * len(xs) / size) for i in range(size)]
    best: tuple[Real, list[Real]] | None = None
    for _ in range(30):
        matrix = mp.matrix(size, size)
        right = mp.matrix(size, 1)
        for row, position in enumerate(chosen):
            for column in range(free):
                matrix[row, column] = xs[position] ** (first + column)
            matrix[row, free] = (-1) ** row / weights[position]
            right[row] = rest[position]
        solution = mp.lu_solve(matrix, right)
        found = [*fixed, *(solution[i] for i in range(free))]
        errors = [
            weight * (_evaluate(found, x) - value)
            for x, value, weight in zip(xs, values, weights, strict=True)
        ]
        largest = max(abs(error) for error in errors)
        if best is None or largest < best[0]:
            best = (largest, found)
        if largest <= abs(solution[free]) * mp.mpf("1.0001"):
            break
        following = _alternation(errors, size)
        if len(following) < size or following == chosen:
            break
        chosen = following
    assert best is not None
    return best[1], best[0]


def rounded(value: Real, bits: int) -> Real:
    """``value`` rounded to a float of ``bits`` bits (normal numbers)."""
    precision = {32: 24, 64: 53}[bits]
    if value == 0:
        return mp.mpf(0)
    _, exponent = mp.frexp(value)
    scale = mp.mpf(2) ** (precision - exponent)
    return mp.nint(value * scale) / scale


def solve(fit: Fit) -> tuple[list[Real], Real]:
    """The rounded coefficients and their largest weighted error."""
    xs = _grid(fit)
    values = [fit.function(x) for x in xs]
    weights = [fit.weight(x) for x in xs]
    fixed: list[Real] = []
    for _ in range(min(ROUNDED_FIRST, fit.count - 1)):
        found, _ = _remez(xs, values, weights, fixed, fit.count)
        fixed.append(rounded(found[len(fixed)], fit.bits))
    found, _ = _remez(xs, values, weights, fixed, fit.count)
    final = [rounded(coefficient, fit.bits) for coefficient in found]
    error = max(
        abs(weight * (_evaluate(final, x) - value))
        for x, value, weight in zip(xs, values, weights, strict=True)
    )
    return final, error
