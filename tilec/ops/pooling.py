"""Pooling: largest elements, means and norms of windows, and of whole images."""

from __future__ import annotations

from collections.abc import Sequence

from tilec.errors import ArgumentError
from tilec.ops.texts import constant, listed, numbered, single, text
from tilec.ops.windows import (
    Layout,
    Padding,
    Window,
    channel_axis,
    image,
    pads,
    several,
    sliding,
    spatial,
)
from tilec.program.boundary import public
from tilec.program.function import Function
from tilec.program.tensor import Operand, Tensor, apply, tensor


@public
def max_pool(
    x: Operand,
    window: int | Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: Padding = "valid",
    dilations: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    layout: Layout = "channels_first",
) -> Tensor:
    """The largest element of each window; padding never is the largest.

    Args:
        x: Images: a batch axis, channels, and one to three spatial axes.
        window: Size of the window, for all axes or for each.
        strides: How far it moves; by default its size.
        padding: How far windows reach beyond the images.
        dilations: Distance of the elements of a window.
        ceil_mode: Whether the last window may reach further, if it begins on the image or on the
            padding before it.
        layout: Where the channels stand.

    Raises:
        UserError: something does not fit.
    """
    x, channels, windows = _windows(
        "max_pool", x, window, strides, padding, dilations, ceil_mode, layout
    )
    return single(_pool("largest", len(windows), channels), x, *_numbers(windows))


@public
def max_pool_with_positions(
    x: Operand,
    window: int | Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: Padding = "valid",
    dilations: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    layout: Layout = "channels_first",
    column_major: bool = False,
) -> tuple[Tensor, Tensor]:
    """``max_pool``, and where in the whole of ``x`` each element was found first, as i64.

    The parameters are those of ``max_pool``; with ``column_major``, the first spatial axis counts
    fastest in positions, not the last.

    Raises:
        UserError: something does not fit.
    """
    x, channels, windows = _windows(
        "max_pool_with_positions", x, window, strides, padding, dilations, ceil_mode, layout
    )
    steps = [1] * x.ndim
    order = [*range(x.ndim)][::-1]
    if column_major:
        axes = [axis for axis in range(x.ndim) if axis not in (0, channels)]
        order = [*axes, channels, 0]
    size = 1
    for axis in order:
        steps[axis], size = size, size * x.shape[axis]
    called = _positions(len(windows), channels)
    first, second = apply(called, x, *_numbers(windows), *steps, size)
    return first, second


@public
def average_pool(
    x: Operand,
    window: int | Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: Padding = "valid",
    dilations: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
    layout: Layout = "channels_first",
) -> Tensor:
    """The mean of each window.

    The parameters are those of ``max_pool``; with ``count_include_pad``, zeros of the padding count
    as elements. What windows of ``ceil_mode`` reach beyond the padding never counts.

    Raises:
        UserError: something does not fit.
    """
    op = "average_pool"
    x, channels, windows = _windows(op, x, window, strides, padding, dilations, ceil_mode, layout)
    count = len(windows)
    total = single(_pool("totals", count, channels), x, *_numbers(windows))
    sizes = spatial(x.shape, channels)
    counted = [(0, size) for size in sizes]
    if count_include_pad:
        # Windows of ceil_mode may reach behind the padding: only what is inside counts.
        reaches = [(n, each.reach, each.stride) for n, each in zip(sizes, windows, strict=True)]
        around = pads(op, padding, reaches)
        counted = [
            (-before, size + behind) for size, (before, behind) in zip(sizes, around, strict=True)
        ]
    full = all(
        -each.before >= low and (each.count - 1) * each.stride - each.before + each.reach <= high
        for each, (low, high) in zip(windows, counted, strict=True)
    )
    if full:  # all windows have the same number of elements
        elements = 1
        for each in windows:
            elements *= each.size
        return single(text("function shared(X, N) -> (Y) { Y = X / N; }"), total, elements)
    bounds: list[Operand] = []
    for each, (low, high) in zip(windows, counted, strict=True):
        bounds += [-low, high - low, each.size]
    return single(_means(count, channels), total, *_numbers(windows), *bounds)


@public
def lp_pool(
    x: Operand,
    window: int | Sequence[int],
    *,
    p: int = 2,
    strides: int | Sequence[int] | None = None,
    padding: Padding = "valid",
    dilations: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    layout: Layout = "channels_first",
) -> Tensor:
    """``np.sum(np.abs(window) ** p) ** (1 / p)`` of each window.

    The other parameters are those of ``max_pool``.

    Raises:
        UserError: something does not fit.
    """
    x, channels, windows = _windows(
        "lp_pool", x, window, strides, padding, dilations, ceil_mode, layout
    )
    if p < 1:
        raise ArgumentError(f"lp_pool: p is {p}; it must be 1 at least")
    total = single(
        _pool(
            "squares" if p == 2 else "magnitudes" if p == 1 else "powers", len(windows), channels
        ),
        x,
        *_numbers(windows),
        *([constant(p, x.dtype)] if p > 2 else []),
    )
    if p == 1:
        return total
    if p == 2:
        return single(text("function rooted(X) -> (Y) { Y = sqrt(X); }"), total)
    root = text("function rooted_by(X, P) -> (Y) { Y = pow(X, P); }")
    return single(root, total, constant(1 / p, x.dtype))


@public
def global_max_pool(x: Operand, *, layout: Layout = "channels_first") -> Tensor:
    """``np.max(x, axis=spatial, keepdims=True)``."""
    x, channels, windows = _whole("global_max_pool", x, layout)
    return single(_pool("largest", len(windows), channels), x, *_numbers(windows))


@public
def global_average_pool(x: Operand, *, layout: Layout = "channels_first") -> Tensor:
    """``np.mean(x, axis=spatial, keepdims=True)``."""
    x = tensor(x)
    channels = channel_axis("global_average_pool", x.ndim, layout)
    return average_pool(x, spatial(x.shape, channels), layout=layout)


@public
def global_lp_pool(x: Operand, *, p: int = 2, layout: Layout = "channels_first") -> Tensor:
    """``np.sum(np.abs(x) ** p, axis=spatial, keepdims=True) ** (1 / p)``."""
    x = tensor(x)
    channels = channel_axis("global_lp_pool", x.ndim, layout)
    return lp_pool(x, spatial(x.shape, channels), p=p, layout=layout)


def _windows(
    op: str,
    x: Operand,
    window: int | Sequence[int],
    strides: int | Sequence[int] | None,
    padding: Padding,
    dilations: int | Sequence[int],
    ceil_mode: bool,
    layout: Layout,
) -> tuple[Tensor, int, list[Window]]:
    x = tensor(x)
    channels = channel_axis(op, x.ndim, layout)
    kernel = several(op, "window", window, x.ndim - 2, 1)
    sizes = spatial(x.shape, channels)
    steps = kernel if strides is None else strides
    found = sliding(op, sizes, kernel, steps, dilations, padding, ceil_mode=ceil_mode)
    return x, channels, found


def _whole(op: str, x: Operand, layout: Layout) -> tuple[Tensor, int, list[Window]]:
    x = tensor(x)
    sizes = spatial(x.shape, channel_axis(op, x.ndim, layout))
    return _windows(op, x, sizes, None, "valid", 1, False, layout)


def _numbers(windows: Sequence[Window]) -> list[Operand]:
    found: list[Operand] = []
    for each in windows:
        found += [each.size, each.stride, each.dilation, each.before, each.count]
    return found


def _header(count: int) -> str:
    return listed(f"K{at}, S{at}, D{at}, P{at}, R{at}" for at in range(count))


def _read(at: int) -> str:
    return f"S{at}*p{at} + D{at}*k{at} - P{at}"


_COLLECTED = {
    "largest": (">", "{0}"),
    "totals": ("+", "{0}"),
    "squares": ("+", "{0} * {0}"),
    "magnitudes": ("+", "abs({0})"),
    "powers": ("+", "pow(abs({0}), E[])"),
}


def _pool(kind: str, count: int, channels: int) -> Function:
    """Aggregates the elements of each window."""
    by, what = _COLLECTED[kind]
    places = numbered("p", count)
    read = f"X[{image(channels, 'n', 'c', [_read(at) for at in range(count)])}]"
    return text(
        f"function {kind}_of_windows_{count}_{channels}"
        f"(X[{image(channels, 'N', 'C', numbered('X', count))}], {_header(count)}"
        f"{', E' * (kind == 'powers')}) -> (Y) {{ "
        f"Y[{image(channels, 'n', 'c', places)} : "
        f"{image(channels, 'N', 'C', numbered('R', count))}] = {by}({what.format(read)}), "
        f"{listed(f'k{at} < K{at}' for at in range(count))}; }}"
    )


def _means(count: int, channels: int) -> Function:
    """Divides the sum of each window by the number of its elements that count.

    A product over the axes of how many elements lie between bounds; its sums touch no data.
    """
    statements: list[str] = []
    for at in range(count):
        only = image(channels, "1", "1", [f"R{at}" if one == at else "1" for one in range(count)])
        statements.append(
            f"O{at}[q : Q{at}] = =(1 + 0*L{at}); "
            f"E{at}[p : R{at}] = +(O{at}[S{at}*p + D{at}*k - P{at} + L{at}]), k < K{at}; "
            f"N{at} = reshape(E{at}, {only});"
        )
    sizes = listed(f"L{at}, Q{at}, M{at}" for at in range(count))
    divided = " * ".join(f"N{at}" for at in range(count))
    return text(
        f"function means_of_windows_{count}_{channels}(X, {_header(count)}, {sizes}) -> (Y) "
        f"{{ {' '.join(statements)} Y = X / ({divided}); }}"
    )


def _positions(count: int, channels: int) -> Function:
    """The largest elements and, of those that equal them, the position that comes first."""
    places = numbered("p", count)
    reads = [_read(at) for at in range(count)]
    read = image(channels, "n", "c", reads)
    rank = count + 2
    steps = numbered("T", rank)
    where = " + ".join(f"as_int(index(X, {axis}), 64) * {step}" for axis, step in enumerate(steps))
    at = image(channels, "n", "c", places)
    sizes = image(channels, "N", "C", numbered("R", count))
    limits = listed(f"k{one} < K{one}" for one in range(count))
    return text(
        f"function positions_of_windows_{count}_{channels}"
        f"(X[{image(channels, 'N', 'C', numbered('X', count))}], {_header(count)}, "
        f"{listed(steps)}, A) -> (Y, Z) {{ "
        f"Y[{at} : {sizes}] = >(X[{read}]), {limits}; "
        f"I = {where}; "
        f"Z[{at} : {sizes}] = <(X[{read}] == Y[{at}] ? I[{read}] : A), {limits}; }}"
    )
