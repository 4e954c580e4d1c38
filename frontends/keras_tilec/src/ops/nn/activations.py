"""Activations."""

from __future__ import annotations

from collections.abc import Sequence

from keras_tilec.src.convert import as_float, node, promote, wrap
from keras_tilec.src.tensor import Tensor
from tilec import ops


def relu(x: object) -> Tensor:
    return wrap(ops.relu(node(x)))


def relu6(x: object) -> Tensor:
    return wrap(ops.relu6(node(x)))


def leaky_relu(x: object, negative_slope: float = 0.2) -> Tensor:
    return wrap(ops.leaky_relu(as_float(x), negative_slope))


def sigmoid(x: object) -> Tensor:
    return wrap(ops.sigmoid(as_float(x)))


def hard_sigmoid(x: object) -> Tensor:
    return wrap(ops.hard_sigmoid(as_float(x)))


def log_sigmoid(x: object) -> Tensor:
    return wrap(ops.log_sigmoid(as_float(x)))


def sparse_sigmoid(x: object) -> Tensor:
    return wrap(ops.sparse_sigmoid(as_float(x)))


def silu(x: object) -> Tensor:
    return wrap(ops.swish(as_float(x)))


def hard_silu(x: object) -> Tensor:
    return wrap(ops.hard_swish(as_float(x)))


def gelu(x: object, approximate: bool = True) -> Tensor:
    return wrap(ops.gelu(as_float(x), approximate=approximate))


def tanh(x: object) -> Tensor:
    return wrap(ops.tanh(as_float(x)))


def hard_tanh(x: object) -> Tensor:
    return wrap(ops.hard_tanh(as_float(x)))


def tanh_shrink(x: object) -> Tensor:
    return wrap(ops.tanh_shrink(as_float(x)))


def soft_shrink(x: object, threshold: float = 0.5) -> Tensor:
    return wrap(ops.soft_shrink(as_float(x), threshold))


def hard_shrink(x: object, threshold: float = 0.5) -> Tensor:
    return wrap(ops.hard_shrink(as_float(x), threshold))


def threshold(x: object, threshold: float, default_value: float) -> Tensor:
    found, limit, other = promote(as_float_tensor(x), threshold, default_value)
    return wrap(ops.where(ops.greater(found, limit), found, other))


def as_float_tensor(x: object) -> Tensor:
    return wrap(as_float(x))


def softplus(x: object) -> Tensor:
    return wrap(ops.softplus(as_float(x)))


def sparse_plus(x: object) -> Tensor:
    return wrap(ops.sparse_plus(as_float(x)))


def squareplus(x: object, b: float = 4) -> Tensor:
    return wrap(ops.squareplus(as_float(x), b))


def softsign(x: object) -> Tensor:
    return wrap(ops.softsign(as_float(x)))


def elu(x: object, alpha: float = 1.0) -> Tensor:
    return wrap(ops.elu(as_float(x), alpha))


def selu(x: object) -> Tensor:
    return wrap(ops.selu(as_float(x)))


def celu(x: object, alpha: float = 1.0) -> Tensor:
    return wrap(ops.celu(as_float(x), alpha))


def glu(x: object, axis: int = -1) -> Tensor:
    found = as_float(x)
    if found.shape[axis] % 2:
        raise ValueError(
            f"axis size must be divisible by 2. Received: x.shape={found.shape} with axis={axis}"
        )
    half = found.shape[axis] // 2
    before = (slice(None),) * (axis % found.ndim)
    gate = ops.sigmoid(found[(*before, slice(half, None))])
    return wrap(ops.multiply(found[(*before, slice(0, half))], gate))


def softmax(x: object, axis: int | Sequence[int] = -1) -> Tensor:
    return wrap(ops.softmax(as_float(x), axis))


def log_softmax(x: object, axis: int | Sequence[int] = -1) -> Tensor:
    return wrap(ops.log_softmax(as_float(x), axis))


def sparsemax(x: object, axis: int = -1) -> Tensor:
    """The nearest point of the simplex (Martins and Astudillo 2016)."""
    found = as_float(x)
    ordered = ops.sort(found, axis, descending=True)
    count = found.shape[axis]
    along = [1] * found.ndim
    along[axis] = count
    ranks = ops.reshape(ops.arange(1, count + 1, dtype=found.dtype), along)
    is_in = ops.greater(1 + ranks * ordered, ops.cumsum(ordered, axis))
    support = ops.cast(is_in, found.dtype)
    kept = ops.sum(support, axis, keepdims=True)
    threshold = (ops.sum(support * ordered, axis, keepdims=True) - 1) / kept
    return wrap(ops.relu(found - threshold))
