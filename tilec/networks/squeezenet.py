"""SqueezeNet (Iandola et al. 2016), in the versions 1.0 and 1.1 of its authors."""

from __future__ import annotations

from typing import Final

from tilec.networks.graph import Graph, Value

# Channels of the squeeze of each fire module; 0 stands for a pooling.
_FIRST: Final = (0, 16, 16, 32, 0, 32, 48, 48, 64, 0, 64)
_SECOND: Final = (0, 16, 16, 0, 32, 32, 0, 48, 48, 64, 64)


def v1_0(graph: Graph) -> Value:
    """With a 7x7 convolution at the front."""
    return _network(graph, 96, 7, _FIRST)


def v1_1(graph: Graph) -> Value:
    """With a 3x3 convolution at the front, and poolings that come earlier."""
    return _network(graph, 64, 3, _SECOND)


def _network(graph: Graph, channels: int, kernel: int, modules: tuple[int, ...]) -> Value:
    x = graph.relu(graph.conv(graph.images(224), channels, kernel, 2, 0))
    for squeeze in modules:
        x = _fire(graph, x, squeeze) if squeeze else graph.max_pool(x, 3, 2, ceil=True)
    return graph.global_pool(graph.relu(graph.conv(x, 1000, 1)))


def _fire(graph: Graph, x: Value, squeeze: int) -> Value:
    x = graph.relu(graph.conv(x, squeeze, 1))
    one, three = (graph.relu(graph.conv(x, 4 * squeeze, size)) for size in (1, 3))
    return graph.concat(one, three)
