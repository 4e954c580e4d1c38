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
from tilec_llvm.math import error, exponential, logarithm, power
from tilec_llvm.math.builder import Definition, Type, Value, define

__all__ = ["FUNCTIONS", "Definition", "function"]

FUNCTIONS: Final[dict[str, tuple[int, Callable[..., Value]]]] = {
    "exp": (1, exponential.exp),
    "sigmoid": (1, exponential.sigmoid),
    "tanh": (1, exponential.tanh),
    "sinh": (1, exponential.sinh),
    "cosh": (1, exponential.cosh),
    "log": (1, logarithm.log),
    "pow": (2, power.pow),
    "erf": (1, error.erf),
}
"""Number of operands and formula of each operation."""

_BITS: Final = {"f32": 32, "f64": 64}


@cache
def function(op: str, dtype: str, lanes: int) -> Definition:
    """The definition of ``op`` over ``lanes`` floats of ``dtype`` (``f32`` or ``f64``)."""
    if op not in FUNCTIONS or dtype not in _BITS or lanes < 1:
        raise InternalError(f"there is no vector code for {op} of {lanes} x {dtype}")
    arity, formula = FUNCTIONS[op]
    kind = Type("f", _BITS[dtype], lanes)
    return define(f"tilec.{op}.{kind.suffix}", (kind,) * arity, formula)
