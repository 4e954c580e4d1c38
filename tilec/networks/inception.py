"""Inception-v3 (Szegedy et al. 2016)."""

from __future__ import annotations

from tilec.networks.graph import Graph, Pair, Value


def inception_v3(graph: Graph) -> Value:
    """Eleven modules of five kinds, without the auxiliary output of training."""
    x = graph.conv_norm_relu(graph.images(299), 32, 3, 2, 0)
    x = graph.conv_norm_relu(x, 32, 3, 1, 0)
    x = graph.max_pool(graph.conv_norm_relu(x, 64, 3), 3, 2)
    x = graph.conv_norm_relu(graph.conv_norm_relu(x, 80, 1), 192, 3, 1, 0)
    x = graph.max_pool(x, 3, 2)
    for behind_pool in (32, 64, 64):
        x = _small_windows(graph, x, behind_pool)
    x = _first_reduction(graph, x)
    for narrow in (128, 160, 160, 192):
        x = _long_windows(graph, x, narrow)
    x = _second_reduction(graph, x)
    for _ in range(2):
        x = _wide(graph, x)
    return graph.dense(graph.global_pool(x), 1000)


def _small_windows(graph: Graph, x: Value, behind_pool: int) -> Value:
    return graph.concat(
        _chain(graph, x, (64, 1)),
        _chain(graph, x, (48, 1), (64, 5)),
        _chain(graph, x, (64, 1), (96, 3), (96, 3)),
        _pooled(graph, x, behind_pool),
    )


def _first_reduction(graph: Graph, x: Value) -> Value:
    return graph.concat(
        graph.conv_norm_relu(x, 384, 3, 2, 0),
        graph.conv_norm_relu(_chain(graph, x, (64, 1), (96, 3)), 96, 3, 2, 0),
        graph.max_pool(x, 3, 2),
    )


def _long_windows(graph: Graph, x: Value, narrow: int) -> Value:
    row, column = (1, 7), (7, 1)
    return graph.concat(
        _chain(graph, x, (192, 1)),
        _chain(graph, x, (narrow, 1), (narrow, row), (192, column)),
        _chain(
            graph, x, (narrow, 1), (narrow, column), (narrow, row), (narrow, column), (192, row)
        ),
        _pooled(graph, x, 192),
    )


def _second_reduction(graph: Graph, x: Value) -> Value:
    long = _chain(graph, x, (192, 1), (192, (1, 7)), (192, (7, 1)))
    return graph.concat(
        graph.conv_norm_relu(_chain(graph, x, (192, 1)), 320, 3, 2, 0),
        graph.conv_norm_relu(long, 192, 3, 2, 0),
        graph.max_pool(x, 3, 2),
    )


def _wide(graph: Graph, x: Value) -> Value:
    middle = _chain(graph, x, (384, 1))
    deep = _chain(graph, x, (448, 1), (384, 3))
    return graph.concat(
        _chain(graph, x, (320, 1)),
        *(_chain(graph, each, (384, kernel)) for each in (middle, deep) for kernel in _CROSS),
        _pooled(graph, x, 192),
    )


_CROSS: tuple[Pair, Pair] = ((1, 3), (3, 1))


def _chain(graph: Graph, x: Value, *layers: tuple[int, Pair]) -> Value:
    """Convolutions of so many channels and such kernels."""
    for channels, kernel in layers:
        x = graph.conv_norm_relu(x, channels, kernel)
    return x


def _pooled(graph: Graph, x: Value, channels: int) -> Value:
    return graph.conv_norm_relu(graph.average_pool(x, 3, 1, 1), channels, 1)
