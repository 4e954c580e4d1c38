"""Tensors of sizes alone: filled ones, ranges, and masks of positions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import ceil, isfinite
from operator import index

from tilec.dtypes import F32, I32, DType
from tilec.errors import ArgumentError
from tilec.ops.elementwise import cast
from tilec.ops.texts import constant, listed, numbered, single, text
from tilec.program.boundary import public
from tilec.program.function import Function
from tilec.program.tensor import Operand, Tensor, tensor
from tilec.runtime.spec import Spec


@cache
def _filled(shape: tuple[int, ...]) -> Function:
    at = numbered("i", len(shape))
    return text(f"function filled(V[]) -> (R) {{ R[{listed(at)} : {listed(shape)}] = =(V[]); }}")


@public
def full(shape: Sequence[int], value: Operand, dtype: DType | str | None = None) -> Tensor:
    """``numpy.full``.

    Args:
        shape: Extents.
        value: A number, or a tensor without axes.
        dtype: By default that of the value: i32 or f32 for Python numbers.

    Raises:
        ArgumentError: a size is negative, or the value has axes.
    """
    sizes = tuple(map(index, shape))
    if any(size < 0 for size in sizes):
        raise ArgumentError(f"full: the shape {list(sizes)} has a negative size")
    kind = None if dtype is None else Spec((), dtype).dtype
    if isinstance(value, bool | int | float) and kind is not None:
        filler = constant(value, kind)
    else:
        filler = tensor(value) if kind is None else cast(value, kind)
    if filler.shape:
        raise ArgumentError(f"full: the value has the shape {list(filler.shape)}, not []")
    return single(_filled(sizes), filler) if sizes else filler


@public
def zeros(shape: Sequence[int], dtype: DType | str = F32) -> Tensor:
    """``numpy.zeros``."""
    return full(shape, 0, dtype)


@public
def ones(shape: Sequence[int], dtype: DType | str = F32) -> Tensor:
    """``numpy.ones``."""
    return full(shape, 1, dtype)


def positions(count: int) -> Tensor:
    """0, 1, ... as i32."""
    return single(_positions(count))


@cache
def _positions(count: int) -> Function:
    return text(f"function positions() -> (R) {{ Z[i : {count}] = =(0); R = index(Z, 0); }}")


@public
def arange(
    start: float, stop: float | None = None, step: float = 1, dtype: DType | str | None = None
) -> Tensor:
    """``numpy.arange``; by default i32 where all three are integers, else f32.

    Raises:
        ArgumentError: the step is 0, or a bound is not finite.
    """
    first, last = (0, start) if stop is None else (start, stop)
    if step == 0 or not all(map(isfinite, (first, last, step))):
        raise ArgumentError(f"arange: {first} to {last} by {step} has no end")
    count = max(0, ceil((last - first) / step))
    whole = all(isinstance(each, int) for each in (first, last, step))
    kind = Spec((), dtype).dtype if dtype is not None else I32 if whole else F32
    return cast(positions(count), kind) * constant(step, kind) + constant(first, kind)


@public
def linspace(
    start: float, stop: float, count: int = 50, *, endpoint: bool = True, dtype: DType | str = F32
) -> Tensor:
    """``numpy.linspace``."""
    kind = Spec((), dtype).dtype
    gaps = count - 1 if endpoint else count
    step = (stop - start) / gaps if gaps > 0 else 0.0
    return cast(positions(count), kind) * constant(step, kind) + constant(start, kind)


@cache
def _diagonal(rows: int, columns: int, test: str) -> Function:
    return text(
        f"function diagonal(K) -> (R) {{ Z[i, j : {rows}, {columns}] = =(0); "
        f"R = index(Z, 1) - index(Z, 0) {test} K; }}"
    )


@public
def eye(rows: int, columns: int | None = None, k: int = 0, dtype: DType | str = F32) -> Tensor:
    """``numpy.eye``: 1 on the diagonal ``k``, else 0."""
    width = rows if columns is None else columns
    return cast(single(_diagonal(rows, width, "=="), k), dtype)


@public
def tri(rows: int, columns: int | None = None, k: int = 0, dtype: DType | str = F32) -> Tensor:
    """``numpy.tri``: 1 on the diagonal ``k`` and below it, else 0."""
    width = rows if columns is None else columns
    return cast(single(_diagonal(rows, width, "<="), k), dtype)


@cache
def _triangle(rank: int, test: str) -> Function:
    return text(
        f"function triangle(X[{listed(numbered('N', rank))}], K) -> (Y) "
        f"{{ Y = index(X, {rank - 1}) - index(X, {rank - 2}) {test} K ? X : 0; }}"
    )


def _part(op: str, x: Operand, k: int, test: str) -> Tensor:
    found = tensor(x)
    if found.ndim < 2:
        raise ArgumentError(f"{op}: a tensor with {found.ndim} axes has no matrices")
    return cast(single(_triangle(found.ndim, test), found, k), found.dtype)


@public
def tril(x: Operand, k: int = 0) -> Tensor:
    """``numpy.tril``: 0 above the diagonal ``k`` of the last two axes."""
    return _part("tril", x, k, "<=")


@public
def triu(x: Operand, k: int = 0) -> Tensor:
    """``numpy.triu``: 0 below the diagonal ``k`` of the last two axes."""
    return _part("triu", x, k, ">=")
