"""Single operations as models, of the sizes that networks have."""

from __future__ import annotations

from collections.abc import Callable

from tilec.networks.graph import Graph, Value


def conv(
    channels: int, size: int, out: int, kernel: int, stride: int = 1
) -> Callable[[Graph], Value]:
    """A convolution with a bias and a ReLU."""

    def grow(graph: Graph) -> Value:
        x = graph.features((channels, size, size))
        return graph.relu(graph.conv(x, out, kernel, stride, linear=True))

    return grow


def depthwise(channels: int, size: int, stride: int = 1) -> Callable[[Graph], Value]:
    """A depthwise 3x3 convolution."""

    def grow(graph: Graph) -> Value:
        x = graph.features((channels, size, size))
        return graph.conv(x, channels, 3, stride, groups=channels, linear=True)

    return grow


def dense(rows: int, depth: int, units: int) -> Callable[[Graph], Value]:
    """A dense layer of so many rows for each example."""
    return lambda graph: graph.dense(graph.features((rows, depth)), units, linear=True)


def pool(channels: int, size: int) -> Callable[[Graph], Value]:
    """A 3x3 maximum with stride 2."""
    return lambda graph: graph.max_pool(graph.features((channels, size, size)), 3, 2, 1)


def elementwise(operator: str, *sizes: int) -> Callable[[Graph], Value]:
    """An operator of one input that keeps its sizes."""

    def grow(graph: Graph) -> Value:
        x = graph.features(sizes)
        return graph.node(operator, (x.name,), x.sizes)

    return grow


def layer_norm(rows: int, width: int) -> Callable[[Graph], Value]:
    """A layer norm over rows."""
    return lambda graph: graph.layer_norm(graph.features((rows, width)))


def transpose(*sizes: int) -> Callable[[Graph], Value]:
    """The last two axes change places."""

    def grow(graph: Graph) -> Value:
        x = graph.features(sizes)
        last = len(x.sizes) - 1
        return graph.transpose(x, (*range(last - 1), last, last - 1))

    return grow
