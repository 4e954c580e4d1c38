"""Checks of value expressions: what stands right of ``=`` in an assignment, and in sizes.

Every function records mistakes in the scope and returns the kind of the value; what is faulty has
the poisoned kind, so that nothing follows from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from tilec.dtypes import F32
from tilec.errors import LimitError, NameResolutionError
from tilec.lang import ast, builtins
from tilec.lang.builtins import Builtin, Group
from tilec.lang.kinds import (
    SCALAR,
    UNKNOWN,
    Kind,
    RandomKind,
    TensorKind,
    TupleKind,
    UnknownKind,
    count,
    describe,
)
from tilec.lang.scope import Scope, SizeUse, did_you_mean
from tilec.source import Span
from tilec.tensor.types import integer_literal_dtype, round_float

MAX_LEAVES = 256
"""Values that one tuple may hold, those of inner tuples included."""


_Rule: TypeAlias = Callable[[Sequence[TensorKind]], Kind]
"""Kind of a result by the kinds of the operands, none of which is a tuple."""


def check_value(expr: ast.Expr, scope: Scope) -> Kind:
    """Check an expression outside an aggregation."""
    return scope.note(expr, _value(expr, scope))


def check_size(expr: ast.Expr, place: str, scope: Scope) -> None:
    """Check an expression that must be a number when sizes are bound."""
    kind = check_value(expr, scope)
    if isinstance(kind, TensorKind):
        scope.size_uses.append(SizeUse(expr, place))
    if isinstance(kind, TensorKind | UnknownKind):
        return
    scope.type_error(
        f"{place} must be a number, but this is {describe(kind)}",
        expr.span,
        "take one value out of it: element(t, k)" if isinstance(kind, TupleKind) else None,
    )


def check_literal(expr: ast.IntLiteral | ast.FloatLiteral, scope: Scope) -> Kind:
    """A literal must be representable."""
    if isinstance(expr, ast.IntLiteral):
        if integer_literal_dtype(expr.value) is None:
            return scope.type_error(
                f"the integer {expr.value} does not fit 64 bits",
                expr.span,
                "the largest integer is 9223372036854775807; write a float for more",
            )
        return SCALAR
    if math.isinf(round_float(expr.value, F32)):
        return scope.type_error(
            f"the float {expr.text} does not fit f32, the type of float literals",
            expr.span,
            "the largest float literal is 3.4028234e38",
        )
    return SCALAR


def check_literal_args(call: ast.Call, builtin: Builtin, scope: Scope) -> bool:
    """The arguments that must be integer literals; True when they are."""
    right = True
    for position in builtin.literals:
        if position >= len(call.args) or isinstance(call.args[position], ast.IntLiteral):
            continue
        right = False
        scope.type_error(
            f"argument {position + 1} of {call.function} must be an integer literal",
            call.args[position].span,
            f"it is called as {builtin.usage}",
        )
    return right and (builtin.group is not Group.CAST or _check_width(call, scope))


def find_builtin(call: ast.Call, scope: Scope) -> Builtin | None:
    """The builtin that a call names, called with a possible number of arguments."""
    builtin = builtins.find(call.function)
    if builtin is None:
        known = (*builtins.BUILTINS, *scope.functions)
        scope.error(
            NameResolutionError,
            f"unknown function {call.function}",
            call.span,
            did_you_mean(call.function, known)
            or "use a builtin, or define the function in this file",
        )
        return None
    if builtin.accepts(len(call.args)):
        return builtin
    scope.type_error(
        f"{call.function} was given {count(len(call.args), 'argument', 'arguments')}",
        call.span,
        f"it is called as {builtin.usage}",
    )
    return None


def _value(expr: ast.Expr, scope: Scope) -> Kind:
    match expr:
        case ast.IntLiteral() | ast.FloatLiteral():
            return check_literal(expr, scope)
        case ast.Name():
            return scope.lookup(expr.name, expr.span)
        case ast.Index():
            return _stray_index(expr, scope)
        case ast.Access():
            return _stray_access(expr, scope)
        case ast.Call():
            return _call(expr, scope)
        case ast.Unary():
            return _elementwise((check_value(expr.arg, scope),), expr.span, scope)
        case ast.Binary():
            kinds = check_value(expr.left, scope), check_value(expr.right, scope)
            return _elementwise(kinds, expr.span, scope)
        case ast.Conditional(otherwise=None):
            for below in (expr.test, expr.then):
                check_value(below, scope)
            return scope.type_error(
                "a conditional without `:` stands outside an aggregation",
                expr.span,
                "write `test ? then : otherwise`",
            )
        case ast.Conditional():
            parts = (expr.test, expr.then, expr.otherwise)
            kinds = tuple(check_value(p, scope) for p in parts if p is not None)
            return _elementwise(kinds, expr.span, scope)


def _stray_index(expr: ast.Index, scope: Scope) -> Kind:
    upper = did_you_mean(expr.name, scope.kinds)
    return scope.type_error(
        f"index {expr.name} stands outside the brackets of an aggregation",
        expr.span,
        upper or "only tensors, sizes and numbers are values; index(X, axis) gives positions",
    )


def _stray_access(expr: ast.Access, scope: Scope) -> Kind:
    scope.lookup(expr.name, expr.span)
    return scope.type_error(
        f"{expr.name}[...] stands outside an aggregation",
        expr.span,
        f"write {expr.name} for all elements, or aggregate: R[i : N] = =({expr.name}[...])",
    )


def _elementwise(kinds: Sequence[Kind], span: Span, scope: Scope) -> Kind:
    """Kind of an operation that works element by element, also through tuples."""
    return _mapped(kinds, span, scope, lambda parts: TensorKind(_joined_rank(parts)))


def _joined_rank(kinds: Sequence[TensorKind]) -> int | None:
    ranks = [kind.rank for kind in kinds]
    known = [rank for rank in ranks if rank is not None]
    return max(known) if len(known) == len(ranks) else None


def _mapped(kinds: Sequence[Kind], span: Span, scope: Scope, rule: _Rule) -> Kind:
    """Apply a rule; a function applied to tuples maps over their positions."""
    plain: list[TensorKind] = []
    lengths: list[int] = []
    for kind in kinds:
        match kind:
            case UnknownKind():
                return UNKNOWN
            case RandomKind():
                return scope.type_error(
                    f"{describe(kind)} is no tensor",
                    span,
                    "prng_value(p) gives its values, prng_state(p) the new state",
                )
            case TensorKind():
                plain.append(kind)
            case TupleKind():
                lengths.append(len(kind.items))
    if not lengths:
        return rule(plain)
    if len(set(lengths)) > 1:
        return scope.type_error(
            f"tuples of {lengths[0]} and {max(lengths[1:], key=lambda n: n != lengths[0])} values "
            "meet in one operation",
            span,
            "a function of tuples works position by position, so their lengths must agree",
        )
    items: list[Kind] = []
    for position in range(lengths[0]):
        at = [kind.items[position] if isinstance(kind, TupleKind) else kind for kind in kinds]
        item = _mapped(at, span, scope, rule)
        if isinstance(item, UnknownKind):
            return UNKNOWN
        items.append(item)
    return _tuple(items, span, scope)


def _tuple(items: Sequence[Kind], span: Span, scope: Scope) -> Kind:
    leaves = sum(item.leaves if isinstance(item, TupleKind) else 1 for item in items)
    if leaves <= MAX_LEAVES:
        return TupleKind(tuple(items), leaves)
    scope.error(
        LimitError,
        f"a tuple of {leaves} values",
        span,
        f"a tuple holds at most {MAX_LEAVES} values, inner tuples included",
    )
    return UNKNOWN


def _check_width(call: ast.Call, scope: Scope) -> bool:
    bits = call.args[1] if len(call.args) > 1 else None
    if not isinstance(bits, ast.IntLiteral) or builtins.cast_dtype(call.function, bits.value):
        return True
    scope.type_error(
        f"{call.function} has no width of {bits.value} bits",
        bits.span,
        f"the widths are {builtins.cast_widths(call.function)}",
    )
    return False


def _call(call: ast.Call, scope: Scope) -> Kind:
    if call.function in scope.functions and builtins.find(call.function) is None:
        return _call_function(call, scope)
    builtin = find_builtin(call, scope)
    if builtin is None:
        for arg in call.args:
            check_value(arg, scope)
        return UNKNOWN
    if builtin.group is Group.REFUSED:
        return scope.type_error(
            f"{call.function} is not part of tilec: PlaidML never said what it computes",
            call.span,
            "write the formula, for example as_int(round(X / S), 8)",
        )
    literals = check_literal_args(call, builtin, scope)
    first_size = len(call.args) if builtin.sizes is None else builtin.sizes
    kinds: list[Kind] = []
    for position, arg in enumerate(call.args):
        if position in builtin.literals:
            continue
        if position >= first_size:
            check_size(arg, f"argument {position + 1} of {call.function}", scope)
            kinds.append(scope.kind_of(arg))
        else:
            kinds.append(check_value(arg, scope))
    return _builtin(call, builtin, kinds, scope) if literals else UNKNOWN


def _builtin(call: ast.Call, builtin: Builtin, kinds: list[Kind], scope: Scope) -> Kind:
    """Kind of a builtin's result; ``kinds`` leaves out the literal arguments."""
    match builtin.group:
        case Group.ELEMENTWISE | Group.CAST:
            return _elementwise(kinds, call.span, scope)
        case Group.SIZES | Group.ASSERTION:
            return UNKNOWN if UNKNOWN in kinds else SCALAR
        case Group.TUPLE:
            return _tuple_call(call, kinds, scope)
        case Group.RANDOM:
            return _random_call(call, kinds, scope)
        case _:
            tensors = kinds if builtin.sizes is None else kinds[: builtin.sizes]
            return _mapped(tensors, call.span, scope, lambda of: _tensor_call(call, of, scope))


def _tuple_call(call: ast.Call, kinds: list[Kind], scope: Scope) -> Kind:
    if call.function == "tuple":
        return UNKNOWN if UNKNOWN in kinds else _tuple(kinds, call.span, scope)
    whole, position = kinds[0], call.args[1]
    if isinstance(whole, UnknownKind) or not isinstance(position, ast.IntLiteral):
        return UNKNOWN
    if not isinstance(whole, TupleKind):
        return scope.type_error(
            f"element needs a tuple, but this is {describe(whole)}",
            call.args[0].span,
            "tuple(a, b, ...) makes one, and so does a function with several outputs",
        )
    if position.value < len(whole.items):
        return whole.items[position.value]
    return scope.type_error(
        f"element {position.value} of {describe(whole)}",
        position.span,
        f"positions count from 0, so the last one is {len(whole.items) - 1}",
    )


def _random_call(call: ast.Call, kinds: list[Kind], scope: Scope) -> Kind:
    kind = kinds[0]
    if isinstance(kind, UnknownKind):
        return UNKNOWN
    if call.function == "prng_step":
        if isinstance(kind, TensorKind) and kind.rank in (None, 2):
            return RandomKind(len(call.args) - 1)
        return scope.type_error(
            f"the state of a random generator is u32[3, 2048], but this is {describe(kind)}",
            call.args[0].span,
            "pass the state first, then the sizes: prng_step(S, N, M)",
        )
    if isinstance(kind, RandomKind):
        return TensorKind(kind.rank if call.function == "prng_value" else 2)
    return scope.type_error(
        f"{call.function} needs a step of the generator, but this is {describe(kind)}",
        call.args[0].span,
        "make the step first: P = prng_step(S, N)",
    )


def _tensor_call(call: ast.Call, kinds: Sequence[TensorKind], scope: Scope) -> Kind:
    rank = kinds[0].rank
    match call.function:
        case "index" | "argsort":
            return _axis_call(call, kinds[0], scope)
        case "shape":
            return TensorKind(1)
        case "reshape":
            return TensorKind(len(call.args) - 1)
        case "simple_reduce":
            if rank is not None and rank < len(call.args) - 1:
                return scope.type_error(
                    f"simple_reduce of {describe(kinds[0])} to {len(call.args) - 1} axes",
                    call.span,
                    "it sums axes away, so the result has at most as many as the operand",
                )
            return TensorKind(len(call.args) - 1)
        case "sum_to":
            return kinds[1]
        case "gather":
            return _gather(call, kinds[0], kinds[1], scope)
        case "scatter":
            return _scatter(call, kinds[0], kinds[1], kinds[2], scope)
        case "builtin_softmax" | "builtin_logsoftmax":
            if rank in (None, 2):
                return TensorKind(2)
            return scope.type_error(
                f"{call.function} needs a matrix, but this is {describe(kinds[0])}",
                call.args[0].span,
                "reshape it to rows and columns first",
            )
        case "builtin_binary_crossentropy":
            return TensorKind(_joined_rank(kinds[:2]))
        case _:
            return TensorKind(rank)


def _axis_call(call: ast.Call, kind: TensorKind, scope: Scope) -> Kind:
    operand, axis = call.args[0], next(iter(call.args[1:]), None)
    if call.function == "argsort" and len(call.args) > 2:
        order = call.args[2]
        if isinstance(order, ast.IntLiteral) and order.value > 1:
            return scope.type_error(
                f"argsort has no order {order.value}", order.span, "0 is ascending, 1 descending"
            )
    if kind.rank == 0:
        return scope.type_error(
            f"{call.function} needs an axis, but this is a scalar", operand.span
        )
    if not isinstance(axis, ast.IntLiteral) or kind.rank is None or axis.value < kind.rank:
        return kind
    return scope.type_error(
        f"axis {axis.value} of {describe(kind)}",
        axis.span,
        f"axes count from 0, so the last one is {kind.rank - 1}",
    )


def _gather(call: ast.Call, data: TensorKind, rows: TensorKind, scope: Scope) -> Kind:
    if data.rank == 0:
        return scope.type_error(
            "gather takes rows of axis 0, but this is a scalar",
            call.args[0].span,
            "the arguments are gather(data, rows)",
        )
    if data.rank is None or rows.rank is None:
        return TensorKind(None)
    return TensorKind(rows.rank + data.rank - 1)


def _scatter(
    call: ast.Call, updates: TensorKind, rows: TensorKind, like: TensorKind, scope: Scope
) -> Kind:
    if like.rank == 0:
        return scope.type_error(
            "the last argument of scatter gives the number of rows by its axis 0, "
            "but this is a scalar",
            call.args[2].span,
            "pass a tensor with as many rows as the result",
        )
    if updates.rank is None or rows.rank is None:
        return TensorKind(None)
    if updates.rank >= rows.rank:
        return TensorKind(1 + updates.rank - rows.rank)
    return scope.type_error(
        f"scatter of {describe(updates)} at rows given by {describe(rows)}",
        call.span,
        "the first axes of the updates are those of the rows: scatter(updates, rows, like)",
    )


def _call_function(call: ast.Call, scope: Scope) -> Kind:
    """A call of another function of the file."""
    kinds = [check_value(arg, scope) for arg in call.args]
    callee = scope.functions[call.function]
    if callee is None:
        return UNKNOWN
    scope.called[call.function] = callee
    if len(call.args) != len(callee.inputs):
        wanted = ", ".join(fact.name for fact in callee.inputs)
        return scope.type_error(
            f"{call.function} was given {count(len(call.args), 'argument', 'arguments')}, "
            f"but it has {count(len(callee.inputs), 'input', 'inputs')}",
            call.span,
            f"it is called as {call.function}({wanted})",
        )
    if UNKNOWN in kinds:
        return UNKNOWN
    for arg, kind, fact in zip(call.args, kinds, callee.inputs, strict=True):
        if not isinstance(kind, TensorKind):
            return scope.type_error(
                f"{describe(kind)} is passed to {call.function}",
                arg.span,
                "functions take tensors and numbers; pass the elements one by one",
            )
        if fact.is_bind_scalar:
            scope.size_uses.append(SizeUse(arg, f"{fact.name} of {call.function}"))
        elif fact.rank is not None and kind.rank is not None and kind.rank != fact.rank:
            scope.type_error(
                f"{call.function} takes {describe(TensorKind(fact.rank))} as {fact.name}, "
                f"but this is {describe(kind)}",
                arg.span,
                f"the header of {call.function} is at line {fact.span.line}",
            )
    if len(callee.output_kinds) == 1:
        return callee.output_kinds[0]
    return _tuple(callee.output_kinds, call.span, scope)
