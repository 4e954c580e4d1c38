"""What a name or an expression stands for while a program is lowered."""

from __future__ import annotations

from typing import TypeAlias

from tilec.dtypes import I32, DType
from tilec.records import dataclass
from tilec.tensor.affine import Affine
from tilec.tensor.ir import TensorType
from tilec.tensor.scalar import IndexValue, Read, Scalar
from tilec.tensor.size import Size, SizeExpr
from tilec.tensor.types import integer_literal_dtype, literal


@dataclass(frozen=True, slots=True)
class Number:
    """A number that is known when sizes are bound; a symbol where they are not."""

    value: bool | int | float | SizeExpr
    dtype: DType


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value of the program, by name."""

    name: str
    type: TensorType


@dataclass(frozen=True, slots=True)
class Pointwise:
    """An elementwise expression that is not a value of the program yet.

    Reads use the axis names of ``axis_from_right``, so that broadcasting against more axes changes
    nothing in ``scalar``.
    """

    scalar: Scalar
    shape: tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class TupleValue:
    """A compile-time tuple."""

    items: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class RandomStep:
    """Random values to come: the state they start from and their shape."""

    state: Tensor
    shape: tuple[Size, ...]


Value: TypeAlias = Number | Tensor | Pointwise | TupleValue | RandomStep


def axis_from_right(position: int) -> str:
    """Name of an axis by its distance from the last one."""
    return f"<{position}"


def shape_of(value: Number | Tensor | Pointwise) -> tuple[Size, ...]:
    """Shape of a value; numbers are scalars."""
    match value:
        case Number():
            return ()
        case Tensor():
            return value.type.shape
        case Pointwise():
            return value.shape


def dtype_of(value: Number | Tensor | Pointwise) -> DType:
    """Element type of a value."""
    match value:
        case Number():
            return value.dtype
        case Tensor():
            return value.type.dtype
        case Pointwise():
            return value.scalar.dtype


def scalar_of(value: Number | Tensor | Pointwise) -> Scalar:
    """One element of a value, over axes counted from the right."""
    match value:
        case Number():
            return number_scalar(value)
        case Pointwise():
            return value.scalar
        case Tensor():
            last = len(value.type.shape) - 1
            access = tuple(
                Affine.number(0) if size == 1 else Affine.index(axis_from_right(last - at))
                for at, size in enumerate(value.type.shape)
            )
            return Read(value.name, access, value.type.dtype)


def number_scalar(number: Number) -> Scalar:
    """A number as a scalar; a symbolic one becomes an index expression without index."""
    if isinstance(number.value, SizeExpr):
        return IndexValue(Affine((), number.value), number.dtype)
    return literal(number.value, number.dtype)


def size_number(size: Size) -> Number:
    """A size as a value of the program."""
    if isinstance(size, SizeExpr):
        return Number(size, I32)
    return Number(size, integer_literal_dtype(size) or I32)
