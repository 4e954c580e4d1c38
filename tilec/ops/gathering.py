"""Elements and slices at positions that are computed.

Positions may be negative, which counts from the end; those outside of an axis are clamped to it.
"""

from __future__ import annotations

from functools import cache
from math import prod

from tilec.dtypes import I64
from tilec.errors import ShapeError, TileTypeError
from tilec.ops.elementwise import cast
from tilec.ops.shapes import broadcast_to, reshape
from tilec.ops.texts import axis_of, listed, numbered, single, text
from tilec.program.boundary import public
from tilec.program.function import Function
from tilec.program.tensor import Operand, Tensor, tensor

_WIDEST_I32 = 1 << 31


def wrapped(positions: str, size: str) -> str:
    """Positions counted from the end where they are negative, and clamped."""
    return f"min(max({positions} < 0 ? {positions} + {size} : {positions}, 0), {size} - 1)"


def positions_of(op: str, given: Operand, elements: int) -> Tensor:
    """Positions as a tensor of integers that can count so many elements.

    Raises:
        TileTypeError: they are no integers.
    """
    found = tensor(given)
    if not found.dtype.is_integer:
        raise TileTypeError(
            f"{op}: the positions are {found.dtype}, not integers", help="convert with ops.cast"
        )
    return cast(found, I64) if elements >= _WIDEST_I32 else found


@cache
def _taken(rank: int) -> Function:
    """From the middle axis of three, at positions of this rank."""
    sizes, at = numbered("M", rank), numbered("i", rank)
    return text(
        f"function taken(X[O, N, K], I[{listed(sizes)}]) -> (Y) {{ "
        f"P = {wrapped('I', 'N')}; "
        f"Q[{listed(['o', *at])} : {listed(['O', *sizes])}] = =(P[{listed(at)}]); "
        f"Y = gather(reshape(X, O * N, K), Q + index(Q, 0) * N); }}"
    )


@cache
def _rows() -> Function:
    return text(f"function rows(X[N, K], I) -> (Y) {{ Y = gather(X, {wrapped('I', 'N')}); }}")


@public
def take(x: Operand, positions: Operand, axis: int | None = None) -> Tensor:
    """``numpy.take``: the slices of an axis at positions of any shape.

    Args:
        x: Any tensor.
        positions: Integers. Negative ones count from the end; what is outside is clamped.
        axis: Along which; None takes elements in row-major order.

    Raises:
        TileTypeError: the positions are no integers.
        ShapeError: the axis is empty, and the positions are not.
    """
    found = tensor(x)
    if axis is None:
        return take(reshape(found, (-1,)), positions, 0)
    at = axis_of("take", axis, found.ndim)
    where = positions_of("take", positions, found.size)
    outer, size, inner = found.shape[:at], found.shape[at], found.shape[at + 1 :]
    _require("take", size, where)
    shape = (*outer, *where.shape, *inner)
    if not outer:
        taken = single(_rows(), reshape(found, (size, prod(inner))), where)
    else:
        flat = reshape(found, (prod(outer), size, prod(inner)))
        taken = single(_taken(where.ndim), flat, where)
    return reshape(taken, shape)


def _require(op: str, size: int, where: Tensor) -> None:
    if size == 0 and where.size:
        raise ShapeError(f"{op}: positions in an axis of size 0")


def linear(rank: int, axes: dict[int, str]) -> str:
    """The number of an element in row-major order; its coordinate along each axis is given."""
    terms: list[str] = []
    for axis in range(rank):
        later = [f"N{each}" for each in range(axis + 1, rank)]
        terms.append(" * ".join([f"({axes[axis]})", *later]))
    return " + ".join(terms) or "0"


@cache
def _along(rank: int, axis: int) -> Function:
    sizes = numbered("N", rank)
    own = numbered("M", rank)
    places = {each: f"index(I, {each})" for each in range(rank)}
    places[axis] = wrapped("I", sizes[axis])
    return text(
        f"function along(X[{listed(sizes)}], I[{listed(own)}]) -> (Y) "
        f"{{ Y = gather(reshape(X, {' * '.join(sizes)}), {linear(rank, places)}); }}"
    )


@public
def take_along_axis(x: Operand, positions: Operand, axis: int) -> Tensor:
    """``numpy.take_along_axis``: each position is one in its own row.

    Args:
        x: Any tensor.
        positions: Integers, of the rank of ``x``; along other axes they broadcast.
        axis: Along which.

    Raises:
        TileTypeError: the positions are no integers.
        ShapeError: the shapes do not fit.
    """
    found = tensor(x)
    at = axis_of("take_along_axis", axis, found.ndim)
    where = positions_of("take_along_axis", positions, found.size)
    if where.ndim != found.ndim:
        raise ShapeError(
            f"take_along_axis: positions have {where.ndim} axes, and the tensor {found.ndim}"
        )
    _require("take_along_axis", found.shape[at], where)
    shape = (*found.shape[:at], where.shape[at], *found.shape[at + 1 :])
    return single(_along(found.ndim, at), found, broadcast_to(where, shape))


@public
def gather_elements(x: Operand, positions: Operand, axis: int = 0) -> Tensor:
    """``x[i, positions[i, j]]`` and its like for every place of ``positions``.

    As ``take_along_axis``, but nothing broadcasts, and ``positions`` may be smaller than ``x``
    along other axes.

    Raises:
        TileTypeError: the positions are no integers.
        ShapeError: the shapes do not fit.
    """
    found = tensor(x)
    at = axis_of("gather_elements", axis, found.ndim)
    where = positions_of("gather_elements", positions, found.size)
    fits = where.ndim == found.ndim and all(
        own <= size or each == at
        for each, (own, size) in enumerate(zip(where.shape, found.shape, strict=True))
    )
    if not fits:
        raise ShapeError(
            f"gather_elements: positions of shape {list(where.shape)} do not fit the shape "
            f"{list(found.shape)} along axis {at}"
        )
    _require("gather_elements", found.shape[at], where)
    return single(_along(found.ndim, at), found, where)


@cache
def _gathered(batch: int, depth: int, lead: int) -> Function:
    """Rows of X[batch..., depth..., K] at I[batch..., lead..., depth]."""
    sizes = [*numbered("B", batch), *numbered("N", depth)]
    own = [*numbered("B", batch), *numbered("M", lead)]
    at = numbered("i", batch + lead)
    statements: list[str] = []
    row = "0"
    for axis in range(batch):
        row = f"({row}) * B{axis} + index(P0, {axis})"
    for k in range(depth):
        statements.append(f"P{k}[{listed(at)} : {listed(own)}] = =(I[{listed([*at, k])}]);")
        row = f"({row}) * N{k} + " + wrapped(f"P{k}", f"N{k}")
    return text(
        f"function gathered(X[{listed([*sizes, 'K'])}], I[{listed([*own, depth])}]) -> (Y) "
        f"{{ {' '.join(statements)} Y = gather(reshape(X, {' * '.join(sizes)}, K), {row}); }}"
    )


@public
def gather_nd(x: Operand, positions: Operand, batch_axes: int = 0) -> Tensor:
    """``x[tuple(positions[..., k] for k in ...)]``: the last axis holds coordinates.

    Args:
        x: Any tensor.
        positions: Integers; the last axis has as many as axes of ``x`` are indexed.
        batch_axes: How many leading axes the two have in common.

    Raises:
        TileTypeError: the positions are no integers.
        ShapeError: the shapes do not fit.
    """
    found = tensor(x)
    where = positions_of("gather_nd", positions, found.size)
    depth = where.shape[-1] if where.shape else 0
    lead = where.ndim - 1 - batch_axes
    fits = (
        depth > 0
        and batch_axes >= 0
        and lead >= 0
        and batch_axes + depth <= found.ndim
        and where.shape[:batch_axes] == found.shape[:batch_axes]
    )
    if not fits:
        raise ShapeError(
            f"gather_nd: positions of shape {list(where.shape)} do not fit the shape "
            f"{list(found.shape)} with {batch_axes} batch axes"
        )
    used = found.shape[: batch_axes + depth]
    inner = found.shape[batch_axes + depth :]
    _require("gather_nd", prod(used), where)
    rows = single(_gathered(batch_axes, depth, lead), reshape(found, (*used, prod(inner))), where)
    return reshape(rows, (*where.shape[:-1], *inner))
