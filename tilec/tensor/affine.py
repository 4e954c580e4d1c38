"""Affine index expressions with rational coefficients, simplified on construction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

from tilec.errors import InternalError
from tilec.records import dataclass
from tilec.tensor.size import Coefficient, SizeExpr


@dataclass(frozen=True, slots=True)
class Affine:
    """``const + sum(coefficient * index)`` over the rationals.

    Terms are sorted by index name and never 0, so equal expressions are equal values.
    """

    terms: tuple[tuple[str, Coefficient], ...] = ()
    const: Coefficient = Fraction(0)

    @staticmethod
    def index(name: str) -> Affine:
        """The expression that is just one index."""
        return Affine(((name, Fraction(1)),))

    @staticmethod
    def number(value: int | Fraction) -> Affine:
        """A constant."""
        return Affine((), Fraction(value))

    @staticmethod
    def build(terms: Iterable[tuple[str, Coefficient]], const: Coefficient) -> Affine:
        """Sort the terms, drop those that are 0; each index occurs once in ``terms``."""
        kept = tuple(sorted((name, c) for name, c in terms if c != 0))
        return Affine(kept, const)

    @property
    def indices(self) -> tuple[str, ...]:
        """Names of the indices that occur, sorted."""
        return tuple(name for name, _ in self.terms)

    def rational(self) -> tuple[dict[str, Fraction], Fraction]:
        """Coefficients by index and the constant; an internal error when a size is unbound."""
        coefficients = {name: _fraction(c) for name, c in self.terms}
        return coefficients, _fraction(self.const)

    def evaluate(self, point: Mapping[str, int]) -> Fraction:
        """Value at an index point."""
        coefficients, const = self.rational()
        return const + sum((c * point[name] for name, c in coefficients.items()), Fraction(0))

    def substitute(self, values: Mapping[str, Affine]) -> Affine:
        """Replace indices by expressions; indices that are not in ``values`` stay."""
        coefficients, const = self.rational()
        totals: dict[str, Fraction] = {}
        for name, factor in coefficients.items():
            inner, inner_const = values.get(name, Affine.index(name)).rational()
            const += factor * inner_const
            for inner_name, inner_factor in inner.items():
                totals[inner_name] = totals.get(inner_name, Fraction(0)) + factor * inner_factor
        return Affine.build(totals.items(), const)

    def rename(self, names: Mapping[str, str]) -> Affine:
        """Give indices other names; those that are not in ``names`` keep theirs."""
        return Affine.build(((names.get(name, name), c) for name, c in self.terms), self.const)

    def __add__(self, other: Affine) -> Affine:
        left, left_const = self.rational()
        right, right_const = other.rational()
        for name, factor in right.items():
            left[name] = left.get(name, Fraction(0)) + factor
        return Affine.build(left.items(), left_const + right_const)

    def __mul__(self, factor: int | Fraction) -> Affine:
        coefficients, const = self.rational()
        return Affine.build(((n, c * factor) for n, c in coefficients.items()), const * factor)

    def __sub__(self, other: Affine) -> Affine:
        return self + other * -1

    def __str__(self) -> str:
        parts: list[str] = []
        for name, c in self.terms:
            spelled = name if c == 1 else f"-{name}" if c == -1 else f"{_spell(c)}*{name}"
            parts.append(spelled)
        if self.const != 0 or not parts:
            parts.append(str(self.const))
        return " + ".join(parts).replace("+ -", "- ")


def _spell(coefficient: Coefficient) -> str:
    if isinstance(coefficient, Fraction) and coefficient.denominator != 1:
        return f"({coefficient})"
    return str(coefficient)


def _fraction(coefficient: Coefficient) -> Fraction:
    if isinstance(coefficient, SizeExpr):
        raise InternalError(f"coefficient {coefficient} is not bound")
    return coefficient
