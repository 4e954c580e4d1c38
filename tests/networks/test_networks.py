"""Every network is a valid model of the size that its paper states; small ones compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from tilec import networks
from tilec.errors import ArgumentError
from tilec.networks.graph import Graph, Value
from tilec.onnx.library import library

# Millions of weights, statistics of batch norms included.
MILLIONS = {
    "alexnet": 61.1,
    "googlenet": 7.0,
    "inception_v3": 23.9,
    "densenet121": 8.1,
    "shufflenet": 1.9,
    "xception": 22.9,
    "nin": 7.6,
    "lstm": 2.7,
    "transformer": 22.9,
    "vgg16": 138.4,
    "vgg19": 143.7,
    "resnet50": 25.6,
    "resnet152": 60.3,
    "mobilenet_v1": 4.3,
    "mobilenet_v2": 3.5,
    "squeezenet1_0": 1.2,
    "squeezenet1_1": 1.2,
}


class Hollow(Graph):
    """Networks whose large weights are inputs, so that they take no time and memory."""

    def __init__(self, name: str, batch: int) -> None:
        super().__init__(name, batch, 0)
        self.count = 0
        self.sizes: dict[str, list[int]] = {}

    def weights(self, sizes: tuple[int, ...], deviation: float) -> str:
        assert 0 < deviation <= 1
        name = f"weights_{len(self._inputs)}"
        self._inputs.append(self._info(name, onnx.TensorProto.FLOAT, sizes))
        self.count += int(np.prod(sizes))
        return name

    def constant(self, values: np.ndarray[Any, np.dtype[Any]]) -> str:
        if values.dtype.kind == "f":
            self.count += values.size
        return super().constant(values)

    def node(self, operator: str, *arguments: Any, **attributes: object) -> Value:
        made = super().node(operator, *arguments, **attributes)
        self.sizes[made.name] = list(made.sizes)
        return made


@pytest.mark.parametrize("name", [*networks.NETWORKS, *networks.OPERATIONS])
def test_models_are_valid_and_have_the_sizes_that_they_state(name: str) -> None:
    network = {**networks.NETWORKS, **networks.OPERATIONS}[name]
    graph = Hollow(name, 2)
    model = graph.model(network.grow(graph))
    library("onnx.checker").check_model(model)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    found = {
        each.name: [dim.dim_value for dim in each.type.tensor_type.shape.dim]
        for each in (*inferred.graph.value_info, *inferred.graph.output)
    }
    assert found == {each: graph.sizes[each] for each in found}
    assert len(found) == len(graph.sizes)
    if name in networks.NETWORKS:
        assert graph.count / 1e6 == pytest.approx(MILLIONS[name], abs=0.06)


def test_a_seed_decides_about_all_weights() -> None:
    first, again, other = (
        networks.build("squeezenet1_1", seed=seed).SerializeToString(deterministic=True)
        for seed in (0, 0, 1)
    )
    assert first == again
    assert len(first) == len(other)
    assert first != other


def test_an_unknown_network_lists_those_that_are_known() -> None:
    with pytest.raises(ArgumentError, match="no network 'lenet'") as caught:
        networks.build("lenet")
    assert caught.value.help is not None
    assert "resnet50" in caught.value.help
