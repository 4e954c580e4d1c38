"""Xception (Chollet 2017)."""

from __future__ import annotations

from math import sqrt
from typing import Final

from tilec.networks.graph import Graph, Value

_MIDDLE: Final = 8


def xception(graph: Graph) -> Value:
    """Separable convolutions in residual blocks."""
    x = graph.conv_norm_relu(graph.images(299), 32, 3, 2, 0)
    x = graph.conv_norm_relu(x, 64, 3, 1, 0)
    x = _narrowing(graph, x, 128, 128, active=True)
    for channels in (256, 728):
        x = _narrowing(graph, x, channels, channels)
    for _ in range(_MIDDLE):
        y = x
        for gain in (1.0, 1.0, 1 / sqrt(_MIDDLE)):
            y = graph.norm(_separable(graph, graph.relu(y), 728), gain)
        x = graph.add(y, x)
    x = _narrowing(graph, x, 728, 1024)
    for channels in (1536, 2048):
        x = graph.relu(graph.norm(_separable(graph, x, channels)))
    return graph.dense(graph.global_pool(x), 1000)


def _narrowing(graph: Graph, x: Value, first: int, second: int, active: bool = False) -> Value:
    """Half the height and width; ``active`` says that a ReLU has come before."""
    y = graph.norm(_separable(graph, x if active else graph.relu(x), first))
    y = graph.norm(_separable(graph, graph.relu(y), second))
    short = graph.conv_norm(x, second, 1, 2, linear=not active)
    return graph.add(graph.max_pool(y, 3, 2, 1), short)


def _separable(graph: Graph, x: Value, channels: int) -> Value:
    y = graph.conv(x, x.channels, 3, groups=x.channels, bias=False)
    return graph.conv(y, channels, 1, bias=False, linear=True)
