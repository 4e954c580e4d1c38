"""Operators of signals."""

from __future__ import annotations

from typing import Any

import numpy as np

from tilec import ops
from tilec.onnx.node import Node, Result
from tilec.onnx.registry import operator
from tilec.onnx.types import numpy_type, tile_type


@operator("DFT")
def dft(node: Node) -> Result:
    x = node.tensor(0)
    length = int(node.array(1, "the length").reshape(-1)[0]) if node.has(1) else None
    if node.version < 20:
        axis = node.integer("axis", 1)
    else:
        axis = int(node.array(2, "the axis").reshape(-1)[0]) if node.has(2) else -2
    return ops.dft(
        x,
        axis,
        length=length,
        inverse=node.flag("inverse"),
        one_sided=node.flag("onesided"),
    )


@operator("STFT")
def stft(node: Node) -> Result:
    signal = node.tensor(0)
    if signal.ndim == 2:
        signal = ops.expand_dims(signal, -1)
    step = int(node.array(1, "the step").reshape(-1)[0])
    window = node.optional(2)
    if node.has(3):
        length = int(node.array(3, "the length").reshape(-1)[0])
    else:
        length = signal.shape[1] if window is None else window.size
    return ops.stft(signal, step, length, window, one_sided=node.flag("onesided", True))


@operator("MelWeightMatrix")
def mel_weight_matrix(node: Node) -> Result:
    """Triangles between frequencies that lie evenly on the mel scale."""
    bins, length, rate, low, high = (
        float(node.array(at, "a number").reshape(-1)[0]) for at in range(5)
    )
    count = int(length) // 2 + 1
    ends: Any = 2595 * np.log10(1 + np.array([low, high]) / 700)
    steps: Any = np.arange(int(bins) + 2) / (int(bins) + 2)  # ONNX divides by one gap too many
    mel = ends[0] + steps * (ends[1] - ends[0])
    hertz = 700 * (10 ** (mel / 2595) - 1)
    at: Any = np.floor((length + 1) * hertz / rate).astype(np.int64)
    found = np.zeros((count, int(bins)))
    lines: Any = np.arange(count)
    for each in range(int(bins)):
        lower, centre, upper = at[each : each + 3]
        if lower == centre:
            found[centre, each] = 1
        else:
            rising = lines[lower : centre + 1]
            found[rising, each] = (rising - lower) / (centre - lower)
        if upper > centre:
            falling = lines[centre:upper]
            found[falling, each] = (upper - falling) / (upper - centre)
    dtype = numpy_type(tile_type(node.integer("output_datatype", 1)))
    return found.astype(dtype)
