"""Other sizes of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import tilec
from keras_tilec.src.convert import node, promote, wrap
from keras_tilec.src.ops.image.batches import channel_axis, check_choice, check_rank
from keras_tilec.src.tensor import Tensor
from tilec import ops
from tilec.ops import Sampling

RESIZE_INTERPOLATIONS: Final = ("bilinear", "nearest", "lanczos3", "lanczos5", "bicubic")
SCALE_AND_TRANSLATE_METHODS: Final = {
    "linear",
    "bilinear",
    "trilinear",
    "cubic",
    "bicubic",
    "tricubic",
    "lanczos3",
    "lanczos5",
}

_TOO_LITTLE: Final = 1000 * 2.0**-23
"""Less than this, the weights of a sample are nothing."""


def resize(
    images: object,
    size: Sequence[int],
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str | None = None,
) -> Tensor:
    check_choice("interpolation", interpolation, RESIZE_INTERPOLATIONS)
    check_choice("fill_mode", fill_mode, ("constant",))
    if pad_to_aspect_ratio and crop_to_aspect_ratio:
        raise ValueError(
            "Only one of `pad_to_aspect_ratio` & `crop_to_aspect_ratio` can be `True`."
        )
    if len(size) != 2:
        raise ValueError(
            "Argument `size` must be a tuple of two elements (height, width). "
            f"Received: size={size}"
        )
    found = node(images)
    check_rank(found)
    first = found.ndim - (3 if channel_axis(data_format) == -1 else 2)
    wanted = int(size[0]), int(size[1])
    old = found.shape[first], found.shape[first + 1]
    fitting = int(old[1] * wanted[0] / wanted[1]), int(old[0] * wanted[1] / wanted[0])
    if crop_to_aspect_ratio:
        found = _cropped(
            found, first, [max(min(a, b), 1) for a, b in zip(old, fitting, strict=True)]
        )
    elif pad_to_aspect_ratio:
        found = _padded(
            found, first, [max(a, b) for a, b in zip(old, fitting, strict=True)], fill_value
        )
    return wrap(_resized(found, {first: wanted[0], first + 1: wanted[1]}, interpolation, antialias))


def _cropped(x: tilec.Tensor, first: int, sizes: Sequence[int]) -> tilec.Tensor:
    starts = [(x.shape[first + at] - size) // 2 for at, size in enumerate(sizes)]
    cut = [slice(start, start + size) for start, size in zip(starts, sizes, strict=True)]
    return x[(*[slice(None)] * first, *cut)]


def _padded(x: tilec.Tensor, first: int, sizes: Sequence[int], value: float) -> tilec.Tensor:
    margins = [(size - x.shape[first + at]) // 2 for at, size in enumerate(sizes)]
    around = [(0, 0)] * first + [(each, each) for each in margins]
    around += [(0, 0)] * (x.ndim - len(around))
    return ops.pad(
        x, around, "constant", node(value, "float32") if x.dtype.is_float else int(value)
    )


def _resized(x: tilec.Tensor, sizes: dict[int, int], method: str, antialias: bool) -> tilec.Tensor:
    if method == "nearest":
        how = Sampling("nearest", "tf_half_pixel_for_nn", "floor")
        return ops.resize(x, sizes, how)
    wide = x if x.dtype.is_float else ops.cast(x, "f32")
    if method.startswith("lanczos"):
        found = wide
        for axis, size in sizes.items():
            scale = node(size / x.shape[axis], "float32")
            found = _weighted(found, axis, size, scale, node(0.0, "float32"), method, antialias)
    else:
        kind = "linear" if method == "bilinear" else "cubic"
        how = Sampling(kind, cubic=-0.5, exclude_outside=True, antialias=antialias)
        found = ops.resize(wide, sizes, how)
    return _as_before(found, x)


def _as_before(found: tilec.Tensor, x: tilec.Tensor) -> tilec.Tensor:
    """Integers are rounded, and stay between those that were."""
    if x.dtype.is_float:
        return ops.cast(found, x.dtype)
    low, high = (ops.cast(each(x), "f32") for each in (ops.min, ops.max))
    return ops.cast(ops.clip(ops.round(found), low, high), x.dtype)


def _kernel(method: str, distance: tilec.Tensor) -> tilec.Tensor:
    if method.endswith("linear"):
        return ops.maximum(1 - distance, 0)
    if method.endswith("cubic"):  # Keys 1981
        near = ((1.5 * distance - 2.5) * distance) * distance + 1
        far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
        return ops.where(distance < 1, near, ops.where(distance < 2, far, 0.0))
    radius = float(method[-1])
    inside = ops.sinc(distance) * ops.sinc(distance / radius)
    return ops.where(distance > radius, 0.0, inside)


def _weighted(
    x: tilec.Tensor,
    axis: int,
    size: int,
    scale: tilec.Tensor,
    offset: tilec.Tensor,
    method: str,
    antialias: bool,
) -> tilec.Tensor:
    """A product with the weights of all old samples in the new ones."""
    old = x.shape[axis]
    one: Any = 1.0
    step = one / scale
    reach = ops.maximum(step, 1.0) if antialias else node(1.0, "float32")
    places = (ops.arange(size, dtype="f32") + 0.5) * step - offset * step - 0.5
    samples = ops.reshape(ops.arange(old, dtype="f32"), (old, 1))
    weights = _kernel(method, ops.absolute(ops.reshape(places, (1, size)) - samples) / reach)
    total = ops.sum(weights, 0, keepdims=True)
    is_some = ops.greater(ops.absolute(total), _TOO_LITTLE)
    inside = ops.logical_and(ops.greater_equal(places, -0.5), ops.less_equal(places, old - 0.5))
    counts = ops.logical_and(is_some, ops.reshape(inside, (1, size)))
    matrix = ops.where(counts, weights / ops.where(is_some, total, 1.0), 0.0)
    product = ops.tensordot(x, ops.cast(matrix, x.dtype), ((axis,), (0,)))
    return ops.moveaxis(product, -1, axis)


def scale_and_translate(
    images: object,
    output_shape: Sequence[int],
    scale: object,
    translation: object,
    spatial_dims: Sequence[int],
    method: str,
    antialias: bool = True,
) -> Tensor:
    check_choice("method", method, SCALE_AND_TRANSLATE_METHODS)
    given = node(images)
    found = given if given.dtype.is_float else ops.cast(given, "f32")
    scales, offsets = (ops.cast(each, "f32") for each in promote(scale, translation))
    for at, axis in enumerate(spatial_dims):
        place = axis % found.ndim
        found = _weighted(
            found, place, int(output_shape[place]), scales[at], offsets[at], method, antialias
        )
    return wrap(_as_before(found, given))
