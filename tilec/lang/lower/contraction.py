"""Aggregations of the text as contractions of the tensor IR."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from tilec.dtypes import DType
from tilec.errors import InternalError, ShapeError, TileTypeError
from tilec.lang import ast, builtins
from tilec.lang.builtins import Group
from tilec.lang.check_contraction import plain_axes
from tilec.lang.kinds import count
from tilec.lang.lower import sizes
from tilec.lang.lower.bodies import typed_body
from tilec.lang.lower.builder import Frame
from tilec.lang.lower.checks import check_domain
from tilec.lang.lower.expressions import cast_target, evaluate
from tilec.lang.lower.forms import affine
from tilec.lang.lower.values import Number, Tensor, number_scalar, shape_of
from tilec.lang.walk import expressions, index_names
from tilec.operations import INFIX
from tilec.source import Span
from tilec.tensor import types
from tilec.tensor.ir import Constraint, Contraction, TensorType
from tilec.tensor.scalar import Read, Scalar
from tilec.tensor.size import Size

_Part: TypeAlias = Number | Scalar
"""A part of the combined expression; numbers are kept apart so that sizes still fold."""


def lower_contraction(statement: ast.Contraction, frame: Frame, name: str) -> Tensor:
    """Add the contraction of a statement to the program.

    Raises:
        UserError: ranks, dtypes or sizes do not fit, or the index domain is faulty.
    """
    output = tuple(affine(expr, frame.env) for expr in statement.indices)
    shape = _shape(statement, frame)
    constraints = tuple(_constraint(c, frame) for c in statement.constraints)
    body, dtype = _body(statement, frame)
    combined = types.convert(body, types.combining_dtype(statement.agg, dtype))
    type_ = TensorType(dtype, shape)
    node = Contraction(
        name=name,
        type=type_,
        indices=_indices(statement),
        agg=statement.agg,
        output=output,
        body=combined,
        constraints=constraints,
        default=_default(statement, type_, frame),
        no_defract=statement.no_defract,
        span=statement.span,
    )
    check_domain(node, statement, frame)
    return frame.add(node)


def _indices(statement: ast.Contraction) -> tuple[str, ...]:
    """Those of the output first, then the others, each in order of the text."""
    found = [name for expr in statement.indices for name in index_names(expr)]
    return tuple(dict.fromkeys((*found, *index_names(statement.body))))


def _shape(statement: ast.Contraction, frame: Frame) -> tuple[Size, ...]:
    if statement.sizes is None:
        return _inferred_shape(statement, frame)
    result: list[Size] = []
    for axis, expr in enumerate(statement.sizes):
        number = evaluate(expr, frame)
        if not isinstance(number, Number):
            raise sizes.needs_sizes(expr.span)
        place = f"the size of axis {axis} of {statement.name}"
        result.append(sizes.extent(number, place, expr.span))
    return tuple(result)


def _inferred_shape(statement: ast.Contraction, frame: Frame) -> tuple[Size, ...]:
    if statement.default is not None:
        return _default_shape(statement, statement.default, frame)
    result: list[Size] = []
    for axis, expr in enumerate(statement.indices):
        if not isinstance(expr, ast.Index):
            result.append(1)  # the constant 0; others were refused
            continue
        found: dict[Size, ast.Access] = {}
        for access, at in plain_axes(statement.body, expr.name):
            shape = _access_shape(access, frame)
            found.setdefault(shape[at], access)
        first, *others = found.items()
        if others:
            raise ShapeError(
                f"the size of axis {axis} of {statement.name} is ambiguous: {expr.name} has "
                f"{first[0]} values in {first[1].name} and {others[0][0]} in {others[0][1].name}",
                expr.span,
                help="write the sizes after a colon: "
                f"{statement.name}[{', '.join(e.span.text for e in statement.indices)} : ...]",
            )
        result.append(first[0])
    return tuple(result)


def _access_shape(access: ast.Access, frame: Frame) -> tuple[Size, ...]:
    shape = _shape_of_name(access.name, access.span, frame)
    if len(shape) != len(access.indices):
        raise TileTypeError(
            f"{access.name} has {count(len(shape), 'axis', 'axes')} for these arguments, but is "
            f"accessed with {count(len(access.indices), 'index', 'indices')}",
            access.span,
            help=f"pass a tensor with {count(len(access.indices), 'axis', 'axes')}, "
            "or change the access",
        )
    return shape


def _shape_of_name(name: str, span: Span, frame: Frame) -> tuple[Size, ...]:
    value = frame.env[name]
    if isinstance(value, Number | Tensor):
        return shape_of(value)
    raise InternalError(f"{name} is neither tensor nor number", span)


def _default_shape(statement: ast.Contraction, default: ast.Name, frame: Frame) -> tuple[Size, ...]:
    shape = _shape_of_name(default.name, default.span, frame)
    rank = len(statement.indices)
    if len(shape) != rank:
        raise TileTypeError(
            f"the default {default.name} has {count(len(shape), 'axis', 'axes')} for these "
            f"arguments, but {statement.name} has {rank}",
            default.span,
            help="the default has the shape of the result",
        )
    return shape


def _constraint(constraint: ast.Constraint, frame: Frame) -> Constraint:
    number = evaluate(constraint.bound, frame)
    if not isinstance(number, Number):
        raise sizes.needs_sizes(constraint.bound.span)
    bound = sizes.integer(number, "the bound of a constraint", constraint.bound.span)
    return Constraint(affine(constraint.form, frame.env), bound)


def _default(statement: ast.Contraction, type_: TensorType, frame: Frame) -> str | None:
    name = statement.default
    if name is None:
        return None
    default = frame.tensor(frame.env[name.name], name.name, name.span)
    agree = len(default.type.shape) == len(type_.shape) and all(
        sizes.same(a, b) is not False for a, b in zip(default.type.shape, type_.shape, strict=True)
    )
    if not agree:
        raise ShapeError(
            f"the default {name.name} has the shape {_brackets(default.type.shape)}, "
            f"but {statement.name} has {_brackets(type_.shape)}",
            name.span,
            help="the default has the shape of the result",
        )
    if default.type.dtype != type_.dtype:
        raise TileTypeError(
            f"the default {name.name} is {default.type.dtype}, "
            f"but {statement.name} is {type_.dtype}",
            name.span,
            help=f"convert it first: X = {types.cast_call(type_.dtype, name.name)}",
        )
    return default.name


def _brackets(shape: Sequence[Size]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _body(statement: ast.Contraction, frame: Frame) -> tuple[Scalar, DType]:
    for expr in expressions(statement.body):
        if isinstance(expr, ast.Access):
            _access_shape(expr, frame)
    return typed_body(lambda widen: _scalar(_Body(frame, widen).part(statement.body)))


def _scalar(part: _Part) -> Scalar:
    return number_scalar(part) if isinstance(part, Number) else part


class _Body:
    """Builds the combined expression of one contraction."""

    def __init__(self, frame: Frame, widen: Callable[[Scalar], Scalar]) -> None:
        self.frame = frame
        self.widen = widen

    def part(self, expr: ast.Expr) -> _Part:
        match expr:
            case ast.IntLiteral() | ast.FloatLiteral():
                number = evaluate(expr, self.frame)
                assert isinstance(number, Number)
                return number
            case ast.Name():
                return self.operand(expr.name, (), expr.span)
            case ast.Access():
                return self.operand(expr.name, expr.indices, expr.span)
            case ast.Unary():
                return self.apply("neg" if expr.op == "-" else "bit_not", (expr.arg,), expr.span)
            case ast.Binary():
                return self.apply(INFIX[expr.op].name, (expr.left, expr.right), expr.span)
            case ast.Conditional(otherwise=None):
                return self.triple(expr)
            case ast.Conditional(otherwise=otherwise) if otherwise is not None:
                return self.apply("cond", (expr.test, expr.then, otherwise), expr.span)
            case ast.Call():
                return self.call(expr)
            case _:
                raise InternalError("the body of an aggregation was not checked", expr.span)

    def operand(self, name: str, indices: tuple[ast.Expr, ...], span: Span) -> _Part:
        value = self.frame.env[name]
        if isinstance(value, Number):
            return value
        if not isinstance(value, Tensor):
            raise InternalError(f"{name} is no tensor", span)
        if len(value.type.shape) != len(indices):
            raise TileTypeError(
                f"{name} has {count(len(value.type.shape), 'axis', 'axes')} for these arguments, "
                "but stands here as a scalar",
                span,
                help=f"write one index per axis: {name}[...]",
            )
        access = tuple(affine(index, self.frame.env) for index in indices)
        return self.widen(Read(value.name, access, value.type.dtype))

    def call(self, call: ast.Call) -> _Part:
        builtin = builtins.find(call.function)
        if builtin is None:
            raise InternalError(f"unknown function {call.function}", call.span)
        if builtin.group is Group.CAST:
            dtype = cast_target(call)
            part = self.part(call.args[0])
            if isinstance(part, Number) and sizes.converts(part, dtype):
                return sizes.convert(part, dtype, call.span)
            return types.convert(_scalar(part), dtype)
        if builtin.op == "":
            return self.part(call.args[0])
        return self.apply(builtin.op, call.args, call.span)

    def apply(self, op: str, args: Sequence[ast.Expr], span: Span) -> _Part:
        return self.combine(op, [self.part(arg) for arg in args], args, span)

    def combine(
        self, op: str, parts: Sequence[_Part], args: Sequence[ast.Expr], span: Span
    ) -> _Part:
        numbers = [part for part in parts if isinstance(part, Number)]
        if len(numbers) == len(parts) and sizes.folds(op, numbers):
            return sizes.fold(op, tuple(numbers), span)
        scalars = [_scalar(part) for part in parts]
        reason = types.refusal(op, [scalar.dtype for scalar in scalars])
        if reason is not None:
            culprit = next(at for at, scalar in enumerate(scalars) if scalar.dtype.is_float)
            text = args[culprit].span.text
            raise TileTypeError(
                reason, args[culprit].span, help=f"convert it first: as_int({text}, 32)"
            )
        return types.apply(op, *scalars)

    def triple(self, expr: ast.Conditional) -> Scalar:
        """``a == b ? c``: c where the test holds, else 0; all three meet by promotion."""
        then = _scalar(self.part(expr.then))
        test = expr.test
        if not isinstance(test, ast.Binary) or not INFIX[test.op].name.startswith("cmp_"):
            return types.apply("cond", _scalar(self.part(test)), then, types.literal(0, then.dtype))
        sides = [self.part(test.left), self.part(test.right)]
        dtype = types.common([*(_scalar(side).dtype for side in sides), then.dtype])
        args = (test.left, test.right)
        holds = _scalar(self.combine(INFIX[test.op].name, sides, args, test.span))
        return types.apply("cond", holds, types.convert(then, dtype), types.literal(0, dtype))
