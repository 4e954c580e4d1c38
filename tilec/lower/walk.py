"""Substituting in kernel IR."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from operator import is_

from tilec.kernel import build
from tilec.kernel.ir import (
    INDEX,
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
from tilec.kernel.walk import expressions


def linear_step(expr: Expr, name: str) -> int | None:
    """How much an index grows when the variable ``name`` grows by 1; None when it varies."""
    match expr:
        case Const():
            return 0
        case Var():
            return int(expr.name == name)
        case Apply(op="add" | "sub"):
            left, right = (linear_step(arg, name) for arg in expr.args)
            if left is None or right is None:
                return None
            return left + right if expr.op == "add" else left - right
        case Apply(op="mul", args=(left, Const(value=value))) if expr.type == INDEX:
            step = linear_step(left, name)
            return None if step is None else step * int(value)
        case _:
            return (
                None if any(isinstance(e, Var) and e.name == name for e in expressions(expr)) else 0
            )


def substitute(expr: Expr, values: Mapping[str, Expr]) -> Expr:
    """Replace index variables; index arithmetic that changes is simplified again."""
    return mapped(expr, lambda each: values.get(each.name) if isinstance(each, Var) else None)


def mapped(expr: Expr, change: Callable[[Expr], Expr | None]) -> Expr:
    """Replace what ``change`` has something for; index arithmetic is simplified again."""
    changed = change(expr)
    if changed is not None:
        return changed
    match expr:
        case Const() | Var():
            return expr
        case Load():
            index = mapped(expr.index, change)
            mask = None if expr.mask is None else mapped(expr.mask, change)
            if index is expr.index and mask is expr.mask:
                return expr
            return Load(expr.buffer, index, expr.type, expr.stride, mask)
        case Apply():
            args = [mapped(arg, change) for arg in expr.args]
            if all(map(is_, args, expr.args)):
                return expr
            return with_args(expr, tuple(args))
        case Splat() | Fold():
            arg = mapped(expr.arg, change)
            return expr if arg is expr.arg else replace(expr, arg=arg)
        case Zip():
            first, second = mapped(expr.first, change), mapped(expr.second, change)
            return replace(expr, first=first, second=second)
        case Ramp():
            start = mapped(expr.start, change)
            return expr if start is expr.start else replace(expr, start=start)


def with_args(expr: Apply, args: tuple[Expr, ...]) -> Expr:
    """The operation on other scalar operands; index arithmetic is simplified again."""
    if expr.type == INDEX and expr.op in _REBUILD:
        return _REBUILD[expr.op](args[0], args[1])
    return Apply(expr.op, args, expr.type)


_REBUILD = {
    "add": build.add,
    "sub": build.sub,
    "mul": build.mul,
    "min": build.minimum,
    "max": build.maximum,
}


def renamed(body: tuple[Stmt, ...], names: Mapping[str, str]) -> tuple[Stmt, ...]:
    """Statements with other names of buffers."""
    if not names:
        return body
    return tuple(_renamed(stmt, names) for stmt in body)


def _renamed(stmt: Stmt, names: Mapping[str, str]) -> Stmt:
    match stmt:
        case For():
            return replace(
                stmt,
                start=_renamed_in(stmt.start, names),
                stop=_renamed_in(stmt.stop, names),
                body=renamed(stmt.body, names),
            )
        case If():
            return If(
                _renamed_in(stmt.condition, names),
                renamed(stmt.then, names),
                renamed(stmt.otherwise, names),
            )
        case Let():
            return replace(stmt, value=_renamed_in(stmt.value, names))
        case Barrier():
            return stmt
        case Prefetch():
            buffer = names.get(stmt.buffer, stmt.buffer)
            return Prefetch(buffer, _renamed_in(stmt.index, names), stmt.to_write)
        case Store():
            mask = None if stmt.mask is None else _renamed_in(stmt.mask, names)
            return replace(
                stmt,
                buffer=names.get(stmt.buffer, stmt.buffer),
                index=_renamed_in(stmt.index, names),
                value=_renamed_in(stmt.value, names),
                mask=mask,
            )


def _renamed_in(expr: Expr, names: Mapping[str, str]) -> Expr:
    match expr:
        case Const() | Var():
            return expr
        case Load():
            mask = None if expr.mask is None else _renamed_in(expr.mask, names)
            index = _renamed_in(expr.index, names)
            return replace(expr, buffer=names.get(expr.buffer, expr.buffer), index=index, mask=mask)
        case Apply():
            return replace(expr, args=tuple(_renamed_in(arg, names) for arg in expr.args))
        case Splat() | Fold():
            return replace(expr, arg=_renamed_in(expr.arg, names))
        case Zip():
            first, second = _renamed_in(expr.first, names), _renamed_in(expr.second, names)
            return replace(expr, first=first, second=second)
        case Ramp():
            return replace(expr, start=_renamed_in(expr.start, names))
