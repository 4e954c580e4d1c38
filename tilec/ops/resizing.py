"""Other numbers of samples along some axes: nearest, linear and cubic interpolation.

Where each sample comes from follows from sizes alone. Whole factors of nearest neighbours are
repetitions or steps; otherwise each sample gathers its neighbours, weighted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np

from tilec.dtypes import F32, F64
from tilec.errors import ArgumentError
from tilec.ops.elementwise import cast, where
from tilec.ops.elementwise import round as rounded
from tilec.ops.gathering import take
from tilec.ops.shapes import repeat
from tilec.ops.texts import axis_of
from tilec.program.boundary import public
from tilec.program.tensor import Operand, Tensor, tensor
from tilec.records import dataclass

Method: TypeAlias = Literal["nearest", "linear", "cubic"]
Coordinates: TypeAlias = Literal[
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_half_pixel_for_nn",
    "tf_crop_and_resize",
]
Rounding: TypeAlias = Literal["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]

_Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

_TAPS: Final = {"nearest": 1, "linear": 2, "cubic": 4}


@dataclass(frozen=True, slots=True)
class Sampling:
    """How samples are taken along an axis.

    Attributes:
        method: The interpolation.
        coordinates: Where the samples lie, in the words of ONNX.
        rounding: What the nearest neighbour is.
        cubic: The coefficient of cubic interpolation (Keys 1981).
        exclude_outside: Neighbours outside count nothing, and the others the more.
        antialias: When there are fewer samples, each averages what lies between them.
    """

    method: Method = "linear"
    coordinates: Coordinates = "half_pixel"
    rounding: Rounding = "round_prefer_floor"
    cubic: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False


@public
def resize(
    x: Operand,
    sizes: Mapping[int, int] | Sequence[int],
    sampling: Sampling | None = None,
    *,
    scales: Mapping[int, float] | None = None,
    region: Mapping[int, tuple[float, float]] | None = None,
    outside: float = 0.0,
) -> Tensor:
    """Other numbers of samples along some axes, as ONNX's ``Resize``.

    Args:
        x: Any tensor; integers are rounded.
        sizes: The size for each axis, or for some by number.
        sampling: How samples are taken; by default linear.
        scales: Exact ratios of the sizes where they are not whole; by default the ratios of the
            sizes.
        region: Where an axis begins and ends, for ``tf_crop_and_resize``: 0 and 1 are its ends.
        outside: The value of samples outside, there.

    Raises:
        ArgumentError: there is no such axis or method, or a size is not positive.
    """
    found, how = tensor(x), sampling or Sampling()
    given = sizes if isinstance(sizes, Mapping) else dict(enumerate(sizes))
    for value, allowed in (
        (how.method, Method),
        (how.coordinates, Coordinates),
        (how.rounding, Rounding),
    ):
        if value not in get_args(allowed):
            raise ArgumentError(
                f"resize: {value!r} is unknown", help=f"known are {', '.join(get_args(allowed))}"
            )
    wide = found if found.dtype == F64 else cast(found, F32)
    narrow = found.dtype
    exact = how.method == "nearest"
    current, beyond = found if exact else wide, list[Tensor]()
    for axis, size in given.items():
        at = axis_of("resize", axis, found.ndim)
        old = found.shape[at]
        if size < 1 or old < 1:
            raise ArgumentError(f"resize: axis {at} of size {old} cannot become {size}")
        scale = (scales or {}).get(axis, size / old)
        crop = (region or {}).get(axis, (0.0, 1.0))
        cropped = how.coordinates == "tf_crop_and_resize"
        if size == old and scale == 1 and not cropped:
            continue
        places = _coordinates(size, old, scale, crop, how)
        current = _resampled(current, at, places, scale, how)
        if cropped:
            out = (places < 0) | (places > old - 1)
            beyond.append(tensor(out.reshape([-1] + [1] * (found.ndim - 1 - at))))
    for out in beyond:
        current = where(out, outside, current)
    if not exact and not narrow.is_float:
        current = rounded(current)
    return cast(current, narrow)


def _coordinates(
    size: int, old: int, scale: float, crop: tuple[float, float], how: Sampling
) -> _Array:
    """Where each sample lies among the old ones."""
    x: _Array = np.arange(size, dtype=np.float64)
    length = scale * old
    match how.coordinates:
        case "asymmetric":
            return x / scale
        case "align_corners":
            return x * ((old - 1) / (length - 1)) if length > 1 else x * 0
        case "tf_half_pixel_for_nn":
            return (x + 0.5) / scale
        case "half_pixel_symmetric":
            centre = old / 2 * (1 - size / length)
            return centre + (x + 0.5) / scale - 0.5
        case "tf_crop_and_resize":
            start, end = crop
            if length <= 1:
                return x * 0 + 0.5 * (start + end) * (old - 1)
            return start * (old - 1) + x * ((end - start) * (old - 1) / (length - 1))
        case "pytorch_half_pixel" if length <= 1:
            return x * 0
        case _:
            return (x + 0.5) / scale - 0.5


def _resampled(x: Tensor, axis: int, places: _Array, scale: float, how: Sampling) -> Tensor:
    old = x.shape[axis]
    if how.method == "nearest":
        return _picked(x, axis, _nearest(places, old, how.rounding))
    at, weights = _taps(places, old, scale, how)
    column = [-1] + [1] * (x.ndim - 1 - axis)
    total: Tensor | None = None
    for k in range(at.shape[1]):
        weight = tensor(weights[:, k].reshape(column).astype(x.dtype.name.replace("f", "float")))
        part = take(x, np.ascontiguousarray(at[:, k]), axis) * weight
        total = part if total is None else total + part
    assert total is not None
    return total


def _nearest(places: _Array, old: int, rounding: Rounding) -> _Array:
    found = {
        "floor": np.floor(places),
        "ceil": np.ceil(places),
        "round_prefer_floor": np.ceil(places - 0.5),
        "round_prefer_ceil": np.floor(places + 0.5),
    }[rounding]
    return np.clip(found, 0, old - 1).astype(np.int32)


def _picked(x: Tensor, axis: int, places: _Array) -> Tensor:
    """Samples at whole places: repeated, in steps, or gathered."""
    old, size = x.shape[axis], len(places)
    before = (slice(None),) * axis
    if size % old == 0 and np.array_equal(places, np.arange(size) // (size // old)):
        return repeat(x, size // old, axis)
    step = int(places[1] - places[0]) if size > 1 else 1
    if step > 0 and np.array_equal(places, places[0] + step * np.arange(size)):
        return x[(*before, slice(int(places[0]), int(places[-1]) + 1, step))]
    return take(x, places, axis)


def _taps(places: _Array, old: int, scale: float, how: Sampling) -> tuple[_Array, _Array]:
    """For each sample the positions of its neighbours, and their weights."""
    count = _TAPS[how.method]
    spread = 1 / scale if how.antialias and scale < 1 else 1.0
    reach = count / 2 * spread
    taps = count if spread == 1 else 2 * ceil(reach) + 1
    first = np.floor(places) - (count // 2 - 1) if spread == 1 else np.ceil(places - reach)
    at = first[:, None] + np.arange(taps)
    distance = np.abs(at - places[:, None]) / spread
    cubic = how.method == "cubic"
    weights = _keys(distance, how.cubic) if cubic else np.maximum(0, 1 - distance)
    if how.exclude_outside:
        weights = np.where((at >= 0) & (at < old), weights, 0)
    weights = weights / weights.sum(1, keepdims=True)
    return np.clip(at, 0, old - 1).astype(np.int32), weights


def _keys(distance: _Array, a: float) -> _Array:
    """The piecewise cubic kernel of Keys 1981."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0))


def scaled_size(size: int, scale: float) -> int:
    """The size of an axis after scaling, as ONNX has it."""
    return floor(size * scale)
