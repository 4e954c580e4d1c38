"""Scalar expressions without the conversions that the type rules put in.

A *surface* is an expression as a program states it: operands of any types meet, literals are i32 or
f32, and conversions are those that somebody asked for. ``elaborate`` puts in what the rules of
``tensor/types.py`` ask for, and ``surface`` takes it out again, so that

    elaborate(surface(value)) == value

for every expression that came from a text. Derivatives are written as surfaces: the same formula
then serves every element type.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from typing import TypeAlias

from tilec.dtypes import BF16, F16, F32, GENERIC, I32, DType, integer_range
from tilec.tensor import types
from tilec.tensor.ir import Aggregation
from tilec.tensor.scalar import Apply, IndexValue, Literal, Read, Scalar

Widen: TypeAlias = Callable[[Scalar], Scalar]
"""What is done to an operand before anything else."""


def unchanged(operand: Scalar) -> Scalar:
    """The operand itself, as maps read it."""
    return operand


def wide(operand: Scalar) -> Scalar:
    """The operand as contractions read it: f16 and bf16 as f32, so that they round once."""
    return types.convert(operand, F32) if operand.dtype in (F16, BF16) else operand


def loose(op: str, *args: Scalar) -> Scalar:
    """An operation on surfaces."""
    if op == "cast":
        return args[0]
    return Apply(op, args, types.result_dtype(op, [arg.dtype for arg in args]))


def elaborate(value: Scalar, widen: Widen = unchanged) -> Scalar:
    """The expression with the conversions that the type rules ask for."""
    match value:
        case Read():
            return widen(value)
        case Literal() | IndexValue():
            return value
        case Apply(op="cast"):
            return types.convert(elaborate(value.args[0], widen), value.dtype)
        case Apply():
            return types.apply(value.op, *(elaborate(arg, widen) for arg in value.args))


def body(value: Scalar, agg: Aggregation) -> tuple[Scalar, DType]:
    """Body of a contraction that combines a surface, and the element type of its result."""
    dtype = elaborate(value).dtype
    return types.convert(elaborate(value, wide), types.combining_dtype(agg, dtype)), dtype


def surface(value: Scalar, widen: Widen = unchanged) -> Scalar:
    """The expression without implied conversions; ``elaborate`` with ``widen`` undoes it."""
    match value:
        case Literal():
            return next(option for option in _literals(value) if elaborate(option) == value)
        case Read() | IndexValue():
            return value
        case Apply(op="cast"):
            inner = surface(value.args[0], widen)
            if elaborate(inner, widen) == value:
                return inner
            return replace(value, args=(inner,))
        case Apply():
            return _operation(value, widen)


def body_surface(value: Scalar, agg: Aggregation, dtype: DType) -> Scalar:
    """The surface of a contraction's body, whose result has the type ``dtype``."""
    for found in _stripped(value, wide):
        if body(found, agg) == (value, dtype):
            return found
    return surface(value, wide)


def _operation(value: Apply, widen: Widen) -> Scalar:
    options = [tuple(_stripped(arg, widen)) for arg in value.args]
    for args in product(*options):
        if types.refusal(value.op, [elaborate(arg, widen).dtype for arg in args]) is not None:
            continue
        found = Apply(value.op, args, types.result_dtype(value.op, [arg.dtype for arg in args]))
        if elaborate(found, widen) == value:
            return found
    return replace(value, args=tuple(surface(arg, widen) for arg in value.args))


def _stripped(value: Scalar, widen: Widen) -> Iterator[Scalar]:
    """What an operand may have been before it was converted, the simplest first."""
    if isinstance(value, Literal):
        yield from _literals(value)
        return
    if isinstance(value, Apply) and value.op == "cast":
        yield surface(value.args[0], widen)
    yield surface(value, widen)


def _literals(value: Literal) -> Iterator[Scalar]:
    """The literals of a text that a constant may come from."""
    low, high = integer_range(I32)
    number = value.value
    if isinstance(number, float) and not math.isfinite(number):
        yield value
        return
    if float(number).is_integer() and low <= number <= high:
        plain = Literal(int(number), I32)
        yield plain
        if value.dtype not in (I32, GENERIC):
            yield Apply("cast", (plain,), value.dtype)
    if value.dtype.is_float and types.round_float(number, F32) == number:
        yield Literal(float(number), F32)
        yield Apply("cast", (Literal(float(number), F32),), value.dtype)
    yield value
