"""Matrices that LAPACK takes apart, on the host: what ``keras.ops.linalg`` rests on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from keras_tilec.src.convert import convert, dtype_of, node, on_host, without_gradient
from keras_tilec.src.dtypes import float_of
from keras_tilec.src.tensor import Array, Tensor


def factorised(name: str, function: Callable[[Any], Any], x: object) -> Any:
    """What a function of NumPy gives for matrices, in their own float type.

    Args:
        name: The function of Keras, for the error of a traced call.
        function: Takes an array of f32 or f64, and gives an array or several.
        x: The matrices.
    """
    return _results(name, lambda arrays: function(arrays[0]), x)


def factorised_pair(name: str, function: Callable[[Any, Any], Any], a: object, b: object) -> Any:
    """The same for two operands."""
    return _results(name, lambda arrays: function(arrays[0], arrays[1]), a, b)


def _results(name: str, function: Callable[[list[Array]], Any], *xs: object) -> Any:
    kinds = [float_of(str(dtype_of(convert(each)))) for each in xs]
    arrays = on_host(name, *map(node, xs, kinds))
    found = function([each if each.itemsize >= 4 else each.astype(np.float32) for each in arrays])

    def result(made: Any) -> Tensor:
        array = np.asarray(made)
        kind = kinds[0] if array.dtype.kind == "f" else "int32"
        return without_gradient(name, convert(array, kind), *xs)

    if isinstance(found, tuple):
        return tuple(map(result, cast("tuple[object, ...]", found)))
    return result(found)


def slogdet(x: object) -> tuple[Tensor, Tensor]:
    """The signs of determinants, and the logarithms of their absolute values."""
    linalg: Any = np.linalg
    return factorised("slogdet", lambda a: tuple(linalg.slogdet(a)), x)
