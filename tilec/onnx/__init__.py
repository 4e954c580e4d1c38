"""ONNX models as tilec programs: ``tilec.onnx.load(path)``."""

from tilec.onnx.model import Input, Model, load, read
from tilec.onnx.node import Item, NeedsValueError, Node, Result
from tilec.onnx.registry import operator

__all__ = [
    "Input",
    "Item",
    "Model",
    "NeedsValueError",
    "Node",
    "Result",
    "load",
    "operator",
    "read",
]
