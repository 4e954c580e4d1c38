"""A small expression builder: Python operators that write LLVM IR, lane by lane.

A formula takes and returns ``Value``; each operator appends one instruction to the ``Code`` that
its operands belong to. Python numbers become constants of the type they meet, rounded to it once.
Names are numbered in order of creation, so equal formulas give equal text.

Division is IEEE division, comparisons are false when an operand is NaN (``differs`` is true), and
nothing is ever contracted or reassociated: what is written is what is rounded.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import field, replace
from typing import Final

from tilec.errors import InternalError
from tilec.records import dataclass

HORNER_LIMIT: Final = 5
"""Polynomials of more coefficients are evaluated in parts that do not wait for each other."""

_REGISTER_BITS: Final = 512

INLINE_LIMIT: Final = 36
"""Functions of at most this many operations are always inlined: those that a loop of its own calls
without end, whose constants then stay in registers, and what lives across the call.

Of longer ones there is one copy, which saves time to compile; a call costs little beside the body.
"""

PURE: Final = "nounwind willreturn memory(none)"
"""Attributes of all functions here: equal calls may be merged, unused ones dropped."""


@dataclass(frozen=True, slots=True)
class Type:
    """A scalar (one lane) or vector.

    ``kind`` is ``f`` for floats, ``i`` for integers, ``b`` for conditions, ``p`` for addresses.
    """

    kind: str
    bits: int
    lanes: int

    @property
    def element(self) -> str:
        """LLVM name of one lane's type."""
        if self.kind == "f":
            return {32: "float", 64: "double"}[self.bits]
        if self.kind == "p":
            return "ptr"
        return f"i{self.bits}"

    @property
    def suffix(self) -> str:
        """How overloaded intrinsics spell this type."""
        element = f"{'f' if self.kind == 'f' else 'i'}{self.bits}"
        return element if self.lanes == 1 else f"v{self.lanes}{element}"

    def constant(self, value: float) -> str:
        """``value`` in every lane, as LLVM prints it."""
        text = self._scalar(value)
        return text if self.lanes == 1 else f"splat ({self.element} {text})"

    def _scalar(self, value: float) -> str:
        if self.kind != "f":
            wrapped = int(value) & ((1 << self.bits) - 1)
            return str(wrapped - (1 << self.bits) if wrapped >> (self.bits - 1) else wrapped)
        rounded = struct.unpack("<f", struct.pack("<f", value))[0] if self.bits == 32 else value
        return f"0x{struct.unpack('<Q', struct.pack('<d', rounded))[0]:016X}"

    def __str__(self) -> str:
        return self.element if self.lanes == 1 else f"<{self.lanes} x {self.element}>"


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
class Code:
    """The function that is being written.

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


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """An SSA value or constant of a function under construction."""

    code: Code
    type: Type
    text: str

    @property
    def typed(self) -> str:
        """Type and name, as most instructions want their first operand."""
        return f"{self.type} {self.text}"

    def of(self, other: Operand) -> Value:
        """``other`` as an operand beside this value: numbers become constants of its type."""
        if isinstance(other, Value):
            if other.type != self.type:
                raise InternalError(f"operands of types {self.type} and {other.type} meet")
            return other
        return Value(self.code, self.type, self.type.constant(other))

    def _binary(self, float_op: str, int_op: str, other: Operand) -> Value:
        op = float_op if self.type.kind == "f" else int_op
        return self.code.emit(self.type, f"{op} {self.typed}, {self.of(other).text}")

    def __add__(self, other: Operand) -> Value:
        return self._binary("fadd", "add", other)

    def __radd__(self, other: float) -> Value:
        return self.of(other) + self

    def __sub__(self, other: Operand) -> Value:
        return self._binary("fsub", "sub", other)

    def __rsub__(self, other: float) -> Value:
        return self.of(other) - self

    def __mul__(self, other: Operand) -> Value:
        return self._binary("fmul", "mul", other)

    def __rmul__(self, other: float) -> Value:
        return self.of(other) * self

    def __truediv__(self, other: Operand) -> Value:
        return self._binary("fdiv", "sdiv", other)

    def __rtruediv__(self, other: float) -> Value:
        return self.of(other) / self

    def __neg__(self) -> Value:
        if self.type.kind == "f":
            return self.code.emit(self.type, f"fneg {self.typed}")
        return self.of(0) - self

    def __and__(self, other: Operand) -> Value:
        return self._binary("and", "and", other)

    def __or__(self, other: Operand) -> Value:
        return self._binary("or", "or", other)

    def __xor__(self, other: Operand) -> Value:
        return self._binary("xor", "xor", other)

    def __invert__(self) -> Value:
        return self ^ -1

    def __lshift__(self, count: int | Value) -> Value:
        return self._binary("shl", "shl", count)

    def __rshift__(self, count: int) -> Value:
        """Shift that copies the sign."""
        return self._binary("ashr", "ashr", count)

    def shift_right(self, count: int | Value) -> Value:
        """Shift that brings in zeros."""
        return self._binary("lshr", "lshr", count)

    def _compare(self, float_predicate: str, int_predicate: str, other: Operand) -> Value:
        result = Type("b", 1, self.type.lanes)
        is_float = self.type.kind == "f"
        op = f"fcmp {float_predicate}" if is_float else f"icmp {int_predicate}"
        return self.code.emit(result, f"{op} {self.typed}, {self.of(other).text}")

    def __lt__(self, other: Operand) -> Value:
        return self._compare("olt", "slt", other)

    def __le__(self, other: Operand) -> Value:
        return self._compare("ole", "sle", other)

    def __gt__(self, other: Operand) -> Value:
        return self._compare("ogt", "sgt", other)

    def __ge__(self, other: Operand) -> Value:
        return self._compare("oge", "sge", other)

    def equals(self, other: Operand) -> Value:
        """Equal; false when an operand is NaN."""
        return self._compare("oeq", "eq", other)

    def differs(self, other: Operand) -> Value:
        """Not equal; true when an operand is NaN."""
        return self._compare("une", "ne", other)

    def is_nan(self) -> Value:
        """True where this is NaN."""
        return self._compare("uno", "ne", self)

    def convert(self, op: str, result: Type) -> Value:
        """A cast instruction of LLVM."""
        return self.code.emit(result, f"{op} {self.typed} to {result}")

    def bits(self) -> Value:
        """The bits of a float, as an integer."""
        return self.convert("bitcast", Type("i", self.type.bits, self.type.lanes))

    def as_float(self) -> Value:
        """The float that has the bits of this integer."""
        return self.convert("bitcast", Type("f", self.type.bits, self.type.lanes))

    def to_float(self, bits: int | None = None) -> Value:
        """This signed integer, or float of another width, rounded to a float."""
        width = self.type.bits if bits is None else bits
        result = Type("f", width, self.type.lanes)
        if self.type.kind != "f":
            return self.convert("sitofp", result)
        return self.convert("fpext" if width > self.type.bits else "fptrunc", result)

    def to_width(self, bits: int) -> Value:
        """This integer in another width, cut or filled with zeros."""
        op = "zext" if bits > self.type.bits else "trunc"
        return self.convert(op, Type("i", bits, self.type.lanes))


Operand = Value | float
"""What stands beside a value in a formula."""


def _intrinsic(name: str, *operands: Value) -> Value:
    kind = operands[0].type
    listed = ", ".join(value.typed for value in operands)
    return operands[0].code.emit(kind, f"call {kind} @llvm.{name}.{kind.suffix}({listed})")


def fma(a: Value, b: Operand, c: Operand) -> Value:
    """``a * b + c``, rounded once."""
    return _intrinsic("fma", a, a.of(b), a.of(c))


def sqrt(x: Value) -> Value:
    """The square root, correctly rounded."""
    return _intrinsic("sqrt", x)


def magnitude(x: Value) -> Value:
    """``|x|``."""
    return _intrinsic("fabs", x)


def truncate(x: Value) -> Value:
    """``x`` rounded toward zero to a whole number."""
    return _intrinsic("trunc", x)


def with_sign(x: Value, sign: Value) -> Value:
    """``|x|`` with the sign of ``sign``."""
    return _intrinsic("copysign", x, sign)


def sign_of(x: Value) -> Value:
    """The sign bit of a float as the highest bit of an integer; the others are 0."""
    return x.bits() & (-1 << (x.type.bits - 1))


def negated(x: Value, sign: Value) -> Value:
    """``-x`` where ``sign``, which is as from ``sign_of``, has its highest bit set."""
    return (x.bits() ^ sign).as_float()


def select(test: Value, yes: Operand, no: Operand) -> Value:
    """``yes`` where ``test`` holds, elsewhere ``no``; one of them is a value."""
    if isinstance(yes, Value):
        first, second = yes, yes.of(no)
    elif isinstance(no, Value):
        first, second = no.of(yes), no
    else:
        raise InternalError("a select between two numbers has no type")
    kind = first.type
    operands = f"{test.typed}, {first.typed}, {second.typed}"
    return test.code.emit(kind, f"select {operands}")


def clamp(x: Value, low: float | None, high: float | None) -> Value:
    """``x`` between ``low`` and ``high``; NaN stays NaN."""
    if low is not None:
        x = select(x < low, low, x)
    if high is not None:
        x = select(x > high, high, x)
    return x


def polynomial(x: Value, coefficients: tuple[float, ...]) -> Value:
    """``sum(coefficients[i] * x**i)``.

    Short ones by Horner's rule. Long ones by Estrin's scheme: halves are evaluated side by side
    and joined by powers of x, since a processor cannot look ahead far enough to fill the waits of
    one long chain with the next vector's work.
    """
    powers = {1: x}
    while 2 * max(powers) < len(coefficients):
        largest = max(powers)
        powers[2 * largest] = powers[largest] * powers[largest]
    return _estrin(powers, coefficients)


def _estrin(powers: dict[int, Value], coefficients: tuple[float, ...]) -> Value:
    if len(coefficients) <= HORNER_LIMIT:
        x = powers[1]
        total = x.of(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            total = fma(x, total, coefficient)
        return total
    half = max(power for power in powers if power < len(coefficients))
    high = _estrin(powers, coefficients[half:])
    return fma(powers[half], high, _estrin(powers, coefficients[:half]))


def has_avx512(x: Value) -> bool:
    """Whether ``scaled`` and ``limited`` can be used: for whole registers of AVX-512."""
    return x.code.avx512 and x.type.lanes * x.type.bits % _REGISTER_BITS == 0


def scaled(x: Value, n: Value) -> Value:
    """``x * 2**n`` for a whole n of any size, rounded once. Needs AVX-512."""
    return _in_registers("scalef", x, n, lambda one, two, mask: f"{one}, {two}, {one}, {mask}")


def limited(x: Value, most: float) -> Value:
    """A magnitude of at most ``most`` with the sign of x, a number even for NaN. Needs AVX-512."""
    # The smaller magnitude (2) with the sign of the first operand (0).
    return _in_registers(
        "range", x, x.of(most), lambda one, two, mask: f"{one}, {two}, i32 2, {one}, {mask}"
    )


def _in_registers(
    name: str, x: Value, y: Value, arguments: Callable[[str, str, str], str]
) -> Value:
    """An instruction of AVX-512 on one register after the other."""
    lanes = _REGISTER_BITS // x.type.bits
    kind = replace(x.type, lanes=lanes)
    intrinsic = f"@llvm.x86.avx512.mask.{name}.{'ps' if x.type.bits == 32 else 'pd'}.512"
    mask = f"i{lanes} -1, i32 4"  # all lanes, rounded as usual
    parts: list[Value] = []
    for start in range(0, x.type.lanes, lanes):
        one, two = (
            operand if operand.type == kind else shuffled(operand, operand, start, lanes)
            for operand in (x, y)
        )
        listed = arguments(one.typed, two.typed, mask)
        parts.append(x.code.emit(kind, f"call {kind} {intrinsic}({listed})"))
    while len(parts) > 1:
        if len(parts) % 2:
            raise InternalError(f"{x.type} is no power of two of registers")
        pairs = zip(parts[::2], parts[1::2], strict=True)
        parts = [shuffled(low, high, 0, 2 * low.type.lanes) for low, high in pairs]
    return parts[0]


def shuffled(low: Value, high: Value, start: int, lanes: int) -> Value:
    """``lanes`` neighbours of two vectors that lie behind each other."""
    chosen = ", ".join(f"i32 {lane}" for lane in range(start, start + lanes))
    text = f"shufflevector {low.typed}, {high.typed}, <{lanes} x i32> <{chosen}>"
    return low.code.emit(replace(low.type, lanes=lanes), text)


def any_lane(test: Value) -> Value:
    """One condition: whether ``test`` holds in some lane."""
    if test.type.lanes == 1:
        return test
    name = f"llvm.vector.reduce.or.v{test.type.lanes}i1"
    return test.code.emit(Type("b", 1, 1), f"call i1 @{name}({test.typed})")


def leading_zeros(x: Value) -> Value:
    """Zero bits above the highest one of an integer that is not 0."""
    return x.code.emit(x.type, f"call {x.type} @llvm.ctlz.{x.type.suffix}({x.typed}, i1 true)")


def struct_of(types: Iterable[Type]) -> str:
    """LLVM's name of a struct."""
    return "{ " + ", ".join(map(str, types)) + " }"


def rarely(
    test: Value, usual: tuple[Value, ...], callee: Definition, *args: Value
) -> tuple[Value, ...]:
    """``usual``, but what ``callee(*args)`` returns (as a struct) when any lane needs it."""
    code = test.code
    code.requires.append(callee)
    rare, join, before = code.label("rare"), code.label("join"), code.block
    flag = any_lane(test)
    expected = code.emit(flag.type, f"call i1 @llvm.expect.i1({flag.typed}, i1 false)")
    code.lines.append(f"  br {expected.typed}, label %{rare}, label %{join}")
    code.open_block(rare)
    struct = struct_of(value.type for value in usual)
    result = code.name()
    listed = ", ".join(value.typed for value in args)
    code.lines.append(f"  {result} = call {struct} @{callee.symbol}({listed})")
    parts = [
        code.emit(value.type, f"extractvalue {struct} {result}, {position}")
        for position, value in enumerate(usual)
    ]
    code.lines.append(f"  br label %{join}")
    code.open_block(join)
    return tuple(
        code.emit(old.type, f"phi {old.type} [ {old.text}, %{before} ], [ {new.text}, %{rare} ]")
        for old, new in zip(usual, parts, strict=True)
    )


def repeat(state: Value, step: Callable[[Value], tuple[Value, Value]]) -> Value:
    """Apply ``step`` once, and again while any lane of its second result holds."""
    code = state.code
    before, label, done = code.block, code.label("loop"), code.label("done")
    code.lines.append(f"  br label %{label}")
    code.open_block(label)
    current = Value(code, state.type, code.name())
    position = len(code.lines)
    following, again = step(current)
    flag = any_lane(again)
    arms = f"[ {state.text}, %{before} ], [ {following.text}, %{code.block} ]"
    code.lines.insert(position, f"  {current.text} = phi {state.type} {arms}")
    code.lines.append(f"  br {flag.typed}, label %{label}, label %{done}")
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
    code = Code(avx512=avx512)
    values = tuple(Value(code, kind, f"%a{position}") for position, kind in enumerate(operands))
    found = formula(*values)
    results = found if isinstance(found, tuple) else (found,)
    returned, kind = results[0].text, str(results[0].type)
    if len(results) > 1:
        kind, returned = struct_of(value.type for value in results), "poison"
        for position, value in enumerate(results):
            name = code.name()
            code.lines.append(
                f"  {name} = insertvalue {kind} {returned}, {value.typed}, {position}"
            )
            returned = name
    size = sum(" shufflevector " not in line for line in code.lines)
    inline = "alwaysinline " if size <= INLINE_LIMIT else ""
    listed = ", ".join(value.typed for value in values)
    head = f"define internal {kind} @{symbol}({listed}) {attributes or inline}{PURE}"
    body = "\n".join((*code.lines, f"  ret {kind} {returned}"))
    return Definition(symbol, f"{head} {{\n{body}\n}}\n", tuple(code.requires))
