"""Type rules: results, the casts that are inserted, literals."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

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
    U32,
    U64,
    DType,
    promote,
)
from tilec.errors import InternalError
from tilec.operations import OPERATIONS, Rule
from tilec.tensor import types
from tilec.tensor.affine import Affine
from tilec.tensor.ir import Aggregation, Input, Map, Output, Program, TensorType
from tilec.tensor.numpy_ops import convert as convert_array
from tilec.tensor.numpy_ops import storage
from tilec.tensor.scalar import Apply, Literal, Read
from tilec.tensor.verify import verify


def read(dtype: DType, name: str = "A") -> Read:
    return Read(name, (Affine.index("i"),), dtype)


@pytest.mark.parametrize(
    ("op", "dtypes", "result"),
    [
        ("add", (I8, U8), I8),
        ("add", (U8, I8), U8),
        ("add", (I32, U32), I32),
        ("add", (BOOL, I8), BOOL),
        ("add", (I8, BOOL), I8),
        ("add", (I64, F16), F16),
        ("mul", (BF16, F16), BF16),
        ("mul", (F16, F32), F32),
        ("mul", (I8, I32), I32),
        ("add", (BOOL, BOOL), BOOL),
        ("neg", (BOOL,), BOOL),
        ("cmp_lt", (I8, F64), BOOL),
        ("logical_and", (F32, I8), BOOL),
        ("bit_and", (U8, I16), I16),
        ("bit_left", (I8, U8), I8),
        ("bit_not", (BOOL,), BOOL),
        ("floor", (F16,), F16),
        ("ceil", (I64,), I64),
        ("round", (BOOL,), BOOL),
        ("exp", (I8,), F32),
        ("exp", (BOOL,), F32),
        ("exp", (I64,), F32),
        ("exp", (F64,), F64),
        ("sqrt", (F16,), F16),
        ("pow", (F16, I32), F16),
        ("pow", (F16, F32), F32),
        ("pow", (I32, I32), F32),
        ("cond", (F64, I8, I16), I16),
        ("cond", (F64, U8, I8), U8),
    ],
)
def test_result(op: str, dtypes: tuple[DType, ...], result: DType) -> None:
    assert types.result_dtype(op, dtypes) == result


def test_literals_take_part_in_promotion_like_tensors() -> None:
    two, half = types.literal(2, I32), types.literal(0.5, F32)
    assert types.apply("mul", read(I8), two).dtype == I32
    assert types.apply("mul", read(F16), half).dtype == F32
    assert types.apply("mul", read(F16), two).dtype == F16
    assert types.apply("mul", read(F64), half).dtype == F64
    assert types.apply("mul", read(I64), half).dtype == F32


@pytest.mark.parametrize("dtype", [F16, BF16, F32, F64])
@pytest.mark.parametrize("op", ["bit_and", "bit_or", "bit_xor", "bit_left", "bit_right"])
def test_bit_operations_refuse_floats(op: str, dtype: DType) -> None:
    reason = types.refusal(op, (I32, dtype))
    assert reason is not None
    assert op in reason
    assert dtype.name in reason
    with pytest.raises(InternalError):
        types.apply(op, read(I32), read(dtype))


def test_everything_else_is_accepted() -> None:
    for row in OPERATIONS.values():
        if row.rule not in (Rule.BITWISE, Rule.CAST):
            for dtype in ALL:
                assert types.refusal(row.name, (dtype,) * row.arity) is None


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "cast"])
def test_every_typed_operation_verifies(name: str) -> None:
    arity = OPERATIONS[name].arity
    for dtypes in product(ALL, repeat=min(arity, 2)):
        dtypes = (*dtypes, *dtypes[-1:] * (arity - len(dtypes)))
        if types.refusal(name, dtypes) is not None:
            continue
        inputs = tuple(Input(f"A{at}", TensorType(dtype, (3,))) for at, dtype in enumerate(dtypes))
        body = types.apply(name, *(read(i.type.dtype, i.name) for i in inputs))
        assert body.dtype == types.result_dtype(name, dtypes)
        node = Map("R", TensorType(body.dtype, (3,)), ("i",), body)
        verify(Program("p", inputs, (node,), (Output("R", "R"),)))


def test_casts_are_explicit_and_only_where_needed() -> None:
    value = types.apply("add", read(I8), read(F32))
    assert value == Apply("add", (Apply("cast", (read(I8),), F32), read(F32)), F32)
    assert types.apply("add", read(F32), read(F32)) == Apply("add", (read(F32), read(F32)), F32)


def test_tests_become_bools() -> None:
    value = types.apply("cond", read(F32), read(I8), read(I16))
    assert isinstance(value, Apply)
    assert [arg.dtype for arg in value.args] == [BOOL, I16, I16]


def test_rounding_an_integer_is_the_integer() -> None:
    assert types.apply("round", read(I32)) == read(I32)


def test_only_casts_of_literals_are_folded() -> None:
    one, half = Literal(1, I32), Literal(0.5, F32)
    assert types.apply("add", one, half) == Apply("add", (Literal(1.0, F32), half), F32)
    assert types.convert(one, F64) == Literal(1.0, F64)


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (0.1, F32, 0.10000000149011612),
        (0.1, F16, 0.0999755859375),
        (0.1, BF16, 0.10009765625),
        (0.1, F64, 0.1),
        (1e39, F32, math.inf),
        (-1e39, F32, -math.inf),
        (70000, F16, math.inf),
        (16777217, F32, 16777216.0),
        ((1 << 63) - 1, F32, float(1 << 63)),
        ((1 << 54) + (1 << 30) + 1, F32, float((1 << 54) + (1 << 31))),
        (3.9, I32, 3),
        (-3.9, I32, -3),
        (-3.9, U8, 253),
        (300, U8, 44),
        (128, I8, -128),
        (1e30, I64, (1 << 63) - 1),
        (1e30, I32, -1),
        (1e30, U64, (1 << 64) - 1),
        (-1e30, U64, 1 << 63),
        (math.nan, I32, 0),
        (math.inf, I64, (1 << 63) - 1),
        (-math.inf, I64, -(1 << 63)),
        (0.5, BOOL, True),
        (-0.0, BOOL, False),
        (math.nan, BOOL, True),
        (True, F32, 1.0),
        (True, I8, 1),
    ],
)
def test_literal(value: float, dtype: DType, expected: float) -> None:
    assert types.literal(value, dtype).value == expected
    assert type(types.literal(value, dtype).value) is type(expected)


def test_literals_convert_as_the_evaluator_does() -> None:
    floats = [0.0, -0.5, 2.5, 1e10, -1e10, 1e20, math.inf, -math.inf, math.nan, 300.7, 65520.0]
    for value, dtype in product(floats, ALL):
        if dtype == BF16:
            continue
        got = np.asarray(types.literal(value, dtype).value, storage(dtype))
        expected = convert_array(np.asarray(value, np.float64), F64, dtype)
        np.testing.assert_array_equal(got, expected, err_msg=f"{value} as {dtype}")


def test_nan_stays_nan() -> None:
    for dtype in (F16, BF16, F32, F64):
        assert math.isnan(types.round_float(math.nan, dtype))


def test_integer_literals() -> None:
    assert types.integer_literal_dtype(0) == I32
    assert types.integer_literal_dtype((1 << 31) - 1) == I32
    assert types.integer_literal_dtype(1 << 31) == I64
    assert types.integer_literal_dtype(-(1 << 31)) == I32
    assert types.integer_literal_dtype((1 << 63) - 1) == I64
    assert types.integer_literal_dtype(1 << 63) is None


@pytest.mark.parametrize(
    ("agg", "result", "combining"),
    [
        (Aggregation.SUM, F16, F32),
        (Aggregation.PRODUCT, BF16, F32),
        (Aggregation.MAX, F16, F32),
        (Aggregation.ASSIGN, BF16, F32),
        (Aggregation.SUM, U8, U32),
        (Aggregation.SUM, BOOL, I32),
        (Aggregation.MAX, U8, U8),
        (Aggregation.ASSIGN, BOOL, BOOL),
        (Aggregation.SUM, F64, F64),
        (Aggregation.SUM, I64, I64),
    ],
)
def test_combining_dtype(agg: Aggregation, result: DType, combining: DType) -> None:
    assert types.combining_dtype(agg, result) == combining


def test_promotion_folds_from_the_left() -> None:
    for a, b, c in product(ALL, repeat=3):
        assert types.common((a, b, c)) == promote(promote(a, b), c)


@pytest.mark.parametrize(
    ("dtype", "text"),
    [(F16, "as_float(X, 16)"), (U8, "as_uint(X, 8)"), (I64, "as_int(X, 64)"), (BOOL, "as_bool(X)")],
)
def test_cast_call(dtype: DType, text: str) -> None:
    assert types.cast_call(dtype, "X") == text
