"""Elements at positions: what ``x[...]`` means, and ``take``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

import tilec
from keras_tilec.src.convert import convert, node, on_host, wrap
from keras_tilec.src.host import KerasVariable
from keras_tilec.src.tensor import Tensor
from tilec import ops

if TYPE_CHECKING:
    from types import EllipsisType

Basic: TypeAlias = "int | slice[int | None, int | None, int | None] | None"
Part: TypeAlias = "Basic | tilec.Tensor | EllipsisType"


def take(x: object, indices: object, axis: int | None = None) -> Tensor:
    found = node(indices)
    kind = found if found.dtype.is_integer else ops.cast(found, "i32")
    return wrap(ops.take(node(x), kind, axis))


def take_along_axis(x: object, indices: object, axis: int | None = None) -> Tensor:
    found, places = node(x), node(indices)
    if axis is None:
        found, places, axis = ops.reshape(found, (-1,)), ops.reshape(places, (-1,)), 0
    at = axis % found.ndim
    # Other axes than this one broadcast, on both sides.
    rest = ops.broadcast_shape(
        "take_along_axis",
        *((*each.shape[:at], 1, *each.shape[at + 1 :]) for each in (found, places)),
    )
    whole = ops.broadcast_to(found, (*rest[:at], found.shape[at], *rest[at + 1 :]))
    return wrap(ops.take_along_axis(whole, places, at))


def get_item(x: Tensor, key: object) -> Tensor:
    """``x[key]`` as in NumPy; positions that are tensors are clamped to the axis."""
    given = cast("tuple[object, ...]", key) if isinstance(key, tuple) else (key,)
    whole = _completed([part for each in given for part in _part(each)], x.ndim)
    if not any(isinstance(each, tilec.Tensor) for each in whole):
        return wrap(x.node[tuple(whole)])
    # Beside arrays, numbers are arrays, too.
    places = {
        at: each if isinstance(each, tilec.Tensor) else node(each, "int32")
        for at, each in enumerate(whole)
        if isinstance(each, int | tilec.Tensor)
    }
    cut = x.node[tuple(slice(None) if at in places else e for at, e in enumerate(whole))]
    return wrap(_gathered(cut, [*places], [*places.values()]))


def _part(key: object) -> Sequence[Part]:
    """The parts that one of a key is: numbers as Python's, masks as positions."""
    if key is None or key is Ellipsis:
        return [None if key is None else ...]
    if isinstance(key, slice):
        bounds = cast("slice[Any, Any, Any]", key)
        return [slice(*map(_bound, (bounds.start, bounds.stop, bounds.step)))]
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        return [int(cast("int", key))]
    if not isinstance(key, Tensor | KerasVariable | np.ndarray | list | tuple | bool):
        raise TypeError(f"A tensor cannot be indexed with {key!r}")
    found = convert(cast("object", key))
    if found.node.dtype.name == "bool":
        (mask,) = on_host("getitem", found, instead="use keras.ops.where instead of the mask")
        return [node(each.astype(np.int32)) for each in np.nonzero(mask)]
    if found.node.dtype.is_float:
        raise TypeError(f"A tensor was indexed with elements of dtype {found.dtype.name}")
    return [int(found)] if not found.shape and found.node.is_known else [found.node]


def _bound(bound: Any) -> int | None:
    return None if bound is None else bound.__index__()


def _completed(parts: Sequence[Part], rank: int) -> list[Basic | tilec.Tensor]:
    """A part for each axis and each new one."""
    used = sum(each is not None and each is not ... for each in parts)
    if used > rank:
        raise IndexError(f"A tensor with {rank} axes was given {used} indices")
    at = next((place for place, each in enumerate(parts) if each is ...), len(parts))
    whole = [slice(None)] * (rank - used)
    return cast("list[Basic | tilec.Tensor]", [*parts[:at], *whole, *parts[at + 1 :]])


def _gathered(
    x: tilec.Tensor, axes: Sequence[int], indices: Sequence[tilec.Tensor]
) -> tilec.Tensor:
    """``x`` with index arrays on some axes; where these are apart, the result's come first."""
    if len(axes) == 1:
        return ops.take(x, indices[0], axes[0])
    shape = ops.broadcast_shape("getitem", *(each.shape for each in indices))
    rest = [axis for axis in range(x.ndim) if axis not in axes]
    points = ops.stack([ops.broadcast_to(ops.cast(e, "i32"), shape) for e in indices], -1)
    found = ops.gather_nd(ops.transpose(x, [*axes, *rest]), points)
    together = axes[-1] - axes[0] == len(axes) - 1
    if not together or axes[0] == 0:
        return found
    own = range(len(shape))
    return ops.moveaxis(found, [*own], [axes[0] + each for each in own])
