"""Convolutions, in the layout that data have: channels first or last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import tilec
from keras_tilec.src.convert import node, promote, wrap
from keras_tilec.src.host import standardize_data_format
from keras_tilec.src.tensor import Tensor
from tilec import ops
from tilec.ops.windows import Layout

Sizes: TypeAlias = "int | Sequence[int]"


def layout_of(data_format: str | None) -> Layout:
    """Where channels stand."""
    is_last = standardize_data_format(data_format) == "channels_last"
    return "channels_last" if is_last else "channels_first"


def spread(sizes: Sizes, count: int) -> tuple[int, ...]:
    """A size for each axis."""
    if isinstance(sizes, int):
        return (sizes,) * count
    given = tuple(map(int, sizes))
    return given * count if len(given) == 1 else given


def padding_of(padding: str) -> str:
    """The padding of windows: without, or as much as makes the result as large, more of it behind.

    Raises:
        ValueError: it is another.
    """
    named = padding.lower()
    if named not in ("same", "valid"):
        raise ValueError(f"Invalid padding '{padding}', must be 'same' or 'valid'.")
    return "same_upper" if named == "same" else "valid"


_Pads: TypeAlias = "str | Sequence[tuple[int, int]]"


def _unpadded(
    inputs: object, padding: str, kernel: object, gaps: Sizes, layout: Layout
) -> tuple[object, _Pads]:
    """What windows go over, and their padding: they step over zeros around it, which networks put
    there so that windows with a stride begin where they do elsewhere.
    """
    named = padding_of(padding)
    border = inputs.border if isinstance(inputs, Tensor) else None
    if border is None or named != "valid":
        return inputs, named
    first = 1 if layout == "channels_last" else 2
    count = len(border.widths) - 2
    pads = border.widths[first : first + count]
    others = [*border.widths[:first], *border.widths[first + count :]]
    reaches = [
        (size - 1) * gap
        for size, gap in zip(node(kernel).shape[:count], spread(gaps, count), strict=True)
    ]
    is_narrow = all(max(pair) <= reach for pair, reach in zip(pads, reaches, strict=True))
    if not is_narrow or any(map(any, others)):
        return inputs, named
    return border.inside, pads


def _channels(x: tilec.Tensor, layout: Layout) -> int:
    return x.shape[-1] if layout == "channels_last" else x.shape[1]


def _filled(found: tilec.Tensor) -> Tensor:
    if 0 in found.shape[1:]:
        raise ValueError(
            "The convolution operation resulted in an empty output. This can happen if the input "
            "is too small for the given kernel size, strides, dilation rate, and padding mode."
        )
    return wrap(found)


def conv(
    inputs: object,
    kernel: object,
    strides: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Sizes = 1,
) -> Tensor:
    layout = layout_of(data_format)
    inside, pads = _unpadded(inputs, padding, kernel, dilation_rate, layout)
    x, w = promote(inside, kernel)
    taken, groups = w.shape[-2], _channels(x, layout) // w.shape[-2]
    if _channels(x, layout) % taken:
        raise ValueError(
            "The number of input channels must be evenly divisible by kernel's in_channels. "
            f"Received input channels {_channels(x, layout)} and kernel in_channels {taken}. "
        )
    return _filled(
        ops.conv(
            x,
            w,
            strides=spread(strides, x.ndim - 2),
            padding=pads,
            dilations=spread(dilation_rate, x.ndim - 2),
            groups=groups,
            layout=layout,
            filters="io",
        )
    )


def depthwise_conv(
    inputs: object,
    kernel: object,
    strides: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Sizes = 1,
) -> Tensor:
    layout = layout_of(data_format)
    inside, pads = _unpadded(inputs, padding, kernel, dilation_rate, layout)
    x, w = promote(inside, kernel)
    return _filled(
        ops.depthwise_conv(
            x,
            w,
            strides=spread(strides, x.ndim - 2),
            padding=pads,
            dilations=spread(dilation_rate, x.ndim - 2),
            layout=layout,
            filters="io",
        )
    )


def separable_conv(
    inputs: object,
    depthwise_kernel: object,
    pointwise_kernel: object,
    strides: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Sizes = 1,
) -> Tensor:
    layout = layout_of(data_format)
    inside, pads = _unpadded(inputs, padding, depthwise_kernel, dilation_rate, layout)
    x, depthwise, pointwise = promote(inside, depthwise_kernel, pointwise_kernel)
    return _filled(
        ops.separable_conv(
            x,
            depthwise,
            pointwise,
            strides=spread(strides, x.ndim - 2),
            padding=pads,
            dilations=spread(dilation_rate, x.ndim - 2),
            layout=layout,
            filters="io",
        )
    )


def conv_transpose(
    inputs: object,
    kernel: object,
    strides: Sizes = 1,
    padding: str = "valid",
    output_padding: Sizes | None = None,
    data_format: str | None = None,
    dilation_rate: Sizes = 1,
) -> Tensor:
    x, w = promote(inputs, kernel)
    layout, count = layout_of(data_format), x.ndim - 2
    steps, gaps = spread(strides, count), spread(dilation_rate, count)
    more = (None,) * count if output_padding is None else spread(output_padding, count)
    named, pairs, extra = padding_of(padding), list[tuple[int, int]](), list[int]()
    for size, step, gap, behind in zip(w.shape[:count], steps, gaps, more, strict=True):
        before, after = _cut((size - 1) * gap + 1, step, named, behind)
        pairs.append((before, max(after, 0)))
        extra.append(max(-after, 0))
    return wrap(
        ops.conv_transpose(
            x,
            w,
            strides=steps,
            padding=pairs,
            output_padding=extra,
            dilations=gaps,
            layout=layout,
            filters="io",
        )
    )


def _cut(reach: int, step: int, padding: str, behind: int | None) -> tuple[int, int]:
    """What is cut off before and behind the result of a transposed convolution.

    Nothing is, if all windows count (``valid``); then zeros fill the result up to whole steps.
    Else there are as many results as steps, or one for a window of odd size and those ``behind``.
    """
    if padding == "valid":
        return 0, -(max(step - reach, 0) if behind is None else behind)
    kept = step + reach - 2 if behind is None else reach + reach % 2 - 2 + behind
    before = min(-(-kept // 2), reach - 1)
    return reach - 1 - before, reach - 1 - (kept - before)
