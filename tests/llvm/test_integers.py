"""Integer operations against their definition on Python integers, edge cases included."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from tests.llvm.harness import elementwise, numpy_dtype, on_first, typed, with_constant
from tilec.dtypes import BOOL, I8, I16, I32, I64, U8, U16, U32, U64, DType, integer_range
from tilec.kernel.ir import Apply, Expr, VType

pytestmark = pytest.mark.every_target

INTEGERS = (I8, I16, I32, I64, U8, U16, U32, U64)


def quotient(a: int, b: int) -> int:
    if b == 0:
        return 0
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def shift_left(a: int, b: int, width: int) -> int:
    count = b % (1 << width)
    return a << count if count < width else 0


def shift_right(a: int, b: int, width: int) -> int:
    return a >> min(b % (1 << width), width)


def binary(dtype: DType) -> dict[str, Callable[[int, int], int]]:
    width = dtype.bits
    return {
        "add": lambda a, b: a + b,
        "sub": lambda a, b: a - b,
        "mul": lambda a, b: a * b,
        "div": quotient,
        "mod": lambda a, b: a - b * quotient(a, b) if b else 0,
        "max": max,
        "min": min,
        "bit_and": int.__and__,
        "bit_or": int.__or__,
        "bit_xor": int.__xor__,
        "bit_left": lambda a, b: shift_left(a, b, width),
        "bit_right": lambda a, b: shift_right(a, b, width),
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
COMPARE: dict[str, Callable[[int, int], bool]] = {
    "cmp_eq": int.__eq__,
    "cmp_ne": int.__ne__,
    "cmp_lt": int.__lt__,
    "cmp_gt": int.__gt__,
    "cmp_le": int.__le__,
    "cmp_ge": int.__ge__,
    "logical_and": lambda a, b: a != 0 and b != 0,
    "logical_or": lambda a, b: a != 0 or b != 0,
    "logical_xor": lambda a, b: (a != 0) is not (b != 0),
}


def wrapped(value: int, dtype: DType) -> int:
    low, high = integer_range(dtype)
    return (value - low) % (high - low + 1) + low


def edges(dtype: DType) -> list[int]:
    low, high = integer_range(dtype)
    near = {low, low + 1, -100, -9, -8, -7, -3, -2, -1, 0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32}
    near |= {33, 63, 64, 65, 100, 127, high // 3, high // 2, high - 1, high}
    return sorted(value for value in near if low <= value <= high)


@pytest.mark.parametrize("lanes", [1, 4, 8, 16])
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_integer_operations(dtype: DType, lanes: int) -> None:
    pairs = list(product(edges(dtype), repeat=2))
    kind = numpy_dtype(dtype)
    left, right = (np.array([pair[side] for pair in pairs], kind) for side in (0, 1))
    two = binary(dtype)
    exprs = {op: typed(op, dtype) for op in two}
    exprs |= {op: typed(op, BOOL) for op in COMPARE}
    exprs |= {op: on_first(op, dtype) for op in UNARY}
    exprs["logical_not"] = on_first("logical_not", BOOL)
    got = elementwise(exprs, [(dtype, left), (dtype, right)], lanes)
    for op, wanted in {**two, **COMPARE}.items():
        result = BOOL if op in COMPARE else dtype
        expected = [wrapped(wanted(a, b), result) if op in two else wanted(a, b) for a, b in pairs]
        assert np.array_equal(got[op], np.array(expected, numpy_dtype(result))), op
    for op, single in UNARY.items():
        expected = [wrapped(single(a), dtype) for a, _ in pairs]
        assert np.array_equal(got[op], np.array(expected, kind)), op
    assert np.array_equal(got["logical_not"], left == 0)


@pytest.mark.parametrize("lanes", [1, 16])
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_division_by_constants(dtype: DType, lanes: int) -> None:
    values = np.array(edges(dtype), numpy_dtype(dtype))
    divisors = [d for d in (1, 2, 3, 7, 64, -1, -5, 0) if d >= integer_range(dtype)[0]]
    exprs: dict[str, Callable[..., Expr]] = {}
    for op, d in product(("div", "mod"), divisors):
        exprs[f"{op}{d}"] = with_constant(op, d)
    got = elementwise(exprs, [(dtype, values)], lanes)
    for op, d in product(("div", "mod"), divisors):
        expected = [wrapped(binary(dtype)[op](a, d), dtype) for a in edges(dtype)]
        assert got[f"{op}{d}"].tolist() == expected, (op, d)


@pytest.mark.parametrize("lanes", [1, 8])
def test_floor_division_of_indices(lanes: int) -> None:
    values = np.array([-(1 << 62), -101, -16, -9, -8, -7, -1, 0, 1, 7, 8, 9, 100, 1 << 62])
    exprs: dict[str, Callable[..., Expr]] = {}
    for op, d in product(("floor_div", "floor_mod"), (1, 2, 3, 8, 10)):
        exprs[f"{op}{d}"] = with_constant(op, d)
    got = elementwise(exprs, [(I64, values)], lanes)
    for d in (1, 2, 3, 8, 10):
        assert np.array_equal(got[f"floor_div{d}"], values // d)
        assert np.array_equal(got[f"floor_mod{d}"], values % d)


@pytest.mark.parametrize("lanes", [1, 4, 16])
def test_selection_and_fma(lanes: int) -> None:
    rng = np.random.default_rng(0)
    a, b, c = (rng.integers(-100, 100, 50, dtype=np.int32) for _ in range(3))

    def chosen(x: Expr, y: Expr, z: Expr) -> Expr:
        test = Apply("cmp_lt", (x, y), VType(BOOL, lanes))
        return Apply("cond", (test, y, z), z.type)

    exprs = {"cond": chosen, "fma": typed("fma", I32)}
    got = elementwise(exprs, [(I32, a), (I32, b), (I32, c)], lanes)
    assert np.array_equal(got["cond"], np.where(a < b, b, c))
    assert np.array_equal(got["fma"], a * b + c)


@pytest.mark.parametrize("lanes", [1, 16])
def test_bools_are_bytes_that_are_not_zero(lanes: int) -> None:
    left = np.array([0, 0, 1, 1, 2, 255, 0, 128], np.uint8).view(np.bool_)
    right = np.array([0, 1, 0, 1, 0, 4, 2, 128], np.uint8).view(np.bool_)
    ops = ("logical_and", "logical_or", "logical_xor", "bit_and", "bit_or", "bit_xor")
    ops += ("add", "mul", "max", "min", "cmp_eq", "cmp_lt", "cmp_ge")
    got = elementwise({op: typed(op, BOOL) for op in ops}, [(BOOL, left), (BOOL, right)], lanes)
    a, b = left.view(np.uint8) != 0, right.view(np.uint8) != 0
    assert np.array_equal(got["logical_and"], a & b)
    assert np.array_equal(got["logical_or"], a | b)
    assert np.array_equal(got["logical_xor"], a ^ b)
    assert np.array_equal(got["bit_and"], a & b)
    assert np.array_equal(got["bit_or"], a | b)
    assert np.array_equal(got["bit_xor"], a ^ b)
    assert np.array_equal(got["add"], a | b)
    assert np.array_equal(got["mul"], a & b)
    assert np.array_equal(got["max"], a | b)
    assert np.array_equal(got["min"], a & b)
    assert np.array_equal(got["cmp_eq"], a == b)
    assert np.array_equal(got["cmp_lt"], a < b)
    assert np.array_equal(got["cmp_ge"], a >= b)
    assert set(got["add"].view(np.uint8).tolist()) <= {0, 1}
