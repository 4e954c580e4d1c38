"""Lowering a function from its header alone: sizes are symbols, open types stay open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tilec.dtypes import GENERIC, I32, U32
from tilec.errors import ArgumentError, UserError
from tilec.lang import ast, walk
from tilec.lang.checked import Checked, InputFact
from tilec.lang.lower import sizes
from tilec.lang.lower.program import lower_given
from tilec.lang.lower.random import STATE
from tilec.lang.lower.values import Number, Tensor, Value, size_number
from tilec.operations import INFIX
from tilec.records import dataclass
from tilec.tensor.ir import Program, Region, TensorType
from tilec.tensor.size import Size, SizeExpr, open_axes, symbol

_BITWISE = ("bit_and", "bit_or", "bit_xor", "bit_not", "bit_left", "bit_right", "bit_shl")
_BIT_OPERATORS = ("&", "|", "^", "~", "<<", ">>")


def lower_types(checked: Checked, types: Mapping[str, TensorType]) -> Program:
    """The program of a function for tensors, in the order of its inputs; sizes may be symbols."""
    facts = [fact for fact in checked.inputs if not fact.is_bind_scalar]
    if len(facts) != len(types) or len(facts) != len(checked.inputs):
        raise ArgumentError(
            f"{checked.name or 'the function'} has {len(checked.inputs)} inputs, "
            f"but {len(types)} are given",
            checked.function.span,
        )
    pairs = zip(facts, types.values(), strict=True)
    program, _ = lower_given(checked, {fact.name: Tensor(fact.name, kind) for fact, kind in pairs})
    return program


def lower_header(
    checked: Checked, marked: frozenset[str] = frozenset()
) -> tuple[Program, tuple[Region, ...]]:
    """The program of a function for all sizes.

    An input whose header has no dtype counts as a float of an open type, unless it is used where
    only integers may stand. Axes without a name get one. An input of any rank has one open axis,
    which stands for all.

    Args:
        checked: The function.
        marked: Functions that it calls, whose calls are to be noted.

    Returns:
        The program, and the nodes that came from calls of marked functions.

    Raises:
        UserError: something cannot be said before sizes are known.
    """
    names = _Names(checked)
    integers, states = integer_inputs(checked), set(_arguments(checked, "prng_step", 0))
    given: dict[str, Value] = {}
    for fact in checked.inputs:
        if fact.is_bind_scalar:
            given[fact.name] = Number(symbol(fact.name), fact.dtype or I32)
            continue
        dtype = fact.dtype or (I32 if fact.name in integers else GENERIC)
        kind = TensorType(dtype, names.shape(fact))
        if fact.name in states:
            kind = TensorType(U32, STATE.shape)
        given[fact.name] = Tensor(fact.name, kind)
    return lower_given(checked, given, marked)


@dataclass(slots=True)
class _Names:
    """The sizes of the inputs of a function."""

    checked: Checked

    def shape(self, fact: InputFact) -> tuple[Size, ...]:
        if fact.dims is not None:
            return tuple(self._dim(dim) for dim in fact.dims)
        if fact.rank is None:
            return (open_axes(fact.name),)
        return tuple(symbol(self._free(f"{fact.name}{axis}")) for axis in range(fact.rank))

    def _dim(self, dim: ast.Name | ast.IntLiteral) -> Size:
        if isinstance(dim, ast.IntLiteral):
            return dim.value
        return self._asserted().get(dim.name, symbol(dim.name))

    def _asserted(self) -> dict[str, Size]:
        """Sizes that the text says are equal to expressions of other sizes."""
        found: dict[str, Size] = {}
        known = {name: symbol(name) for name in self.checked.size_names}
        known.update((name, symbol(name)) for name in self.checked.bind_scalars)
        for statement in self.checked.function.body:
            if not isinstance(statement, ast.Assignment):
                continue
            match statement.value:
                case ast.Call(
                    function="assert_size",
                    args=(ast.Binary(op="==", left=ast.Name(name=name), right=right),),
                ):
                    size = _size(right, known)
                    if size is not None and name in self.checked.size_names:
                        found[name] = size
                case _:
                    pass
        return found

    def _free(self, base: str) -> str:
        taken = {fact.name for fact in self.checked.inputs} | set(self.checked.size_names)
        taken |= {statement.name for statement in self.checked.function.body}
        name, number = base, 0
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        return name


def _size(expr: ast.Expr, known: Mapping[str, SizeExpr]) -> Size | None:
    """The value of an expression of sizes; None where it holds something else."""

    def value(part: ast.Expr) -> Number:
        match part:
            case ast.IntLiteral():
                return Number(part.value, I32)
            case ast.Name() if part.name in known:
                return size_number(known[part.name])
            case ast.Unary(op="-"):
                return sizes.fold("neg", (value(part.arg),), part.span)
            case ast.Binary():
                parts = (value(part.left), value(part.right))
                return sizes.fold(INFIX[part.op].name, parts, part.span)
            case ast.Conditional(otherwise=otherwise) if otherwise is not None:
                parts = (value(part.test), value(part.then), value(otherwise))
                return sizes.fold("cond", parts, part.span)
            case ast.Call(function="broadcast"):
                left, right = (sizes.integer(value(a), "a size", a.span) for a in part.args)
                joined = sizes.broadcast(left, right)
                if joined is None:
                    raise KeyError
                return size_number(joined)
            case ast.Call():
                return sizes.fold(part.function, tuple(map(value, part.args)), part.span)
            case _:
                raise KeyError

    try:
        found = value(expr).value
    except (KeyError, UserError):
        return None
    return found if isinstance(found, int | SizeExpr) else None


def integer_inputs(checked: Checked) -> set[str]:
    """Inputs without a dtype that stand where only integers may."""
    found = {*_arguments(checked, "gather", 1), *_arguments(checked, "scatter", 1)}
    for name in _BITWISE:
        found |= {*_arguments(checked, name, 0), *_arguments(checked, name, 1)}
    for expr in _expressions(checked):
        match expr:
            case ast.Binary(op=op, left=left, right=right) if op in _BIT_OPERATORS:
                for part in (left, right):
                    found |= {part.name} if isinstance(part, ast.Name | ast.Access) else set()
            case ast.Unary(op="~", arg=ast.Name(name=name) | ast.Access(name=name)):
                found.add(name)
            case ast.Call() if expr.function in checked.callees:
                callee = checked.callees[expr.function]
                inner = integer_inputs(callee)
                for fact, arg in zip(callee.inputs, expr.args, strict=False):
                    whole = fact.dtype is None and fact.name in inner
                    if whole and isinstance(arg, ast.Name):
                        found.add(arg.name)
            case _:
                pass
    return found & {fact.name for fact in checked.inputs}


def _expressions(checked: Checked) -> Iterator[ast.Expr]:
    for statement in checked.function.body:
        for root in walk.roots(statement):
            yield from walk.expressions(root)


def _arguments(checked: Checked, function: str, position: int) -> Iterator[str]:
    """Names that stand as an argument of a builtin."""
    for expr in _expressions(checked):
        if isinstance(expr, ast.Call) and expr.function == function:
            arg = next(iter(expr.args[position:]), None)
            if isinstance(arg, ast.Name | ast.Access):
                yield arg.name
