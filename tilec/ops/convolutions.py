"""Convolutions along one to three axes, with strides, dilations, groups and any padding.

The index maps are those of the layout that the caller has; nothing is padded, moved or copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from tilec.errors import ArgumentError, ShapeError
from tilec.ops.texts import listed, numbered, single, text
from tilec.ops.windows import (
    Layout,
    Padding,
    channel_axis,
    image,
    pads,
    several,
    sliding,
    spatial,
)
from tilec.program.boundary import public
from tilec.program.function import Function
from tilec.program.tensor import Operand, Tensor, tensor

Filter: TypeAlias = Literal["oi", "io"]
"""Order of a filter's axes: O I H W (as in ONNX and PyTorch), or H W I O (as in Keras)."""


@public
def conv(
    x: Operand,
    w: Operand,
    bias: Operand | None = None,
    *,
    strides: int | Sequence[int] = 1,
    padding: Padding = "valid",
    dilations: int | Sequence[int] = 1,
    groups: int = 1,
    layout: Layout = "channels_first",
    filters: Filter = "oi",
) -> Tensor:
    """Convolution, as networks mean it: ``y[n, o, p] = sum(x[n, c, s * p + d * k] * w[o, c, k])``.

    Args:
        x: The images: a batch axis, channels, and one to three spatial axes.
        w: The filters, with channels / groups inputs each.
        bias: Added to each channel of the result.
        strides: How far the window moves, for all axes or for each.
        padding: Zeros around the images.
        dilations: Distance of the elements of a window.
        groups: Channels are divided into so many parts, which do not meet; as many as there are
            channels make a depthwise convolution.
        layout: Where the channels of ``x`` and of the result stand.
        filters: Order of the axes of ``w``.

    Returns:
        The images of ``w``'s outputs, of the dtype that a product of both has.

    Raises:
        UserError: something does not fit.
    """
    x, w = tensor(x), tensor(w)
    channels = channel_axis("conv", x.ndim, layout)
    outputs, inputs, kernel = _filter("conv", w, x.ndim, filters)
    if groups < 1 or x.shape[channels] != inputs * groups or outputs % groups:
        raise ShapeError(
            f"conv: x has {x.shape[channels]} channels, and w has {inputs} inputs and {outputs} "
            f"outputs, with {groups} groups",
            help="w has channels / groups inputs; groups divide both channels and outputs",
        )
    windows = sliding("conv", spatial(x.shape, channels), kernel, strides, dilations, padding)
    shared = outputs // groups
    kind = "plain" if groups == 1 else "apart" if inputs == shared == 1 else "grouped"
    called = _convolution(len(kernel), channels, filters, kind, bias is not None)
    operands: list[Operand] = [x, w, *([] if bias is None else [_bias("conv", bias, outputs)])]
    for each in windows:
        operands += [each.stride, each.dilation, each.before, each.count]
    if kind == "grouped":
        operands += [groups, shared]
    return single(called, *operands)


@public
def depthwise_conv(
    x: Operand,
    w: Operand,
    bias: Operand | None = None,
    *,
    strides: int | Sequence[int] = 1,
    padding: Padding = "valid",
    dilations: int | Sequence[int] = 1,
    layout: Layout = "channels_first",
    filters: Filter = "oi",
) -> Tensor:
    """A filter, or several, for each channel by itself.

    ``w`` is channels x multiplier x spatial axes, and output ``c * multiplier + m`` is made of
    channel ``c``; with ``filters="io"`` the spatial axes come first. The other parameters are those
    of ``conv``.

    Raises:
        UserError: something does not fit.
    """
    x, w = tensor(x), tensor(w)
    channels = channel_axis("depthwise_conv", x.ndim, layout)
    _check_filters("depthwise_conv", filters)
    order = w.shape if filters == "oi" else (*w.shape[-2:], *w.shape[:-2])
    if w.ndim != x.ndim or order[0] != x.shape[channels]:
        raise ShapeError(
            f"depthwise_conv: x has the shape {list(x.shape)} and w {list(w.shape)}",
            help="w is channels x multiplier x spatial axes, or spatial axes first",
        )
    outputs = order[0] * order[1]
    windows = sliding(
        "depthwise_conv", spatial(x.shape, channels), order[2:], strides, dilations, padding
    )
    called = _depthwise(len(windows), channels, filters, bias is not None)
    operands: list[Operand] = [x, w]
    if bias is not None:
        operands.append(_bias("depthwise_conv", bias, outputs))
    for each in windows:
        operands += [each.stride, each.dilation, each.before, each.count]
    return single(called, *operands)


@public
def separable_conv(
    x: Operand,
    depthwise: Operand,
    pointwise: Operand,
    bias: Operand | None = None,
    *,
    strides: int | Sequence[int] = 1,
    padding: Padding = "valid",
    dilations: int | Sequence[int] = 1,
    layout: Layout = "channels_first",
    filters: Filter = "oi",
) -> Tensor:
    """``conv(depthwise_conv(x, depthwise, ...), pointwise, bias)``.

    ``depthwise`` is what ``depthwise_conv`` takes, ``pointwise`` is outputs x (channels *
    multiplier) x 1 x ... The other parameters are those of ``conv``, for the first of both;
    ``filters`` is the order of both filters.

    Raises:
        UserError: something does not fit.
    """
    between = depthwise_conv(
        x,
        depthwise,
        strides=strides,
        padding=padding,
        dilations=dilations,
        layout=layout,
        filters=filters,
    )
    return conv(between, pointwise, bias, layout=layout, filters=filters)


@public
def conv_transpose(
    x: Operand,
    w: Operand,
    bias: Operand | None = None,
    *,
    strides: int | Sequence[int] = 1,
    padding: Padding = "valid",
    output_padding: int | Sequence[int] = 0,
    output_shape: Sequence[int] | None = None,
    dilations: int | Sequence[int] = 1,
    groups: int = 1,
    layout: Layout = "channels_first",
    filters: Filter = "oi",
) -> Tensor:
    """What ``conv`` does to gradients: each element of ``x`` is spread over a window of the result.

    Args:
        x: The images.
        w: The filters of the convolution whose gradient this is: its outputs are the channels of
            ``x``, its inputs those of the result.
        bias: Added to each channel of the result.
        strides: How far the window moves for each element.
        padding: What is cut off the result; with ``"same_..."`` the result is ``strides`` times
            as large as ``x``.
        output_padding: Elements that the result has more at the end.
        output_shape: Sizes of the spatial axes of the result; decides about the padding, if given.
        dilations: Distance of the elements of a window.
        groups: Parts of the channels which do not meet.
        layout: Where the channels of ``x`` and of the result stand.
        filters: Order of the axes of ``w``.

    Raises:
        UserError: something does not fit.
    """
    op = "conv_transpose"
    x, w = tensor(x), tensor(w)
    channels = channel_axis(op, x.ndim, layout)
    taken, shared, kernel = _filter(op, w, x.ndim, filters)
    if groups < 1 or x.shape[channels] != taken or taken % groups:
        raise ShapeError(
            f"{op}: x has {x.shape[channels]} channels and w is for {taken}, with {groups} groups"
        )
    sizes, count = spatial(x.shape, channels), x.ndim - 2
    steps = several(op, "strides", strides, count, 1)
    spread = several(op, "dilations", dilations, count, 1)
    more = several(op, "output_padding", output_padding, count, 0)
    reaches = [(size - 1) * step + 1 for size, step in zip(kernel, spread, strict=True)]
    full = [
        (n - 1) * step + reach + extra
        for n, step, reach, extra in zip(sizes, steps, reaches, more, strict=True)
    ]
    if output_shape is None and isinstance(padding, str) and padding.lower().startswith("same"):
        output_shape = [n * step for n, step in zip(sizes, steps, strict=True)]
    if output_shape is None:
        around = pads(op, padding, [(n, 1, 1) for n in sizes])
        results = [n - low - high for n, (low, high) in zip(full, around, strict=True)]
        before = [low for low, _ in around]
    else:
        results = several(op, "output_shape", output_shape, count, 0)
        lost = [n - wanted for n, wanted in zip(full, results, strict=True)]
        # What is more than the window reaches is padding of zeros behind, not before.
        upper = isinstance(padding, str) and padding.lower() in ("same", "same_upper")
        before = [max(n, 0) // 2 if upper else (max(n, 0) + 1) // 2 for n in lost]
    if any(each < 0 for each in results):
        raise ShapeError(f"{op}: the padding is larger than the result, which has {full}")
    called = _transposed(count, channels, filters, groups > 1, bias is not None)
    outputs = shared * groups
    operands: list[Operand] = [x, w, *([] if bias is None else [_bias(op, bias, outputs)])]
    for at in range(count):
        operands += [steps[at], spread[at], before[at], results[at]]
    if groups > 1:
        operands += [groups, taken // groups]
    return single(called, *operands)


def _check_filters(op: str, filters: str) -> None:
    if filters not in ("oi", "io"):
        raise ArgumentError(f"{op}: there is no filter order {filters!r}", help="it is oi or io")


def _filter(op: str, w: Tensor, rank: int, filters: str) -> tuple[int, int, tuple[int, ...]]:
    """Outputs, inputs and window of a filter."""
    _check_filters(op, filters)
    if w.ndim != rank:
        raise ShapeError(f"{op}: x has {rank} axes, but w has {w.ndim}")
    if filters == "oi":
        return w.shape[0], w.shape[1], w.shape[2:]
    return w.shape[-1], w.shape[-2], w.shape[:-2]


def _bias(op: str, bias: Operand, outputs: int) -> Tensor:
    found = tensor(bias)
    if found.shape != (outputs,):
        raise ShapeError(
            f"{op}: bias has the shape {list(found.shape)}, but there are {outputs} outputs"
        )
    return found


def _weights(filters: str, outer: str, inner: str, window: Sequence[str]) -> str:
    return listed([outer, inner, *window] if filters == "oi" else [*window, inner, outer])


def _depthwise_weights(filters: str, channel: str, copy: str, window: Sequence[str]) -> str:
    return listed([channel, copy, *window] if filters == "oi" else [*window, channel, copy])


def _numbers(count: int) -> str:
    return listed(f"S{at}, D{at}, P{at}, R{at}" for at in range(count))


def _with_bias(rank: int, channels: int, outputs: str) -> str:
    """The statement that adds a number to each channel."""
    axes = rank - channels - 1
    shape = listed([outputs, *["1"] * axes])
    return f" Y = Z + reshape(B, {shape});" if axes else " Y = Z + B;"


def _text(name: str, inputs: str, count: int, more: str, body: str, bias: str) -> Function:
    result = "Z" if bias else "Y"
    middle = ", B[BO]" if bias else ""
    return text(
        f"function {name}({inputs}{middle}, {_numbers(count)}{more}) -> (Y) "
        f"{{ {result}{body};{bias} }}"
    )


def _convolution(count: int, channels: int, filters: str, kind: str, bias: bool) -> Function:
    places = numbered("p", count)
    window = numbered("k", count)
    outer, inner, channel = {
        "plain": ("o", "c", "c"),
        "apart": ("o", "0", "o"),
        "grouped": ("g*GO + o", "c", "g*I + c"),
    }[kind]
    read = [f"S{at}*p{at} + D{at}*k{at} - P{at}" for at in range(count)]
    x = image(channels, "N", "C", numbered("X", count))
    body = (
        f"[{image(channels, 'n', outer, places)} : "
        f"{image(channels, 'N', 'O', numbered('R', count))}] = "
        f"+(X[{image(channels, 'n', channel, read)}] * "
        f"W[{_weights(filters, outer, inner, window)}])"
    )
    inner_size = {"plain": "C", "apart": "1", "grouped": "I"}[kind]
    more = ""
    if kind == "grouped":
        body, more = f"{body}, o < GO, g < G", ", G, GO"
    w = _weights(filters, "O", inner_size, numbered("K", count))
    added = _with_bias(count + 2, channels, "O") if bias else ""
    name = f"convolution_{kind}_{count}_{channels}_{filters}{'_bias' * bias}"
    return _text(name, f"X[{x}], W[{w}]", count, more, body, added)


def _depthwise(count: int, channels: int, filters: str, bias: bool) -> Function:
    read = [f"S{at}*p{at} + D{at}*k{at} - P{at}" for at in range(count)]
    x = image(channels, "N", "C", numbered("X", count))
    body = (
        f"[{image(channels, 'n', 'M*c + m', numbered('p', count))} : "
        f"{image(channels, 'N', 'M*C', numbered('R', count))}] = "
        f"+(X[{image(channels, 'n', 'c', read)}] * "
        f"W[{_depthwise_weights(filters, 'c', 'm', numbered('k', count))}])"
    )
    w = _depthwise_weights(filters, "C", "M", numbered("K", count))
    added = _with_bias(count + 2, channels, "M*C") if bias else ""
    name = f"convolution_depthwise_{count}_{channels}_{filters}{'_bias' * bias}"
    return _text(name, f"X[{x}], W[{w}]", count, "", body, added)


def _transposed(count: int, channels: int, filters: str, grouped: bool, bias: bool) -> Function:
    places = [f"S{at}*p{at} + D{at}*k{at} - P{at}" for at in range(count)]
    outer = "g*GC + c" if grouped else "c"
    channel = "g*O + o" if grouped else "o"
    x = image(channels, "N", "C", numbered("X", count))
    outputs = "G*O" if grouped else "O"
    body = (
        f"[{image(channels, 'n', channel, places)} : "
        f"{image(channels, 'N', outputs, numbered('R', count))}] = "
        f"+(X[{image(channels, 'n', outer, numbered('p', count))}] * "
        f"W[{_weights(filters, outer, 'o', numbered('k', count))}])"
    )
    more = ""
    if grouped:
        body, more = f"{body}, c < GC, g < G", ", G, GC"
    w = _weights(filters, "C", "O", numbered("K", count))
    added = _with_bias(count + 2, channels, outputs) if bias else ""
    kind = "grouped" if grouped else "plain"
    name = f"spread_{kind}_{count}_{channels}_{filters}{'_bias' * bias}"
    return _text(name, f"X[{x}], W[{w}]", count, more, body, added)
