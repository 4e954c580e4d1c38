"""Steps of training, evaluation and prediction as compiled programs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from keras_tilec.src.gradients import gradients
from keras_tilec.src.step import CompiledStep, EagerStep
from tests.keras.host import keras, layers, ops

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((40, 6)).astype(np.float32)
Y = (X @ RANDOM.standard_normal((6, 2))).astype(np.float32)
WEIGHTS = [
    RANDOM.standard_normal(shape).astype(np.float32) * 0.3 for shape in [(6, 8), (8,), (8, 2), (2,)]
]


def model(**options: Any) -> Any:
    made = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, activation="relu", kernel_initializer="zeros"),
            layers.Dense(2, kernel_initializer="zeros"),
        ]
    )
    made.set_weights(WEIGHTS)
    made.compile(loss="mse", metrics=["mae"], **{"optimizer": "sgd", **options})
    return made


def by_hand(steps: int, rate: float) -> list[np.ndarray[Any, np.dtype[Any]]]:
    """Gradient descent over the whole data, in NumPy."""
    w1, b1, w2, b2 = (each.astype(np.float64) for each in WEIGHTS)
    for _ in range(steps):
        hidden = np.maximum(X @ w1 + b1, 0)
        error = 2 * (hidden @ w2 + b2 - Y) / Y.size
        back = (error @ w2.T) * (hidden > 0)
        w1, b1 = w1 - rate * X.T @ back, b1 - rate * back.sum(axis=0)
        w2, b2 = w2 - rate * hidden.T @ error, b2 - rate * error.sum(axis=0)
    return [w1, b1, w2, b2]


@pytest.mark.parametrize("eager", [False, True])
def test_training_is_gradient_descent(eager: bool) -> None:
    made = model(optimizer=keras.optimizers.SGD(0.05), run_eagerly=eager)
    made.fit(X, Y, batch_size=40, epochs=3, shuffle=False, verbose=0)
    for found, wanted in zip(made.get_weights(), by_hand(3, 0.05), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert int(made.optimizer.iterations) == 3
    assert all(each.is_settled for each in made.variables)


def test_short_batches_validation_and_history() -> None:
    made = model(optimizer=keras.optimizers.SGD(0.05, momentum=0.9))
    history = made.fit(X, Y, batch_size=16, epochs=3, verbose=0, validation_split=0.25)
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert set(history.history) == {"loss", "mae", "val_loss", "val_mae"}
    loss, mae = made.evaluate(X, Y, batch_size=16, verbose=0)
    error: Any = made.predict(X, batch_size=16, verbose=0) - Y
    np.testing.assert_allclose(loss, (error**2).mean(), rtol=1e-5)
    np.testing.assert_allclose(mae, abs(error).mean(), rtol=1e-5)


def test_prediction_follows_the_weights() -> None:
    made = model()
    first = made.predict(X, verbose=0)
    np.testing.assert_allclose(first, np.asarray(made(X)), rtol=1e-5, atol=1e-6)
    made.set_weights([2 * each for each in WEIGHTS])
    second = made.predict(X, verbose=0)
    np.testing.assert_allclose(second, np.asarray(made(X)), rtol=1e-5, atol=1e-6)
    assert not np.allclose(first, second)


def test_frozen_layers_stay() -> None:
    made = model()
    made.layers[0].trainable = False
    made.compile("sgd", loss="mse")
    made.fit(X, Y, verbose=0)
    stays = [
        np.array_equal(found, before)
        for found, before in zip(made.get_weights(), WEIGHTS, strict=True)
    ]
    assert stays == [True, True, False, False]


def test_assignments_of_both_branches_meet() -> None:
    count = keras.Variable(np.zeros((), np.int32), trainable=False)
    best = keras.Variable(np.zeros(()), trainable=False)

    def step(x: Any) -> Any:
        def better() -> None:
            best.assign(x)
            count.assign_add(1)

        ops.cond(x > best, better, lambda: None)
        return x - best

    run = CompiledStep(step, lambda: [count, best])
    run.begin()
    assert [float(run(np.float32(each))) for each in (3, 2, 5)] == [0, -1, 0]
    assert int(count) == 2


def test_a_step_that_only_reads_holds_values_as_constants() -> None:
    scale = keras.Variable(np.float32(2))
    run = CompiledStep(lambda x: {"y": x * scale}, lambda: [scale], bind=True)
    run.begin()
    assert float(run(np.float32(3))["y"]) == 6
    scale.assign(5)
    assert float(run(np.float32(3))["y"]) == 15


def test_own_steps() -> None:
    made = model()
    plain = made.predict_step

    def doubled(data: Any) -> Any:
        return plain(data) * 2 + 1

    before = made.predict(X, verbose=0)
    made.predict_step = doubled
    made.make_predict_function(force=True)
    np.testing.assert_allclose(made.predict(X, verbose=0), before * 2 + 1, rtol=1e-5)


def test_stopped_gradients() -> None:
    def step(x: Any) -> Any:
        (slope,) = gradients(ops.sum(x * ops.stop_gradient(x * x)), [x])
        return slope

    run = CompiledStep(step, list)
    run.begin()
    np.testing.assert_allclose(np.asarray(run(X[0])), X[0] ** 2, rtol=1e-5)


def test_custom_gradients_are_those_that_are_given() -> None:
    @ops.custom_gradient
    def softplus(x: Any) -> Any:
        e = ops.exp(x)

        def grad(*args: Any, upstream: Any = None) -> Any:
            return ops.multiply(args[0] if upstream is None else upstream, 1 - 1 / (1 + e))

        return ops.log(1 + e), grad

    shift = keras.Variable(np.float32(5), trainable=False)

    def step(x: Any) -> Any:
        # The derivative of the code is inf / inf at 100.
        return gradients(ops.sum(softplus(x) * softplus(shift)), [x])[0]

    run = CompiledStep(step, lambda: [shift])
    run.begin()
    found = np.asarray(run(np.array([0, 100], np.float32)))
    np.testing.assert_allclose(found, np.array([0.5, 1]) * np.log1p(np.exp(5)), rtol=1e-5)
    assert float(softplus(np.float32(0))) == pytest.approx(np.log(2))


def test_custom_gradients_of_several_arguments() -> None:
    @ops.custom_gradient
    def scaled(x: Any, pair: Any, name: str) -> Any:
        def grad(up: Any, down: Any) -> Any:
            return up * 2, (None, ops.sum(down)), None

        assert name == "name"
        return (x * pair[0], {"minus": x - pair[1]}), grad

    def step(data: Any) -> Any:
        x, one, two = data
        up, down = scaled(x, (one, two), "name")
        slopes = gradients(ops.sum(up) + 3 * ops.sum(down["minus"]), [x, one, two])
        return {"none": slopes[1] is None, "x": slopes[0], "two": slopes[2]}

    run = CompiledStep(step, list)
    run.begin()
    found = run((X[0], np.float32(2), np.float32(3)))
    assert found["none"]
    np.testing.assert_allclose(np.asarray(found["x"]), 2)
    np.testing.assert_allclose(np.asarray(found["two"]), 3 * X[0].size)


def test_gradients_through_what_the_host_computes_are_refused() -> None:
    def step(x: Any) -> Any:
        values = ops.svd(x, compute_uv=False)
        left = gradients(ops.sum(x * x) + ops.stop_gradient(values)[0], [x])[0]
        return values, left if x.shape[0] == 3 else gradients(values[0], [x])[0]

    values, slope = EagerStep(step, list)(X[:3])
    np.testing.assert_allclose(values, np.linalg.svd(X[:3], compute_uv=False), rtol=1e-5)
    np.testing.assert_allclose(slope, 2 * X[:3], rtol=1e-5)
    with pytest.raises(NotImplementedError, match=r"keras\.ops\.svd runs on the host and has no"):
        EagerStep(step, list)(X[:4])


def test_prediction_follows_the_layers() -> None:
    made = model()
    both = [layers.Activation("relu"), layers.Activation("exponential")]
    inner = keras.Sequential([keras.Input((6,)), *both])
    outer = keras.Sequential([keras.Input((6,)), inner, made])
    wanted = made.predict(np.exp(np.maximum(X, 0)), verbose=0)
    np.testing.assert_allclose(outer.predict(X, verbose=0), wanted, rtol=1e-4)
    inner.pop()
    wanted = made.predict(np.maximum(X, 0), verbose=0)
    np.testing.assert_allclose(outer.predict(X, verbose=0), wanted, rtol=1e-4)
    made.pop()
    assert made.predict(X, verbose=0).shape == (40, 8)
