"""Special functions against the standard library and NumPy."""

from __future__ import annotations

import math

import pytest

import tilec
from tests.ops.agreement import agree, np
from tilec import ops

X = np.array([-30.0, -5.5, -1.0, -0.2, 0.0, 1e-5, 0.3, 0.49, 0.51, 2.0, 4.5, 7.9, 8.1, 30.0])


@pytest.mark.parametrize(("dtype", "rtol"), [("f4", 5e-6), ("f8", 2e-8)])
def test_values(dtype: str, rtol: float) -> None:
    x = X.astype(dtype)
    rest = np.array([math.erfc(each) for each in x]).astype(dtype)
    agree(
        {
            "erfc": (ops.erfc(x), rest),
            "i0": (ops.i0(x), np.i0(x.astype("f8")).astype(dtype)),
        },
        rtol,
        1e-37,
    )


def test_narrow_and_whole_numbers() -> None:
    agree(
        {
            "halves": (ops.erfc(np.array([3.0], "f2")), np.array([math.erfc(3)], "f2")),
            "integers": (ops.i0(np.array([2])), np.i0(2.0)[None]),
        },
        1e-3,
    )


def test_gradients() -> None:
    for f in (ops.erfc, ops.i0):
        linked = tilec.trace(f, tilec.Spec((6,), "f64"))
        tilec.check_grad(linked.bound(), np.array([-5.5, -1.0, 0.1, 0.3, 4.5, 7.5]))
