"""Types of what a contraction combines."""

from __future__ import annotations

from collections.abc import Callable

from tilec.dtypes import BF16, F16, F32, DType
from tilec.tensor import types
from tilec.tensor.scalar import Scalar


def typed_body(make: Callable[[Callable[[Scalar], Scalar]], Scalar]) -> tuple[Scalar, DType]:
    """The body of a contraction and the element type of its result.

    The result has the type of the expression as it stands. It is computed with f16 and bf16
    operands read as f32, so that a narrow type is rounded to once, at the end.

    Args:
        make: Builds the expression, passing every operand through the function it is given.
    """
    dtype = make(lambda operand: operand).dtype
    return make(_wide), dtype


def _wide(operand: Scalar) -> Scalar:
    return types.convert(operand, F32) if operand.dtype in (F16, BF16) else operand
