"""The words of formulas: Python operators that write code lane by lane, in some language.

A formula takes and returns ``Value``; each operator appends one operation to the ``Code`` that its
operands belong to. Python numbers become constants of the type they meet, rounded to it once.

Division is IEEE division, comparisons are false when an operand is NaN (``differs`` is true), and
nothing is ever contracted or reassociated: what is written is what is rounded.
"""

from __future__ import annotations

from typing import Final, Protocol

from tilec.errors import InternalError
from tilec.records import dataclass

HORNER_LIMIT: Final = 5
"""Polynomials of more coefficients are evaluated in parts that do not wait for each other."""


@dataclass(frozen=True, slots=True)
class Type:
    """A scalar (one lane) or vector.

    ``kind`` is ``f`` for floats, ``i`` for integers, ``b`` for conditions, which have the bits of
    what was compared, ``p`` for addresses.
    """

    kind: str
    bits: int
    lanes: int


class Code(Protocol):
    """The function that is being written, in some language."""

    def constant(self, value: float, kind: Type) -> str:
        """``value`` in every lane."""
        ...

    def apply(self, op: str, result: Type, *operands: Value) -> Value:
        """Append an operation that yields ``result``.

        ``add sub mul div neg and or xor not shl ashr lshr lt le gt ge eq ne is_nan select``,
        ``fma sqrt abs trunc copysign`` on floats, and the conversions ``bitcast to_float resize``.
        """
        ...

    def scales(self, kind: Type) -> bool:
        """Whether there are instructions for ``scaled`` and ``limited`` on values of a type."""
        ...

    def scaled(self, x: Value, n: Value) -> Value:
        """See ``scaled``."""
        ...

    def limited(self, x: Value, most: float) -> Value:
        """See ``limited``."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A value or constant of a function under construction."""

    code: Code
    type: Type
    text: str

    def of(self, other: Operand) -> Value:
        """``other`` as an operand beside this value: numbers become constants of its type."""
        if isinstance(other, Value):
            if other.type != self.type:
                raise InternalError(f"operands of types {self.type} and {other.type} meet")
            return other
        return Value(self.code, self.type, self.code.constant(other, self.type))

    def _binary(self, op: str, other: Operand) -> Value:
        return self.code.apply(op, self.type, self, self.of(other))

    def __add__(self, other: Operand) -> Value:
        return self._binary("add", other)

    def __radd__(self, other: float) -> Value:
        return self.of(other) + self

    def __sub__(self, other: Operand) -> Value:
        return self._binary("sub", other)

    def __rsub__(self, other: float) -> Value:
        return self.of(other) - self

    def __mul__(self, other: Operand) -> Value:
        return self._binary("mul", other)

    def __rmul__(self, other: float) -> Value:
        return self.of(other) * self

    def __truediv__(self, other: Operand) -> Value:
        return self._binary("div", other)

    def __rtruediv__(self, other: float) -> Value:
        return self.of(other) / self

    def __neg__(self) -> Value:
        if self.type.kind == "f":
            return self.code.apply("neg", self.type, self)
        return self.of(0) - self

    def __and__(self, other: Operand) -> Value:
        return self._binary("and", other)

    def __or__(self, other: Operand) -> Value:
        return self._binary("or", other)

    def __xor__(self, other: Operand) -> Value:
        return self._binary("xor", other)

    def __invert__(self) -> Value:
        return self.code.apply("not", self.type, self)

    def __lshift__(self, count: int | Value) -> Value:
        return self._binary("shl", count)

    def __rshift__(self, count: int) -> Value:
        """Shift that copies the sign."""
        return self._binary("ashr", count)

    def shift_right(self, count: int | Value) -> Value:
        """Shift that brings in zeros."""
        return self._binary("lshr", count)

    def _compare(self, op: str, other: Operand) -> Value:
        result = Type("b", self.type.bits, self.type.lanes)
        return self.code.apply(op, result, self, self.of(other))

    def __lt__(self, other: Operand) -> Value:
        return self._compare("lt", other)

    def __le__(self, other: Operand) -> Value:
        return self._compare("le", other)

    def __gt__(self, other: Operand) -> Value:
        return self._compare("gt", other)

    def __ge__(self, other: Operand) -> Value:
        return self._compare("ge", other)

    def equals(self, other: Operand) -> Value:
        """Equal; false when an operand is NaN."""
        return self._compare("eq", other)

    def differs(self, other: Operand) -> Value:
        """Not equal; true when an operand is NaN."""
        return self._compare("ne", other)

    def is_nan(self) -> Value:
        """True where this is NaN."""
        return self._compare("is_nan", self)

    def bits(self) -> Value:
        """The bits of a float, as an integer."""
        return self.code.apply("bitcast", Type("i", self.type.bits, self.type.lanes), self)

    def as_float(self) -> Value:
        """The float that has the bits of this integer."""
        return self.code.apply("bitcast", Type("f", self.type.bits, self.type.lanes), self)

    def to_float(self, bits: int | None = None) -> Value:
        """This signed integer, or float of another width, rounded to a float."""
        width = self.type.bits if bits is None else bits
        return self.code.apply("to_float", Type("f", width, self.type.lanes), self)

    def to_width(self, bits: int) -> Value:
        """This integer in another width, cut or filled with zeros."""
        return self.code.apply("resize", Type("i", bits, self.type.lanes), self)


Operand = Value | float
"""What stands beside a value in a formula."""


def _function(name: str, *operands: Value) -> Value:
    return operands[0].code.apply(name, operands[0].type, *operands)


def fma(a: Value, b: Operand, c: Operand) -> Value:
    """``a * b + c``, rounded once."""
    return _function("fma", a, a.of(b), a.of(c))


def sqrt(x: Value) -> Value:
    """The square root, correctly rounded."""
    return _function("sqrt", x)


def magnitude(x: Value) -> Value:
    """``|x|``."""
    return _function("abs", x)


def truncate(x: Value) -> Value:
    """``x`` rounded toward zero to a whole number."""
    return _function("trunc", x)


def with_sign(x: Value, sign: Value) -> Value:
    """``|x|`` with the sign of ``sign``."""
    return _function("copysign", x, sign)


def sign_of(x: Value) -> Value:
    """The sign bit of a float as the highest bit of an integer; the others are 0."""
    return x.bits() & (-1 << (x.type.bits - 1))


def negated(x: Value, sign: Value) -> Value:
    """``-x`` where ``sign``, which is as from ``sign_of``, has its highest bit set."""
    return (x.bits() ^ sign).as_float()


def select(test: Value, yes: Operand, no: Operand) -> Value:
    """``yes`` where ``test`` holds, elsewhere ``no``; one of them is a value."""
    if isinstance(yes, Value):
        first, second = yes, yes.of(no)
    elif isinstance(no, Value):
        first, second = no.of(yes), no
    else:
        raise InternalError("a select between two numbers has no type")
    return test.code.apply("select", first.type, test, first, second)


def clamp(x: Value, low: float | None, high: float | None) -> Value:
    """``x`` between ``low`` and ``high``; NaN stays NaN."""
    if low is not None:
        x = select(x < low, low, x)
    if high is not None:
        x = select(x > high, high, x)
    return x


def polynomial(x: Value, coefficients: tuple[float, ...]) -> Value:
    """``sum(coefficients[i] * x**i)``.

    Short ones by Horner's rule. Long ones by Estrin's scheme: halves are evaluated side by side
    and joined by powers of x, since a processor cannot look ahead far enough to fill the waits of
    one long chain with the next vector's work.
    """
    powers = {1: x}
    while 2 * max(powers) < len(coefficients):
        largest = max(powers)
        powers[2 * largest] = powers[largest] * powers[largest]
    return _estrin(powers, coefficients)


def _estrin(powers: dict[int, Value], coefficients: tuple[float, ...]) -> Value:
    if len(coefficients) <= HORNER_LIMIT:
        x = powers[1]
        total = x.of(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            total = fma(x, total, coefficient)
        return total
    half = max(power for power in powers if power < len(coefficients))
    high = _estrin(powers, coefficients[half:])
    return fma(powers[half], high, _estrin(powers, coefficients[:half]))


def has_scaling(x: Value) -> bool:
    """Whether ``scaled`` and ``limited`` can be used: for whole registers of AVX-512."""
    return x.code.scales(x.type)


def scaled(x: Value, n: Value) -> Value:
    """``x * 2**n`` for a whole n of any size, rounded once."""
    return x.code.scaled(x, n)


def limited(x: Value, most: float) -> Value:
    """A magnitude of at most ``most`` with the sign of x, a number even for NaN."""
    return x.code.limited(x, most)
