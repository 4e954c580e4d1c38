"""The abstract syntax of Tile: what was written, with a span on every node.

Index expressions and value expressions share one family of nodes; where each may stand is checked
in ``lang/check.py``. Spans do not take part in comparison, so a program equals its reprint.
"""

from __future__ import annotations

from dataclasses import field
from typing import TypeAlias

from tilec.records import dataclass
from tilec.source import Span
from tilec.tensor.ir import Aggregation


@dataclass(frozen=True, slots=True)
class IntLiteral:
    """A decimal integer."""

    value: int
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class FloatLiteral:
    """A float; ``text`` keeps the digits as written, so that printing loses nothing."""

    value: float
    text: str = field(compare=False)
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Name:
    """A tensor, size or scalar by name (upper case, or escaped by ``#`` in the text)."""

    name: str
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Index:
    """An index variable (lower case, or escaped by ``$``); it lives for one statement."""

    name: str
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Access:
    """``name[indices]`` inside an aggregation; no indices for a rank-0 tensor or a size."""

    name: str
    indices: tuple[Expr, ...]
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """``function(args)``: a builtin, or another function of the file."""

    function: str
    args: tuple[Expr, ...]
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Unary:
    """``op arg`` with ``-`` or ``~``."""

    op: str
    arg: Expr
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Binary:
    """``left op right``."""

    op: str
    left: Expr
    right: Expr
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Conditional:
    """``test ? then : otherwise``; ``otherwise`` is None in the triple of a contraction.

    ``parenthesised`` says that this conditional stood in parentheses: the left-associative chain
    of ``?:`` is linted only where it did not.
    """

    test: Expr
    then: Expr
    otherwise: Expr | None
    parenthesised: bool = field(compare=False)
    span: Span = field(compare=False)


Expr: TypeAlias = (
    IntLiteral | FloatLiteral | Name | Index | Access | Call | Unary | Binary | Conditional
)


@dataclass(frozen=True, slots=True)
class Attribute:
    """``[[name(args)]]`` before a statement."""

    name: str
    args: tuple[str, ...]
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Constraint:
    """``form < bound``; the point must also satisfy ``0 <= form`` and be integral."""

    form: Expr
    bound: Expr
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Contraction:
    """``name[indices : sizes] = agg(body), constraints default D no_defract``.

    ``sizes`` is None where the text leaves them out to be inferred (``C[i,j] = ...``); it is the
    empty tuple for a rank-0 output.
    """

    name: str
    indices: tuple[Expr, ...]
    sizes: tuple[Expr, ...] | None
    agg: Aggregation
    body: Expr
    constraints: tuple[Constraint, ...]
    default: Name | None
    no_defract: bool
    attributes: tuple[Attribute, ...]
    output_span: Span = field(compare=False)
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Assignment:
    """``name = value``."""

    name: str
    value: Expr
    attributes: tuple[Attribute, ...]
    span: Span = field(compare=False)


Statement: TypeAlias = Contraction | Assignment


@dataclass(frozen=True, slots=True)
class InputDecl:
    """An input of the header.

    ``dims`` is None for any rank (or a number), else one entry per axis: a size name (``Name``)
    or a literal size (``IntLiteral``). ``dtype`` is the Tile name of a dtype if one was given.
    """

    name: str
    dims: tuple[Name | IntLiteral, ...] | None
    dtype: str | None
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Function:
    """One function. ``name`` is None where the text gives none.

    ``bare`` says that the text had no header: inputs and outputs were inferred, and they stand
    here as if they had been written.
    """

    name: str | None
    inputs: tuple[InputDecl, ...]
    outputs: tuple[Name, ...]
    body: tuple[Statement, ...]
    bare: bool = field(compare=False)
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class File:
    """Functions in order of the text. The last one is the entry point unless one is named."""

    functions: tuple[Function, ...]
    span: Span = field(compare=False)
