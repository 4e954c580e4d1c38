"""Arithmetic of elements, and choices between them."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any, Final

import ml_dtypes
import numpy as np

from keras_tilec.src.convert import as_float, convert, dtype_of, node, on_host, promote, wrap
from keras_tilec.src.dtypes import is_float, keras_name, numpy_dtype
from keras_tilec.src.ops.numpy.orders import nonzero
from keras_tilec.src.tensor import Tensor
from tilec import ops

_finfo: Final[Any] = ml_dtypes.finfo  # it knows bfloat16, too


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
    is_zero = ops.equal(b, 0)
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


def fmod(x1: object, x2: object) -> Tensor:
    return wrap(ops.fmod(*promote(x1, x2, like=(int,))))


def fmax(x1: object, x2: object) -> Tensor:
    """The larger one, and where one is NaN the other."""
    a, b = promote(x1, x2)
    return wrap(ops.where(ops.isnan(a), b, ops.where(ops.isnan(b), a, ops.maximum(a, b))))


def fmin(x1: object, x2: object) -> Tensor:
    a, b = promote(x1, x2)
    return wrap(ops.where(ops.isnan(a), b, ops.where(ops.isnan(b), a, ops.minimum(a, b))))


def heaviside(x1: object, x2: object) -> Tensor:
    return wrap(ops.heaviside(*promote(x1, x2, like=(float,))))


def fabs(x: object) -> Tensor:
    return wrap(ops.absolute(as_float(x)))


def ldexp(x1: object, x2: object) -> Tensor:
    exponent = convert(x2)
    if is_float(str(dtype_of(exponent))):
        raise TypeError(f"ldexp: the exponents are {dtype_of(exponent)}, not integers")
    a, b = promote(x1, exponent, like=(float,))
    return wrap(ops.multiply(a, ops.power(ops.full((), 2, a.dtype), b)))


def gcd(x1: object, x2: object) -> Tensor:
    return convert(np.gcd(*on_host("gcd", *promote(x1, x2))))


def lcm(x1: object, x2: object) -> Tensor:
    return convert(np.lcm(*on_host("lcm", *promote(x1, x2))))


def nextafter(x1: object, x2: object) -> Tensor:
    return convert(np.nextafter(*on_host("nextafter", *promote(x1, x2, like=(float,)))))


def clip(x: object, x_min: object, x_max: object) -> Tensor:
    found = convert(x)
    kind = "int32" if dtype_of(found) == "bool" else dtype_of(found)
    return wrap(ops.clip(node(found, kind), node(x_min, kind), node(x_max, kind)))


def ceil(x: object) -> Tensor:
    return wrap(ops.ceil(as_float(x)))


def floor(x: object) -> Tensor:
    return wrap(ops.floor(as_float(x)))


def round(x: object, decimals: int = 0) -> Tensor:
    found = node(x)
    if decimals == 0:
        return wrap(ops.round(found) if found.dtype.is_float else found)
    if not found.dtype.is_float and decimals > 0:
        return wrap(found)
    wide = found if found.dtype.is_float else ops.cast(found, "f64")
    scale = 10.0 ** builtins.abs(decimals)
    if decimals > 0:
        return wrap(ops.divide(ops.round(ops.multiply(wide, scale)), scale))
    return wrap(ops.cast(ops.multiply(ops.round(ops.divide(wide, scale)), scale), found.dtype))


def trunc(x: object) -> Tensor:
    found = node(x)
    return wrap(ops.trunc(found) if found.dtype.is_float else found)


def where(condition: object, x1: object = None, x2: object = None) -> Any:
    if x1 is None or x2 is None:
        return nonzero(condition)
    return wrap(ops.where(node(condition, "bool"), *promote(x1, x2)))


def select(condlist: Sequence[object], choicelist: Sequence[object], default: object = 0) -> Tensor:
    """For each element the choice of the first condition that holds."""
    *choices, found = promote(*choicelist, default)
    for condition, choice in zip(reversed(condlist), reversed(choices), strict=True):
        found = ops.where(node(condition, "bool"), choice, found)
    return wrap(found)


def nan_to_num(
    x: object, nan: object = 0.0, posinf: object = None, neginf: object = None
) -> Tensor:
    found = node(x)
    if not found.dtype.is_float:
        return wrap(found)
    kind = keras_name(found.dtype.name)
    limits = _finfo(numpy_dtype(found.dtype.name))
    for is_one, given, own in [
        (ops.isnan(found), nan, 0.0),
        (ops.isinf(found, negative=False), posinf, limits.max),
        (ops.isinf(found, positive=False), neginf, limits.min),
    ]:
        found = ops.where(is_one, node(float(own) if given is None else given, kind), found)
    return wrap(found)
