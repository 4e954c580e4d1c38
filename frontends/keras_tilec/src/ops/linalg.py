"""``keras.ops.linalg``: factorisations run on the host, norms are computed like anything else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Final, cast

import numpy as np

import tilec
from keras_tilec.src.convert import Axis, as_float, node, wrap, wrap_all
from keras_tilec.src.host import tree
from keras_tilec.src.ops.numpy.factors import factorised, factorised_pair
from keras_tilec.src.tensor import Array, Tensor, tracing
from tilec import ops

_linalg: Final[Any] = np.linalg


def cholesky(a: object, upper: bool = False) -> Tensor:
    return factorised("cholesky", lambda x: _turned(_linalg.cholesky(x), upper), a)


def _turned(x: Array, turned: bool) -> Array:
    return np.swapaxes(x, -1, -2) if turned else x


def cholesky_inverse(a: object, upper: bool = False) -> Tensor:
    """The inverse of the matrix of which ``a`` is the factor."""

    def inverse(factor: Array) -> Array:
        lower = np.tril(_turned(factor, upper))
        return _linalg.inv(lower @ np.swapaxes(lower, -1, -2))

    return factorised("cholesky_inverse", inverse, a)


def det(a: object) -> Tensor:
    return factorised("det", _linalg.det, a)


def eig(a: object) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors; those that are complex cannot be given back."""

    def values(x: Array) -> tuple[Array, Array]:
        found, vectors = _linalg.eig(x)
        if np.iscomplexobj(found) and np.any(found.imag):
            raise ValueError(
                "keras.ops.eig found complex eigenvalues, and the tilec backend has no complex "
                "dtype; symmetric matrices have real ones, for which keras.ops.eigh is faster"
            )
        return found.real, vectors.real

    return factorised("eig", values, a)


def eigh(a: object) -> tuple[Tensor, Tensor]:
    return factorised("eigh", lambda x: tuple(_linalg.eigh(x)), a)


def inv(a: object) -> Tensor:
    return factorised("inv", _linalg.inv, a)


def lu_factor(a: object) -> tuple[Tensor, Tensor]:
    """Both factors in one matrix, and with which row each one was exchanged."""
    return factorised("lu_factor", _lu, a)


def _lu(a: Array) -> tuple[Array, Array]:
    """Gaussian elimination with partial pivoting, of all matrices at once."""
    rows, columns = a.shape[-2:]
    found = a.reshape(-1, rows, columns).copy()
    count = min(rows, columns)
    exchanged = np.empty((len(found), count), np.int32)
    every = np.arange(len(found))
    for at in range(count):
        pivot = at + np.abs(found[:, at:, at]).argmax(1)
        exchanged[:, at] = pivot
        found[every, pivot], found[:, at] = found[:, at].copy(), found[every, pivot]
        head, column = found[:, at, at, None], found[:, at + 1 :, at]
        below = np.divide(column, head, out=np.zeros_like(column), where=head != 0)
        found[:, at + 1 :, at] = below
        found[:, at + 1 :, at + 1 :] -= below[..., None] * found[:, at, None, at + 1 :]
    return found.reshape(a.shape), exchanged.reshape(*a.shape[:-2], count)


def lstsq(a: object, b: object, rcond: float | None = None) -> Tensor:
    return factorised_pair("lstsq", lambda x, y: _linalg.lstsq(x, y, rcond)[0], a, b)


def matrix_rank(x: object, tol: float | None = None) -> Tensor:
    if node(x).ndim < 2:
        raise ValueError(
            f"Expected input to have rank >= 2. Received input with shape {node(x).shape}."
        )
    return factorised("matrix_rank", lambda a: _linalg.matrix_rank(a, tol), x)


def pinv(x: object, rcond: float | None = None) -> Tensor:
    return factorised("pinv", lambda a: _linalg.pinv(a, rcond), x)


def qr(x: object, mode: str = "reduced") -> tuple[Tensor, Tensor]:
    if mode not in ("reduced", "complete"):
        raise ValueError(
            "`mode` argument value not supported. Expected one of {'reduced', 'complete'}. "
            f"Received: mode={mode}"
        )
    return factorised("qr", lambda a: tuple(_linalg.qr(a, mode)), x)


def _columns(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A solver that takes vectors on the right, too."""

    def solved(a: Array, b: Array) -> Any:
        if b.ndim == a.ndim - 1:
            return function(a, b[..., None])[..., 0]
        return function(a, b)

    return solved


def solve(a: object, b: object) -> Tensor:
    return factorised_pair("solve", _columns(_linalg.solve), a, b)


def solve_triangular(a: object, b: object, lower: bool = False) -> Tensor:
    part: Any = np.tril if lower else np.triu
    return factorised_pair(
        "solve_triangular", _columns(lambda x, y: _linalg.solve(part(x), y)), a, b
    )


def svd(x: object, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    def values(a: Array) -> Any:
        found = _linalg.svd(a, full_matrices, compute_uv)
        return tuple(found) if compute_uv else found

    return factorised("svd", values, x)


def norm(x: object, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The norm of vectors along one axis, or of matrices along two."""
    found = as_float(x)
    wide = ops.cast(found, "f32") if found.dtype.bits < 32 else found
    if axis is None:
        axes = tuple(range(found.ndim))
        if ord is None:
            return wrap(ops.cast(ops.norm_l2(wide, keepdims=keepdims), found.dtype))
    else:
        axes = tuple(axis) if isinstance(axis, Sequence) else (axis,)
    for each in axes:
        if not -found.ndim <= each < found.ndim:
            raise ValueError(f"axis {each} is out of bounds for array of dimension {found.ndim}")
    if len(axes) == 1:
        result = _vector_norm(wide, ord, axes[0], keepdims)
    elif len(axes) == 2:
        result = _matrix_norm(wide, ord, (axes[0], axes[1]), keepdims)
    else:
        raise ValueError(f"A norm is one of vectors or of matrices, not of {len(axes)} axes")
    return wrap(ops.cast(result, found.dtype))


def _vector_norm(x: tilec.Tensor, ord: Any, axis: int, keepdims: bool) -> tilec.Tensor:
    if ord is None or ord == 2:
        return ops.norm_l2(x, axis, keepdims=keepdims)
    if isinstance(ord, str):
        raise ValueError(f"Invalid `ord` argument for vector norm. Received: ord={ord}")
    size = ops.absolute(x)
    if ord == inf:
        return ops.max(size, axis, keepdims=keepdims)
    if ord == -inf:
        return ops.min(size, axis, keepdims=keepdims)
    if ord == 0:
        return ops.sum(ops.cast(ops.not_equal(x, 0), x.dtype), axis, keepdims=keepdims)
    if ord == 1:
        return ops.norm_l1(x, axis, keepdims=keepdims)
    return ops.power(ops.sum(ops.power(size, float(ord)), axis, keepdims=keepdims), 1 / ord)


def _matrix_norm(x: tilec.Tensor, ord: Any, axes: tuple[int, int], keepdims: bool) -> tilec.Tensor:
    if ord is None or ord == "fro":
        return ops.norm_l2(x, axes, keepdims=keepdims)
    if ord in ("nuc", 2, -2):
        values = svd(Tensor(ops.moveaxis(x, axes, (-2, -1))), compute_uv=False).node
        found = _of_singular(values, ord)
        return ops.expand_dims(found, sorted(each % x.ndim for each in axes)) if keepdims else found
    if ord not in (1, -1, inf, -inf):
        raise ValueError(f"Invalid `ord` argument for matrix norm. Received: ord={ord}")
    row, column = (each % x.ndim for each in axes)
    summed, other = (row, column) if abs(ord) == 1 else (column, row)
    totals = ops.norm_l1(x, summed, keepdims=True)
    extreme = ops.max if ord > 0 else ops.min
    found = extreme(totals, other, keepdims=True)
    return found if keepdims else ops.squeeze(found, axes)


def _of_singular(values: tilec.Tensor, ord: Any) -> tilec.Tensor:
    if ord == "nuc":
        return ops.sum(values, -1)
    return ops.max(values, -1) if ord > 0 else ops.min(values, -1)


def jvp(
    fun: Callable[..., Any],
    primals: Sequence[object],
    tangents: Sequence[object],
    has_aux: bool = False,
) -> tuple[Any, ...]:
    """What a function gives, and how much that changes when its arguments do: in forward mode."""
    given = [node(each) for each in primals]
    result = fun(*map(Tensor, given))
    value, *rest = result if has_aux else (result,)

    def results(*xs: tilec.Tensor) -> tuple[tilec.Tensor, ...]:
        with tracing():
            found = fun(*map(Tensor, xs))
            return tuple(node(each) for each in tree.flatten(found[0] if has_aux else found))

    derived = tilec.jvp(tilec.trace(results, *map(_spec, given)).bound())
    found: object = tilec.apply(derived, *given, *map(node, tangents))
    several = isinstance(found, tuple)
    changes = wrap_all(cast("Sequence[tilec.Tensor]", found if several else (found,)))
    return (value, tree.pack_sequence_as(value, changes), *rest)


def _spec(x: tilec.Tensor) -> tilec.Spec:
    return tilec.Spec(x.shape, x.dtype)
