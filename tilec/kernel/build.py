"""Constructors of kernel expressions that simplify as they build.

Index arithmetic passes through here, so that printed kernels carry no ``+ 0`` and ``* 1`` and equal
addresses are equal values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tilec.dtypes import BOOL, I64
from tilec.kernel.ir import CONDITION, INDEX, Apply, Const, Expr, Ramp, Splat, Var, VType

COMPARES: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "cmp_eq": int.__eq__,
    "cmp_ne": int.__ne__,
    "cmp_lt": int.__lt__,
    "cmp_le": int.__le__,
    "cmp_gt": int.__gt__,
    "cmp_ge": int.__ge__,
}
"""Comparisons of two known indices."""

FOLDS: Final[Mapping[str, Callable[[int, int], int]]] = {
    "add": int.__add__,
    "sub": int.__sub__,
    "mul": int.__mul__,
    "min": min,
    "max": max,
    "floor_div": int.__floordiv__,
    "floor_mod": int.__mod__,
}
"""Operations on two known indices."""


def const(value: int) -> Const:
    """An index constant."""
    return Const(value, INDEX)


def var(name: str) -> Var:
    """An index variable."""
    return Var(name, INDEX)


def add(left: Expr, right: Expr) -> Expr:
    """``left + right`` of two indices; constants are gathered at the right end."""
    a, b = _value(left), _value(right)
    if a is not None and b is not None:
        return const(a + b)
    if a is not None:
        return add(right, left)
    if b == 0:
        return left
    if b is not None and isinstance(left, Apply) and left.op == "add":
        inner = _value(left.args[1])
        if inner is not None:
            return add(left.args[0], const(inner + b))
    if isinstance(right, Apply) and right.op == "add":
        inner = _value(right.args[1])
        if inner is not None:
            return add(add(left, right.args[0]), right.args[1])
    if b is None and isinstance(left, Apply) and left.op == "add":
        inner = _value(left.args[1])
        if inner is not None:
            return add(add(left.args[0], right), left.args[1])
    return Apply("add", (left, right), INDEX)


def mul(left: Expr, right: Expr) -> Expr:
    """``left * right`` of two indices."""
    a, b = _value(left), _value(right)
    if a is not None and b is not None:
        return const(a * b)
    if a is not None:
        return mul(right, left)
    if b == 0:
        return const(0)
    if b == 1:
        return left
    if b is not None and isinstance(left, Apply):
        inner = _value(left.args[-1])
        if inner is not None and left.op == "mul":
            return mul(left.args[0], const(inner * b))
        if inner is not None and left.op == "add":
            return add(mul(left.args[0], right), const(inner * b))
    return Apply("mul", (left, right), INDEX)


def sub(left: Expr, right: Expr) -> Expr:
    """``left - right`` of two indices."""
    b = _value(right)
    if b is not None:
        return add(left, const(-b))
    (base, more), (other, less) = _parts(left), _parts(right)
    if base == other:
        return const(more - less)
    return Apply("sub", (left, right), INDEX)


def _parts(index: Expr) -> tuple[Expr, int]:
    """An index as one without a constant, and that constant."""
    if isinstance(index, Apply) and index.op == "add":
        constant = _value(index.args[1])
        if constant is not None:
            return index.args[0], constant
    return index, 0


def floor_div(left: Expr, divisor: int) -> Expr:
    """Largest integer not above ``left / divisor``; ``divisor`` is positive."""
    a = _value(left)
    if a is not None:
        return const(a // divisor)
    return left if divisor == 1 else Apply("floor_div", (left, const(divisor)), INDEX)


def floor_mod(left: Expr, divisor: int) -> Expr:
    """``left - divisor * floor_div(left, divisor)``; ``divisor`` is positive."""
    a = _value(left)
    if a is not None:
        return const(a % divisor)
    return const(0) if divisor == 1 else Apply("floor_mod", (left, const(divisor)), INDEX)


def minimum(left: Expr, right: Expr) -> Expr:
    """The smaller of two indices."""
    a, b = _value(left), _value(right)
    if a is not None and b is not None:
        return const(min(a, b))
    if a is not None:
        return minimum(right, left)
    if b is not None and isinstance(left, Apply) and left.op == "min":
        inner = _value(left.args[1])
        if inner is not None:
            return minimum(left.args[0], const(min(inner, b)))
    return left if left == right else Apply("min", (left, right), INDEX)


def maximum(left: Expr, right: Expr) -> Expr:
    """The larger of two indices."""
    a, b = _value(left), _value(right)
    if a is not None and b is not None:
        return const(max(a, b))
    if a is not None:
        return maximum(right, left)
    if b is not None and isinstance(left, Apply) and left.op == "max":
        inner = _value(left.args[1])
        if inner is not None:
            return maximum(left.args[0], const(max(inner, b)))
    return left if left == right else Apply("max", (left, right), INDEX)


def compare(op: str, left: Expr, right: Expr) -> Expr:
    """A comparison of two indices."""
    a, b = _value(left), _value(right)
    if a is not None and b is not None:
        return Const(bool(COMPARES[op](a, b)), CONDITION)
    return Apply(op, (left, right), CONDITION)


def both(left: Expr, right: Expr) -> Expr:
    """Conjunction of two scalar conditions."""
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Const):
            return other if one.value else one
    return Apply("logical_and", (left, right), CONDITION)


def either(left: Expr, right: Expr) -> Expr:
    """Disjunction of two scalar conditions."""
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Const):
            return one if one.value else other
    return Apply("logical_or", (left, right), CONDITION)


def splat(arg: Expr, lanes: int) -> Expr:
    """A scalar in every lane; a constant stays a constant."""
    if lanes == 1 or arg.type.lanes == lanes:
        return arg
    kind = VType(arg.type.dtype, lanes)
    return Const(arg.value, kind) if isinstance(arg, Const) else Splat(arg, kind)


def ramp(start: Expr, lanes: int, stride: int = 1) -> Expr:
    """``start, start + stride, ...`` as a vector of indices."""
    return start if lanes == 1 else Ramp(start, stride, VType(I64, lanes))


def condition_type(lanes: int) -> VType:
    """Type of a mask."""
    return VType(BOOL, lanes)


def _value(expr: Expr) -> int | None:
    if isinstance(expr, Const) and isinstance(expr.value, int):
        return int(expr.value)
    return None
