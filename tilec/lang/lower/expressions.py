"""Value expressions: what stands right of ``=`` in an assignment, and in sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tilec.dtypes import F32, I32, DType
from tilec.errors import InternalError, ShapeError
from tilec.lang import ast, builtins, walk
from tilec.lang.builtins import Builtin, Group
from tilec.lang.lower import calls, elementwise, random, sizes, tensors
from tilec.lang.lower.builder import Frame
from tilec.lang.lower.elementwise import Operand, Plain
from tilec.lang.lower.values import Number, Pointwise, RandomStep, Tensor, TupleValue, Value
from tilec.operations import INFIX
from tilec.source import Span
from tilec.tensor import types


def evaluate(expr: ast.Expr, frame: Frame, name: str | None = None) -> Value:
    """What a checked expression stands for.

    Args:
        expr: The expression.
        frame: The function it stands in.
        name: Name for its value, should that become a value of the program here.

    Raises:
        UserError: dtypes, ranks or sizes do not fit.
    """
    match expr:
        case ast.IntLiteral():
            return Number(expr.value, types.integer_literal_dtype(expr.value) or I32)
        case ast.FloatLiteral():
            return Number(types.round_float(expr.value, F32), F32)
        case ast.Name():
            return frame.env[expr.name]
        case ast.Unary():
            return _operation("neg" if expr.op == "-" else "bit_not", (expr.arg,), expr.span, frame)
        case ast.Binary():
            args = (expr.left, expr.right)
            return _operation(INFIX[expr.op].name, args, expr.span, frame)
        case ast.Conditional(otherwise=otherwise) if otherwise is not None:
            return _operation("cond", (expr.test, expr.then, otherwise), expr.span, frame)
        case ast.Call():
            return _call(expr, frame, name)
        case _:
            raise InternalError("an expression was not checked", expr.span)


def cast_target(call: ast.Call) -> DType:
    """Type that a call of ``as_int`` and its like converts to."""
    dtype = builtins.cast_dtype(call.function, walk.integer_argument(call, 1, 0))
    if dtype is None:
        raise InternalError(f"{call.function} of no known width", call.span)
    return dtype


def _mapped(
    values: Sequence[Value],
    frame: Frame,
    span: Span,
    apply: Callable[[Sequence[Plain], str], Value],
    suffix: str = "",
) -> Value:
    """Apply a function; applied to tuples it maps over their positions.

    Args:
        values: The arguments. Tuples among them have the same length.
        frame: The function it is called in.
        span: Where.
        apply: Gets arguments without tuples, and the suffix that names of its values need.
        suffix: Suffix so far.
    """
    lengths = [len(value.items) for value in values if isinstance(value, TupleValue)]
    if not lengths:
        return apply([v for v in values if isinstance(v, Number | Tensor | Pointwise)], suffix)

    def item(position: int) -> Value:
        frame.builder.step(span)
        at = [v.items[position] if isinstance(v, TupleValue) else v for v in values]
        return _mapped(at, frame, span, apply, f"{suffix}_{position}")

    return TupleValue(tuple(item(position) for position in range(lengths[0])))


def _operation(op: str, args: Sequence[ast.Expr], span: Span, frame: Frame) -> Value:
    values = [evaluate(arg, frame) for arg in args]
    spans = [arg.span for arg in args]

    def apply(plain: Sequence[Plain], _: str) -> Value:
        operands = [Operand(value, at) for value, at in zip(plain, spans, strict=True)]
        return elementwise.apply(op, operands, span)

    return _mapped(values, frame, span, apply)


def _call(call: ast.Call, frame: Frame, name: str | None) -> Value:
    builtin = builtins.find(call.function)
    if builtin is None:
        values = [evaluate(arg, frame) for arg in call.args]
        return calls.inline(call, values, frame, name)
    match builtin.group:
        case Group.ELEMENTWISE:
            if builtin.op == "":
                return evaluate(call.args[0], frame, name)
            return _operation(builtin.op, call.args, call.span, frame)
        case Group.CAST:
            return _cast(call, frame)
        case Group.SIZES | Group.ASSERTION:
            return _on_sizes(call, builtin, frame)
        case Group.TUPLE:
            return _tuple(call, frame)
        case Group.RANDOM:
            return _random(call, frame, name)
        case _:
            return _tensors(call, builtin, frame, name)


def _cast(call: ast.Call, frame: Frame) -> Value:
    dtype, operand = cast_target(call), call.args[0]

    def apply(plain: Sequence[Plain], _: str) -> Value:
        return elementwise.cast(Operand(plain[0], operand.span), dtype, call.span)

    return _mapped([evaluate(operand, frame)], frame, call.span, apply)


def _numbers(args: Sequence[ast.Expr], frame: Frame) -> list[Number]:
    found: list[Number] = []
    for arg in args:
        value = evaluate(arg, frame)
        if not isinstance(value, Number):
            raise sizes.needs_sizes(arg.span)
        found.append(value)
    return found


def _on_sizes(call: ast.Call, builtin: Builtin, frame: Frame) -> Number:
    """``broadcast``, ``match`` and assertions."""
    numbers = _numbers(call.args, frame)
    if builtin.group is Group.ASSERTION:
        if numbers[0].value == 0:
            raise ShapeError(
                f"{call.function} failed",
                call.span,
                help=f"the program demands {' '.join(call.args[0].span.text.split())}",
            )
        return numbers[0]
    places = zip(numbers, call.args, strict=True)
    left, right = (sizes.integer(n, f"an argument of {call.function}", a.span) for n, a in places)
    if call.function == "broadcast":
        joined = sizes.broadcast(left, right)
        if joined is not None:
            return numbers[0] if joined == left else replace(numbers[1], value=joined)
    elif sizes.same(left, right) is not False:
        return numbers[0]
    raise ShapeError(
        f"{call.function}({left}, {right}): the sizes differ",
        call.span,
        help="they must be equal, or one of them 1"
        if call.function == "broadcast"
        else "they must be equal",
    )


def _tuple(call: ast.Call, frame: Frame) -> Value:
    if call.function == "tuple":
        return TupleValue(tuple(evaluate(arg, frame) for arg in call.args))
    whole = evaluate(call.args[0], frame)
    if not isinstance(whole, TupleValue):
        raise InternalError("element of something that is no tuple", call.span)
    return whole.items[walk.integer_argument(call, 1, 0)]


def _random(call: ast.Call, frame: Frame, name: str | None) -> Value:
    value = evaluate(call.args[0], frame)
    if call.function == "prng_step":
        state = frame.tensor(value, "state", call.args[0].span)
        shape = _extents(call, 1, frame)
        return random.step(state, shape, call.args[0].span)
    if not isinstance(value, RandomStep):
        raise InternalError("a random value without its step", call.span)
    name = name or frame.fresh(call.function)
    return random.draw(call.function, value, frame, name, call.span)


def _extents(call: ast.Call, first: int, frame: Frame) -> tuple[sizes.Size, ...]:
    numbers = _numbers(call.args[first:], frame)
    return tuple(
        sizes.extent(number, f"a size of {call.function}", arg.span)
        for number, arg in zip(numbers, call.args[first:], strict=True)
    )


def _tensors(call: ast.Call, builtin: Builtin, frame: Frame, name: str | None) -> Value:
    """Builtins that work on whole tensors."""
    count = len(call.args) if builtin.sizes is None else builtin.sizes
    args = [arg for at, arg in enumerate(call.args[:count]) if at not in builtin.literals]
    values = [evaluate(arg, frame) for arg in args]
    extents = () if builtin.sizes is None else _extents(call, builtin.sizes, frame)
    base = name or frame.fresh(call.function)

    def apply(plain: Sequence[Plain], suffix: str) -> Value:
        operands = [Operand(value, arg.span) for value, arg in zip(plain, args, strict=True)]
        own = base if suffix == "" else frame.builder.fresh(base + suffix)
        return tensors.apply(tensors.Request(call, operands, extents, own), frame)

    return _mapped(values, frame, call.span, apply)
