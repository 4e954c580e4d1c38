"""Expressions of kernel IR as LLVM values."""

from __future__ import annotations

from collections.abc import Mapping

from tilec.errors import InternalError
from tilec.kernel.ir import Apply, Const, Expr, Fold, Load, Ramp, Splat, Var, Zip
from tilec.records import dataclass
from tilec_llvm import address, arithmetic, memory
from tilec_llvm.memory import Place
from tilec_llvm.types import constant_vector, literal, vector
from tilec_llvm.writer import Value, Writer


@dataclass(frozen=True, slots=True)
class Names:
    """What names mean at one place of a kernel: buffers, loop variables, named values."""

    places: Mapping[str, Place]
    values: Mapping[str, Value]


def emit(writer: Writer, names: Names, expr: Expr) -> Value:
    """Write the instructions of an expression."""
    match expr:
        case Const():
            known = int(expr.value) if expr.type.dtype.is_integer else None
            return Value(literal(expr.value, expr.type), expr.type, known)
        case Var():
            if expr.name not in names.values:
                raise InternalError(f"{expr.name} is used before it is defined")
            return names.values[expr.name]
        case Load():
            place, index = locate(writer, names, expr.buffer, expr.index)
            mask = None if expr.mask is None else emit(writer, names, expr.mask)
            return memory.load(writer, place, index, expr.type, expr.stride, mask)
        case Apply():
            args = [emit(writer, names, arg) for arg in expr.args]
            return arithmetic.apply(writer, expr.op, args, expr.type)
        case Splat():
            return memory.spread(writer, emit(writer, names, expr.arg), expr.type.lanes)
        case Ramp():
            return _ramp(writer, emit(writer, names, expr.start), expr)
        case Fold():
            return arithmetic.fold(writer, expr.op, emit(writer, names, expr.arg))
        case Zip():
            pair = emit(writer, names, expr.first), emit(writer, names, expr.second)
            lanes, start = expr.type.lanes, expr.type.lanes // 2 if expr.upper else 0
            chosen = [start + lane // 2 + lane % 2 * lanes for lane in range(lanes)]
            return arithmetic.shuffle(writer, *pair, chosen)


def locate(writer: Writer, names: Names, buffer: str, index: Expr) -> tuple[Place, Value]:
    """Where an access lies: a buffer, or an address inside, and the offset from there."""
    place = names.places[buffer]
    if index.type.lanes > 1:
        return place, emit(writer, names, index)
    return address.located(writer, lambda part: emit(writer, names, part), place, index)


def _ramp(writer: Writer, start: Value, expr: Ramp) -> Value:
    kind = expr.type
    steps = [literal(lane * expr.stride, start.type) for lane in range(kind.lanes)]
    if kind.lanes == 1:
        return start
    lanes = constant_vector(steps, start.llvm)
    if start.known == 0:
        return Value(lanes, kind)
    wide = memory.spread(writer, start, kind.lanes)
    return Value(writer.pure(f"add {vector(start.llvm, kind.lanes)} {wide.text}, {lanes}"), kind)
