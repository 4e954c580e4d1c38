"""Statistics, and normalisation with them."""

from __future__ import annotations

from collections.abc import Sequence

import tilec
from keras_tilec.src.convert import as_float, node, promote, wrap, wrap_all
from keras_tilec.src.tensor import Tensor
from tilec import ops

_LARGEST_HALF = 65504.0


def moments(
    x: object, axes: int | Sequence[int], keepdims: bool = False, synchronized: bool = False
) -> tuple[Tensor, Tensor]:
    """Mean and variance, computed in f32 at least."""
    if synchronized:
        raise NotImplementedError(
            "keras.ops.moments cannot be synchronized: tilec has one device; leave it out"
        )
    found = as_float(x)
    wide = ops.cast(found, "f32") if found.dtype.bits < 32 else found
    mean, variance = (
        _narrowed(each(wide, axes, keepdims=keepdims), found) for each in (ops.mean, ops.var)
    )
    first, second = wrap_all([mean, variance])
    return first, second


def _narrowed(x: tilec.Tensor, like: tilec.Tensor) -> tilec.Tensor:
    if like.dtype.name == "f16":
        x = ops.clip(x, -_LARGEST_HALF, _LARGEST_HALF)
    return ops.cast(x, like.dtype)


def batch_normalization(
    x: object,
    mean: object,
    variance: object,
    axis: int,
    offset: object = None,
    scale: object = None,
    epsilon: float = 1e-3,
) -> Tensor:
    found, middle, spread = promote(x, mean, variance, like=(float,))
    kind, count = spread.dtype, (found.shape[axis],)
    factor = ops.ones(count, kind) if scale is None else ops.cast(node(scale), kind)
    added = ops.zeros(count, kind) if offset is None else ops.cast(node(offset), kind)
    return wrap(ops.batch_norm(found, factor, added, middle, spread, epsilon=epsilon, axis=axis))
