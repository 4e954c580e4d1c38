"""The elementary functions as formulas, which backends print in their languages.

``FORMULAS["exp"]`` takes and returns values of one type, f32 or f64, of any number of lanes. What
needs loops or tables besides (``sin``, ``cos``, ``tan``, ``mod``) is the business of a backend.
Accuracy and speed are measured by ``benchmarks/math_accuracy.py`` and listed in
``docs/elementwise.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tilec.kernel.elementary import error, exponential, hyperbolic, inverse, logarithm, power
from tilec.kernel.elementary.values import Value

__all__ = ["FORMULAS"]

FORMULAS: Final[dict[str, Callable[..., Value]]] = {
    "exp": exponential.exp,
    "log": logarithm.log,
    "pow": power.pow,
    "sigmoid": exponential.sigmoid,
    "erf": error.erf,
    "asin": inverse.asin,
    "acos": inverse.acos,
    "atan": inverse.atan,
    "sinh": exponential.sinh,
    "cosh": exponential.cosh,
    "tanh": exponential.tanh,
    "asinh": hyperbolic.asinh,
    "acosh": hyperbolic.acosh,
    "atanh": hyperbolic.atanh,
}
"""The formula of each operation."""
