"""Numbers held as a value and a small rest, for intermediate results beyond the format.

The rest is at most about one unit of the last place of the value. Products come from fma, sums
from the difference between a sum and its operands; both errors are exact.
"""

from __future__ import annotations

from tilec.kernel.elementary.values import Operand, Value, fma
from tilec.records import dataclass


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

    def scaled(self, factor: Operand) -> Pair:
        """Times a power of two or its negative, which is exact."""
        return Pair(self.value * factor, self.rest * factor)

    def normalised(self) -> Pair:
        """The same number with the value correctly rounded."""
        return add_exactly(self.value, self.rest)

    def total(self) -> Value:
        """Rounded to one value."""
        return self.value + self.rest


def constant(x: Value, value: float, rest: float) -> Pair:
    """A constant pair beside ``x``."""
    return Pair(x.of(value), x.of(rest))


def alone(x: Value) -> Pair:
    """A pair without rest: -0, which LLVM may drop from sums."""
    return Pair(x, x.of(-0.0))


def add_exactly(large: Operand, small: Value) -> Pair:
    """The sum and its rounding error, where ``|large| >= |small|`` or ``large`` is 0."""
    first = small.of(large)
    total = first + small
    return Pair(total, (first - total) + small)


def multiply_exactly(a: Value, b: Value) -> Pair:
    """The product and its rounding error."""
    product = a * b
    return Pair(product, fma(a, b, -product))


def divide(above: Pair, below: Pair) -> Pair:
    """The quotient as a pair."""
    first, error, inverse = _divided(above, below)
    return Pair(first, error * inverse)


def quotient(above: Pair, below: Pair) -> Value:
    """The quotient, nearly correctly rounded."""
    first, error, inverse = _divided(above, below)
    return fma(error, inverse, first)


def _divided(above: Pair, below: Pair) -> tuple[Value, Value, Value]:
    """A first quotient, what it leaves of ``above``, and the inverse of ``below``."""
    inverse = 1 / below.value
    first = above.value * inverse
    error = fma(-first, below.value, above.value) + fma(-first, below.rest, above.rest)
    return first, error, inverse
