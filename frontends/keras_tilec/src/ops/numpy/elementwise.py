"""Arithmetic, comparisons, logic and elementary functions, element by element."""

from __future__ import annotations

from typing import Any

from keras_tilec.src.convert import as_float, convert, dtype_of, node, promote, wrap
from keras_tilec.src.tensor import Tensor
from tilec import ops


def add(x1: object, x2: object) -> Tensor:
    return wrap(ops.add(*promote(x1, x2)))


def subtract(x1: object, x2: object) -> Tensor:
    return wrap(ops.subtract(*promote(x1, x2)))


def multiply(x1: object, x2: object) -> Tensor:
    return wrap(ops.multiply(*promote(x1, x2)))


def divide(x1: object, x2: object) -> Tensor:
    return wrap(ops.divide(*promote(x1, x2, like=(float,))))


def true_divide(x1: object, x2: object) -> Tensor:
    return divide(x1, x2)


def divide_no_nan(x1: object, x2: object) -> Tensor:
    a, b = promote(x1, x2, like=(float,))
    is_zero = ops.equal(b, node(0, "float32"))
    quotient = ops.divide(a, ops.where(is_zero, ops.ones((), b.dtype), b))
    return wrap(ops.where(is_zero, ops.zeros((), a.dtype), quotient))


def floor_divide(x1: object, x2: object) -> Tensor:
    return wrap(ops.floor_divide(*promote(x1, x2, like=(int,))))


def mod(x1: object, x2: object) -> Tensor:
    return wrap(ops.remainder(*promote(x1, x2, like=(int,))))


def power(x1: object, x2: object) -> Tensor:
    return wrap(ops.power(*promote(x1, x2)))


def maximum(x1: object, x2: object) -> Tensor:
    return wrap(ops.maximum(*promote(x1, x2)))


def minimum(x1: object, x2: object) -> Tensor:
    return wrap(ops.minimum(*promote(x1, x2)))


def clip(x: object, x_min: object, x_max: object) -> Tensor:
    found = convert(x)
    kind = "int32" if dtype_of(found) == "bool" else dtype_of(found)
    return wrap(ops.clip(node(found, kind), node(x_min, kind), node(x_max, kind)))


def negative(x: object) -> Tensor:
    return wrap(ops.negative(node(x)))


def absolute(x: object) -> Tensor:
    found = node(x)
    return wrap(found if found.dtype.name == "bool" else ops.absolute(found))


def abs(x: object) -> Tensor:
    return absolute(x)


def sign(x: object) -> Tensor:
    return wrap(ops.sign(node(x)))


def square(x: object) -> Tensor:
    found = convert(x)
    return wrap(ops.square(node(found, "int32" if dtype_of(found) == "bool" else None)))


def ceil(x: object) -> Tensor:
    return wrap(ops.ceil(as_float(x)))


def floor(x: object) -> Tensor:
    return wrap(ops.floor(as_float(x)))


def round(x: object, decimals: int = 0) -> Tensor:
    found = node(x)
    if not found.dtype.is_float or decimals == 0:
        return wrap(ops.round(found) if found.dtype.is_float else found)
    scale = 10.0**decimals
    return wrap(ops.divide(ops.round(ops.multiply(found, scale)), scale))


def sqrt(x: object) -> Tensor:
    return wrap(ops.sqrt(as_float(x)))


def exp(x: object) -> Tensor:
    return wrap(ops.exp(as_float(x)))


def log(x: object) -> Tensor:
    return wrap(ops.log(as_float(x)))


def sin(x: object) -> Tensor:
    return wrap(ops.sin(as_float(x)))


def cos(x: object) -> Tensor:
    return wrap(ops.cos(as_float(x)))


def tan(x: object) -> Tensor:
    return wrap(ops.tan(as_float(x)))


def tanh(x: object) -> Tensor:
    return wrap(ops.tanh(as_float(x)))


def isfinite(x: object) -> Tensor:
    return wrap(ops.isfinite(node(x)))


def isnan(x: object) -> Tensor:
    return wrap(ops.isnan(node(x)))


def equal(x1: object, x2: object) -> Tensor:
    return wrap(ops.equal(*promote(x1, x2)))


def not_equal(x1: object, x2: object) -> Tensor:
    return wrap(ops.not_equal(*promote(x1, x2)))


def less(x1: object, x2: object) -> Tensor:
    return wrap(ops.less(*promote(x1, x2)))


def less_equal(x1: object, x2: object) -> Tensor:
    return wrap(ops.less_equal(*promote(x1, x2)))


def greater(x1: object, x2: object) -> Tensor:
    return wrap(ops.greater(*promote(x1, x2)))


def greater_equal(x1: object, x2: object) -> Tensor:
    return wrap(ops.greater_equal(*promote(x1, x2)))


def logical_and(x1: object, x2: object) -> Tensor:
    return wrap(ops.logical_and(node(x1, "bool"), node(x2, "bool")))


def logical_or(x1: object, x2: object) -> Tensor:
    return wrap(ops.logical_or(node(x1, "bool"), node(x2, "bool")))


def logical_xor(x1: object, x2: object) -> Tensor:
    return wrap(ops.logical_xor(node(x1, "bool"), node(x2, "bool")))


def logical_not(x: object) -> Tensor:
    return wrap(ops.logical_not(node(x, "bool")))


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


def where(condition: object, x1: object = None, x2: object = None) -> Any:
    if x1 is None or x2 is None:
        raise NotImplementedError("keras.ops.where needs x1 and x2; keras.ops.nonzero has places")
    return wrap(ops.where(node(condition, "bool"), *promote(x1, x2)))
