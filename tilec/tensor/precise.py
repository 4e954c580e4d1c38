"""Programs in float64: the same computation with less rounding, to measure others against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from tilec.dtypes import F64, DType
from tilec.tensor.ir import (
    Constant,
    Contraction,
    Map,
    Node,
    Program,
    RandomValue,
    TensorType,
)
from tilec.tensor.scalar import Apply, IndexValue, Literal, Read, Scalar, cast, walk


def in_f64(program: Program) -> Program:
    """The program with every float in f64, but for the values of the random generator."""
    kept = {node.name for node in program.nodes if isinstance(node, RandomValue)}
    inputs = tuple(replace(item, type=_type(item.type)) for item in program.inputs)
    nodes = tuple(_node(node, lambda read: _read(read, kept)) for node in program.nodes)
    return replace(program, inputs=inputs, nodes=nodes)


def floats(program: Program) -> frozenset[DType]:
    """The float types that a program computes in, those of casts within an expression too."""
    return frozenset(dtype for dtype in _dtypes(program) if dtype.is_float)


def _dtypes(program: Program) -> Iterator[DType]:
    for item in program.inputs:
        yield item.type.dtype
    for node in program.nodes:
        yield node.type.dtype
        if isinstance(node, (Contraction, Map)):
            # A literal is f32 until it meets something wider: that rounds nothing.
            yield from (part.dtype for part in walk(node.body) if not isinstance(part, Literal))


def _dtype(dtype: DType) -> DType:
    return F64 if dtype.is_float else dtype


def _type(kind: TensorType) -> TensorType:
    return replace(kind, dtype=_dtype(kind.dtype))


def _read(read: Read, kept: set[str]) -> Scalar:
    if read.tensor in kept:
        return cast(read, F64)
    return replace(read, dtype=_dtype(read.dtype))


def _node(node: Node, read: Callable[[Read], Scalar]) -> Node:
    match node:
        case RandomValue():
            return node
        case Constant():
            data = tuple(map(float, node.data)) if node.type.dtype.is_float else node.data
            return replace(node, type=_type(node.type), data=data)
        case Contraction() | Map():
            return replace(node, type=_type(node.type), body=_scalar(node.body, read))
        case _:
            return replace(node, type=_type(node.type))


def _scalar(value: Scalar, read: Callable[[Read], Scalar]) -> Scalar:
    match value:
        case Read():
            return read(value)
        case Literal() | IndexValue():
            return replace(value, dtype=_dtype(value.dtype))
        case Apply(op="cast"):
            return cast(_scalar(value.args[0], read), _dtype(value.dtype))
        case Apply():
            args = tuple(_scalar(arg, read) for arg in value.args)
            return replace(value, args=args, dtype=_dtype(value.dtype))
