"""What is counted, compared and reported about models in several engines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from tests.onnx.models import model
from tilec.bench.engines import ENGINES, ONNXRUNTIME, Engine, Run, reference_run
from tilec.bench.flops import count
from tilec.bench.measure import QUICK
from tilec.bench.race import REFERENCE, gradient_error, race, relative_error
from tilec.bench.report import as_json, rows
from tilec.bench.subject import Subject, file, network
from tilec.bench.training import RATE, right_classes
from tilec.errors import ArgumentError

PRODUCT = model(
    [helper.make_node("MatMul", ["x", "w"], ["y"])],
    {"x": [2, 3]},
    ["y"],
    {"w": np.eye(3, dtype=np.float32)},
)
X = np.arange(6, dtype=np.float32).reshape(2, 3)
SUBJECT = Subject("product", PRODUCT, {"x": X}, 2, "float32", 36)


def test_operations_follow_from_definitions() -> None:
    weights: dict[str, Any] = {
        "w": np.zeros((8, 2, 3, 3), np.float32),
        "v": np.zeros((8 * 16, 10), np.float32),
        "gates": np.zeros((1, 20, 4), np.float32),
        "again": np.zeros((1, 20, 5), np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], group=2, pads=[1, 1, 1, 1]),
        helper.make_node("Flatten", ["a"], ["b"]),
        helper.make_node("Gemm", ["b", "v"], ["c"]),
        helper.make_node("Transpose", ["c"], ["d"]),
        helper.make_node("MatMul", ["c", "d"], ["e"]),
        helper.make_node("Relu", ["e"], ["g"]),
        helper.make_node("LSTM", ["s", "gates", "again"], ["f"], hidden_size=5),
    ]
    inputs = {"x": [2, 4, 4, 4], "s": [7, 3, 4]}
    parts = (2 * 2 * 128 * 18, 2 * 2 * 128 * 10, 2 * 2 * 2 * 10, 2 * 7 * 3 * (20 * 4 + 20 * 5))
    assert count(model(nodes, inputs, ["g", "f"], weights)) == sum(parts)
    inputs = {"x": ["batch", 4, 4, 4], "s": [7, 3, 4]}
    assert count(model(nodes, inputs, ["g", "f"], weights)) is None


def test_networks_take_words_that_are_in_their_table() -> None:
    found = network("lstm", 3)
    assert (found.batch, found.dtype, found.flop) == (3, "float32", 3 * (80 * 8 * 128 * 256 + 256))
    assert found.inputs["tokens"].shape == (3, 80)
    assert 2 < found.inputs["tokens"].max() < 20000


def test_a_file_may_leave_its_batch_open(tmp_path: Path) -> None:
    place = tmp_path / "net.onnx"
    path = str(place)
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    place.write_bytes(model(nodes, {"x": ["batch", 3]}, ["y"]).SerializeToString())
    assert file(path, None).inputs["x"].shape == (1, 3)
    assert file(path, 4).inputs["x"].shape == (4, 3)
    place.write_bytes(model(nodes, {"x": [2, "width"]}, ["y"]).SerializeToString())
    with pytest.raises(ArgumentError, match="leaves the sizes of its input x open"):
        file(path, None)
    place.write_bytes(model(nodes, {"x": [2, 3]}, ["y"]).SerializeToString())
    with pytest.raises(ArgumentError, match="a batch of 2"):
        file(path, 4)
    place.write_bytes(b"no model")
    with pytest.raises(ArgumentError, match="cannot read"):
        file(path, None)


def test_errors_are_relative_to_the_largest_element_of_each_output() -> None:
    right = [np.array([1.0, -4.0]), np.array([100.0])]
    assert relative_error([np.array([1.0, -3.0]), np.array([100.0])], right) == 0.25
    assert relative_error([right[0]], right) == np.inf
    assert relative_error([np.array([1.0, np.nan]), right[1]], right) == np.inf


def test_engines_that_fail_or_compute_something_else_are_named() -> None:
    def right(subject: Subject, threads: int) -> Run:
        return lambda: [subject.inputs["x"]]

    def wrong(subject: Subject, threads: int) -> Run:
        return lambda: [subject.inputs["x"] + threads]

    def broken(subject: Subject, threads: int) -> Run:
        raise ValueError("no such operator\nand much more")

    engines = [
        Engine("tilec", "tilec", wrong),
        Engine("other", "numpy", right),
        Engine("broken", "numpy", broken),
        Engine("absent", "no_such_engine", right),
    ]
    found = race(SUBJECT, engines, 1, QUICK)
    assert found.golden in (REFERENCE, ONNXRUNTIME)
    own, other, fault, absent = found.laps
    assert other.error == 0
    assert found.correct(other)
    assert own.error == pytest.approx(0.2)
    assert found.correct(own) is False
    assert found.failed()
    assert fault.failure == "ValueError: no such operator"
    assert absent.failure == "absent is not installed: pip install 'tilec[bench]'"
    assert [row[2] for row in rows([found])] == ["tilec", "other"]
    assert [row[-1] for row in rows([found])] == ["NO", "yes"]
    (facts,) = json.loads(json.dumps(as_json([found], engines[:2], 1)))["models"]
    assert facts["engines"]["absent"] == {"failure": absent.failure}
    timed = facts["engines"]["other"]
    assert timed["example_seconds"] == timed["run_seconds"]["median"] / 2
    assert timed["flop_per_second"] == 36 / timed["run_seconds"]["median"]


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_every_engine_computes_what_the_reference_does(engine: Engine) -> None:
    missing = engine.missing()
    if missing is not None:
        pytest.skip(missing)
    random = np.random.default_rng(0)
    shapes = {"x": (3, 2, 4), "v": (1, 20, 4), "r": (1, 20, 5), "b": (1, 40), "w": (5, 3)}
    given = {name: random.standard_normal(each).astype(np.float32) for name, each in shapes.items()}
    x = given.pop("x")
    nodes = [
        helper.make_node("LSTM", ["x", "v", "r", "b"], ["", "y"], hidden_size=5),
        helper.make_node("Reshape", ["y", "s"], ["z"]),
        helper.make_node("Gemm", ["z", "w"], ["a"]),
        helper.make_node("Clip", ["a", "low", "high"], ["c"]),
    ]
    numbers = {"s": np.array([2, 5]), "low": np.float32(-0.5), "high": np.float32(0.5)}
    made = model(nodes, {"x": x.shape}, ["c"], {**given, **numbers})
    made.ir_version = 9
    subject = Subject("layers", made, {"x": x}, 2, "float32", None)
    right = reference_run(subject)()
    assert relative_error(engine.prepare(subject, 1)(), right) < 1e-5


def test_a_step_of_training_is_right_or_refused() -> None:
    random = np.random.default_rng(0)
    known = {"w": random.standard_normal((3, 4)).astype(np.float32), "b": np.ones(4, np.float32)}
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"]),
        helper.make_node("Relu", ["h"], ["y"]),
    ]
    made = model(nodes, {"x": [2, 3]}, ["y"], known)
    subject = Subject("dense", made, {"x": X}, 2, "float32", 48).in_training()
    assert subject.flop == 144
    found = race(subject, ENGINES[:2], 1, QUICK)
    own, other = found.laps
    assert own.failure is None
    assert found.correct(own)
    assert other.failure == "onnxruntime is left out: it does not train ONNX models"
    # What is compared: the loss, and weights after a long step down their gradients.
    loss, w, b = reference_run(subject)()
    scores = np.maximum(X @ known["w"] + known["b"], 0)
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    right = right_classes((2, 4))
    assert right is not None
    slope = np.where(scores > 0, (shares - np.eye(4)[right]) / 2, 0)
    np.testing.assert_allclose(loss, -np.log(shares[[0, 1], right]).mean(), rtol=1e-5)
    np.testing.assert_allclose(w, known["w"] - RATE * (X.T @ slope), rtol=1e-5)
    np.testing.assert_allclose(b, known["b"] - RATE * slope.sum(axis=0), rtol=1e-5)


def test_gradients_are_compared_by_their_lengths() -> None:
    right = [np.array([3.0, -4.0]), np.array([1e-9])]
    assert gradient_error([np.array([3.0, -3.0]), right[1]], right) == pytest.approx(0.2)
    # What is nothing but rounding, such as the gradient of a bias before a softmax, may differ.
    assert gradient_error([right[0], np.array([2e-9])], right) < 1e-5
    assert gradient_error([right[0], np.array([np.inf])], right) == np.inf
    assert gradient_error(right[:1], right) == np.inf
