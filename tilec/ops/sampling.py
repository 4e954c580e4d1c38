"""Samples of pictures at places that are data."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product
from math import prod
from typing import Any, Final, Literal, TypeAlias

from tilec.errors import ArgumentError, ShapeError
from tilec.ops.elementwise import (
    absolute,
    cast,
    clip,
    floor,
    floor_divide,
    less,
    logical_and,
    remainder,
    round,
    where,
)
from tilec.ops.gathering import gather_nd
from tilec.ops.joining import stack
from tilec.ops.resizing import Method
from tilec.ops.shapes import expand_dims, moveaxis, reshape, transpose
from tilec.ops.texts import listed, numbered, single, text
from tilec.ops.windows import sliding
from tilec.program.boundary import public
from tilec.program.function import Function
from tilec.program.tensor import Operand, Tensor, tensor

Outside: TypeAlias = Literal["zeros", "border", "reflection"]

_CUBIC: Final = -0.75


@public
def grid_sample(
    x: Operand,
    grid: Operand,
    *,
    method: Method = "linear",
    outside: Outside = "zeros",
    align_corners: bool = False,
) -> Tensor:
    """Samples of pictures: ``torch.nn.functional.grid_sample``.

    Args:
        x: Pictures, ``[batch, channels, *sizes]``.
        grid: Places, ``[batch, *places, axes]``: from -1 to 1 along each axis, the last one first.
        method: The interpolation.
        outside: What lies beyond the edges: zeros, the edge itself, or the mirrored picture.
        align_corners: -1 and 1 are the middles of the outermost pixels, not their edges.

    Returns:
        ``[batch, channels, *places]``.

    Raises:
        ShapeError: the shapes do not fit.
    """
    found, places = tensor(x), tensor(grid)
    axes = found.ndim - 2
    if axes < 1 or places.ndim != found.ndim or places.shape[-1] != axes:
        raise ShapeError(
            f"grid_sample: a grid of shape {list(places.shape)} has no places in pictures of shape "
            f"{list(found.shape)}"
        )
    if method not in ("nearest", "linear", "cubic"):
        raise ArgumentError(f"grid_sample: the method {method!r} is unknown")
    sizes = found.shape[2:]
    at = [
        _pixel(places[..., axes - 1 - axis], size, align_corners) for axis, size in enumerate(sizes)
    ]
    if outside != "zeros" and method != "cubic":
        at = [
            _inside(each, size, outside, align_corners)
            for each, size in zip(at, sizes, strict=True)
        ]
    pixels = transpose(found, (0, *range(2, found.ndim), 1))
    taps = [_taps(each, method) for each in at]
    total: Tensor | None = None
    for chosen in product(*taps):
        value = _pixels(pixels, [tap for tap, _ in chosen], sizes, outside, align_corners)
        for _, weight in chosen:
            value = value if weight is None else value * expand_dims(weight, -1)
        total = value if total is None else total + value
    assert total is not None
    return cast(moveaxis(total, -1, 1), found.dtype)


def _pixel(place: Tensor, size: int, align_corners: bool) -> Tensor:
    """The coordinate of a place between -1 and 1."""
    if align_corners:
        return (place + 1) * ((size - 1) / 2)
    return ((place + 1) * size - 1) / 2


def _taps(at: Tensor, method: Method) -> Sequence[tuple[Tensor, Tensor | None]]:
    """Neighbours along an axis, and their weights."""
    if method == "nearest":
        return [(round(at), None)]
    first = floor(at)
    part = at - first
    if method == "linear":
        return [(first, 1 - part), (first + 1, part)]
    return [(first + k, _keys(absolute(part - k))) for k in range(-1, 3)]


def _keys(distance: Tensor) -> Tensor:
    """The piecewise cubic kernel of Keys 1981."""
    a = _CUBIC
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return where(distance <= 1, near, far)


def _inside(at: Tensor, size: int, outside: Outside, align_corners: bool) -> Tensor:
    """The coordinate that stands for one outside."""
    if outside == "reflection":
        low, span = (0.0, size - 1.0) if align_corners else (-0.5, float(size))
        if span == 0:
            return at * 0
        distance = absolute(at - low)
        flips, rest = floor_divide(distance, span), remainder(distance, span)
        at = where(remainder(flips, 2) == 0, rest, span - rest) + low
    return clip(at, 0, size - 1)


def _pixels(
    pixels: Tensor,
    at: Sequence[Tensor],
    sizes: Sequence[int],
    outside: Outside,
    align_corners: bool,
) -> Tensor:
    """The pixels at whole coordinates."""
    if outside != "zeros":
        at = [
            _inside(each, size, outside, align_corners)
            for each, size in zip(at, sizes, strict=True)
        ]
    points = stack([cast(round(each), "i32") for each in at], -1)
    clamped = clip(points, 0)
    found = gather_nd(pixels, clamped, 1)
    if outside != "zeros":
        return found
    known: Any = None
    for each, size in zip(at, sizes, strict=True):
        fits = logical_and(each > -1, less(each, size))
        known = fits if known is None else logical_and(known, fits)
    return where(expand_dims(known, -1), found, 0.0)


@cache
def _taken_apart(rank: int) -> Function:
    """Windows of K elements, D apart, at L places S apart, from P before the first on."""
    letters = {letter: numbered(letter, rank) for letter in "XKLSDP"}
    k, at = numbered("k", rank), numbered("l", rank)
    sizes = listed(["N", "C", *letters["K"], *letters["L"]])
    numbers = [name for letter in "KLSDP" for name in letters[letter]]
    return text(
        f"function taken_apart(X[{listed(['N', 'C', *letters['X']])}], {listed(numbers)}) -> (Y) "
        f"{{ Y[{listed(['n', 'c', *k, *at])} : {sizes}]"
        f" = +(X[{listed(['n', 'c', *_reads(letters, k, at)])}]); }}"
    )


@public
def unfold_windows(
    x: Operand,
    window: Sequence[int],
    *,
    strides: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    padding: Sequence[tuple[int, int]] | None = None,
) -> Tensor:
    """The windows of pictures as columns: ``torch.nn.functional.unfold``.

    Args:
        x: ``[batch, channels, *sizes]``.
        window: Sizes of a window.
        strides: From one window to the next along each axis; by default 1.
        dilations: From one element of a window to the next; by default 1.
        padding: Zeros in front and behind; by default none.

    Returns:
        ``[batch, channels * elements of a window, windows]``.

    Raises:
        UserError: no window fits.
    """
    found = tensor(x)
    axes = len(window)
    if found.ndim != axes + 2:
        raise ShapeError(
            f"unfold_windows: shape {list(found.shape)} is not that of pictures with {axes} axes"
        )
    sizes, around = found.shape[2:], tuple(padding or ((0, 0),) * axes)
    windows = sliding("unfold_windows", sizes, window, strides or 1, dilations or 1, around)
    numbers = [
        *window,
        *(each.count for each in windows),
        *(each.stride for each in windows),
        *(each.dilation for each in windows),
        *(each.before for each in windows),
    ]
    parts = single(_taken_apart(axes), found, *numbers)
    counts = prod(each.count for each in windows)
    return reshape(parts, (found.shape[0], found.shape[1] * prod(window), counts))


def _reads(letters: dict[str, list[str]], k: Sequence[str], at: Sequence[str]) -> list[str]:
    """Where the element k of window l lies along each axis."""
    return [
        f"{s}*{place} + {d}*{tap} - {p}"
        for s, place, d, tap, p in zip(letters["S"], at, letters["D"], k, letters["P"], strict=True)
    ]


@cache
def _put_together(rank: int) -> Function:
    """Windows of K elements, D apart, at every S-th place of L, from P before the first on."""
    letters = {letter: numbered(letter, rank) for letter in "HKLSDP"}
    k, at = numbered("k", rank), numbered("l", rank)
    places = _reads(letters, k, at)
    numbers = [name for letter in "HSDP" for name in letters[letter]]
    header = listed(["N", "C", *letters["K"], *letters["L"]])
    return text(
        f"function put_together(X[{header}], {listed(numbers)}) -> (Y) "
        f"{{ Y[{listed(['n', 'c', *places])} : {listed(['N', 'C', *letters['H']])}]"
        f" = +(X[{listed(['n', 'c', *k, *at])}]); }}"
    )


@public
def fold_windows(
    x: Operand,
    sizes: Sequence[int],
    window: Sequence[int],
    *,
    strides: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    padding: Sequence[tuple[int, int]] | None = None,
) -> Tensor:
    """Pictures of their windows, which are added where they overlap: ``torch.nn.functional.fold``.

    Args:
        x: ``[batch, channels * elements of a window, windows]``.
        sizes: Sizes of the pictures.
        window: Sizes of a window.
        strides: From one window to the next along each axis; by default 1.
        dilations: From one element of a window to the next; by default 1.
        padding: How far windows reach beyond the picture in front and behind; by default not.

    Raises:
        ShapeError: the windows are not those of such pictures.
    """
    found, rank = tensor(x), len(sizes)
    steps, gaps = tuple(strides or (1,) * rank), tuple(dilations or (1,) * rank)
    margins = tuple(padding or ((0, 0),) * rank)
    counts = [
        (size + low + high - gap * (taps - 1) - 1) // step + 1
        for size, taps, step, gap, (low, high) in zip(
            sizes, window, steps, gaps, margins, strict=True
        )
    ]
    taps = prod(window)
    if found.ndim != 3 or found.shape[1] % taps or found.shape[2] != prod(counts):
        windows = " x ".join(map(str, counts))
        raise ShapeError(
            f"fold_windows: shape {list(found.shape)} is not that of {windows} windows of {taps} "
            "elements"
        )
    parts = reshape(found, (found.shape[0], found.shape[1] // taps, *window, *counts))
    lows = [low for low, _ in margins]
    return single(_put_together(rank), parts, *sizes, *steps, *gaps, *lows)
