"""DenseNet (Huang et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tilec.networks.graph import Graph, Value

_GROWTH: Final = 32


def densenet(graph: Graph, blocks: Sequence[int]) -> Value:
    """Blocks of so many layers, e.g. ``(6, 12, 24, 16)``; each layer reads all before it."""
    x = graph.conv_norm_relu(graph.images(224), 2 * _GROWTH, 7, 2)
    x = graph.max_pool(x, 3, 2, 1)
    for number, layers in enumerate(blocks):
        if number > 0:
            x = graph.conv(_activated(graph, x), x.channels // 2, 1, bias=False)
            x = graph.average_pool(x, 2, 2)
        for _ in range(layers):
            y = graph.conv(_activated(graph, x), 4 * _GROWTH, 1, bias=False)
            y = graph.conv(_activated(graph, y), _GROWTH, 3, bias=False)
            x = graph.concat(x, y)
    return graph.dense(graph.global_pool(_activated(graph, x)), 1000)


def _activated(graph: Graph, x: Value) -> Value:
    return graph.relu(graph.norm(x))
