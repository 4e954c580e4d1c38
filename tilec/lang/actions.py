"""Makes syntax nodes out of the rules of the grammar: one method per action of ``tile.lark``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from tilec.dtypes import BY_NAME
from tilec.errors import LimitError, TileSyntaxError, TileTypeError
from tilec.lang import ast
from tilec.lang.automaton import Action
from tilec.lang.walk import depth, roots
from tilec.source import Source, Span
from tilec.tensor.ir import Aggregation
from tilec_grammar import Rule

MAX_NESTING: Final = 200
"""Levels of an expression. Comparing and hashing nodes recurses, so the tree itself is bounded."""

_MAX_INT: Final = (1 << 63) - 1
_MAX_DIGITS: Final = len(str(_MAX_INT))


class Actions:
    """The actions for one source.

    Every method takes the values of a rule's symbols (the text of a token, or what an action
    made) and the characters that the rule spans. The values have no common type: the grammar says
    what stands where, and the tests of the parser hold this class to it.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    def table(self, rules: Iterable[Rule]) -> tuple[Action | None, ...]:
        """The method for each rule; None where the only value passes through."""
        methods: dict[str, Action] = {
            rule.action: getattr(self, rule.action) for rule in rules if rule.action
        }
        return tuple(methods.get(rule.action) for rule in rules)

    def _span(self, start: int, end: int) -> Span:
        return Span(self._source, start, end)

    # Lists

    def none(self, _values: list[Any], _start: int, _end: int) -> list[Any]:
        """Nothing of a list."""
        return []

    def one(self, values: list[Any], _start: int, _end: int) -> list[Any]:
        """The first of a list."""
        return values

    def one_after_comma(self, values: list[Any], _start: int, _end: int) -> list[Any]:
        """The first of a list, when a comma precedes it."""
        return values[1:]

    def more(self, values: list[Any], _start: int, _end: int) -> list[Any]:
        """One more behind a comma or semicolon, or a function behind the others."""
        found: list[Any] = values[0]
        found.append(values[-1])
        return found

    append = more

    def first(self, values: list[Any], _start: int, _end: int) -> Any:
        """What a closing semicolon ends."""
        return values[0]

    def inner(self, values: list[Any], _start: int, _end: int) -> Any:
        """What a pair of brackets encloses."""
        return values[1]

    def absent(self, _values: list[Any], _start: int, _end: int) -> None:
        """Something that may be left out."""

    def text(self, values: list[Any], _start: int, _end: int) -> str:
        """A name as such."""
        return _plain(values[0])

    # Files and functions

    def file(self, values: list[Any], start: int, end: int) -> ast.File:
        """Functions."""
        return ast.File(tuple(values[0]), self._span(start, end))

    def file_with_statements(self, values: list[Any], start: int, end: int) -> ast.File:
        """Functions, then statements that use them."""
        functions, body = values
        bare = self._bare(body, end)
        return ast.File((*functions, bare), self._span(start, end))

    def file_of_statements(self, values: list[Any], start: int, end: int) -> ast.File:
        """Statements without a header."""
        return ast.File((self._bare(values[0], end),), self._span(start, end))

    def _bare(self, body: list[ast.Statement], end: int) -> ast.Function:
        """The function of bare statements; its header is inferred later."""
        span = self._span(body[0].span.start, end)
        return ast.Function(None, (), (), tuple(body), bare=True, span=span)

    def function(self, values: list[Any], start: int, end: int) -> ast.Function:
        """``function (inputs) -> (outputs) { body }``."""
        _, _, inputs, _, _, _, outputs, _, _, body, _ = values
        return self._function(None, inputs, outputs, body, self._span(start, end))

    def named_function(self, values: list[Any], start: int, end: int) -> ast.Function:
        """``function name (inputs) -> (outputs) { body }``."""
        _, name, _, inputs, _, _, _, outputs, _, _, body, _ = values
        return self._function(name, inputs, outputs, body, self._span(start, end))

    def _function(
        self,
        name: str | None,
        inputs: list[ast.InputDecl],
        outputs: list[ast.Name],
        body: list[ast.Statement],
        span: Span,
    ) -> ast.Function:
        return ast.Function(name, tuple(inputs), tuple(outputs), tuple(body), bare=False, span=span)

    def input(self, values: list[Any], start: int, end: int) -> ast.InputDecl:
        """One input of a header."""
        name, dims, dtype = values
        axes = None if dims is None else tuple(dims)
        return ast.InputDecl(_plain(name), axes, dtype, self._span(start, end))

    def dtype(self, values: list[Any], _start: int, end: int) -> str:
        """``: dtype`` behind an input."""
        name: str = values[1]
        if name in BY_NAME:
            return name
        guess = _dtype_meant(name)
        raise TileTypeError(
            f"unknown dtype `{name}`",
            self._span(end - len(name), end),
            help=f"did you mean {guess}?" if guess else f"the dtypes are {' '.join(BY_NAME)}",
        )

    # Statements

    def assignment(self, values: list[Any], start: int, end: int) -> ast.Assignment:
        """``name = value``."""
        attributes, name, _, value = values
        statement = ast.Assignment(_plain(name), value, tuple(attributes), self._span(start, end))
        self._refuse_depth(statement)
        return statement

    def contraction(self, values: list[Any], start: int, end: int) -> ast.Contraction:
        """``output = agg(body), constraints flags``."""
        attributes, output, _, agg, _, body, _, constraints, *rest = values
        name, indices, sizes, output_span = output
        flags: list[ast.Name | None] = rest[0] if rest else []
        defaults = [flag for flag in flags if flag is not None]
        statement = ast.Contraction(
            name,
            indices,
            sizes,
            agg,
            body,
            tuple(constraints),
            # Both flags may be repeated; PlaidML takes the last default.
            default=defaults[-1] if defaults else None,
            no_defract=None in flags,
            attributes=tuple(attributes),
            output_span=output_span,
            span=self._span(start, end),
        )
        self._refuse_depth(statement)
        return statement

    def _refuse_depth(self, statement: ast.Statement) -> None:
        for root in roots(statement):
            if depth(root) > MAX_NESTING:
                raise LimitError(
                    f"an expression nests more than {MAX_NESTING} levels deep",
                    root.span,
                    help="split it into several statements",
                )

    def attribute(self, values: list[Any], start: int, end: int) -> ast.Attribute:
        """``[[name]]`` or ``[[name(args)]]``."""
        args: list[str] = values[3] if len(values) > 3 else []
        return ast.Attribute(_plain(values[1]), tuple(args), self._span(start, end))

    def output_scalar(
        self, values: list[Any], start: int, end: int
    ) -> tuple[str, tuple[ast.Expr, ...], tuple[ast.Expr, ...] | None, Span]:
        """``name[]`` or ``name[:]``."""
        return _plain(values[0]), (), (), self._span(start, end)

    def output_unsized(
        self, values: list[Any], start: int, end: int
    ) -> tuple[str, tuple[ast.Expr, ...], tuple[ast.Expr, ...] | None, Span]:
        """``name[indices]``."""
        return _plain(values[0]), tuple(values[2]), None, self._span(start, end)

    def output(
        self, values: list[Any], start: int, end: int
    ) -> tuple[str, tuple[ast.Expr, ...], tuple[ast.Expr, ...] | None, Span]:
        """``name[indices : sizes]``."""
        return _plain(values[0]), tuple(values[2]), tuple(values[4]), self._span(start, end)

    def aggregation(self, values: list[Any], _start: int, _end: int) -> Aggregation:
        """The mark in front of an aggregation's parentheses."""
        return Aggregation(values[0])

    def triple(self, values: list[Any], start: int, end: int) -> ast.Conditional:
        """``test ? then`` in an aggregation.

        Between three plain reads PlaidML accepts ``+`` and ``*`` for ``==`` and means ``==``.
        """
        test, _, then = values
        match test:
            case ast.Binary(op="+" | "*", left=ast.Access(), right=ast.Access()) if isinstance(
                then, ast.Access
            ):
                test = replace(test, op="==")
            case _:
                pass
        return ast.Conditional(test, then, None, parenthesised=False, span=self._span(start, end))

    def constraint(self, values: list[Any], start: int, end: int) -> ast.Constraint:
        """``form < bound``."""
        return ast.Constraint(values[0], values[2], self._span(start, end))

    def no_defract(self, _values: list[Any], _start: int, _end: int) -> None:
        """The flag ``no_defract``."""

    def default(self, values: list[Any], _start: int, end: int) -> ast.Name:
        """``default name``."""
        return ast.Name(_plain(values[1]), self._span(end - len(values[1]), end))

    # Expressions

    def conditional(self, values: list[Any], start: int, end: int) -> ast.Conditional:
        """``test ? then : otherwise``."""
        test, _, then, _, otherwise = values
        return ast.Conditional(
            test, then, otherwise, parenthesised=False, span=self._span(start, end)
        )

    def binary(self, values: list[Any], start: int, end: int) -> ast.Binary:
        """``left op right``."""
        left, op, right = values
        return ast.Binary(op, left, right, self._span(start, end))

    def unary(self, values: list[Any], start: int, end: int) -> ast.Unary:
        """``op arg``."""
        op, arg = values
        return ast.Unary(op, arg, self._span(start, end))

    def parenthesised(self, values: list[Any], _start: int, _end: int) -> ast.Expr:
        """``(expr)``: the tree has the shape, so only a conditional remembers it."""
        inner: ast.Expr = values[1]
        return replace(inner, parenthesised=True) if isinstance(inner, ast.Conditional) else inner

    def integer(self, values: list[Any], start: int, end: int) -> ast.IntLiteral:
        """A decimal integer."""
        text: str = values[0]
        digits = text.lstrip("0") or "0"
        if len(digits) > _MAX_DIGITS or int(digits) > _MAX_INT:
            raise TileSyntaxError(
                "an integer beyond 64 bits",
                self._span(start, end),
                help=f"the largest is {_MAX_INT}; write a float such as 1e20 for larger numbers",
            )
        return ast.IntLiteral(int(digits), self._span(start, end))

    def float(self, values: list[Any], start: int, end: int) -> ast.FloatLiteral:
        """A float."""
        text: str = values[0]
        return ast.FloatLiteral(float(text), text, self._span(start, end))

    def name(self, values: list[Any], start: int, end: int) -> ast.Name:
        """A tensor, size or scalar."""
        return ast.Name(_plain(values[0]), self._span(start, end))

    def index(self, values: list[Any], start: int, end: int) -> ast.Index:
        """An index variable."""
        return ast.Index(_plain(values[0]), self._span(start, end))

    def multiple(self, values: list[Any], start: int, end: int) -> ast.Binary:
        """``2i`` for ``2*i``."""
        factor, index = values
        left = self.integer([factor], start, start + len(factor))
        right = self.index([index], end - len(index), end)
        return ast.Binary("*", left, right, self._span(start, end))

    def access_scalar(self, values: list[Any], start: int, end: int) -> ast.Access:
        """``name[]``."""
        return ast.Access(_plain(values[0]), (), self._span(start, end))

    def access(self, values: list[Any], start: int, end: int) -> ast.Access:
        """``name[indices]``."""
        return ast.Access(_plain(values[0]), tuple(values[2]), self._span(start, end))

    def call_empty(self, values: list[Any], start: int, end: int) -> ast.Call:
        """``function()``."""
        return ast.Call(values[0], (), self._span(start, end))

    def call(self, values: list[Any], start: int, end: int) -> ast.Call:
        """``function(args)``."""
        return ast.Call(values[0], tuple(values[2]), self._span(start, end))


def _plain(text: str) -> str:
    """A name without the mark that escapes it."""
    return text[1:] if text[0] in "#$" else text


_DTYPE_SPELLING: Final = re.compile(r"(float|fp|f|bfloat|bf|int|i|uint|ui|u|bool(?:ean)?)(\d*)_?t?")
_DTYPE_FAMILY: Final = {
    "float": "f",
    "fp": "f",
    "bfloat": "bf",
    "int": "i",
    "uint": "u",
    "ui": "u",
    "boolean": "bool",
}


def _dtype_meant(name: str) -> str | None:
    """The dtype that other languages spell ``name``."""
    named = {"half": "f16", "single": "f32", "double": "f64", "float": "f32", "int": "i32"}
    folded = name.lower()
    found = _DTYPE_SPELLING.fullmatch(folded)
    if folded in named or found is None:
        return named.get(folded)
    guess = _DTYPE_FAMILY.get(found[1], found[1]) + found[2]
    return guess if guess in BY_NAME else None
