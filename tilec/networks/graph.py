"""``Graph``: networks put together node by node as ONNX models, with weights drawn from a seed.

Convolutions and dense layers draw normals whose variance is 2 / fan-in behind a ReLU and 1 / fan-in
elsewhere (He et al. 2015), batch norms statistics near (0, 1). So values keep their scale through
any number of layers, and what an engine computes wrongly shows in the outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from tilec.onnx.library import library
from tilec.onnx.types import element_type, numpy_type
from tilec.records import dataclass

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto

Pair: TypeAlias = "int | tuple[int, int]"

OPSET: Final = 20
_IR_VERSION: Final = 9  # that of the first release with the opset: old engines read it, too


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the network.

    Attributes:
        name: Its name in the model.
        sizes: Its sizes; images are batch x channels x height x width.
    """

    name: str
    sizes: tuple[int, ...]

    @property
    def channels(self) -> int:
        """Size of the second axis."""
        return self.sizes[1]


class Graph:
    """A model that grows.

    Args:
        name: Its name.
        batch: Examples at once.
        seed: What all weights follow from.
        dtype: The dtype of weights and pictures.
    """

    def __init__(self, name: str, batch: int, seed: int, dtype: str = "f32") -> None:
        self.batch = batch
        self._element = element_type(dtype)
        self._dtype = numpy_type(dtype)
        self._helper: Any = library("onnx.helper")
        self._kinds: Any = library().TensorProto
        self._name = name
        self._random = np.random.Generator(np.random.SFC64(seed))
        self._nodes: list[NodeProto] = []
        self._inputs: list[ValueInfoProto] = []
        self._known: list[TensorProto] = []

    def images(self, size: int) -> Value:
        """The input: square pictures of three channels."""
        return self._input("images", self._element, (3, size, size))

    def features(self, sizes: tuple[int, ...]) -> Value:
        """The input: arrays of these sizes, one for each example."""
        return self._input("features", self._element, sizes)

    def tokens(self, steps: int) -> Value:
        """The input: sequences of words, by number."""
        return self._input("tokens", self._kinds.INT64, (steps,))

    def model(self, output: Value) -> ModelProto:
        """The model, whose only output is this value."""
        graph = self._helper.make_graph(
            self._nodes,
            self._name,
            self._inputs,
            [self._info(output.name, self._element, output.sizes)],
            self._known,
        )
        return self._helper.make_model(
            graph,
            producer_name="tilec",
            ir_version=_IR_VERSION,
            opset_imports=[self._helper.make_opsetid("", OPSET)],
        )

    # Layers with weights

    def conv(
        self,
        x: Value,
        channels: int,
        kernel: Pair,
        stride: int = 1,
        pad: Pair | None = None,
        *,
        groups: int = 1,
        bias: bool = True,
        linear: bool = False,
    ) -> Value:
        """A convolution; without ``pad`` it keeps the size of the picture, up to the stride.

        Args:
            x: Pictures.
            channels: Channels of the result.
            kernel: Height and width of the window.
            stride: Step of the window.
            pad: Rows above and below, columns left and right.
            groups: Groups of channels that see only each other.
            bias: Adds a number for each channel.
            linear: The input has not gone through a ReLU, which halves the mean square.
        """
        high, wide = _pair(kernel)
        above, left = _pair((high // 2, wide // 2) if pad is None else pad)
        sizes = (channels, x.channels // groups, high, wide)
        deviation = sqrt((1 if linear else 2) / prod(sizes[1:]))
        parameters = [self.weights(sizes, deviation)]
        if bias:
            parameters.append(self.weights((channels,), 0.05))
        window = _window(x.sizes[2:], (high, wide), stride, (above, left))
        return self.node(
            "Conv",
            (x.name, *parameters),
            (x.sizes[0], channels, *window),
            kernel_shape=[high, wide],
            strides=[stride, stride],
            pads=[above, left, above, left],
            group=groups,
        )

    def norm(self, x: Value, gain: float = 1.0) -> Value:
        """A batch norm with known statistics; ``gain`` scales what comes out."""
        size = (x.channels,)
        names = [self.near(each, size, gain) for each in (1.0, 0.0)]
        names += [self.near(each, size) for each in (0.0, 1.0)]
        return self.node("BatchNormalization", (x.name, *names), x.sizes, epsilon=1e-5)

    def layer_norm(self, x: Value) -> Value:
        """A layer norm of the last axis."""
        size = x.sizes[-1:]
        scale, offset = self.near(1.0, size), self.near(0.0, size)
        return self.node("LayerNormalization", (x.name, scale, offset), x.sizes, axis=-1)

    def conv_norm(
        self,
        x: Value,
        channels: int,
        kernel: Pair,
        stride: int = 1,
        pad: Pair | None = None,
        *,
        groups: int = 1,
        linear: bool = False,
    ) -> Value:
        """A convolution and a batch norm."""
        return self.norm(
            self.conv(x, channels, kernel, stride, pad, groups=groups, bias=False, linear=linear)
        )

    def conv_norm_relu(
        self, x: Value, channels: int, kernel: Pair, stride: int = 1, pad: Pair | None = None
    ) -> Value:
        """A convolution, a batch norm and a ReLU."""
        return self.relu(self.conv_norm(x, channels, kernel, stride, pad))

    def dense(self, x: Value, units: int, *, linear: bool = False) -> Value:
        """A dense layer with a bias; of vectors, or of the last axis of what has more axes."""
        deviation = sqrt((1 if linear else 2) / x.sizes[-1])
        weights = self.weights((x.sizes[-1], units), deviation)
        bias = self.weights((units,), 0.05)
        sizes = (*x.sizes[:-1], units)
        if len(sizes) == 2:
            return self.node("Gemm", (x.name, weights, bias), sizes)
        product = self.node("MatMul", (x.name, weights), sizes)
        return self.node("Add", (product.name, bias), sizes)

    def embedding(self, tokens: Value, words: int, units: int) -> Value:
        """A vector for each word."""
        table = self.weights((words, units), 1.0)
        return self.node("Gather", (table, tokens.name), (*tokens.sizes, units))

    # Layers without

    def relu(self, x: Value) -> Value:
        """The larger of the value and 0."""
        return self.node("Relu", (x.name,), x.sizes)

    def relu6(self, x: Value) -> Value:
        """The value, kept between 0 and 6."""
        low, high = (self.constant(np.array(each, np.float32)) for each in (0, 6))
        return self.node("Clip", (x.name, low, high), x.sizes)

    def max_pool(
        self, x: Value, kernel: int, stride: int, pad: int = 0, *, ceil: bool = False
    ) -> Value:
        """The largest value of each window; ``ceil`` keeps windows that reach over the edge."""
        return self._pool("MaxPool", x, kernel, stride, pad, ceil)

    def average_pool(self, x: Value, kernel: int, stride: int, pad: int = 0) -> Value:
        """The mean of each window, of what lies inside of the picture."""
        return self._pool("AveragePool", x, kernel, stride, pad, False)

    def global_pool(self, x: Value) -> Value:
        """The mean of each channel, as vectors."""
        pooled = self.node("GlobalAveragePool", (x.name,), (*x.sizes[:2], 1, 1))
        return self.flatten(pooled)

    def flatten(self, x: Value) -> Value:
        """All axes but the first as one."""
        return self.node("Flatten", (x.name,), (x.sizes[0], prod(x.sizes[1:])), axis=1)

    def add(self, x: Value, y: Value) -> Value:
        """The sum of values of the same sizes."""
        assert x.sizes == y.sizes
        return self.node("Add", (x.name, y.name), x.sizes)

    def concat(self, *values: Value) -> Value:
        """Pictures whose channels stand one after another."""
        first, channels = values[0].sizes, sum(each.channels for each in values)
        names = tuple(each.name for each in values)
        return self.node("Concat", names, (first[0], channels, *first[2:]), axis=1)

    def reshape(self, x: Value, sizes: Sequence[int]) -> Value:
        """The same elements in other sizes."""
        assert prod(sizes) == prod(x.sizes)
        wanted = self.constant(np.array(sizes, np.int64))
        return self.node("Reshape", (x.name, wanted), sizes)

    def transpose(self, x: Value, order: Sequence[int]) -> Value:
        """The axes in another order."""
        sizes = [x.sizes[axis] for axis in order]
        return self.node("Transpose", (x.name,), sizes, perm=list(order))

    # What layers are made of

    def node(
        self,
        operator: str,
        inputs: Sequence[str],
        sizes: Sequence[int],
        outputs: Sequence[str] | None = None,
        **attributes: object,
    ) -> Value:
        """A node, whose last output has these sizes and is returned."""
        name = f"{operator.lower()}_{len(self._nodes)}"
        names = [name] if outputs is None else list(outputs)
        self._nodes.append(
            self._helper.make_node(operator, list(inputs), names, name=name, **attributes)
        )
        return Value(names[-1], tuple(sizes))

    def weights(self, sizes: tuple[int, ...], deviation: float) -> str:
        """Normals around 0."""
        drawn = self._random.standard_normal(sizes, np.float32)
        drawn *= np.float32(deviation)
        return self.constant(drawn)

    def near(self, middle: float, sizes: tuple[int, ...], factor: float = 1.0) -> str:
        """Numbers near one, as the parameters of norms are."""
        drawn = factor * self._random.uniform(middle - 0.2, middle + 0.2, sizes)
        return self.constant(drawn)

    def constant(self, values: np.ndarray[Any, np.dtype[Any]]) -> str:
        """Numbers that are part of the model; returns their name. Floats get the dtype of all."""
        if values.dtype.kind == "f":
            values = values.astype(self._dtype, copy=False)
        name = f"constant_{len(self._known)}"
        kind = self._helper.np_dtype_to_tensor_dtype(values.dtype)
        self._known.append(
            self._helper.make_tensor(name, kind, values.shape, values.tobytes(), raw=True)
        )
        return name

    def _pool(
        self, operator: str, x: Value, kernel: int, stride: int, pad: int, ceil: bool
    ) -> Value:
        window = _window(x.sizes[2:], (kernel, kernel), stride, (pad, pad), ceil)
        return self.node(
            operator,
            (x.name,),
            (*x.sizes[:2], *window),
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[pad] * 4,
            ceil_mode=int(ceil),
        )

    def _input(self, name: str, kind: int, example: tuple[int, ...]) -> Value:
        sizes = (self.batch, *example)
        self._inputs.append(self._info(name, kind, sizes))
        return Value(name, sizes)

    def _info(self, name: str, kind: int, sizes: Sequence[int]) -> ValueInfoProto:
        return self._helper.make_tensor_value_info(name, kind, list(sizes))


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _window(
    sizes: Sequence[int],
    kernel: Sequence[int],
    stride: int,
    pad: Sequence[int],
    ceil: bool = False,
) -> tuple[int, ...]:
    """Sizes of what a window leaves."""
    spare = stride - 1 if ceil else 0
    return tuple(
        (size + 2 * each_pad - width + spare) // stride + 1
        for size, width, each_pad in zip(sizes, kernel, pad, strict=True)
    )
