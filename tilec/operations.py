"""The table of scalar operations: what the language offers and every backend must print.

One row per operation. The type rule says what the operands are converted to before the operation
and what comes out; ``tensor/types.py`` applies it. The meaning of each operation, edge cases
included, is that of ``tensor/evaluate.py``, the reference evaluator.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from tilec.records import dataclass


class Rule(Enum):
    """How an operation types its operands and its result."""

    ARITHMETIC = "operands meet by promotion, which is the result"
    COMPARISON = "operands meet by promotion, result bool"
    LOGICAL = "operands are tested for != 0, result bool"
    BITWISE = "integers or bools meet by promotion, which is the result"
    ROUNDING = "floats keep their type, integers and bools are returned unchanged"
    MATH = "operands meet by promotion; where that is an integer or bool they become f32"
    SELECT = "the first operand is tested for != 0, the others meet by promotion"
    CAST = "the result type is part of the operation"


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table.

    Attributes:
        name: Call name in Tile and in every IR.
        arity: Number of operands.
        rule: Type rule.
        symbol: Infix or prefix spelling in Tile, if it has one.
        bind_time: True when it may be applied to sizes and other bind-time constants.
    """

    name: str
    arity: int
    rule: Rule
    symbol: str | None = None
    bind_time: bool = False


_A, _C, _L, _B = Rule.ARITHMETIC, Rule.COMPARISON, Rule.LOGICAL, Rule.BITWISE
_R, _M = Rule.ROUNDING, Rule.MATH

_ROWS: Final = (
    Operation("add", 2, _A, "+", True),
    Operation("sub", 2, _A, "-", True),
    Operation("mul", 2, _A, "*", True),
    # Integers: truncates toward zero; x/0 is 0; lowest/-1 wraps to lowest.
    Operation("div", 2, _A, "/", True),
    # Remainder of that division, with the sign of the dividend; x%0 is 0. Floats: C's fmod.
    Operation("mod", 2, _A, "%", True),
    Operation("neg", 1, _A, "-", True),
    Operation("abs", 1, _A, None, True),
    # NaN in either operand gives NaN.
    Operation("max", 2, _A, None, True),
    Operation("min", 2, _A, None, True),
    Operation("sign", 1, _A),
    Operation("relu", 1, _A),
    Operation("cmp_eq", 2, _C, "==", True),
    Operation("cmp_ne", 2, _C, "!=", True),
    Operation("cmp_lt", 2, _C, "<", True),
    Operation("cmp_gt", 2, _C, ">", True),
    Operation("cmp_le", 2, _C, "<=", True),
    Operation("cmp_ge", 2, _C, ">=", True),
    Operation("logical_and", 2, _L),
    Operation("logical_or", 2, _L),
    Operation("logical_xor", 2, _L),
    Operation("logical_not", 1, _L),
    Operation("bit_and", 2, _B, "&"),
    Operation("bit_or", 2, _B, "|"),
    Operation("bit_xor", 2, _B, "^"),
    Operation("bit_not", 1, _B, "~"),
    # The count is read as unsigned; from the width on the result is 0 (-1 for a negative value >>).
    Operation("bit_left", 2, _B, "<<"),
    Operation("bit_right", 2, _B, ">>"),
    Operation("ceil", 1, _R, None, True),
    Operation("floor", 1, _R, None, True),
    Operation("round", 1, _R),  # half to even
    Operation("recip", 1, _M, None, True),
    Operation("sqrt", 1, _M),
    Operation("exp", 1, _M),
    Operation("log", 1, _M),
    Operation("pow", 2, _M),
    Operation("sigmoid", 1, _M),
    Operation("erf", 1, _M),
    Operation("sin", 1, _M),
    Operation("cos", 1, _M),
    Operation("tan", 1, _M),
    Operation("asin", 1, _M),
    Operation("acos", 1, _M),
    Operation("atan", 1, _M),
    Operation("sinh", 1, _M),
    Operation("cosh", 1, _M),
    Operation("tanh", 1, _M),
    Operation("asinh", 1, _M),
    Operation("acosh", 1, _M),
    Operation("atanh", 1, _M),
    Operation("cond", 3, Rule.SELECT, "?:", True),
    # Float to integer truncates toward zero (NaN is 0), saturates at the range of i64 (u64: from
    # the lowest i64 to the highest u64), then wraps to the width. Integer to integer wraps.
    # Anything to bool tests for != 0.
    Operation("cast", 1, Rule.CAST),
)

OPERATIONS: Final = {row.name: row for row in _ROWS}

INFIX: Final = {
    row.symbol: row for row in _ROWS if row.symbol not in (None, "?:") and row.arity == 2
}
"""Binary operations by their Tile symbol."""
