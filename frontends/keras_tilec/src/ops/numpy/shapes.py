"""The same elements in other shapes, and tensors joined and split."""

from __future__ import annotations

from collections.abc import Sequence

from keras_tilec.src.convert import Axis, convert, node, promote, wrap, wrap_all
from keras_tilec.src.tensor import Tensor
from tilec import ops


def ndim(x: object) -> int:
    return node(x).ndim


def reshape(x: object, newshape: int | Sequence[int]) -> Tensor:
    sizes = (newshape,) if isinstance(newshape, int) else tuple(map(int, newshape))
    return wrap(ops.reshape(node(x), sizes))


def transpose(x: object, axes: Sequence[int] | None = None) -> Tensor:
    return wrap(ops.transpose(node(x), axes))


def swapaxes(x: object, axis1: int, axis2: int) -> Tensor:
    return wrap(ops.swapaxes(node(x), axis1, axis2))


def moveaxis(x: object, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    return wrap(ops.moveaxis(node(x), source, destination))


def expand_dims(x: object, axis: int | Sequence[int]) -> Tensor:
    return wrap(ops.expand_dims(node(x), axis))


def squeeze(x: object, axis: Axis = None) -> Tensor:
    return wrap(ops.squeeze(node(x), axis))


def broadcast_to(x: object, shape: Sequence[int]) -> Tensor:
    return wrap(ops.broadcast_to(node(x), shape))


def flip(x: object, axis: Axis = None) -> Tensor:
    return wrap(ops.flip(node(x), axis))


def tile(x: object, repeats: int | Sequence[int]) -> Tensor:
    return wrap(ops.tile(node(x), repeats))


def concatenate(xs: Sequence[object], axis: int | None = 0) -> Tensor:
    found = promote(*xs)
    if axis is None:
        return wrap(ops.concatenate([ops.reshape(each, (-1,)) for each in found], 0))
    return wrap(ops.concatenate(found, axis))


def stack(x: Sequence[object], axis: int = 0) -> Tensor:
    return wrap(ops.stack(promote(*x), axis))


def split(x: object, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    found = convert(x)
    size = found.shape[axis]
    if isinstance(indices_or_sections, int):
        if size % indices_or_sections:
            raise ValueError(
                f"An axis of size {size} cannot be split into {indices_or_sections} equal parts"
            )
        step = size // indices_or_sections
        ends = list(range(step, size, step))
    else:
        ends = [int(each) for each in indices_or_sections]
    at = axis % found.ndim
    pairs = zip([0, *ends], [*ends, size], strict=True)
    cuts = [(slice(None),) * at + (slice(start, stop),) for start, stop in pairs]
    return wrap_all(found.node[cut] for cut in cuts)
