"""Bits of integers."""

from __future__ import annotations

from keras_tilec.src.convert import convert, node, on_host, promote, wrap
from keras_tilec.src.dtypes import numpy_dtype, tile_name
from keras_tilec.src.tensor import Tensor
from tilec import ops


def bitwise_and(x: object, y: object) -> Tensor:
    return wrap(ops.bitwise_and(*promote(x, y)))


def bitwise_or(x: object, y: object) -> Tensor:
    return wrap(ops.bitwise_or(*promote(x, y)))


def bitwise_xor(x: object, y: object) -> Tensor:
    return wrap(ops.bitwise_xor(*promote(x, y)))


def bitwise_not(x: object) -> Tensor:
    return wrap(ops.bitwise_not(node(x)))


def left_shift(x: object, y: object) -> Tensor:
    return wrap(ops.left_shift(*promote(x, y)))


def right_shift(x: object, y: object) -> Tensor:
    return wrap(ops.right_shift(*promote(x, y)))


def bitwise_invert(x: object) -> Tensor:
    return bitwise_not(x)


def bitwise_left_shift(x: object, y: object) -> Tensor:
    return left_shift(x, y)


def bitwise_right_shift(x: object, y: object) -> Tensor:
    return right_shift(x, y)


def view(x: object, dtype: object = None) -> Tensor:
    """The same bytes as elements of another dtype."""
    found = convert(x)
    if dtype is None or numpy_dtype(tile_name(dtype)) == found.dtype:
        return found
    (array,) = on_host("view", found, instead="use keras.ops.cast, which converts elements")
    return convert(array.view(numpy_dtype(tile_name(dtype))))
