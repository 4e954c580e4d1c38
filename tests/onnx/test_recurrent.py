"""Recurrent layers in both directions, and gradients through their steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, helper

import tilec
import tilec.onnx
from tests.onnx.models import model
from tilec import ops

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STEPS, BATCH, WIDTH, UNITS = 3, 2, 4, 5

Array = np.ndarray[Any, np.dtype[np.float32]]


def drawn(*sizes: int) -> Array:
    return np.random.default_rng(len(sizes)).standard_normal(sizes).astype(np.float32)


X = drawn(STEPS, BATCH, WIDTH)


def layer(kind: str, directions: int, known: dict[str, Array]) -> ModelProto:
    direction = "bidirectional" if directions == 2 else "forward"
    node = helper.make_node(
        kind, ["x", "w", "r", "b"], ["y", "last"], hidden_size=UNITS, direction=direction
    )
    return model([node], {"x": [STEPS, BATCH, WIDTH]}, ["y", "last"], known)


def weights(kind: str) -> dict[str, Array]:
    rows = GATES[kind] * UNITS
    return {"w": drawn(2, rows, WIDTH), "r": drawn(2, rows, UNITS), "b": drawn(2, 2 * rows)}


@pytest.fixture(autouse=True)
def by_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested is the translation: the reference computes without compiling."""
    monkeypatch.setenv("TILEC_TARGET", "reference")


@pytest.mark.parametrize("kind", GATES)
def test_both_directions_are_one_forward_and_one_backward(kind: str) -> None:
    known = weights(kind)
    y, last = tilec.onnx.load(layer(kind, 2, known))(X)
    assert y.shape == (STEPS, 2, BATCH, UNITS)
    for at, x in enumerate((X, X[::-1].copy())):
        one = {name: each[at : at + 1] for name, each in known.items()}
        alone, end = tilec.onnx.load(layer(kind, 1, one))(x)
        found = alone[:, 0] if at == 0 else alone[::-1, 0]
        np.testing.assert_allclose(y[:, at], found, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(last[at], end[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", GATES)
def test_gradients_go_through_all_steps(kind: str) -> None:
    known = {name: each.astype(np.float64) for name, each in weights(kind).items()}
    given = model(
        layer(kind, 2, {}).graph.node,
        {"x": [STEPS, BATCH, WIDTH]},
        ["y", "last"],
        known,
        dtypes={"x": np.float64},
    )
    net = tilec.onnx.read(given)
    x = X.astype(np.float64)

    def value(changed: dict[str, Any]) -> tilec.Tensor:
        y = net.apply(x, weights=changed)["y"]
        return ops.sum(y * y)

    tensors = {name: tilec.tensor(each) for name, each in known.items()}
    slopes = tilec.gradients(value(tensors), [*tensors.values()])
    along = {name: drawn(*each.shape).astype(np.float64) for name, each in known.items()}
    step = 1e-6
    ends = [
        value({name: each + sign * step * along[name] for name, each in known.items()}).item()
        for sign in (1, -1)
    ]
    expected = 0.0
    for slope, way in zip(slopes, along.values(), strict=True):
        assert slope is not None
        expected += float(np.sum(slope.numpy() * way))
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(expected, rel=1e-6)
