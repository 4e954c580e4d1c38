"""Elementwise operations: types, broadcasting, and folding of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from tilec.dtypes import DType
from tilec.errors import ShapeError, TileTypeError
from tilec.lang.lower import sizes
from tilec.lang.lower.values import Number, Pointwise, Tensor, dtype_of, scalar_of, shape_of
from tilec.records import dataclass
from tilec.source import Span
from tilec.tensor import types
from tilec.tensor.size import Size

Plain: TypeAlias = Number | Tensor | Pointwise
"""A value that is a tensor or a number."""


@dataclass(frozen=True, slots=True)
class Operand:
    """A value and the text it comes from, for messages."""

    value: Plain
    span: Span


def apply(op: str, operands: Sequence[Operand], span: Span) -> Plain:
    """An operation on operands that are broadcast against one another.

    Raises:
        TileTypeError: the operation does not exist for these element types.
        ShapeError: the shapes do not fit together.
    """
    numbers = [o.value for o in operands if isinstance(o.value, Number)]
    if len(numbers) == len(operands) and sizes.folds(op, numbers):
        return sizes.fold(op, tuple(numbers), span)
    dtypes = tuple(dtype_of(o.value) for o in operands)
    reason = types.refusal(op, dtypes)
    if reason is not None:
        culprit = next(o for o in operands if dtype_of(o.value).is_float)
        raise TileTypeError(reason, culprit.span, help=_bit_help(culprit))
    shape = broadcast(operands, span)
    scalars = tuple(scalar_of(o.value) for o in operands)
    result = types.apply(op, *scalars)
    if result is scalars[0]:
        return operands[0].value  # an integer that was already round
    return Pointwise(result, shape)


def cast(operand: Operand, dtype: DType, span: Span) -> Plain:
    """A conversion of element type."""
    value = operand.value
    if isinstance(value, Number) and sizes.converts(value, dtype):
        return sizes.convert(value, dtype, span)
    if dtype_of(value) == dtype:
        return value
    return Pointwise(types.convert(scalar_of(value), dtype), shape_of(value))


def broadcast(operands: Sequence[Operand], span: Span) -> tuple[Size, ...]:
    """The shape in which operands meet: aligned at the right, axes of size 1 stretch."""
    rank = max(len(shape_of(o.value)) for o in operands)
    result: list[Size] = [1] * rank
    givers: list[Operand | None] = [None] * rank
    for operand in operands:
        shape = shape_of(operand.value)
        for axis, size in enumerate(shape, start=rank - len(shape)):
            giver = givers[axis]
            if size == 1:
                continue
            if giver is None:
                result[axis], givers[axis] = size, operand
                continue
            joined = sizes.broadcast(result[axis], size)
            if joined is None:
                raise _mismatch(giver, operand, rank - axis, span)
            result[axis] = joined
    return tuple(result)


def spelled(operand: Operand) -> str:
    """An operand as messages show it, with its shape."""
    text = " ".join(operand.span.text.split())
    name = text if len(text) <= 24 else f"{text[:21]}..."
    return f"{name}[{', '.join(map(str, shape_of(operand.value)))}]"


def _mismatch(first: Operand, second: Operand, from_right: int, span: Span) -> ShapeError:
    one, two = shape_of(first.value)[-from_right], shape_of(second.value)[-from_right]
    return ShapeError(
        f"shapes do not match in an elementwise operation: {spelled(first)} and {spelled(second)}",
        span,
        help=f"sizes {one} and {two} meet; they must be equal, or one of them 1",
    )


def _bit_help(culprit: Operand) -> str:
    text = " ".join(culprit.span.text.split())
    return f"convert it first: as_int({text if len(text) <= 24 else 'X'}, 32)"
