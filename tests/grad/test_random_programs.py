"""Derivatives of random programs: against finite differences, and of each mode by the other."""

from __future__ import annotations

import re
from typing import cast

import numpy as np
from hypothesis import assume, given, settings

import tilec
from tests.property.programs import RANDOM, Array, Case, cases
from tilec.dtypes import F64

LARGEST = 1e6
"""Values beyond which differences lose too many digits."""


def spread(case: Case) -> list[Array]:
    """The arrays of a case; floats between the same bounds, so that few of them are equal."""
    random = np.random.default_rng(len(case.text))
    found: list[Array] = []
    for array in case.arrays.values():
        if array.dtype == np.float64 and array.size:
            array = random.uniform(array.min(), array.max(), array.shape)
        found.append(array)
    return found


def several(found: object) -> list[Array]:
    arrays = cast("tuple[object, ...]", found) if isinstance(found, tuple) else (found,)
    return [np.asarray(array) for array in arrays]


def is_tame(arrays: list[Array]) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        wide = [array.astype(np.float64) for array in arrays]
    return all(np.all(np.isfinite(v)) and np.all(np.abs(v) < LARGEST) for v in wide)


def is_float(array: Array) -> bool:
    return array.dtype.kind == "f"


@settings(RANDOM, max_examples=50)
@given(cases(dtypes=(F64,)))
def test_gradients_and_tangents(case: Case) -> None:
    # A remainder jumps as often as its divisor is small, which differences cannot see.
    assume("%" not in case.text)
    f, arrays = tilec.function(case.text), spread(case)
    # Nothing is compiled for programs that are not tested.
    results = several(f(*arrays, target="reference"))
    assume(is_tame(results))
    try:
        backward, forward = tilec.grad(f), tilec.jvp(f)
    except tilec.GradientError:
        assume(False)
        raise
    ones = [np.ones(array.shape, array.dtype) for array in results if is_float(array)]
    gradients = several(backward(*arrays, *ones))
    assume(is_tame(gradients))
    # A cast to f16 or f32 within the program rounds the gradient as it rounds the value.
    narrows = re.search(r"as_float\(.*, (16|32)\)", case.text) is not None
    tilec.check_grad(f, *arrays, samples=8, tolerance=None if narrows else 1e-4)

    random = np.random.default_rng(0)
    changes = [random.normal(size=a.shape).astype(a.dtype) for a in arrays if is_float(a)]
    tangents = several(forward(*arrays, *changes))
    products = [g.astype(np.float64) * c for g, c in zip(gradients, changes, strict=True)]
    total = sum(float(np.sum(product)) for product in products)
    scale = max(1.0, sum(float(np.sum(np.abs(product))) for product in products))
    allowed = (3e-2 if narrows else 1e-3) * scale
    assert abs(sum(float(np.sum(t, dtype=np.float64)) for t in tangents) - total) < allowed
