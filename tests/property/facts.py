"""What is known of a value before a program runs: range, exactness, and a bound of its error.

Two correct implementations agree on every bit of an *exact* value: one that is a multiple of a
power of two with few enough digits that nothing ever rounds. Comparisons, rounding and conversions
to integers are generated for exact values only, because the last bit of any other value may differ
and would be blown up there. Every other value carries a bound of the error that rounding can have
caused; a result is held to that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

from tilec.dtypes import BF16, BOOL, F16, F32, F64, I32, DType, accumulator, integer_range
from tilec.operations import OPERATIONS, Rule
from tilec.tensor.ir import Aggregation
from tilec.tensor.types import common, result_dtype

DIGITS = {F16: 11, BF16: 8, F32: 24, F64: 53}
"""Significant bits of each float type."""

_LIMIT = {F16: 6e4, BF16: 1e30, F32: 1e30, F64: 1e200}
_LEAST = {F16: 2.0**-25, BF16: 2.0**-134, F32: 2.0**-150, F64: 2.0**-1075}
_FINEST = {F16: 14, BF16: 100, F32: 100, F64: 500}

_ULPS = 8
"""Error of an elementary function, in units of the last place, that is accepted of a backend."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A value of type ``dtype`` between ``low`` and ``high``, where it is finite.

    Attributes:
        dtype: Its type.
        low: Lower bound.
        high: Upper bound.
        grain: The value is an integer times ``2**-grain``; None when it is not exact.
        error: Bound of the absolute error of a value that is not exact.
        special: Whether NaN and infinities may be among the values.
    """

    dtype: DType
    low: float
    high: float
    grain: int | None = 0
    error: float = 0.0
    special: bool = False

    @property
    def exact(self) -> bool:
        """True when all implementations agree on every bit."""
        return self.grain is not None

    @property
    def bound(self) -> float:
        """Bound of the absolute value."""
        return max(abs(self.low), abs(self.high))


def whole_range(dtype: DType) -> Fact:
    """Any value of an integer type."""
    low, high = integer_range(dtype)
    return Fact(dtype, low, high)


def _settled(fact: Fact) -> Fact | None:
    """A result rounded or wrapped to its type; None when a float could overflow."""
    dtype = fact.dtype
    if not dtype.is_float:
        low, high = integer_range(dtype)
        return fact if low <= fact.low and fact.high <= high else whole_range(dtype)
    if fact.bound + fact.error > _LIMIT[dtype]:
        return None
    digits = DIGITS[dtype]
    grain = fact.grain
    if grain is not None and grain <= _FINEST[dtype] and fact.bound * 2.0**grain <= 2.0**digits:
        return fact
    rounding = (fact.bound + fact.error) * 2.0**-digits + _LEAST[dtype]
    return replace(fact, grain=None, error=fact.error + rounding)


def convert(fact: Fact, dtype: DType) -> Fact | None:
    """A conversion; None where it would amplify an error or could overflow."""
    if fact.dtype == dtype:
        return fact
    if dtype.is_float:
        return _settled(replace(fact, dtype=dtype))
    if not fact.exact:
        return None
    if dtype == BOOL:
        return Fact(BOOL, 0, 1)
    if fact.special:
        return whole_range(dtype)
    # A remainder by 0 may be NaN, which becomes 0.
    low, high = min(0, math.trunc(fact.low)), max(0, math.trunc(fact.high))
    return _settled(Fact(dtype, low, high))


def apply(op: str, *args: Fact) -> Fact | None:
    """An operation; None where it would be undetermined or could overflow."""
    rule = OPERATIONS[op].rule
    dtypes = [arg.dtype for arg in args]
    if rule is Rule.ROUNDING and not dtypes[0].is_float:
        return args[0]
    dtype = result_dtype(op, dtypes)
    if rule is Rule.SELECT and not args[0].exact:
        return None
    converted = _converted(rule, args[1:] if rule is Rule.SELECT else args)
    if converted is None:
        return None
    made: Fact | None
    if rule in (Rule.COMPARISON, Rule.LOGICAL):
        return Fact(BOOL, 0, 1) if all(fact.exact for fact in converted) else None
    if rule is Rule.SELECT:
        made = _union(*converted)
    elif rule is Rule.BITWISE:
        return whole_range(dtype)
    elif rule is Rule.MATH:
        made = _math(op, converted)
    else:
        made = _arithmetic(op, converted)
    if made is None or not dtype.is_float:
        return made
    return replace(made, special=any(fact.special for fact in converted))


def _converted(rule: Rule, args: tuple[Fact, ...]) -> list[Fact] | None:
    """The operands in the type in which they meet."""
    meet = common([arg.dtype for arg in args])
    if rule is Rule.LOGICAL:
        meet = BOOL
    elif rule is Rule.MATH and not meet.is_float:
        meet = F32
    facts = [convert(arg, meet) for arg in args]
    known = [fact for fact in facts if fact is not None]
    return known if len(known) == len(facts) else None


def _arithmetic(op: str, args: list[Fact]) -> Fact | None:
    if op in _EXACT_ONLY and not all(arg.exact for arg in args):
        return None
    made = _UNARY[op](args[0]) if len(args) == 1 else _BINARY[op](args[0], args[1])
    return None if made is None else _settled(made)


def _union(first: Fact, *others: Fact) -> Fact:
    facts = (first, *others)
    grains = [fact.grain for fact in facts if fact.grain is not None]
    return Fact(
        first.dtype,
        min(fact.low for fact in facts),
        max(fact.high for fact in facts),
        max(grains) if len(grains) == len(facts) else None,
        max(fact.error for fact in facts),
        any(fact.special for fact in facts),
    )


def with_value(fact: Fact, other: Fact | None) -> Fact:
    """Either a value or another one, which is 0 by default."""
    return _union(fact, other or Fact(fact.dtype, 0, 0))


def _add(x: Fact, y: Fact) -> Fact:
    return Fact(x.dtype, x.low + y.low, x.high + y.high, _finer(x, y), x.error + y.error)


def _mul(x: Fact, y: Fact) -> Fact:
    ends = [a * b for a, b in product((x.low, x.high), (y.low, y.high))]
    grain = None if x.grain is None or y.grain is None else x.grain + y.grain
    error = x.bound * y.error + y.bound * x.error + x.error * y.error
    return Fact(x.dtype, min(ends), max(ends), grain, error)


def _div(x: Fact, y: Fact) -> Fact | None:
    if not x.dtype.is_float:
        return Fact(x.dtype, -x.bound, x.bound)
    least = min(abs(y.low), abs(y.high)) - y.error
    if y.low * y.high <= 0 or least < 0.125:
        return None
    bound = x.bound / least
    return Fact(x.dtype, -bound, bound, None, (x.error + bound * y.error) / least)


def _mod(x: Fact, y: Fact) -> Fact:
    bound = min(x.bound, y.bound)
    return Fact(x.dtype, -bound, bound, _finer(x, y))


def _neg(x: Fact) -> Fact:
    return replace(x, low=-x.high, high=-x.low)


def _abs(x: Fact) -> Fact:
    return replace(x, low=0 if x.low <= 0 <= x.high else min(abs(x.low), abs(x.high)), high=x.bound)


def _max(x: Fact, y: Fact) -> Fact:
    return replace(_union(x, y), low=max(x.low, y.low), high=max(x.high, y.high))


def _min(x: Fact, y: Fact) -> Fact:
    return replace(_union(x, y), low=min(x.low, y.low), high=min(x.high, y.high))


def _finer(x: Fact, y: Fact) -> int | None:
    return None if x.grain is None or y.grain is None else max(x.grain, y.grain)


_EXACT_ONLY = frozenset({"mod", "sign", "ceil", "floor", "round"})


def _sub(x: Fact, y: Fact) -> Fact:
    return _add(x, _neg(y))


def _relu(x: Fact) -> Fact:
    return replace(x, low=max(0, x.low), high=max(0, x.high))


def _sign(x: Fact) -> Fact:
    return Fact(x.dtype, -1, 1)


def _round(x: Fact) -> Fact:
    return Fact(x.dtype, math.floor(x.low), math.ceil(x.high))


_UNARY: dict[str, Callable[[Fact], Fact | None]] = {
    "neg": _neg,
    "abs": _abs,
    "relu": _relu,
    "sign": _sign,
    "ceil": _round,
    "floor": _round,
    "round": _round,
}

_BINARY: dict[str, Callable[[Fact, Fact], Fact | None]] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "mod": _mod,
    "max": _max,
    "min": _min,
}


@dataclass(frozen=True, slots=True)
class Elementary:
    """Where an elementary function is called, its values there, and its steepest slope."""

    low: float
    high: float
    value: Callable[[float], float]
    slope: float
    monotone: bool = True


def _inverse(x: float) -> float:
    return 1 / x


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


MATH = {
    "exp": Elementary(-8, 6, math.exp, math.exp(6)),
    "log": Elementary(0.25, 60, math.log, 4),
    "sqrt": Elementary(0.0625, 900, math.sqrt, 2),
    "recip": Elementary(0.25, 60, _inverse, 16),
    "sin": Elementary(-40, 40, math.sin, 1, monotone=False),
    "cos": Elementary(-40, 40, math.cos, 1, monotone=False),
    "tan": Elementary(-1.25, 1.25, math.tan, 10.1),
    "asin": Elementary(-0.75, 0.75, math.asin, 1.6),
    "acos": Elementary(-0.75, 0.75, math.acos, 1.6),
    "atan": Elementary(-60, 60, math.atan, 1),
    "sinh": Elementary(-5, 5, math.sinh, math.cosh(5)),
    "cosh": Elementary(-5, 5, math.cosh, math.cosh(5), monotone=False),
    "tanh": Elementary(-60, 60, math.tanh, 1),
    "asinh": Elementary(-60, 60, math.asinh, 1),
    "acosh": Elementary(1.25, 60, math.acosh, 1.4),
    "atanh": Elementary(-0.75, 0.75, math.atanh, 2.3),
    "erf": Elementary(-60, 60, math.erf, 1.2),
    "sigmoid": Elementary(-60, 60, _sigmoid, 0.25),
}
"""The elementary functions of one operand."""


POW = (Elementary(0.25, 4, abs, 1), Elementary(-3, 3, abs, 1))
"""Base and exponent of ``pow``."""


def _math(op: str, args: list[Fact]) -> Fact | None:
    ranges = POW if op == "pow" else (MATH[op],)
    for arg, allowed in zip(args, ranges, strict=True):
        if arg.low - arg.error < allowed.low or arg.high + arg.error > allowed.high:
            return None
    x = args[0]
    if op == "pow":
        # d/dx = y x^(y-1) and d/dy = x^y log(x), where all are largest.
        low, high, error = 0.0, 4.0**3, 3 * 4.0**4 * x.error + 4.0**3 * 1.4 * args[1].error
    else:
        function = MATH[op]
        error = function.slope * x.error
        ends = [function.value(end) for end in (x.low, x.high)]
        low, high = min(ends), max(ends)
        if not function.monotone:
            bound = 1.0 if op != "cosh" else max(high, 1.0)
            low, high = -bound, bound
    largest = max(abs(low), abs(high))
    # f16 and bf16 are computed in f32.
    digits = DIGITS[F32] if x.dtype in (F16, BF16) else DIGITS[x.dtype]
    error += _ULPS * largest * 2.0 ** (1 - digits)
    return _settled(Fact(x.dtype, low, high, None, error))


def aggregate(agg: Aggregation, term: Fact, terms: int, dtype: DType) -> Fact | None:
    """What at most ``terms`` values make together, as a result of type ``dtype``.

    ``term`` has the type in which values are combined.
    """
    made: Fact | None = term
    n = max(1, terms)
    if agg is Aggregation.SUM:
        made = _sum(term, n)
    elif agg is Aggregation.PRODUCT:
        made = _product(term, n)
    if made is None:
        return None
    return convert(replace(made, special=term.special and made.dtype.is_float), dtype)


def _sum(term: Fact, n: int) -> Fact | None:
    error = n * term.error
    total = Fact(term.dtype, min(0, n * term.low), max(0, n * term.high), term.grain, error)
    settled = _settled(total)
    if settled is None or settled.exact:
        return settled
    # Roundings cancel in part, so that errors do not grow with the number of terms for long; but
    # a chain of 2048 terms of few different values was off by 100 roundings.
    rounding = n * (term.bound + term.error) * 2.0 ** -DIGITS[term.dtype] * min(n, 128)
    return replace(settled, error=settled.error + rounding)


def _product(term: Fact, n: int) -> Fact | None:
    if not term.dtype.is_float:
        return whole_range(term.dtype)
    base = max(1.0, term.bound + term.error)
    if n * math.log2(base) > 90:
        return None
    largest = base**n
    relative = term.error + term.bound * 2.0 ** -DIGITS[term.dtype]
    grain = None if term.grain is None else n * term.grain
    settled = _settled(Fact(term.dtype, -largest, largest, grain))
    if settled is None or settled.exact:
        return settled
    return replace(settled, error=settled.error + n * relative * largest)


def combining(agg: Aggregation, dtype: DType) -> DType:
    """The type in which a contraction with a body of type ``dtype`` combines values."""
    if agg in (Aggregation.SUM, Aggregation.PRODUCT):
        return accumulator(dtype)
    return F32 if dtype in (F16, BF16) else dtype


INDEX = I32
"""The type of sizes and of integer literals."""
