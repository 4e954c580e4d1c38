"""Arithmetic, comparisons, logic, bits and conversions, element by element.

Operands broadcast as in NumPy. Two tensors meet in the type that Tile's promotion gives; a Python
number takes the type of the tensor beside it, unless it is a float beside integers.
"""

from __future__ import annotations

from functools import cache
from math import inf
from typing import Final

from tilec.dtypes import BOOL, F32, F64, DType, promote
from tilec.ops.texts import constant, single, text, written
from tilec.program.boundary import public
from tilec.program.function import Function
from tilec.program.tensor import Operand, Tensor, tensor
from tilec.runtime.spec import Spec
from tilec.tensor.types import cast_call

_FILE: Final = "elementwise"
_OPERANDS: Final = {1: "A", 2: "A, B"}


@cache
def builtin(name: str, arity: int) -> Function:
    """A builtin of the language as a function of its own."""
    operands = _OPERANDS[arity]
    return text(f"function each_{name}({operands}) -> (C) {{ C = {name}({operands}); }}")


def common_dtype(*operands: Operand) -> DType:
    """The type in which operands meet; Python numbers count only if nothing else is there."""
    weak = [each for each in operands if isinstance(each, bool | int | float)]
    strong = [tensor(each).dtype for each in operands if not isinstance(each, bool | int | float)]
    if not strong:
        strong, weak = [tensor(each).dtype for each in operands], []
    found = strong[0]
    for each in strong[1:]:
        found = promote(found, each)
    if found.is_float:
        return found
    if any(isinstance(each, float) for each in weak):
        return F32
    if found == BOOL and any(not isinstance(each, bool) for each in weak):
        return tensor(0).dtype
    return found


def _promoted(function: Function, *operands: Operand) -> Tensor:
    """A call whose result has the common type: beside f16, the literal 0.5 makes f32 in Tile."""
    return cast(single(function, *operands), common_dtype(*operands))


@public
def cast(x: Operand, dtype: DType | str) -> Tensor:
    """``x.astype(dtype)``, with Tile's conversions.

    Floats become integers by truncation and wrap; NaN becomes 0.

    Args:
        x: Any tensor.
        dtype: A Tile or NumPy name of a dtype.
    """
    wanted, found = Spec((), dtype).dtype, tensor(x)
    if found.dtype == wanted:
        return found
    name = f"to_{wanted}"
    return single(text(f"function {name}(X) -> (Y) {{ Y = {cast_call(wanted, 'X')}; }}"), found)


@public
def add(a: Operand, b: Operand) -> Tensor:
    """``numpy.add``; integers wrap, bools are or."""
    return _promoted(builtin("add", 2), a, b)


@public
def subtract(a: Operand, b: Operand) -> Tensor:
    """``numpy.subtract``; integers wrap."""
    return _promoted(builtin("sub", 2), a, b)


@public
def multiply(a: Operand, b: Operand) -> Tensor:
    """``numpy.multiply``; integers wrap."""
    return _promoted(builtin("mul", 2), a, b)


@public
def divide(a: Operand, b: Operand) -> Tensor:
    """``numpy.divide``; integers are converted first, to f32."""
    kind = common_dtype(a, b)
    if kind.is_float:
        return _promoted(builtin("div", 2), a, b)
    return single(builtin("div", 2), cast(a, F32), cast(b, F32))


@public
def truncated_divide(a: Operand, b: Operand) -> Tensor:
    """Division as in C: of integers toward zero (by 0 it is 0), of floats exact."""
    return _promoted(builtin("div", 2), a, b)


@public
def floor_divide(a: Operand, b: Operand) -> Tensor:
    """``numpy.floor_divide``; an integer over 0 is 0."""
    if common_dtype(a, b).is_float:
        return round(_promoted(builtin("div", 2), subtract(a, remainder(a, b)), b))
    return _promoted(written(_FILE, "floor_quotient"), a, b)


@public
def remainder(a: Operand, b: Operand) -> Tensor:
    """``numpy.remainder``: the sign is that of the divisor. An integer modulo 0 is 0."""
    return _promoted(written(_FILE, "floor_remainder"), a, b)


@public
def fmod(a: Operand, b: Operand) -> Tensor:
    """``numpy.fmod``: the sign is that of the dividend."""
    return _promoted(builtin("mod", 2), a, b)


@public
def power(a: Operand, b: Operand) -> Tensor:
    """``numpy.power``; of integers it is exact up to 2^53, and wraps."""
    kind = common_dtype(a, b)
    if kind.is_float:
        return _promoted(builtin("pow", 2), a, b)
    return cast(single(builtin("pow", 2), cast(a, F64), cast(b, F64)), kind)


@public
def maximum(a: Operand, b: Operand) -> Tensor:
    """``numpy.maximum``; NaN if either is."""
    return _promoted(builtin("max", 2), a, b)


@public
def minimum(a: Operand, b: Operand) -> Tensor:
    """``numpy.minimum``; NaN if either is."""
    return _promoted(builtin("min", 2), a, b)


@public
def squared_difference(a: Operand, b: Operand) -> Tensor:
    """``(a - b) ** 2``."""
    return _promoted(written(_FILE, "difference_squared"), a, b)


@public
def clip(x: Operand, low: Operand | None = None, high: Operand | None = None) -> Tensor:
    """``numpy.clip``; a bound that is None does not bind. NaN stays NaN."""
    found = tensor(x)
    if low is not None:
        found = _promoted(builtin("max", 2), found, low)
    if high is not None:
        found = _promoted(builtin("min", 2), found, high)
    return found


@public
def negative(x: Operand) -> Tensor:
    """``numpy.negative``."""
    return single(builtin("neg", 1), x)


@public
def absolute(x: Operand) -> Tensor:
    """``numpy.absolute``; the lowest integer stays what it is."""
    return single(builtin("abs", 1), x)


@public
def sign(x: Operand) -> Tensor:
    """``numpy.sign``: -1, 0 or 1; NaN stays NaN."""
    return single(builtin("sign", 1), x)


@public
def square(x: Operand) -> Tensor:
    """``numpy.square``."""
    return single(written(_FILE, "squared"), x)


@public
def ceil(x: Operand) -> Tensor:
    """``numpy.ceil``; integers stay integers."""
    return single(builtin("ceil", 1), x)


@public
def floor(x: Operand) -> Tensor:
    """``numpy.floor``; integers stay integers."""
    return single(builtin("floor", 1), x)


@public
def round(x: Operand) -> Tensor:
    """``numpy.round`` to integers, half to even."""
    return single(builtin("round", 1), x)


@public
def trunc(x: Operand) -> Tensor:
    """``numpy.trunc``: toward zero."""
    return single(written(_FILE, "truncated"), x)


@public
def heaviside(x: Operand, middle: Operand) -> Tensor:
    """``numpy.heaviside``: 0 below 0, ``middle`` at 0, 1 above."""
    return _promoted(written(_FILE, "step"), x, middle)


@public
def equal(a: Operand, b: Operand) -> Tensor:
    """``numpy.equal``."""
    return single(builtin("cmp_eq", 2), a, b)


@public
def not_equal(a: Operand, b: Operand) -> Tensor:
    """``numpy.not_equal``."""
    return single(builtin("cmp_ne", 2), a, b)


@public
def less(a: Operand, b: Operand) -> Tensor:
    """``numpy.less``."""
    return single(builtin("cmp_lt", 2), a, b)


@public
def less_equal(a: Operand, b: Operand) -> Tensor:
    """``numpy.less_equal``."""
    return single(builtin("cmp_le", 2), a, b)


@public
def greater(a: Operand, b: Operand) -> Tensor:
    """``numpy.greater``."""
    return single(builtin("cmp_gt", 2), a, b)


@public
def greater_equal(a: Operand, b: Operand) -> Tensor:
    """``numpy.greater_equal``."""
    return single(builtin("cmp_ge", 2), a, b)


@public
def isclose(a: Operand, b: Operand, rtol: float = 1e-5, atol: float = 1e-8) -> Tensor:
    """``numpy.isclose``; NaN is close to nothing."""
    return single(written(_FILE, "close"), a, b, rtol, atol)


@public
def logical_and(a: Operand, b: Operand) -> Tensor:
    """``numpy.logical_and``."""
    return single(builtin("logical_and", 2), a, b)


@public
def logical_or(a: Operand, b: Operand) -> Tensor:
    """``numpy.logical_or``."""
    return single(builtin("logical_or", 2), a, b)


@public
def logical_xor(a: Operand, b: Operand) -> Tensor:
    """``numpy.logical_xor``."""
    return single(builtin("logical_xor", 2), a, b)


@public
def logical_not(x: Operand) -> Tensor:
    """``numpy.logical_not``."""
    return single(builtin("logical_not", 1), x)


@public
def bitwise_and(a: Operand, b: Operand) -> Tensor:
    """``numpy.bitwise_and``, of integers or bools."""
    return _promoted(builtin("bit_and", 2), a, b)


@public
def bitwise_or(a: Operand, b: Operand) -> Tensor:
    """``numpy.bitwise_or``, of integers or bools."""
    return _promoted(builtin("bit_or", 2), a, b)


@public
def bitwise_xor(a: Operand, b: Operand) -> Tensor:
    """``numpy.bitwise_xor``, of integers or bools."""
    return _promoted(builtin("bit_xor", 2), a, b)


@public
def bitwise_not(x: Operand) -> Tensor:
    """``numpy.bitwise_not``, of integers or bools."""
    return single(builtin("bit_not", 1), x)


@public
def left_shift(x: Operand, bits: Operand) -> Tensor:
    """``numpy.left_shift``; from the width on the result is 0."""
    return _promoted(builtin("bit_left", 2), x, bits)


@public
def right_shift(x: Operand, bits: Operand) -> Tensor:
    """``numpy.right_shift``: keeps the sign."""
    return _promoted(builtin("bit_right", 2), x, bits)


@public
def isnan(x: Operand) -> Tensor:
    """``numpy.isnan``."""
    return single(written(_FILE, "is_nan"), x)


@public
def isinf(x: Operand, *, positive: bool = True, negative: bool = True) -> Tensor:
    """``numpy.isinf``; with one sign alone ``numpy.isposinf`` and ``numpy.isneginf``."""
    found = tensor(x)
    if positive and negative:
        return single(written(_FILE, "is_infinite"), found)
    if not found.dtype.is_float or not (positive or negative):
        return not_equal(found, found) & False
    return equal(found, constant(inf if positive else -inf, found.dtype))


@public
def isfinite(x: Operand) -> Tensor:
    """``numpy.isfinite``."""
    return single(written(_FILE, "is_finite"), x)


@public
def signbit(x: Operand) -> Tensor:
    """``numpy.signbit``, of -0 too; of NaN it is False."""
    return single(written(_FILE, "sign_bit"), x)


@public
def copysign(x: Operand, sign: Operand) -> Tensor:
    """``numpy.copysign`` of floats."""
    size = absolute(x)
    return where(signbit(sign), negative(size), size)


@public
def where(condition: Operand, a: Operand, b: Operand) -> Tensor:
    """``numpy.where``: ``a`` where the condition is not 0, else ``b``."""
    found = single(written(_FILE, "chosen"), condition, a, b)
    return cast(found, common_dtype(a, b))


def floating(*operands: Operand) -> DType:
    """The float type in which operands meet: f32 for integers."""
    found = common_dtype(*operands)
    return found if found.is_float else F32
