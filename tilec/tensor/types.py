"""Type rules: what an operation returns, and which conversions its operands need.

The rules of ``tilec.operations`` applied. Nothing is folded here but conversions of literals, so
that the type of every intermediate result stays visible.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Final

import numpy as np

from tilec.dtypes import (
    BF16,
    BOOL,
    F16,
    F32,
    F64,
    GENERIC,
    I32,
    I64,
    U64,
    DType,
    Kind,
    accumulator,
    integer_range,
    promote,
)
from tilec.errors import InternalError
from tilec.operations import OPERATIONS, Operation, Rule
from tilec.tensor.ir import Aggregation
from tilec.tensor.scalar import Apply, Literal, Scalar, cast

_CASTS: Final = {Kind.INT: "as_int", Kind.UINT: "as_uint", Kind.FLOAT: "as_float"}


def common(dtypes: Sequence[DType]) -> DType:
    """Promotion over several operands, from left to right."""
    return reduce(promote, dtypes)


def refusal(op: str, dtypes: Sequence[DType]) -> str | None:
    """Why an operation cannot be applied to operands of these types; None when it can."""
    row = _row(op, dtypes)
    if row.rule is not Rule.BITWISE:
        return None
    floats = [dtype for dtype in dtypes if dtype.is_float]
    if not floats:
        return None
    spelled = f"{row.symbol} ({op})"
    return f"the bit operation {spelled} needs integers, but an operand is {floats[0]}"


def result_dtype(op: str, dtypes: Sequence[DType]) -> DType:
    """Result type of an operation on operands of these types, which it must not refuse."""
    row = _row(op, dtypes)
    match row.rule:
        case Rule.COMPARISON | Rule.LOGICAL:
            return BOOL
        case Rule.SELECT:
            return promote(dtypes[1], dtypes[2])
        case Rule.CAST:
            raise InternalError("the result type of a cast is part of the operation")
        case _:
            return _operand_dtypes(row, dtypes)[0]


def apply(op: str, *args: Scalar) -> Scalar:
    """The operation on scalars, with the casts that its rule asks for.

    Rounding an integer returns the integer itself.
    """
    dtypes = tuple(arg.dtype for arg in args)
    if refusal(op, dtypes) is not None:
        raise InternalError(f"{op} on {', '.join(map(str, dtypes))} was not refused before")
    row = _row(op, dtypes)
    if row.rule is Rule.ROUNDING and not dtypes[0].is_float:
        return args[0]
    wanted = _operand_dtypes(row, dtypes)
    converted = tuple(convert(arg, dtype) for arg, dtype in zip(args, wanted, strict=True))
    return Apply(op, converted, result_dtype(op, dtypes))


def convert(value: Scalar, dtype: DType) -> Scalar:
    """``value`` as ``dtype``; a literal is converted here and now."""
    if isinstance(value, Literal):
        return literal(value.value, dtype)
    return cast(value, dtype)


def combining_dtype(agg: Aggregation, result: DType) -> DType:
    """Type in which a contraction with this result type combines its values."""
    if agg in (Aggregation.SUM, Aggregation.PRODUCT):
        return accumulator(result)
    return F32 if result in (F16, BF16) else result


def integer_literal_dtype(value: int) -> DType | None:
    """i32, or i64 for an integer that does not fit; None for one that fits neither."""
    for dtype in (I32, I64):
        low, high = integer_range(dtype)
        if low <= value <= high:
            return dtype
    return None


def literal(value: bool | float, dtype: DType) -> Literal:
    """A constant converted to ``dtype`` as the operation ``cast`` converts."""
    if dtype.kind is Kind.BOOL:
        return Literal(bool(value != 0), dtype)
    if dtype.is_float:
        return Literal(round_float(value, dtype), dtype)
    return Literal(_wrap(_truncate(value, dtype), dtype), dtype)


def round_float(value: float, dtype: DType) -> float:
    """The nearest value of a float type, as a Python float; too large becomes infinite."""
    if dtype in (F64, GENERIC):
        return float(value)
    with np.errstate(over="ignore"):
        exact = _numpy(value)
        if dtype == F16:
            return float(exact.astype(np.float16))
        single = exact.astype(np.float32)
    if dtype == F32 or not math.isfinite(single):
        return float(single)
    # bf16 is the upper half of an f32: round half to even on the bits that are cut off.
    bits = int(single.view(np.uint32))
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    return float(np.uint32(bits).view(np.float32))


def cast_function(dtype: DType) -> str:
    """The function of the language that converts to a dtype other than bool."""
    return "as_bfloat" if dtype == BF16 else _CASTS[dtype.kind]


def cast_call(dtype: DType, name: str) -> str:
    """How a program writes the conversion of ``name`` to ``dtype``."""
    if dtype.kind is Kind.BOOL:
        return f"as_bool({name})"
    return f"{cast_function(dtype)}({name}, {dtype.bits})"


def _row(op: str, dtypes: Sequence[DType]) -> Operation:
    row = OPERATIONS.get(op)
    if row is None or row.arity != len(dtypes):
        raise InternalError(f"operation {op} on {len(dtypes)} operands")
    return row


def _operand_dtypes(row: Operation, dtypes: Sequence[DType]) -> tuple[DType, ...]:
    """What each operand is converted to before the operation."""
    match row.rule:
        case Rule.ARITHMETIC | Rule.COMPARISON | Rule.BITWISE | Rule.ROUNDING:
            return (common(dtypes),) * len(dtypes)
        case Rule.LOGICAL:
            return (BOOL,) * len(dtypes)
        case Rule.MATH:
            # An integer beside a float meets it by promotion: pow(f16, 2) stays f16.
            meet = common(dtypes)
            return (meet if meet.is_float else F32,) * len(dtypes)
        case Rule.SELECT:
            return (BOOL, *(promote(dtypes[1], dtypes[2]),) * 2)
        case Rule.CAST:
            raise InternalError("a cast takes any operand")


def _numpy(value: float) -> np.int64 | np.uint64 | np.float64:
    """A NumPy scalar that holds the value exactly: through f64, large integers round twice."""
    if isinstance(value, float):
        return np.float64(value)
    return np.int64(value) if value <= integer_range(I64)[1] else np.uint64(value)


def _truncate(value: bool | float, dtype: DType) -> int:
    if not isinstance(value, float):
        return int(value)
    if math.isnan(value):
        return 0
    low, high = integer_range(I64)
    if dtype == U64:
        high = integer_range(U64)[1]
    if math.isinf(value):
        return high if value > 0 else low
    return min(max(int(value), low), high)


def _wrap(value: int, dtype: DType) -> int:
    low, high = integer_range(dtype)
    return (value - low) % (high - low + 1) + low
