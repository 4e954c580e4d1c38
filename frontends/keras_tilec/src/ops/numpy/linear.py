"""Products of matrices."""

from __future__ import annotations

from keras_tilec.src.convert import promote, wrap
from keras_tilec.src.tensor import Tensor
from tilec import ops


def matmul(x1: object, x2: object) -> Tensor:
    return wrap(ops.matmul(*promote(x1, x2)))
