"""Where an access lies: its offset, split into the parts that change in one loop each.

An offset such as ``y * 864 + c - 832`` becomes a chain of addresses, from the part that changes in
the outermost loop to the constant. Each is computed once, outside the loops in which it does not
change, and accesses that differ by a constant share all but the last.
"""

from __future__ import annotations

from collections.abc import Callable

from tilec.kernel.ir import INDEX, Apply, Const, Expr
from tilec_llvm.memory import Place
from tilec_llvm.types import stored
from tilec_llvm.writer import Value, Writer, known_index

Emit = Callable[[Expr], Value]


def located(writer: Writer, emit: Emit, place: Place, offset: Expr) -> tuple[Place, Value]:
    """The buffer as seen from an address inside, and the offset from there.

    Args:
        writer: The function under construction.
        emit: Writes an expression.
        place: The buffer.
        offset: Element offset in it, for one lane.
    """
    if isinstance(offset, Const):
        return place, known_index(int(offset.value))
    terms: dict[str, int] = {}
    const = _collect(offset, 1, emit, terms)
    levels: dict[int, list[str]] = {}
    for name, factor in terms.items():
        if factor:
            levels.setdefault(writer.depth(name), []).append(_product(writer, name, factor))
    pointer, unit = place.pointer, stored(place.buffer.type)
    # The first access decides from where the constants of all count: those of neighbours are small.
    origin = writer.origins.setdefault((pointer, *terms.items()), const) if len(levels) > 1 else 0
    for depth in sorted(levels):
        if depth == max(levels) and pointer != place.pointer:
            if origin:
                pointer = writer.pure(f"getelementptr {unit}, ptr {pointer}, i64 {origin}")
            pointer = _hidden(writer, pointer)
        total, *others = levels[depth]
        for other in others:
            total = writer.pure(f"add i64 {total}, {other}")
        pointer = writer.pure(f"getelementptr {unit}, ptr {pointer}, i64 {total}")
    return place.at(pointer), known_index(const - origin)


def _collect(expr: Expr, factor: int, emit: Emit, terms: dict[str, int]) -> int:
    """Add ``factor * expr`` to the terms, by their names; returns the constant part."""
    match expr:
        case Const():
            return factor * int(expr.value)
        case Apply(op="add" | "sub", args=(left, right)):
            first = _collect(left, factor, emit, terms)
            second = factor if expr.op == "add" else -factor
            return first + _collect(right, second, emit, terms)
        case Apply(op="mul", args=(left, Const(value=value))) if expr.type == INDEX:
            return _collect(left, factor * int(value), emit, terms)
        case _:
            value = emit(expr)
            if value.known is not None:
                return factor * value.known
            terms[value.text] = terms.get(value.text, 0) + factor
            return 0


def _product(writer: Writer, name: str, factor: int) -> str:
    return name if factor == 1 else writer.pure(f"mul i64 {name}, {factor}")


def _hidden(writer: Writer, pointer: str) -> str:
    """The same address, of which LLVM does not know how it comes about.

    Else its loop strength reduction breaks up the sums of all outer loops again and tries their
    parts in tens of thousands of combinations for every inner loop, which took half of the time
    to compile a convolution and changed nothing.
    """
    return writer.pure(f'call ptr asm "", "=r,0"(ptr {pointer})')
