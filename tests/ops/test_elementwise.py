"""Elementwise operations against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilec
from tests.ops.agreement import Case, agree
from tilec import ops

SPECIAL = np.array([-np.inf, -2.5, -1.5, -0.5, -0.0, 0.0, 0.5, 1.5, 3.0, np.inf, np.nan])
SMALL = np.array([-0.75, -1e-4, -1e-7, 0.0, 1e-7, 1e-4, 0.75])
INTEGERS = np.array([-7, -3, -1, 0, 1, 2, 5, 7])

UNARY_OF_ALL = [
    "negative",
    "absolute",
    "sign",
    "square",
    "ceil",
    "floor",
    "trunc",
    "isnan",
    "isinf",
    "isfinite",
    "logical_not",
    "exp",
    "exp2",
    "tanh",
    "arctan",
    "arcsinh",
    "cbrt",
    "deg2rad",
    "rad2deg",
]
UNARY_OF_SMALL = [
    "expm1",
    "log1p",
    "sin",
    "cos",
    "tan",
    "arcsin",
    "arccos",
    "arctanh",
    "sinh",
    "cosh",
    "sinc",
    "round",
    "reciprocal",
]
BINARY = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "floor_divide",
    "remainder",
    "fmod",
    "maximum",
    "minimum",
    "equal",
    "not_equal",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
    "logical_and",
    "logical_or",
    "logical_xor",
    "arctan2",
    "hypot",
    "copysign",
    "heaviside",
    "logaddexp",
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_unary(dtype: str) -> None:
    kind = np.dtype(dtype)
    special, small = SPECIAL.astype(kind), SMALL.astype(kind)
    positive = np.abs(special)
    cases: dict[str, Case] = {}
    with np.errstate(all="ignore"):
        for name in UNARY_OF_ALL:
            cases[name] = getattr(ops, name)(special), getattr(np, name)(special)
        for name in UNARY_OF_SMALL:
            cases[name] = getattr(ops, name)(small), getattr(np, name)(small)
        for name in ("log", "log2", "log10", "sqrt", "arccosh"):
            cases[name] = getattr(ops, name)(positive), getattr(np, name)(positive)
        cases["rsqrt"] = ops.rsqrt(positive), 1 / np.sqrt(positive)
        cases["round"] = ops.round(special), np.round(special)
        cases["signbit"] = ops.signbit(special[:-1]), np.signbit(special[:-1])
        cases["isposinf"] = ops.isinf(special, negative=False), np.isposinf(special)
        cases["isneginf"] = ops.isinf(special, positive=False), np.isneginf(special)
    agree(cases, 1e-5 if kind == np.float32 else 1e-13, 0.0)
    assert all(found.dtype.name in (f"f{kind.itemsize * 8}", "bool") for found, _ in cases.values())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_binary(dtype: str) -> None:
    kind = np.dtype(dtype)
    left, right = SPECIAL[:, None].astype(kind), SPECIAL[1:-2].astype(kind)
    cases: dict[str, Case] = {}
    with np.errstate(all="ignore"):
        for name in BINARY:
            finite = left[1:-2] if name in ("floor_divide", "remainder", "fmod") else left
            whole = right[right != 0] if name in ("floor_divide", "remainder", "fmod") else right
            cases[name] = getattr(ops, name)(finite, whole), getattr(np, name)(finite, whole)
        cases["power"] = ops.power(np.abs(left), right), np.power(np.abs(left), right)
        cases["clip"] = ops.clip(left, -1, 0.75), np.clip(left, kind.type(-1), kind.type(0.75))
        cases["where"] = ops.where(left > right, left, right), np.where(left > right, left, right)
        cases["close"] = (
            ops.isclose(left, left * (1 + 1e-6)),
            np.isclose(left, left * kind.type(1 + 1e-6)),
        )
    agree(cases, 1e-5, 1e-6)


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8"])
def test_integers(dtype: str) -> None:
    kind = np.dtype(dtype)
    x = np.abs(INTEGERS).astype(kind) if kind.kind == "u" else INTEGERS.astype(kind)
    left, right, bits = x[:, None], x[x != 0], np.array([0, 1, 3], kind)
    cases: dict[str, Case] = {}
    for name in [
        "add",
        "subtract",
        "multiply",
        "floor_divide",
        "remainder",
        "fmod",
        "maximum",
        "minimum",
        "less",
    ]:
        cases[name] = getattr(ops, name)(left, right), getattr(np, name)(left, right)
    for name in ["bitwise_and", "bitwise_or", "bitwise_xor"]:
        cases[name] = getattr(ops, name)(left, right), getattr(np, name)(left, right)
    for name in ["left_shift", "right_shift"]:
        cases[name] = getattr(ops, name)(left, bits), getattr(np, name)(left, bits)
    cases["bitwise_not"] = ops.bitwise_not(x), np.bitwise_not(x)
    cases["sign"] = ops.sign(x), np.sign(x)
    cases["power"] = ops.power(left, bits), np.power(left, bits)
    cases["divide"] = ops.divide(left, right), np.divide(left, right)
    cases["truncated"] = ops.truncated_divide(left, right), np.trunc(left / right).astype(kind)
    cases["number"] = ops.add(x, 1), x + kind.type(1)
    agree(cases)
    same = {name: found.numpy().dtype for name, (found, _) in cases.items()}
    del same["divide"], same["less"]
    assert set(same.values()) == {kind}


def test_python_numbers_take_the_type_beside_them() -> None:
    half = tilec.tensor(np.ones(2, np.float16))
    assert ops.multiply(half, 0.5).dtype.name == "f16"
    assert ops.maximum(0.5, half).dtype.name == "f16"
    assert ops.add(np.ones(2, np.int8), 0.5).dtype.name == "f32"
    assert ops.add(1, 2.5).item() == 3.5


@pytest.mark.parametrize("to", ["bool", "i8", "u8", "i64", "u32", "f16", "f32", "f64"])
def test_casts(to: str) -> None:
    x: Any = np.array([-2.5, -1.0, 0.0, 0.5, 100.0], np.float32)
    wanted = tilec.Spec((), to).dtype
    found = ops.cast(x, to).numpy()
    name = {"i": "int", "u": "uint", "f": "float", "b": "bool"}[to[0]]
    kind = np.dtype(name + to[1:] if to != "bool" else "bool")
    assert found.dtype == kind
    through = np.int64 if kind.kind in "iu" else kind
    np.testing.assert_array_equal(found, x.astype(through).astype(kind))
    assert ops.cast(x, wanted).dtype == wanted


def test_bf16_is_converted_to_and_from() -> None:
    x = np.array([1.0, 1.00390625, -3.14159274, 1e30], np.float32)
    half = ops.cast(x, "bf16")
    assert half.dtype.name == "bf16"
    text = tilec.grad(tilec.trace(ops.square, tilec.Spec((4,), "bf16")).function).source
    assert "as_float(" not in text.replace("as_bfloat(", "")
    wanted = [1.0, 1.0, -3.140625, 1.0002e30]
    np.testing.assert_allclose(ops.cast(half, "f32").numpy(), wanted, rtol=1e-4)
