"""Networks over words: a classifier with an LSTM, and a transformer's encoder."""

from __future__ import annotations

from math import sqrt
from typing import Final

import numpy as np

from tilec.networks.graph import Graph, Value

_WORDS: Final = 20000


def lstm(graph: Graph) -> Value:
    """The shape of the IMDB example of Keras: 80 words, 128 units, one probability."""
    units = 128
    x = graph.embedding(graph.tokens(80), _WORDS, units)
    x = graph.transpose(x, (1, 0, 2))
    deviation = 1 / sqrt(units)
    inner, outer = (graph.weights((1, 4 * units, units), deviation) for _ in range(2))
    bias = graph.weights((1, 8 * units), 0.05)
    last = graph.node(
        "LSTM",
        (x.name, inner, outer, bias),
        (1, graph.batch, units),
        outputs=("", "last"),
        hidden_size=units,
    )
    vector = graph.reshape(last, (graph.batch, units))
    y = graph.dense(vector, 1, linear=True)
    return graph.node("Sigmoid", (y.name,), y.sizes)


def transformer(graph: Graph) -> Value:
    """An encoder of four layers: 128 words, 512 wide, 8 heads, as BERT has them."""
    steps, width, layers = 128, 512, 4
    x = graph.embedding(graph.tokens(steps), _WORDS, width)
    positions = graph.weights((1, steps, width), 0.5)
    x = graph.layer_norm(graph.node("Add", (x.name, positions), x.sizes))
    for _ in range(layers):
        x = graph.layer_norm(graph.add(x, _attention(graph, x, 8)))
        y = graph.dense(x, 4 * width, linear=True)
        y = graph.dense(graph.node("Gelu", (y.name,), y.sizes), width)
        x = graph.layer_norm(graph.add(x, y))
    return x


def _attention(graph: Graph, x: Value, heads: int) -> Value:
    batch, steps, width = x.sizes
    each = width // heads
    apart = (batch, steps, heads, each)
    query, key, value = (
        graph.transpose(graph.reshape(graph.dense(x, width, linear=True), apart), order)
        for order in ((0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3))
    )
    square = (batch, heads, steps, steps)
    scores = graph.node("MatMul", (query.name, key.name), square)
    scale = graph.constant(np.array(1 / sqrt(each), np.float32))
    scaled = graph.node("Mul", (scores.name, scale), square)
    shares = graph.node("Softmax", (scaled.name,), square, axis=-1)
    mixed = graph.node("MatMul", (shares.name, value.name), query.sizes)
    together = graph.reshape(graph.transpose(mixed, (0, 2, 1, 3)), x.sizes)
    return graph.dense(together, width, linear=True)
