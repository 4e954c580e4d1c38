"""From the tensor IR back to Tile: the statements of a program whose sizes are symbols.

Assumes a program that was lowered from its header alone, or was derived from one. Guarantees a text
that is lowered to the same nodes again, whatever shapes it is bound to.
"""

from __future__ import annotations

from typing import Final

from tilec.dtypes import GENERIC, I32, DType
from tilec.errors import GradientError
from tilec.lang import ast
from tilec.lang.express_sizes import SPAN, Sizes, integer
from tilec.lang.express_values import Values
from tilec.records import dataclass
from tilec.tensor import surface
from tilec.tensor.affine import Affine
from tilec.tensor.ir import (
    Aggregation,
    ArgSort,
    Constant,
    Contraction,
    Gather,
    Map,
    Node,
    Output,
    Program,
    RandomState,
    RandomValue,
    Reshape,
    Scatter,
    SumTo,
    TensorType,
)
from tilec.tensor.scalar import Apply, IndexValue, Literal, Read, Scalar, reads, walk
from tilec.tensor.size import Size, SizeExpr, is_open
from tilec.tensor.types import apply

_REVERSED: Final = "reverse_grad"
_CROSSENTROPY: Final = "binary_crossentropy"


@dataclass(frozen=True, slots=True)
class Given:
    """What a text says about its inputs, where the program does not.

    Attributes:
        order: The inputs of the function in order; those that are numbers at bind time are no
            inputs of the program.
        scalars: Names of those numbers.
        dtypes: The element types that the header demands.
    """

    order: tuple[str, ...]
    scalars: frozenset[str]
    dtypes: dict[str, DType]


def express(program: Program, name: str | None, given: Given) -> ast.Function:
    """The program as one function.

    Inputs behind those of ``given.order`` get a dtype in the header unless it is the open one.

    Raises:
        GradientError: something depends on the number of axes of an input that may have any.
    """
    return _Writer(program, given).function(name)


class _Writer:
    def __init__(self, program: Program, given: Given) -> None:
        self._program = program
        self._given = given
        self._body: list[ast.Statement] = []
        self._types: dict[str, TensorType] = {}
        self._sizes = Sizes(self._fresh, self._body.append)
        self._used = {*program.types(), *given.order, *symbols(program)}
        self._used.update(output.name for output in program.outputs)

    def function(self, name: str | None) -> ast.Function:
        program = self._program
        inputs = self._header()
        for node in program.nodes:
            self._body.append(self._statement(node))
            self._types[node.name] = node.type
        outputs = tuple(map(self._output, program.outputs))
        return ast.Function(name, inputs, outputs, tuple(self._body), False, SPAN)

    def _fresh(self, base: str) -> str:
        name, number = base, 0
        while name in self._used:
            number += 1
            name = f"{base}_{number}"
        self._used.add(name)
        return name

    def _header(self) -> tuple[ast.InputDecl, ...]:
        types = {item.name: item.type for item in self._program.inputs}
        names = dict.fromkeys((*self._given.order, *types))
        self._types.update(types)
        return tuple(self._input(name, types.get(name)) for name in names)

    def _input(self, name: str, kind: TensorType | None) -> ast.InputDecl:
        if name in self._given.order:
            dtype = self._given.dtypes.get(name)
        else:
            dtype = None if kind is None or kind.dtype == GENERIC else kind.dtype
        spelled = None if dtype is None else dtype.name
        if kind is None or is_open(kind.shape):
            return ast.InputDecl(name, None, spelled, SPAN)
        dims = tuple(self._dim(name, axis, size) for axis, size in enumerate(kind.shape))
        return ast.InputDecl(name, dims, spelled, SPAN)

    def _dim(self, name: str, axis: int, size: Size) -> ast.Name | ast.IntLiteral:
        """The entry of a header; a size that is none of its names gets one, and is asserted."""
        if isinstance(size, int):
            return ast.IntLiteral(size, SPAN)
        if size.op == "symbol" and size.name not in self._given.scalars:
            return ast.Name(size.name, SPAN)
        own = ast.Name(self._fresh(f"{name}{axis}"), SPAN)
        test = ast.Binary("==", own, self._sizes.value(size), SPAN)
        check = ast.Call("assert_size", (test,), SPAN)
        self._body.append(ast.Assignment(self._fresh(f"{name}_fits"), check, (), SPAN))
        return own

    def _output(self, output: Output) -> ast.Name:
        if output.name != output.value:
            value = ast.Name(output.value, SPAN)
            self._body.append(ast.Assignment(output.name, value, (), SPAN))
        return ast.Name(output.name, SPAN)

    def _statement(self, node: Node) -> ast.Statement:
        if isinstance(node, Contraction):
            return self._contraction(node)
        return ast.Assignment(node.name, self._value(node), _attributes(node), SPAN)

    def _value(self, node: Node) -> ast.Expr:
        match node:
            case Constant():
                return self._constant(node)
            case Map():
                return self._map(node)
            case Reshape():
                return _call("reshape", _name(node.operand), *self._extents(node.type.shape))
            case Gather():
                return _call("gather", _name(node.data), _name(node.rows))
            case Scatter():
                like = self._like(node.type.shape[:1], leading=True)
                return _call("scatter", _name(node.updates), _name(node.rows), like)
            case RandomValue():
                step = _call("prng_step", _name(node.state), *self._extents(node.type.shape))
                return _call("prng_value", step)
            case RandomState():
                step = _call("prng_step", _name(node.state), self._sizes.value(node.count))
                return _call("prng_state", step)
            case ArgSort():
                order = integer(int(node.descending))
                return _call("argsort", _name(node.operand), integer(node.axis), order)
            case SumTo():
                return _call("sum_to", _name(node.operand), _name(node.like))
            case Contraction():
                raise AssertionError

    def _extents(self, shape: tuple[Size, ...]) -> tuple[ast.Expr, ...]:
        return tuple(map(self._sizes.value, shape))

    def _contraction(self, node: Contraction) -> ast.Contraction:
        def nowhere(index: str) -> ast.Expr:
            raise GradientError(f"the position {index} stands in an aggregation", node.span)

        sizes = self._sizes
        value = surface.body_surface(node.body, node.agg, node.type.dtype)
        body = Values(sizes, True, nowhere).expression(value)
        constraints = tuple(
            ast.Constraint(sizes.form(c.form), sizes.value(c.bound), SPAN) for c in node.constraints
        )
        return ast.Contraction(
            name=node.name,
            indices=tuple(map(sizes.form, node.output)),
            sizes=self._extents(node.type.shape),
            agg=node.agg,
            body=body,
            constraints=constraints,
            default=None if node.default is None else _name(node.default),
            no_defract=node.no_defract,
            attributes=_attributes(node),
            output_span=SPAN,
            span=SPAN,
        )

    def _map(self, node: Map) -> ast.Expr:
        def position(index: str) -> ast.Expr:
            return _call("index", self._like(node.type.shape), integer(node.indices.index(index)))

        value = surface.surface(node.body)
        writer = Values(self._sizes, False, position)
        scaled = {a.name: a.args[0] for a in node.attributes if a.args}
        if _CROSSENTROPY in scaled:
            return self._crossentropy(value, scaled[_CROSSENTROPY], writer)
        result = writer.expression(self._in_shape(value, node))
        if _REVERSED in scaled:
            return _call(_REVERSED, result, self._factor(scaled[_REVERSED]))
        return result

    def _in_shape(self, value: Scalar, node: Map) -> Scalar:
        """The value, broadcast to the shape of the node where its operands do not do it."""
        shapes = [self._types[read.tensor].shape for read in reads(value)]
        positions = any(isinstance(part, IndexValue) and part.form.terms for part in walk(value))
        if not node.type.shape or positions or node.type.shape in shapes:
            return value
        if shapes and _joined(shapes) == tuple(size == 1 for size in node.type.shape):
            return value
        like = self._like(node.type.shape)
        return surface.loose("cond", Literal(1, I32), value, _whole(like, self._types))

    def _crossentropy(self, value: Scalar, factor: str, writer: Values) -> ast.Expr:
        """The call whose expansion ``value`` is: ``-t*log(o) - (1 - t)*log(1 - o)``."""
        hit = _operand(value, 0)
        target, output = _operand(_operand(hit, 0), 0), _operand(_operand(hit, 1), 0)
        args = (writer.expression(output), writer.expression(target), self._factor(factor))
        return _call("builtin_binary_crossentropy", *args)

    def _factor(self, spelled: str) -> ast.Expr:
        if spelled in self._types:
            return _name(spelled)
        sign = spelled.startswith("-")
        digits = spelled.lstrip("-")
        number: ast.Expr
        if digits.isdigit():
            number = ast.IntLiteral(int(digits), SPAN)
        else:
            number = ast.FloatLiteral(float(digits), digits, SPAN)
        return ast.Unary("-", number, SPAN) if sign else number

    def _like(self, shape: tuple[Size, ...], *, leading: bool = False) -> ast.Name:
        """A tensor of a shape, or with a leading axis of a size; made where there is none."""
        for name, kind in self._types.items():
            if kind.shape == shape or (leading and kind.shape[:1] == shape):
                return _name(name)
        indices = tuple(ast.Index(f"i{axis}", SPAN) for axis in range(len(shape)))
        name = self._fresh("Like")
        self._types[name] = TensorType(I32, shape)
        self._body.append(
            ast.Contraction(
                name=name,
                indices=indices,
                sizes=self._extents(shape),
                agg=Aggregation.ASSIGN,
                body=integer(0),
                constraints=(),
                default=None,
                no_defract=False,
                attributes=(),
                output_span=SPAN,
                span=SPAN,
            )
        )
        return _name(name)

    def _constant(self, node: Constant) -> ast.Expr:
        writer = Values(self._sizes, False, lambda index: self._position(node))
        values = [_literal(value, node.type.dtype) for value in node.data]
        if not node.type.shape:
            return writer.expression(values[0])
        position = IndexValue(Affine.index("i0"), I32)
        picked = values[-1]
        for at, value in enumerate(values[:-1]):
            picked = apply("cond", apply("cmp_eq", position, Literal(at, I32)), value, picked)
        return writer.expression(surface.surface(picked))

    def _position(self, node: Constant) -> ast.Expr:
        return _call("index", self._like(node.type.shape), integer(0))


def symbols(program: Program) -> set[str]:
    """Names of the sizes of the inputs."""
    found: set[str] = set()
    for item in program.inputs:
        pending = [*item.type.shape]
        while pending:
            size = pending.pop()
            if isinstance(size, SizeExpr):
                found |= {size.name} if size.op == "symbol" else set()
                pending += [arg for arg in size.args if isinstance(arg, SizeExpr)]
    return found


def _joined(shapes: list[tuple[Size, ...]]) -> tuple[bool, ...]:
    """For each axis that shapes are broadcast to, whether its size is 1."""
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(all(shape[axis] == 1 for shape in padded) for axis in range(rank))


def _attributes(node: Node) -> tuple[ast.Attribute, ...]:
    if isinstance(node, Constant):
        return ()
    return tuple(
        ast.Attribute(a.name, a.args, SPAN)
        for a in node.attributes
        if a.name not in (_REVERSED, _CROSSENTROPY)
    )


def _literal(value: float, dtype: DType) -> Scalar:
    return surface.surface(Literal(value, dtype))


def _whole(like: ast.Name, types: dict[str, TensorType]) -> Scalar:
    return Read(like.name, (), types[like.name].dtype)


def _operand(value: Scalar, at: int) -> Scalar:
    assert isinstance(value, Apply)
    return value.args[at]


def _name(name: str) -> ast.Name:
    return ast.Name(name, SPAN)


def _call(function: str, *args: ast.Expr) -> ast.Call:
    return ast.Call(function, args, SPAN)
