"""Running sums, orders and counts against NumPy."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ops.agreement import Case, agree, np
from tilec import ops
from tilec.errors import ArgumentError

RNG = np.random.default_rng(11)
A: Any = RNG.standard_normal((3, 70, 2)).astype(np.float32)
WHOLE: Any = RNG.integers(-4, 5, (3, 9)).astype(np.int32)


def test_running() -> None:
    back = np.cumsum(A[:, ::-1], 1)[:, ::-1]
    shifted = np.concatenate([np.zeros_like(A[:, :1]), np.cumsum(A, 1)[:, :-1]], 1)
    factors = 1 + A[:, :9] / 8
    agree(
        {
            "sum": (ops.cumsum(A, 1), np.cumsum(A, 1)),
            "short": (ops.cumsum(A, -1), np.cumsum(A, -1)),
            "reverse": (ops.cumsum(A, 1, reverse=True), back),
            "exclusive": (ops.cumsum(A, 1, exclusive=True), shifted),
            "both": (
                ops.cumsum(A, 1, reverse=True, exclusive=True),
                np.concatenate([back[:, 1:], np.zeros_like(A[:, :1])], 1),
            ),
            "prod": (ops.cumprod(factors, 1), np.cumprod(factors, 1)),
            "prod of others": (ops.cumprod(A[:1], 0, exclusive=True), np.ones_like(A[:1])),
            "max": (ops.cummax(A, 1), np.maximum.accumulate(A, 1)),
            "min": (ops.cummin(WHOLE, 1), np.minimum.accumulate(WHOLE, 1)),
            "integers": (ops.cumsum(WHOLE, 0), np.cumsum(WHOLE, 0)),
            "counts": (ops.cumsum(WHOLE > 0, 1), np.cumsum(WHOLE > 0, 1)),
        },
        1e-4,
        1e-5,
    )


def test_sorting() -> None:
    holes = WHOLE.astype(np.float32)
    holes[0, 3] = np.nan
    values, places = ops.top_k(WHOLE, 4, largest=False)
    largest = np.argsort(-WHOLE, 0, stable=True)[:2]
    agree(
        {
            "argsort": (ops.argsort(WHOLE), np.argsort(WHOLE, stable=True)),
            "sort": (ops.sort(holes, 1), np.sort(holes, 1)),
            "first axis": (ops.sort(WHOLE, 0, descending=True), -np.sort(-WHOLE, 0)),
            "smallest": (values, np.sort(WHOLE)[:, :4]),
            "places": (places, np.argsort(WHOLE, stable=True)[:, :4]),
            "largest": (ops.top_k(WHOLE, 2, 0)[1], largest),
        }
    )


def test_counts() -> None:
    ordered = np.array([-1.0, 0.0, 0.0, 2.0], np.float32)
    cases: dict[str, Case] = {
        "histogram": (ops.histogram(A, 7, -2, 2), np.histogram(A, 7, (-2, 2))[0]),
        "bincount": (ops.bincount(WHOLE, 3), np.bincount(WHOLE[WHOLE >= 0], minlength=5)[:3]),
        "weights": (ops.bincount(np.arange(3), 2, np.ones(3, np.float32)), np.ones(2)),
        "nowhere": (ops.searchsorted(ordered[:0], ordered), np.zeros(4, np.int32)),
    }
    for right in (False, True):
        wanted = np.searchsorted(ordered, A[0], "right" if right else "left")
        cases[f"searchsorted {right}"] = ops.searchsorted(ordered, A[0], right=right), wanted
    agree(cases)


def test_faults_are_told() -> None:
    with pytest.raises(ArgumentError, match="top_k: axis 1 has 9 elements, not 10"):
        ops.top_k(WHOLE, 10, 1)
    with pytest.raises(ArgumentError, match="cumsum: axis 2 does not exist"):
        ops.cumsum(WHOLE, 2)
    with pytest.raises(ArgumentError, match="f32 cannot be counted"):
        ops.bincount(A, 3)
    with pytest.raises(ArgumentError, match="hold nothing"):
        ops.histogram(A, 3, 1, 1)
