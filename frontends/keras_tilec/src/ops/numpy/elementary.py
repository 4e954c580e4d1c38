"""Exponentials, logarithms, roots and angles; integers become floats."""

from __future__ import annotations

import math

from keras_tilec.src.convert import as_float, convert, node, promote, wrap
from keras_tilec.src.tensor import Tensor
from tilec import ops


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


def exp2(x: object) -> Tensor:
    return wrap(ops.exp2(as_float(x)))


def expm1(x: object) -> Tensor:
    return wrap(ops.expm1(as_float(x)))


def log10(x: object) -> Tensor:
    return wrap(ops.log10(as_float(x)))


def log1p(x: object) -> Tensor:
    return wrap(ops.log1p(as_float(x)))


def log2(x: object) -> Tensor:
    return wrap(ops.log2(as_float(x)))


def cbrt(x: object) -> Tensor:
    return wrap(ops.cbrt(as_float(x)))


def sinh(x: object) -> Tensor:
    return wrap(ops.sinh(as_float(x)))


def cosh(x: object) -> Tensor:
    return wrap(ops.cosh(as_float(x)))


def arcsin(x: object) -> Tensor:
    return wrap(ops.arcsin(as_float(x)))


def arccos(x: object) -> Tensor:
    return wrap(ops.arccos(as_float(x)))


def arctan(x: object) -> Tensor:
    return wrap(ops.arctan(as_float(x)))


def arcsinh(x: object) -> Tensor:
    return wrap(ops.arcsinh(as_float(x)))


def arccosh(x: object) -> Tensor:
    return wrap(ops.arccosh(as_float(x)))


def arctanh(x: object) -> Tensor:
    return wrap(ops.arctanh(as_float(x)))


def sinc(x: object) -> Tensor:
    return wrap(ops.sinc(as_float(x)))


def deg2rad(x: object) -> Tensor:
    return wrap(ops.deg2rad(as_float(x)))


def rad2deg(x: object) -> Tensor:
    return wrap(ops.rad2deg(as_float(x)))


def i0(x: object) -> Tensor:
    return wrap(ops.i0(as_float(x)))


def reciprocal(x: object) -> Tensor:
    return wrap(ops.reciprocal(as_float(x)))


def arctan2(x1: object, x2: object) -> Tensor:
    return wrap(ops.arctan2(*promote(x1, x2, like=(float,))))


def hypot(x1: object, x2: object) -> Tensor:
    return wrap(ops.hypot(*promote(x1, x2, like=(float,))))


def logaddexp(x1: object, x2: object) -> Tensor:
    return wrap(ops.logaddexp(*promote(x1, x2, like=(float,))))


def logaddexp2(x1: object, x2: object) -> Tensor:
    a, b = (ops.multiply(each, math.log(2)) for each in promote(x1, x2, like=(float,)))
    return wrap(ops.divide(ops.logaddexp(a, b), math.log(2)))


def real(x: object) -> Tensor:
    return convert(x)


def imag(x: object) -> Tensor:
    return wrap(ops.multiply(node(x), 0))


def conj(x: object) -> Tensor:
    return convert(x)


def conjugate(x: object) -> Tensor:
    return convert(x)


def angle(x: object) -> Tensor:
    """Of real numbers: 0, or pi for negative ones."""
    found = as_float(x)
    return wrap(ops.arctan2(ops.zeros(found.shape, found.dtype), found))
