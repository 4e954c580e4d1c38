"""Network in Network (Lin et al. 2014), for ImageNet."""

from __future__ import annotations

from tilec.networks.graph import Graph, Value


def nin(graph: Graph) -> Value:
    """Convolutions that are followed by a perceptron at each pixel."""
    x = _layer(graph, graph.images(224), (96, 96, 96), 11, 4, 0)
    x = _layer(graph, graph.max_pool(x, 3, 2, ceil=True), (256, 256, 256), 5, 1, 2)
    x = _layer(graph, graph.max_pool(x, 3, 2, ceil=True), (384, 384, 384), 3, 1, 1)
    x = _layer(graph, graph.max_pool(x, 3, 2, ceil=True), (1024, 1024, 1000), 3, 1, 1)
    return graph.global_pool(x)


def _layer(
    graph: Graph, x: Value, channels: tuple[int, int, int], kernel: int, stride: int, pad: int
) -> Value:
    x = graph.relu(graph.conv(x, channels[0], kernel, stride, pad))
    for each in channels[1:]:
        x = graph.relu(graph.conv(x, each, 1))
    return x
