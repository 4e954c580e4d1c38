"""From a checked function and the types of its arguments to a program of the tensor IR."""

from __future__ import annotations

from collections.abc import Mapping

from tilec.dtypes import BOOL, F32, DType
from tilec.errors import ArgumentError, Collector, TilecError, TileTypeError
from tilec.lang.checked import Checked, InputFact
from tilec.lang.lower import random, statements
from tilec.lang.lower.builder import Builder, Frame
from tilec.lang.lower.calls import bind_header
from tilec.lang.lower.values import Number, Tensor, Value
from tilec.lang.scope import did_you_mean
from tilec.source import Span
from tilec.tensor.ir import Input, Output, Program, Region, TensorType
from tilec.tensor.types import integer_literal_dtype, round_float

UNNAMED = "main"
"""Name of a program whose function has none."""


def lower(
    checked: Checked,
    types: Mapping[str, TensorType],
    values: Mapping[str, int | float] | None = None,
) -> Program:
    """Bind a function to the types of its arguments.

    Sizes are put in, arithmetic on them is done, calls are expanded, index domains are checked.
    Statements that no output needs are still there.

    Args:
        checked: The function.
        types: Element type and shape of each input that is not a bind scalar. Sizes may be
            symbols; then what depends on them stays symbolic.
        values: The number of each bind scalar.

    Returns:
        The program. Values have the names of the text where they have one there.

    Raises:
        UserError: the first mistake, the others in its ``also``.
    """
    program, _ = lower_given(checked, _arguments(checked, types, values or {}))
    return program


def lower_given(
    checked: Checked, given: Mapping[str, Value], marked: frozenset[str] = frozenset()
) -> tuple[Program, tuple[Region, ...]]:
    """Bind a function to a tensor or a number for each input; sizes may be symbols.

    Args:
        checked: The function.
        given: What its inputs are.
        marked: Names of functions that it calls.

    Returns:
        The program, and the nodes that came from each call of a marked function.

    Raises:
        UserError: the first mistake, the others in its ``also``.
    """
    builder = Builder(Collector(), marked=marked)
    function = checked.function
    builder.used.update(fact.name for fact in checked.inputs)
    builder.used.update(checked.size_names)
    builder.used.update(statement.name for statement in function.body)
    inputs = tuple(
        Input(fact.name, value.type, fact.span)
        for fact in checked.inputs
        if isinstance(value := given[fact.name], Tensor)
    )
    builder.types.update((value.name, value.type) for value in inputs)
    frame = Frame(checked, builder, bind_header(checked, given, _place), statements.run)
    statements.run(frame)
    outputs = tuple(
        _output(output.name, output.span, frame)
        for output in function.outputs
        if output.name not in frame.poisoned
    )
    _raise_distinct(builder.collector)
    program = Program(checked.name or UNNAMED, inputs, tuple(builder.nodes), outputs)
    return random.settle(program), tuple(builder.regions)


def bound_names(
    checked: Checked, types: Mapping[str, TensorType], values: Mapping[str, int | float]
) -> dict[str, Value]:
    """What inputs and sizes stand for; raises what ``lower`` raises about arguments."""
    return bind_header(checked, _arguments(checked, types, values), _place)


def _arguments(
    checked: Checked, types: Mapping[str, TensorType], values: Mapping[str, int | float]
) -> dict[str, Value]:
    known = {fact.name for fact in checked.inputs}
    for name in (*types, *values):
        if name not in known:
            raise ArgumentError(
                f"there is no input {name}",
                checked.function.span,
                help=did_you_mean(name, known) or f"the inputs are {', '.join(sorted(known))}",
            )
    return {fact.name: _argument(fact, types, values) for fact in checked.inputs}


def _argument(
    fact: InputFact, types: Mapping[str, TensorType], values: Mapping[str, int | float]
) -> Value:
    if fact.is_bind_scalar:
        if fact.name in values:
            return _number(fact, values[fact.name])
        raise ArgumentError(
            f"input {fact.name} is used as a size or in an index expression, so its number "
            "must be given",
            fact.span,
            help=f"pass a Python number as {fact.name}",
        )
    if fact.name not in types:
        raise ArgumentError(
            f"input {fact.name} was not given",
            fact.span,
            help=f"pass an array as {fact.name}",
        )
    type_ = types[fact.name]
    if any(isinstance(size, int) and size < 0 for size in type_.shape):
        raise ArgumentError(f"input {fact.name} was given the shape of {type_}", fact.span)
    return Tensor(fact.name, type_)


def _number(fact: InputFact, value: float) -> Number:
    if isinstance(value, bool):
        return Number(value, BOOL)
    if not isinstance(value, int):
        return Number(round_float(value, F32), F32)
    dtype: DType | None = integer_literal_dtype(value)
    if dtype is None:
        raise TileTypeError(
            f"the number {value} given as {fact.name} does not fit 64 bits", fact.span
        )
    return Number(value, dtype)


def _place(fact: InputFact, axis: int | None) -> Span:
    return fact.span if axis is None or fact.dims is None else fact.dims[axis].span


def _output(name: str, span: Span, frame: Frame) -> Output:
    value = frame.env[name]
    frame.base, frame.attributes = name, ()
    taken = name in frame.builder.types
    tensor = frame.define(value, frame.builder.fresh(name) if taken else name, span)
    return Output(name, tensor.name, span)


def _raise_distinct(collector: Collector) -> None:
    """Raise what was recorded; a function that is called twice makes each mistake twice."""
    distinct: dict[tuple[object, ...], TilecError] = {}
    for error in collector.errors:
        place = None if error.span is None else (error.span.start, error.span.end)
        distinct.setdefault((type(error), error.message, place), error)
    collector.errors = list(distinct.values())
    collector.raise_if_any()
