"""Activations."""

from __future__ import annotations

from keras_tilec.src.convert import as_float, node, wrap
from keras_tilec.src.tensor import Tensor
from tilec import ops


def relu(x: object) -> Tensor:
    return wrap(ops.relu(node(x)))


def sigmoid(x: object) -> Tensor:
    return wrap(ops.sigmoid(as_float(x)))


def softmax(x: object, axis: int = -1) -> Tensor:
    return wrap(ops.softmax(as_float(x), axis))
