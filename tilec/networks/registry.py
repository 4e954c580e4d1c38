"""The networks, and the single operations, by name."""

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
    operations,
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


_SINGLE: Final = (
    Network("conv7x7", "7x7 convolution, stride 2", operations.conv(3, 224, 64, 7, 2)),
    Network("conv3x3_56", "3x3 convolution at 56", operations.conv(64, 56, 64, 3)),
    Network("conv3x3_14", "3x3 convolution at 14", operations.conv(256, 14, 256, 3)),
    Network("conv1x1_56", "1x1 convolution at 56", operations.conv(64, 56, 256, 1)),
    Network("conv1x1_14", "1x1 convolution at 14", operations.conv(1024, 14, 256, 1)),
    Network("depthwise_56", "depthwise convolution at 56", operations.depthwise(128, 56)),
    Network("depthwise_14", "depthwise convolution at 14", operations.depthwise(512, 14)),
    Network("dense_1024", "dense layer", operations.dense(1024, 1024, 1024)),
    Network("dense_1", "dense layer for one vector", operations.dense(1, 4096, 4096)),
    Network("max_pool", "maximum of 3x3", operations.pool(64, 112)),
    Network("softmax", "softmax of rows", operations.elementwise("Softmax", 1024, 1024)),
    Network("layer_norm", "layer norm of rows", operations.layer_norm(1024, 1024)),
    Network("gelu", "GELU", operations.elementwise("Gelu", 1024, 1024)),
    Network("tanh", "tanh", operations.elementwise("Tanh", 1024, 1024)),
    Network("transpose", "transposition", operations.transpose(1024, 1024)),
)

OPERATIONS: Final = {each.name: each for each in _SINGLE}
"""Models of a single operation, by name."""


def build(name: str, batch: int | None = None, *, seed: int = 0, dtype: str = "f32") -> ModelProto:
    """An ONNX model of a network, with random weights.

    Args:
        name: One of ``NETWORKS`` or ``OPERATIONS``.
        batch: Examples at once; by default what the network is usually measured with.
        seed: What all weights follow from.
        dtype: The dtype of weights and pictures, e.g. ``"f16"``.

    Raises:
        ArgumentError: there is no such network, or the onnx package is not installed.
    """
    network = NETWORKS.get(name) or OPERATIONS.get(name)
    if network is None:
        raise ArgumentError(
            f"there is no network {name!r}", help=f"the networks are {', '.join(NETWORKS)}"
        )
    graph = Graph(network.name, network.batch if batch is None else batch, seed, dtype)
    return graph.model(network.grow(graph))
