"""Reductions along any axes, and positions of extremes."""

from __future__ import annotations

import re
from functools import cache
from math import inf, nan
from typing import Final

from tilec.dtypes import BF16, BOOL, F16, F32, I32, DType, integer_range
from tilec.errors import ArgumentError
from tilec.ops.creation import full
from tilec.ops.elementary import sqrt
from tilec.ops.elementwise import cast, floating
from tilec.ops.shapes import reshape
from tilec.ops.texts import Axes, axes_of, axis_of, listed, numbered, single, text
from tilec.program.boundary import public
from tilec.program.function import Function
from tilec.program.tensor import Operand, Tensor, tensor

# A[at] are all elements, O is the element that they are reduced to, C how many they are.
_STATEMENTS: Final = {
    "total": "R[O : S] = +(A[at])",
    "factors": "R[O : S] = *(A[at])",
    "highest": "R[O : S] = >(A[at])",
    "lowest": "R[O : S] = <(A[at])",
    "some": "R[O : S] = >(A[at])",
    "every": "R[O : S] = <(A[at])",
    "average": "T[O : S] = +(A[at]); R = T / (C)",
    "norm_1": "R[O : S] = +(abs(A[at]))",
    "squares": "R[O : S] = +(A[at] * A[at])",
    "norm_2": "T[O : S] = +(A[at] * A[at]); R = sqrt(T)",
    "spread": (
        "T[O : S] = +(A[at]); M = T / (C); "
        "V[O : S] = +((A[at] - M[O]) * (A[at] - M[O])); R = V / (C - D)"
    ),
    # The difference of infinities would be NaN.
    "log_total": (
        "M[O : S] = >(A[at]); F = M - M == 0 ? M : 0; "
        "T[O : S] = +(exp(A[at] - F[O])); R = log(T) + F"
    ),
    # NaN is unequal to itself, and comes before all numbers as in NumPy.
    "first_highest": (
        "M[O : S] = >(A[at]); X = index(A, axis); "
        "R[O : S] = <((A[at] == M[O]) | (A[at] != A[at]) ? X[at] : C)"
    ),
    "last_highest": (
        "M[O : S] = >(A[at]); X = index(A, axis); "
        "R[O : S] = >((A[at] == M[O]) | (A[at] != A[at]) ? X[at] : -1)"
    ),
    "first_lowest": (
        "M[O : S] = <(A[at]); X = index(A, axis); "
        "R[O : S] = <((A[at] == M[O]) | (A[at] != A[at]) ? X[at] : C)"
    ),
    "last_lowest": (
        "M[O : S] = <(A[at]); X = index(A, axis); "
        "R[O : S] = >((A[at] == M[O]) | (A[at] != A[at]) ? X[at] : -1)"
    ),
}


@cache
def _reduction(name: str, rank: int, axes: tuple[int, ...], keepdims: bool) -> Function:
    sizes, at = numbered("N", rank), numbered("i", rank)
    kept = [axis for axis in range(rank) if keepdims or axis not in axes]
    words = {
        "O": listed("0" if axis in axes else at[axis] for axis in kept),
        "S": listed("1" if axis in axes else sizes[axis] for axis in kept),
        "C": "*".join(sizes[axis] for axis in axes) or "1",
        "at": listed(at),
        "axis": str(axes[0]) if axes else "0",
    }
    statement = re.sub(r"\b(O|S|C|at|axis)\b", lambda found: words[found[1]], _STATEMENTS[name])
    extra = ", D" if name == "spread" else ""
    header = f"A[{listed(sizes)}]" if rank else "A[]"
    return text(f"function {name}({header}{extra}) -> (R) {{ {statement}; }}")


def _reduced(
    op: str, name: str, x: Tensor, axes: Axes, keepdims: bool, *rest: Operand, empty: float = 0
) -> Tensor:
    """A reduction; ``empty`` is the result where there is nothing to reduce."""
    found = axes_of(op, axes, x.ndim)
    if 0 in [x.shape[axis] for axis in found]:
        sizes = [1 if axis in found else size for axis, size in enumerate(x.shape)]
        kept = [size for axis, size in enumerate(sizes) if keepdims or axis not in found]
        return full(kept, empty, x.dtype)
    return single(_reduction(name, x.ndim, found, keepdims), x, *rest)


def _wide(op: str, name: str, x: Operand, axes: Axes, keepdims: bool, *rest: Operand) -> Tensor:
    """A reduction of floats, of which those of 16 bits are computed in f32."""
    kind = floating(x)
    wide = F32 if kind in (F16, BF16) else kind
    empty = -inf if name == "log_total" else 0 if name.startswith("norm") else nan
    found = _reduced(op, name, cast(x, wide), axes, keepdims, *rest, empty=empty)
    return cast(found, kind)


def _extreme(dtype: DType, highest: bool) -> float:
    if dtype.is_float:
        return inf if highest else -inf
    return integer_range(dtype)[highest]


@public
def sum(x: Operand, axes: Axes = None, *, keepdims: bool = False) -> Tensor:
    """``numpy.sum`` in the type of ``x``; bools are counted in i32."""
    found = tensor(x)
    found = cast(found, I32) if found.dtype == BOOL else found
    return _reduced("sum", "total", found, axes, keepdims)


@public
def prod(x: Operand, axes: Axes = None, *, keepdims: bool = False) -> Tensor:
    """``numpy.prod`` in the type of ``x``."""
    return _reduced("prod", "factors", tensor(x), axes, keepdims, empty=1)


@public
def max(x: Operand, axes: Axes = None, *, keepdims: bool = False) -> Tensor:
    """``numpy.max``; of nothing it is the lowest value of the type. NaN if one is."""
    found = tensor(x)
    empty = _extreme(found.dtype, highest=False)
    return _reduced("max", "highest", found, axes, keepdims, empty=empty)


@public
def min(x: Operand, axes: Axes = None, *, keepdims: bool = False) -> Tensor:
    """``numpy.min``; of nothing it is the highest value of the type. NaN if one is."""
    found = tensor(x)
    empty = _extreme(found.dtype, highest=True)
    return _reduced("min", "lowest", found, axes, keepdims, empty=empty)


@public
def any(x: Operand, axes: Axes = None, *, keepdims: bool = False) -> Tensor:
    """``numpy.any``."""
    return _reduced("any", "some", cast(x, BOOL), axes, keepdims)


@public
def all(x: Operand, axes: Axes = None, *, keepdims: bool = False) -> Tensor:
    """``numpy.all``."""
    return _reduced("all", "every", cast(x, BOOL), axes, keepdims, empty=1)


@public
def mean(x: Operand, axes: Axes = None, *, keepdims: bool = False) -> Tensor:
    """``numpy.mean``; integers become f32."""
    return _wide("mean", "average", x, axes, keepdims)


@public
def var(x: Operand, axes: Axes = None, *, ddof: int = 0, keepdims: bool = False) -> Tensor:
    """``numpy.var``: squared distance from the mean, over the count less ``ddof``."""
    return _wide("var", "spread", x, axes, keepdims, ddof)


@public
def std(x: Operand, axes: Axes = None, *, ddof: int = 0, keepdims: bool = False) -> Tensor:
    """``numpy.std``: the root of ``var``."""
    return sqrt(var(x, axes, ddof=ddof, keepdims=keepdims))


@public
def logsumexp(x: Operand, axes: Axes = None, *, keepdims: bool = False) -> Tensor:
    """``log(sum(exp(x)))`` without overflow: ``scipy.special.logsumexp``."""
    return _wide("logsumexp", "log_total", x, axes, keepdims)


@public
def sum_of_squares(x: Operand, axes: Axes = None, *, keepdims: bool = False) -> Tensor:
    """``numpy.sum(x * x)`` in the type of ``x``."""
    return _reduced("sum_of_squares", "squares", tensor(x), axes, keepdims)


@public
def norm_l1(x: Operand, axes: Axes = None, *, keepdims: bool = False) -> Tensor:
    """``numpy.sum(abs(x))`` in the type of ``x``."""
    return _reduced("norm_l1", "norm_1", tensor(x), axes, keepdims)


@public
def norm_l2(x: Operand, axes: Axes = None, *, keepdims: bool = False) -> Tensor:
    """``numpy.sqrt(numpy.sum(x * x))``; integers become f32."""
    return _wide("norm_l2", "norm_2", x, axes, keepdims)


@public
def argmax(
    x: Operand, axis: int | None = None, *, keepdims: bool = False, select_last: bool = False
) -> Tensor:
    """``numpy.argmax`` as i32: the first of equal maxima, or the last. NaN is the largest.

    Args:
        x: Any tensor.
        axis: Along which; None for the position among all elements in row-major order.
        keepdims: Keep the axis, with size 1.
        select_last: Take the last of equal maxima.

    Raises:
        ArgumentError: there is no such axis, or nothing along it.
    """
    return _position(
        "argmax", "last_highest" if select_last else "first_highest", x, axis, keepdims
    )


@public
def argmin(
    x: Operand, axis: int | None = None, *, keepdims: bool = False, select_last: bool = False
) -> Tensor:
    """``numpy.argmin`` as i32: see ``argmax``."""
    name = "last_lowest" if select_last else "first_lowest"
    return _position("argmin", name, x, axis, keepdims)


def _position(op: str, name: str, x: Operand, axis: int | None, keepdims: bool) -> Tensor:
    found = tensor(x)
    if axis is None:
        flat = reshape(found, (-1,))
        first = _position(op, name, flat, 0, keepdims=False)
        return reshape(first, (1,) * found.ndim) if keepdims else first
    at = axis_of(op, axis, found.ndim)
    if found.shape[at] == 0:
        raise ArgumentError(f"{op}: axis {axis} has size 0", help="there is no position to find")
    return single(_reduction(name, found.ndim, (at,), keepdims), found)
