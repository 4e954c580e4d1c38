"""The reference evaluator: the tensor IR by its definition, in NumPy.

This is the specification of what every backend computes, and ``target="reference"``. It is written
to be checked by reading: contractions enumerate all their index points. Where the order of a
computation is left open (sums and products) the result is the ideal one: floats are accumulated in
more precision than the accumulator has, and rounded to it once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, Final

import numpy as np

from tilec.dtypes import BF16, F64, I64, DType, accumulator, integer_range
from tilec.errors import ArgumentError, BoundsError, InternalError, LimitError
from tilec.tensor import domain, numpy_ops, random
from tilec.tensor.affine import Affine
from tilec.tensor.ir import (
    Aggregation,
    ArgSort,
    Constant,
    Contraction,
    Gather,
    Input,
    Map,
    Node,
    Program,
    RandomState,
    RandomValue,
    Reshape,
    Scatter,
    SumTo,
    TensorType,
)
from tilec.tensor.numpy_ops import Array, convert, storage, to_bf16
from tilec.tensor.points import Points, grid, search
from tilec.tensor.scalar import Apply, IndexValue, Literal, Read, Scalar, walk
from tilec.tensor.size import concrete

MAX_POINTS: Final = 200_000_000
"""Points of the box around an index domain beyond which a contraction is refused."""


def evaluate(program: Program, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Run a bound program.

    Args:
        program: A verified program whose sizes are numbers.
        arrays: One array per input. Inputs of type bf16 may be arrays of ``ml_dtypes.bfloat16``,
            or float32 arrays, which are rounded.

    Returns:
        One array per output, by name; those of type bf16 are float32 arrays of bf16 values.

    Raises:
        ArgumentError: an array is missing, or of another dtype or shape than its input.
        BoundsError: a statement with ``=`` writes an element twice.
        LimitError: a contraction has too many index points to enumerate.
    """
    values = {item.name: _input(item, arrays) for item in program.inputs}
    work = _Evaluator(program.types(), values)
    for node in program.nodes:
        values[node.name] = work.node(node)
    return {output.name: values[output.value] for output in program.outputs}


def _input(item: Input, arrays: Mapping[str, Array]) -> Array:
    dtype, shape = item.type.dtype, concrete(item.type.shape)
    if item.name not in arrays:
        raise ArgumentError(f"no array was given for the input {item.name}", item.span)
    array = np.asarray(arrays[item.name])
    is_bf16 = dtype == BF16 and array.dtype.name in ("bfloat16", "float32")
    if array.shape != shape or not (is_bf16 or array.dtype == storage(dtype)):
        found = f"{array.dtype}[{', '.join(map(str, array.shape))}]"
        raise ArgumentError(f"the input {item.name} is {item.type}, not {found}", item.span)
    return to_bf16(array.astype(np.float32)) if is_bf16 else array


class _Evaluator:
    """The values of a program by name, as far as it has been run."""

    def __init__(self, types: dict[str, TensorType], values: dict[str, Array]) -> None:
        self._types = types
        self._values = values

    def node(self, node: Node) -> Array:
        shape = concrete(node.type.shape)
        match node:
            case Constant():
                return np.array(node.data, storage(node.type.dtype)).reshape(shape)
            case Contraction():
                return self._contraction(node)
            case Map():
                return self._map(node)
            case Reshape():
                return self._values[node.operand].reshape(shape)
            case Gather():
                return self._gather(node)
            case Scatter():
                return self._scatter(node)
            case RandomValue():
                return random.values(self._values[node.state], prod(shape)).reshape(shape)
            case RandomState():
                return random.advance(self._values[node.state], *concrete((node.count,)))
            case ArgSort():
                return _argsort(self._values[node.operand], node.axis, node.descending)
            case SumTo():
                raise InternalError(f"{node.name} is not bound")

    def _map(self, node: Map) -> Array:
        shape = concrete(node.type.shape)
        points = grid(node.indices, shape, _forms(node.body))
        return np.broadcast_to(self._scalar(node.body, points), shape).copy()

    def _gather(self, node: Gather) -> Array:
        data, shape = self._values[node.data], concrete(node.type.shape)
        if prod(shape) == 0:
            return np.empty(shape, data.dtype)
        return data[_clamped(self._values[node.rows], data.shape[0])]

    def _scatter(self, node: Scatter) -> Array:
        dtype = node.type.dtype
        wide = accumulator(dtype)
        result = np.zeros(concrete(node.type.shape), _ideal(wide))
        updates = convert(self._values[node.updates], dtype, wide)
        if updates.size and result.size:
            rows = _clamped(self._values[node.rows], result.shape[0])
            with np.errstate(all="ignore"):
                np.add.at(result, rows, updates.astype(result.dtype))
        return convert(_rounded(result, wide), wide, dtype)

    def _contraction(self, node: Contraction) -> Array:
        shape, dtype = concrete(node.type.shape), node.body.dtype
        result = _start(node.agg, prod(shape), dtype)
        reached = np.zeros(result.shape, np.bool_)
        for points in self._points(node):
            at = np.zeros(points.shape, np.intp)
            for form, size in zip(node.output, shape, strict=True):
                at = at * size + np.asarray(points.value(form), np.intp)
            value = np.broadcast_to(self._scalar(node.body, points), points.shape)
            if node.agg is Aggregation.ASSIGN:
                self._check_written_once(node, reached, at)
            with np.errstate(all="ignore"):
                _combine(node.agg, result, at, value.astype(result.dtype))
            reached[at] = True
        combined = convert(_rounded(result, dtype), dtype, node.type.dtype).reshape(shape)
        missing = np.zeros((), combined.dtype)
        if node.default is not None:
            missing = self._values[node.default]
        return np.where(reached.reshape(shape), combined, missing)

    def _points(self, node: Contraction) -> Iterator[Points]:
        """The index points of a contraction.

        isl gives the least box around the domain; which of its points count is then tested by the
        definition.
        """
        domain_points = domain.of(node, self._types)
        if domain_points.is_empty():
            return iter(())
        box = domain.bounds(domain_points)
        count = prod(high - low + 1 for low, high in box.values())
        if count > MAX_POINTS:
            raise LimitError(
                f"the contraction {node.name} has {count} index points, more than the "
                f"{MAX_POINTS} that the reference evaluates",
                node.span,
                help="use smaller sizes, or another target",
            )
        return search(box, domain.conditions(node, self._types), _forms(node.body))

    def _check_written_once(self, node: Contraction, reached: Array, at: Array) -> None:
        if reached[at].any() or np.unique(at).size != at.size:
            conflict = domain.write_conflict(node, self._types)
            raise BoundsError(f"= writes an element of {node.name} twice: {conflict}", node.span)

    def _scalar(self, value: Scalar, points: Points) -> Array:
        """The values of an expression at points; the result broadcasts to their shape."""
        match value:
            case Literal():
                return np.asarray(value.value, storage(value.dtype))
            case Read():
                place = tuple(np.asarray(points.value(form), np.intp) for form in value.access)
                return np.asarray(self._values[value.tensor][place])
            case IndexValue():
                return convert(_wrapped(points.value(value.form)), I64, value.dtype)
            case Apply():
                args = [self._scalar(arg, points) for arg in value.args]
                return numpy_ops.apply(value.op, args, value.args[-1].dtype, value.dtype)


def _forms(body: Scalar) -> list[Affine]:
    """The index expressions in a scalar expression."""
    forms: list[Affine] = []
    for item in walk(body):
        if isinstance(item, Read):
            forms += item.access
        elif isinstance(item, IndexValue):
            forms.append(item.form)
    return forms


def _wrapped(value: Array) -> Array:
    """Integers of any size as i64."""
    if value.dtype != np.object_:
        return value
    return np.asarray((value + (1 << 63)) % (1 << 64) - (1 << 63), np.int64)


def _ideal(dtype: DType) -> np.dtype[Any]:
    """The type in which sums and products of accumulator type ``dtype`` are taken."""
    if dtype == F64:
        return np.dtype(np.longdouble)
    return np.dtype(np.float64) if dtype.is_float else storage(dtype)


def _rounded(value: Array, dtype: DType) -> Array:
    """What was taken in the ideal type, as ``dtype``."""
    with np.errstate(all="ignore"):
        return to_bf16(value) if dtype == BF16 else value.astype(storage(dtype))


def _start(agg: Aggregation, count: int, dtype: DType) -> Array:
    """What values are combined with first; the neutral element of an aggregation."""
    match agg:
        case Aggregation.SUM:
            return np.zeros(count, _ideal(dtype))
        case Aggregation.PRODUCT:
            return np.ones(count, _ideal(dtype))
        case Aggregation.ASSIGN:
            return np.zeros(count, storage(dtype))
        case Aggregation.MAX | Aggregation.MIN:
            ends = (-np.inf, np.inf) if dtype.is_float else integer_range(dtype)
            return np.full(count, ends[agg is Aggregation.MIN], storage(dtype))


def _combine(agg: Aggregation, result: Array, at: Array, value: Array) -> None:
    """Combine each value into the element of ``result`` at its place; places may repeat."""
    match agg:
        case Aggregation.SUM:
            np.add.at(result, at, value)
        case Aggregation.PRODUCT:
            np.multiply.at(result, at, value)
        case Aggregation.MAX:
            np.maximum.at(result, at, value)
        case Aggregation.MIN:
            np.minimum.at(result, at, value)
        case Aggregation.ASSIGN:
            result[at] = value


def _clamped(rows: Array, size: int) -> Array:
    """Row numbers limited to an axis of at least one row."""
    if size < 1:
        raise InternalError("rows of an axis without elements were asked for")
    if rows.dtype == np.uint64:
        rows = np.minimum(rows, np.uint64(size - 1))
    return np.clip(rows.astype(np.int64), 0, size - 1)


def _argsort(values: Array, axis: int, descending: bool) -> Array:
    """Positions in sorted order; equal elements keep their order, NaN is last either way."""
    # Ranks are integers, so that a descending order is a stable sort of their negatives.
    _, ranks = np.unique(values, return_inverse=True)
    ranks = ranks.reshape(values.shape)
    if descending:
        ranks = np.where(values != values, 1, -ranks)
    return np.argsort(ranks, axis=axis, kind="stable").astype(np.int32)
