"""Which inputs must be numbers when sizes are bound.

Whatever stands as a size, as a bound or in an index expression is followed back through
assignments, tuples and calls to the inputs it is computed from. These are the *bind scalars*: the
program is specialised for their values as it is for shapes.
"""

from __future__ import annotations

from collections.abc import Iterable

from tilec.lang import ast, builtins
from tilec.lang.builtins import Group
from tilec.lang.kinds import TensorKind, TupleKind, UnknownKind, describe
from tilec.lang.scope import Scope
from tilec.operations import INFIX
from tilec.records import dataclass

_Path = tuple[int, ...]
"""Positions in nested tuples, outermost first, that lead to the value that is needed."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something cannot be a number: the expression at fault and the reason."""

    expr: ast.Expr
    reason: str


@dataclass(frozen=True, slots=True)
class _Need:
    expr: ast.Expr
    path: _Path
    origin: ast.Expr | None

    def below(self, expr: ast.Expr, path: _Path = ()) -> _Need:
        return _Need(expr, path, self.origin)


def sources(expr: ast.Expr, scope: Scope) -> tuple[frozenset[str], tuple[Failure, ...]]:
    """The inputs whose numbers an expression needs, and what stands in the way of a number."""
    inputs: set[str] = set()
    failures: list[Failure] = []
    seen: set[tuple[str, _Path]] = set()
    pending = [_Need(expr, (), None)]
    while pending:
        need = pending.pop()
        found = _step(need, scope, inputs)
        if isinstance(found, str):
            failures.append(Failure(need.origin or need.expr, found))
            continue
        for more in found:
            key = (more.expr.name, more.path) if isinstance(more.expr, ast.Name) else None
            if key is None or key not in seen:
                pending.append(more)
            if key is not None:
                seen.add(key)
    return frozenset(inputs), tuple(failures)


def _step(need: _Need, scope: Scope, inputs: set[str]) -> Iterable[_Need] | str:
    """What an expression needs in turn, or the reason why it is no number."""
    match need.expr:
        case ast.IntLiteral() | ast.FloatLiteral() | ast.Access() | ast.Index():
            return ()  # accesses and indices outside brackets were reported where they stand
        case ast.Name():
            return _name(need.expr, need, scope, inputs)
        case ast.Unary(op="-"):
            return _parts((need.expr.arg,), need, scope)
        case ast.Binary() if INFIX[need.expr.op].bind_time:
            return _parts((need.expr.left, need.expr.right), need, scope)
        case ast.Unary(op=op) | ast.Binary(op=op):
            return f"the operator {op} works on tensors only"
        case ast.Conditional():
            below = (need.expr.test, need.expr.then, need.expr.otherwise)
            return _parts(tuple(e for e in below if e is not None), need, scope)
        case ast.Call():
            return _call(need.expr, need, scope)


def _name(expr: ast.Name, need: _Need, scope: Scope, inputs: set[str]) -> Iterable[_Need] | str:
    kind = scope.kinds.get(expr.name)
    if kind is None or isinstance(kind, UnknownKind) or expr.name in scope.sizes:
        return ()
    if expr.name in scope.values:
        return (_Need(scope.values[expr.name], need.path, need.origin or expr),)
    span, what = scope.defined[expr.name]
    if what != "an input":
        return f"{expr.name} is the result of the aggregation at line {span.line}"
    if isinstance(kind, TensorKind) and kind.rank:
        return f"{expr.name} is {describe(kind)}"
    inputs.add(expr.name)
    return ()


def _parts(parts: tuple[ast.Expr, ...], need: _Need, scope: Scope) -> Iterable[_Need]:
    """An operation on tuples needs the same position of each."""
    for part in parts:
        is_tuple = isinstance(scope.kind_of(part), TupleKind)
        yield need.below(part, need.path if is_tuple else ())


def _call(call: ast.Call, need: _Need, scope: Scope) -> Iterable[_Need] | str:
    builtin = builtins.find(call.function)
    if builtin is None:
        return _function_call(call, need, scope)
    if call.function == "tuple":
        if not need.path:
            return "it is a tuple"
        return (need.below(call.args[need.path[0]], need.path[1:]),)
    if builtin.group is Group.TUPLE:
        position = next(iter(call.args[1:]), None)
        if not isinstance(position, ast.IntLiteral):
            return ()
        return (need.below(next(iter(call.args)), (position.value, *need.path)),)
    if not builtins.folds(builtin):
        return f"{call.function}(...) is computed when the program runs"
    parts = tuple(arg for at, arg in enumerate(call.args) if at not in builtin.literals)
    return _parts(parts, need, scope)


def _function_call(call: ast.Call, need: _Need, scope: Scope) -> Iterable[_Need] | str:
    callee = scope.called.get(call.function)
    if callee is None or len(call.args) != len(callee.inputs):
        return ()
    output = need.path[0] if need.path else 0
    folded_from = callee.folded_from[output]
    if folded_from is None:
        return f"{call.function}(...) is computed when the program runs"
    pairs = zip(callee.inputs, call.args, strict=True)
    return tuple(need.below(arg) for fact, arg in pairs if fact.name in folded_from)
