"""Sizes of tensor axes: integers, or expressions over named size symbols.

A program that was bound to arrays holds integers only; one that was lowered from its header alone
(to derive a gradient, to print) holds symbols as well. The arithmetic is that of the language at
bind time: exact integers, a division that truncates toward zero.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TypeAlias

from tilec.errors import InternalError
from tilec.records import dataclass


@dataclass(frozen=True, slots=True)
class SizeExpr:
    """An unevaluated size.

    ``op`` is ``symbol`` (then ``name`` holds it), or one of ``add sub mul div mod neg max min
    exact_div broadcast cond cmp_*`` applied to ``args``. ``div`` truncates; ``exact_div`` is
    rational division and occurs in index expressions only. ``axes`` is no size: it stands for all
    axes of the input ``name``, whose rank the header leaves open.
    """

    op: str
    args: tuple[Size | Fraction, ...] = ()
    name: str = ""

    def __str__(self) -> str:
        if self.op in ("symbol", "axes"):
            return self.name if self.op == "symbol" else f"axes of {self.name}"
        return f"{self.op}({', '.join(str(arg) for arg in self.args)})"


Size: TypeAlias = int | SizeExpr
"""Extent of an axis, in elements."""

Coefficient: TypeAlias = Fraction | SizeExpr
"""Factor or constant term of an index expression."""


def symbol(name: str) -> SizeExpr:
    """The size that the header calls ``name``."""
    return SizeExpr("symbol", (), name)


def open_axes(name: str) -> SizeExpr:
    """All axes of an input that may have any rank."""
    return SizeExpr("axes", (), name)


def is_open(shape: tuple[Size, ...]) -> str | None:
    """Name of an input of open rank that a shape depends on; None for a shape of known rank."""
    pending: list[Size | Fraction] = [*shape]
    while pending:
        size = pending.pop()
        if isinstance(size, SizeExpr):
            if size.op == "axes":
                return size.name
            pending += size.args
    return None


def truncated_div(left: int, right: int) -> int:
    """Integer division toward zero, as sizes divide in Tile; ``right`` is not 0."""
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def concrete(sizes: tuple[Size, ...]) -> tuple[int, ...]:
    """The sizes as integers; an internal error when a symbol was left unbound."""
    result: list[int] = []
    for size in sizes:
        if not isinstance(size, int):
            raise InternalError(f"size {size} is not bound")
        result.append(size)
    return tuple(result)
