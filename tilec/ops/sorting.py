"""Orders of elements, and counts of them."""

from __future__ import annotations

from functools import cache

from tilec.errors import ArgumentError
from tilec.ops.creation import full
from tilec.ops.gathering import take_along_axis
from tilec.ops.shapes import reshape
from tilec.ops.texts import axis_of, listed, numbered, single, text
from tilec.program.boundary import public
from tilec.program.function import Function
from tilec.program.tensor import Operand, Tensor, tensor


@cache
def _order(axis: int, descending: bool) -> Function:
    return text(f"function order(X) -> (P) {{ P = argsort(X, {axis}, {int(descending)}); }}")


@public
def argsort(x: Operand, axis: int = -1, *, descending: bool = False) -> Tensor:
    """``numpy.argsort(x, axis, stable=True)`` as i32; NaN comes last, or first if descending."""
    found = tensor(x)
    at = axis_of("argsort", axis, found.ndim)
    return single(_order(at, descending), found)


@public
def sort(x: Operand, axis: int = -1, *, descending: bool = False) -> Tensor:
    """``numpy.sort``; NaN comes last, or first if descending."""
    found = tensor(x)
    return take_along_axis(found, argsort(found, axis, descending=descending), axis)


@public
def top_k(x: Operand, count: int, axis: int = -1, *, largest: bool = True) -> tuple[Tensor, Tensor]:
    """The largest elements of an axis in order, or the smallest, and their positions as i32.

    Of equal ones the first comes first: ``numpy.take_along_axis(x, p)`` with ``p`` the first
    ``count`` of ``numpy.argsort(-x, stable=True)``.

    Raises:
        ArgumentError: the axis has fewer elements.
    """
    found = tensor(x)
    at = axis_of("top_k", axis, found.ndim)
    if not 0 <= count <= found.shape[at]:
        raise ArgumentError(f"top_k: axis {at} has {found.shape[at]} elements, not {count}")
    order = argsort(found, at, descending=largest)
    first = order[(slice(None),) * at + (slice(0, count),)]
    return take_along_axis(found, first, at), first


@cache
def _below(rank: int, test: str) -> Function:
    sizes, at = listed(numbered("N", rank)), listed(numbered("i", rank))
    return text(
        f"function below(S[M], V[{sizes}]) -> (P) "
        f"{{ P[{at} : {sizes}] = +(as_int(S[j] {test} V[{at}], 32)); }}"
    )


@public
def searchsorted(ordered: Operand, values: Operand, *, right: bool = False) -> Tensor:
    """``numpy.searchsorted`` as i32: how many elements lie before each value.

    Args:
        ordered: A vector in ascending order.
        values: Of any shape.
        right: Count equal elements, too.

    Raises:
        ArgumentError: the first operand is no vector.
    """
    found, wanted = tensor(ordered), tensor(values)
    if found.ndim != 1:
        raise ArgumentError(f"searchsorted: the elements have {found.ndim} axes, not 1")
    if found.size == 0:
        return full(wanted.shape, 0, "i32")
    return single(_below(wanted.ndim, "<=" if right else "<"), found, wanted)


@cache
def _counted(size: int, weighted: bool) -> Function:
    """Counts at positions; those outside count nowhere."""
    what = "W" if weighted else "1"
    return text(
        f"function counted(X[N]{', W[N]' if weighted else ''}) -> (C) {{ "
        f"Z[k : {size}] = =(0); "
        f"C = scatter((X >= 0) & (X < {size}) ? {what} : 0, X, Z); }}"
    )


@public
def bincount(x: Operand, size: int, weights: Operand | None = None) -> Tensor:
    """``numpy.bincount`` with as many counts as ``size`` says; what lies outside is not counted.

    Args:
        x: Integers of any shape.
        size: How many counts there are.
        weights: What each element counts, of the shape of ``x``; by default 1, in i32.

    Raises:
        ArgumentError: there are no counts, or the elements are no integers.
    """
    found = tensor(x)
    if size < 1 or not found.dtype.is_integer:
        raise ArgumentError(f"bincount: {found.dtype} cannot be counted into {size} counts")
    flat = reshape(found, (-1,))
    if weights is None:
        return single(_counted(size, weighted=False), flat)
    return single(_counted(size, weighted=True), flat, reshape(tensor(weights), (-1,)))


@cache
def _placed() -> Function:
    return text(
        "function placed(X, L, H, B) -> (P) { Q = floor((X - L) / (H - L) * B); "
        "P = as_int((X >= L) & (X <= H) ? min(Q, B - 1) : -1, 32); }"
    )


@public
def histogram(x: Operand, bins: int, low: float, high: float) -> Tensor:
    """``numpy.histogram(x, bins, (low, high))[0]`` as i32.

    Raises:
        ArgumentError: there are no bins, or nothing lies between the bounds.
    """
    if bins < 1 or not low < high:
        raise ArgumentError(f"histogram: {bins} bins from {low} to {high} hold nothing")
    return bincount(single(_placed(), x, float(low), float(high), bins), bins)
