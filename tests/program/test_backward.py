"""Gradients by tensors of the same graph."""

from __future__ import annotations

import numpy as np
import pytest

import tilec
from tilec import ops
from tilec.errors import ArgumentError, GradientError

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((5, 4)).astype(np.float32)
W = RANDOM.standard_normal((4, 3)).astype(np.float32)
B = RANDOM.standard_normal(3).astype(np.float32)


def test_gradients_by_arrays() -> None:
    x, w, b = map(tilec.tensor, (X, W, B))
    unused = tilec.tensor(np.ones(2, np.float32))
    loss = ops.sum(ops.square(x @ w + b))
    dw, none, db = tilec.gradients(loss, [w, unused, b])
    assert none is None
    assert dw is not None
    assert db is not None
    error = 2 * (X @ W + B)
    tilec.evaluate(loss, dw, db)
    np.testing.assert_allclose(dw.numpy(), X.T @ error, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(db.numpy(), error.sum(axis=0), rtol=1e-5, atol=1e-5)


def test_a_step_shares_the_way_forward() -> None:
    def step(x: tilec.Tensor, w: tilec.Tensor) -> dict[str, tilec.Tensor]:
        y = ops.tanh(x @ w)
        loss = ops.mean(y * y)
        (slope,) = tilec.gradients(loss, [w])
        assert slope is not None
        return {"y": y, "loss": loss, "w": w - 0.1 * slope}

    run = tilec.compile(step, X, W)
    products = [each for each in run.kernels if "X[m, k] * W[k, n]" in "".join(each.header)]
    assert len(products) == 1
    y, loss, w = run(X, W)
    wanted = np.tanh(X @ W)
    np.testing.assert_allclose(y, wanted, rtol=1e-5)
    np.testing.assert_allclose(loss, np.mean(wanted**2), rtol=1e-5)
    slope = X.T @ (2 * wanted * (1 - wanted**2) / wanted.size)
    np.testing.assert_allclose(w, W - 0.1 * slope, rtol=1e-4, atol=1e-6)


def test_gradients_by_what_was_computed() -> None:
    h = tilec.tensor(X) * 2
    (dh,) = tilec.gradients(ops.sum(h * h), [h])
    assert dh is not None
    np.testing.assert_allclose(dh.numpy(), 4 * X, rtol=1e-6)
    total = ops.sum(h)
    (one,) = tilec.gradients(total, [total])
    assert one is not None
    assert one.item() == 1


def test_what_a_gradient_of_its_own_says_is_used() -> None:
    step = tilec.function("function (X[N]) -> (Y) { Y = round(X); }")
    straight = tilec.function("function (X[N], DY[N]) -> (DX) { DX = 3 * DY; }")
    b = tilec.tensor(B)
    (slope,) = tilec.gradients(ops.sum(tilec.apply(step.with_grad(straight), b)), [b])
    assert slope is not None
    np.testing.assert_allclose(slope.numpy(), 3)


def test_faults_are_told() -> None:
    x = tilec.tensor(X)
    y = x * 2
    with pytest.raises(GradientError, match="not one float"):
        tilec.gradients(y, [x])
    with pytest.raises(GradientError, match="not one float"):
        tilec.gradients(ops.argmax(ops.reshape(x, (-1,))), [x])
    with pytest.raises(ArgumentError, match="was computed from"):
        tilec.gradients(ops.sum(y * x), [x, y])
