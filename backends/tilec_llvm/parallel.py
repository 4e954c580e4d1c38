"""Parallel loops as functions that the pool calls with ranges of iterations.

A parallel loop becomes two functions. The *body* is the loop itself, with everything it uses as
parameters, so that LLVM knows of its pointers what it knows of the kernel's. The *range* has the
signature that the pool calls; it takes those values out of a context, which the kernel fills on its
stack, and calls the body for its range of iterations.

Only outermost parallel loops are divided; one inside another runs serially.

Scratch: a buffer that a single parallel loop names, and nothing else does, is private: every
thread has its own, whose contents are undefined when an iteration begins. So is a register
buffer of several parallel loops. Any other buffer is one piece of memory for all threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tilec.errors import InternalError
from tilec.kernel.ir import (
    Apply,
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
)

DECLARATION = "declare void @tilec_parallel(ptr, ptr, i64, i32) nounwind\n"
"""See ``pool_ir.py``."""


@dataclass(slots=True)
class Uses:
    """Names that statements mention, in the order in which they first do.

    With ``divided`` the bodies of parallel loops are left out.
    """

    divided: bool = False
    variables: dict[str, None] = field(default_factory=dict[str, None])
    buffers: dict[str, None] = field(default_factory=dict[str, None])

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
                if not (self.divided and stmt.kind is LoopKind.PARALLEL):
                    self.block(stmt.body)
            case If():
                self._expr(stmt.condition)
                self.block(stmt.then)
                self.block(stmt.otherwise)
            case Store():
                self.buffers[stmt.buffer] = None
                self._exprs(stmt.index, stmt.value, stmt.mask)
            case Prefetch():
                self.buffers[stmt.buffer] = None
                self._expr(stmt.index)
            case Let():
                self._expr(stmt.value)

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
            case Ramp():
                self._expr(expr.start)


def parallel_loops(body: Sequence[Stmt]) -> Iterator[For]:
    """The outermost parallel loops."""
    for stmt in body:
        if isinstance(stmt, For) and stmt.kind is LoopKind.PARALLEL:
            yield stmt
        elif isinstance(stmt, For):
            yield from parallel_loops(stmt.body)
        elif isinstance(stmt, If):
            yield from parallel_loops(stmt.then)
            yield from parallel_loops(stmt.otherwise)


def private_buffers(kernel: Kernel) -> frozenset[str]:
    """Scratch buffers of which every thread has its own."""
    inside = [Uses().block(loop.body).buffers for loop in parallel_loops(kernel.body)]
    outside = Uses(divided=True).block(kernel.body).buffers
    private: set[str] = set()
    for buffer in kernel.locals:
        loops = sum(buffer.name in buffers for buffers in inside)
        if buffer.scope is Scope.REGISTER and loops and buffer.name in outside:
            raise InternalError(
                f"{kernel.name}: the register buffer {buffer.name} crosses a parallel loop"
            )
        if loops and buffer.name not in outside and (loops == 1 or buffer.scope is Scope.REGISTER):
            private.add(buffer.name)
    return frozenset(private)


@dataclass(frozen=True, slots=True)
class Capture:
    """A value that a parallel loop takes from the kernel around it.

    Attributes:
        kind: Its LLVM type.
        operand: Its name in the kernel.
        name: Its name as a parameter of the body.
        attributes: What is known of the parameter.
    """

    kind: str
    operand: str
    name: str
    attributes: str = ""

    @property
    def parameter(self) -> str:
        """As the body declares it."""
        return " ".join(part for part in (self.kind, self.attributes, self.name) if part)


@dataclass(frozen=True, slots=True)
class Context:
    """How captures travel through memory."""

    captures: tuple[Capture, ...]

    @property
    def kind(self) -> str:
        """LLVM type of the context."""
        return "{ " + ", ".join(capture.kind for capture in self.captures) + " }"

    def fill(self, pointer: str) -> list[str]:
        """Instructions of the kernel that write all captures."""
        lines: list[str] = []
        for at, capture in enumerate(self.captures):
            lines.append(f"  {pointer}.{at}.at = {self._member(pointer, at)}")
            lines.append(f"  store {capture.kind} {capture.operand}, ptr {pointer}.{at}.at")
        return lines

    def range_function(
        self, name: str, body: str, start: str, step: int, scratch_bytes: int
    ) -> str:
        """The function that the pool calls.

        Args:
            name: Its symbol.
            body: Symbol of the body, whose parameters are the captures, the loop variable's first
                value and the value before which it ends, and private scratch memory.
            start: The loop's first value: a number, or the name of a capture.
            step: The loop's step.
            scratch_bytes: Size of one thread's scratch memory; the first begins at the last
                capture.
        """
        lines: list[str] = []
        for at, capture in enumerate(self.captures):
            lines.append(f"  %context.{at}.at = {self._member('%context', at)}")
            lines.append(f"  {capture.name} = load {capture.kind}, ptr %context.{at}.at")
        *passed, scratch = self.captures
        arguments = [f"{capture.kind} {capture.name}" for capture in passed]
        arguments += ["i64 %range.first", "i64 %range.last", "ptr %range.scratch"]
        lines += [
            f"  %range.skipped = mul nsw i64 %begin, {step}",
            f"  %range.first = add nsw i64 {start}, %range.skipped",
            f"  %range.reached = mul nsw i64 %end, {step}",
            f"  %range.last = add nsw i64 {start}, %range.reached",
            "  %range.number = zext i32 %worker to i64",
            f"  %range.offset = mul nuw nsw i64 %range.number, {scratch_bytes}",
            f"  %range.scratch = getelementptr inbounds i8, ptr {scratch.name}, i64 %range.offset",
            f"  call void {body}({', '.join(arguments)})",
            "  ret void",
        ]
        head = f"define internal void {name}(ptr %context, i64 %begin, i64 %end, i32 %worker) #1 {{"
        return "\n".join([head, *lines, "}", ""])

    def _member(self, pointer: str, at: int) -> str:
        return f"getelementptr inbounds {self.kind}, ptr {pointer}, i64 0, i32 {at}"
