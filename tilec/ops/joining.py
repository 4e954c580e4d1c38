"""Tensors side by side, in parts, and with a margin around them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from operator import index
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from tilec.errors import ArgumentError, ShapeError
from tilec.ops.creation import full
from tilec.ops.elementwise import cast, common_dtype
from tilec.ops.gathering import take
from tilec.ops.shapes import expand_dims
from tilec.ops.texts import axis_of, listed, numbered, single, text
from tilec.program.boundary import public
from tilec.program.function import Function
from tilec.program.tensor import Operand, Tensor, tensor

PadMode: TypeAlias = Literal["constant", "reflect", "edge", "wrap"]


@cache
def _joined(rank: int, axis: int, count: int, equal: bool) -> Function:
    """Each operand behind the others; what is not written comes from the statement before.

    ``equal`` says that all have the same extent: then offsets are multiples of it.
    """
    sizes, at = numbered("N", rank), numbered("i", rank)
    own = ["L"] * count if equal else numbered("L", count)
    inputs = [
        f"X{k}[{listed(size if a != axis else own[k] for a, size in enumerate(sizes))}]"
        for k in range(count)
    ]
    whole = f"{count} * L" if equal else " + ".join(own)
    extents = listed(whole if a == axis else size for a, size in enumerate(sizes))
    statements: list[str] = []
    for k in range(count):
        offset = f"{at[axis]} + {k} * L" if equal else " + ".join([at[axis], *own[:k]])
        out = listed(offset if a == axis else name for a, name in enumerate(at))
        result = "Y" if k == count - 1 else f"T{k}"
        before = f" default T{k - 1}" if k else ""
        statements.append(f"{result}[{out} : {extents}] = =(X{k}[{listed(at)}]){before};")
    return text(f"function joined({', '.join(inputs)}) -> (Y) {{ {' '.join(statements)} }}")


@public
def concatenate(tensors: Sequence[Operand], axis: int = 0) -> Tensor:
    """``numpy.concatenate``.

    Raises:
        ArgumentError: there are no tensors, or no such axis.
        ShapeError: they differ along another axis.
    """
    found = [tensor(each) for each in tensors]
    if not found:
        raise ArgumentError("concatenate: there are no tensors")
    at = axis_of("concatenate", axis, found[0].ndim)
    shapes = [each.shape for each in found]
    if len({(*shape[:at], -1, *shape[at + 1 :]) for shape in shapes}) > 1 or any(
        len(shape) != len(shapes[0]) for shape in shapes
    ):
        raise ShapeError(
            f"concatenate: shapes {', '.join(str(list(s)) for s in shapes)} differ along other "
            f"axes than {at}"
        )
    kind = common_dtype(*found)
    parts = [cast(each, kind) for each in found if each.shape[at]] or [cast(found[0], kind)]
    if len(parts) == 1:
        return parts[0]
    equal = len({each.shape[at] for each in parts}) == 1
    return single(_joined(len(shapes[0]), at, len(parts), equal), *parts)


@public
def stack(tensors: Sequence[Operand], axis: int = 0) -> Tensor:
    """``numpy.stack``: along a new axis.

    Raises:
        ShapeError: the shapes differ.
    """
    found = [tensor(each) for each in tensors]
    if len({each.shape for each in found}) > 1:
        raise ShapeError(f"stack: shapes {', '.join(str(list(s.shape)) for s in found)} differ")
    return concatenate([expand_dims(each, axis) for each in found], axis)


@public
def split(x: Operand, parts: int | Sequence[int], axis: int = 0) -> tuple[Tensor, ...]:
    """Consecutive parts of an axis.

    Args:
        x: Any tensor.
        parts: How many equal parts, or the size of each; unlike ``numpy.split``, which takes the
            positions between them.
        axis: Along which.

    Raises:
        ShapeError: the parts do not make up the axis.
    """
    found = tensor(x)
    at = axis_of("split", axis, found.ndim)
    size = found.shape[at]
    if isinstance(parts, int):
        if parts < 1 or size % parts:
            raise ShapeError(f"split: size {size} of axis {at} has no {parts} equal parts")
        sizes = [size // parts] * parts
    else:
        sizes = [index(each) for each in parts]
    if any(each < 0 for each in sizes) or sum(sizes) != size:
        raise ShapeError(f"split: parts of {list(sizes)} do not make up size {size} of axis {at}")
    before = (slice(None),) * at
    ends = accumulate(sizes)
    return tuple(found[(*before, slice(end - s, end))] for s, end in zip(sizes, ends, strict=True))


@cache
def _margin(rank: int, axis: int, mode: str) -> Function:
    """A margin of L elements in front and of H behind one axis, filled from the axis itself."""
    sizes, at = numbered("N", rank), numbered("i", rank)
    size, name = sizes[axis], at[axis]
    reads = {
        "reflect": (f"L - {name}", f"{size} - 2 - {name}"),
        "edge": ("0", f"{size} - 1"),
        "wrap": (f"{size} - L + {name}", name),
    }[mode]

    def along(form: str) -> str:
        return listed(form if a == axis else each for a, each in enumerate(at))

    extents = listed(f"L + {s} + H" if a == axis else s for a, s in enumerate(sizes))
    return text(
        f"function margin(X[{listed(sizes)}], L, H) -> (Y) {{ "
        f"T[{listed(at)} : {extents}] = =(X[{along(reads[0])}]), {name} < L; "
        f"U[{along(f'{name} + L + {size}')} : {extents}] = =(X[{along(reads[1])}]), {name} < H "
        f"default T; "
        f"Y[{along(f'{name} + L')} : {extents}] = =(X[{listed(at)}]) default U; }}"
    )


@cache
def _framed(rank: int, filled: bool) -> Function:
    sizes, at = numbered("N", rank), numbered("i", rank)
    low, high = numbered("L", rank), numbered("H", rank)
    out = listed(f"{name} + {by}" for name, by in zip(at, low, strict=True))
    extents = listed(f"{a} + {n} + {b}" for a, n, b in zip(low, sizes, high, strict=True))
    fill, default = "", ""
    if filled:
        fill, default = f"F[{listed(at)} : {extents}] = =(V[]); ", " default F"
    header = [f"X[{listed(sizes)}]", *low, *high, *(["V[]"] if filled else [])]
    return text(
        f"function framed({', '.join(header)}) -> (Y) "
        f"{{ {fill}Y[{out} : {extents}] = =(X[{listed(at)}]){default}; }}"
    )


@public
def pad(
    x: Operand,
    widths: Sequence[tuple[int, int]],
    mode: PadMode = "constant",
    value: Operand = 0,
) -> Tensor:
    """``numpy.pad``.

    Args:
        x: Any tensor.
        widths: For each axis how many elements come in front and behind; a negative number takes
            some away.
        mode: What the new elements are: ``value``, or those of the axis mirrored at the outermost
            one, the outermost one itself, or those of the other end.
        value: For the mode ``"constant"``.

    Raises:
        ArgumentError: the widths do not fit the axes, or there is no such mode.
    """
    found = tensor(x)
    margins = [(index(low), index(high)) for low, high in widths]
    if len(margins) != found.ndim:
        raise ArgumentError(f"pad: {len(margins)} widths do not fit {found.ndim} axes")
    if mode not in get_args(PadMode):
        raise ArgumentError(
            f"pad: there is no mode {mode!r}", help=f"modes are {', '.join(get_args(PadMode))}"
        )
    taken = [
        slice(max(0, -low), max(0, size - max(0, -high), -low))
        for (low, high), size in zip(margins, found.shape, strict=True)
    ]
    found = found[tuple(taken)]
    margins = [(max(0, low), max(0, high)) for low, high in margins]
    if not any(map(any, margins)):
        return found
    if mode == "constant":
        return _constant_margin(found, margins, value)
    for axis, (low, high) in enumerate(margins):
        if low or high:
            found = _filled_margin(found, axis, low, high, mode)
    return found


def _constant_margin(x: Tensor, margins: Sequence[tuple[int, int]], value: Operand) -> Tensor:
    shape = [low + size + high for (low, high), size in zip(margins, x.shape, strict=True)]
    if x.size == 0:
        return full(shape, value, x.dtype)
    lows, highs = zip(*margins, strict=True)
    plain = isinstance(value, int | float) and value == 0
    filler = [] if plain else [cast(value, x.dtype)]
    return single(_framed(x.ndim, not plain), x, *lows, *highs, *filler)


def _filled_margin(x: Tensor, axis: int, low: int, high: int, mode: PadMode) -> Tensor:
    size = x.shape[axis]
    if size == 0:
        raise ArgumentError(f"pad: axis {axis} has size 0", help='only the mode "constant" fits it')
    limit = {"reflect": size - 1, "edge": max(low, high), "wrap": size}[mode]
    if min(low, high) > 0 and max(low, high) <= limit:
        return single(_margin(x.ndim, axis, mode), x, low, high)
    positions: Any = np.arange(size, dtype=np.int32)
    return take(x, np.pad(positions, (low, high), mode), axis)
