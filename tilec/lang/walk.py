"""Walking over syntax trees without recursion, since programs may come from anywhere."""

from __future__ import annotations

from collections.abc import Iterator

from tilec.lang import ast


def children(expr: ast.Expr) -> tuple[ast.Expr, ...]:
    """The expressions directly below, in order of the text."""
    match expr:
        case ast.Access():
            return expr.indices
        case ast.Call():
            return expr.args
        case ast.Unary():
            return (expr.arg,)
        case ast.Binary():
            return (expr.left, expr.right)
        case ast.Conditional():
            otherwise = () if expr.otherwise is None else (expr.otherwise,)
            return (expr.test, expr.then, *otherwise)
        case _:
            return ()


def expressions(expr: ast.Expr) -> Iterator[ast.Expr]:
    """The expression and all below it, in order of the text."""
    stack = [expr]
    while stack:
        here = stack.pop()
        yield here
        stack.extend(reversed(children(here)))


def roots(statement: ast.Statement) -> tuple[ast.Expr, ...]:
    """The outermost expressions of a statement, in order of the text."""
    if isinstance(statement, ast.Assignment):
        return (statement.value,)
    found = [*statement.indices, *(statement.sizes or ()), statement.body]
    for constraint in statement.constraints:
        found += [constraint.form, constraint.bound]
    if statement.default is not None:
        found.append(statement.default)
    return tuple(found)


def depth(expr: ast.Expr) -> int:
    """Levels of nesting; 1 for a name or a literal."""
    deepest = 0
    stack = [(expr, 1)]
    while stack:
        here, level = stack.pop()
        deepest = max(deepest, level)
        stack.extend((child, level + 1) for child in children(here))
    return deepest


def names(statement: ast.Statement) -> Iterator[str]:
    """Names of the tensors, sizes and scalars that a statement reads, repeats included."""
    for root in roots(statement):
        for expr in expressions(root):
            if isinstance(expr, ast.Name | ast.Access):
                yield expr.name


def index_names(expr: ast.Expr) -> tuple[str, ...]:
    """Names of the indices in an expression, each once, in order of the text."""
    found = (e.name for e in expressions(expr) if isinstance(e, ast.Index))
    return tuple(dict.fromkeys(found))


def integer_argument(call: ast.Call, position: int, otherwise: int) -> int:
    """An argument that is an integer literal; ``otherwise`` where it is left out."""
    arg = next(iter(call.args[position:]), None)
    return arg.value if isinstance(arg, ast.IntLiteral) else otherwise
