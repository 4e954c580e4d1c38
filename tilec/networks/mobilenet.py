"""MobileNet v1 (Howard et al. 2017) and v2 (Sandler et al. 2018), of width 1."""

from __future__ import annotations

from math import sqrt
from typing import Final

from tilec.networks.graph import Graph, Value

# Channels and stride of each block.
_PAIRS: Final = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)
)  # fmt: skip

# Expansion, channels, blocks and the stride of the first of them.
_STAGES: Final = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # fmt: skip


def v1(graph: Graph) -> Value:
    """Pairs of a depthwise and a pointwise convolution."""
    x = graph.relu6(graph.conv_norm(graph.images(224), 32, 3, 2))
    for channels, stride in _PAIRS:
        x = _depthwise(graph, x, stride)
        x = graph.relu6(graph.conv_norm(x, channels, 1))
    return graph.dense(graph.global_pool(x), 1000)


def v2(graph: Graph) -> Value:
    """Inverted residuals: wide inside, narrow and linear at the ends."""
    x = graph.relu6(graph.conv_norm(graph.images(224), 32, 3, 2))
    gain = 1 / sqrt(sum(blocks for _, _, blocks, _ in _STAGES))
    for expansion, channels, blocks, first in _STAGES:
        for block in range(blocks):
            stride = first if block == 0 else 1
            x = _inverted(graph, x, expansion, channels, stride, gain)
    x = graph.relu6(graph.conv_norm(x, 1280, 1, linear=True))
    return graph.dense(graph.global_pool(x), 1000)


def _inverted(
    graph: Graph, x: Value, expansion: int, channels: int, stride: int, gain: float
) -> Value:
    y = x
    if expansion > 1:
        y = graph.relu6(graph.conv_norm(x, expansion * x.channels, 1, linear=True))
    y = _depthwise(graph, y, stride)
    y = graph.conv(y, channels, 1, bias=False)
    if stride == 1 and x.channels == channels:
        return graph.add(graph.norm(y, gain), x)
    return graph.norm(y)


def _depthwise(graph: Graph, x: Value, stride: int) -> Value:
    return graph.relu6(graph.conv_norm(x, x.channels, 3, stride, groups=x.channels))
