"""Calls between the functions of a file, expanded in place, and the binding of headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tilec.dtypes import DType
from tilec.errors import Collector, InternalError, ShapeError, TileTypeError, UserError
from tilec.lang import ast
from tilec.lang.checked import Checked, InputFact
from tilec.lang.kinds import count
from tilec.lang.lower import sizes
from tilec.lang.lower.builder import Frame, Poisoned
from tilec.lang.lower.values import (
    Number,
    Pointwise,
    Tensor,
    TupleValue,
    Value,
    dtype_of,
    shape_of,
    size_number,
)
from tilec.source import Span
from tilec.tensor import types
from tilec.tensor.ir import Region
from tilec.tensor.size import Size


def inline(call: ast.Call, values: Sequence[Value], frame: Frame, name: str | None) -> Value:
    """Expand a call of another function of the file; several outputs make a tuple."""
    callee = frame.checked.callees[call.function]
    given: dict[str, Value] = {}
    spans: dict[str, Span] = {}
    for fact, value, arg in zip(callee.inputs, values, call.args, strict=True):
        if isinstance(value, Pointwise):
            value = frame.tensor(value, f"{call.function}_{fact.name}", arg.span)
        given[fact.name] = value
        spans[fact.name] = arg.span
    env = bind_header(callee, given, lambda fact, _: spans[fact.name], f" of {call.function}")
    inner = Frame(
        checked=callee,
        builder=frame.builder,
        env=env,
        run=frame.run,
        prefix=f"{frame.base}_{call.function}_",
        result=name,
    )
    begin = len(frame.builder.nodes)
    frame.run(inner)
    outputs = [output.name for output in callee.function.outputs]
    if any(output in inner.poisoned for output in outputs):
        raise Poisoned
    if call.function in frame.builder.marked:
        region = Region(
            call.function,
            tuple(_value_name(given[fact.name]) for fact in callee.inputs),
            tuple(_value_name(env[output]) for output in outputs),
            frozenset(node.name for node in frame.builder.nodes[begin:]),
        )
        frame.builder.regions.append(region)
    if len(outputs) == 1:
        return env[outputs[0]]
    return TupleValue(tuple(env[output] for output in outputs))


def _value_name(value: Value) -> str | None:
    return value.name if isinstance(value, Tensor) else None


def bind_header(
    checked: Checked,
    given: Mapping[str, Value],
    place: Callable[[InputFact, int | None], Span],
    whose: str = "",
) -> dict[str, Value]:
    """What inputs and sizes stand for when a function is given these values.

    Args:
        checked: The function.
        given: A tensor or a number for each input.
        place: Where a mistake about an input, or about one of its axes, is shown.
        whose: What follows the name of an input in messages.

    Raises:
        TileTypeError: a rank or dtype is not that of the header.
        ShapeError: a size is not that of the header, or two sizes of one name differ.
    """
    env: dict[str, Value] = {}
    bound: dict[str, tuple[Size, InputFact, int]] = {}
    collector = Collector()
    for fact in checked.inputs:
        value = given[fact.name]
        if not isinstance(value, Number | Tensor | Pointwise):
            raise InternalError("a tuple was passed to a function", place(fact, None))
        try:
            _check_rank(fact, len(shape_of(value)), place(fact, None), whose)
            for axis, size in enumerate(shape_of(value)):
                _bind_axis(fact, axis, size, bound, place, whose)
            env[fact.name] = _check_dtype(fact, value, place(fact, None), whose)
        except UserError as error:
            collector.errors.append(error)
    collector.raise_if_any()
    for name in checked.size_names:
        env[name] = size_number(bound[name][0])
    return env


def _check_rank(fact: InputFact, rank: int, span: Span, whose: str) -> None:
    if fact.rank is None or rank == fact.rank:
        return
    since = "its accesses ask for" if fact.dims is None else "the header has"
    raise TileTypeError(
        f"input {fact.name}{whose} was given {count(rank, 'axis', 'axes')}, "
        f"but {since} {fact.rank}",
        span,
        help=f"pass a tensor with {count(fact.rank, 'axis', 'axes')}"
        if fact.rank
        else "pass a number or a tensor without axes",
    )


def _check_dtype(
    fact: InputFact, value: Number | Tensor | Pointwise, span: Span, whose: str
) -> Number | Tensor | Pointwise:
    wanted, dtype = fact.dtype, dtype_of(value)
    if wanted is None or dtype == wanted:
        return value
    if isinstance(value, Number) and _is_exact(value, wanted):
        return sizes.convert(value, wanted, span)
    raise TileTypeError(
        f"input {fact.name}{whose} was given {dtype}, but the header asks for {wanted}",
        span,
        help=f"convert the argument: {types.cast_call(wanted, fact.name)} in a program, "
        f"or astype outside",
    )


def _is_exact(number: Number, dtype: DType) -> bool:
    """True for an integer that ``dtype`` can hold, and for a float where one is wanted."""
    if isinstance(number.value, int | float):
        return dtype.is_float or types.literal(number.value, dtype).value == number.value
    return dtype.is_integer


def _bind_axis(
    fact: InputFact,
    axis: int,
    size: Size,
    bound: dict[str, tuple[Size, InputFact, int]],
    place: Callable[[InputFact, int | None], Span],
    whose: str,
) -> None:
    if fact.dims is None:
        return
    dim = fact.dims[axis]
    if isinstance(dim, ast.IntLiteral):
        if sizes.same(size, dim.value) is False:
            raise ShapeError(
                f"axis {axis} of input {fact.name}{whose} has size {size}, "
                f"but the header asks for {dim.value}",
                place(fact, axis),
                help=f"pass a tensor whose axis {axis} has size {dim.value}",
            )
        return
    known, owner, at = bound.setdefault(dim.name, (size, fact, axis))
    if sizes.same(size, known) is not False:
        return
    if owner is fact:
        raise ShapeError(
            f"size {dim.name} is {known} on axis {at} but {size} on axis {axis} "
            f"of argument {fact.name}{whose}",
            place(fact, axis),
            help=f"the header names both axes {dim.name}, so they must have the same size",
        )
    raise ShapeError(
        f"size {dim.name} is {known} in argument {owner.name}{whose} "
        f"but {size} in argument {fact.name}",
        place(fact, axis),
        help=f"axis {at} of {owner.name} ({place(owner, at)}) and axis {axis} of {fact.name} "
        "must have the same size",
    )
