"""Expressions of kernel IR as C, and the reads and writes of memory in them.

Offsets, bounds and guards are *index* arithmetic, which stays within the sizes of buffers: it is
written plainly, in ``int`` where all buffers are small enough. Everything else is data, whose
integers wrap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import gcd, prod
from typing import Final, TypeAlias

from tilec.dtypes import BOOL, I32, I64, U32, U64
from tilec.errors import InternalError
from tilec.kernel.ir import (
    INDEX,
    Apply,
    Const,
    Expr,
    Fold,
    Load,
    Prefetch,
    Ramp,
    Splat,
    Store,
    Var,
    VType,
    Zip,
)
from tilec.records import dataclass
from tilec_opencl.operations import COMPARES, INFIXES, Operations, Value
from tilec_opencl.spelling import LANES

_Offset: TypeAlias = "Callable[[int, str], str]"
"""Spells the offset of a lane from its number and its name."""

_DIVISIONS: Final = {"floor_div": "/", "floor_mod": "%"}


@dataclass(frozen=True, slots=True)
class Memory:
    """A buffer in the function being written.

    Attributes:
        name: Name of the pointer or array.
        type: Type of its elements.
        space: Qualifier of a pointer to it.
        is_single: It is a variable, not an array.
        in_registers: Its elements are values as registers hold them.
        aligned: Bytes to which its first element is aligned.
    """

    name: str
    type: VType
    space: str
    is_single: bool = False
    in_registers: bool = False
    aligned: int = 1


@dataclass(frozen=True, slots=True)
class Names:
    """What names mean at one place of a kernel.

    Attributes:
        operations: Spells operations.
        memory: The buffers.
        values: Loop variables and named values.
        index: The type of index arithmetic.
    """

    operations: Operations
    memory: Mapping[str, Memory]
    values: Mapping[str, Value]
    index: str

    def emit(self, expr: Expr) -> Value:
        """An expression as data."""
        match expr:
            case Const():
                return self.operations.constant(expr.value, expr.type)
            case Var():
                return self._var(expr)
            case Load():
                return self._load(expr)
            case Apply():
                args = [self.emit(arg) for arg in expr.args]
                return self.operations.apply(expr.op, args, expr.type)
            case Splat():
                return self._splat(self.emit(expr.arg), expr.type)
            case Ramp():
                return self._ramp(expr)
            case Fold():
                return self.operations.fold(expr.op, self.emit(expr.arg))
            case Zip():
                return self._zip(expr)

    def position(self, expr: Expr) -> Value:
        """An expression as index arithmetic."""
        match expr:
            case Const(type=VType(lanes=1)):
                return _number(int(expr.value))
            case Var():
                return self._found(expr)
            # What was read from memory may be anything: it is brought within bounds as data.
            case Apply() if expr.type == INDEX and len(expr.args) == 2 and _is_index(expr):
                left, right = map(self.position, expr.args)
                folded = self.operations.folded(expr.op, [left, right])
                if folded is not None:
                    return folded if folded.known is None else _number(folded.known)
                if expr.op in INFIXES:
                    text = f"({left.text} {INFIXES[expr.op]} {right.text})"
                    is_natural = left.is_natural and right.is_natural and expr.op != "sub"
                    return Value(text, INDEX, is_natural=is_natural)
                return self._narrow(expr.op, left, right)
            case _:
                value = self.emit(expr)
                if value.type == INDEX and self.index == "int":
                    return Value(f"(int){value.text}", INDEX, value.known)
                return value

    def _narrow(self, op: str, left: Value, right: Value) -> Value:
        """``min``, ``max`` and divisions, of ints where indices are ints."""
        divisor = right.known if op in _DIVISIONS else None
        is_natural = left.is_natural and right.is_natural
        if divisor is not None and divisor & (divisor - 1) == 0:
            value = self.operations.apply(op, [left, right], INDEX)
        elif divisor is not None and is_natural:
            # Unsigned division by a constant is a multiplication, without a correction behind it.
            unsigned = self.operations.helpers.dialect.scalar(U32 if self.index == "int" else U64)
            text = f"({self.index})(({unsigned}){left.text} {_DIVISIONS[op]} {divisor})"
            value = Value(text, INDEX)
        elif self.index != "int":
            value = self.operations.apply(op, [left, right], INDEX)
        else:
            name = self.operations.helpers.function(op, I32)
            value = Value(f"{name}({left.text}, {right.text})", INDEX)
        some = op == "floor_mod" or (op == "max" and (left.is_natural or right.is_natural))
        return replace(value, is_natural=is_natural or some)

    def condition(self, expr: Expr) -> Value:
        """A scalar condition; comparisons in it are of indices."""
        if isinstance(expr, Apply) and expr.type == VType(BOOL):
            if expr.op in COMPARES and expr.args[0].type == INDEX:
                left, right = map(self.position, expr.args)
                if left.known is not None and right.known is not None:
                    return self.operations.apply(expr.op, [left, right], expr.type)
                return Value(f"({left.text} {COMPARES[expr.op]} {right.text})", expr.type)
            if expr.op in ("logical_and", "logical_or"):
                texts = [self.condition(arg).text for arg in expr.args]
                return Value(
                    f" {'&&' if expr.op == 'logical_and' else '||'} ".join(texts).join("()"),
                    expr.type,
                )
        return self.emit(expr)

    def mask(self, expr: Expr) -> Value:
        """The mask of an access."""
        return self.condition(expr) if expr.type.lanes == 1 else self.emit(expr)

    def _found(self, var: Var) -> Value:
        if var.name not in self.values:
            raise InternalError(f"{var.name} is used before it is defined")
        return self.values[var.name]

    def _var(self, var: Var) -> Value:
        value = self._found(var)
        if value.known is not None:
            return self.operations.constant(value.known, value.type)
        if value.type == INDEX and self.index == "int":
            long = self.operations.helpers.dialect.scalar(I64)
            return Value(f"({long}){value.text}", INDEX)
        return value

    def _splat(self, value: Value, kind: VType) -> Value:
        spelled = self.operations.helpers.dialect.register(kind)
        if kind.dtype == BOOL:
            return Value(f"({spelled})(-({value.text}))", kind)
        return Value(f"(({spelled})({value.text}))", kind, value.known)

    def _ramp(self, ramp: Ramp) -> Value:
        kind = ramp.type
        start = self.emit(ramp.start)
        if kind.lanes == 1:
            return start
        spelled = self.operations.helpers.dialect.register(kind)
        steps = ", ".join(str(lane * ramp.stride) for lane in range(kind.lanes))
        return Value(f"(({spelled})({start.text}) + ({spelled})({steps}))", kind)

    def _zip(self, pair: Zip) -> Value:
        first, second = self.emit(pair.first).text, self.emit(pair.second).text
        lanes = pair.type.lanes
        spelled = self.operations.helpers.dialect.register(pair.type)
        half = "hi" if pair.upper else "lo"
        name = f"tilec_zip_{half}_{pair.type.dtype}_x{lanes}"
        start = lanes // 2 if pair.upper else 0
        parts = ", ".join(f"{'ab'[lane % 2]}.s{LANES[start + lane // 2]}" for lane in range(lanes))
        text = f"{spelled} {name}({spelled} a, {spelled} b) {{ return ({spelled})({parts}); }}"
        self.operations.helpers.add(name, text)
        return Value(f"{name}({first}, {second})", pair.type)

    # Memory.

    def _load(self, load: Load) -> Value:
        held, kind = self.memory[load.buffer], load.type
        self.operations.helpers.dialect.register(kind)  # there may be no such vectors
        if held.is_single:
            return Value(held.name, kind)
        if held.type.lanes > 1 or (kind.lanes == 1 and load.index.type.lanes == 1):
            return self._scalar_load(held, load)
        if load.index.type.lanes > 1 or load.mask is not None or load.stride not in (0, 1):
            return self._scattered_load(held, load)
        at = self.position(load.index)
        if load.stride == 1 and self._is_plain(held, load):
            return self._vector_load(held, load, at)
        if load.stride == 0:
            return self._splat(self._element(held, at, VType(kind.dtype)), kind)
        text = f"vload{kind.lanes}(0, {_pointer(held, at)})"
        return Value(
            f"(convert_int{kind.lanes}({text}) != 0)" if kind.dtype == BOOL else text, kind
        )

    def _is_plain(self, held: Memory, access: Load | Store) -> bool:
        """Whether a vector is moved as a whole, or lane by lane in plain C."""
        kind = access.type if isinstance(access, Load) else access.value.type
        unmasked = access.mask is None and access.stride == 1 and access.index.type.lanes == 1
        if not unmasked or kind.lanes == 1 or kind.dtype == BOOL:
            return False
        is_cuda = self.operations.helpers.dialect.name == "cuda"
        return is_cuda or held.in_registers or self._is_aligned(held, access.index, kind)

    def _is_aligned(self, held: Memory, index: Expr, kind: VType) -> bool:
        size = kind.lanes * kind.dtype.bytes
        return held.aligned % size == 0 and self.multiple(index) % kind.lanes == 0

    def _vector_load(self, held: Memory, load: Load, at: Value) -> Value:
        kind, dialect = load.type, self.operations.helpers.dialect
        spelled = dialect.register(kind)
        if not held.in_registers and self._is_aligned(held, load.index, kind):
            return Value(f"*({held.space}const {spelled}*)({_pointer(held, at)})", kind)
        name = f"tilec_pack_{_place(held)}_{kind.dtype}_x{kind.lanes}"
        lanes = [f"p[{lane}]" for lane in range(kind.lanes)]
        head = f"{spelled} {name}({held.space}const {dialect.stored(kind.dtype)}* p)"
        self.operations.helpers.add(name, f"{head} {{ return {dialect.made(kind, lanes)}; }}")
        return Value(f"{name}({_pointer(held, at)})", kind)

    def _vector_store(self, held: Memory, stmt: Store, value: Value) -> str:
        kind, dialect = value.type, self.operations.helpers.dialect
        spelled, pointer = dialect.register(kind), _pointer(held, self.position(stmt.index))
        if not held.in_registers and self._is_aligned(held, stmt.index, kind):
            return f"*({held.space}{spelled}*)({pointer}) = {bare(value.text)};"
        name = f"tilec_unpack_{_place(held)}_{kind.dtype}_x{kind.lanes}"
        parts = [f"p[{lane}] = v{dialect.component(lane)};" for lane in range(kind.lanes)]
        head = f"void {name}({held.space}{dialect.stored(kind.dtype)}* p, {spelled} v)"
        self.operations.helpers.add(name, f"{head} {{ {' '.join(parts)} }}")
        return f"{name}({pointer}, {bare(value.text)});"

    def multiple(self, expr: Expr) -> int:
        """What divides an index; 0 for 0, which all numbers divide."""
        match expr:
            case Const():
                return abs(int(expr.value))
            case Var():
                value = self._found(expr)
                return value.multiple if value.known is None else abs(value.known)
            case Apply(op="add" | "sub"):
                return gcd(*map(self.multiple, expr.args))
            case Apply(op="mul"):
                return prod(map(self.multiple, expr.args))
            case Apply(op="floor_mod", args=(left, Const(value=divisor))):
                return gcd(self.multiple(left), int(divisor))
            case Apply(op="floor_div", args=(left, Const(value=divisor))):
                times, rest = divmod(self.multiple(left), int(divisor))
                return 1 if rest else times
            case _:
                return 1

    def _scalar_load(self, held: Memory, load: Load) -> Value:
        value = self._element(held, self.position(load.index), load.type)
        if load.mask is None:
            return value
        zero = self.operations.constant(0, load.type)
        mask = self.mask(load.mask)
        if load.type.lanes > 1:
            return self.operations.apply("cond", [mask, value, zero], load.type)
        return Value(f"({mask.text} ? {value.text} : {zero.text})", load.type)

    @staticmethod
    def _element(held: Memory, at: Value, kind: VType) -> Value:
        text = f"{held.name}[{bare(at.text)}]"
        is_byte = kind.dtype == BOOL and held.type.lanes == 1 and not held.in_registers
        return Value(f"({text} != 0)" if is_byte else text, kind)

    def _scattered_load(self, held: Memory, load: Load) -> Value:
        """Lanes that lie apart, or of which some are not to be read."""
        kind, lanes = load.type, load.type.lanes
        dialect = self.operations.helpers.dialect
        index, params, args = self._lanes(load.index, load.stride, held)
        test = ""
        if load.mask is not None:
            params.append(f"int{lanes} m")
            args.append(self.mask(load.mask).text)
        name = self._access_name("load", held, load, kind)
        element = dialect.stored(kind.dtype)
        body: list[str] = []
        for at, lane in enumerate(LANES[:lanes]):
            test = f"if (m.s{lane}) " if load.mask is not None else ""
            value = f"p[{index(at, lane)}]"
            body.append(
                f"  {test}r.s{lane} = {f'-({value} != 0)' if kind.dtype == BOOL else value};"
            )
        spelled = dialect.register(kind)
        head = f"{spelled} {name}({held.space}const {element}* p, {', '.join(params)}) {{"
        lines = [head, f"  {spelled} r = 0;", *body, "  return r;", "}"]
        self.operations.helpers.add(name, "\n".join(lines))
        return Value(f"{name}({', '.join(args)})", kind)

    def _lanes(
        self, index: Expr, stride: int, held: Memory
    ) -> tuple[_Offset, list[str], list[str]]:
        """Offsets of lanes in a function, its parameters after the pointer, and all arguments."""
        if index.type.lanes > 1:
            kind = self.operations.helpers.dialect.register(index.type)
            args = [held.name, self.emit(index).text]
            return (lambda at, lane: f"i.s{lane}"), [f"{kind} i"], args
        pointer = _pointer(held, self.position(index))
        return (lambda at, lane: f"{at} * s"), [f"{self.index} s"], [pointer, str(stride)]

    @staticmethod
    def _access_name(verb: str, held: Memory, access: Load | Store, kind: VType) -> str:
        space = _place(held)
        how = "gathered" if access.index.type.lanes > 1 else "strided"
        masked = "_masked" if access.mask is not None else ""
        return f"tilec_{verb}_{how}{masked}_{space}_{kind.dtype}_x{kind.lanes}"

    def store(self, stmt: Store) -> str:
        """The statement that writes to memory, without what goes before it."""
        held, value = self.memory[stmt.buffer], self.emit(stmt.value)
        kind = value.type
        if held.is_single:
            return f"{held.name} = {bare(value.text)};"
        guard = ""
        if held.type.lanes > 1 or (kind.lanes == 1 and stmt.index.type.lanes == 1):
            if stmt.mask is not None and held.type.lanes > 1:
                raise InternalError(f"a masked store into the register buffer {held.name}")
            if stmt.mask is not None:
                guard = f"if ({bare(self.mask(stmt.mask).text)}) "
            at = self.position(stmt.index)
            return f"{guard}{held.name}[{bare(at.text)}] = {bare(value.text)};"
        if self._is_plain(held, stmt):
            return self._vector_store(held, stmt, value)
        if kind.dtype == BOOL:
            bytes_ = f"convert_uchar{kind.lanes}({value.text} & 1)"
            value = Value(bytes_, kind)
        if stmt.index.type.lanes == 1 and stmt.mask is None and stmt.stride == 1:
            return self._whole_store(held, stmt, value)
        return self._scattered_store(held, stmt, value)

    def _whole_store(self, held: Memory, stmt: Store, value: Value) -> str:
        """A vector written to elements that need not be aligned to it."""
        kind, helpers = value.type, self.operations.helpers
        pointer, text = _pointer(held, self.position(stmt.index)), bare(value.text)
        if helpers.machine.is_gpu:
            return f"vstore{kind.lanes}({text}, 0, {pointer});"
        name = helpers.whole_store(held.space, kind, past_caches=stmt.nontemporal)
        return f"{name}({pointer}, {text});"

    def prefetch(self, stmt: Prefetch) -> str:
        """The statement that asks for a line which lies wherever."""
        at = self.position(stmt.index)
        macro = self.operations.helpers.ask()
        return f"{macro}({_pointer(self.memory[stmt.buffer], at)}, {int(stmt.to_write)})"

    def _scattered_store(self, held: Memory, stmt: Store, value: Value) -> str:
        kind, lanes = value.type, value.type.lanes
        dialect = self.operations.helpers.dialect
        index, params, args = self._lanes(stmt.index, stmt.stride, held)
        element = dialect.stored(kind.dtype)
        params.append(f"{element}{lanes} v")
        args.append(bare(value.text))
        if stmt.mask is not None:
            params.append(f"int{lanes} m")
            args.append(self.mask(stmt.mask).text)
        name = self._access_name("store", held, stmt, kind)
        body: list[str] = []
        for at, lane in enumerate(LANES[:lanes]):
            test = f"if (m.s{lane}) " if stmt.mask is not None else ""
            body.append(f"  {test}p[{index(at, lane)}] = v.s{lane};")
        head = f"void {name}({held.space}{element}* p, {', '.join(params)}) {{"
        self.operations.helpers.add(name, "\n".join([head, *body, "}"]))
        return f"{name}({', '.join(args)});"


def _number(known: int) -> Value:
    return Value(str(known), INDEX, known, is_natural=known >= 0)


def _is_index(expr: Expr) -> bool:
    """Whether an expression consists of loop variables and constants."""
    match expr:
        case Const() | Var():
            return expr.type == INDEX
        case Apply():
            return expr.type == INDEX and all(map(_is_index, expr.args))
        case _:
            return False


def _place(held: Memory) -> str:
    return "private" if held.in_registers else held.space.strip("_ ") or "memory"


def _pointer(held: Memory, at: Value) -> str:
    return held.name if at.known == 0 else f"{held.name} + {at.text}"


def bare(text: str) -> str:
    """Without the parentheses around all of it."""
    if not (text.startswith("(") and text.endswith(")")):
        return text
    depth = 0
    for at, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth == 0 and at < len(text) - 1:
            return text
    return text[1:-1]
