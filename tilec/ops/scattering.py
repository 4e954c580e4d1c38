"""Slices and elements put at positions that are computed.

Sums are scattered by the language. The others ask for each element of the result which updates
meet in it, which takes as many steps as there are elements times updates along the axis.
Positions may be negative, which counts from the end; those outside of an axis are clamped to it.
"""

from __future__ import annotations

from functools import cache
from math import prod
from typing import Final, Literal, TypeAlias, get_args

from tilec.errors import ArgumentError, ShapeError
from tilec.ops.elementwise import cast
from tilec.ops.gathering import linear, positions_of, wrapped
from tilec.ops.shapes import reshape
from tilec.ops.texts import axis_of, listed, numbered, single, text
from tilec.program.boundary import public
from tilec.program.function import Function
from tilec.program.tensor import Operand, Tensor, tensor

Combine: TypeAlias = Literal["replace", "add", "mul", "max", "min"]
"""What happens to an element and its updates. Where several replace it, the last one does."""

# X are rows, I their numbers and U the updates; a row that nothing reaches stays.
_STATEMENTS: Final = {
    "add": "Y = X + scatter(U, I, X);",
    "mul": "F[n, k : N, K] = *(P[n] == I[m] ? U[m, k] : 1); Y = X * F;",
    "max": "F[n, k : N, K] = >(P[n] == I[m] ? U[m, k] : X[n, k]); Y = max(X, F);",
    "min": "F[n, k : N, K] = <(P[n] == I[m] ? U[m, k] : X[n, k]); Y = min(X, F);",
    # Which update is the last one for each row, and -1 where there is none.
    "replace": (
        "L[n : N] = >(P[n] == I[m] ? Q[m] : -1); B[n, 0 : N, 1] = =(L[n]); "
        "Y = B < 0 ? X : gather(U, L);"
    ),
}


@cache
def _rows_changed(combine: Combine) -> Function:
    return text(
        "function rows_changed(X[N, K], I[M], U[M, K]) -> (Y) { "
        "Z[n : N] = =(0); P = index(Z, 0); Q = index(I, 0); "
        f"{_STATEMENTS[combine]} }}"
    )


def _changed(x: Tensor, rows: Tensor, updates: Tensor, combine: Combine) -> Tensor:
    """Rows of a matrix, at positions that are already counted from 0."""
    if 0 in (*x.shape, rows.size):
        return x
    found = single(_rows_changed(combine), x, rows, cast(updates, x.dtype))
    return cast(found, x.dtype)


def _check(op: str, combine: Combine) -> None:
    if combine not in get_args(Combine):
        raise ArgumentError(
            f"{op}: updates cannot be combined by {combine!r}",
            help=f"possible are {', '.join(get_args(Combine))}",
        )


@cache
def _numbers_along(rank: int, axis: int) -> Function:
    sizes, own = numbered("N", rank), numbered("M", rank)
    places = {each: f"index(I, {each})" for each in range(rank)}
    places[axis] = wrapped("I", sizes[axis])
    return text(
        f"function numbers_along(X[{listed(sizes)}], I[{listed(own)}]) -> (R) "
        f"{{ R = {linear(rank, places)}; }}"
    )


@public
def scatter_elements(
    x: Operand,
    positions: Operand,
    updates: Operand,
    axis: int = 0,
    combine: Combine = "replace",
) -> Tensor:
    """``x`` with ``updates[i, j]`` at ``[positions[i, j], j]``: ``numpy.put_along_axis``.

    Args:
        x: Any tensor.
        positions: Integers, of the rank of ``x``.
        updates: Of the shape of ``positions``.
        axis: Which coordinate the positions are.
        combine: How an element and its updates become one.

    Raises:
        TileTypeError: the positions are no integers.
        ShapeError: the shapes do not fit.
    """
    found, new = tensor(x), tensor(updates)
    _check("scatter_elements", combine)
    at = axis_of("scatter_elements", axis, found.ndim)
    where = positions_of("scatter_elements", positions, found.size)
    fits = where.shape == new.shape and where.ndim == found.ndim
    if not fits or any(
        own > size and each != at
        for each, (own, size) in enumerate(zip(where.shape, found.shape, strict=True))
    ):
        raise ShapeError(
            f"scatter_elements: positions of shape {list(where.shape)} and updates of "
            f"{list(new.shape)} do not fit the shape {list(found.shape)} along axis {at}"
        )
    if where.size == 0:
        return found
    rows = reshape(single(_numbers_along(found.ndim, at), found, where), (-1,))
    flat = _changed(reshape(found, (-1, 1)), rows, reshape(new, (-1, 1)), combine)
    return reshape(flat, found.shape)


@cache
def _numbers_of_points(depth: int) -> Function:
    statements, row = list[str](), "0"
    sizes = numbered("N", depth)
    for k in range(depth):
        statements.append(f"P{k}[m : M] = =(I[m, {k}]);")
        row = f"({row}) * N{k} + " + wrapped(f"P{k}", f"N{k}")
    return text(
        f"function numbers_of_points(X[{listed([*sizes, 'K'])}], I[M, {depth}]) -> (R) "
        f"{{ {' '.join(statements)} R = {row}; }}"
    )


@public
def scatter_nd(
    x: Operand, positions: Operand, updates: Operand, combine: Combine = "replace"
) -> Tensor:
    """``x`` with slices put at points: ``x[tuple(positions[..., k] for k in ...)] = updates``.

    Args:
        x: Any tensor.
        positions: Integers; the last axis has the leading coordinates of a slice of ``x``.
        updates: A slice for each point.
        combine: How an element and its updates become one.

    Raises:
        TileTypeError: the positions are no integers.
        ShapeError: the shapes do not fit.
    """
    found, new = tensor(x), tensor(updates)
    _check("scatter_nd", combine)
    where = positions_of("scatter_nd", positions, found.size)
    depth = where.shape[-1] if where.shape else 0
    if not 0 < depth <= found.ndim or new.shape != (*where.shape[:-1], *found.shape[depth:]):
        raise ShapeError(
            f"scatter_nd: positions of shape {list(where.shape)} and updates of "
            f"{list(new.shape)} do not fit the shape {list(found.shape)}"
        )
    if where.size == 0 or found.size == 0:
        return found
    inner = prod(found.shape[depth:])
    wide = reshape(found, (*found.shape[:depth], inner))
    rows = single(_numbers_of_points(depth), wide, reshape(where, (-1, depth)))
    flat = _changed(reshape(found, (-1, inner)), rows, reshape(new, (-1, inner)), combine)
    return reshape(flat, found.shape)
