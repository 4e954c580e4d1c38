"""AlexNet in one column (Krizhevsky 2014), as torchvision has it."""

from __future__ import annotations

from tilec.networks.graph import Graph, Value


def alexnet(graph: Graph) -> Value:
    """Five convolutions and three dense layers."""
    x = graph.relu(graph.conv(graph.images(224), 64, 11, 4, 2))
    x = graph.relu(graph.conv(graph.max_pool(x, 3, 2), 192, 5))
    x = graph.max_pool(x, 3, 2)
    for channels in (384, 256, 256):
        x = graph.relu(graph.conv(x, channels, 3))
    x = graph.flatten(graph.max_pool(x, 3, 2))
    for units in (4096, 4096):
        x = graph.relu(graph.dense(x, units))
    return graph.dense(x, 1000)
