"""Spread: every loop around a kernel whose iterations are independent is divided among items.

A device wants thousands of items. Which loops may be divided is not known from what wrote them but
proved: a loop is marked where ``verify`` finds no two iterations that meet. Loops are tried from
the outside in, as long as nothing stands between them; lanes of vectors are iterations like others.

Before: ``for i { for j { B[i * 9 + j] = A[i * 9 + j] } }``. After: both loops are ``parallel for``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from tilec.kernel.ir import For, If, Kernel, LoopKind, Prefetch, Stmt
from tilec.kernel.verify import is_right
from tilec.records import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """The pass."""

    name: ClassVar[str] = "spread"

    def apply(self, kernel: Kernel) -> Kernel:
        """Mark the loops of a kernel."""
        kernel = replace(kernel, body=_without_lanes(kernel.body))
        for at in range(len(kernel.body)):
            depth = 0
            while True:
                body = _marked(kernel.body[at], depth)
                if body is None:
                    break
                tried = replace(kernel, body=(*kernel.body[:at], body, *kernel.body[at + 1 :]))
                if not is_right(tried):
                    break
                kernel, depth = tried, depth + 1
        return kernel


def _without_lanes(body: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
    """Loops that were to become lanes as plain ones; devices fetch by themselves."""
    return tuple(_plain(stmt) for stmt in body if not isinstance(stmt, Prefetch))


def _plain(stmt: Stmt) -> Stmt:
    match stmt:
        case For():
            kind = LoopKind.SERIAL if stmt.kind is LoopKind.VECTOR else stmt.kind
            return replace(stmt, kind=kind, body=_without_lanes(stmt.body))
        case If():
            then, otherwise = _without_lanes(stmt.then), _without_lanes(stmt.otherwise)
            return replace(stmt, then=then, otherwise=otherwise)
        case _:
            return stmt


def _marked(stmt: Stmt, depth: int) -> Stmt | None:
    """A nest whose loop at some depth is divided; None where there is no such loop."""
    if not isinstance(stmt, For) or stmt.kind not in (LoopKind.SERIAL, LoopKind.PARALLEL):
        return None
    if depth == 0:
        return replace(stmt, kind=LoopKind.PARALLEL)
    if len(stmt.body) != 1:
        return None
    inner = _marked(stmt.body[0], depth - 1)
    return None if inner is None else replace(stmt, body=(inner,))
