"""Numbers held as a value and a small rest, for intermediate results beyond the format.

The rest is at most about one unit of the last place of the value. Products come from fma, sums
from the difference between a sum and its operands; both errors are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

from tilec_llvm.math.builder import Operand, Value, fma


@dataclass(frozen=True, slots=True)
class Pair:
    """``value + rest``."""

    value: Value
    rest: Value

    def __neg__(self) -> Pair:
        return Pair(-self.value, -self.rest)

    def __add__(self, small: Pair | Value) -> Pair:
        """The sum, where this is the larger in magnitude or its value is 0."""
        if isinstance(small, Value):
            total = add_exactly(self.value, small)
            return Pair(total.value, total.rest + self.rest)
        total = add_exactly(self.value, small.value)
        return Pair(total.value, total.rest + (self.rest + small.rest))

    def __mul__(self, other: Pair) -> Pair:
        product = multiply_exactly(self.value, other.value)
        rest = fma(self.value, other.rest, product.rest)
        return Pair(product.value, fma(self.rest, other.value, rest))

    def scaled(self, factor: Value) -> Pair:
        """Times a power of two, which is exact."""
        return Pair(self.value * factor, self.rest * factor)

    def total(self) -> Value:
        """Rounded to one value."""
        return self.value + self.rest

    def __truediv__(self, other: Pair) -> Value:
        """The quotient, nearly correctly rounded."""
        inverse = 1 / other.value
        first = self.value * inverse
        error = fma(-first, other.value, self.value) + fma(-first, other.rest, self.rest)
        return fma(error, inverse, first)


def constant(x: Value, value: float, rest: float) -> Pair:
    """A constant pair beside ``x``."""
    return Pair(x.of(value), x.of(rest))


def add_exactly(large: Operand, small: Value) -> Pair:
    """The sum and its rounding error, where ``|large| >= |small|`` or ``large`` is 0."""
    first = small.of(large)
    total = first + small
    return Pair(total, (first - total) + small)


def multiply_exactly(a: Value, b: Value) -> Pair:
    """The product and its rounding error."""
    product = a * b
    return Pair(product, fma(a, b, -product))


def divide(above: Value, below: Pair) -> Pair:
    """The quotient as a pair."""
    inverse = 1 / below.value
    first = above * inverse
    error = fma(-first, below.rest, fma(-first, below.value, above))
    return Pair(first, error * inverse)
