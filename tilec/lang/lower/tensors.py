"""Builtins that work on whole tensors: reshaping, looking up, sorting, positions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Final

from tilec.dtypes import GENERIC, I32, I64, integer_range
from tilec.errors import ShapeError, TileTypeError
from tilec.lang import ast, walk
from tilec.lang.kinds import count
from tilec.lang.lower import elementwise, expansions, sizes
from tilec.lang.lower.builder import Frame
from tilec.lang.lower.elementwise import Operand, Plain
from tilec.lang.lower.values import (
    Number,
    Pointwise,
    Tensor,
    Value,
    axis_from_right,
    number_scalar,
    scalar_of,
    shape_of,
    size_number,
)
from tilec.records import dataclass
from tilec.source import Span
from tilec.tensor.affine import Affine
from tilec.tensor.ir import (
    ArgSort,
    Attribute,
    Constant,
    Gather,
    Reshape,
    Scatter,
    SumTo,
    TensorType,
)
from tilec.tensor.scalar import IndexValue, Literal, Scalar
from tilec.tensor.size import Size, SizeExpr, is_open
from tilec.tensor.types import apply as apply_scalar


@dataclass(frozen=True, slots=True)
class Request:
    """A call of one of these builtins.

    Attributes:
        call: The call.
        operands: Its tensor arguments.
        extents: Its size arguments.
        name: Name for the result.
    """

    call: ast.Call
    operands: Sequence[Operand]
    extents: tuple[Size, ...]
    name: str

    @property
    def span(self) -> Span:
        """Where the call stands."""
        return self.call.span

    def tensor(self, position: int, what: str, frame: Frame) -> Tensor:
        """A tensor argument as a value of the program."""
        operand = self.operands[position]
        return frame.tensor(operand.value, what, operand.span)


def apply(request: Request, frame: Frame) -> Value:
    """Lower a call.

    Raises:
        UserError: ranks, dtypes or sizes do not fit.
    """
    _check_ranks(request)
    return _RULES[request.call.function](request, frame)


def _check_ranks(request: Request) -> None:
    """Without arguments an input may have any rank, which some builtins have to know."""
    for position in _COUNTED.get(request.call.function, ()):
        operand = request.operands[position]
        name = is_open(shape_of(operand.value))
        if name is not None:
            raise TileTypeError(
                f"{request.call.function} has to know how many axes "
                f"{elementwise.spelled(operand)} has",
                operand.span,
                help=f"name the axes in the header: {name}[N, M]",
            )


def _index(request: Request, _: Frame) -> Plain:
    """Positions along an axis, as an elementwise expression."""
    operand = request.operands[0]
    shape = shape_of(operand.value)
    axis = _axis(request, len(shape), 0)
    size = shape[axis]
    if size == 1:
        return Pointwise(Literal(0, I32), shape)
    form = Affine.index(axis_from_right(len(shape) - 1 - axis))
    fits = isinstance(size, SizeExpr) or size - 1 <= integer_range(I32)[1]
    return Pointwise(IndexValue(form, I32 if fits else I64), shape)


def _axis(request: Request, rank: int, otherwise: int) -> int:
    axis = walk.integer_argument(request.call, 1, otherwise)
    if 0 <= axis < rank:
        return axis
    raise TileTypeError(
        f"axis {axis} of {elementwise.spelled(request.operands[0])}",
        request.span,
        help=f"it has {count(rank, 'axis', 'axes')}, counted from 0",
    )


def _shape(request: Request, frame: Frame) -> Tensor:
    numbers = [size_number(size) for size in shape_of(request.operands[0].value)]
    dtype = I64 if any(number.dtype == I64 for number in numbers) else I32
    known = [number.value for number in numbers if not isinstance(number.value, SizeExpr)]
    type_ = TensorType(dtype, (len(numbers),))
    if len(known) == len(numbers):
        return frame.add(Constant(request.name, type_, tuple(known), request.span))
    # Sizes without numbers: pick the one that belongs to each position.
    position = IndexValue(Affine.index(axis_from_right(0)), I32)
    picked: Scalar = number_scalar(numbers[-1])
    for at, number in enumerate(numbers[:-1]):
        here = apply_scalar("cmp_eq", position, Literal(at, I32))
        picked = apply_scalar("cond", here, number_scalar(number), picked)
    return frame.define(Pointwise(picked, type_.shape), request.name, request.span)


def _reshape(request: Request, frame: Frame) -> Tensor:
    operand = request.tensor(0, "operand", frame)
    old, new = operand.type.shape, request.extents
    if _elements(old) not in (None, _elements(new)) and _elements(new) is not None:
        raise ShapeError(
            f"invalid reshape: {elementwise.spelled(request.operands[0])} has {_elements(old)} "
            f"elements, but [{', '.join(map(str, new))}] has {_elements(new)}",
            request.span,
            help="a reshape keeps the number of elements",
        )
    type_ = TensorType(operand.type.dtype, new)
    return frame.add(Reshape(request.name, type_, operand.name, span=request.span))


def _elements(shape: tuple[Size, ...]) -> int | None:
    known = [size for size in shape if isinstance(size, int)]
    return prod(known) if len(known) == len(shape) else None


def _gather(request: Request, frame: Frame) -> Tensor:
    data, rows = request.tensor(0, "data", frame), request.tensor(1, "rows", frame)
    _check_rows(rows, request, 1)
    if not data.type.shape:
        raise TileTypeError(
            f"gather takes rows of axis 0, but {elementwise.spelled(request.operands[0])} is a "
            "scalar",
            request.operands[0].span,
            help="the arguments are gather(data, rows)",
        )
    shape = (*rows.type.shape, *data.type.shape[1:])
    if data.type.shape[0] == 0 and 0 not in shape:
        raise ShapeError(
            f"gather from {elementwise.spelled(request.operands[0])}, which has no rows",
            request.operands[0].span,
            help="pass data with at least one row",
        )
    type_ = TensorType(data.type.dtype, shape)
    return frame.add(Gather(request.name, type_, data.name, rows.name, span=request.span))


def _check_rows(rows: Tensor, request: Request, position: int) -> None:
    if rows.type.dtype.is_integer:
        return
    raise TileTypeError(
        f"{request.call.function} takes integers as rows, but this is {rows.type.dtype}",
        request.operands[position].span,
        help="convert them first: as_int(X, 32)",
    )


def _scatter(request: Request, frame: Frame) -> Tensor:
    updates, rows = request.tensor(0, "updates", frame), request.tensor(1, "rows", frame)
    like = shape_of(request.operands[2].value)
    _check_rows(rows, request, 1)
    if not like:
        raise TileTypeError(
            "the last argument of scatter gives the number of rows by its axis 0, "
            "but this is a scalar",
            request.operands[2].span,
            help="pass a tensor with as many rows as the result",
        )
    outer = len(rows.type.shape)
    leading = updates.type.shape[:outer]
    agree = len(leading) == outer and all(
        sizes.same(a, b) is not False for a, b in zip(leading, rows.type.shape, strict=True)
    )
    if not agree:
        raise ShapeError(
            f"scatter of {elementwise.spelled(request.operands[0])} "
            f"at {elementwise.spelled(request.operands[1])}: the first axes differ",
            request.span,
            help="the first axes of the updates are those of the rows",
        )
    if like[0] == 0 and 0 not in updates.type.shape:
        raise ShapeError(
            "scatter into a result without rows",
            request.operands[2].span,
            help="the last argument needs at least one row",
        )
    type_ = TensorType(updates.type.dtype, (like[0], *updates.type.shape[outer:]))
    return frame.add(Scatter(request.name, type_, updates.name, rows.name, span=request.span))


def _argsort(request: Request, frame: Frame) -> Tensor:
    operand = request.tensor(0, "operand", frame)
    rank = len(operand.type.shape)
    axis = _axis(request, rank, rank - 1)
    type_ = TensorType(I32, operand.type.shape)
    size = operand.type.shape[axis]
    if isinstance(size, int) and size - 1 > integer_range(I32)[1]:
        raise ShapeError(
            f"argsort of an axis with {size} elements, whose positions do not fit i32",
            request.span,
        )
    descending = walk.integer_argument(request.call, 2, 0) == 1
    return frame.add(
        ArgSort(request.name, type_, operand.name, axis, descending, span=request.span)
    )


def _softmax(request: Request, frame: Frame) -> Tensor:
    operand = request.tensor(0, "operand", frame)
    shape = operand.type.shape
    agree = len(shape) == 2 and all(
        sizes.same(a, b) is not False for a, b in zip(shape, request.extents, strict=True)
    )
    if not agree:
        rows, columns = request.extents
        raise ShapeError(
            f"{request.call.function} of {elementwise.spelled(request.operands[0])} "
            f"as a matrix of {rows} rows and {columns} columns",
            request.span,
            help="the sizes must be those of the operand; reshape it to a matrix first",
        )
    expand = expansions.softmax
    if request.call.function == "builtin_logsoftmax":
        expand = expansions.log_softmax
    return expand(operand, frame, request.name, request.span)


def _crossentropy(request: Request, frame: Frame) -> Tensor:
    """``-t * log(o) - (1 - t) * log(1 - o)``; the scale acts on the derivative alone."""
    span = request.span
    output = Operand(request.tensor(0, "output", frame), request.operands[0].span)
    target = Operand(request.tensor(1, "target", frame), request.operands[1].span)
    one = Operand(Number(1, I32), span)

    def on(op: str, *operands: Operand) -> Operand:
        return Operand(elementwise.apply(op, operands, span), span)

    hit = on("mul", on("neg", target), on("log", output))
    miss = on("mul", on("sub", one, target), on("log", on("sub", one, output)))
    result = on("sub", hit, miss).value
    return _marked(result, "binary_crossentropy", request.operands[2], request, frame)


def _reverse_grad(request: Request, frame: Frame) -> Tensor:
    """The identity; the factor acts on the derivative alone."""
    return _marked(request.operands[0].value, "reverse_grad", request.operands[1], request, frame)


def _marked(value: Plain, mark: str, factor: Operand, request: Request, frame: Frame) -> Tensor:
    """A value of its own whose attribute tells the derivative of its factor."""
    if isinstance(factor.value, Number):
        spelled = str(factor.value.value)
    else:
        spelled = frame.tensor(factor.value, "factor", factor.span).name
    own = Pointwise(scalar_of(value), shape_of(value))
    attributes = (Attribute(mark, (spelled,)),)
    return frame.define(own, request.name, request.span, attributes)


def _simple_reduce(request: Request, frame: Frame) -> Tensor:
    operand = request.tensor(0, "operand", frame)
    new, old = request.extents, operand.type.shape
    extra = len(old) - len(new)
    pairs = list(zip(old[max(extra, 0) :], new, strict=False))
    fits = extra >= 0 and all(n == 1 or sizes.same(n, o) is not False for o, n in pairs)
    if not fits:
        raise ShapeError(
            f"simple_reduce of {elementwise.spelled(request.operands[0])} "
            f"to [{', '.join(map(str, new))}]",
            request.span,
            help="the result has the last axes of the operand, where each may be summed to 1",
        )
    if old == new:
        return operand
    return expansions.sum_to(operand, new, frame, request.name, request.span)


def _sum_to(request: Request, frame: Frame) -> Value:
    """What an operand that was broadcast receives back: its own shape and dtype."""
    operand, like = request.tensor(0, "operand", frame), request.tensor(1, "like", frame)
    if operand.type == like.type:
        return operand
    meet = elementwise.broadcast(request.operands, request.span)
    extra = len(meet) - len(like.type.shape)
    pairs = list(zip(meet[extra:], like.type.shape, strict=True))
    fits = all(new == 1 or sizes.same(new, old) is not False for old, new in pairs)
    if not fits:
        raise ShapeError(
            f"sum_to of {elementwise.spelled(request.operands[0])} "
            f"to the shape of {elementwise.spelled(request.operands[1])}",
            request.span,
            help="the first argument is summed over axes that the second lacks or has with size 1",
        )
    shapes = (*operand.type.shape, *like.type.shape)
    certain = all(new == 1 or new == old for old, new in pairs)
    if is_open(shapes) and operand.type.shape != like.type.shape:
        certain = False
    # No text converts to a type that it does not know, but this one.
    if operand.type.dtype != like.type.dtype == GENERIC:
        certain = False
    if not certain:
        node = SumTo(request.name, like.type, operand.name, like.name, span=request.span)
        return frame.add(node)
    if meet == like.type.shape == operand.type.shape:
        return elementwise.cast(Operand(operand, request.span), like.type.dtype, request.span)
    if meet != operand.type.shape:
        operand = _stretched(operand, meet, frame, request.span)
    if meet == like.type.shape:
        return elementwise.cast(Operand(operand, request.span), like.type.dtype, request.span)
    if operand.type.dtype == like.type.dtype:
        return expansions.sum_to(operand, like.type.shape, frame, request.name, request.span)
    name = frame.fresh("sum")
    total = expansions.sum_to(operand, like.type.shape, frame, name, request.span)
    return elementwise.cast(Operand(total, request.span), like.type.dtype, request.span)


def _stretched(operand: Tensor, shape: tuple[Size, ...], frame: Frame, span: Span) -> Tensor:
    return frame.tensor(Pointwise(scalar_of(operand), shape), "full", span)


_COUNTED: Final = {
    "index": (0,),
    "shape": (0,),
    "argsort": (0,),
    "gather": (0,),
    "scatter": (0, 1),
    "simple_reduce": (0,),
}
"""The operands whose axes a builtin counts."""

_Rule = Callable[[Request, Frame], Value]

_RULES: Final[dict[str, _Rule]] = {
    "index": _index,
    "shape": _shape,
    "reshape": _reshape,
    "gather": _gather,
    "scatter": _scatter,
    "argsort": _argsort,
    "builtin_softmax": _softmax,
    "builtin_logsoftmax": _softmax,
    "builtin_binary_crossentropy": _crossentropy,
    "reverse_grad": _reverse_grad,
    "simple_reduce": _simple_reduce,
    "sum_to": _sum_to,
}
