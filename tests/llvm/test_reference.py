"""Every operation on every dtype against the reference evaluator, bit by bit where it is exact."""

from __future__ import annotations

from itertools import product

import ml_dtypes
import numpy as np
import pytest

from tests.llvm.harness import Array, elementwise, numpy_dtype, on_first, same, typed
from tilec.dtypes import ALL, BF16, BOOL, DType, integer_range
from tilec.operations import OPERATIONS, Rule
from tilec.tensor import numpy_ops

pytestmark = pytest.mark.every_target

EXACT = [
    *(row for row in OPERATIONS.values() if row.rule not in (Rule.MATH, Rule.CAST, Rule.SELECT)),
    OPERATIONS["recip"],
    OPERATIONS["sqrt"],
]


def edges(dtype: DType) -> Array:
    if dtype == BOOL:
        return np.array([False, True])
    if dtype.is_float:
        whole = [0.0, 0.5, 1.0, 1.5, 2.5, 3.0, 7.25, 1e-3, 300.0, 6e4, np.inf, np.nan]
        return np.array([*whole, *(-x for x in whole)]).astype(numpy_dtype(dtype))
    low, high = integer_range(dtype)
    near = (low, low + 1, -7, -2, -1, 0, 1, 2, 3, 7, 8, 31, 32, 63, 64, 100, high - 1, high)
    return np.array([x for x in near if low <= x <= high], numpy_dtype(dtype))


def held(array: Array, dtype: DType) -> Array:
    return array.astype(np.float32) if dtype == BF16 else array


@pytest.mark.parametrize("lanes", [1, 16])
@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_operations_are_those_of_the_reference(dtype: DType, lanes: int) -> None:
    pairs = list(product(edges(dtype), repeat=2))
    left, right = (np.array([pair[side] for pair in pairs], edges(dtype).dtype) for side in (0, 1))
    rows = [row for row in EXACT if _applies(row.rule, dtype)]
    results = {
        row.name: BOOL if row.rule in (Rule.COMPARISON, Rule.LOGICAL) else dtype for row in rows
    }
    exprs = {
        row.name: (typed if row.arity == 2 else on_first)(row.name, results[row.name])
        for row in rows
    }
    got = elementwise(exprs, [(dtype, left), (dtype, right)], lanes)
    for row in rows:
        args = [held(left, dtype), held(right, dtype)][: row.arity]
        wanted = numpy_ops.apply(row.name, args, dtype, results[row.name])
        wanted = wanted.astype(numpy_dtype(results[row.name]))
        found = got[row.name]
        if row.name in ("max", "min"):  # the sign of a zero is open
            found, wanted = found + wanted.dtype.type(0), wanted + wanted.dtype.type(0)
        assert same(found, wanted), row.name


def _applies(rule: Rule, dtype: DType) -> bool:
    if rule is Rule.BITWISE:
        return not dtype.is_float
    return dtype.is_float if rule is Rule.MATH else True


@pytest.mark.parametrize("lanes", [1, 16])
@pytest.mark.parametrize("source", ALL, ids=str)
def test_casts_are_those_of_the_reference(source: DType, lanes: int) -> None:
    values = edges(source)
    exprs = {result.name: typed("cast", result) for result in ALL}
    got = elementwise(exprs, [(source, values)], lanes)
    for result in ALL:
        wanted = numpy_ops.convert(held(values, source), source, result)
        if result == BF16:
            wanted = wanted.astype(ml_dtypes.bfloat16)
        assert same(got[result.name], wanted), result
