"""Derivatives of the scalar operations.

A rule gets the operands and the result as surfaces (see ``tensor/surface.py``). For each operand it
returns the linear map by which a change of the operand becomes a change of the result, which is
also the one by which a cotangent goes back; None where that is 0 everywhere but at jumps
(comparisons, rounding, ``sign``). Where a function has a kink the rule takes one side: ``relu`` has
0 at 0, ``abs`` has 1, ``max`` gives a tie to its first operand and ``min`` to its second, as in
PlaidML.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from tilec.dtypes import F32, I32
from tilec.tensor.scalar import Apply, Literal, Read, Scalar
from tilec.tensor.surface import loose

Linear: TypeAlias = Callable[[Scalar], Scalar]
"""Multiplication by a derivative."""

_Rule: TypeAlias = Callable[[tuple[Scalar, ...], Scalar], tuple[Linear | None, ...]]

ZERO: Final = Literal(0, I32)
ONE: Final = Literal(1, I32)
_TWO: Final = Literal(2, I32)

# 2/sqrt(pi) as the sum of two f32 literals: exact enough for f64, whatever the type of a program.
_ERF_HIGH: Final = Literal(1.12837922573089599609375, F32)
_ERF_LOW: Final = Literal(-5.8635383e-08, F32)


def derivatives(op: str, args: tuple[Scalar, ...], result: Scalar) -> tuple[Linear | None, ...]:
    """The derivative of an operation by each of its operands; integers have none."""
    rule = _RULES.get(op)
    if rule is None or not result.dtype.is_float:
        return (None,) * len(args)
    found = rule(args, result)
    pairs = zip(args, found, strict=True)
    return tuple(linear if arg.dtype.is_float else None for arg, linear in pairs)


def add(left: Scalar, right: Scalar) -> Scalar:
    """Sum."""
    if isinstance(right, Apply) and right.op == "neg":
        return loose("sub", left, right.args[0])
    return loose("add", left, right)


def sub(left: Scalar, right: Scalar) -> Scalar:
    """Difference."""
    return loose("sub", left, right)


def mul(left: Scalar, right: Scalar) -> Scalar:
    """Product, with a sign in front."""
    if isinstance(left, Apply) and left.op == "neg":
        return neg(mul(left.args[0], right))
    return loose("mul", left, right)


def div(left: Scalar, right: Scalar) -> Scalar:
    """Quotient, with a sign in front."""
    if isinstance(left, Apply) and left.op == "neg":
        return neg(div(left.args[0], right))
    return loose("div", left, right)


def neg(value: Scalar) -> Scalar:
    """The negative."""
    if isinstance(value, Apply) and value.op == "neg":
        return value.args[0]
    return loose("neg", value)


def choose(test: Scalar, then: Scalar, otherwise: Scalar) -> Scalar:
    """``test ? then : otherwise``."""
    return loose("cond", test, then, otherwise)


def _square(value: Scalar) -> Scalar:
    return loose("mul", value, value)


def _same(seed: Scalar) -> Scalar:
    return seed


def _times(factor: Scalar) -> Linear:
    return lambda seed: mul(seed, factor)


def _over(divisor: Scalar) -> Linear:
    return lambda seed: div(seed, divisor)


def _minus_over(divisor: Scalar) -> Linear:
    return lambda seed: neg(div(seed, divisor))


def _where(op: str, left: Scalar, right: Scalar, *, holds: bool) -> Linear:
    """The seed where a comparison holds (or does not), 0 elsewhere."""
    test = loose(op, left, right)
    if holds:
        return lambda seed: choose(test, seed, ZERO)
    return lambda seed: choose(test, ZERO, seed)


def _mul(args: tuple[Scalar, ...], _: Scalar) -> tuple[Linear | None, ...]:
    left, right = args
    return _times(right), _times(left)


def _div(args: tuple[Scalar, ...], result: Scalar) -> tuple[Linear | None, ...]:
    _, right = args
    return _over(right), lambda seed: neg(div(mul(seed, result), right))


def _mod(args: tuple[Scalar, ...], result: Scalar) -> tuple[Linear | None, ...]:
    # a = q*b + r with a whole q that does not change nearby.
    left, right = args
    return _same, _times(div(sub(result, left), right))


def _pow(args: tuple[Scalar, ...], result: Scalar) -> tuple[Linear | None, ...]:
    base, exponent = args
    power = loose("pow", base, sub(exponent, ONE))
    slope = mul(exponent, power)
    if isinstance(exponent, Literal):
        by_base = power if exponent.value == 1 else slope
        if exponent.value == 2:
            by_base = mul(_TWO, base)
    else:
        # pow(0, -1) is infinite, but a constant has the derivative 0.
        by_base = choose(loose("cmp_eq", exponent, ZERO), ZERO, slope)
    # pow(0, y) is 0 for every y > 0, so that its derivative is 0 and not 0 * log(0).
    growth = choose(loose("cmp_eq", base, ZERO), ZERO, mul(result, loose("log", base)))
    return _times(by_base), _times(growth)


def _cond(args: tuple[Scalar, ...], _: Scalar) -> tuple[Linear | None, ...]:
    test, *_others = args
    return (
        None,
        lambda seed: choose(test, seed, ZERO),
        lambda seed: choose(test, ZERO, seed),
    )


def _max(args: tuple[Scalar, ...], _: Scalar) -> tuple[Linear | None, ...]:
    left, right = args
    return _where("cmp_lt", left, right, holds=False), _where("cmp_lt", left, right, holds=True)


def _min(args: tuple[Scalar, ...], _: Scalar) -> tuple[Linear | None, ...]:
    left, right = args
    return _where("cmp_lt", left, right, holds=True), _where("cmp_lt", left, right, holds=False)


def _erf(args: tuple[Scalar, ...], _: Scalar) -> tuple[Linear | None, ...]:
    bell = loose("exp", neg(_square(args[0])))
    return (_times(add(mul(bell, _ERF_HIGH), mul(bell, _ERF_LOW))),)


def _unary(make: Callable[[Scalar, Scalar], Linear]) -> _Rule:
    """A rule from the operand and the result of an operation with one operand."""
    return lambda args, result: (make(args[0], result),)


def _stored(result: Scalar) -> Scalar | None:
    """A result that is there already; None where it would be computed again."""
    return result if isinstance(result, Read) else None


def _root(value: Scalar) -> Scalar:
    return loose("sqrt", value)


_RULES: Final[dict[str, _Rule]] = {
    "add": lambda args, result: (_same, _same),
    "sub": lambda args, result: (_same, neg),
    "mul": _mul,
    "div": _div,
    "mod": _mod,
    "neg": lambda args, result: (neg,),
    "abs": _unary(lambda x, y: lambda s: choose(loose("cmp_lt", x, ZERO), neg(s), s)),
    "max": _max,
    "min": _min,
    # NaN is not less than 0, so that it keeps its cotangent as it keeps its value.
    "relu": _unary(lambda x, y: _where("cmp_le", _stored(y) or x, ZERO, holds=False)),
    "recip": _unary(lambda x, y: _times(neg(_square(y)))),
    "sqrt": _unary(lambda x, y: _over(mul(_TWO, y))),
    "exp": _unary(lambda x, y: _times(y)),
    "log": _unary(lambda x, y: _over(x)),
    "pow": _pow,
    "sigmoid": _unary(lambda x, y: _times(mul(y, sub(ONE, y)))),
    "erf": _erf,
    "sin": _unary(lambda x, y: _times(loose("cos", x))),
    "cos": _unary(lambda x, y: lambda s: neg(mul(s, loose("sin", x)))),
    "tan": _unary(lambda x, y: _times(add(ONE, _square(y)))),
    "asin": _unary(lambda x, y: _over(_root(sub(ONE, _square(x))))),
    "acos": _unary(lambda x, y: _minus_over(_root(sub(ONE, _square(x))))),
    "atan": _unary(lambda x, y: _over(add(ONE, _square(x)))),
    "sinh": _unary(lambda x, y: _times(loose("cosh", x))),
    "cosh": _unary(lambda x, y: _times(loose("sinh", x))),
    "tanh": _unary(lambda x, y: _times(sub(ONE, _square(y)))),
    "asinh": _unary(lambda x, y: _over(_root(add(_square(x), ONE)))),
    # Two roots, so that nothing overflows and nothing cancels near 1.
    "acosh": _unary(lambda x, y: _over(mul(_root(sub(x, ONE)), _root(add(x, ONE))))),
    "atanh": _unary(lambda x, y: _over(sub(ONE, _square(x)))),
    "cond": _cond,
    "cast": lambda args, result: (_same,),
}
