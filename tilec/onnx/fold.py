"""Arithmetic on shapes: nodes whose inputs are known and small are computed by NumPy at once."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tilec.onnx.file import Array
from tilec.onnx.library import library
from tilec.onnx.node import Entry

if TYPE_CHECKING:
    from onnx import NodeProto

_LARGEST: Final = 1 << 20
"""Product of the operands' sizes, which bounds the result of any of these operators."""

_NAMES: Final = """
    Abs Add And Cast Ceil Clip Concat Div Equal Flatten Floor Gather GatherElements Greater
    GreaterOrEqual Identity Less LessOrEqual Max Min Mod Mul Neg Not Or Pow ReduceMax ReduceMin
    ReduceProd ReduceSum Reshape Round ScatterElements ScatterND Sign Slice Split Sqrt Squeeze Sub
    Sum Transpose Unsqueeze Where Xor
"""

_FOLDED: Final = frozenset(_NAMES.split())
"""Operators that occur in computations of shapes; none makes more of what it is given."""


def folded(node: NodeProto, entries: Sequence[Entry], version: int) -> tuple[Array, ...] | None:
    """The results of a node whose inputs are known, or None if it is left to the program."""
    if node.domain not in ("", "ai.onnx") or node.op_type not in _FOLDED:
        return None
    if prod(max(each.size, 1) for each in entries) > _LARGEST:
        return None
    inputs = [each.array for each in entries]
    known = [each for each in inputs if each is not None]
    if not known or any(each.dtype.kind not in "biuf" for each in known):
        return None
    helper = library("onnx.helper")
    by_name = {
        name: each for name, each in zip(node.input, inputs, strict=True) if each is not None
    }
    graph = helper.make_graph(
        [node],
        "folded",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(each.dtype), each.shape
            )
            for name, each in by_name.items()
        ],
        [helper.make_empty_tensor_value_info(name) for name in node.output],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)])
    evaluator: Any = library("onnx.reference").ReferenceEvaluator(model)
    with np.errstate(all="ignore"):
        return tuple(np.asarray(each) for each in evaluator.run(None, by_name))
