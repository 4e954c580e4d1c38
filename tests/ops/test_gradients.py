"""Gradients of operations against finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tilec
from tilec import ops

RNG = np.random.default_rng(19)
X: Any = RNG.standard_normal((3, 4))
ROWS: Any = np.array([[2, 0, 0], [1, -1, 2]])

CASES: dict[str, Callable[[tilec.Tensor], tilec.Tensor]] = {
    "var and logsumexp": lambda x: ops.var(x, 1) * ops.logsumexp(x, 1),
    "maximum and norm": lambda x: ops.max(x, 0, keepdims=True) * ops.norm_l2(x, 0),
    "elementary": lambda x: ops.log1p(ops.expm1(x) ** 2) + ops.arctan2(x, 2.0 + x * x),
    "running": lambda x: ops.cumsum(x, 1, exclusive=True) * ops.cumprod(x, 0),
    "margins": lambda x: ops.pad(x, ((1, 1), (2, 0)), "reflect") * 2,
    "joined and turned": lambda x: ops.roll(ops.concatenate([x, ops.flip(x)], 1), 1, 0) * 3,
    "gathered": lambda x: ops.take(x, ROWS, 0) * ops.take_along_axis(x, ROWS[:, :1].T[:, :1], 1),
    "inverse erf": lambda x: ops.erfinv(ops.tanh(x)) * x,
    "windows": lambda x: ops.unfold_windows(ops.reshape(x, (1, 1, 3, 4)), (2, 3)) ** 2,
    "aligned labels": lambda x: ops.ctc_loss(
        ops.reshape(x, (3, 2, 2)), [[1, 1], [1, 0]], label_lengths=[1, 2], logit_lengths=[2, 3]
    ),
    "resized": lambda x: ops.resize(x, (6, 3)) ** 2,
}


@pytest.mark.parametrize("name", CASES)
def test_gradient(name: str) -> None:
    linked = tilec.trace(CASES[name], tilec.Spec(X.shape, "f64"))
    tilec.check_grad(linked.bound(), X)
