"""Models in training: batch norms that take the statistics of the batch, and move their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tilec.errors import ArgumentError
from tilec.onnx.file import opset
from tilec.onnx.library import library
from tilec.onnx.types import float_types
from tilec.records import dataclass

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

_OLDEST: Final = 14
"""The first opset whose batch norms say whether they train."""


@dataclass(frozen=True, slots=True)
class Training:
    """A model for training.

    Attributes:
        model: The model; behind its own outputs come new moving statistics.
        moved: The names of these outputs by the names of the arrays that they take the place of.
    """

    model: ModelProto
    moved: dict[str, str]


def in_training(model: ModelProto) -> Training:
    """A model whose batch norms train; the given one does not change.

    Raises:
        ArgumentError: the opset of the model has no such batch norms.
    """
    norms = [node for node in model.graph.node if moving(node)]
    if not norms:
        return Training(model, {})
    if opset(model.opset_import) < _OLDEST:
        raise ArgumentError(
            f"batch norms of opset {opset(model.opset_import)} do not train",
            help=f"onnx.version_converter makes a model of opset {_OLDEST} or later of it",
        )
    copied: ModelProto = library().ModelProto()
    copied.CopyFrom(model)
    known = {each.name for each in model.graph.initializer}
    helper = library("onnx.helper")
    moved: dict[str, str] = {}
    for node in copied.graph.node:
        statistics = moving(node)
        if not statistics or not known.issuperset(statistics):
            continue
        kept = [each for each in node.attribute if each.name != "training_mode"]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute("training_mode", 1)])
        del node.output[1:]
        for name, what in zip(statistics, ("mean", "variance"), strict=True):
            moved[name] = f"{node.output[0]}/{what}"
            node.output.append(moved[name])
            copied.graph.output.append(helper.make_empty_tensor_value_info(moved[name]))
    return Training(copied, moved)


def moving(node: NodeProto) -> tuple[str, ...]:
    """The names of the moving statistics of a node."""
    return tuple(node.input[3:5]) if node.op_type == "BatchNormalization" else ()


def trained(model: ModelProto) -> list[TensorProto]:
    """What training changes: floats with axes that are no moving statistics."""
    floats = float_types()
    other = {name for node in model.graph.node for name in moving(node)}
    return [
        each
        for each in model.graph.initializer
        if each.dims and each.data_type in floats and each.name not in other
    ]
