"""Layers of networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tilec import Tensor
from tilec.dtypes import integer_range
from tilec.errors import ArgumentError
from tilec.onnx.node import Node, Result
from tilec.onnx.registry import operator
from tilec.ops import (
    activations,
    convolutions,
    elementary,
    elementwise,
    linear,
    normalisations,
    pooling,
    softmaxes,
)
from tilec.ops.shapes import repeat, reshape
from tilec.ops.windows import Padding

_ACTIVATIONS: Final[dict[str, Callable[[Node, Tensor], Tensor]]] = {
    "Relu": lambda _, x: activations.relu(x),
    "Sigmoid": lambda _, x: activations.sigmoid(x),
    "Tanh": lambda _, x: elementary.tanh(x),
    "Softplus": lambda _, x: activations.softplus(x),
    "Softsign": lambda _, x: activations.softsign(x),
    "Mish": lambda _, x: activations.mish(x),
    "HardSwish": lambda _, x: activations.hard_swish(x),
    "LeakyRelu": lambda n, x: activations.leaky_relu(x, n.number("alpha", 0.01)),
    "ThresholdedRelu": lambda n, x: activations.thresholded_relu(x, n.number("alpha", 1.0)),
    "Elu": lambda n, x: activations.elu(x, n.number("alpha", 1.0)),
    "Celu": lambda n, x: activations.celu(x, n.number("alpha", 1.0)),
    "Swish": lambda n, x: activations.swish(x, n.number("alpha", 1.0)),
    "Selu": lambda n, x: activations.selu(
        x, n.number("alpha", 1.6732632423543772), n.number("gamma", 1.0507009873554805)
    ),
    "HardSigmoid": lambda n, x: activations.hard_sigmoid(
        x, n.number("alpha", 0.2), n.number("beta", 0.5)
    ),
    "Shrink": lambda n, x: activations.shrink(x, n.number("lambd", 0.5), n.number("bias", 0.0)),
    "Gelu": lambda n, x: activations.gelu(x, approximate=n.text("approximate", "none") == "tanh"),
}


@operator(*_ACTIVATIONS)
def activation(node: Node) -> Result:
    return _ACTIVATIONS[node.kind](node, node.tensor(0))


@operator("PRelu")
def prelu(node: Node) -> Result:
    return activations.prelu(node.tensor(0), node.tensor(1))


@operator("Conv")
def conv(node: Node) -> Result:
    x, w = node.tensor(0), node.tensor(1)
    _check_kernel(node, w.shape[2:])
    return convolutions.conv(
        x,
        w,
        node.optional(2),
        strides=node.integers("strides") or 1,
        padding=_padding(node, x.ndim - 2),
        dilations=node.integers("dilations") or 1,
        groups=node.integer("group", 1),
    )


@operator("ConvTranspose")
def conv_transpose(node: Node) -> Result:
    x, w = node.tensor(0), node.tensor(1)
    _check_kernel(node, w.shape[2:])
    shape = node.integers("output_shape")
    return convolutions.conv_transpose(
        x,
        w,
        node.optional(2),
        strides=node.integers("strides") or 1,
        padding=_padding(node, x.ndim - 2),
        output_padding=node.integers("output_padding") or 0,
        output_shape=shape if shape is None else shape[-(x.ndim - 2) :],
        dilations=node.integers("dilations") or 1,
        groups=node.integer("group", 1),
    )


@operator("ConvInteger")
def conv_integer(node: Node) -> Result:
    """Sums in i32; zero points count as zeros, so that padding is one."""
    return _integer_conv(node, 0, 1, node.optional(2), node.optional(3))


@operator("QLinearConv")
def quantised_conv(node: Node) -> Result:
    w_scale, scale, zero = node.tensor(4), node.tensor(6), node.tensor(7)
    rank = node.tensor(0).ndim
    found = _integer_conv(node, 0, 3, node.tensor(2), node.tensor(5))
    if node.has(8):
        found = found + _by_channel(node.tensor(8), rank)
    factor = reshape(node.tensor(1), ()) * _by_channel(w_scale, rank) / reshape(scale, ())
    wide = elementwise.round(elementwise.cast(found, "f32") * factor)
    low, high = integer_range(zero.dtype)
    shifted = wide + elementwise.cast(reshape(zero, ()), "f32")
    return elementwise.cast(elementwise.clip(shifted, float(low), float(high)), zero.dtype)


def _integer_conv(
    node: Node, x_at: int, w_at: int, x_zero: Tensor | None, w_zero: Tensor | None
) -> Tensor:
    x, w = (elementwise.cast(node.tensor(at), "i32") for at in (x_at, w_at))
    if x_zero is not None:
        x = x - elementwise.cast(reshape(x_zero, ()), "i32")
    if w_zero is not None:
        outputs = [w_zero.size, *[1] * (w.ndim - 1)]
        w = w - elementwise.cast(reshape(w_zero, outputs), "i32")
    return convolutions.conv(
        x,
        w,
        strides=node.integers("strides") or 1,
        padding=_padding(node, x.ndim - 2),
        dilations=node.integers("dilations") or 1,
        groups=node.integer("group", 1),
    )


def _by_channel(x: Tensor, rank: int) -> Tensor:
    """One number, or one for each channel, as it is broadcast to images."""
    return reshape(x, () if x.size == 1 else [x.size, *[1] * (rank - 2)])


@operator("GroupNormalization")
def group_normalization(node: Node) -> Result:
    x, groups = node.tensor(0), node.integer("num_groups")
    scale, bias = node.tensor(1), node.tensor(2)
    if node.version < 21 and scale.size == groups:  # one number for each group, not each channel
        count = x.shape[1] // max(groups, 1)
        scale, bias = (repeat(each, count) for each in (scale, bias))
    return normalisations.group_norm(x, scale, bias, groups, epsilon=node.number("epsilon", 1e-5))


@operator("MaxPool")
def max_pool(node: Node) -> Result:
    x = node.tensor(0)
    window, padding = _window(node), _padding(node, x.ndim - 2)
    strides, dilations = node.integers("strides") or 1, node.integers("dilations") or 1
    ceil_mode = node.flag("ceil_mode")
    if len(node.outputs) < 2 or not node.outputs[1]:
        return pooling.max_pool(
            x, window, strides=strides, padding=padding, dilations=dilations, ceil_mode=ceil_mode
        )
    return pooling.max_pool_with_positions(
        x,
        window,
        strides=strides,
        padding=padding,
        dilations=dilations,
        ceil_mode=ceil_mode,
        column_major=node.flag("storage_order"),
    )


@operator("AveragePool")
def average_pool(node: Node) -> Result:
    x = node.tensor(0)
    return pooling.average_pool(
        x,
        _window(node),
        strides=node.integers("strides") or 1,
        padding=_padding(node, x.ndim - 2),
        dilations=node.integers("dilations") or 1,
        ceil_mode=node.flag("ceil_mode"),
        count_include_pad=node.flag("count_include_pad"),
    )


@operator("LpPool")
def lp_pool(node: Node) -> Result:
    x = node.tensor(0)
    return pooling.lp_pool(
        x,
        _window(node),
        p=node.integer("p", 2),
        strides=node.integers("strides") or 1,
        padding=_padding(node, x.ndim - 2),
        dilations=node.integers("dilations") or 1,
        ceil_mode=node.flag("ceil_mode"),
    )


@operator("GlobalAveragePool")
def global_average_pool(node: Node) -> Result:
    return pooling.global_average_pool(node.tensor(0))


@operator("GlobalMaxPool")
def global_max_pool(node: Node) -> Result:
    return pooling.global_max_pool(node.tensor(0))


@operator("GlobalLpPool")
def global_lp_pool(node: Node) -> Result:
    return pooling.global_lp_pool(node.tensor(0), p=node.integer("p", 2))


@operator("Gemm")
def gemm(node: Node) -> Result:
    return linear.gemm(
        node.tensor(0),
        node.tensor(1),
        node.optional(2),
        alpha=node.number("alpha", 1.0),
        beta=node.number("beta", 1.0),
        transpose_a=node.flag("transA"),
        transpose_b=node.flag("transB"),
    )


@operator("MatMul")
def matmul(node: Node) -> Result:
    return linear.matmul(node.tensor(0), node.tensor(1))


@operator("Einsum")
def einsum(node: Node) -> Result:
    return linear.einsum(node.text("equation"), *node.tensors)


@operator("BatchNormalization")
def batch_normalization(node: Node) -> Result:
    x, scale, bias, mean, variance = (node.tensor(at) for at in range(5))
    epsilon = node.number("epsilon", 1e-5)
    if not node.flag("training_mode"):
        return normalisations.batch_norm(x, scale, bias, mean, variance, epsilon=epsilon)
    return normalisations.batch_norm_training(
        x, scale, bias, mean, variance, epsilon=epsilon, momentum=node.number("momentum", 0.9)
    )


@operator("LayerNormalization")
def layer_normalization(node: Node) -> Result:
    x = node.tensor(0)
    first = node.integer("axis", -1) % max(x.ndim, 1)
    found, mean, factor = normalisations.standardized(
        x, range(first, x.ndim), epsilon=node.number("epsilon", 1e-5)
    )
    found = found * node.tensor(1)
    bias = node.optional(2)
    return (found if bias is None else found + bias), mean, factor


@operator("RMSNormalization")
def rms_normalization(node: Node) -> Result:
    return normalisations.rms_norm(
        node.tensor(0),
        node.tensor(1),
        axis=node.integer("axis", -1),
        epsilon=node.number("epsilon", 1e-5),
    )


@operator("InstanceNormalization")
def instance_normalization(node: Node) -> Result:
    return normalisations.instance_norm(
        node.tensor(0), node.tensor(1), node.tensor(2), epsilon=node.number("epsilon", 1e-5)
    )


@operator("LRN")
def local_response_normalization(node: Node) -> Result:
    return normalisations.local_response_norm(
        node.tensor(0),
        node.integer("size"),
        alpha=node.number("alpha", 1e-4),
        beta=node.number("beta", 0.75),
        bias=node.number("bias", 1.0),
    )


@operator("LpNormalization")
def lp_normalization(node: Node) -> Result:
    return normalisations.lp_normalize(
        node.tensor(0), node.integer("axis", -1), p=node.integer("p", 2)
    )


@operator("Softmax", "LogSoftmax", "Hardmax")
def softmax(node: Node) -> Result:
    x = node.tensor(0)
    by_name = {
        "Softmax": softmaxes.softmax,
        "LogSoftmax": softmaxes.log_softmax,
        "Hardmax": softmaxes.hardmax,
    }
    function = by_name[node.kind]
    if node.version >= 13:
        return function(x, node.integer("axis", -1))
    # Up to opset 12, all axes from this one on are one.
    first = node.integer("axis", 1) % max(x.ndim, 1)
    rows = 1
    for size in x.shape[:first]:
        rows *= size
    columns = x.size // max(rows, 1)
    return reshape(function(reshape(x, (rows, columns)), -1), x.shape)


@operator("Identity", "Dropout")
def identity(node: Node) -> Result:
    trains = node.kind == "Dropout" and node.has(2) and bool(node.array(2, "training_mode"))
    if trains and (not node.has(1) or float(node.array(1, "the ratio"))):
        raise ArgumentError("training mode is not supported: nobody seeds its random numbers")
    item = node.entries[0].item
    if len(node.outputs) < 2 or not node.outputs[1]:
        return item
    return item, node.tensor(0) == node.tensor(0)


def _window(node: Node) -> list[int]:
    found = node.integers("kernel_shape")
    if found is None:
        raise ArgumentError("the attribute kernel_shape is missing")
    return found


def _check_kernel(node: Node, window: tuple[int, ...]) -> None:
    found = node.integers("kernel_shape")
    if found is not None and tuple(found) != window:
        raise ArgumentError(f"kernel_shape is {found}, but the filter has {list(window)}")


def _padding(node: Node, count: int) -> Padding:
    named = node.text("auto_pad", "NOTSET")
    if named != "NOTSET":
        return named.lower()
    pads = node.integers("pads")
    if pads is None:
        return 0
    if len(pads) != 2 * count:
        raise ArgumentError(f"pads has {len(pads)} numbers for {count} spatial axes")
    return [*zip(pads[:count], pads[count:], strict=True)]
