"""The interface of ``onnx.backend``, so that ONNX's own tests run against tilec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper
from onnx.backend.base import Backend, BackendRep

from tilec.onnx.file import Array
from tilec.onnx.model import Model, read

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto


class Prepared(BackendRep):
    """A model that is ready to run."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Array, ...]:
        """The outputs for some inputs, in the order of the model."""
        found = self._model(*inputs)
        return tuple(found) if len(self._model.outputs) > 1 else (found,)


class TilecBackend(Backend):
    """tilec as a backend of ONNX."""

    @classmethod
    def prepare(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> Prepared:
        """Read and check a model; it compiles when it runs, for ``target`` if that is given."""
        return Prepared(read(model, target=kwargs.get("target")))

    @classmethod
    def run_model(
        cls, model: ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any
    ) -> tuple[Array, ...]:
        """Run a model once."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Sequence[tuple[np.dtype[Any], tuple[int, ...]]] | None = None,
        **kwargs: Any,
    ) -> tuple[Array, ...]:
        """Run a single node."""
        arrays = [np.asarray(each) for each in inputs]
        names = [each for each in node.input if each]
        given = [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(each.dtype), each.shape
            )
            for name, each in zip(names, arrays, strict=True)
        ]
        kind = onnx.TensorProto.FLOAT  # the checker wants a type, and nobody reads it
        results = [
            helper.make_tensor_value_info(each, kind, ["unread"]) for each in node.output if each
        ]
        graph = helper.make_graph([node], "node", given, results)
        version = kwargs.get("opset_version", onnx.defs.onnx_opset_version())
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)])
        return cls.run_model(model, arrays, device)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether models can run there."""
        return device == "CPU"


prepare = TilecBackend.prepare
run_model = TilecBackend.run_model
run_node = TilecBackend.run_node
supports_device = TilecBackend.supports_device
is_compatible = TilecBackend.is_compatible
