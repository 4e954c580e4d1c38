"""Invariants of the tensor IR: what every pass may assume and must keep.

Each ``_check_*`` function states one. A violation is a bug in tilec, never the user's fault, and
the message shows the node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import NoReturn

from tilec.dtypes import BOOL, F32, I32, U32, DType, Kind, accumulator, integer_range
from tilec.errors import InternalError
from tilec.operations import OPERATIONS, Rule
from tilec.tensor.affine import Affine
from tilec.tensor.forms import form_of
from tilec.tensor.ir import (
    Aggregation,
    ArgSort,
    Constant,
    Contraction,
    Gather,
    Map,
    Node,
    Program,
    RandomState,
    RandomValue,
    Reshape,
    Scatter,
    SumTo,
    TensorType,
    operands,
)
from tilec.tensor.printer import print_definition, print_scalar
from tilec.tensor.random import STREAMS
from tilec.tensor.scalar import Apply, IndexValue, Literal, Read, Scalar, reads, walk
from tilec.tensor.size import Size, SizeExpr, concrete

Types = Mapping[str, TensorType]


def verify(program: Program) -> None:
    """Check all invariants of a program, bound or not.

    Sizes that are still symbols are not compared.

    Raises:
        InternalError: an invariant is violated.
    """
    _check_definitions(program)
    _check_outputs(program)
    types = program.types()
    for item in program.inputs:
        _check_sizes(item.name, item.type)
    for node in program.nodes:
        _check_sizes(node.name, node.type)
        try:
            _check_node(node, types)
        except _Violation as violation:
            raise InternalError(f"{violation}, in\n{print_definition(node)}", node.span) from None


class _Violation(Exception):  # noqa: N818 - never leaves this module
    """An invariant does not hold."""


def _fail(message: str) -> NoReturn:
    raise _Violation(message)


def _check_definitions(program: Program) -> None:
    """Names are unique, and what a node reads stands before it."""
    known: set[str] = set()
    for item in program.inputs:
        if item.name in known:
            raise InternalError(f"the input {item.name} is defined twice", item.span)
        known.add(item.name)
    for node in program.nodes:
        missing = [name for name in operands(node) if name not in known]
        if missing:
            raise InternalError(f"{node.name} reads {missing[0]} before it is defined", node.span)
        if node.name in known:
            raise InternalError(f"{node.name} is defined twice", node.span)
        known.add(node.name)


def _check_outputs(program: Program) -> None:
    """There is an output; outputs have different names and are values of the program."""
    if not program.outputs:
        raise InternalError(f"program {program.name} has no output")
    known = set(program.types())
    names: set[str] = set()
    for output in program.outputs:
        if output.value not in known:
            raise InternalError(f"the output {output.name} is no value: {output.value}")
        if output.name in names:
            raise InternalError(f"the output {output.name} is named twice")
        names.add(output.name)


def _check_sizes(name: str, kind: TensorType) -> None:
    """Sizes are not negative."""
    if any(isinstance(size, int) and size < 0 for size in kind.shape):
        raise InternalError(f"{name} has a negative size: {kind}")


def _check_node(node: Node, types: Types) -> None:
    match node:
        case Constant():
            _check_constant(node)
        case Contraction():
            _check_scalars(node, types)
            _check_forms(node)
            _check_output_rank(node)
            _check_accumulator(node)
            _check_default(node, types)
        case Map():
            _check_scalars(node, types)
            _check_forms(node)
            _check_map(node, types)
        case Reshape():
            _check_reshape(node, types)
        case Gather():
            _check_gather(node, types)
        case Scatter():
            _check_scatter(node, types)
        case RandomValue() | RandomState():
            _check_random(node, types)
        case ArgSort():
            _check_argsort(node, types)
        case SumTo():
            _check_sum_to(node, types)


def _check_scalars(node: Contraction | Map, types: Types) -> None:
    """Every scalar expression is well typed and reads tensors as they are."""
    for value in walk(node.body):
        match value:
            case Literal():
                if not _fits(value.value, value.dtype):
                    _fail(f"the literal {value.value!r} is no {value.dtype}")
            case Read():
                _check_read(value, types)
            case IndexValue():
                if not value.dtype.is_integer:
                    _fail(f"an index value has the type {value.dtype}")
                if not _is_integral(value.form):
                    _fail(f"the index value {value.form} is no integer")
            case Apply():
                _check_apply(value)


def _check_read(read: Read, types: Types) -> None:
    kind = types[read.tensor]
    if kind.dtype != read.dtype:
        _fail(f"{read.tensor} holds {kind.dtype} and is read as {read.dtype}")
    if len(kind.shape) != len(read.access):
        _fail(f"{read.tensor} has rank {len(kind.shape)} and is read with {len(read.access)}")


def _check_apply(value: Apply) -> None:
    """Operands have the type that the rule of the operation asks for."""
    row = OPERATIONS.get(value.op)
    if row is None:
        _fail(f"there is no operation {value.op}")
    if row.arity != len(value.args):
        _fail(f"{value.op} takes {row.arity} operands, not {len(value.args)}")
    if row.rule is Rule.CAST:
        return
    dtypes = [arg.dtype for arg in value.args]
    if row.rule is Rule.SELECT:
        first, *dtypes = dtypes
        if first != BOOL:
            _fail(f"{value.op} tests a {first}, not a bool")
    if len(set(dtypes)) > 1:
        _fail(f"{value.op} is applied to {', '.join(map(str, dtypes))}")
    result = BOOL if row.rule in (Rule.COMPARISON, Rule.LOGICAL) else dtypes[0]
    if not _accepts(row.rule, dtypes[0]):
        _fail(f"{value.op} is applied to {dtypes[0]}")
    if value.dtype != result:
        _fail(f"{print_scalar(value)} is {result}, not {value.dtype}")


def _accepts(rule: Rule, dtype: DType) -> bool:
    match rule:
        case Rule.LOGICAL:
            return dtype == BOOL
        case Rule.BITWISE:
            return not dtype.is_float
        case Rule.ROUNDING | Rule.MATH:
            return dtype.is_float
        case Rule.ARITHMETIC | Rule.COMPARISON | Rule.SELECT | Rule.CAST:
            return True


def _check_constant(node: Constant) -> None:
    """A constant has as many elements as its shape, of its type."""
    if _count(node.type.shape) not in (None, len(node.data)):
        _fail(f"a constant of {len(node.data)} elements")
    wrong = [value for value in node.data if not _fits(value, node.type.dtype)]
    if wrong:
        _fail(f"the element {wrong[0]!r} is no {node.type.dtype}")


def _check_forms(node: Contraction | Map) -> None:
    """Index expressions use the indices of their statement, which are distinct."""
    if len(set(node.indices)) != len(node.indices):
        _fail("an index is named twice")
    forms = [form for item in walk(node.body) for form in _forms(item)]
    if isinstance(node, Contraction):
        forms += [*node.output, *(constraint.form for constraint in node.constraints)]
    unknown = [name for form in forms for name in form.indices if name not in node.indices]
    if unknown:
        _fail(f"{unknown[0]} is no index of the statement")


def _check_output_rank(node: Contraction) -> None:
    """There is one output coordinate for each axis."""
    if len(node.output) != len(node.type.shape):
        _fail(f"{len(node.output)} output coordinates for rank {len(node.type.shape)}")


def _check_accumulator(node: Contraction) -> None:
    """Sums and products are combined in a type that accumulates."""
    dtype = node.body.dtype
    accumulates = node.agg in (Aggregation.SUM, Aggregation.PRODUCT)
    if accumulates and accumulator(dtype) != dtype:
        _fail(f"values of type {dtype} are accumulated without conversion")


def _check_default(node: Contraction, types: Types) -> None:
    """The default has the type of the result."""
    if node.default is None:
        return
    kind = types[node.default]
    if kind.dtype != node.type.dtype or not _same_shape(kind.shape, node.type.shape):
        _fail(f"the default {node.default} is {kind}")


def _check_map(node: Map, types: Types) -> None:
    """A map reads each operand inside its axes."""
    if len(node.indices) != len(node.type.shape):
        _fail(f"{len(node.indices)} indices for rank {len(node.type.shape)}")
    if node.body.dtype != node.type.dtype:
        _fail(f"the body has type {node.body.dtype}")
    extents = dict(zip(node.indices, node.type.shape, strict=True))
    for read in reads(node.body):
        for form, size in zip(read.access, types[read.tensor].shape, strict=True):
            if not _is_position(form, size, extents):
                _fail(f"{read.tensor} is read at {form} on an axis of {size}")


def _check_reshape(node: Reshape, types: Types) -> None:
    """A reshape keeps the type and the number of elements."""
    kind = types[node.operand]
    if kind.dtype != node.type.dtype or not _same_count(kind.shape, node.type.shape):
        _fail(f"the operand is {kind}")


def _check_gather(node: Gather, types: Types) -> None:
    """Rows are integers; the result is shaped like the rows, then like a row of the data."""
    data, rows = types[node.data], types[node.rows]
    _check_rows(rows)
    if not data.shape:
        _fail("gather from a scalar")
    if data.dtype != node.type.dtype or not _same_shape(
        (*rows.shape, *data.shape[1:]), node.type.shape
    ):
        _fail(f"the data are {data}, the rows {rows}")
    if data.shape[0] == 0 and _count(node.type.shape) != 0:
        _fail("gather from an axis without elements")


def _check_scatter(node: Scatter, types: Types) -> None:
    """Updates are shaped like the rows, then like a row of the result."""
    updates, rows = types[node.updates], types[node.rows]
    _check_rows(rows)
    if not node.type.shape:
        _fail("scatter to a scalar")
    if updates.dtype != node.type.dtype or not _same_shape(
        (*rows.shape, *node.type.shape[1:]), updates.shape
    ):
        _fail(f"the updates are {updates}, the rows {rows}")


def _check_rows(rows: TensorType) -> None:
    if not rows.dtype.is_integer:
        _fail(f"rows of type {rows.dtype}")


def _check_random(node: RandomValue | RandomState, types: Types) -> None:
    """The generator's state is u32[3, 2048]; its values are f32."""
    state = TensorType(U32, (3, STREAMS))
    if types[node.state].dtype != U32 or not _same_shape(types[node.state].shape, state.shape):
        _fail(f"the state is {types[node.state]}")
    if isinstance(node, RandomValue):
        if node.type.dtype != F32:
            _fail("random values are f32")
    elif node.type != state:
        _fail(f"a state is {state}")
    elif isinstance(node.count, int) and node.count < 0:
        _fail("a negative number of values")


def _check_argsort(node: ArgSort, types: Types) -> None:
    """Positions are i32, in the shape of the operand."""
    kind = types[node.operand]
    if node.type.dtype != I32 or not _same_shape(kind.shape, node.type.shape):
        _fail(f"the operand is {kind}")
    if not 0 <= node.axis < len(kind.shape):
        _fail(f"there is no axis {node.axis}")


def _check_sum_to(node: SumTo, types: Types) -> None:
    """The result is like its model."""
    if node.type != types[node.like]:
        _fail(f"the model is {types[node.like]}")


def _fits(value: bool | float, dtype: DType) -> bool:
    """Whether a Python value is a value of a type; f16 and the like are not rounded here."""
    if dtype.kind is Kind.BOOL:
        return isinstance(value, bool)
    if dtype.is_float:
        return isinstance(value, float)
    low, high = integer_range(dtype)
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _forms(value: Scalar) -> Iterator[Affine]:
    match value:
        case Read():
            yield from value.access
        case IndexValue():
            yield value.form
        case Literal() | Apply():
            return


def _is_integral(form: Affine) -> bool:
    coefficients = [*(factor for _, factor in form.terms), form.const]
    return all(isinstance(item, SizeExpr) or item.denominator == 1 for item in coefficients)


def _is_position(form: Affine, size: Size, extents: Mapping[str, Size]) -> bool:
    """Whether a form is a position of an axis wherever its indices are, as far as that is known."""
    used = [extents[name] for name in form.indices]
    if form.indices and form == Affine.index(form.indices[0]):
        return _same(size, used[0])
    numbers = (size, *extents.values(), form.const, *(factor for _, factor in form.terms))
    if any(isinstance(each, SizeExpr) for each in numbers):
        return True
    shape = concrete((size, *extents.values()))
    if 0 in shape[1:]:
        return True
    found = form_of(form)
    low, high = found.range({name: (0, n - 1) for name, n in zip(extents, shape[1:], strict=True)})
    return found.denominator == 1 and low >= 0 and high < shape[0]


def _count(shape: tuple[Size, ...]) -> int | None:
    """Number of elements, None while it is unknown."""
    numbers = [size for size in shape if isinstance(size, int)]
    return prod(numbers) if len(numbers) == len(shape) else None


def _same(left: Size, right: Size) -> bool:
    """Equal, as far as that is known."""
    return not isinstance(left, int) or not isinstance(right, int) or left == right


def _same_shape(left: tuple[Size, ...], right: tuple[Size, ...]) -> bool:
    return len(left) == len(right) and all(map(_same, left, right))


def _same_count(left: tuple[Size, ...], right: tuple[Size, ...]) -> bool:
    counts = _count(left), _count(right)
    return None in counts or counts[0] == counts[1]
