"""Parallel loops as functions that the pool calls with ranges of iterations.

A parallel loop becomes two functions. The *body* is the loop itself, with everything it uses as
parameters, so that LLVM knows of its pointers what it knows of the kernel's. The *range* has the
signature that the pool calls; it takes those values out of a context, which the kernel fills on its
stack, and calls the body for its range of iterations.

Only outermost parallel loops are divided; one inside another runs serially.

Scratch that is private has a place per thread; ``tilec/kernel/uses.py`` says which is.
"""

from __future__ import annotations

from tilec.records import dataclass

DECLARATION = "declare void @tilec_parallel(ptr, ptr, i64, i32) nounwind\n"
"""See ``pool_ir.py``."""


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
