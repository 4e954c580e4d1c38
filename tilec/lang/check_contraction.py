"""Checks of aggregations: accesses, index expressions, constraints, sizes and default."""

from __future__ import annotations

from tilec.errors import BoundsError
from tilec.lang import ast
from tilec.lang.builtins import Group
from tilec.lang.check_values import (
    check_literal,
    check_literal_args,
    check_size,
    find_builtin,
)
from tilec.lang.kinds import (
    UNKNOWN,
    Kind,
    RandomKind,
    TensorKind,
    TupleKind,
    UnknownKind,
    count,
    describe,
)
from tilec.lang.scope import Scope, SizeUse
from tilec.lang.walk import index_names

INDEX_OPERATORS = ("+", "-", "*", "/")


def check_contraction(statement: ast.Contraction, scope: Scope) -> Kind:
    """Check an aggregation; the kind of its result."""
    mistakes = len(scope.collector.errors)
    for expr in statement.indices:
        _index_form(expr, scope)
    _sizes(statement, scope)
    _body(statement.body, scope, outermost=True)
    for constraint in statement.constraints:
        _index_form(constraint.form, scope)
        _bound(constraint, scope)
    _default(statement, scope)
    if len(scope.collector.errors) == mistakes:
        _constrained_only(statement, scope)
    return TensorKind(len(statement.indices))


def inferable_axis(statement: ast.Contraction, axis: int) -> bool:
    """True when a size that is left out follows from the accesses or the default."""
    if statement.default is not None:
        return True
    expr = statement.indices[axis]
    if isinstance(expr, ast.IntLiteral):
        return expr.value == 0
    return isinstance(expr, ast.Index) and bool(plain_axes(statement.body, expr.name))


def plain_axes(body: ast.Expr, index: str) -> tuple[tuple[ast.Access, int], ...]:
    """The accesses in which an index stands alone on an axis, with that axis."""
    found: list[tuple[ast.Access, int]] = []
    stack = [body]
    while stack:
        here = stack.pop()
        match here:
            case ast.Access():
                axes = enumerate(here.indices)
                found += [(here, at) for at, e in axes if e == ast.Index(index, here.span)]
            case ast.Call():
                stack.extend(reversed(here.args))
            case ast.Unary():
                stack.append(here.arg)
            case ast.Binary():
                stack += [here.right, here.left]
            case ast.Conditional():
                stack += [p for p in (here.otherwise, here.then, here.test) if p is not None]
            case _:
                pass
    return tuple(found)


def _sizes(statement: ast.Contraction, scope: Scope) -> None:
    rank = len(statement.indices)
    if statement.sizes is None:
        for axis, expr in enumerate(statement.indices):
            if not inferable_axis(statement, axis):
                scope.type_error(
                    f"the size of axis {axis} of {statement.name} cannot be inferred",
                    expr.span,
                    f"write the sizes after a colon: {_header(statement)}",
                )
        return
    for expr in statement.sizes:
        check_size(expr, "an output size", scope)
    if len(statement.sizes) != rank:
        scope.type_error(
            f"{statement.name} has {count(rank, 'index', 'indices')} "
            f"but {count(len(statement.sizes), 'size', 'sizes')}",
            statement.output_span,
            f"each index takes one size: {_header(statement)}",
        )


def _header(statement: ast.Contraction) -> str:
    indices = ", ".join(expr.span.text for expr in statement.indices)
    sizes = ", ".join(f"SIZE{axis}" for axis in range(len(statement.indices)))
    return f"{statement.name}[{indices} : {sizes}]"


def _bound(constraint: ast.Constraint, scope: Scope) -> None:
    names = index_names(constraint.bound)
    if names:
        scope.type_error(
            f"index {names[0]} stands right of < in a constraint",
            constraint.bound.span,
            "only sizes may stand there; `k <= i` is written `i - k < N`, since 0 <= i - k is "
            "implied",
        )
        return
    check_size(constraint.bound, "the bound of a constraint", scope)
    if isinstance(constraint.bound, ast.IntLiteral) and constraint.bound.value == 0:
        scope.error(
            BoundsError,
            "no index satisfies this constraint: `form < 0` also means 0 <= form",
            constraint.span,
            "give a bound of 1 or more",
        )


def _default(statement: ast.Contraction, scope: Scope) -> None:
    if statement.default is None:
        return
    kind = scope.lookup(statement.default.name, statement.default.span)
    if isinstance(kind, UnknownKind):
        return
    if isinstance(kind, TensorKind) and kind.rank in (None, len(statement.indices)):
        if kind.rank is None:
            _fix_rank(statement.default.name, len(statement.indices), statement.default, scope)
        return
    rank = TensorKind(len(statement.indices))
    scope.type_error(
        f"the default {statement.default.name} is {describe(kind)}, "
        f"but {statement.name} is {describe(rank)}",
        statement.default.span,
        "the default has the shape of the result",
    )


def _constrained_only(statement: ast.Contraction, scope: Scope) -> None:
    anchored = set(index_names(statement.body))
    for expr in statement.indices:
        anchored.update(index_names(expr))
    for constraint in statement.constraints:
        for name in index_names(constraint.form):
            if name not in anchored:
                anchored.add(name)
                scope.error(
                    BoundsError,
                    f"index {name} appears only in constraints",
                    constraint.form.span,
                    f"use {name} in an access or in the output, or drop the constraint",
                )


def _body(expr: ast.Expr, scope: Scope, *, outermost: bool = False) -> None:
    """Check the expression that an aggregation combines."""
    match expr:
        case ast.IntLiteral() | ast.FloatLiteral():
            check_literal(expr, scope)
        case ast.Name():
            _scalar_operand(expr, scope)
        case ast.Access():
            _access(expr, scope)
        case ast.Index():
            scope.type_error(
                f"index {expr.name} is used as a value",
                expr.span,
                "an index stands in brackets only; index(X, axis) gives positions as a tensor",
            )
        case ast.Call():
            _body_call(expr, scope)
        case ast.Unary():
            _body(expr.arg, scope)
        case ast.Binary():
            _body(expr.left, scope)
            _body(expr.right, scope)
        case ast.Conditional():
            _body(expr.test, scope)
            _body(expr.then, scope)
            if expr.otherwise is not None:
                _body(expr.otherwise, scope)
            elif not outermost:
                scope.type_error(
                    "a conditional without `:` stands inside an expression",
                    expr.span,
                    "write `test ? then : otherwise`; only a whole aggregation may leave out `: 0`",
                )


def _body_call(call: ast.Call, scope: Scope) -> None:
    builtin = None
    if call.function in scope.functions:
        scope.type_error(
            f"{call.function} is called inside an aggregation",
            call.span,
            f"assign the result first: X = {call.function}(...), then aggregate X[...]",
        )
    else:
        builtin = find_builtin(call, scope)
    if builtin is not None and builtin.group not in (Group.ELEMENTWISE, Group.CAST):
        scope.type_error(
            f"{call.function} does not work element by element, so it cannot stand inside an "
            "aggregation",
            call.span,
            f"assign the result first: X = {builtin.usage}, then aggregate X[...]",
        )
        builtin = None
    if builtin is not None:
        check_literal_args(call, builtin, scope)
    literals = () if builtin is None else builtin.literals
    for position, arg in enumerate(call.args):
        if position not in literals:
            _body(arg, scope)


def _scalar_operand(expr: ast.Name, scope: Scope) -> None:
    """A name without brackets is a size, a number or a scalar."""
    kind = scope.lookup(expr.name, expr.span)
    match kind:
        case UnknownKind() | TensorKind(rank=0):
            return
        case TensorKind(rank=None):
            _fix_rank(expr.name, 0, expr, scope)
        case TensorKind(rank=rank):
            indices = ", ".join("ijklmnpqrstuvw"[: rank or 0])
            scope.type_error(
                f"{expr.name} is {describe(kind)}, but it has no brackets here",
                expr.span,
                f"inside an aggregation write {expr.name}[{indices}]",
            )
        case TupleKind() | RandomKind():
            _not_a_tensor(expr.name, kind, expr, scope)


def _access(expr: ast.Access, scope: Scope) -> None:
    kind = scope.lookup(expr.name, expr.span)
    for index in expr.indices:
        _index_form(index, scope)
    match kind:
        case UnknownKind():
            return
        case TensorKind(rank=None):
            _fix_rank(expr.name, len(expr.indices), expr, scope)
        case TensorKind(rank=rank):
            if rank == len(expr.indices):
                return
            _, what = scope.defined[expr.name]
            place = scope.accessed.get(expr.name)
            since = "" if place is None else f", as at line {place[1].line}"
            scope.type_error(
                f"{expr.name} has {count(rank, 'axis', 'axes')}{since}, but is accessed with "
                f"{count(len(expr.indices), 'index', 'indices')}",
                expr.span,
                f"{expr.name} is {what} and needs brackets without index: {expr.name}[]"
                if rank == 0
                else f"write one index per axis of {expr.name}",
            )
        case TupleKind() | RandomKind():
            _not_a_tensor(expr.name, kind, expr, scope)


def _fix_rank(name: str, rank: int, expr: ast.Name | ast.Access, scope: Scope) -> None:
    """The first access settles the rank of an input whose header leaves it open."""
    if name not in scope.values:
        scope.kinds[name] = TensorKind(rank)
        scope.accessed[name] = (rank, expr.span)
        return
    first = scope.accessed.setdefault(name, (rank, expr.span))
    if first[0] != rank:
        scope.type_error(
            f"{name} is accessed with {count(rank, 'index', 'indices')} here, but with "
            f"{first[0]} at line {first[1].line}",
            expr.span,
            f"write one index per axis of {name}",
        )


def _not_a_tensor(name: str, kind: Kind, expr: ast.Expr, scope: Scope) -> None:
    scope.type_error(
        f"{name} is {describe(kind)}, which cannot be aggregated",
        expr.span,
        "take a tensor out of it first: X = "
        + (f"element({name}, 0)" if isinstance(kind, TupleKind) else f"prng_value({name})"),
    )


def _index_form(expr: ast.Expr, scope: Scope) -> bool:
    """Check an index expression; True when it contains an index."""
    match expr:
        case ast.IntLiteral():
            check_literal(expr, scope)
            return False
        case ast.Index():
            return True
        case ast.Name():
            _size_in_index(expr, scope)
            return False
        case ast.Unary(op="-"):
            return _index_form(expr.arg, scope)
        case ast.Binary() if expr.op in INDEX_OPERATORS:
            left = _index_form(expr.left, scope)
            right = _index_form(expr.right, scope)
            _linear(expr, left, right, scope)
            return left or right
        case ast.FloatLiteral():
            scope.type_error(
                f"the float {expr.text} stands in an index expression",
                expr.span,
                "index expressions are exact: write a fraction, for example i/2",
            )
        case ast.Access():
            scope.type_error(
                f"{expr.name}[...] stands in an index expression",
                expr.span,
                "an index cannot depend on data; gather(data, rows) looks rows up",
            )
        case ast.Call():
            scope.type_error(
                f"{expr.function} is called in an index expression",
                expr.span,
                f"compute sizes in a statement before: S = {expr.function}(...)",
            )
        case ast.Unary(op=op) | ast.Binary(op=op):
            scope.type_error(
                f"the operator {op} stands in an index expression",
                expr.span,
                f"index expressions know {' '.join(INDEX_OPERATORS)} only",
            )
        case ast.Conditional():
            scope.type_error(
                "a conditional stands in an index expression",
                expr.span,
                "state conditions on indices as constraints: `, i - 1 < N`",
            )
    return bool(index_names(expr))


def _size_in_index(expr: ast.Name, scope: Scope) -> None:
    kind = scope.note(expr, scope.lookup(expr.name, expr.span))
    if isinstance(kind, TensorKind):
        scope.size_uses.append(SizeUse(expr, "part of an index expression"))
    elif kind != UNKNOWN:
        scope.type_error(f"{expr.name} is {describe(kind)} in an index expression", expr.span)


def _linear(expr: ast.Binary, left: bool, right: bool, scope: Scope) -> None:
    if expr.op == "*" and left and right:
        scope.type_error(
            "non-linear index expression: a product of two indices",
            expr.span,
            "each index may be multiplied by numbers and sizes only",
        )
    if expr.op != "/":
        return
    if right:
        scope.type_error(
            "an index expression is divided by an index",
            expr.right.span,
            "the divisor must be a number or a size",
        )
    elif isinstance(expr.right, ast.IntLiteral) and expr.right.value == 0:
        scope.type_error("division by zero in an index expression", expr.right.span)
