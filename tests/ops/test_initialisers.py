"""First weights: their spread, and the states that they leave."""

from __future__ import annotations

import numpy as np
import pytest

from tilec import ops
from tilec.errors import ArgumentError


def test_spread() -> None:
    shape = (64, 16, 3, 3)  # 144 inputs, 576 outputs
    state = ops.random_state(3)
    for draw, variance, is_normal in (
        (ops.glorot_uniform, 2 / 720, False),
        (ops.glorot_normal, 2 / 720, True),
        (ops.he_uniform, 2 / 144, False),
        (ops.he_normal, 2 / 144, True),
        (ops.lecun_uniform, 1 / 144, False),
        (ops.lecun_normal, 1 / 144, True),
    ):
        weights, after = draw(state, shape)
        found = weights.numpy()
        np.testing.assert_allclose(found.var(), variance, rtol=0.06)
        assert (np.abs(found).max() > np.sqrt(3.01 * variance)) == is_normal
        assert not np.array_equal(after.numpy(), state.numpy())
    turned, _ = ops.he_uniform(state, (3, 3, 16, 64), filters="io")
    np.testing.assert_allclose(turned.numpy().var(), 2 / 144, rtol=0.06)


def test_faults() -> None:
    with pytest.raises(ArgumentError, match="weights without axes"):
        ops.he_normal(ops.random_state(0), ())
