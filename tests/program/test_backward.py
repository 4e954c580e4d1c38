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


def test_a_pullback_is_called_instead_of_what_it_stands_for() -> None:
    b = tilec.tensor(B)
    called: list[str] = []

    def ruled(x: tilec.Tensor, name: str, factor: float) -> tilec.Tensor:
        def pullback(slope: tilec.Tensor) -> list[tilec.Tensor]:
            called.append(name)
            return [slope * factor * x]

        (found,) = tilec.with_pullback([ops.exp(x)], [x], pullback)
        return found

    # 2 b goes into the first one, the square of its result and b itself into the second.
    h = ruled(2 * b, "first", 3)
    loss = ops.sum(ruled(h * h + b, "second", 5) * b) + ops.sum(h)
    (slope,) = tilec.gradients(loss, [b])
    assert called == ["second", "first"]
    first = np.exp(2 * B)
    inner = first**2 + B
    by_inner = 5 * inner * B
    by_first = by_inner * 2 * first + 1
    wanted = np.exp(inner) + by_inner + by_first * 3 * 2 * B * 2
    assert slope is not None
    np.testing.assert_allclose(slope.numpy(), wanted, rtol=1e-4)
    np.testing.assert_allclose(h.numpy(), first, rtol=1e-5)


def test_a_pullback_of_several_tensors() -> None:
    x, w = map(tilec.tensor, (X, W))
    count = tilec.tensor(np.arange(3, dtype=np.int32))

    def pullback(one: tilec.Tensor, two: tilec.Tensor) -> list[tilec.Tensor | None]:
        return [None, one + 2 * two]

    one, number, two = tilec.with_pullback([w * w, count, w * 3], [x, w], pullback)
    (dx, dw) = tilec.gradients(ops.sum(one), [x, w])
    assert dx is None
    assert dw is not None
    np.testing.assert_allclose(dw.numpy(), 1)
    assert number.dtype.name == "i32"
    both, straight = ops.sum(one) + ops.sum(two), ops.sum(x) * 4
    (dx, dw) = tilec.gradients(both + straight, [x, w])
    assert dx is not None
    assert dw is not None
    np.testing.assert_allclose(dx.numpy(), 4)
    np.testing.assert_allclose(dw.numpy(), 3)


def test_the_gradient_of_a_pullback() -> None:
    x = tilec.tensor(B)

    def squared(slope: tilec.Tensor) -> list[tilec.Tensor]:
        return [slope * x * x]

    (y,) = tilec.with_pullback([x * 1], [x], squared)
    (slope,) = tilec.gradients(ops.sum(y), [x])
    assert slope is not None
    (second,) = tilec.gradients(ops.sum(slope), [x])
    assert second is not None
    np.testing.assert_allclose(second.numpy(), 2 * B, rtol=1e-6)


def test_derivatives_of_texts_refuse_pullbacks() -> None:
    def ruled(x: tilec.Tensor) -> tilec.Tensor:
        def pullback(slope: tilec.Tensor) -> list[tilec.Tensor]:
            return [slope * 7]

        (y,) = tilec.with_pullback([ops.exp(x)], [x], pullback)
        return ops.sum(y)

    found = tilec.trace(ruled, tilec.Spec((3,))).function
    np.testing.assert_allclose(found(B), np.exp(B).sum(), rtol=1e-5)
    for derive in (tilec.grad, tilec.jvp, tilec.value_and_grad):
        with pytest.raises(GradientError, match="has a gradient in Python"):
            derive(found)
    b = tilec.tensor(B)
    with pytest.raises(GradientError, match="has a gradient in Python"):
        tilec.gradients(tilec.apply(found, b), [b])


def test_gradients_of_their_own_belong_to_calls() -> None:
    double = tilec.function("function double(X) -> (Y) { Y = 2 * X; }")
    nine = tilec.function("function (X, DY) -> (DX) { DX = 9 * DY; }")
    outer = tilec.function(
        "function double(X) -> (Y) { Y = 2 * X; } function outer(X) -> (Y) { Y = double(X) + X; }",
        name="outer",
    )
    b = tilec.tensor(B)
    plain, own = tilec.apply(double, b), tilec.apply(double.with_grad(nine), b)
    inner = tilec.apply(outer.with_grad(double=nine), b)
    for found, wanted in ((plain, 2), (own, 9), (inner, 10), (plain * 10 + own + inner, 39)):
        (slope,) = tilec.gradients(ops.sum(found), [b])
        assert slope is not None
        np.testing.assert_allclose(slope.numpy(), wanted)


def test_faults_of_pullbacks_are_told() -> None:
    x, w = map(tilec.tensor, (X, W))

    def twice(slope: tilec.Tensor) -> list[tilec.Tensor]:
        return [slope, slope]

    def other(_: tilec.Tensor) -> list[tilec.Tensor]:
        return [w]

    def raising(_: tilec.Tensor) -> list[tilec.Tensor]:
        raise KeyError("mine")

    (y,) = tilec.with_pullback([x + 1], [x], twice)
    with pytest.raises(GradientError, match="returned 2 gradients for 1 tensor"):
        tilec.gradients(ops.sum(y), [x])
    (y,) = tilec.with_pullback([x + 1], [x], other)
    with pytest.raises(GradientError, match=r"returned f32\[4, 3\] for a tensor f32\[5, 4\]"):
        tilec.gradients(ops.sum(y), [x])
    with pytest.raises(ArgumentError, match="was computed from"):
        tilec.gradients(ops.sum(y), [x, y])
    (y,) = tilec.with_pullback([x + 1], [x], raising)
    with pytest.raises(KeyError, match="mine"):  # an error of the function, none of tilec's
        tilec.gradients(ops.sum(y), [x])


def test_faults_are_told() -> None:
    x = tilec.tensor(X)
    y = x * 2
    with pytest.raises(GradientError, match="not one float"):
        tilec.gradients(y, [x])
    with pytest.raises(GradientError, match="not one float"):
        tilec.gradients(ops.argmax(ops.reshape(x, (-1,))), [x])
    with pytest.raises(ArgumentError, match="was computed from"):
        tilec.gradients(ops.sum(y * x), [x, y])
