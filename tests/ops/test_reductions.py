"""Reductions and positions of extremes against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.ops.agreement import Case, agree
from tilec import ops
from tilec.errors import ArgumentError

RNG = np.random.default_rng(3)
A: Any = RNG.standard_normal((3, 4, 5)).astype(np.float32)
WHOLE: Any = RNG.integers(-3, 4, (3, 4, 5)).astype(np.int32)
NAMES = ["sum", "prod", "max", "min", "mean", "var", "std", "any", "all"]


@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions(keepdims: bool) -> None:
    cases: dict[str, Case] = {}
    for axes in (None, -1, (0, 2), ()):
        for name in NAMES:
            found = getattr(ops, name)(A, axes, keepdims=keepdims)
            cases[f"{name} {axes}"] = found, getattr(np, name)(A, axes, keepdims=keepdims)
        kept: Any = {"axis": axes, "keepdims": keepdims}
        own: Any = {"axes": axes, "keepdims": keepdims}
        cases[f"logsumexp {axes}"] = ops.logsumexp(A, **own), np.log(np.sum(np.exp(A), **kept))
        cases[f"l1 {axes}"] = ops.norm_l1(A, **own), np.sum(abs(A), **kept)
        cases[f"l2 {axes}"] = ops.norm_l2(A, **own), np.sqrt(np.sum(A * A, **kept))
        cases[f"squares {axes}"] = ops.sum_of_squares(A, **own), np.sum(A * A, **kept)
    agree(cases, 1e-4, 1e-5)


def test_reductions_of_integers_and_of_nothing() -> None:
    empty = np.zeros((2, 0, 3), np.float32)
    agree(
        {
            "sum": (ops.sum(WHOLE, 1), WHOLE.sum(1)),
            "max": (ops.max(WHOLE, (0, 1)), WHOLE.max((0, 1))),
            "prod": (ops.prod(WHOLE.astype(np.int8), 2), WHOLE.prod(2).astype(np.int8)),
            "mean": (ops.mean(WHOLE, 2), WHOLE.mean(2)),
            "count": (ops.sum(WHOLE > 0, 0), (WHOLE > 0).sum(0)),
            "sum of nothing": (ops.sum(empty, 1), empty.sum(1)),
            "prod of nothing": (ops.prod(empty, 1, keepdims=True), empty.prod(1, keepdims=True)),
            "max of nothing": (ops.max(empty, 1), np.full((2, 3), -np.inf)),
            "all of nothing": (ops.all(empty, 1), empty.all(1)),
            "nothing at all": (ops.sum(empty, 0), empty.sum(0)),
        }
    )
    assert ops.sum(WHOLE.astype(np.int8)).dtype.name == "i8"


def test_wide_sums_of_narrow_floats() -> None:
    x = np.full(4096, 100.0, np.float16)
    assert ops.mean(x).item() == 100
    assert ops.mean(x).dtype.name == "f16"
    infinite = np.array([-np.inf, -np.inf], np.float32)
    assert ops.logsumexp(infinite).item() == -np.inf


def test_positions_of_extremes() -> None:
    ties = WHOLE.astype(np.float32)
    holes = A.copy()
    holes[1, 2, 3] = holes[2, 2, 3] = np.nan
    cases: dict[str, Case] = {}
    for name in ("argmax", "argmin"):
        for axis in (None, 1):
            for label, x in (("ties", ties), ("holes", holes), ("integers", WHOLE)):
                found = getattr(ops, name)(x, axis)
                cases[f"{name} {axis} {label}"] = found, getattr(np, name)(x, axis)
    last = 4 - np.argmax(ties[:, :, ::-1], 2)
    cases["last"] = ops.argmax(ties, 2, select_last=True), last
    cases["last lowest"] = (
        ops.argmin(ties, 2, select_last=True),
        4 - np.argmin(ties[:, :, ::-1], 2),
    )
    cases["kept"] = ops.argmax(A, 1, keepdims=True), np.argmax(A, 1, keepdims=True)
    agree(cases)


def test_faults_are_told() -> None:
    with pytest.raises(ArgumentError, match="sum: axis 3 does not exist"):
        ops.sum(A, 3)
    with pytest.raises(ArgumentError, match=r"max: an axis is named twice in \[0, -3\]"):
        ops.max(A, (0, -3))
    with pytest.raises(ArgumentError, match="argmax: axis 0 has size 0"):
        ops.argmax(A[:0], 0)
