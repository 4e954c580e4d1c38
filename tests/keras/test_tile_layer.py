"""Tile functions as operations and layers of Keras, on its backends tilec, torch and jax."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec
from keras_tilec.src.step import CompiledStep
from tests.keras.host import keras, layers
from tilec.keras import TileLayer, op

DISTANCES = """
function distances(X[N, K], W[M, K], B[M]) -> (Y) {
  D[n, m : N, M] = +(abs(X[n, k] - W[m, k]));
  Y = D * B;
}
"""
PAIR = "function pair(X[N], S) -> (Low, High) { Low = min(X, S); High = max(X, S); }"

TRAINED = f"""
import json
import numpy as np
import tilec.keras
import keras

x = np.arange(12, dtype=np.float32).reshape(4, 3) / 7 + 0.01
y = np.ones((4, 2), np.float32)
layer = tilec.keras.TileLayer({DISTANCES!r}, {{"W": "zeros", "B": "ones"}}, {{"M": 2}})
model = keras.Sequential([keras.Input((3,)), layer])
model.set_weights([np.array([[1, 0, 2], [0, 1, 1]]) / 3, np.array([0.5, 2])])
model.compile(keras.optimizers.SGD(0.1), "mse")
model.fit(x, y, batch_size=4, epochs=3, verbose=0)
double = tilec.keras.op("Y = X + X")
predicted = keras.Model(model.inputs, [double(model.outputs[0])]).predict(x, verbose=0)
assert np.allclose(predicted, 2 * model.predict(x, verbose=0), rtol=1e-6)
print(keras.backend.backend(), json.dumps([each.tolist() for each in model.get_weights()]))
"""


def by_hand() -> list[np.ndarray[Any, np.dtype[Any]]]:
    """What TRAINED prints, in NumPy."""
    x = np.arange(12).reshape(4, 3) / 7 + 0.01
    w, b = np.array([[1, 0, 2], [0, 1, 1]]) / 3, np.array([0.5, 2])
    for _ in range(3):
        apart = x[:, None, :] - w
        distance = abs(apart).sum(axis=2)
        back = 2 * (distance * b - 1) / 8
        slope = (-np.sign(apart) * (back * b)[:, :, None]).sum(axis=0)
        w, b = w - 0.1 * slope, b - 0.1 * (back * distance).sum(axis=0)
    return [w, b]


@pytest.mark.parametrize("backend", ["tilec", "torch", "jax"])
def test_a_layer_learns_on_every_backend(backend: str, tmp_path: Path) -> None:
    if backend != "tilec" and find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    variables = {"KERAS_BACKEND": backend, "KERAS_HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    root = Path(__file__).parents[2]
    found = [str(root / part) for part in ("", "grammar", "backends", "frontends")]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {found!r}\n{TRAINED}"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    name, _, weights = done.stdout.partition(" ")
    assert name == backend
    for one, other in zip(json.loads(weights), by_hand(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_an_operation_takes_tensors_symbols_and_numbers() -> None:
    f = op(PAIR)
    low, high = f(np.array([1, 2, 3], np.float32), 2.0)
    assert (np.asarray(low).tolist(), np.asarray(high).tolist()) == ([1, 2, 2], [2, 2, 3])
    low, _ = f(keras.KerasTensor((None,), "float64"), 2.0)
    assert (low.shape, low.dtype) == ((None,), "float64")


def test_it_is_a_part_of_the_program_of_a_step() -> None:
    f = op("function halves(X[N]) -> (Y) { Y = X / 2; }")
    step = CompiledStep(lambda x: f(x) + 1, list)
    step.begin()
    assert np.asarray(step(np.array([2, 4], np.float32))).tolist() == [2, 3]


def test_a_gradient_of_its_own() -> None:
    rounded = tilec.function("function (X[N, K]) -> (Y) { Y = round(X); }").with_grad(
        tilec.function("function (X[N, K], DY[N, K]) -> (DX) { DX = DY; }")
    )
    made = keras.Sequential([keras.Input((1,)), layers.Dense(1, use_bias=False)])
    model = keras.Model(made.inputs, op(rounded)(made.outputs[0]))
    model.set_weights([np.array([[0.75]])])
    model.compile(keras.optimizers.SGD(0.5), "mse")
    model.fit(np.ones((1, 1)), np.zeros((1, 1)), verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], [[-0.25]])


def test_a_layer_is_saved_and_takes_several_inputs(tmp_path: Path) -> None:
    text = "function (X[N, K], Z[N, 2], W[K, 2]) -> (Y) { P[n, m : N, 2] = +(X[n, k] * W[k, m]); "
    layer = TileLayer(text + "Y = P * Z; }", {"W": keras.initializers.Constant(3)}, name="product")
    x, z = keras.Input((4,)), keras.Input((2,))
    model = keras.Model([x, z], layer([x, z]))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    given = [np.ones((3, 4), np.float32), np.full((3, 2), 2, np.float32)]
    np.testing.assert_allclose(again.predict(given, verbose=0), np.full((3, 2), 24))
    assert again.get_layer("product").get_config() == layer.get_config()


def test_half_precision() -> None:
    layer = TileLayer(DISTANCES, {"W": "zeros", "B": "ones"}, {"M": 2}, dtype="mixed_float16")
    found = layer(np.ones((1, 3), np.float32))
    assert (str(found.dtype), np.asarray(found).tolist()) == ("float16", [[3, 3]])
    assert [each.dtype for each in layer.weights] == ["float32", "float32"]


@pytest.mark.parametrize(
    ("function", "weights", "message"),
    [
        ("Y = X + W", {"W": "ones"}, "the shape of the weight 'W' is not known"),
        (DISTANCES, {"V": "ones"}, "the weight 'V' is no input of the function of layer"),
        (DISTANCES, {"W": "ones", "B": "ones"}, r"the size M of the weight W\[M, K\] of layer"),
        (DISTANCES, {"W": "ones"}, "layer takes 2 inputs and was given 1"),
    ],
)
def test_what_is_missing_is_said(function: str, weights: dict[str, str], message: str) -> None:
    with pytest.raises(tilec.ArgumentError, match=message):
        TileLayer(function, weights, name="layer")(np.ones((2, 3), np.float32))


def test_wrong_operands_are_told() -> None:
    with pytest.raises(tilec.ArgumentError, match="pair takes 2 operands and was given 1"):
        op(PAIR)(np.ones(3, np.float32))
    layer = TileLayer(DISTANCES, {"W": "ones", "B": "ones"}, {"M": 2}, name="layer")
    with pytest.raises(tilec.ArgumentError, match=r"layer takes X\[N, K\] and was given the shape"):
        layer(np.ones(3, np.float32))


def test_other_backends_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.config, "backend", lambda: "numpy")
    with pytest.raises(tilec.ArgumentError, match="no operations of Keras on numpy"):
        op(PAIR)
