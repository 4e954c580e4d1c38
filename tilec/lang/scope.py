"""The names of one function while it is checked, and the mistakes found in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from difflib import get_close_matches

from tilec.errors import Collector, NameResolutionError, TileTypeError, UserError
from tilec.lang import ast
from tilec.lang.checked import Checked
from tilec.lang.kinds import UNKNOWN, Kind
from tilec.records import dataclass
from tilec.source import Span


@dataclass(frozen=True, slots=True)
class SizeUse:
    """An expression whose number must be known when sizes are bound, and what it is there."""

    expr: ast.Expr
    place: str


@dataclass(slots=True)
class Scope:
    """What the checks of one function share.

    Attributes:
        function: The function.
        collector: Where mistakes go.
        functions: All functions of the file by name; None for those in which mistakes were found.
        later: Where names are defined that no statement so far has defined.
        kinds: Kind of each name defined so far.
        defined: Where each of them was defined, and as what.
        values: The right-hand side of each assignment so far.
        sizes: Names that the header gives to sizes.
        expr_kinds: Kind of each checked expression, by identity.
        size_uses: Expressions that must be known when sizes are bound, in order.
        accessed: First access of each name, with its number of indices.
        called: Functions of the file that are called.
    """

    function: ast.Function
    collector: Collector
    functions: Mapping[str, Checked | None]
    later: dict[str, Span]
    kinds: dict[str, Kind] = field(default_factory=dict[str, Kind])
    defined: dict[str, tuple[Span, str]] = field(default_factory=dict[str, tuple[Span, str]])
    values: dict[str, ast.Expr] = field(default_factory=dict[str, ast.Expr])
    sizes: list[str] = field(default_factory=list[str])
    expr_kinds: dict[int, Kind] = field(default_factory=dict[int, Kind])
    size_uses: list[SizeUse] = field(default_factory=list[SizeUse])
    accessed: dict[str, tuple[int, Span]] = field(default_factory=dict[str, tuple[int, Span]])
    called: dict[str, Checked] = field(default_factory=dict[str, Checked])

    def error(
        self, kind: type[UserError], message: str, span: Span, help: str | None = None
    ) -> None:
        """Record a mistake."""
        self.collector.add(kind, message, span, help=help)

    def type_error(self, message: str, span: Span, help: str | None = None) -> Kind:
        """Record a mistake about kinds, ranks or dtypes; the poisoned kind."""
        self.error(TileTypeError, message, span, help)
        return UNKNOWN

    def define(self, name: str, kind: Kind, span: Span, what: str) -> None:
        """Give a name its one meaning, or record that it has one already."""
        self.later.pop(name, None)
        if name not in self.defined:
            self.kinds[name] = kind
            self.defined[name] = (span, what)
            return
        first, was = self.defined[name]
        if what == "a value":
            since = "was assigned" if was == what else f"is {was}, defined"
            message = f"reassignment to {name}, which {since} at line {first.line}"
        else:
            message = f"{name} is defined as {what}, but it is already {was} (line {first.line})"
        self.error(
            NameResolutionError,
            message,
            span,
            "a name means one thing throughout a function; choose another name here",
        )
        self.kinds[name] = UNKNOWN

    def lookup(self, name: str, span: Span) -> Kind:
        """Kind of a name; an unknown one is told once and then taken as poisoned."""
        if name in self.kinds:
            return self.kinds[name]
        self.kinds[name] = UNKNOWN
        if name in self.later:
            message = f"{name} is used before line {self.later[name].line} defines it"
            help = "move the definition up: statements run in the order of the text"
        else:
            message = f"unknown name {name}"
            help = did_you_mean(name, self.kinds) or f"define {name} above, or add it to the inputs"
        self.error(NameResolutionError, message, span, help)
        return UNKNOWN

    def note(self, expr: ast.Expr, kind: Kind) -> Kind:
        """Remember the kind of an expression."""
        self.expr_kinds[id(expr)] = kind
        return kind

    def kind_of(self, expr: ast.Expr) -> Kind:
        """Kind of an expression that was checked before."""
        return self.expr_kinds.get(id(expr), UNKNOWN)


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """The help line that proposes the most similar known name, if one is similar."""
    candidates = [other for other in known if other != name]
    close = get_close_matches(name, candidates, n=1, cutoff=0.6)
    if not close:
        folded = {other.lower(): other for other in candidates}
        close = [folded[name.lower()]] if name.lower() in folded else []
    return f"did you mean {close[0]}?" if close else None
