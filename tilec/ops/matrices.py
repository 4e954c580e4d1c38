"""Diagonals, outer products and their like."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from tilec.dtypes import DType
from tilec.errors import ArgumentError, ShapeError
from tilec.ops.creation import positions
from tilec.ops.elementwise import cast, equal, where
from tilec.ops.shapes import broadcast_shape, broadcast_to, expand_dims, moveaxis, reshape, roll
from tilec.ops.texts import axis_of, listed, numbered, single, text
from tilec.program.boundary import public
from tilec.program.function import Function
from tilec.program.tensor import Operand, Tensor, tensor


@public
def one_hot(
    x: Operand,
    depth: int,
    *,
    on: Operand = 1.0,
    off: Operand = 0.0,
    axis: int = -1,
    dtype: DType | str | None = None,
) -> Tensor:
    """``on`` at the position that each integer names along a new axis, else ``off``.

    ``numpy.where(numpy.arange(depth) == x[..., None], on, off)``; negative integers count from
    the end, those outside are nowhere.

    Args:
        x: Integers.
        depth: Size of the new axis.
        on: What the named position gets.
        off: What the others get.
        axis: Where the new axis stands in the result.
        dtype: Of the result; by default that of ``on`` and ``off``.
    """
    found = tensor(x)
    at = axis_of("one_hot", axis, found.ndim + 1)
    places = reshape(positions(depth), (depth,) + (1,) * (found.ndim - at))
    wide = expand_dims(found, at)
    named = equal(where(wide < 0, wide + depth, wide), places)
    chosen = where(named, on, off)
    return chosen if dtype is None else cast(chosen, dtype)


@cache
def _diagonal(rank: int, offset: int) -> Function:
    """The diagonal of the last two axes."""
    sizes, at = numbered("N", rank), numbered("i", rank - 2)
    rows, columns = sizes[-2:]
    above, below = max(offset, 0), max(-offset, 0)
    length = f"min({rows} - {below}, {columns} - {above})"
    return text(
        f"function diagonal_of(X[{listed(sizes)}]) -> (Y) "
        f"{{ Y[{listed([*at, 'd'])} : {listed([*sizes[:-2], length])}]"
        f" = =(X[{listed([*at, f'd + {below}', f'd + {above}'])}]); }}"
    )


@public
def diagonal(x: Operand, offset: int = 0, axes: tuple[int, int] = (0, 1)) -> Tensor:
    """``numpy.diagonal``: the diagonal of two axes as the last axis.

    Raises:
        ShapeError: the diagonal does not exist.
    """
    found = tensor(x)
    last = moveaxis(found, axes, (-2, -1))
    rows, columns = last.shape[-2:]
    if not -rows < offset < columns:
        raise ShapeError(f"diagonal: {rows} x {columns} has no diagonal {offset}")
    return single(_diagonal(last.ndim, offset), last)


@public
def trace(x: Operand, offset: int = 0, axes: tuple[int, int] = (0, 1)) -> Tensor:
    """``numpy.trace`` in the type of ``x``."""
    found = diagonal(x, offset, axes)
    sizes, at = numbered("N", found.ndim), listed(numbered("i", found.ndim))
    kept = f"{listed(numbered('i', found.ndim - 1))} : {listed(sizes[:-1])}"
    return single(
        text(f"function traced(X[{listed(sizes)}]) -> (Y) {{ Y[{kept}] = +(X[{at}]); }}"), found
    )


@cache
def _diagonal_matrix(offset: int) -> Function:
    row, column = ("i", f"i + {offset}") if offset >= 0 else (f"i + {-offset}", "i")
    size = f"N + {abs(offset)}"
    return text(
        f"function diagonal_matrix(X[N]) -> (Y) "
        f"{{ Y[{row}, {column} : {size}, {size}] = =(X[i]); }}"
    )


@public
def diag(x: Operand, offset: int = 0) -> Tensor:
    """``numpy.diag``: the matrix with a diagonal, or the diagonal of a matrix.

    Raises:
        ArgumentError: ``x`` has neither one nor two axes.
    """
    found = tensor(x)
    if found.ndim == 2:
        return diagonal(found, offset)
    if found.ndim != 1:
        raise ArgumentError(f"diag: a tensor with {found.ndim} axes has no diagonal")
    return single(_diagonal_matrix(offset), found)


@public
def outer(a: Operand, b: Operand) -> Tensor:
    """``numpy.outer``: products of all pairs of elements."""
    left, right = reshape(tensor(a), (-1,)), reshape(tensor(b), (-1,))
    return single(
        text("function outer_product(A[M], B[N]) -> (C) { C[i, j : M, N] = =(A[i] * B[j]); }"),
        left,
        right,
    )


@cache
def _tensordot(left: int, right: int, pairs: tuple[tuple[int, int], ...]) -> Function:
    rows, columns = numbered("M", left), numbered("N", right)
    at, to = numbered("i", left), numbered("j", right)
    for one, other in pairs:
        columns[other], to[other] = rows[one], at[one]
    kept_rows = [axis for axis in range(left) if axis not in [one for one, _ in pairs]]
    kept_columns = [axis for axis in range(right) if axis not in [other for _, other in pairs]]
    out = listed([*(at[axis] for axis in kept_rows), *(to[axis] for axis in kept_columns)])
    sizes = listed([*(rows[axis] for axis in kept_rows), *(columns[axis] for axis in kept_columns)])
    return text(
        f"function tensor_product(A[{listed(rows)}], B[{listed(columns)}]) -> (C) "
        f"{{ C[{out} : {sizes}] = +(A[{listed(at)}] * B[{listed(to)}]); }}"
    )


@public
def tensordot(
    a: Operand, b: Operand, axes: int | tuple[Sequence[int], Sequence[int]] = 2
) -> Tensor:
    """``numpy.tensordot``: products summed over pairs of axes.

    Raises:
        ShapeError: the axes of a pair have different sizes.
    """
    left, right = tensor(a), tensor(b)
    if isinstance(axes, int):
        axes = (range(left.ndim - axes, left.ndim), range(axes))
    ones = [axis_of("tensordot", axis, left.ndim) for axis in axes[0]]
    others = [axis_of("tensordot", axis, right.ndim) for axis in axes[1]]
    if len(ones) != len(others) or any(
        left.shape[one] != right.shape[other] for one, other in zip(ones, others, strict=True)
    ):
        raise ShapeError(
            f"tensordot: shapes {list(left.shape)} and {list(right.shape)} do not fit along axes "
            f"{ones} and {others}"
        )
    pairs = tuple(zip(ones, others, strict=True))
    return single(_tensordot(left.ndim, right.ndim, pairs), left, right)


@public
def kron(a: Operand, b: Operand) -> Tensor:
    """``numpy.kron`` of tensors with equally many axes.

    Raises:
        ShapeError: the numbers of axes differ.
    """
    left, right = tensor(a), tensor(b)
    if left.ndim != right.ndim:
        raise ShapeError(f"kron: the operands have {left.ndim} and {right.ndim} axes")
    single_left = expand_dims(left, [2 * axis + 1 for axis in range(left.ndim)])
    single_right = expand_dims(right, [2 * axis for axis in range(left.ndim)])
    sizes = [one * other for one, other in zip(left.shape, right.shape, strict=True)]
    return reshape(single_left * single_right, sizes)


@public
def cross(a: Operand, b: Operand) -> Tensor:
    """``numpy.cross`` of vectors of three elements along the last axis.

    Raises:
        ShapeError: the last axes have another size.
    """
    left, right = tensor(a), tensor(b)
    shape = broadcast_shape("cross", left.shape, right.shape)
    if shape[-1:] != (3,):
        raise ShapeError(f"cross: the last axes of {list(left.shape)} and {list(right.shape)}")
    left, right = broadcast_to(left, shape), broadcast_to(right, shape)
    return roll(left, -1, -1) * roll(right, 1, -1) - roll(left, 1, -1) * roll(right, -1, -1)


@public
def meshgrid(*vectors: Operand, indexing: str = "xy") -> tuple[Tensor, ...]:
    """``numpy.meshgrid``: the coordinates of all points of a grid.

    Raises:
        ArgumentError: an operand is no vector, or the indexing is neither "xy" nor "ij".
    """
    found = [tensor(each) for each in vectors]
    if indexing not in ("xy", "ij") or any(each.ndim != 1 for each in found):
        raise ArgumentError('meshgrid: takes vectors, and the indexing "xy" or "ij"')
    order = [*range(len(found))]
    if indexing == "xy" and len(found) > 1:
        order[:2] = [1, 0]
    shape = [found[at].size for at in order]
    return tuple(
        broadcast_to(reshape(each, [-1] + [1] * (len(found) - 1 - order.index(at))), shape)
        for at, each in enumerate(found)
    )
