"""The elementary functions as vector code: LLVM IR for any number of lanes.

``function("exp", "f32", 16)`` is the definition of a function over ``<16 x float>``. It needs no
library at run time. Accuracy and speed are measured by ``benchmarks/math_accuracy.py`` and listed
in ``docs/elementwise.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final

from tilec.errors import InternalError
from tilec_llvm.math import (
    error,
    exponential,
    hyperbolic,
    inverse,
    logarithm,
    power,
    remainder,
    trigonometric,
)
from tilec_llvm.math.builder import Definition, Type, Value, define

__all__ = ["FUNCTIONS", "Definition", "float_type", "function"]

FUNCTIONS: Final[dict[str, tuple[int, Callable[..., Value]]]] = {
    "recip": (1, remainder.recip),
    "mod": (2, remainder.mod),
    "exp": (1, exponential.exp),
    "log": (1, logarithm.log),
    "pow": (2, power.pow),
    "sigmoid": (1, exponential.sigmoid),
    "erf": (1, error.erf),
    "sin": (1, trigonometric.sin),
    "cos": (1, trigonometric.cos),
    "tan": (1, trigonometric.tan),
    "asin": (1, inverse.asin),
    "acos": (1, inverse.acos),
    "atan": (1, inverse.atan),
    "sinh": (1, exponential.sinh),
    "cosh": (1, exponential.cosh),
    "tanh": (1, exponential.tanh),
    "asinh": (1, hyperbolic.asinh),
    "acosh": (1, hyperbolic.acosh),
    "atanh": (1, hyperbolic.atanh),
}
"""Number of operands and formula of each operation."""

_BITS: Final = {"f32": 32, "f64": 64}


def float_type(dtype: str, lanes: int) -> Type:
    """The type of ``lanes`` floats of ``dtype`` (``f32`` or ``f64``)."""
    if dtype not in _BITS or lanes < 1:
        raise InternalError(f"there is no vector code for {lanes} x {dtype}")
    return Type("f", _BITS[dtype], lanes)


@cache
def function(op: str, dtype: str, lanes: int, *, avx512: bool = False) -> Definition:
    """The definition of ``op`` over ``lanes`` floats of ``dtype``.

    With ``avx512`` it may use instructions that only some processors have, for the same results.
    """
    if op not in FUNCTIONS:
        raise InternalError(f"there is no vector code for {op}")
    arity, formula = FUNCTIONS[op]
    kind = float_type(dtype, lanes)
    return define(f"tilec.{op}.{kind.suffix}", (kind,) * arity, formula, avx512=avx512)
