"""Models as parts of graphs: weights that are arguments, and batch norms that train."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, helper

import tilec
import tilec.onnx
from tests.onnx.models import floats, model
from tilec import Spec, Stored, Tensor, ops
from tilec.errors import ArgumentError, ShapeError, TileTypeError

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((6, 3)).astype(np.float32)
KNOWN = {
    "w": RANDOM.standard_normal((3, 2)).astype(np.float32),
    "scale": floats(1, 2),
    "offset": floats(0, 1),
    "mean": floats(0, 0),
    "variance": floats(1, 1),
    "most": np.float32(3),
}


def made(opset: int = 20) -> ModelProto:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node(
            "BatchNormalization",
            ["h", "scale", "offset", "mean", "variance"],
            ["n"],
            epsilon=1e-5,
            momentum=0.75,
        ),
        helper.make_node("Clip", ["n", "", "most"], ["y"]),
    ]
    return model(nodes, {"x": [6, 3]}, ["y"], KNOWN, opset=opset)


def test_weights_are_floats_with_axes_that_are_no_statistics() -> None:
    weights = tilec.onnx.read(made()).weights
    assert [*weights] == ["w", "scale", "offset"]
    read = {
        name: each.read() if isinstance(each, Stored) else each for name, each in weights.items()
    }
    np.testing.assert_array_equal(read["w"], KNOWN["w"])


def test_a_model_is_a_part_of_a_graph() -> None:
    net = tilec.onnx.read(made())
    other = RANDOM.standard_normal((3, 2)).astype(np.float32)
    y = net.apply(X)["y"]
    z = net.apply(X, weights={"w": other})["y"]
    scale, offset = KNOWN["scale"], KNOWN["offset"]
    for found, w in ((y, KNOWN["w"]), (z, other)):
        right = np.minimum(X @ w / np.sqrt(1 + 1e-5) * scale + offset, 3)
        np.testing.assert_allclose(found.numpy(), right, rtol=1e-5, atol=1e-6)


def test_batch_norms_train() -> None:
    found = tilec.onnx.read(made()).apply(X, training=True)
    assert sorted(found) == ["mean", "variance", "y"]
    h = X @ KNOWN["w"]
    mean, variance = h.mean(axis=0), h.var(axis=0)
    right = (h - mean) / np.sqrt(variance + 1e-5) * KNOWN["scale"] + KNOWN["offset"]
    np.testing.assert_allclose(found["y"].numpy(), np.minimum(right, 3), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["mean"].numpy(), 0.25 * mean, rtol=1e-5)
    np.testing.assert_allclose(found["variance"].numpy(), 0.75 + 0.25 * variance, rtol=1e-5)


def test_a_loss_goes_down() -> None:
    net = tilec.onnx.read(made())
    wanted = RANDOM.standard_normal((6, 2)).astype(np.float32)
    names = [*net.weights]

    def step(x: Tensor, *weights: Tensor) -> dict[str, Tensor]:
        y = net.apply(x, weights=dict(zip(names, weights, strict=True)), training=True)["y"]
        loss = ops.mean_squared_error(y, wanted)
        slopes = tilec.gradients(loss, weights)
        new = {
            name: weight - 0.1 * slope
            for name, weight, slope in zip(names, weights, slopes, strict=True)
            if slope is not None
        }
        return {"loss": loss, **new}

    state: list[Any] = [KNOWN[name] for name in names]
    run = tilec.compile(step, Spec((6, 3)), *state)
    losses: list[float] = []
    for _ in range(20):
        loss, *state = run(X, *state)
        losses.append(float(loss))
    assert losses[-1] < 0.8 * losses[0]


def test_faults_are_told() -> None:
    net = tilec.onnx.read(made())
    with pytest.raises(ArgumentError, match="takes 1 inputs, but 2 were given"):
        net.apply(X, X)
    with pytest.raises(ShapeError, match="the input x"):
        net.apply(X[:5])
    with pytest.raises(TileTypeError, match="the input x"):
        net.apply(X.astype(np.float64))
    with pytest.raises(ArgumentError, match="no array 'v'"):
        net.apply(X, weights={"v": X})
    with pytest.raises(ShapeError, match="w: "):
        net.apply(X, weights={"w": X})
    with pytest.raises(ArgumentError, match="batch norms of opset 13 do not train"):
        tilec.onnx.read(made(13)).apply(X, training=True)
