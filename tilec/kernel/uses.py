"""What statements name, and which scratch buffers every thread has for itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field
from typing import Final

from tilec.errors import InternalError
from tilec.kernel.ir import (
    Apply,
    Barrier,
    Const,
    Expr,
    Fold,
    For,
    If,
    Kernel,
    Let,
    Load,
    LoopKind,
    Prefetch,
    Ramp,
    Scope,
    Splat,
    Stmt,
    Store,
    Var,
    Zip,
)
from tilec.records import dataclass

DIVIDED: Final = (LoopKind.PARALLEL, LoopKind.GROUP)
"""Kinds of loops whose iterations run side by side."""


@dataclass(slots=True)
class Uses:
    """Names that statements mention, in the order in which they first do.

    With ``divided`` the bodies of parallel loops are left out. ``stores`` are the buffers that are
    written.
    """

    divided: bool = False
    variables: dict[str, None] = field(default_factory=dict[str, None])
    buffers: dict[str, None] = field(default_factory=dict[str, None])
    stores: dict[str, None] = field(default_factory=dict[str, None])

    def block(self, body: Sequence[Stmt]) -> Uses:
        """Add the names of some statements."""
        for stmt in body:
            self._stmt(stmt)
        return self

    def _stmt(self, stmt: Stmt) -> None:
        match stmt:
            case For():
                self._expr(stmt.start)
                self._expr(stmt.stop)
                if not (self.divided and stmt.kind in DIVIDED):
                    self.block(stmt.body)
            case If():
                self._expr(stmt.condition)
                self.block(stmt.then)
                self.block(stmt.otherwise)
            case Store():
                self.buffers[stmt.buffer] = self.stores[stmt.buffer] = None
                self._exprs(stmt.index, stmt.value, stmt.mask)
            case Prefetch():
                self.buffers[stmt.buffer] = None
                self._expr(stmt.index)
            case Let():
                self._expr(stmt.value)
            case Barrier():
                pass

    def _exprs(self, *exprs: Expr | None) -> None:
        for expr in exprs:
            if expr is not None:
                self._expr(expr)

    def _expr(self, expr: Expr) -> None:
        match expr:
            case Const():
                pass
            case Var():
                self.variables[expr.name] = None
            case Load():
                self.buffers[expr.buffer] = None
                self._exprs(expr.index, expr.mask)
            case Apply():
                self._exprs(*expr.args)
            case Splat() | Fold():
                self._expr(expr.arg)
            case Zip():
                self._exprs(expr.first, expr.second)
            case Ramp():
                self._expr(expr.start)


def parallel_loops(body: Sequence[Stmt]) -> Iterator[For]:
    """The outermost parallel loops."""
    for stmt in body:
        if isinstance(stmt, For) and stmt.kind in DIVIDED:
            yield stmt
        elif isinstance(stmt, For):
            yield from parallel_loops(stmt.body)
        elif isinstance(stmt, If):
            yield from parallel_loops(stmt.then)
            yield from parallel_loops(stmt.otherwise)


def private_buffers(kernel: Kernel) -> frozenset[str]:
    """Scratch buffers of which every thread has its own, undefined when an iteration begins.

    They are those that one parallel loop names, and nothing outside it, and the register and local
    buffers of several parallel loops.

    Raises:
        InternalError: a register or local buffer is used both inside and outside a parallel loop.
    """
    inside = [Uses().block(loop.body).buffers for loop in parallel_loops(kernel.body)]
    outside = Uses(divided=True).block(kernel.body).buffers
    private: set[str] = set()
    for buffer in kernel.locals:
        loops = sum(buffer.name in buffers for buffers in inside)
        always = buffer.scope is not Scope.CACHE
        if always and loops and buffer.name in outside:
            raise InternalError(
                f"{kernel.name}: the {buffer.scope.value} buffer {buffer.name} crosses a parallel "
                "loop"
            )
        if loops and buffer.name not in outside and (loops == 1 or always):
            private.add(buffer.name)
    return frozenset(private)
