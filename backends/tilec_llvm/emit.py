"""A module of kernels as the text of one LLVM module.

The entry point is ``void NAME(ptr args, ptr workspace)``; ``args`` is an array of pointers: the
inputs, the outputs, then the large constants, which travel beside the object code. Every kernel
is a function of its own, whose pointers do not alias as far as memory is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tilec.errors import InternalError
from tilec.kernel.ir import (
    INDEX,
    Buffer,
    Call,
    ConstantData,
    Expr,
    For,
    If,
    Kernel,
    Let,
    LoopKind,
    Module,
    Scope,
    Stmt,
    Store,
)
from tilec_llvm import expressions, memory
from tilec_llvm.expressions import Names
from tilec_llvm.math import Definition
from tilec_llvm.memory import Place
from tilec_llvm.types import stored
from tilec_llvm.writer import Abilities, Value, Writer, known_index

STACK_BYTES = 16 << 10
"""Larger scratch buffers of a kernel lie in the workspace."""

INLINE_CONSTANT_BYTES = 4 << 10
"""Smaller constants are part of the code, where LLVM can see their values."""

ALIGN = 64
"""Alignment of the workspace, of constants and of scratch buffers: a cache line."""

MAX_UNROLLED = 4096
"""Iterations of an UNROLL loop that are written out; more than that is a mistake."""

_ATTRIBUTES = (
    'attributes #0 = { noinline nounwind "no-builtins" "prefer-vector-width"="512" }\n'
    'attributes #1 = { nounwind "no-builtins" "prefer-vector-width"="512" }\n'
)


@dataclass(frozen=True, slots=True)
class Emitted:
    """The text of a module and what running it takes.

    Attributes:
        text: LLVM IR.
        workspace_bytes: Workspace, scratch buffers of the kernels included.
        constants: Bytes of the constants whose addresses follow those of the outputs.
    """

    text: str
    workspace_bytes: int
    constants: tuple[bytes, ...]


def emit_module(module: Module, abilities: Abilities) -> Emitted:
    """Print a module."""
    functions: list[str] = []
    definitions: dict[str, Definition] = {}
    loops = _Metadata()
    scratch = 0
    for kernel in module.kernels:
        writer = _KernelWriter(kernel, loops, abilities)
        functions.append(writer.function(_aligned_params(module, kernel)))
        definitions.update(writer.code.definitions)
        scratch = max(scratch, writer.scratch_bytes)
    base = _round_up(module.workspace_bytes)
    small = tuple(c for c in module.constants if len(c.data) <= INLINE_CONSTANT_BYTES)
    large = tuple(c for c in module.constants if len(c.data) > INLINE_CONSTANT_BYTES)
    text = "\n".join(
        [
            "".join(f"{_constant(item)}\n" for item in small),
            *(item.text for item in definitions.values()),
            *functions,
            _entry(module, large, base),
            _ATTRIBUTES,
            *loops.lines,
            "",
        ]
    )
    return Emitted(text, base + scratch, tuple(item.data for item in large))


@dataclass(slots=True)
class _Metadata:
    """Loop metadata, numbered through the module."""

    lines: list[str] = field(default_factory=list[str])

    def loop(self) -> str:
        """A node that keeps LLVM's own vectoriser away: kernel IR has its vectors already."""
        if not self.lines:
            self.lines.append('!0 = !{!"llvm.loop.vectorize.enable", i1 false}')
        number = len(self.lines)
        self.lines.append(f"!{number} = distinct !{{!{number}, !0}}")
        return f"!{number}"


class _KernelWriter:
    """Writes one kernel."""

    def __init__(self, kernel: Kernel, loops: _Metadata, abilities: Abilities) -> None:
        self.kernel = kernel
        self.loops = loops
        self.code = Writer(abilities)
        self.scratch_bytes = 0
        self.places: dict[str, Place] = {}

    def function(self, aligned: frozenset[int]) -> str:
        """The definition of the kernel."""
        params: list[str] = []
        for position, buffer in enumerate(self.kernel.params):
            name = self.code.fresh(buffer.name)
            self.places[buffer.name] = Place(buffer, name)
            params.append(f"{_param(buffer, aligned=position in aligned)} {name}")
        params.append(f"ptr noalias align {ALIGN} %scratch")
        for buffer in self.kernel.locals:
            self.places[buffer.name] = Place(buffer, self._scratch(buffer))
        self._block(self.kernel.body, {})
        header = "".join(f"; {line}\n" for line in self.kernel.header)
        body = "\n".join(self.code.lines)
        name = _quoted(self.kernel.name)
        return (
            f"{header}define internal void {name}({', '.join(params)}) #0 {{\n"
            f"entry:\n{body}\n  ret void\n}}\n"
        )

    def _scratch(self, buffer: Buffer) -> str:
        if buffer.scope is Scope.GLOBAL or buffer.low != 0:
            raise InternalError(f"{self.kernel.name}: {buffer.name} is no scratch buffer")
        name = self.code.fresh(buffer.name)
        kind = stored(buffer.type)
        size = buffer.type.dtype.bytes * buffer.type.lanes * buffer.high
        if buffer.scope is Scope.REGISTER or size <= STACK_BYTES:
            self.code.lines.append(
                f"  {name} = alloca [{max(1, buffer.high)} x {kind}], align {ALIGN}"
            )
            return name
        self.code.lines.append(
            f"  {name} = getelementptr inbounds i8, ptr %scratch, i64 {self.scratch_bytes}"
        )
        self.scratch_bytes = _round_up(self.scratch_bytes + size)
        return name

    def _block(self, body: tuple[Stmt, ...], values: Mapping[str, Value]) -> None:
        known = dict(values)
        for stmt in body:
            match stmt:
                case Let():
                    known[stmt.var.name] = self._value(stmt.value, known)
                case Store():
                    self._store(stmt, known)
                case If():
                    self._if(stmt, known)
                case For():
                    self._for(stmt, known)

    def _value(self, expr: Expr, values: Mapping[str, Value]) -> Value:
        return expressions.emit(self.code, Names(self.places, values), expr)

    def _store(self, stmt: Store, values: Mapping[str, Value]) -> None:
        index = self._value(stmt.index, values)
        value = self._value(stmt.value, values)
        mask = None if stmt.mask is None else self._value(stmt.mask, values)
        memory.store(self.code, self.places[stmt.buffer], index, value, stmt.stride, mask)

    def _if(self, stmt: If, values: Mapping[str, Value]) -> None:
        code = self.code
        condition = self._value(stmt.condition, values)
        if condition.text in ("true", "false"):
            self._block(stmt.then if condition.text == "true" else stmt.otherwise, values)
            return
        then, join = code.label("then"), code.label("join")
        otherwise = code.label("else") if stmt.otherwise else join
        code.do(f"br {condition.typed}, label %{then}, label %{otherwise}")
        for label, body in ((then, stmt.then), (otherwise, stmt.otherwise)):
            if label == join:
                continue
            code.open(label)
            with code.region():
                self._block(body, values)
            code.do(f"br label %{join}")
        code.open(join)

    def _for(self, loop: For, values: Mapping[str, Value]) -> None:
        """A loop whose test stands at its end, behind a guard where it may run not at all."""
        code = self.code
        start, stop = self._value(loop.start, values), self._value(loop.stop, values)
        if start.known is not None and stop.known is not None:
            trips = range(start.known, stop.known, loop.step)
            if len(trips) == 0:
                return
            if len(trips) == 1 or loop.kind is LoopKind.UNROLL:
                self._unrolled(loop, trips, values)
                return
        head, done = code.label("loop"), code.label("done")
        if start.known is None or stop.known is None:
            runs = code.pure(f"icmp slt {start.typed}, {stop.text}")
            code.do(f"br i1 {runs}, label %{head}, label %{done}")
        else:
            code.do(f"br label %{head}")
        before = code.block
        code.open(head)
        variable, following = code.fresh(loop.var), code.fresh(f"{loop.var}.next")
        at = len(code.lines)
        with code.region():
            self._block(loop.body, {**values, loop.var: Value(variable, INDEX)})
            code.do(f"{following} = add nsw i64 {variable}, {loop.step}")
            again = code.pure(f"icmp slt i64 {following}, {stop.text}")
            node = self.loops.loop()
            code.do(f"br i1 {again}, label %{head}, label %{done}, !llvm.loop {node}")
        entering = f"[ {start.text}, %{before} ], [ {following}, %{code.block} ]"
        code.lines.insert(at, f"  {variable} = phi i64 {entering}")
        code.open(done)

    def _unrolled(self, loop: For, trips: range, values: Mapping[str, Value]) -> None:
        if len(trips) > MAX_UNROLLED:
            raise InternalError(
                f"{self.kernel.name}: loop {loop.var} of {len(trips)} iterations is to be unrolled"
            )
        for trip in trips:
            self._block(loop.body, {**values, loop.var: known_index(trip)})


def _entry(module: Module, large: tuple[ConstantData, ...], scratch_at: int) -> str:
    """The function that the runner calls."""
    lines = [f"define void {_quoted(module.name)}(ptr readonly %args, ptr %workspace) #1 {{"]
    pointers: dict[str, str] = {}
    passed = (*module.inputs, *module.outputs, *(item.buffer for item in large))
    for position, buffer in enumerate(passed):
        name = f"%arg.{position}"
        lines.append(f"  {name}.at = getelementptr inbounds ptr, ptr %args, i64 {position}")
        lines.append(f"  {name} = load ptr, ptr {name}.at, align 8")
        pointers[buffer.name] = name
    for position, temporary in enumerate(module.temporaries):
        name = f"%temporary.{position}"
        offset = temporary.offset_bytes
        lines.append(f"  {name} = getelementptr inbounds i8, ptr %workspace, i64 {offset}")
        pointers[temporary.buffer.name] = name
    for item in module.constants:
        pointers.setdefault(item.buffer.name, _constant_name(item))
    lines.append(f"  %scratch = getelementptr inbounds i8, ptr %workspace, i64 {scratch_at}")
    for call in module.calls:
        listed = [f"ptr {pointers[name]}" for name in call.args]
        listed.append("ptr %scratch")
        lines.append(f"  call void {_quoted(call.kernel)}({', '.join(listed)})")
    return "\n".join([*lines, "  ret void", "}", ""])


def _aligned_params(module: Module, kernel: Kernel) -> frozenset[int]:
    """Positions that only temporaries and constants are passed in: those are aligned."""
    held = {item.buffer.name for item in module.constants}
    held |= {t.buffer.name for t in module.temporaries if t.offset_bytes % ALIGN == 0}
    calls: list[Call] = [call for call in module.calls if call.kernel == kernel.name]
    return frozenset(
        position
        for position in range(len(kernel.params))
        if all(call.args[position] in held for call in calls)
    )


def _param(buffer: Buffer, *, aligned: bool) -> str:
    parts = ["ptr noalias" if buffer.writable else "ptr noalias readonly"]
    parts.append(f"align {ALIGN if aligned else buffer.type.dtype.bytes}")
    if buffer.low == 0 and buffer.high > 0:
        parts.append(f"dereferenceable({buffer.high * buffer.type.dtype.bytes})")
    return " ".join(parts)


def _constant(item: ConstantData) -> str:
    data = "".join(f"\\{byte:02X}" for byte in item.data)
    kind = f"[{len(item.data)} x i8]"
    return f'{_constant_name(item)} = private unnamed_addr constant {kind} c"{data}", align {ALIGN}'


def _constant_name(item: ConstantData) -> str:
    return _quoted(f"constant.{item.buffer.name}")


def _quoted(name: str) -> str:
    escaped = "".join(
        chr(byte) if chr(byte).isalnum() or chr(byte) in "_.-$" else f"\\{byte:02X}"
        for byte in name.encode("ascii", "backslashreplace")
    )
    return f'@"{escaped}"'


def _round_up(size: int) -> int:
    return -(-size // ALIGN) * ALIGN
