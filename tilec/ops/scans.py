"""Running sums, products and extremes.

Each step combines windows of results that lie as far apart as the windows before were long: after
the first every element stands for 8 elements, then for 64, then for 512. So an axis of n elements
takes log8(n) steps, each of which runs on all threads, where a sum over all elements before
each one would take n times as much work (Hillis and Steele 1986, with a radix of 8).
"""

from __future__ import annotations

from functools import cache
from math import ceil, inf
from typing import Final

from tilec.dtypes import BF16, BOOL, F16, F32, I32, integer_range
from tilec.ops.creation import full
from tilec.ops.elementwise import cast
from tilec.ops.texts import axis_of, constant, listed, numbered, single, text
from tilec.program.boundary import public
from tilec.program.function import Function
from tilec.program.tensor import Operand, Tensor, tensor

_RADIX: Final = 8


@cache
def _running(
    rank: int, axis: int, size: int, sign: str, reverse: bool, exclusive: bool
) -> Function:
    """The text; elements before the first are left out of its windows."""
    sizes, at = listed(numbered("N", rank)), numbered("i", rank)
    back = "+" if reverse else "-"

    def shifted(by: str) -> str:
        return listed(f"{name} {back} {by}" if a == axis else name for a, name in enumerate(at))

    statements, last = list[str](), "X"
    if exclusive:
        statements = [
            f"F[{listed(at)} : {sizes}] = =(V[]);",
            f"S[{listed(at)} : {sizes}] = =(X[{shifted('1')}]) default F;",
        ]
        last = "S"
    length, step = 1, 0
    while length < size:
        taps = min(_RADIX, ceil(size / length))
        window = f"{sign}({last}[{shifted(f'{length}*j')}]), j < {taps}"
        statements.append(f"S{step}[{listed(at)} : {sizes}] = {window};")
        last = f"S{step}"
        length, step = length * _RADIX, step + 1
    return text(
        f"function running(X[{sizes}], V[]) -> (Y) {{ {' '.join(statements)} Y = {last}; }}"
    )


def _scan(
    op: str, sign: str, x: Tensor, axis: int, identity: float, exclusive: bool, reverse: bool
) -> Tensor:
    at = axis_of(op, axis, x.ndim)
    size = x.shape[at]
    if x.size == 0 or (size == 1 and not exclusive):
        return x
    if size == 1:
        return full(x.shape, identity, x.dtype)
    wide = F32 if x.dtype in (F16, BF16) else x.dtype
    function = _running(x.ndim, at, size, sign, reverse, exclusive)
    return cast(single(function, cast(x, wide), constant(identity, wide)), x.dtype)


@public
def cumsum(x: Operand, axis: int = 0, *, exclusive: bool = False, reverse: bool = False) -> Tensor:
    """``numpy.cumsum`` along an axis, in the type of ``x``; bools are counted in i32.

    Args:
        x: Any tensor.
        axis: Along which.
        exclusive: Leave each element out of its own sum.
        reverse: Sum from the end.
    """
    found = tensor(x)
    counted = cast(found, I32) if found.dtype == BOOL else found
    return _scan("cumsum", "+", counted, axis, 0, exclusive, reverse)


@public
def cumprod(x: Operand, axis: int = 0, *, exclusive: bool = False, reverse: bool = False) -> Tensor:
    """``numpy.cumprod`` along an axis: see ``cumsum``."""
    return _scan("cumprod", "*", tensor(x), axis, 1, exclusive, reverse)


@public
def cummax(x: Operand, axis: int = 0, *, reverse: bool = False) -> Tensor:
    """``numpy.maximum.accumulate`` along an axis."""
    found = tensor(x)
    lowest = -inf if found.dtype.is_float else integer_range(found.dtype)[0]
    return _scan("cummax", ">", found, axis, lowest, exclusive=False, reverse=reverse)


@public
def cummin(x: Operand, axis: int = 0, *, reverse: bool = False) -> Tensor:
    """``numpy.minimum.accumulate`` along an axis."""
    found = tensor(x)
    highest = inf if found.dtype.is_float else integer_range(found.dtype)[1]
    return _scan("cummin", "<", found, axis, highest, exclusive=False, reverse=reverse)
