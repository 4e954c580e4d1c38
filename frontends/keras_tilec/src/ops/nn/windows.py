"""Windows as columns, and blocks of pixels as channels."""

from __future__ import annotations

from collections.abc import Sequence

from keras_tilec.src.convert import node, wrap
from keras_tilec.src.ops.nn.convolutions import Sizes, layout_of, spread
from keras_tilec.src.tensor import Tensor
from tilec import ops


def unfold(
    input: object, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
) -> Tensor:
    return wrap(
        ops.unfold_windows(
            node(input),
            spread(kernel_size, 2),
            strides=spread(stride, 2),
            dilations=spread(dilation, 2),
            padding=[(each, each) for each in spread(padding, 2)],
        )
    )


def fold(
    x: object,
    output_size: Sizes,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Sizes = 0,
    stride: Sizes = 1,
) -> Tensor:
    return wrap(
        ops.fold_windows(
            node(x),
            spread(output_size, 2),
            spread(kernel_size, 2),
            strides=spread(stride, 2),
            dilations=spread(dilation, 2),
            padding=[(each, each) for each in spread(padding, 2)],
        )
    )


def depth_to_space(x: object, block_size: int, data_format: str | None = "channels_last") -> Tensor:
    found = node(x)
    if layout_of(data_format) == "channels_last":
        n, h, w, c = found.shape
        rest = c // block_size**2
        parts, order = (n, h, w, block_size, block_size, rest), (0, 1, 3, 2, 4, 5)
        sizes: Sequence[int] = (n, h * block_size, w * block_size, rest)
    else:
        n, c, h, w = found.shape
        rest = c // block_size**2
        parts, order = (n, rest, block_size, block_size, h, w), (0, 1, 4, 2, 5, 3)
        sizes = (n, rest, h * block_size, w * block_size)
    return wrap(ops.reshape(ops.transpose(ops.reshape(found, parts), order), sizes))


def space_to_depth(x: object, block_size: int, data_format: str | None = "channels_last") -> Tensor:
    found = node(x)
    if layout_of(data_format) == "channels_last":
        n, h, w, c = found.shape
        h, w = h // block_size, w // block_size
        parts, order = (n, h, block_size, w, block_size, c), (0, 1, 3, 2, 4, 5)
        sizes: Sequence[int] = (n, h, w, c * block_size**2)
    else:
        n, c, h, w = found.shape
        h, w = h // block_size, w // block_size
        parts, order = (n, c, h, block_size, w, block_size), (0, 1, 3, 5, 2, 4)
        sizes = (n, c * block_size**2, h, w)
    return wrap(ops.reshape(ops.transpose(ops.reshape(found, parts), order), sizes))
