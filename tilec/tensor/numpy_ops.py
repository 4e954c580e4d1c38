"""The operations of ``tilec.operations`` on NumPy arrays: their definition, edge cases included.

Each result is the ideal one: computed in at least twice the precision of its type where NumPy has
that, then rounded once, to nearest even. f64 elementary functions are NumPy's own, with an error of
a few units in the last place. Values of bf16, for which NumPy has no type, are held as float32
arrays whose elements bf16 can represent.

Arithmetic on bools is that of the integers 0 and 1, and what is not 0 is true; ``~`` is "not".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tilec.dtypes import BF16, BOOL, F32, F64, I32, U64, DType
from tilec.errors import InternalError

Array: TypeAlias = NDArray[Any]


def storage(dtype: DType) -> np.dtype[Any]:
    """The NumPy type in which this module holds values of ``dtype``."""
    if dtype == BOOL:
        return np.dtype(np.bool_)
    if dtype == BF16:
        return np.dtype(np.float32)
    return np.dtype(f"{dtype.kind.value}{dtype.bits}")


def apply(op: str, args: Sequence[Array], operand: DType, dtype: DType) -> Array:
    """An operation on arrays that broadcast.

    Args:
        op: Name in the table of operations.
        args: The operands, held as ``storage`` says.
        operand: Type of the operands; of the last one for ``cond``.
        dtype: Type of the result.
    """
    with np.errstate(all="ignore"):
        if op == "cast":
            return convert(args[0], operand, dtype)
        if op in _ANY:
            return np.asarray(_ANY[op](*args))
        if operand.is_float:
            return _on_floats(op, args, operand)
        if operand == BOOL:
            return _on_bools(op, args)
        return _on_integers(op, args)


def convert(value: Array, source: DType, dtype: DType) -> Array:
    """The values of type ``source`` in ``value`` as type ``dtype``."""
    if source == dtype:
        return value
    with np.errstate(all="ignore"):
        if dtype == BOOL:
            return np.asarray(value != 0)
        if dtype.is_float:
            return _to_float(value, dtype)
        if source.is_float:
            return _to_integer(value, dtype)
        return value.astype(storage(dtype))


def to_bf16(value: Array) -> Array:
    """Values as float32 that bf16 can represent, rounded once to nearest even; NaN stays NaN.

    A float64 is first rounded to an odd float32, which the second rounding cannot tell from the
    exact value (Boldo and Melquiond 2008, emulation of FMA and correctly rounded sums).
    """
    with np.errstate(all="ignore"):
        single = _to_odd_f32(value) if value.dtype == np.float64 else value.astype(np.float32)
    bits = single.view(np.uint32)
    last = (bits >> np.uint32(16)) & np.uint32(1)
    rounded = (bits + np.uint32(0x7FFF) + last) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(single), single, rounded.view(np.float32))


def _to_odd_f32(value: Array) -> Array:
    """The float32 toward zero from a float64, with its last bit set where they differ."""
    single = np.asarray(value.astype(np.float32))
    down = np.where(np.abs(single) > np.abs(value), np.nextafter(single, np.float32(0)), single)
    inexact = (down != value) & ~np.isnan(value)
    return (down.view(np.uint32) | inexact.astype(np.uint32)).view(np.float32)


def _to_float(value: Array, dtype: DType) -> Array:
    if dtype in (F32, F64):
        return value.astype(storage(dtype))
    if value.dtype.kind in "iu" and value.dtype.itemsize == 8:
        value = _sticky(value)
    wide = value.astype(np.float64)
    return to_bf16(wide) if dtype == BF16 else wide.astype(np.float16)


def _sticky(value: Array) -> Array:
    """Integers that float64 holds exactly and that round to the same f16 and bf16.

    Of a magnitude from 2**53 on, the low 12 bits matter only as zero or not; one bit keeps that.
    """
    number = value.dtype.type
    low = (value & number(0xFFF)) != 0
    marked = (value & ~number(0xFFF)) | (low.astype(value.dtype) << number(11))
    small = np.abs(value.astype(np.float64)) < 2.0**53
    return np.where(small, value, marked)


def _to_integer(value: Array, dtype: DType) -> Array:
    """Toward zero, NaN to 0, saturated at i64 (u64: up to its own highest), then wrapped."""
    wide = np.trunc(value.astype(np.float64))
    limits = np.iinfo(np.int64)
    inside = (wide >= -(2.0**63)) & (wide < 2.0**63)
    words = np.where(inside, wide, 0.0).astype(np.int64)
    words = np.where(wide < -(2.0**63), limits.min, words)
    if dtype != U64:
        return np.where(wide >= 2.0**63, limits.max, words).astype(storage(dtype))
    high = (wide >= 2.0**63) & (wide < 2.0**64)
    upper = np.where(high, wide - 2.0**63, 0.0).astype(np.uint64) + np.uint64(1 << 63)
    result = np.where(high, upper, words.astype(np.uint64))
    return np.where(wide >= 2.0**64, np.iinfo(np.uint64).max, result)


def _on_floats(op: str, args: Sequence[Array], dtype: DType) -> Array:
    if op in _EXACT:
        return np.asarray(_EXACT[op](*args))
    if op not in _ROUNDED:
        raise InternalError(f"operation {op} on {dtype} reached the evaluator")
    wide = [arg.astype(np.float64) for arg in args]
    result = np.asarray(_ROUNDED[op](*wide))
    return result if dtype == F64 else _to_float(result, dtype)


def _on_bools(op: str, args: Sequence[Array]) -> Array:
    if op == "bit_not":
        return np.logical_not(args[0])
    words = [convert(arg, BOOL, I32) for arg in args]
    return convert(_on_integers(op, words), I32, BOOL)


def _on_integers(op: str, args: Sequence[Array]) -> Array:
    if op not in _INTEGER:
        raise InternalError(f"operation {op} on {args[0].dtype} reached the evaluator")
    return np.asarray(_INTEGER[op](*args))


def _divide(left: Array, right: Array) -> Array:
    """Truncates toward zero; x/0 is 0, and the lowest value by -1 wraps to itself."""
    special = (right == 0) | (right == _minus_one(right))
    divisor = np.where(special, right.dtype.type(1), right)
    remainder = np.fmod(left, divisor)
    quotient = (left - remainder) // divisor
    by_minus_one = np.zeros_like(left) - left
    quotient = np.where(right == _minus_one(right), by_minus_one, quotient)
    return np.where(right == 0, right.dtype.type(0), quotient)


def _remainder(left: Array, right: Array) -> Array:
    """With the sign of the dividend; x%0 is 0."""
    special = (right == 0) | (right == _minus_one(right))
    divisor = np.where(special, right.dtype.type(1), right)
    return np.where(special, right.dtype.type(0), np.fmod(left, divisor))


def _minus_one(like: Array) -> Array:
    """-1 in a signed type; in an unsigned one 0, which needs no care of its own."""
    return np.asarray(-1 if like.dtype.kind == "i" else 0, like.dtype)


def _shift_left(value: Array, count: Array) -> Array:
    inside, steps = _steps(value, count)
    return np.where(inside, value << steps, value.dtype.type(0))


def _shift_right(value: Array, count: Array) -> Array:
    inside, steps = _steps(value, count)
    beyond = np.where(value < 0, _minus_one(value), value.dtype.type(0))
    return np.where(inside, value >> steps, beyond)


def _steps(value: Array, count: Array) -> tuple[Array, Array]:
    """Whether a count, read as unsigned, is below the width; and the count where it is."""
    inside = (count >= 0) & (count < value.dtype.itemsize * 8)
    return inside, np.where(inside, count, count.dtype.type(0))


def _relu(value: Array) -> Array:
    return np.where(value < 0, value.dtype.type(0), value)


def _sigmoid(value: Array) -> Array:
    """1/(1+exp(-x)) with an exponential that cannot overflow."""
    small = np.exp(-np.abs(value))
    return np.where(value >= 0, 1.0, small) / (1.0 + small)


def _erf(value: Array) -> Array:
    # scipy is no dependency, and the error of a rational approximation would be ours to prove.
    values = [math.erf(item) for item in value.ravel().tolist()]
    return np.array(values, np.float64).reshape(value.shape)


def _negate(value: Array) -> Array:
    return np.zeros_like(value) - value if value.dtype.kind in "iu" else np.negative(value)


def _keep(value: Array) -> Array:
    return value


_Function: TypeAlias = Callable[..., Array]

_ANY: Final[dict[str, _Function]] = {
    "cmp_eq": np.equal,
    "cmp_ne": np.not_equal,
    "cmp_lt": np.less,
    "cmp_gt": np.greater,
    "cmp_le": np.less_equal,
    "cmp_ge": np.greater_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
    "logical_not": np.logical_not,
    "cond": np.where,
}
"""Operations that are the same for every type."""

_EXACT: Final[dict[str, _Function]] = {
    "neg": np.negative,
    "abs": np.abs,
    "max": np.maximum,
    "min": np.minimum,
    "sign": np.sign,
    "relu": _relu,
    "ceil": np.ceil,
    "floor": np.floor,
    "round": np.rint,
    "mod": np.fmod,
}
"""Operations on floats whose result needs no rounding."""

_ROUNDED: Final[dict[str, _Function]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "recip": np.reciprocal,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "pow": np.power,
    "sigmoid": _sigmoid,
    "erf": _erf,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
}
"""Operations on floats that are computed in float64 and rounded to their type.

For arithmetic and the square root that second rounding is innocuous, because float64 has more than
twice the precision of the narrower types (Figueroa 1995).
"""

_INTEGER: Final[dict[str, _Function]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": _divide,
    "mod": _remainder,
    "neg": _negate,
    "abs": np.abs,
    "max": np.maximum,
    "min": np.minimum,
    "sign": np.sign,
    "relu": _relu,
    "bit_and": np.bitwise_and,
    "bit_or": np.bitwise_or,
    "bit_xor": np.bitwise_xor,
    "bit_not": np.invert,
    "bit_left": _shift_left,
    "bit_right": _shift_right,
    "ceil": _keep,
    "floor": _keep,
    "round": _keep,
}
