"""Loops and integer forms ``numerator / denominator`` over their variables."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import lcm
from typing import TypeAlias

from tilec.records import dataclass
from tilec.tensor.affine import Affine

Box: TypeAlias = Mapping[str, tuple[int, int]]
"""Inclusive lowest and highest value of each loop variable."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A loop variable that runs over ``range(low, high)``."""

    name: str
    low: int
    high: int

    @property
    def extent(self) -> int:
        """Number of iterations."""
        return max(0, self.high - self.low)


@dataclass(frozen=True, slots=True)
class Form:
    """``(const + sum(coefficient * variable)) / denominator`` with integers throughout.

    Terms are sorted by name and never 0; the denominator is the smallest that keeps them integral.
    """

    terms: tuple[tuple[str, int], ...]
    const: int
    denominator: int = 1

    def coefficient(self, name: str) -> int:
        """Factor of a variable in the numerator; 0 where it does not occur."""
        return next((factor for term, factor in self.terms if term == name), 0)

    def range(self, box: Box) -> tuple[int, int]:
        """Lowest and highest numerator over a box. Exact: the terms are independent."""
        low = high = self.const
        for name, factor in self.terms:
            first, last = box[name]
            low += factor * (first if factor > 0 else last)
            high += factor * (last if factor > 0 else first)
        return low, high

    def plus(self, other: Form, factor: int = 1) -> Form:
        """``self + factor * other``; both are integral."""
        totals = dict(self.terms)
        for name, value in other.terms:
            totals[name] = totals.get(name, 0) + factor * value
        kept = tuple(sorted((name, value) for name, value in totals.items() if value))
        return Form(kept, self.const + factor * other.const)


def form_of(affine: Affine) -> Form:
    """The form of an affine expression whose sizes are bound."""
    coefficients, const = affine.rational()
    denominator = lcm(const.denominator, *(c.denominator for c in coefficients.values()))
    terms = tuple((name, int(c * denominator)) for name, c in sorted(coefficients.items()))
    return Form(terms, int(const * denominator), denominator)


def affine_of(form: Form) -> Affine:
    """The affine expression of a form."""
    return Affine.build(
        ((name, Fraction(factor, form.denominator)) for name, factor in form.terms),
        Fraction(form.const, form.denominator),
    )
