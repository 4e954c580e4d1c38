"""``keras.ops.math``."""

from __future__ import annotations

from keras_tilec.src.convert import as_float, wrap
from keras_tilec.src.tensor import Tensor
from tilec import ops


def rsqrt(x: object) -> Tensor:
    return wrap(ops.rsqrt(as_float(x)))
