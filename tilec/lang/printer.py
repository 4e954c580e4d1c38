"""Canonical Tile text of syntax trees.

Parsing the text gives the tree back, and printing that gives the text: one blank around operators
of values, none around ``*`` and ``/`` in brackets, parentheses only where the tree needs them.
Names that the text cannot hold as they are get their escape (``#x``, ``$X``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from tilec.errors import InternalError
from tilec.lang import ast
from tilec.records import dataclass
from tilec.source import Span

__all__ = ["print_expr", "print_file", "print_function", "print_statement"]

_INDENT: Final = "  "

_TENSOR: Final = re.compile(r"[A-Z][A-Za-z0-9_]*'?")
_WORD: Final = re.compile(r"[a-z][A-Za-z0-9_]*'?")
_ESCAPED: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*'?")
_FLOAT: Final = re.compile(r"(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+")
_RESERVED: Final = frozenset({"function", "default", "no_defract"})
_MAX_INT: Final = (1 << 63) - 1

_CONDITIONAL: Final = 1
_COMPARISONS: Final = (5, 6)
_SUM: Final = 8
_UNARY: Final = 10
_ATOM: Final = 11
_LEVELS: Final = {
    "^": 2,
    "|": 3,
    "&": 4,
    **dict.fromkeys(("==", "!="), 5),
    **dict.fromkeys(("<", "<=", ">", ">="), 6),
    **dict.fromkeys(("<<", ">>"), 7),
    **dict.fromkeys(("+", "-"), 8),
    **dict.fromkeys(("*", "/", "%"), 9),
}
"""How tightly each operator binds, from the table of the language."""


def print_file(file: ast.File) -> str:
    """All functions, with a blank line between them and a line end behind the last."""
    return "\n\n".join(map(print_function, file.functions)) + "\n"


def print_function(function: ast.Function) -> str:
    """One function, from its header to its brace; bare statements get their header."""
    name = "" if function.name is None else _callable(function.name, function.span)
    inputs = ", ".join(map(_input, function.inputs))
    outputs = ", ".join(_tensor(output.name, output.span) for output in function.outputs)
    lines = [f"function {name}({inputs}) -> ({outputs}) {{"]
    lines.extend(f"{_INDENT}{print_statement(statement)};" for statement in function.body)
    return "\n".join([*lines, "}"])


def print_statement(statement: ast.Statement) -> str:
    """One statement without its semicolon."""
    attributes = "".join(f"{_attribute(attribute)} " for attribute in statement.attributes)
    name = _tensor(statement.name, statement.span)
    if isinstance(statement, ast.Assignment):
        return f"{attributes}{name} = {print_expr(statement.value)}"
    body = statement.body
    if isinstance(body, ast.Conditional) and body.otherwise is None:
        combined = f"{_VALUE.at(body.test, _CONDITIONAL)} ? {_VALUE.at(body.then, _CONDITIONAL)}"
    else:
        combined = print_expr(body)
    parts = [f"{attributes}{name}[{_output(statement)}] = {statement.agg.value}({combined})"]
    for constraint in statement.constraints:
        form = _INDEX.at(constraint.form, _SUM)
        parts.append(f", {form} < {print_expr(constraint.bound)}")
    if statement.no_defract:
        parts.append(" no_defract")
    if statement.default is not None:
        parts.append(f" default {_tensor(statement.default.name, statement.default.span)}")
    return "".join(parts)


def print_expr(expr: ast.Expr) -> str:
    """One expression, as it stands outside brackets."""
    return _VALUE.at(expr, _CONDITIONAL)


def _input(value: ast.InputDecl) -> str:
    dims = ""
    if value.dims is not None:
        dims = f"[{', '.join(_VALUE.at(dim, _ATOM) for dim in value.dims)}]"
    dtype = "" if value.dtype is None else f": {value.dtype}"
    return f"{_tensor(value.name, value.span)}{dims}{dtype}"


def _attribute(attribute: ast.Attribute) -> str:
    name = _index(attribute.name, attribute.span)
    if not attribute.args:
        return f"[[{name}]]"
    args = ", ".join(_callable(arg, attribute.span) for arg in attribute.args)
    return f"[[{name}({args})]]"


def _output(statement: ast.Contraction) -> str:
    indices = _INDEX.list(statement.indices)
    if statement.sizes is None or not (statement.indices or statement.sizes):
        return indices
    return f"{indices} : {_VALUE.list(statement.sizes)}"


def _tensor(name: str, span: Span) -> str:
    return _escaped(name, "#", span) if _TENSOR.fullmatch(name) is None else name


def _index(name: str, span: Span) -> str:
    plain = _WORD.fullmatch(name) is not None and name not in _RESERVED
    return name if plain else _escaped(name, "$", span)


def _callable(name: str, span: Span) -> str:
    """A name that may begin with either case: of a function or in an attribute."""
    return name if _TENSOR.fullmatch(name) is not None else _index(name, span)


def _escaped(name: str, mark: str, span: Span) -> str:
    if _ESCAPED.fullmatch(name) is None:
        raise InternalError(f"{name!r} is no name that Tile text can hold", span)
    return f"{mark}{name}"


@dataclass(frozen=True, slots=True)
class _Style:
    """How expressions look: those in brackets are set tighter."""

    tight: frozenset[str]

    def list(self, exprs: Sequence[ast.Expr]) -> str:
        return ", ".join(self.at(expr, _CONDITIONAL) for expr in exprs)

    def at(self, expr: ast.Expr, level: int) -> str:
        """The expression where something that binds as tightly as ``level`` must stand."""
        text, own = self._text(expr)
        return text if own >= level else f"({text})"

    def _text(self, expr: ast.Expr) -> tuple[str, int]:
        """The expression without parentheses around it, and how tightly it binds."""
        match expr:
            case ast.IntLiteral():
                return _integer(expr), _ATOM
            case ast.FloatLiteral():
                return _float(expr), _ATOM
            case ast.Name():
                return _tensor(expr.name, expr.span), _ATOM
            case ast.Index():
                return _index(expr.name, expr.span), _ATOM
            case ast.Access():
                return f"{_tensor(expr.name, expr.span)}[{_INDEX.list(expr.indices)}]", _ATOM
            case ast.Call():
                return f"{_callable(expr.function, expr.span)}({_VALUE.list(expr.args)})", _ATOM
            case ast.Unary():
                return f"{expr.op}{self.at(expr.arg, _UNARY)}", _UNARY
            case ast.Binary():
                return self._binary(expr)
            case ast.Conditional():
                return self._conditional(expr)

    def _binary(self, expr: ast.Binary) -> tuple[str, int]:
        level = _LEVELS[expr.op]
        # Left-associative, but for comparisons, which do not chain at all.
        left = self.at(expr.left, level + (level in _COMPARISONS))
        right = self.at(expr.right, level + 1)
        op = expr.op if expr.op in self.tight else f" {expr.op} "
        return f"{left}{op}{right}", level

    def _conditional(self, expr: ast.Conditional) -> tuple[str, int]:
        if expr.otherwise is None:
            raise InternalError("a conditional without `:` inside an expression", expr.span)
        # A chain groups to the left. Whether the text says so in parentheses is linted, so they
        # are kept as they were written.
        chained = isinstance(expr.test, ast.Conditional) and not expr.test.parenthesised
        test = self.at(expr.test, _CONDITIONAL if chained else _CONDITIONAL + 1)
        then = self.at(expr.then, _CONDITIONAL)
        otherwise = self.at(expr.otherwise, _CONDITIONAL + 1)
        return f"{test} ? {then} : {otherwise}", _CONDITIONAL


_VALUE: Final = _Style(frozenset())
_INDEX: Final = _Style(frozenset("*/"))


def _integer(literal: ast.IntLiteral) -> str:
    if not 0 <= literal.value <= _MAX_INT:
        raise InternalError(f"{literal.value} is no integer literal of Tile", literal.span)
    return str(literal.value)


def _float(literal: ast.FloatLiteral) -> str:
    """The digits as written where they mean the value, otherwise the shortest that do."""
    text = literal.text
    if _FLOAT.fullmatch(text) is None or float(text) != literal.value:
        text = "1e999" if literal.value == float("inf") else repr(literal.value)
    if _FLOAT.fullmatch(text) is None:
        raise InternalError(f"{literal.value} is no float literal of Tile", literal.span)
    return text
