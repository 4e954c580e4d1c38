"""Every operation against Python's own arithmetic, and the documented edge cases one by one."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tilec.dtypes import (
    ALL,
    BF16,
    BOOL,
    F16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    DType,
    Kind,
    integer_range,
)
from tilec.errors import InternalError
from tilec.operations import OPERATIONS, Rule
from tilec.tensor.numpy_ops import apply, convert, storage, to_bf16

Array = NDArray[Any]

INTEGERS = [dtype for dtype in ALL if dtype.is_integer]
FLOATS = [dtype for dtype in ALL if dtype.is_float]
INF, NAN = math.inf, math.nan


def array(dtype: DType, *values: float) -> Array:
    return np.array(values, storage(dtype))


def edges(dtype: DType) -> Array:
    """Interesting values of a type; all pairs of them are tried."""
    if dtype == BOOL:
        return array(BOOL, False, True)
    if dtype.is_float:
        big = float(np.finfo(np.float16).max) if dtype == F16 else 2.0**100
        values = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 1.5, 2.5, -2.5, 3.0, 7.25, big, -big]
        return array(dtype, *values, INF, -INF, NAN)
    low, high = integer_range(dtype)
    values = {low, low + 1, 0, 1, 2, 3, 7, dtype.bits - 1, dtype.bits, high - 1, high, high // 3}
    if low < 0:
        values |= {-1, -2, -3, -7, -dtype.bits, low // 3}
    return array(dtype, *sorted(values))


def pairs(dtype: DType) -> tuple[Array, Array]:
    values = edges(dtype)
    left, right = np.meshgrid(values, values)
    return left.ravel(), right.ravel()


def wrap(value: int, dtype: DType) -> int:
    low, high = integer_range(dtype)
    return (value - low) % (high - low + 1) + low


def truncated(left: int, right: int) -> int:
    return abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)


def shift(left: int, count: int, dtype: DType, *, up: bool) -> int:
    count %= 1 << dtype.bits
    if count >= dtype.bits:
        return -1 if left < 0 and not up else 0
    return left << count if up else left >> count


_Binary = Callable[[int, int, DType], int]
BINARY: dict[str, _Binary] = {
    "add": lambda a, b, _: a + b,
    "sub": lambda a, b, _: a - b,
    "mul": lambda a, b, _: a * b,
    "div": lambda a, b, _: 0 if b == 0 else truncated(a, b),
    "mod": lambda a, b, _: 0 if b == 0 else a - b * truncated(a, b),
    "max": lambda a, b, _: max(a, b),
    "min": lambda a, b, _: min(a, b),
    "bit_and": lambda a, b, _: a & b,
    "bit_or": lambda a, b, _: a | b,
    "bit_xor": lambda a, b, _: a ^ b,
    "bit_left": lambda a, b, dtype: shift(a, b, dtype, up=True),
    "bit_right": lambda a, b, dtype: shift(a, b, dtype, up=False),
}
UNARY: dict[str, Callable[[int], int]] = {
    "neg": lambda a: -a,
    "abs": abs,
    "sign": lambda a: (a > 0) - (a < 0),
    "relu": lambda a: max(a, 0),
    "bit_not": lambda a: ~a,
    "ceil": lambda a: a,
    "floor": lambda a: a,
    "round": lambda a: a,
}
COMPARE: dict[str, Callable[[float, float], bool]] = {
    "cmp_eq": lambda a, b: a == b,
    "cmp_ne": lambda a, b: a != b,
    "cmp_lt": lambda a, b: a < b,
    "cmp_gt": lambda a, b: a > b,
    "cmp_le": lambda a, b: a <= b,
    "cmp_ge": lambda a, b: a >= b,
    "logical_and": lambda a, b: a != 0 and b != 0,
    "logical_or": lambda a, b: a != 0 or b != 0,
    "logical_xor": lambda a, b: (a != 0) != (b != 0),
}


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@pytest.mark.parametrize("op", sorted(BINARY))
def test_integers_wrap_as_python_integers_modulo_the_width(op: str, dtype: DType) -> None:
    left, right = pairs(dtype)
    result = apply(op, (left, right), dtype, dtype)
    assert result.dtype == storage(dtype)
    expected = [
        wrap(BINARY[op](int(a), int(b), dtype), dtype) for a, b in zip(left, right, strict=True)
    ]
    np.testing.assert_array_equal(result, np.array(expected, storage(dtype)))


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@pytest.mark.parametrize("op", sorted(UNARY))
def test_unary_operations_on_integers(op: str, dtype: DType) -> None:
    values = edges(dtype)
    expected = [wrap(UNARY[op](int(a)), dtype) for a in values]
    result = apply(op, (values,), dtype, dtype)
    np.testing.assert_array_equal(result, np.array(expected, storage(dtype)))
    assert result.dtype == storage(dtype)


@pytest.mark.parametrize("op", sorted(BINARY.keys() | UNARY.keys()))
def test_bools_are_the_integers_0_and_1(op: str) -> None:
    left, right = pairs(BOOL)
    args = (left, right) if op in BINARY else (left,)
    result = apply(op, args, BOOL, BOOL)
    assert result.dtype == np.bool_
    for at in range(left.size):
        a, b = int(left[at]), int(right[at])
        value = BINARY[op](a, b, I32) if op in BINARY else UNARY[op](a)
        # The one exception: `~` is "not", where the integer ~1 would be true.
        assert result[at] == (not a if op == "bit_not" else value != 0)


@pytest.mark.parametrize("dtype", ALL, ids=str)
@pytest.mark.parametrize("op", sorted(COMPARE))
def test_comparisons(op: str, dtype: DType) -> None:
    left, right = pairs(dtype)
    if op.startswith("logical"):
        left, right, dtype = left != 0, right != 0, BOOL
    expected = [COMPARE[op](a.item(), b.item()) for a, b in zip(left, right, strict=True)]
    result = apply(op, (left, right), dtype, BOOL)
    np.testing.assert_array_equal(result, expected)
    assert result.dtype == np.bool_


def test_logical_not_and_cond() -> None:
    flags = array(BOOL, True, False)
    np.testing.assert_array_equal(apply("logical_not", (flags,), BOOL, BOOL), [False, True])
    chosen = apply("cond", (flags, array(I8, 1, 2), array(I8, 3, 4)), I8, I8)
    np.testing.assert_array_equal(chosen, array(I8, 1, 4))


def _same_float(left: float, right: float) -> bool:
    return left == right or (math.isnan(left) and math.isnan(right))


FLOAT_CASES: list[tuple[str, tuple[float, ...], float]] = [
    ("div", (1, 0), INF),
    ("div", (-1, 0), -INF),
    ("div", (0, 0), NAN),
    ("div", (1, -0.0), -INF),
    ("mod", (7.25, 2), 1.25),
    ("mod", (-7.25, 2), -1.25),
    ("mod", (7.25, -2), 1.25),
    ("mod", (1, 0), NAN),
    ("mod", (INF, 2), NAN),
    ("mod", (2, INF), 2),
    ("neg", (0,), -0.0),
    ("max", (NAN, 1), NAN),
    ("max", (1, NAN), NAN),
    ("min", (NAN, 1), NAN),
    ("min", (1, NAN), NAN),
    ("max", (-INF, -5), -5),
    ("min", (INF, -INF), -INF),
    ("abs", (-INF,), INF),
    ("abs", (-0.0,), 0),
    ("sign", (-3,), -1),
    ("sign", (0,), 0),
    ("sign", (INF,), 1),
    ("sign", (NAN,), NAN),
    ("relu", (-2,), 0),
    ("relu", (2,), 2),
    ("relu", (NAN,), NAN),
    ("relu", (-INF,), 0),
    ("round", (0.5,), 0),
    ("round", (1.5,), 2),
    ("round", (2.5,), 2),
    ("round", (-0.5,), -0.0),
    ("round", (-1.5,), -2),
    ("round", (INF,), INF),
    ("ceil", (-0.5,), -0.0),
    ("ceil", (0.25,), 1),
    ("floor", (-0.25,), -1),
    ("floor", (NAN,), NAN),
    ("recip", (0,), INF),
    ("recip", (-0.0,), -INF),
    ("recip", (4,), 0.25),
    ("recip", (INF,), 0),
    ("sqrt", (9,), 3),
    ("sqrt", (-1,), NAN),
    ("sqrt", (-0.0,), -0.0),
    ("sqrt", (INF,), INF),
    ("exp", (0,), 1),
    ("exp", (-INF,), 0),
    ("exp", (INF,), INF),
    ("exp", (2000,), INF),
    ("exp", (-2000,), 0),
    ("log", (1,), 0),
    ("log", (0,), -INF),
    ("log", (-1,), NAN),
    ("log", (INF,), INF),
    ("pow", (0, 0), 1),
    ("pow", (NAN, 0), 1),
    ("pow", (1, NAN), 1),
    ("pow", (2, NAN), NAN),
    ("pow", (-2, 3), -8),
    ("pow", (-2, 2), 4),
    ("pow", (-2, 0.5), NAN),
    ("pow", (0, -1), INF),
    ("pow", (-0.0, -1), -INF),
    ("pow", (-0.0, 3), -0.0),
    ("pow", (-0.0, 2), 0),
    ("pow", (0, 2), 0),
    ("pow", (-1, INF), 1),
    ("pow", (2, INF), INF),
    ("pow", (0.5, INF), 0),
    ("pow", (2, -INF), 0),
    ("pow", (0.5, -INF), INF),
    ("pow", (INF, -1), 0),
    ("pow", (-INF, 3), -INF),
    ("pow", (-INF, 2), INF),
    ("pow", (-INF, -3), -0.0),
    ("pow", (4, 0.5), 2),
    ("sigmoid", (0,), 0.5),
    ("sigmoid", (-INF,), 0),
    ("sigmoid", (INF,), 1),
    ("sigmoid", (-2000,), 0),
    ("sigmoid", (2000,), 1),
    ("erf", (0,), 0),
    ("erf", (-0.0,), -0.0),
    ("erf", (INF,), 1),
    ("erf", (-INF,), -1),
    ("sin", (0,), 0),
    ("sin", (INF,), NAN),
    ("cos", (0,), 1),
    ("cos", (-INF,), NAN),
    ("tan", (0,), 0),
    ("tan", (INF,), NAN),
    ("asin", (1.5,), NAN),
    ("asin", (0,), 0),
    ("acos", (-1.5,), NAN),
    ("acos", (1,), 0),
    ("atan", (0,), 0),
    ("sinh", (-INF,), -INF),
    ("cosh", (-INF,), INF),
    ("cosh", (0,), 1),
    ("tanh", (INF,), 1),
    ("tanh", (-INF,), -1),
    ("asinh", (-INF,), -INF),
    ("acosh", (1,), 0),
    ("acosh", (0.5,), NAN),
    ("acosh", (INF,), INF),
    ("atanh", (1,), INF),
    ("atanh", (-1,), -INF),
    ("atanh", (1.5,), NAN),
]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(("op", "args", "expected"), FLOAT_CASES)
def test_edge_cases_of_floats(
    op: str, args: tuple[float, ...], expected: float, dtype: DType
) -> None:
    for shape in ((), (2,)):
        arrays = [np.full(shape, arg, storage(dtype)) for arg in args]
        result = apply(op, arrays, dtype, dtype)
        assert result.dtype == storage(dtype)
        assert result.shape == shape
        for item in result.ravel():
            assert _same_float(float(item), expected)
            if expected == 0 and op not in ("max", "min"):
                assert math.copysign(1, item) == math.copysign(1, expected)


MATH: dict[str, tuple[Callable[[float], float], float, float]] = {
    "sqrt": (math.sqrt, 0, 1e6),
    "exp": (math.exp, -80, 80),
    "log": (math.log, 1e-6, 1e6),
    "sin": (math.sin, -100, 100),
    "cos": (math.cos, -100, 100),
    "tan": (math.tan, -1.5, 1.5),
    "asin": (math.asin, -1, 1),
    "acos": (math.acos, -1, 1),
    "atan": (math.atan, -50, 50),
    "sinh": (math.sinh, -20, 20),
    "cosh": (math.cosh, -20, 20),
    "tanh": (math.tanh, -9, 9),
    "asinh": (math.asinh, -1e3, 1e3),
    "acosh": (math.acosh, 1, 1e3),
    "atanh": (math.atanh, -0.999, 0.999),
    "erf": (math.erf, -4, 4),
    "recip": (lambda x: 1 / x, 1e-3, 1e3),
    "sigmoid": (lambda x: 1 / (1 + math.exp(-x)), -30, 30),
}


@pytest.mark.parametrize("op", sorted(MATH))
def test_elementary_functions_are_rounded_once(op: str) -> None:
    compute, low, high = MATH[op]
    values = np.random.default_rng(7).uniform(low, high, 500)
    for dtype in (F16, BF16, F32, F64):
        args = convert(values, F64, dtype)
        args = np.clip(args, *(convert(np.array(end), F64, dtype) for end in (low, high)))
        result = apply(op, (args,), dtype, dtype)
        exact = np.array([compute(float(item)) for item in args])
        if dtype == F64:
            # NumPy and the C library differ by a few units in the last place.
            np.testing.assert_allclose(result, exact, rtol=2e-15)
        else:
            wrong = result != convert(exact, F64, dtype)
            # Where float64 lies next to a rounding boundary of the narrow type.
            assert np.count_nonzero(wrong) <= 1


def test_pow_is_rounded_once() -> None:
    random = np.random.default_rng(8)
    base, exponent = random.uniform(0, 9, 500), random.uniform(-9, 9, 500)
    for dtype in (F16, BF16, F32):
        args = [convert(item, F64, dtype) for item in (base, exponent)]
        exact = np.array([math.pow(x, y) for x, y in zip(*args, strict=True)])
        wrong = apply("pow", args, dtype, dtype) != convert(exact, F64, dtype)
        assert np.count_nonzero(wrong) <= 1


@pytest.mark.parametrize("op", ["add", "sub", "mul", "div"])
@pytest.mark.parametrize("dtype", [F16, F32, F64], ids=str)
def test_float_arithmetic_is_ieee(op: str, dtype: DType) -> None:
    left, right = pairs(dtype)
    function = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}[op]
    with np.errstate(all="ignore"):
        expected = function(left, right)
    np.testing.assert_array_equal(apply(op, (left, right), dtype, dtype), expected)


def _round_exactly(value: Fraction, digits: int, least: int) -> float:
    """Nearest even with ``digits`` significant bits and no bit below ``2**least``."""
    if value == 0:
        return 0.0
    exponent = math.floor(math.log2(abs(value)))
    unit = Fraction(2) ** max(exponent - digits + 1, least)
    return float(round(value / unit) * unit)


NARROW = {F16: (11, -24, 65520.0), BF16: (8, -133, float.fromhex("0x1.ffp127"))}


@settings(max_examples=150, deadline=None)
@given(
    st.floats(allow_nan=False, allow_infinity=False, width=64)
    | st.floats(-70000, 70000)
    | st.integers(-(2**53), 2**53).map(float)
    | st.integers(0, 2**20).map(lambda n: 1 + n / 2**20 + 2.0**-50)
)
def test_f64_becomes_narrow_in_one_rounding(value: float) -> None:
    for dtype, (digits, least, limit) in NARROW.items():
        result = float(convert(np.array([value]), F64, dtype)[0])
        if abs(value) >= limit:
            assert result == math.copysign(INF, value)
        else:
            assert result == _round_exactly(Fraction(value), digits, least)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(-(2**63), 2**64 - 1)
    | st.integers(0, 127).flatmap(
        lambda n: st.sampled_from([(128 + n) << 56, ((257 + 2 * n) << 55) + 1, (257 + 2 * n) << 55])
    )
)
def test_integers_become_floats_in_one_rounding(value: int) -> None:
    for source in (I64, U64):
        low, high = integer_range(source)
        if not low <= value <= high:
            continue
        given_value = np.array([value], storage(source))
        exact = Fraction(value)
        assert float(convert(given_value, source, F32)[0]) == _round_exactly(exact, 24, -149)
        assert float(convert(given_value, source, BF16)[0]) == _round_exactly(exact, 8, -133)
        f16 = float(convert(given_value, source, F16)[0])
        rounded = _round_exactly(exact, 11, -24)
        assert f16 == (rounded if abs(value) < 65520 else math.copysign(INF, value))


def test_bf16_rounds_to_even_and_keeps_nan() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    bits = np.random.default_rng(5).integers(0, 2**32, 20000, np.uint32)
    values = bits.view(np.float32)
    with np.errstate(all="ignore"):
        expected = values.astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(to_bf16(values), expected)
    edge = np.array([0x3F808000, 0x3F818000, 0x7F7FFFFF, 0x7F800001], np.uint32).view(np.float32)
    result = to_bf16(edge)
    np.testing.assert_array_equal(result, np.array([1, 1.015625, INF, NAN], np.float32))


TO_INTEGER: list[tuple[float, DType, int]] = [
    (2.9, I32, 2),
    (-2.9, I32, -2),
    (NAN, I32, 0),
    (NAN, U64, 0),
    (300.5, U8, 44),
    (-1.0, U8, 255),
    (-1.5, U64, 2**64 - 1),
    (128.0, I8, -128),
    (2.0**31, I32, -(2**31)),
    (2.0**40 + 5, I32, 5),
    (1e30, I64, 2**63 - 1),
    (-1e30, I64, -(2**63)),
    (INF, I32, -1),
    (-INF, I32, 0),
    (INF, U32, 2**32 - 1),
    (2.0**63, U64, 2**63),
    (2.0**63 + 2.0**12, U64, 2**63 + 2**12),
    (1e30, U64, 2**64 - 1),
    (-1e30, U64, 2**63),
    (-INF, I16, 0),
    (65535.9, U16, 65535),
]


@pytest.mark.parametrize(("value", "dtype", "expected"), TO_INTEGER)
def test_floats_become_integers(value: float, dtype: DType, expected: int) -> None:
    result = convert(np.array([value]), F64, dtype)
    assert result.dtype == storage(dtype)
    assert int(result[0]) == expected
    if float(np.float32(value)) == value or math.isnan(value):
        single = np.array([value], np.float32)
        assert int(convert(single, F32, dtype)[0]) == expected


@pytest.mark.parametrize("source", [*INTEGERS, BOOL], ids=str)
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_integers_become_integers_by_wrapping(source: DType, dtype: DType) -> None:
    values = edges(source)
    expected = [wrap(int(value), dtype) for value in values]
    result = convert(values, source, dtype)
    np.testing.assert_array_equal(result, np.array(expected, storage(dtype)))
    assert result.dtype == storage(dtype)


@pytest.mark.parametrize("source", ALL, ids=str)
def test_what_is_not_0_is_true(source: DType) -> None:
    values = edges(source)
    expected = [value.item() != 0 for value in values]
    np.testing.assert_array_equal(convert(values, source, BOOL), expected)


def test_narrow_floats_stay_narrow() -> None:
    third = convert(np.array([1 / 3]), F64, BF16)
    product = apply("mul", (third, third), BF16, BF16)
    np.testing.assert_array_equal(product, to_bf16(product))
    assert float(product[0]) == float(to_bf16(np.array([float(third[0]) ** 2]))[0])


def _accepted(rule: Rule) -> list[DType]:
    match rule:
        case Rule.BITWISE:
            return [dtype for dtype in ALL if not dtype.is_float]
        case Rule.ROUNDING | Rule.MATH:
            return FLOATS
        case Rule.LOGICAL:
            return [BOOL]
        case Rule.ARITHMETIC | Rule.COMPARISON | Rule.SELECT | Rule.CAST:
            return list(ALL)


@pytest.mark.parametrize("op", sorted(OPERATIONS.keys() - {"cast"}))
def test_every_operation_has_a_value_of_its_type_for_every_edge(op: str) -> None:
    row = OPERATIONS[op]
    for dtype in _accepted(row.rule):
        left, right = pairs(dtype)
        args = [left, right][: row.arity]
        if row.rule is Rule.SELECT:
            args = [left != 0, left, right]
        result = BOOL if row.rule in (Rule.COMPARISON, Rule.LOGICAL) else dtype
        value = apply(op, args, dtype, result)
        assert value.dtype == storage(result)
        assert value.shape == left.shape
        if dtype == BF16 and result == BF16:
            np.testing.assert_array_equal(value, to_bf16(value))


def test_scalars_stay_scalars() -> None:
    for op in ("add", "div", "mod", "bit_left"):
        result = apply(op, (np.array(7), np.array(2)), I64, I64)
        assert result.shape == ()
    assert convert(np.array(2**62 + 1), I64, BF16).shape == ()


@pytest.mark.parametrize(("op", "dtype"), [("bit_and", F32), ("exp", I32), ("nothing", F32)])
def test_what_the_type_rules_exclude_is_a_bug(op: str, dtype: DType) -> None:
    value = np.zeros(1, storage(dtype))
    with pytest.raises(InternalError, match="reached the evaluator"):
        apply(op, (value, value), dtype, dtype)


def test_kinds_are_covered() -> None:
    assert {dtype.kind for dtype in (*INTEGERS, *FLOATS, BOOL)} == set(Kind)
