"""Products of matrices and tensors, and diagonals."""

from __future__ import annotations

from typing import Any

import tilec
from keras_tilec.src.convert import convert, dtype_of, node, promote, wrap
from keras_tilec.src.dtypes import promoted
from keras_tilec.src.ops.numpy.reductions import wide
from keras_tilec.src.tensor import Tensor
from tilec import ops


def _factors(*xs: object) -> list[tilec.Tensor]:
    """Operands of a product; int8 is multiplied, and stays, in 32 bits."""
    found = [convert(each) for each in xs]
    are_bytes = {str(dtype_of(each)) for each in found} == {"int8"}
    return promote(*found, to="int32" if are_bytes else None)


def matmul(x1: object, x2: object) -> Tensor:
    return wrap(ops.matmul(*_factors(x1, x2)))


def einsum(subscripts: str, *operands: object, **kwargs: object) -> Tensor:
    return wrap(ops.einsum(subscripts, *_factors(*operands)))


def dot(x1: object, x2: object) -> Tensor:
    a, b = promote(x1, x2)
    if not a.ndim or not b.ndim:
        return wrap(ops.multiply(a, b))
    return wrap(ops.tensordot(a, b, ((-1,), (-2 if b.ndim > 1 else -1,))))


def inner(x1: object, x2: object) -> Tensor:
    a, b = promote(x1, x2)
    if not a.ndim or not b.ndim:
        return wrap(ops.multiply(a, b))
    return wrap(ops.tensordot(a, b, ((-1,), (-1,))))


def vdot(x1: object, x2: object) -> Tensor:
    a, b = promote(x1, x2)
    return wrap(ops.tensordot(ops.reshape(a, (-1,)), ops.reshape(b, (-1,)), 1))


def outer(x1: object, x2: object) -> Tensor:
    return wrap(ops.outer(*promote(x1, x2)))


def tensordot(x1: object, x2: object, axes: Any = 2) -> Tensor:
    a, b = promote(x1, x2)
    if isinstance(axes, int):
        return wrap(ops.tensordot(a, b, axes))
    left, right = ((each,) if isinstance(each, int) else tuple(each) for each in axes)
    return wrap(ops.tensordot(a, b, (left, right)))


def kron(x1: object, x2: object) -> Tensor:
    a, b = promote(x1, x2)
    rank = max(a.ndim, b.ndim)
    a, b = (ops.reshape(each, (1,) * (rank - each.ndim) + each.shape) for each in (a, b))
    return wrap(ops.kron(a, b))


def cross(
    x1: object,
    x2: object,
    axisa: int = -1,
    axisb: int = -1,
    axisc: int = -1,
    axis: int | None = None,
) -> Tensor:
    """Vectors of two elements lie in a plane: of two of these the product is a number."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = promote(x1, x2)
    a, b = ops.moveaxis(a, axisa, -1), ops.moveaxis(b, axisb, -1)
    if not {a.shape[-1], b.shape[-1]} <= {2, 3}:
        raise ValueError(
            f"cross: vectors have 2 or 3 elements, not {a.shape[-1]} and {b.shape[-1]}"
        )
    if a.shape[-1] == b.shape[-1] == 2:
        return wrap(ops.subtract(a[..., 0] * b[..., 1], a[..., 1] * b[..., 0]))
    a, b = (
        ops.pad(each, [(0, 0)] * (each.ndim - 1) + [(0, 3 - each.shape[-1])]) for each in (a, b)
    )
    found = ops.cross(a, b)
    return wrap(ops.moveaxis(found, -1, axisc))


def diag(x: object, k: int = 0) -> Tensor:
    found = node(x)
    return diagonal(x, k) if found.ndim == 2 else wrap(ops.diag(found, k))


def diagflat(x: object, k: int = 0) -> Tensor:
    return wrap(ops.diag(ops.reshape(node(x), (-1,)), k))


def _diagonal(x: tilec.Tensor, offset: int, axis1: int, axis2: int) -> tilec.Tensor:
    """The diagonal, which may be empty."""
    rows, columns = x.shape[axis1], x.shape[axis2]
    if -rows < offset < columns:
        return ops.diagonal(x, offset, (axis1, axis2))
    gone = {axis1 % x.ndim, axis2 % x.ndim}
    kept = [size for axis, size in enumerate(x.shape) if axis not in gone]
    return ops.zeros((*kept, 0), x.dtype)


def diagonal(x: object, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    return wrap(_diagonal(node(x), offset, axis1, axis2))


def trace(x: object, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    return wrap(ops.sum(_diagonal(wide(x), offset, axis1, axis2), -1))


def tril(x: object, k: int = 0) -> Tensor:
    return wrap(ops.tril(node(x), k))


def triu(x: object, k: int = 0) -> Tensor:
    return wrap(ops.triu(node(x), k))


def correlate(x1: object, x2: object, mode: str = "valid") -> Tensor:
    """Sums of products of two vectors, of which one slides along the other."""
    kind = promoted(*map(dtype_of, map(convert, (x1, x2))))
    if kind == "int64":
        kind = "float64"
    elif kind not in ("bfloat16", "float16", "float64"):
        kind = "float32"
    a, b = node(x1, kind), node(x2, kind)
    if a.ndim != 1 or b.ndim != 1 or mode not in ("valid", "same", "full"):
        raise ValueError(f"correlate: {a.shape} and {b.shape} in the mode {mode!r}")
    turned = a.size < b.size
    if turned:
        a, b = b, a
    reach = b.size - 1
    margins = {"valid": (0, 0), "full": (reach, reach), "same": (b.size // 2, reach - b.size // 2)}
    low, high = margins[mode]
    signal = ops.pad(a, [(high, low) if turned else (low, high)])
    found = ops.conv(ops.reshape(signal, (1, 1, -1)), ops.reshape(b, (1, 1, -1)))
    flat = ops.reshape(found, (-1,))
    return wrap(ops.flip(flat) if turned else flat)


def corrcoef(x: object) -> Tensor:
    """Correlations of the rows of a matrix."""
    found = convert(x)
    kind = str(dtype_of(found))
    if kind == "int64":
        kind = "float64"
    elif kind not in ("bfloat16", "float16", "float64"):
        kind = "float32"
    rows = node(found, kind)
    rows = ops.reshape(rows, (1, -1)) if rows.ndim < 2 else rows
    rows = ops.subtract(rows, ops.mean(rows, 1, keepdims=True))
    spread = ops.norm_l2(rows, 1, keepdims=True)
    rows = ops.divide(rows, spread)
    found = ops.clip(ops.matmul(rows, ops.transpose(rows)), -1, 1)
    return wrap(found[0, 0] if node(x).ndim < 2 else found)
