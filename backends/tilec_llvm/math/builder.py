"""Formulas as LLVM IR: one instruction for each operation, and what only LLVM is asked for.

Names are numbered in order of creation, so equal formulas give equal text.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import field, replace
from typing import Final

from tilec.errors import InternalError
from tilec.kernel.elementary.values import Type, Value
from tilec.records import dataclass

_REGISTER_BITS: Final = 512

INLINE_LIMIT: Final = 36
"""Functions of at most this many operations are always inlined: those that a loop of its own calls
without end, whose constants then stay in registers, and what lives across the call.

Of longer ones there is one copy, which saves time to compile; a call costs little beside the body.
"""

PURE: Final = "nounwind willreturn memory(none)"
"""Attributes of all functions here: equal calls may be merged, unused ones dropped."""

_ARITHMETIC: Final = {
    "add": ("fadd", "add"), "sub": ("fsub", "sub"), "mul": ("fmul", "mul"), "div": ("fdiv", "sdiv"),
    "and": ("and", "and"), "or": ("or", "or"), "xor": ("xor", "xor"),
    "shl": ("shl", "shl"), "ashr": ("ashr", "ashr"), "lshr": ("lshr", "lshr"),
}  # fmt: skip
_COMPARES: Final = {
    "lt": ("olt", "slt"), "le": ("ole", "sle"), "gt": ("ogt", "sgt"), "ge": ("oge", "sge"),
    "eq": ("oeq", "eq"), "ne": ("une", "ne"), "is_nan": ("uno", "ne"),
}  # fmt: skip
_INTRINSICS: Final = {"abs": "fabs"}


def element(kind: Type) -> str:
    """LLVM name of one lane's type."""
    if kind.kind == "f":
        return {32: "float", 64: "double"}[kind.bits]
    if kind.kind == "p":
        return "ptr"
    return "i1" if kind.kind == "b" else f"i{kind.bits}"


def spelled(kind: Type) -> str:
    """LLVM name of a type."""
    return element(kind) if kind.lanes == 1 else f"<{kind.lanes} x {element(kind)}>"


def suffix(kind: Type) -> str:
    """How overloaded intrinsics spell a type."""
    one = f"{'f' if kind.kind == 'f' else 'i'}{kind.bits}"
    return one if kind.lanes == 1 else f"v{kind.lanes}{one}"


def typed(value: Value) -> str:
    """Type and name, as most instructions want their first operand."""
    return f"{spelled(value.type)} {value.text}"


def constant(value: float, kind: Type) -> str:
    """``value`` in every lane, as LLVM prints it."""
    text = _scalar(value, kind)
    return text if kind.lanes == 1 else f"splat ({element(kind)} {text})"


def _scalar(value: float, kind: Type) -> str:
    if kind.kind != "f":
        bits = 1 if kind.kind == "b" else kind.bits
        wrapped = int(value) & ((1 << bits) - 1)
        return str(wrapped - (1 << bits) if wrapped >> (bits - 1) else wrapped)
    rounded = struct.unpack("<f", struct.pack("<f", value))[0] if kind.bits == 32 else value
    return f"0x{struct.unpack('<Q', struct.pack('<d', rounded))[0]:016X}"


@dataclass(frozen=True, slots=True)
class Definition:
    """A function or table of LLVM IR, and those that must stand in the same module.

    Intrinsics need no declaration: the IR parser declares them by name.

    Attributes:
        symbol: Global name without the ``@``.
        text: The whole definition; internal, so it vanishes where it is not used.
        requires: Definitions that the text refers to.
    """

    symbol: str
    text: str
    requires: tuple[Definition, ...] = ()

    def closure(self) -> tuple[Definition, ...]:
        """What is required, directly or not, then this; each symbol once."""
        found: dict[str, Definition] = {}
        for required in self.requires:
            found.update((item.symbol, item) for item in required.closure())
        found[self.symbol] = self
        return tuple(found.values())


@dataclass(slots=True)
class LlvmCode:
    """The function that is being written; see ``Code``.

    Attributes:
        lines: Its text.
        requires: What it refers to.
        block: Label of the block that is being written.
        avx512: Whether instructions of AVX-512 may be used.
    """

    lines: list[str] = field(default_factory=lambda: ["entry:"])
    requires: list[Definition] = field(default_factory=list[Definition])
    block: str = "entry"
    avx512: bool = False
    _count: int = 0

    def name(self) -> str:
        """A fresh local name."""
        self._count += 1
        return f"%v{self._count - 1}"

    def emit(self, result: Type, instruction: str) -> Value:
        """Append an instruction that yields ``result``."""
        value = Value(self, result, self.name())
        self.lines.append(f"  {value.text} = {instruction}")
        return value

    def open_block(self, label: str) -> None:
        """Continue in a new basic block; the current one has been terminated."""
        self.lines.append(f"{label}:")
        self.block = label

    def label(self, hint: str) -> str:
        """A fresh block label."""
        self._count += 1
        return f"{hint}{self._count - 1}"

    def constant(self, value: float, kind: Type) -> str:
        """See ``Code``."""
        return constant(value, kind)

    def apply(self, op: str, result: Type, *operands: Value) -> Value:
        """See ``Code``."""
        first = operands[0]
        is_float = first.type.kind == "f"
        if op in _COMPARES:
            name = f"fcmp {_COMPARES[op][0]}" if is_float else f"icmp {_COMPARES[op][1]}"
            return self.emit(result, f"{name} {typed(first)}, {operands[1].text}")
        if op in _ARITHMETIC:
            name = _ARITHMETIC[op][0 if is_float else 1]
            return self.emit(result, f"{name} {typed(first)}, {operands[1].text}")
        match op:
            case "neg":
                return self.emit(result, f"fneg {typed(first)}")
            case "not":
                return self.emit(result, f"xor {typed(first)}, {constant(-1, first.type)}")
            case "select":
                return self.emit(result, f"select {', '.join(map(typed, operands))}")
            case "bitcast" | "to_float" | "resize":
                name = _conversion(op, first.type, result)
                return self.emit(result, f"{name} {typed(first)} to {spelled(result)}")
            case _:
                listed = ", ".join(map(typed, operands))
                name = f"@llvm.{_INTRINSICS.get(op, op)}.{suffix(result)}"
                return self.emit(result, f"call {spelled(result)} {name}({listed})")

    def scales(self, kind: Type) -> bool:
        """See ``Code``: instructions of AVX-512 work on whole registers."""
        return self.avx512 and kind.lanes * kind.bits % _REGISTER_BITS == 0

    def scaled(self, x: Value, n: Value) -> Value:
        """See ``Code``."""
        return self._in_registers("scalef", x, n, lambda a, b, mask: f"{a}, {b}, {a}, {mask}")

    def limited(self, x: Value, most: float) -> Value:
        """See ``Code``."""
        # The smaller magnitude (2) with the sign of the first operand (0).
        return self._in_registers(
            "range", x, x.of(most), lambda a, b, mask: f"{a}, {b}, i32 2, {a}, {mask}"
        )

    def _in_registers(
        self, name: str, x: Value, y: Value, arguments: Callable[[str, str, str], str]
    ) -> Value:
        """An instruction of AVX-512 on one register after the other."""
        lanes = _REGISTER_BITS // x.type.bits
        kind = replace(x.type, lanes=lanes)
        intrinsic = f"@llvm.x86.avx512.mask.{name}.{'ps' if x.type.bits == 32 else 'pd'}.512"
        mask = f"i{lanes} -1, i32 4"  # all lanes, rounded as usual
        parts: list[Value] = []
        for start in range(0, x.type.lanes, lanes):
            one, two = (
                operand if operand.type == kind else self._shuffled(operand, operand, start, lanes)
                for operand in (x, y)
            )
            listed = arguments(typed(one), typed(two), mask)
            parts.append(self.emit(kind, f"call {spelled(kind)} {intrinsic}({listed})"))
        while len(parts) > 1:
            if len(parts) % 2:
                raise InternalError(f"{x.type} is no power of two of registers")
            pairs = zip(parts[::2], parts[1::2], strict=True)
            parts = [self._shuffled(low, high, 0, 2 * low.type.lanes) for low, high in pairs]
        return parts[0]

    def _shuffled(self, low: Value, high: Value, start: int, lanes: int) -> Value:
        """``lanes`` neighbours of two vectors that lie behind each other."""
        chosen = ", ".join(f"i32 {lane}" for lane in range(start, start + lanes))
        text = f"shufflevector {typed(low)}, {typed(high)}, <{lanes} x i32> <{chosen}>"
        return self.emit(replace(low.type, lanes=lanes), text)


def _conversion(op: str, source: Type, result: Type) -> str:
    """A cast instruction of LLVM."""
    if op == "bitcast":
        return op
    widens = result.bits > source.bits
    if op == "resize":
        return "zext" if widens else "trunc"
    if source.kind != "f":
        return "sitofp"
    return "fpext" if widens else "fptrunc"


def code_of(value: Value) -> LlvmCode:
    """The function that a value belongs to."""
    if not isinstance(value.code, LlvmCode):
        raise InternalError(f"{value.text} is a value of another language")
    return value.code


def any_lane(test: Value) -> Value:
    """One condition: whether ``test`` holds in some lane."""
    if test.type.lanes == 1:
        return test
    name = f"llvm.vector.reduce.or.v{test.type.lanes}i1"
    return code_of(test).emit(replace(test.type, lanes=1), f"call i1 @{name}({typed(test)})")


def leading_zeros(x: Value) -> Value:
    """Zero bits above the highest one of an integer that is not 0."""
    name = f"@llvm.ctlz.{suffix(x.type)}"
    return code_of(x).emit(x.type, f"call {spelled(x.type)} {name}({typed(x)}, i1 true)")


def struct_of(types: Iterable[Type]) -> str:
    """LLVM's name of a struct."""
    return "{ " + ", ".join(map(spelled, types)) + " }"


def rarely(
    test: Value, usual: tuple[Value, ...], callee: Definition, *args: Value
) -> tuple[Value, ...]:
    """``usual``, but what ``callee(*args)`` returns (as a struct) when any lane needs it."""
    code = code_of(test)
    code.requires.append(callee)
    rare, join, before = code.label("rare"), code.label("join"), code.block
    flag = any_lane(test)
    expected = code.emit(flag.type, f"call i1 @llvm.expect.i1({typed(flag)}, i1 false)")
    code.lines.append(f"  br {typed(expected)}, label %{rare}, label %{join}")
    code.open_block(rare)
    struct = struct_of(value.type for value in usual)
    result = code.name()
    listed = ", ".join(typed(value) for value in args)
    code.lines.append(f"  {result} = call {struct} @{callee.symbol}({listed})")
    parts = [
        code.emit(value.type, f"extractvalue {struct} {result}, {position}")
        for position, value in enumerate(usual)
    ]
    code.lines.append(f"  br label %{join}")
    code.open_block(join)
    return tuple(
        code.emit(
            old.type, f"phi {spelled(old.type)} [ {old.text}, %{before} ], [ {new.text}, %{rare} ]"
        )
        for old, new in zip(usual, parts, strict=True)
    )


def repeat(state: Value, step: Callable[[Value], tuple[Value, Value]]) -> Value:
    """Apply ``step`` once, and again while any lane of its second result holds."""
    code = code_of(state)
    before, label, done = code.block, code.label("loop"), code.label("done")
    code.lines.append(f"  br label %{label}")
    code.open_block(label)
    current = Value(code, state.type, code.name())
    position = len(code.lines)
    following, again = step(current)
    flag = any_lane(again)
    arms = f"[ {state.text}, %{before} ], [ {following.text}, %{code.block} ]"
    code.lines.insert(position, f"  {current.text} = phi {spelled(state.type)} {arms}")
    code.lines.append(f"  br {typed(flag)}, label %{label}, label %{done}")
    code.open_block(done)
    return following


def define(
    symbol: str,
    operands: tuple[Type, ...],
    formula: Callable[..., Value | tuple[Value, ...]],
    attributes: str = "",
    *,
    avx512: bool = False,
) -> Definition:
    """The function ``symbol`` that computes ``formula`` of its operands.

    Several results are returned as a struct.
    """
    code = LlvmCode(avx512=avx512)
    values = tuple(Value(code, kind, f"%a{position}") for position, kind in enumerate(operands))
    found = formula(*values)
    results = found if isinstance(found, tuple) else (found,)
    returned, kind = results[0].text, spelled(results[0].type)
    if len(results) > 1:
        kind, returned = struct_of(value.type for value in results), "poison"
        for position, value in enumerate(results):
            name = code.name()
            code.lines.append(
                f"  {name} = insertvalue {kind} {returned}, {typed(value)}, {position}"
            )
            returned = name
    size = sum(" shufflevector " not in line for line in code.lines)
    inline = "alwaysinline " if size <= INLINE_LIMIT else ""
    listed = ", ".join(typed(value) for value in values)
    head = f"define internal {kind} @{symbol}({listed}) {attributes or inline}{PURE}"
    body = "\n".join((*code.lines, f"  ret {kind} {returned}"))
    return Definition(symbol, f"{head} {{\n{body}\n}}\n", tuple(code.requires))
