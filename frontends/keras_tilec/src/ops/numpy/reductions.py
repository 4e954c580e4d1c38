"""Sums, means, extremes and their like along axes."""

from __future__ import annotations

from keras_tilec.src.convert import Axis, as_float, convert, dtype_of, node, promote, wrap
from keras_tilec.src.tensor import Tensor
from tilec import ops


def _wide(x: object) -> Tensor:
    """Integers narrower than 32 bits are summed, and stay, in 32."""
    found = convert(x)
    kind = str(dtype_of(found))
    if kind in ("bool", "int8", "int16"):
        return convert(found, "int32")
    return convert(found, "uint32") if kind in ("uint8", "uint16") else found


def sum(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return wrap(ops.sum(node(_wide(x)), axis, keepdims=keepdims))


def prod(x: object, axis: Axis = None, keepdims: bool = False, dtype: str | None = None) -> Tensor:
    return wrap(
        ops.prod(node(_wide(x) if dtype is None else convert(x, dtype)), axis, keepdims=keepdims)
    )


def mean(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    found = as_float(x)
    wide = ops.cast(found, "f32") if found.dtype.bits < 32 else found
    return wrap(ops.cast(ops.mean(wide, axis, keepdims=keepdims), found.dtype))


def var(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    found = as_float(x)
    wide = ops.cast(found, "f32") if found.dtype.bits < 32 else found
    return wrap(ops.cast(ops.var(wide, axis, keepdims=keepdims), found.dtype))


def std(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return wrap(ops.sqrt(node(var(x, axis, keepdims))))


def max(x: object, axis: Axis = None, keepdims: bool = False, initial: object = None) -> Tensor:
    found = wrap(ops.max(node(x), axis, keepdims=keepdims))
    return found if initial is None else wrap(ops.maximum(*promote(found, initial)))


def min(x: object, axis: Axis = None, keepdims: bool = False, initial: object = None) -> Tensor:
    found = wrap(ops.min(node(x), axis, keepdims=keepdims))
    return found if initial is None else wrap(ops.minimum(*promote(found, initial)))


def amax(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return max(x, axis, keepdims=keepdims)


def amin(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return min(x, axis, keepdims=keepdims)


def all(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return wrap(ops.all(node(x, "bool"), axis, keepdims=keepdims))


def any(x: object, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return wrap(ops.any(node(x, "bool"), axis, keepdims=keepdims))


def argmax(x: object, axis: int | None = None, keepdims: bool = False) -> Tensor:
    return wrap(ops.argmax(node(x), axis, keepdims=keepdims))


def argmin(x: object, axis: int | None = None, keepdims: bool = False) -> Tensor:
    return wrap(ops.argmin(node(x), axis, keepdims=keepdims))
