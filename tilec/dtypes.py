"""The element types of tensors, and the promotion rule between them.

Source of the rule: PlaidML's Tile; any float beats any integer, otherwise the wider type wins, and
of two types of equal width the left one.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from tilec.records import dataclass


class Kind(Enum):
    """Family of an element type."""

    BOOL = "bool"
    INT = "int"
    UINT = "uint"
    FLOAT = "float"


@dataclass(frozen=True, slots=True)
class DType:
    """An element type: its Tile name, family and width in memory.

    ``bits`` is the width in memory; a bool takes a byte. ``bf16`` is stored as the upper half of
    an f32 and computed in f32.
    """

    name: str
    kind: Kind
    bits: int

    @property
    def bytes(self) -> int:
        """Width of one element in memory, in bytes."""
        return self.bits // 8

    @property
    def is_float(self) -> bool:
        """True for f16, bf16, f32 and f64."""
        return self.kind is Kind.FLOAT

    @property
    def is_integer(self) -> bool:
        """True for signed and unsigned integers, false for bool."""
        return self.kind in (Kind.INT, Kind.UINT)

    @property
    def is_signed(self) -> bool:
        """True for signed integers and floats."""
        return self.kind in (Kind.INT, Kind.FLOAT)

    def __str__(self) -> str:
        return self.name


BOOL: Final = DType("bool", Kind.BOOL, 8)
I8: Final = DType("i8", Kind.INT, 8)
I16: Final = DType("i16", Kind.INT, 16)
I32: Final = DType("i32", Kind.INT, 32)
I64: Final = DType("i64", Kind.INT, 64)
U8: Final = DType("u8", Kind.UINT, 8)
U16: Final = DType("u16", Kind.UINT, 16)
U32: Final = DType("u32", Kind.UINT, 32)
U64: Final = DType("u64", Kind.UINT, 64)
F16: Final = DType("f16", Kind.FLOAT, 16)
BF16: Final = DType("bf16", Kind.FLOAT, 16)
F32: Final = DType("f32", Kind.FLOAT, 32)
F64: Final = DType("f64", Kind.FLOAT, 64)

GENERIC: Final = DType("generic", Kind.FLOAT, 33)
"""The float type that a header leaves open, in a program that is lowered without arguments (to
derive its gradient). It wins over f32 literals and over all narrower types, so that conversions to
a type which the text names stay visible. No bound program has it.
"""

ALL: Final = (BOOL, I8, I16, I32, I64, U8, U16, U32, U64, F16, BF16, F32, F64)
BY_NAME: Final = {dtype.name: dtype for dtype in ALL}


def promote(left: DType, right: DType) -> DType:
    """Common type of two operands.

    bool and integers meet by width alone, so i8+bool is i8 and bool+i8 is bool. bf16 and f16 have
    equal width: the left one wins.
    """
    if left.is_float != right.is_float:
        return left if left.is_float else right
    return right if right.bits > left.bits else left


def accumulator(dtype: DType) -> DType:
    """Type in which a contraction with result type ``dtype`` sums and multiplies.

    f16 and bf16 accumulate in f32, integers below 32 bits and bool in 32 bits.
    """
    if dtype in (F16, BF16):
        return F32
    if dtype.kind is Kind.UINT and dtype.bits < 32:
        return U32
    if dtype.kind in (Kind.INT, Kind.BOOL) and dtype.bits < 32:
        return I32
    return dtype


def integer_range(dtype: DType) -> tuple[int, int]:
    """Lowest and highest value of an integer or bool type."""
    if dtype.kind is Kind.BOOL:
        return 0, 1
    if dtype.kind is Kind.UINT:
        return 0, (1 << dtype.bits) - 1
    return -(1 << (dtype.bits - 1)), (1 << (dtype.bits - 1)) - 1
