"""The networks by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tilec.errors import ArgumentError
from tilec.networks import (
    alexnet,
    densenet,
    googlenet,
    inception,
    mobilenet,
    nin,
    resnet,
    sequences,
    shufflenet,
    squeezenet,
    vgg,
    xception,
)
from tilec.networks.graph import Graph, Value
from tilec.records import dataclass

if TYPE_CHECKING:
    from onnx import ModelProto


@dataclass(frozen=True, slots=True)
class Network:
    """A network that can be built.

    Attributes:
        name: What it is asked for by.
        title: Its name in text.
        grow: Puts it into a graph and returns the output.
        batch: Examples at once, unless asked otherwise.
    """

    name: str
    title: str
    grow: Callable[[Graph], Value]
    batch: int = 1


_ALL: Final = (
    Network("alexnet", "AlexNet", alexnet.alexnet),
    Network("vgg16", "VGG-16", lambda graph: vgg.vgg(graph, (2, 2, 3, 3, 3))),
    Network("vgg19", "VGG-19", lambda graph: vgg.vgg(graph, (2, 2, 4, 4, 4))),
    Network("googlenet", "GoogLeNet", googlenet.googlenet),
    Network("inception_v3", "Inception-v3", inception.inception_v3),
    Network("resnet50", "ResNet-50", lambda graph: resnet.resnet(graph, (3, 4, 6, 3))),
    Network("resnet152", "ResNet-152", lambda graph: resnet.resnet(graph, (3, 8, 36, 3))),
    Network("densenet121", "DenseNet-121", lambda graph: densenet.densenet(graph, (6, 12, 24, 16))),
    Network("mobilenet_v1", "MobileNet v1", mobilenet.v1),
    Network("mobilenet_v2", "MobileNet v2", mobilenet.v2),
    Network("squeezenet1_0", "SqueezeNet 1.0", squeezenet.v1_0),
    Network("squeezenet1_1", "SqueezeNet 1.1", squeezenet.v1_1),
    Network("shufflenet", "ShuffleNet", shufflenet.shufflenet),
    Network("xception", "Xception", xception.xception),
    Network("nin", "Network in Network", nin.nin),
    Network("lstm", "LSTM classifier", sequences.lstm, 32),
    Network("transformer", "transformer encoder", sequences.transformer),
)

NETWORKS: Final = {each.name: each for each in _ALL}
"""All networks, by name."""


def build(name: str, batch: int | None = None, *, seed: int = 0, dtype: str = "f32") -> ModelProto:
    """An ONNX model of a network, with random weights.

    Args:
        name: One of ``NETWORKS``.
        batch: Examples at once; by default what the network is usually measured with.
        seed: What all weights follow from.
        dtype: The dtype of weights and pictures, e.g. ``"f16"``.

    Raises:
        ArgumentError: there is no such network, or the onnx package is not installed.
    """
    network = NETWORKS.get(name)
    if network is None:
        raise ArgumentError(
            f"there is no network {name!r}", help=f"the networks are {', '.join(NETWORKS)}"
        )
    graph = Graph(network.name, network.batch if batch is None else batch, seed, dtype)
    return graph.model(network.grow(graph))
