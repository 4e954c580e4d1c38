"""Comparisons, logic, and tests of elements."""

from __future__ import annotations

from keras_tilec.src.convert import node, promote, wrap
from keras_tilec.src.tensor import Tensor
from tilec import ops


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


def isinf(x: object) -> Tensor:
    return wrap(ops.isinf(node(x)))


def isposinf(x: object) -> Tensor:
    return wrap(ops.isinf(node(x), negative=False))


def isneginf(x: object) -> Tensor:
    return wrap(ops.isinf(node(x), positive=False))


def isreal(x: object) -> Tensor:
    return wrap(ops.ones(node(x).shape, "bool"))


def signbit(x: object) -> Tensor:
    return wrap(ops.signbit(node(x)))


def isclose(
    x1: object, x2: object, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    a, b = promote(x1, x2, like=(float,))
    close = ops.isclose(a, b, rtol, atol)
    if equal_nan:
        close = ops.logical_or(close, ops.logical_and(ops.isnan(a), ops.isnan(b)))
    return wrap(close)


def allclose(
    x1: object, x2: object, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    return wrap(ops.all(node(isclose(x1, x2, rtol, atol, equal_nan))))


def isin(x1: object, x2: object, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Every element is compared with every other one, in one contraction."""
    a, b = promote(x1, x2)
    found = ops.any(ops.equal(ops.expand_dims(a, -1), ops.reshape(b, (-1,))), -1)
    return wrap(ops.logical_not(found) if invert else found)
