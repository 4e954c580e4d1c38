"""Walking through kernel IR."""

from __future__ import annotations

from collections.abc import Iterator

from tilec.kernel.ir import (
    Apply,
    Barrier,
    Const,
    Expr,
    Fold,
    For,
    If,
    Let,
    Load,
    Prefetch,
    Ramp,
    Splat,
    Stmt,
    Store,
    Var,
    Zip,
)


def statements(body: tuple[Stmt, ...]) -> Iterator[Stmt]:
    """Every statement, the enclosing one before those inside."""
    for stmt in body:
        yield stmt
        if isinstance(stmt, For):
            yield from statements(stmt.body)
        elif isinstance(stmt, If):
            yield from statements(stmt.then)
            yield from statements(stmt.otherwise)


def operands(expr: Expr) -> tuple[Expr, ...]:
    """The expressions directly below."""
    match expr:
        case Const() | Var():
            return ()
        case Load():
            return (expr.index,) if expr.mask is None else (expr.index, expr.mask)
        case Apply():
            return expr.args
        case Splat() | Fold():
            return (expr.arg,)
        case Zip():
            return (expr.first, expr.second)
        case Ramp():
            return (expr.start,)


def expressions(item: tuple[Stmt, ...] | Expr) -> Iterator[Expr]:
    """Every expression in some statements, or an expression and all below it."""
    if not isinstance(item, tuple):
        yield from _below(item)
        return
    for stmt in statements(item):
        for root in roots(stmt):
            yield from _below(root)


def roots(stmt: Stmt) -> tuple[Expr, ...]:
    """The expressions of a statement itself."""
    match stmt:
        case For():
            return stmt.start, stmt.stop
        case If():
            return (stmt.condition,)
        case Let():
            return (stmt.value,)
        case Prefetch():
            return (stmt.index,)
        case Barrier():
            return ()
        case Store():
            return (stmt.index, stmt.value, *(() if stmt.mask is None else (stmt.mask,)))


def _below(expr: Expr) -> Iterator[Expr]:
    # A stack and not recursion: kernels have thousands of expressions, and every level of nested
    # generators would pass each of them on.
    pending = [expr]
    while pending:
        found = pending.pop()
        yield found
        pending.extend(reversed(operands(found)))
