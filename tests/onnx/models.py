"""Small ONNX models, made in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

Sizes = Sequence[int | str | None]


def floats(*values: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """A vector."""
    return np.array(values, np.float32)


def result(name: str) -> ValueInfoProto:
    """An output, of a type that nobody reads."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["unread"])


def model(
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, Sizes],
    outputs: Sequence[str],
    known: Mapping[str, Any] | None = None,
    *,
    opset: int = 20,
    dtypes: Mapping[str, Any] | None = None,
) -> ModelProto:
    """A model of these nodes; inputs are f32 unless ``dtypes`` says otherwise."""
    kinds = dtypes or {}
    given = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(np.dtype(kinds.get(name, np.float32))), sizes
        )
        for name, sizes in inputs.items()
    ]
    results = [result(name) for name in outputs]
    tensors = [
        helper.make_tensor(
            name,
            helper.np_dtype_to_tensor_dtype(np.asarray(each).dtype),
            np.asarray(each).shape,
            np.asarray(each).tobytes(),
            raw=True,
        )
        for name, each in (known or {}).items()
    ]
    graph = helper.make_graph(list(nodes), "made", given, results, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
