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
from tilec.kernel.elementary import FORMULAS
from tilec.kernel.elementary.values import Type, Value
from tilec_llvm.math import remainder, trigonometric
from tilec_llvm.math.builder import Definition, define, suffix

__all__ = ["FUNCTIONS", "Definition", "float_type", "function"]

_BINARY: Final = ("mod", "pow")
FUNCTIONS: Final[dict[str, tuple[int, Callable[..., Value]]]] = {
    op: (2 if op in _BINARY else 1, formula)
    for op, formula in {
        **FORMULAS,
        "recip": remainder.recip,
        "mod": remainder.mod,
        "sin": trigonometric.sin,
        "cos": trigonometric.cos,
        "tan": trigonometric.tan,
    }.items()
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
    return define(f"tilec.{op}.{suffix(kind)}", (kind,) * arity, formula, avx512=avx512)
