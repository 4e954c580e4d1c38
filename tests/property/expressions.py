"""Random elementwise expressions as text, with what is known of their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from tests.property import facts
from tests.property.facts import INDEX, MATH, POW, Elementary, Fact
from tilec.dtypes import BOOL, F32, Kind
from tilec.lang.builtins import cast_dtype
from tilec.operations import OPERATIONS, Rule
from tilec.tensor.types import common


@dataclass(frozen=True, slots=True)
class Expr:
    """Text that binds tighter than any operator, and what is known of its value.

    ``constant`` says that it is a number when sizes are bound, which the compiler folds.
    """

    text: str
    fact: Fact
    constant: bool = False


_BINARY = [name for name, row in OPERATIONS.items() if row.arity == 2]
_UNARY = [name for name, row in OPERATIONS.items() if row.arity == 1 and name != "cast"]
_ARITHMETIC = ["add", "sub", "mul", "max", "min", "div", "mod"]
_CASTS = [("as_float", 16), ("as_float", 32), ("as_float", 64), ("as_bool", 8)] + [
    (name, bits) for name in ("as_int", "as_uint") for bits in (8, 16, 32, 64)
]


def literals() -> st.SearchStrategy[Expr]:
    """Numbers of the text: i32 and f32."""
    integers = st.sampled_from([0, 1, 2, 3, 5, 7, 100]).map(
        lambda n: Expr(str(n), Fact(INDEX, n, n), constant=True)
    )
    floats = st.sampled_from(["0.5", "1.5", "0.25", "2.", ".75", "1e0"]).map(
        lambda text: Expr(text, Fact(F32, float(text), float(text), 2), constant=True)
    )
    return integers | floats


@st.composite
def expressions(
    draw: st.DrawFn, leaves: Sequence[Expr], depth: int, *, smooth: bool = True
) -> Expr:
    """An expression over some leaves.

    Args:
        draw: Given by hypothesis.
        leaves: What it may be made of, besides literals.
        depth: How deep operations may nest.
        smooth: Whether elementary functions and inexact divisions may occur. Without them all
            values stay exact, so that NaN and infinities may be among them.
    """
    if depth == 0:
        return draw(st.sampled_from(list(leaves)))
    first = draw(expressions(leaves, depth - 1, smooth=smooth))
    kind = draw(st.sampled_from(["arithmetic"] * 4 + ["binary", "unary", "cast", "cond", "math"]))
    if kind == "cast":
        return _cast(first, *draw(st.sampled_from(_CASTS))) or first
    if kind == "unary":
        return _call(draw(st.sampled_from(_UNARY)), first, smooth=smooth) or first
    if kind == "math":
        names = sorted(MATH)
        return _elementary(draw(st.sampled_from(names)), first) or first if smooth else first
    second = draw(
        st.one_of(
            expressions(leaves, depth - 1, smooth=smooth), st.sampled_from(leaves), literals()
        )
    )
    if first.constant and second.constant:
        return first
    if kind == "cond":
        third = draw(st.sampled_from(list(leaves)) | literals())
        return _cond(first, second, third) or first
    op = draw(st.sampled_from(_ARITHMETIC if kind == "arithmetic" else _BINARY))
    if op == "pow":
        return _pow(first, second) or first if smooth else first
    if draw(st.booleans()):
        first, second = second, first
    return _call(op, first, second, smooth=smooth) or first


def _call(op: str, *args: Expr, smooth: bool) -> Expr | None:
    row = OPERATIONS[op]
    if row.rule is Rule.MATH:
        return _elementary(op, args[0]) if smooth else None
    if row.rule is Rule.BITWISE:
        whole = [_integer(arg) for arg in args]
        if any(arg is None for arg in whole):
            return None
        args = tuple(arg for arg in whole if arg is not None)
    if op == "div" and not smooth and common([arg.fact.dtype for arg in args]).is_float:
        return None
    fact = facts.apply(op, *(arg.fact for arg in args))
    if fact is None:
        return None
    symbol = row.symbol
    if symbol is not None and len(args) == 2:
        return Expr(f"({args[0].text} {symbol} {args[1].text})", fact)
    if symbol is not None:
        return Expr(f"({symbol}{args[0].text})", fact)
    return Expr(f"{op}({', '.join(arg.text for arg in args)})", fact)


def _integer(value: Expr) -> Expr | None:
    return value if not value.fact.dtype.is_float else _cast(value, "as_int", 32)


def _cast(value: Expr, name: str, bits: int) -> Expr | None:
    dtype = cast_dtype(name, bits)
    assert dtype is not None
    fact = facts.convert(value.fact, dtype)
    if fact is None:
        return None
    text = f"as_bool({value.text})" if dtype == BOOL else f"{name}({value.text}, {bits})"
    return Expr(text, fact)


def _cond(test: Expr, then: Expr, otherwise: Expr) -> Expr | None:
    fact = facts.apply("cond", test.fact, then.fact, otherwise.fact)
    if fact is None:
        return None
    return Expr(f"({test.text} ? {then.text} : {otherwise.text})", fact)


def _elementary(op: str, value: Expr) -> Expr | None:
    """The function where it is smooth: its operand is brought into range first."""
    inside = _clamped(value, MATH[op])
    fact = None if inside is None else facts.apply(op, inside.fact)
    return None if inside is None or fact is None else Expr(f"{op}({inside.text})", fact)


def _pow(base: Expr, exponent: Expr) -> Expr | None:
    inside = [
        _clamped(value, allowed) for value, allowed in zip((base, exponent), POW, strict=True)
    ]
    if inside[0] is None or inside[1] is None:
        return None
    fact = facts.apply("pow", inside[0].fact, inside[1].fact)
    return None if fact is None else Expr(f"pow({inside[0].text}, {inside[1].text})", fact)


def _clamped(value: Expr, allowed: Elementary) -> Expr | None:
    fact = value.fact
    if value.constant or fact.dtype.kind is Kind.BOOL:
        return None
    # The margin takes up what rounding adds beyond the ends.
    margin = 2 * fact.error + (allowed.high - allowed.low) / 256
    low, high = allowed.low + margin, allowed.high - margin
    if low >= high:
        return None
    if fact.low < low:
        value = _with_bound("max", value, low)
    if fact.high > high:
        value = _with_bound("min", value, high)
    return value


def _with_bound(op: str, value: Expr, end: float) -> Expr:
    literal = Fact(F32, end, end, None, abs(end) * 2.0**-24)
    fact = facts.apply(op, value.fact, literal)
    assert fact is not None
    text = repr(abs(end)) if end >= 0 else f"-{abs(end)!r}"
    return Expr(f"{op}({value.text}, {text})", fact)
