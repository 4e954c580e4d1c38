"""Special functions, the largest elements, and distances."""

from __future__ import annotations

from keras_tilec.src.convert import Axis, as_float, node, promote, wrap, wrap_all
from keras_tilec.src.ops.numpy.factors import slogdet
from keras_tilec.src.tensor import Tensor
from tilec import ops


def rsqrt(x: object) -> Tensor:
    return wrap(ops.rsqrt(as_float(x)))


def erf(x: object) -> Tensor:
    return wrap(ops.erf(as_float(x)))


def erfc(x: object) -> Tensor:
    return wrap(ops.erfc(as_float(x)))


def erfinv(x: object) -> Tensor:
    return wrap(ops.erfinv(as_float(x)))


def logsumexp(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return wrap(ops.logsumexp(as_float(x), axis, keepdims=keepdims))


def logdet(x: object) -> Tensor:
    return slogdet(x)[1]


def top_k(x: object, k: int, sorted: bool = True) -> tuple[Tensor, Tensor]:
    """They come in order whether this is asked for or not."""
    values, places = wrap_all(ops.top_k(node(x), k))
    return values, places


def in_top_k(targets: object, predictions: object, k: int) -> Tensor:
    """Whether fewer than ``k`` predictions are larger than that of the target."""
    found = node(predictions)
    own = ops.take_along_axis(found, ops.expand_dims(node(targets), -1), -1)
    above = ops.sum(ops.greater(found, own), -1)
    known = ops.isfinite(ops.squeeze(own, -1))
    return wrap(ops.logical_and(ops.less(above, k), known))


def cdist(x: object, y: object) -> Tensor:
    """Euclidean distances of all pairs of rows."""
    a, b = promote(x, y, like=(float,))
    if a.ndim < 2 or b.ndim < 2:
        raise ValueError("`cdist` inputs must have rank >= 2")
    if a.shape[-1] != b.shape[-1]:
        raise ValueError("Last dimension of inputs to `cdist` must match")
    apart = ops.subtract(ops.expand_dims(a, -2), ops.expand_dims(b, -3))
    return wrap(ops.norm_l2(apart, -1))
