"""Cross entropies, and classes as rows of zeros and ones."""

from __future__ import annotations

import tilec
from keras_tilec.src.convert import as_float, convert, node, on_host, promote, wrap
from keras_tilec.src.dtypes import tile_name
from keras_tilec.src.host import epsilon
from keras_tilec.src.tensor import Tensor
from tilec import ops


def one_hot(
    x: object, num_classes: int, axis: int = -1, dtype: object = None, sparse: bool = False
) -> Tensor:
    if sparse:
        raise ValueError("Unsupported value `sparse=True` with the tilec backend")
    kind = tile_name(dtype or "float32")
    classes = node(x, "int32")
    if not num_classes:
        (known,) = on_host("one_hot", classes, instead="give num_classes")
        num_classes = int(known.max()) + 1
    # Negative classes are nowhere.
    named = ops.where(ops.less(classes, 0), num_classes, classes)
    found = ops.one_hot(named, num_classes, on=1, off=0, axis=axis)
    return wrap(ops.cast(found, kind))


def multi_hot(
    x: object, num_classes: int, axis: int = -1, dtype: object = None, sparse: bool = False
) -> Tensor:
    found = convert(x, "int32")
    rows = one_hot(found, num_classes, axis, dtype, sparse)
    return wrap(ops.max(rows.node, 1 if found.ndim > 1 else 0))


def _check_same(target: tilec.Tensor, output: tilec.Tensor) -> None:
    if target.shape != output.shape:
        raise ValueError(
            "Arguments `target` and `output` must have the same shape. Received: "
            f"target.shape={target.shape}, output.shape={output.shape}"
        )


def _normalised(output: tilec.Tensor, axis: int) -> tilec.Tensor:
    return ops.divide(output, ops.sum(output, axis, keepdims=True))


def categorical_crossentropy(
    target: object, output: object, from_logits: bool = False, axis: int = -1
) -> Tensor:
    right, said = promote(target, output, like=(float,))
    _check_same(right, said)
    if not right.ndim:
        raise ValueError(
            "Arguments `target` and `output` must be at least rank 1. Received: "
            f"target.shape={right.shape}, output.shape={said.shape}"
        )
    return wrap(
        ops.categorical_cross_entropy(
            said if from_logits else _normalised(said, axis),
            right,
            axis=axis,
            from_logits=from_logits,
            epsilon=epsilon(),
            reduction="none",
        )
    )


def sparse_categorical_crossentropy(
    target: object, output: object, from_logits: bool = False, axis: int = -1
) -> Tensor:
    said, right = as_float(output), node(target, "int32")
    if right.ndim == said.ndim and right.shape[-1] == 1:
        right = ops.squeeze(right, -1)
    if not said.ndim:
        raise ValueError(
            f"Argument `output` must be at least rank 1. Received: output.shape={said.shape}"
        )
    at = axis % said.ndim
    if right.shape != (*said.shape[:at], *said.shape[at + 1 :]):
        raise ValueError(
            "Arguments `target` and `output` must have the same shape up until the last "
            f"dimension: target.shape={right.shape}, output.shape={said.shape}"
        )
    if from_logits:
        logarithms = ops.log_softmax(said, axis)
    else:
        logarithms = ops.log(ops.clip(_normalised(said, axis), epsilon(), 1 - epsilon()))
    return wrap(ops.nll(logarithms, right, axis=axis, reduction="none"))


def binary_crossentropy(target: object, output: object, from_logits: bool = False) -> Tensor:
    right, said = promote(target, output, like=(float,))
    _check_same(right, said)
    if from_logits:
        return wrap(ops.binary_cross_entropy_with_logits(said, right, reduction="none"))
    return wrap(ops.binary_cross_entropy(said, right, epsilon=epsilon(), reduction="none"))


def psnr(x1: object, x2: object, max_val: float) -> Tensor:
    first, second = promote(x1, x2, like=(float,))
    if first.shape != second.shape:
        raise ValueError(
            f"Input shapes {first.shape} and {second.shape} must match for PSNR calculation. "
        )
    error = ops.mean(ops.squared_difference(first, second))
    peak = ops.cast(node(max_val, "float32"), first.dtype)
    return wrap(20 * ops.log10(peak) - 10 * ops.log10(error))
