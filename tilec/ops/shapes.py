"""Other shapes and other orders of axes for the same elements."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import prod
from operator import index

from tilec.errors import ArgumentError, ShapeError
from tilec.ops.creation import zeros
from tilec.ops.texts import Axes, axes_of, axis_of, listed, numbered, single, text
from tilec.program.boundary import public
from tilec.program.function import Function
from tilec.program.tensor import Operand, Tensor, tensor


@cache
def _reshaped(shape: tuple[int, ...]) -> Function:
    return text(f"function reshaped(X) -> (Y) {{ Y = reshape({listed(('X', *shape))}); }}")


@public
def reshape(x: Operand, shape: Sequence[int]) -> Tensor:
    """``numpy.reshape`` in row-major order; one size may be -1, which is what is left.

    Raises:
        ShapeError: the number of elements differs.
    """
    found = tensor(x)
    sizes = [index(each) for each in shape]
    unknown = [at for at, size in enumerate(sizes) if size == -1]
    rest = prod(size for size in sizes if size != -1)
    if len(unknown) == 1 and rest > 0 and found.size % rest == 0:
        sizes[unknown[0]] = found.size // rest
    if any(size < 0 for size in sizes) or prod(sizes) != found.size:
        raise ShapeError(
            f"reshape: {found.size} elements of shape {list(found.shape)} do not fit the shape "
            f"{list(shape)}"
        )
    return found if tuple(sizes) == found.shape else single(_reshaped(tuple(sizes)), found)


@public
def flatten(x: Operand, axis: int = 0) -> Tensor:
    """All axes from ``axis`` on as one: ``x.reshape(*x.shape[:axis], -1)``."""
    found = tensor(x)
    at = axis_of("flatten", axis, found.ndim) if found.ndim else 0
    return reshape(found, (*found.shape[:at], prod(found.shape[at:])))


@public
def squeeze(x: Operand, axes: Axes = None) -> Tensor:
    """``numpy.squeeze``: without axes of size 1, all or the given ones.

    Raises:
        ShapeError: one of the given axes has another size.
    """
    found = tensor(x)
    if axes is None:
        gone = tuple(axis for axis, size in enumerate(found.shape) if size == 1)
    else:
        gone = axes_of("squeeze", axes, found.ndim)
    for axis in gone:
        if found.shape[axis] != 1:
            raise ShapeError(f"squeeze: axis {axis} has size {found.shape[axis]}, not 1")
    return reshape(found, [size for axis, size in enumerate(found.shape) if axis not in gone])


@public
def expand_dims(x: Operand, axes: int | Sequence[int]) -> Tensor:
    """``numpy.expand_dims``: new axes of size 1, counted in the result."""
    found = tensor(x)
    given = (axes,) if isinstance(axes, int) else tuple(axes)
    rank = found.ndim + len(given)
    new = axes_of("expand_dims", given, rank)
    old = iter(found.shape)
    return reshape(found, [1 if axis in new else next(old) for axis in range(rank)])


@cache
def _transposed(order: tuple[int, ...]) -> Function:
    sizes, at = numbered("N", len(order)), numbered("i", len(order))
    out = f"{listed(at[axis] for axis in order)} : {listed(sizes[axis] for axis in order)}"
    return text(
        f"function transposed(X[{listed(sizes)}]) -> (Y) {{ Y[{out}] = =(X[{listed(at)}]); }}"
    )


@public
def transpose(x: Operand, order: Sequence[int] | None = None) -> Tensor:
    """``numpy.transpose``: axis ``k`` of the result is axis ``order[k]``; by default reversed.

    Raises:
        ArgumentError: the order does not name each axis once.
    """
    found = tensor(x)
    if order is None:
        axes = tuple(range(found.ndim))[::-1]
    else:
        axes = tuple(axis_of("transpose", each, found.ndim) for each in order)
    if sorted(axes) != list(range(found.ndim)):
        raise ArgumentError(
            f"transpose: the order {list(axes)} does not name each of {found.ndim} axes once"
        )
    return found if axes == tuple(range(found.ndim)) else single(_transposed(axes), found)


@public
def moveaxis(x: Operand, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """``numpy.moveaxis``.

    Raises:
        ArgumentError: the numbers of axes differ.
    """
    found = tensor(x)
    froms = (source,) if isinstance(source, int) else tuple(source)
    tos = (destination,) if isinstance(destination, int) else tuple(destination)
    if len(froms) != len(tos):
        raise ArgumentError(f"moveaxis: {len(froms)} axes cannot go to {len(tos)} places")
    placed = {
        axis_of("moveaxis", to, found.ndim): axis_of("moveaxis", source_axis, found.ndim)
        for source_axis, to in zip(froms, tos, strict=True)
    }
    others = iter(axis for axis in range(found.ndim) if axis not in placed.values())
    return transpose(
        found, [placed[at] if at in placed else next(others) for at in range(found.ndim)]
    )


@public
def swapaxes(x: Operand, first: int, second: int) -> Tensor:
    """``numpy.swapaxes``."""
    found = tensor(x)
    order = list(range(found.ndim))
    a, b = (axis_of("swapaxes", axis, found.ndim) for axis in (first, second))
    order[a], order[b] = order[b], order[a]
    return transpose(found, order)


@cache
def _broadcast(shape: tuple[int, ...], own: tuple[int, ...]) -> Function:
    lead = len(shape) - len(own)
    at = numbered("i", len(shape))
    reads = ["0" if size == 1 else name for name, size in zip(at[lead:], own, strict=True)]
    return text(
        f"function broadcasted(X[{listed(numbered('N', len(own)))}]) -> (Y) "
        f"{{ Y[{listed(at)} : {listed(shape)}] = =(X[{listed(reads)}]); }}"
    )


@public
def broadcast_to(x: Operand, shape: Sequence[int]) -> Tensor:
    """``numpy.broadcast_to``.

    Raises:
        ShapeError: the shape of ``x`` does not broadcast to it.
    """
    found, sizes = tensor(x), tuple(map(index, shape))
    own = found.shape
    fits = len(own) <= len(sizes) and all(
        mine in (1, size) for mine, size in zip(own[::-1], sizes[::-1], strict=False)
    )
    if not fits:
        raise ShapeError(f"broadcast_to: the shape {list(own)} does not broadcast to {list(sizes)}")
    return found if own == sizes else single(_broadcast(sizes, own), found)


def broadcast_shape(op: str, *shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape to which shapes broadcast.

    Raises:
        ShapeError: they do not.
    """
    rank = max(map(len, shapes), default=0)
    found: list[int] = []
    for at in range(-rank, 0):
        sizes = {shape[at] for shape in shapes if len(shape) >= -at} - {1}
        if len(sizes) > 1:
            raise ShapeError(f"{op}: shapes {', '.join(str(list(s)) for s in shapes)} do not fit")
        found.append(sizes.pop() if sizes else 1)
    return tuple(found)


@cache
def _repeated(counts: tuple[int, ...], inner: bool) -> Function:
    """Every element, or the whole axis, several times along each axis."""
    rank = len(counts)
    sizes, at, turn = numbered("N", rank), numbered("i", rank), numbered("t", rank)
    out, bounds = list[str](), list[str]()
    for size, place, copy, count in zip(sizes, at, turn, counts, strict=True):
        if count == 1:
            out.append(place)
            continue
        out.append(f"{count}*{place} + {copy}" if inner else f"{size}*{copy} + {place}")
        bounds.append(f", {copy} < {count}")
    extents = listed(f"{count} * {size}" for size, count in zip(sizes, counts, strict=True))
    return text(
        f"function repeated(X[{listed(sizes)}]) -> (Y) "
        f"{{ Y[{listed(out)} : {extents}] = =(X[{listed(at)}]){''.join(bounds)}; }}"
    )


@public
def tile(x: Operand, counts: int | Sequence[int]) -> Tensor:
    """``numpy.tile``: the whole tensor several times along each axis.

    Raises:
        ArgumentError: a count is negative.
    """
    found = tensor(x)
    given = (counts,) if isinstance(counts, int) else tuple(map(index, counts))
    if any(count < 0 for count in given):
        raise ArgumentError(f"tile: the counts {list(given)} are not all positive or 0")
    rank = max(found.ndim, len(given))
    wide = reshape(found, (1,) * (rank - found.ndim) + found.shape)
    times = (1,) * (rank - len(given)) + given
    return _copies(wide, times, inner=False)


@public
def repeat(x: Operand, count: int, axis: int | None = None) -> Tensor:
    """``numpy.repeat`` with one count: every element several times along an axis.

    Raises:
        ArgumentError: there is no such axis, or the count is negative.
    """
    found = tensor(x)
    if axis is None:
        return repeat(reshape(found, (-1,)), count, 0)
    at = axis_of("repeat", axis, found.ndim)
    if count < 0:
        raise ArgumentError(f"repeat: the count {count} is negative")
    times = tuple(count if each == at else 1 for each in range(found.ndim))
    return _copies(found, times, inner=True)


def _copies(x: Tensor, counts: tuple[int, ...], *, inner: bool) -> Tensor:
    if set(counts) <= {1}:
        return x
    if 0 in counts:
        return zeros([size * count for size, count in zip(x.shape, counts, strict=True)], x.dtype)
    return single(_repeated(counts, inner), x)


@public
def flip(x: Operand, axes: Axes = None) -> Tensor:
    """``numpy.flip``."""
    found = tensor(x)
    turned = axes_of("flip", axes, found.ndim)
    return found[tuple(slice(None, None, -1 if a in turned else 1) for a in range(found.ndim))]


@cache
def _rolled(rank: int, axis: int) -> Function:
    sizes, at = listed(numbered("N", rank)), numbered("i", rank)

    def moved(by: str) -> str:
        return listed(f"{name} + {by}" if a == axis else name for a, name in enumerate(at))

    return text(
        f"function rolled(X[{sizes}], S) -> (Y) {{ "
        f"T[{moved('S')} : {sizes}] = =(X[{listed(at)}]); "
        f"Y[{moved(f'S - N{axis}')} : {sizes}] = =(X[{listed(at)}]) default T; }}"
    )


@public
def roll(x: Operand, shift: int | Sequence[int], axes: int | Sequence[int] | None = None) -> Tensor:
    """``numpy.roll``: elements that leave an axis come in at its other end.

    Raises:
        ArgumentError: there is no such axis, or the numbers of shifts and axes differ.
    """
    found = tensor(x)
    if axes is None:
        if not isinstance(shift, int):
            raise ArgumentError("roll: several shifts need several axes")
        return reshape(roll(reshape(found, (-1,)), shift, 0), found.shape)
    along = (axes,) if isinstance(axes, int) else tuple(axes)
    shifts = (shift,) * len(along) if isinstance(shift, int) else tuple(shift)
    if len(shifts) != len(along):
        raise ArgumentError(f"roll: {len(shifts)} shifts do not fit {len(along)} axes")
    for by, axis in zip(shifts, along, strict=True):
        at = axis_of("roll", axis, found.ndim)
        size = found.shape[at]
        if size and by % size:
            found = single(_rolled(found.ndim, at), found, by % size)
    return found


@public
def rot90(x: Operand, turns: int = 1, axes: tuple[int, int] = (0, 1)) -> Tensor:
    """``numpy.rot90``: quarter turns from the first axis toward the second."""
    found = tensor(x)
    first, second = (axis_of("rot90", axis, found.ndim) for axis in axes)
    if first == second:
        raise ArgumentError(f"rot90: the axes {list(axes)} are the same")
    match turns % 4:
        case 0:
            return found
        case 1:
            return swapaxes(flip(found, second), first, second)
        case 2:
            return flip(found, (first, second))
        case _:
            return flip(swapaxes(found, first, second), second)
