"""ShuffleNet (Zhang et al. 2018), of width 1 with three groups."""

from __future__ import annotations

from math import sqrt
from typing import Final

from tilec.networks.graph import Graph, Value

_GROUPS: Final = 3
_STAGES: Final = ((240, 4), (480, 8), (960, 4))


def shufflenet(graph: Graph) -> Value:
    """Residuals of grouped convolutions, between which channels change places."""
    x = graph.conv_norm_relu(graph.images(224), 24, 3, 2)
    x = graph.max_pool(x, 3, 2, 1)
    gain = 1 / sqrt(sum(units for _, units in _STAGES))
    for channels, units in _STAGES:
        x = _narrowing(graph, x, channels)
        for _ in range(units - 1):
            y = _branch(graph, x, channels, channels, 1)
            x = graph.relu(graph.add(graph.norm(y, gain), x))
    return graph.dense(graph.global_pool(x), 1000)


def _narrowing(graph: Graph, x: Value, channels: int) -> Value:
    y = graph.norm(_branch(graph, x, channels - x.channels, channels, 2))
    return graph.relu(graph.concat(graph.average_pool(x, 3, 2, 1), y))


def _branch(graph: Graph, x: Value, channels: int, width: int, stride: int) -> Value:
    # 24 channels are too few to be divided.
    groups = _GROUPS if x.channels > 24 else 1
    y = graph.relu(graph.conv_norm(x, width // 4, 1, groups=groups))
    y = _shuffled(graph, y)
    y = graph.conv_norm(y, y.channels, 3, stride, groups=y.channels)
    return graph.conv(y, channels, 1, groups=_GROUPS, bias=False, linear=True)


def _shuffled(graph: Graph, x: Value) -> Value:
    batch, channels, high, wide = x.sizes
    apart = graph.reshape(x, (batch, _GROUPS, channels // _GROUPS, high, wide))
    return graph.reshape(graph.transpose(apart, (0, 2, 1, 3, 4)), x.sizes)
