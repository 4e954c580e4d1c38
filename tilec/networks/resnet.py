"""ResNet (He et al. 2016), with the stride in the 3x3 convolution (v1.5), as torchvision has it."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from tilec.networks.graph import Graph, Value


def resnet(graph: Graph, blocks: Sequence[int]) -> Value:
    """Bottleneck blocks in four stages, e.g. ``(3, 4, 6, 3)`` for ResNet-50."""
    x = graph.conv_norm_relu(graph.images(224), 64, 7, 2)
    x = graph.max_pool(x, 3, 2, 1)
    # A residual that is this much smaller than what it is added to makes the sum grow by a factor
    # of e over all blocks, however many they are.
    gain = 1 / sqrt(sum(blocks))
    for stage, count in enumerate(blocks):
        for block in range(count):
            stride = 2 if stage > 0 and block == 0 else 1
            x = _bottleneck(graph, x, 64 << stage, stride, gain)
    return graph.dense(graph.global_pool(x), 1000)


def _bottleneck(graph: Graph, x: Value, width: int, stride: int, gain: float) -> Value:
    y = graph.conv_norm_relu(x, width, 1)
    y = graph.conv_norm_relu(y, width, 3, stride)
    y = graph.norm(graph.conv(y, 4 * width, 1, bias=False), gain)
    if x.channels != 4 * width:
        x = graph.conv_norm(x, 4 * width, 1, stride)
    return graph.relu(graph.add(y, x))
