"""Float operations against NumPy in the precision they are computed in, edge cases included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest

from tests.llvm.harness import (
    Array,
    elementwise,
    input_buffer,
    module_of,
    numpy_dtype,
    on_first,
    output_buffer,
    run,
    same,
    typed,
    with_constant,
)
from tilec.dtypes import BF16, BOOL, F16, F32, F64, I32, DType
from tilec.kernel import build
from tilec.kernel.ir import Apply, Const, Expr, Fold, Load, Store, VType

pytestmark = pytest.mark.every_target

FLOATS = (F16, BF16, F32, F64)
VALUES = [0.0, 0.25, 0.5, 1.0, 1.5, 2.5, 3.5, 7.3, 100.6, 1e-5, 1e-40, 3e4, 1e30, np.inf, np.nan]


def reciprocal(x: Array) -> Array:
    return np.ones_like(x) / x


def without_negatives(x: Array) -> Array:
    return np.where(x < 0, np.zeros_like(x), x)


BINARY: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "max": np.maximum,
    "min": np.minimum,
}
UNARY: dict[str, Callable[..., Any]] = {
    "neg": np.negative,
    "abs": np.abs,
    "sign": np.sign,
    "ceil": np.ceil,
    "floor": np.floor,
    "round": np.rint,
    "sqrt": np.sqrt,
    "recip": reciprocal,
    "relu": without_negatives,
}
COMPARE: dict[str, Callable[..., Any]] = {
    "cmp_eq": np.equal,
    "cmp_ne": np.not_equal,
    "cmp_lt": np.less,
    "cmp_gt": np.greater,
    "cmp_le": np.less_equal,
    "cmp_ge": np.greater_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
}


def same_up_to_zeros(got: Array, wanted: Array) -> bool:
    """Equal, where -0 and 0 count as equal."""
    zero = (got == 0) & (wanted == 0)
    nothing = np.zeros_like(got)
    return same(np.where(zero, nothing, got), np.where(zero, nothing, wanted))


@pytest.mark.parametrize("lanes", [1, 4, 8, 16, 64])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_float_operations(dtype: DType, lanes: int) -> None:
    pairs = list(product([*VALUES, *(-value for value in VALUES)], repeat=2))
    kind = numpy_dtype(dtype)
    wide = np.dtype("float32") if dtype in (F16, BF16) else kind
    with np.errstate(all="ignore"):
        left, right = (np.array([pair[side] for pair in pairs]).astype(kind) for side in (0, 1))
        exprs = {op: typed(op, dtype) for op in BINARY}
        exprs |= {op: typed(op, BOOL) for op in COMPARE}
        exprs |= {op: on_first(op, dtype) for op in UNARY}
        got = elementwise(exprs, [(dtype, left), (dtype, right)], lanes)
        a, b = left.astype(wide), right.astype(wide)
        for op, ufunc in BINARY.items():
            wanted = ufunc(a, b).astype(kind)
            compare = same_up_to_zeros if op in ("max", "min") else same
            assert compare(got[op], wanted), op
        for op, ufunc in UNARY.items():
            assert same(got[op], ufunc(a).astype(kind)), op
        for op, ufunc in COMPARE.items():
            assert np.array_equal(got[op], ufunc(a, b)), op


def constant_first(x: Expr) -> Expr:
    return Apply("max", (Const(0.5, x.type), x), x.type)


@pytest.mark.parametrize("lanes", [1, 16])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_extremes_with_a_constant_keep_nan(dtype: DType, lanes: int) -> None:
    values = np.array([np.nan, -1.0, 0.0, 0.5, 2.0, np.inf, -np.inf]).astype(numpy_dtype(dtype))
    exprs: dict[str, Callable[..., Expr]] = {
        "right": with_constant("max", 0.5),
        "left": constant_first,
        "nan": with_constant("min", float("nan")),
    }
    got = elementwise(exprs, [(dtype, values)], lanes)
    wanted = np.maximum(values, np.array(0.5, values.dtype))
    assert same(got["right"], wanted)
    assert same(got["left"], wanted)
    assert np.all(np.isnan(got["nan"]))


@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
def test_fma_rounds_once_where_the_hardware_can(dtype: DType) -> None:
    rng = np.random.default_rng(0)
    kind = numpy_dtype(dtype)
    a, b, c = (rng.standard_normal(100).astype(kind) for _ in range(3))
    got = elementwise({"x": typed("fma", dtype)}, [(dtype, x) for x in (a, b, c)], 4)["x"]
    tolerance = 2 * np.finfo(kind).eps * (np.abs(a * b) + np.abs(c))
    assert np.all(np.abs(got - (a * b + c)) <= tolerance)


@pytest.mark.parametrize("lanes", [1, 4, 16])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_selection(dtype: DType, lanes: int) -> None:
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(40).astype(numpy_dtype(dtype)) for _ in range(3)]

    def chosen(x: Expr, y: Expr, z: Expr) -> Expr:
        test = Apply("cmp_lt", (x, y), VType(BOOL, lanes))
        return Apply("cond", (test, y, z), z.type)

    got = elementwise({"x": chosen}, [(dtype, value) for value in values], lanes)["x"]
    assert same(got, np.where(values[0] < values[1], values[1], values[2]))


def tree(op: Callable[[Any, Any], Any], values: list[Any]) -> Any:
    """The order in which lanes are folded."""
    while len(values) > 1:
        half = len(values) // 2
        left, right = values[:half], values[len(values) - half :]
        joined = [op(a, b) for a, b in zip(left, right, strict=True)]
        if len(values) % 2:
            joined[0] = op(joined[0], values[half])
        values = joined
    return values[0]


@pytest.mark.parametrize("lanes", [1, 2, 3, 4, 5, 7, 8, 16, 17, 64])
@pytest.mark.parametrize("dtype", [F32, F64, F16, BF16, I32], ids=str)
def test_folds_are_pairwise_in_a_fixed_order(dtype: DType, lanes: int, target: str) -> None:
    if target != "llvm" and lanes & (lanes - 1):
        pytest.skip(f"OpenCL has no vectors of {lanes} lanes")
    rng = np.random.default_rng(lanes)
    kind = numpy_dtype(dtype)
    values = rng.standard_normal(lanes) + 1.1 if dtype.is_float else rng.integers(-9, 9, lanes)
    values = np.asarray(values).astype(kind)
    wide = np.dtype("float32") if dtype in (F16, BF16) else kind
    ufuncs = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}

    def rounded(ufunc: Callable[..., Any]) -> Callable[[Any, Any], Any]:
        return lambda a, b: ufunc(a.astype(wide), b.astype(wide), dtype=wide).astype(kind)

    found = folded(tuple(ufuncs), dtype, values)
    for op, ufunc in ufuncs.items():
        got = found[op]
        with np.errstate(over="ignore"):
            wanted = tree(rounded(ufunc), list(values))
        assert same(got, np.array([wanted], kind)), op


def folded(ops: Sequence[str], dtype: DType, values: Array) -> dict[str, Array]:
    """The lanes of one vector folded by each operation, in one kernel."""
    source = input_buffer("a", dtype, values.size)
    load = Load("a", build.const(0), VType(dtype, values.size))
    outputs = [output_buffer(op, dtype, 1) for op in ops]
    stores = [Store(op, build.const(0), Fold(op, load, VType(dtype))) for op in ops]
    results = {op: np.zeros(1, values.dtype) for op in ops}
    run(module_of(stores, [source], outputs), [values], list(results.values()))
    return results
