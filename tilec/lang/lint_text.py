"""Lints that show in the text alone."""

from __future__ import annotations

from collections.abc import Iterator

from tilec.lang import ast, walk
from tilec.lang.builtins import ASSERTION_PREFIX
from tilec.lang.checked import Checked
from tilec.lang.finding import Lint
from tilec.source import Span
from tilec.tensor.ir import Aggregation


def text_lints(checked: Checked) -> Iterator[Lint]:
    """What looks wrong without knowing any size."""
    function = checked.function
    for statement in function.body:
        for root in walk.roots(statement):
            for expr in walk.expressions(root):
                yield from _expression(expr)
        if isinstance(statement, ast.Contraction):
            yield from _ignored_combination(statement)
            yield from _last_maximum(statement, function)
    yield from _unused(function)


def _expression(expr: ast.Expr) -> Iterator[Lint]:
    match expr:
        case ast.Conditional(test=ast.Conditional(otherwise=inner) as test) if inner is not None:
            if not test.parenthesised:
                yield Lint(
                    "chained-conditional",
                    "`?:` groups from the left: the first conditional is the test of the second",
                    expr.span,
                    "put the conditional after the `:` in parentheses, or the first one if that "
                    "is meant",
                )
        case ast.Binary(op="^"):
            for side, gap in ((expr.left, ")"), (expr.right, "(")):
                if _is_or(side) and gap not in _between(expr.left, expr.right):
                    yield Lint(
                        "loose-xor",
                        "`^` binds looser than `|`: the `|` is computed first",
                        expr.span,
                        "write parentheses around what is meant",
                    )
        case _:
            return


def _is_or(expr: ast.Expr) -> bool:
    return isinstance(expr, ast.Binary) and expr.op == "|"


def _between(left: ast.Expr, right: ast.Expr) -> str:
    """The text between two operands, where parentheses around them are."""
    return left.span.source.text[left.span.end : right.span.start]


def _ignored_combination(statement: ast.Contraction) -> Iterator[Lint]:
    """The tree has the meaning, ``==``; what stands in the text is looked up there."""
    match statement.body:
        case ast.Conditional(otherwise=None, test=ast.Binary(op="==") as test):
            written = _between(test.left, test.right)
            if "==" in written or written == "":
                return
            token = "+" if "+" in written else "*"
            yield Lint(
                "ignored-combination",
                f"`{token}` before `?` in an aggregation tests for equality all the same",
                test.span,
                f"write {test.left.span.text} == {test.right.span.text}",
            )
        case _:
            return


def _last_maximum(statement: ast.Contraction, function: ast.Function) -> Iterator[Lint]:
    """``>(P[i] == M[] ? X[i])`` with X from ``index``: the last of equal maxima wins."""
    if statement.agg is not Aggregation.MAX:
        return
    match statement.body:
        case ast.Conditional(
            otherwise=None, test=ast.Binary(op="=="), then=ast.Access(name=positions)
        ):
            source = next((s for s in function.body if s.name == positions), None)
        case _:
            return
    if not isinstance(source, ast.Assignment) or not isinstance(source.value, ast.Call):
        return
    if source.value.function != "index":
        return
    yield Lint(
        "last-maximum",
        f"of equal values this finds the last position in {positions}; NumPy finds the first",
        statement.span,
        f"for the first, aggregate N - {positions} instead and subtract the result from N",
    )


def _unused(function: ast.Function) -> Iterator[Lint]:
    needed = {output.name for output in function.outputs}
    for statement in reversed(function.body):
        if statement.name in needed or _is_assertion(statement):
            needed.update(walk.names(statement))
        else:
            yield Lint(
                "unused-value",
                f"{statement.name} is computed, but no output needs it",
                _name_span(statement),
                f"drop the statement, or return {statement.name}",
            )
    read = {name for statement in function.body for name in walk.names(statement)}
    read.update(output.name for output in function.outputs)
    for decl in function.inputs:
        sizes = {dim.name for dim in decl.dims or () if isinstance(dim, ast.Name)}
        if decl.name in read or not sizes.isdisjoint(read):
            continue
        yield Lint(
            "unused-input",
            f"input {decl.name} is never used",
            decl.span,
            f"drop it from the header, or use {decl.name}",
        )


def _is_assertion(statement: ast.Statement) -> bool:
    return (
        isinstance(statement, ast.Assignment)
        and isinstance(statement.value, ast.Call)
        and statement.value.function.startswith(ASSERTION_PREFIX)
    )


def _name_span(statement: ast.Statement) -> Span:
    if isinstance(statement, ast.Contraction):
        return statement.output_span
    return statement.span
