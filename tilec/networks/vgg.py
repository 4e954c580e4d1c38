"""VGG (Simonyan and Zisserman 2015), without batch norms, as published."""

from __future__ import annotations

from collections.abc import Sequence

from tilec.networks.graph import Graph, Value


def vgg(graph: Graph, convolutions: Sequence[int]) -> Value:
    """So many 3x3 convolutions in each of five stages, e.g. ``(2, 2, 4, 4, 4)`` for VGG-19."""
    x = graph.images(224)
    for count, channels in zip(convolutions, (64, 128, 256, 512, 512), strict=True):
        for _ in range(count):
            x = graph.relu(graph.conv(x, channels, 3))
        x = graph.max_pool(x, 2, 2)
    x = graph.flatten(x)
    for units in (4096, 4096):
        x = graph.relu(graph.dense(x, units))
    return graph.dense(x, 1000)
