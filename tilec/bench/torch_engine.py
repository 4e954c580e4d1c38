"""ONNX models in PyTorch, which cannot read them: each node is a call of PyTorch's own function.

The calls are traced, and the trace is frozen and optimised for inference by ``torch.jit``: batch
norms go into convolutions, weights are repacked for oneDNN.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from tilec.bench.subject import Array, Subject
from tilec.bench.training import RATE, first_output, right_classes, right_values
from tilec.errors import ArgumentError
from tilec.onnx.library import library
from tilec.onnx.training import in_training, trained

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

Values: TypeAlias = "dict[str, Any]"
Attributes: TypeAlias = "dict[str, Any]"
Layer: TypeAlias = "Callable[[Any, Sequence[Any], Attributes], Any]"

_FEW: Final = 8
_NUMBERS: Final = ("Clip", "Reshape")
"""Nodes whose further inputs PyTorch wants as numbers."""


def prepare(subject: Subject, threads: int) -> Callable[[], Sequence[Array]]:
    """Compile a model.

    Raises:
        ArgumentError: it has nodes that are not translated.
    """
    torch = _torch(threads)
    network = _module(torch, subject.model.graph, lambda array: torch.from_numpy(array.copy()))
    inputs = [torch.from_numpy(each) for each in subject.inputs.values()]
    with torch.inference_mode(), warnings.catch_warnings():
        # Its successor, torch.compile, needs a C++ compiler on the machine.
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.trace(network, inputs)
        traced = torch.jit.optimize_for_inference(torch.jit.freeze(traced.eval()))

    def run() -> Sequence[Array]:
        with torch.inference_mode():
            return [each.numpy() for each in traced(*inputs)]

    return run


def prepare_training(
    subject: Subject, threads: int, *, exact: bool = False
) -> Callable[[], Sequence[Array]]:
    """One step of training, by PyTorch's own differentiation.

    Args:
        subject: The model.
        threads: How many may work.
        exact: Whether all floats are f64, whatever the model says.

    Raises:
        ArgumentError: the model has nodes that are not translated, or several outputs.
    """
    torch = _torch(threads)
    functions = torch.nn.functional
    name = first_output(subject).name
    model = in_training(subject.model).model

    def load(array: Array) -> Any:
        found = torch.from_numpy(array.copy())
        if exact and found.is_floating_point():
            found = found.double()
        if found.ndim == 4:  # in this order oneDNN trains faster
            return found.contiguous(memory_format=torch.channels_last)
        return found

    network = _module(torch, model.graph, load)
    inputs = [load(each) for each in subject.inputs.values()]
    weights = {each.name: network.known[each.name] for each in trained(model)}
    for each in weights.values():
        each.requires_grad_()
    results = [torch.empty_like(each) for each in weights.values()]

    def run() -> Sequence[Array]:
        found = dict(zip(network.outputs, network(*inputs), strict=True))[name]
        classes = right_classes(found.shape)
        if classes is None:
            wanted = load(right_values(found.shape, subject.dtype))
            loss = functions.mse_loss(found, wanted)
        else:
            loss = functions.cross_entropy(found.flatten(1), torch.from_numpy(classes))
        slopes = torch.autograd.grad(loss, [*weights.values()], allow_unused=True)
        with torch.no_grad():
            for weight, slope, new in zip(weights.values(), slopes, results, strict=True):
                torch.sub(weight, 0 if slope is None else slope, alpha=RATE, out=new)
        return [each.detach().numpy() for each in (loss, *results)]

    return run


def _torch(threads: int) -> Any:
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(threads)
    return torch


def _module(torch: Any, graph: GraphProto, load: Callable[[Array], Any]) -> Any:
    """The model; ``load`` makes tensors of arrays.

    Raises:
        ArgumentError: it has nodes that are not translated.
    """
    missing = sorted({node.op_type for node in graph.node} - set(_LAYERS))
    if missing:
        raise ArgumentError(f"not translated to PyTorch: {', '.join(missing)}")
    to_array: Any = library("onnx.numpy_helper").to_array
    arrays = {each.name: to_array(each) for each in graph.initializer}
    weights = {name: load(each) for name, each in arrays.items()}
    # Bounds and sizes are numbers: a trace keeps tensors, which cannot be folded.
    plain = {name: each.tolist() for name, each in arrays.items() if each.size <= _FEW}
    passed = [each.name for each in graph.input if each.name not in weights]
    value_of: Any = library("onnx.helper").get_attribute_value
    nodes = [(node, {each.name: value_of(each) for each in node.attribute}) for node in graph.node]

    class Network(torch.nn.Module):
        known = weights
        outputs = tuple(each.name for each in graph.output)

        def forward(self, *given: Any) -> tuple[Any, ...]:
            values = {**weights, **dict(zip(passed, given, strict=True))}
            for node, attributes in nodes:
                _execute(torch, node, attributes, values, plain)
            return tuple(values[name] for name in self.outputs)

    return Network()


def _execute(
    torch: Any, node: NodeProto, attributes: Attributes, values: Values, plain: Values
) -> None:
    inputs = [values[each] if each else None for each in node.input]
    if node.op_type in _NUMBERS:
        inputs[1:] = [plain[each] if each else None for each in node.input[1:]]
    found = _LAYERS[node.op_type](torch, inputs, attributes)
    several = cast("tuple[Any, ...]", found if isinstance(found, tuple) else (found,))
    for name, value in zip(node.output, several, strict=False):
        if name:
            values[name] = value


def _conv(torch: Any, inputs: Sequence[Any], attributes: Attributes) -> Any:
    x, weights, bias = (*inputs, None)[:3]
    return torch.conv2d(
        x,
        weights,
        bias,
        attributes.get("strides", (1, 1)),
        _pads(attributes),
        attributes.get("dilations", (1, 1)),
        attributes.get("group", 1),
    )


def _norm(torch: Any, inputs: Sequence[Any], attributes: Attributes) -> Any:
    x, scale, offset, mean, variance = inputs
    epsilon = attributes.get("epsilon", 1e-5)
    normalised = torch.nn.functional.batch_norm
    if not attributes.get("training_mode", 0):
        return normalised(x, mean, variance, scale, offset, training=False, eps=epsilon)
    mean, variance = mean.clone(), variance.clone()  # which it moves
    share = 1 - attributes.get("momentum", 0.9)
    found = normalised(x, mean, variance, scale, offset, True, share, epsilon)
    return found, mean, variance


def _max_pool(torch: Any, inputs: Sequence[Any], attributes: Attributes) -> Any:
    return torch.max_pool2d(
        inputs[0],
        attributes["kernel_shape"],
        attributes.get("strides", (1, 1)),
        _pads(attributes),
        attributes.get("dilations", (1, 1)),
        bool(attributes.get("ceil_mode", 0)),
    )


def _average_pool(torch: Any, inputs: Sequence[Any], attributes: Attributes) -> Any:
    return torch.nn.functional.avg_pool2d(
        inputs[0],
        attributes["kernel_shape"],
        attributes.get("strides", (1, 1)),
        _pads(attributes),
        bool(attributes.get("ceil_mode", 0)),
        bool(attributes.get("count_include_pad", 0)),
    )


def _pads(attributes: Attributes) -> Sequence[int]:
    """Rows above and below, columns left and right."""
    pads = attributes.get("pads", (0, 0, 0, 0))
    if attributes.get("auto_pad", b"NOTSET") != b"NOTSET" or list(pads[:2]) != list(pads[2:]):
        raise ArgumentError("not translated to PyTorch: margins that differ")
    return pads[:2]


def _dense(torch: Any, inputs: Sequence[Any], attributes: Attributes) -> Any:
    if attributes:
        raise ArgumentError("not translated to PyTorch: Gemm with attributes")
    return torch.nn.functional.linear(inputs[0], inputs[1].t(), *inputs[2:])


def _lstm(torch: Any, inputs: Sequence[Any], attributes: Attributes) -> Any:
    if len(inputs) > 4 or set(attributes) - {"hidden_size"}:
        raise ArgumentError("not translated to PyTorch: LSTM with more than weights and biases")
    x, inner, outer, bias = inputs
    units = outer.shape[-1]
    # The gates of ONNX are input, output, forget, cell; those of PyTorch input, forget, cell,
    # output.
    inner, outer, first, second = (
        torch.cat([part[at * units : (at + 1) * units] for at in (0, 2, 3, 1)])
        for part in (inner[0], outer[0], bias[0, : 4 * units], bias[0, 4 * units :])
    )
    state = torch.zeros(1, x.shape[1], units, dtype=x.dtype)
    y, last, cell = torch.lstm(
        x, (state, state), (inner, outer, first, second), True, 1, 0.0, False, False, False
    )
    return y.unsqueeze(1), last, cell


def _layer_norm(torch: Any, inputs: Sequence[Any], attributes: Attributes) -> Any:
    x = inputs[0]
    sizes = x.shape[attributes.get("axis", -1) :]
    return torch.nn.functional.layer_norm(x, sizes, *inputs[1:], attributes.get("epsilon", 1e-5))


def _gelu(torch: Any, inputs: Sequence[Any], attributes: Attributes) -> Any:
    kind = attributes.get("approximate", b"none").decode()
    return torch.nn.functional.gelu(inputs[0], approximate=kind)


_LAYERS: Final[dict[str, Layer]] = {
    "Add": lambda torch, given, _: given[0] + given[1],
    "AveragePool": _average_pool,
    "BatchNormalization": _norm,
    "Clip": lambda torch, given, _: torch.clamp(*given),
    "Concat": lambda torch, given, told: torch.cat(list(given), told["axis"]),
    "Conv": _conv,
    "Flatten": lambda torch, given, told: torch.flatten(given[0], told.get("axis", 1)),
    "Gather": lambda torch, given, told: torch.nn.functional.embedding(given[1], given[0]),
    "Gelu": _gelu,
    "Gemm": _dense,
    "GlobalAveragePool": lambda torch, given, _: given[0].mean((2, 3), keepdim=True),
    "LSTM": _lstm,
    "LayerNormalization": _layer_norm,
    "MatMul": lambda torch, given, _: torch.matmul(given[0], given[1]),
    "MaxPool": _max_pool,
    "Mul": lambda torch, given, _: given[0] * given[1],
    "Relu": lambda torch, given, _: torch.relu(given[0]),
    "Reshape": lambda torch, given, _: given[0].reshape(given[1]),
    "Sigmoid": lambda torch, given, _: torch.sigmoid(given[0]),
    "Softmax": lambda torch, given, told: torch.softmax(given[0], told.get("axis", -1)),
    "Tanh": lambda torch, given, _: torch.tanh(given[0]),
    "Transpose": lambda torch, given, told: given[0].permute(told["perm"]),
}
