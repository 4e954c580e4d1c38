"""Conversions between all dtypes, rounded or wrapped once."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product

import ml_dtypes
import numpy as np
import pytest

from tests.llvm.harness import Array, elementwise, module_of, numpy_dtype, same
from tilec.dtypes import ALL, BF16, BOOL, F16, F32, F64, I64, U64, DType, integer_range
from tilec.kernel import build
from tilec.kernel.ir import Apply, Buffer, Expr, Load, Module, Store, VType
from tilec.options import Options
from tilec_llvm import backend
from tilec_llvm.target import compiler, host
from tilec_llvm.writer import Abilities

pytestmark = pytest.mark.every_target

FLOATS = (F16, BF16, F32, F64)
INTEGERS = tuple(dtype for dtype in ALL if dtype.is_integer)


def cast_to(dtype: DType) -> Callable[[Expr], Expr]:
    def make(value: Expr) -> Expr:
        return Apply("cast", (value,), VType(dtype, value.type.lanes))

    return make


def integer_values(dtype: DType) -> Array:
    low, high = integer_range(dtype)
    powers = [1 << bit for bit in range(dtype.bits)]
    near = [sign * power + step for power in powers for sign in (1, -1) for step in (-1, 0, 1)]
    # Halfway between two floats of 8 or 11 bits, and a little beside it.
    ties = [
        (m << s) + step for m in (257, 259, 2049, 2051) for s in range(50) for step in (-1, 0, 1)
    ]
    kept = sorted({value for value in (0, *near, *ties, low, high) if low <= value <= high})
    return np.array(kept, numpy_dtype(dtype))


def float_values(dtype: DType) -> Array:
    whole = [0.0, 0.5, 0.99, 1.0, 1.5, 1.99, 2.5, 100.7, 127.9, 255.5, 256.0, 32768.5, 65504.0]
    whole += [2.0**p + d for p in (15, 16, 31, 32, 52, 53, 62, 63, 64, 70) for d in (-1, 0, 1)]
    whole += [1e-30, 1e10, 1e20, 1e38, np.inf, np.nan, 9.2e18, 1.8e19]
    both = np.array([*whole, *(-value for value in whole)], np.float64)
    with np.errstate(over="ignore"):
        return both.astype(numpy_dtype(dtype))


def to_integer(value: float, dtype: DType) -> int:
    """The rule of the operation table."""
    if value != value:
        return 0
    low, high = integer_range(I64)[0], integer_range(U64 if dtype == U64 else I64)[1]
    whole = high if value >= 2.0**64 else low if value < -(2.0**63) else int(value)
    first, last = integer_range(dtype)
    return (min(max(whole, low), high) - first) % (last - first + 1) + first


@pytest.mark.parametrize("lanes", [1, 4, 16])
@pytest.mark.parametrize("source", FLOATS, ids=str)
def test_floats_to_integers(source: DType, lanes: int) -> None:
    values = float_values(source)
    exprs = {dtype.name: cast_to(dtype) for dtype in INTEGERS}
    got = elementwise(exprs, [(source, values)], lanes)
    for dtype in INTEGERS:
        expected = [to_integer(float(value), dtype) for value in values]
        assert got[dtype.name].tolist() == expected, dtype


@pytest.mark.parametrize("lanes", [1, 8, 16])
@pytest.mark.parametrize("source", INTEGERS, ids=str)
def test_integers_to_integers_wrap(source: DType, lanes: int) -> None:
    values = integer_values(source)
    exprs = {dtype.name: cast_to(dtype) for dtype in INTEGERS}
    got = elementwise(exprs, [(source, values)], lanes)
    for dtype in INTEGERS:
        assert np.array_equal(got[dtype.name], values.astype(numpy_dtype(dtype))), dtype


def rounded(value: int, dtype: DType) -> float:
    """An integer rounded once to a narrow float, ties to even."""
    digits = {F16: 11, BF16: 8}[dtype]
    sign, magnitude = (-1, -value) if value < 0 else (1, value)
    drop = max(0, magnitude.bit_length() - digits)
    kept, rest = magnitude >> drop, magnitude & ((1 << drop) - 1)
    half = (1 << drop) >> 1
    if drop and (rest > half or (rest == half and kept & 1)):
        kept += 1
    total = kept << drop
    return sign * (float("inf") if dtype == F16 and total > 65504 else float(total))


@pytest.mark.parametrize("lanes", [1, 4, 16])
@pytest.mark.parametrize("source", INTEGERS, ids=str)
def test_integers_to_floats_round_once(source: DType, lanes: int) -> None:
    values = integer_values(source)
    exprs = {dtype.name: cast_to(dtype) for dtype in FLOATS}
    got = elementwise(exprs, [(source, values)], lanes)
    assert same(got["f32"], values.astype(np.float32))
    assert same(got["f64"], values.astype(np.float64))
    for dtype in (F16, BF16):
        with np.errstate(over="ignore"):
            expected = np.array([rounded(int(v), dtype) for v in values]).astype(numpy_dtype(dtype))
        assert same(got[dtype.name], expected), dtype


@pytest.mark.parametrize("lanes", [1, 16])
@pytest.mark.parametrize("source", ALL, ids=str)
def test_bool_is_not_zero_and_back(source: DType, lanes: int) -> None:
    values = float_values(source) if source.is_float else integer_values(source)
    if source == BOOL:
        values = np.array([0, 1, 3, 255], np.uint8).view(np.bool_)
    got = elementwise({"bool": cast_to(BOOL)}, [(source, values)], lanes)["bool"]
    expected = values.view(np.uint8) != 0 if source == BOOL else values != 0
    assert np.array_equal(got.view(np.uint8), expected.astype(np.uint8))
    back = elementwise({"x": cast_to(source)}, [(BOOL, got)], lanes)["x"]
    assert same(back, expected.astype(numpy_dtype(source)))


def every_pattern(dtype: DType) -> Array:
    return np.arange(1 << 16, dtype=np.uint16).view(numpy_dtype(dtype))


@pytest.mark.parametrize("lanes", [1, 16])
@pytest.mark.parametrize("dtype", [F16, BF16], ids=str)
def test_every_narrow_float_widens_exactly_and_comes_back(dtype: DType, lanes: int) -> None:
    values = every_pattern(dtype)
    got = elementwise({"f32": cast_to(F32), "f64": cast_to(F64)}, [(dtype, values)], lanes)
    assert same(got["f32"], values.astype(np.float32))
    with np.errstate(invalid="ignore"):
        assert same(got["f64"], values.astype(np.float64))
    for wide in (F32, F64):
        back = elementwise({"x": cast_to(dtype)}, [(wide, got[wide.name])], lanes)["x"]
        assert same(back, values), wide


def near_ties(dtype: DType, wide: DType) -> Array:
    """Every narrow value, the ties between neighbours, and the wide values next to the ties."""
    with np.errstate(invalid="ignore", over="ignore"):
        values = every_pattern(dtype).astype(np.float64)
        values = np.sort(values[np.isfinite(values)])
        ties = ((values[1:] + values[:-1]) / 2).astype(numpy_dtype(wide))
        up, down = np.nextafter(ties, np.inf), np.nextafter(ties, -np.inf)
        edge = float(values[-1])
        beyond = np.array([edge * (1 + s * 2.0**-e) for e in range(1, 50) for s in (1, -1)])
        more = [values, ties, up, down, beyond, -beyond, np.array([np.inf, -np.inf, np.nan])]
        return np.concatenate([item.astype(numpy_dtype(wide)) for item in more])


@pytest.fixture(params=["instructions", "integers"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """f16 by conversion instructions, and without them."""
    if request.param == "integers":
        monkeypatch.setattr(compiler(host()), "abilities", Abilities(half=False))


@pytest.mark.llvm_code
@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("lanes", [1, 16])
def test_every_f16_widens_exactly(lanes: int) -> None:
    values = every_pattern(F16)
    got = elementwise({"f32": cast_to(F32)}, [(F16, values)], lanes)["f32"]
    assert same(got, values.astype(np.float32))


@pytest.mark.llvm_code
@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("lanes", [1, 16])
@pytest.mark.parametrize("wide", [F32, F64], ids=str)
def test_f16_rounds_once(wide: DType, lanes: int) -> None:
    values = near_ties(F16, wide)
    got = elementwise({"x": cast_to(F16)}, [(wide, values)], lanes)["x"]
    with np.errstate(over="ignore"):
        assert same(got, values.astype(np.float16))


def to_bf16(values: Array) -> Array:
    """Nearest bf16 of f64 values, ties to even: by search among all bf16 values."""
    with np.errstate(invalid="ignore"):
        table = np.sort(every_pattern(BF16).astype(np.float64))
    table = np.unique(table[np.isfinite(table)])
    step = table[-1] - table[-2]
    table = np.concatenate([[table[0] - step], table, [table[-1] + step]])
    at = np.clip(np.searchsorted(table, values), 1, len(table) - 1)
    low, high = table[at - 1], table[at]
    with np.errstate(invalid="ignore", over="ignore"):
        near_high = (high - values < values - low) | (
            (high - values == values - low) & (np.abs(at - len(table) // 2) % 2 == 0)
        )
        chosen = np.where(near_high, high, low)
        chosen = np.where(np.isnan(values) | np.isinf(values), values, chosen)
        return chosen.astype(np.float32).astype(ml_dtypes.bfloat16)


@pytest.mark.parametrize("lanes", [1, 16])
@pytest.mark.parametrize("wide", [F32, F64], ids=str)
def test_bf16_rounds_once(wide: DType, lanes: int) -> None:
    values = near_ties(BF16, wide)
    got = elementwise({"x": cast_to(BF16)}, [(wide, values)], lanes)["x"]
    expected = to_bf16(values.astype(np.float64))
    equal = (got.view(np.uint16) == expected.view(np.uint16)) | (np.isnan(got) & np.isnan(expected))
    zero = (got == 0) & (expected == 0)  # the search above does not know the sign of a zero
    assert np.all(equal | zero)
    if wide == F32:
        assert same(got, values.astype(ml_dtypes.bfloat16))


@pytest.mark.parametrize("lanes", [1, 16])
def test_f64_to_f32(lanes: int) -> None:
    values = float_values(F64)
    got = elementwise({"x": cast_to(F32)}, [(F64, values)], lanes)["x"]
    with np.errstate(over="ignore"):
        assert same(got, values.astype(np.float32))


@pytest.mark.llvm_code
@pytest.mark.parametrize("cpu", ["x86-64", "haswell", "skylake-avx512", "armv8-a"])
def test_no_conversion_calls_a_library(cpu: str) -> None:
    # A kernel for each source: the time to compile one grows faster than its length.
    for source in ALL:
        assembly = backend.text(every_cast_of(source), "asm", Options(cpu=cpu))
        called = set(re.findall(r"^\s+(?:callq?|jmp|bl?)\s+([A-Za-z_]\w*)", assembly, re.M))
        assert called <= {"kernel"}, called


def every_cast_of(source: DType) -> Module:
    """Conversions to all other dtypes, of one value and of a vector."""
    body: list[Store] = []
    inputs: list[Buffer] = []
    outputs: list[Buffer] = []
    for result, lanes in product(ALL, (1, 16)):
        if source == result:
            continue
        name = f"{result}.{lanes}"
        inputs.append(Buffer(f"a.{name}", VType(source), lanes))
        outputs.append(Buffer(f"b.{name}", VType(result), lanes, writable=True))
        value = Load(f"a.{name}", build.const(0), VType(source, lanes))
        cast = Apply("cast", (value,), VType(result, lanes))
        body.append(Store(f"b.{name}", build.const(0), cast))
    return module_of(body, inputs, outputs)
