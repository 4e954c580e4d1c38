"""Counts the operations of a model, from its definition and not from what an engine does."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Final, TypeAlias

from tilec.onnx.library import library

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, ValueInfoProto

Sizes: TypeAlias = "Mapping[str, tuple[int, ...]]"

_SMALL: Final = 1024
"""Elements of constants that may decide about shapes."""


def count(model: ModelProto) -> int | None:
    """Multiplications and additions of convolutions, products and recurrent layers.

    Other nodes are a small part of a network, and count as nothing.

    Returns:
        Their number, or None if a size does not follow from the file.
    """
    sizes = _sizes(model)
    try:
        return sum(_operations(node, sizes) for node in model.graph.node)
    except KeyError:
        return None


def _operations(node: NodeProto, sizes: Sizes) -> int:
    match node.op_type:
        case "Conv":
            return 2 * prod(sizes[node.output[0]]) * prod(sizes[node.input[1]][1:])
        case "ConvTranspose":
            return 2 * prod(sizes[node.input[0]]) * prod(sizes[node.input[1]][1:])
        case "Gemm":
            turned = any(each.name == "transA" and each.i for each in node.attribute)
            depth = sizes[node.input[0]][0 if turned else 1]
            return 2 * prod(sizes[node.output[0]]) * depth
        case "MatMul":
            return 2 * prod(sizes[node.output[0]]) * sizes[node.input[0]][-1]
        case "LSTM" | "GRU" | "RNN":
            # A product with each of the two matrices for each example at each step.
            steps = prod(sizes[node.input[0]][:2])
            return 2 * steps * sum(prod(sizes[node.input[at]]) for at in (1, 2))
        case _:
            return 0


def _sizes(model: ModelProto) -> Sizes:
    """The sizes of all values that ONNX can infer."""
    bare = _without_weights(model)
    graph = library("onnx.shape_inference").infer_shapes(bare, data_prop=True).graph
    found = {
        each.name: tuple(dim.dim_value for dim in each.type.tensor_type.shape.dim)
        for each in (*graph.value_info, *graph.input, *graph.output)
        if _known(each)
    }
    return {**found, **{each.name: tuple(each.dims) for each in model.graph.initializer}}


def _known(info: ValueInfoProto) -> bool:
    kind = info.type.tensor_type
    return kind.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.shape.dim)


def _without_weights(model: ModelProto) -> ModelProto:
    """The model with its large constants as inputs: inference copies it several times."""
    onnx, helper = library(), library("onnx.helper")
    bare: ModelProto = onnx.ModelProto()
    bare.ir_version = model.ir_version
    bare.opset_import.extend(model.opset_import)
    bare.functions.extend(model.functions)
    graph, full = bare.graph, model.graph
    graph.name = full.name
    graph.node.extend(full.node)
    graph.input.extend(full.input)
    graph.output.extend(full.output)
    declared = {each.name for each in full.input}
    for each in full.initializer:
        if prod(each.dims) <= _SMALL:
            graph.initializer.append(each)
        elif each.name not in declared:
            graph.input.append(helper.make_tensor_value_info(each.name, each.data_type, each.dims))
    return bare
