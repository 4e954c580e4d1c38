"""A module of kernels as the text of one LLVM module.

The entry point is ``void NAME(ptr args, ptr workspace)``; ``args`` is an array of pointers: the
inputs, the outputs, then the large constants, which travel beside the object code. Every kernel
is a function of its own, whose pointers do not alias as far as memory is written. A module with
parallel loops takes ``i32 threads`` besides, and calls ``tilec_parallel`` of ``pool_ir.py``.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping

from tilec.errors import InternalError
from tilec.kernel.ir import (
    INDEX,
    Barrier,
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
    Prefetch,
    Scope,
    Stmt,
    Store,
)
from tilec.kernel.uses import Uses, parallel_loops, private_buffers
from tilec.records import dataclass
from tilec_llvm import expressions, memory
from tilec_llvm.expressions import Names
from tilec_llvm.math import Definition
from tilec_llvm.memory import Place
from tilec_llvm.parallel import DECLARATION, Capture, Context
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


@dataclass(frozen=True, slots=True)
class Emitted:
    """The text of a module and what running it takes.

    Attributes:
        text: LLVM IR.
        workspace_bytes: Workspace, scratch buffers of the kernels included.
        constants: Bytes of the constants whose addresses follow those of the outputs.
        is_parallel: The entry point takes the number of threads.
        worker_bytes: Further workspace per thread.
    """

    text: str
    workspace_bytes: int
    constants: tuple[bytes, ...]
    is_parallel: bool = False
    worker_bytes: int = 0


def emit_module(module: Module, abilities: Abilities, tuned: str | None = None) -> Emitted:
    """Print a module.

    Args:
        module: The module.
        abilities: What the code may rely on.
        tuned: The processor for which instructions are chosen; by default the one for which code
            is generated.
    """
    functions: list[str] = []
    definitions: dict[str, Definition] = {}
    scratch = worker_bytes = 0
    is_parallel = any(any(parallel_loops(kernel.body)) for kernel in module.kernels)
    for kernel in module.kernels:
        writer = _KernelWriter(kernel, abilities)
        functions.append(writer.function(_aligned_params(module, kernel)))
        definitions.update(writer.code.definitions)
        scratch = max(scratch, writer.scratch_bytes)
        worker_bytes = max(worker_bytes, writer.worker_bytes)
    base = _round_up(module.workspace_bytes)
    small = tuple(c for c in module.constants if len(c.data) <= INLINE_CONSTANT_BYTES)
    large = tuple(c for c in module.constants if len(c.data) > INLINE_CONSTANT_BYTES)
    text = "\n".join(
        [
            "".join(f"{_constant(item)}\n" for item in small),
            *(item.text for item in definitions.values()),
            *([DECLARATION] if is_parallel else []),
            *functions,
            _entry(module, large, base, scratch if is_parallel else None),
            _attribute_groups(tuned),
        ]
    )
    constants = tuple(item.data for item in large)
    return Emitted(text, base + scratch, constants, is_parallel, worker_bytes)


def _attribute_groups(tuned: str | None) -> str:
    common = 'nounwind "no-builtins" "prefer-vector-width"="512"'
    if tuned is not None:
        common += f' "tune-cpu"="{tuned}"'
    return f"attributes #0 = {{ noinline {common} }}\nattributes #1 = {{ {common} }}\n"


class _KernelWriter:
    """Writes one kernel, or with ``divides`` false the body of one of its parallel loops."""

    def __init__(self, kernel: Kernel, abilities: Abilities, *, divides: bool = True) -> None:
        self.kernel = kernel
        self.divides = divides
        self.private = private_buffers(kernel) if divides else frozenset[str]()
        self.code = Writer(abilities)
        self.scratch_bytes = 0
        self.worker_bytes = 0
        self.places: dict[str, Place] = {}
        self.attributes: dict[str, str] = {}
        self.contexts: list[str] = []
        self.outlined: list[str] = []

    def function(self, aligned: frozenset[int]) -> str:
        """The definition of the kernel."""
        params: list[str] = []
        for position, buffer in enumerate(self.kernel.params):
            name = self.code.fresh(buffer.name)
            self.places[buffer.name] = Place(buffer, name)
            self.attributes[buffer.name] = _attributes(buffer, aligned=position in aligned)
            params.append(f"ptr {self.attributes[buffer.name]} {name}")
        params.append(f"ptr noalias align {ALIGN} %scratch")
        if any(parallel_loops(self.kernel.body)):
            params += [f"ptr noalias align {ALIGN} %workers", "i32 %threads"]
        for buffer in self.kernel.locals:
            if buffer.name not in self.private:
                self.places[buffer.name] = Place(buffer, self._scratch(buffer))
                self.attributes[buffer.name] = f"noalias align {ALIGN}"
        self._block(self.kernel.body, {})
        header = "".join(f"; {line}\n" for line in self.kernel.header)
        return header + "\n".join([*self.outlined, self._defined(self.kernel.name, params)])

    def _defined(self, name: str, params: list[str]) -> str:
        body = "\n".join([*self.contexts, *self.code.lines])
        # Stores past the caches are ordered with nothing else until there is a fence.
        fence = "  fence seq_cst\n" if memory.PAST_CACHES in body else ""
        return (
            f"define internal void {_quoted(name)}({', '.join(params)}) #0 {{\n"
            f"entry:\n{body}\n{fence}  ret void\n}}\n"
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
                case Barrier():
                    raise InternalError(f"{self.kernel.name}: processors run no groups of items")
                case Prefetch():
                    names = Names(self.places, known)
                    place, index = expressions.locate(self.code, names, stmt.buffer, stmt.index)
                    memory.prefetch(self.code, place, index, to_write=stmt.to_write)
                case If():
                    self._if(stmt, known)
                case For():
                    self._for(stmt, known)

    def _value(self, expr: Expr, values: Mapping[str, Value]) -> Value:
        return expressions.emit(self.code, Names(self.places, values), expr)

    def _store(self, stmt: Store, values: Mapping[str, Value]) -> None:
        names = Names(self.places, values)
        place, index = expressions.locate(self.code, names, stmt.buffer, stmt.index)
        value = self._value(stmt.value, values)
        mask = None if stmt.mask is None else self._value(stmt.mask, values)
        if stmt.nontemporal:
            memory.store_past_caches(self.code, place, index, value)
            return
        memory.store(self.code, place, index, value, stmt.stride, mask)

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
            with code.branch():
                self._block(body, values)
            code.do(f"br label %{join}")
        code.open(join)

    def _for(self, loop: For, values: Mapping[str, Value]) -> None:
        if loop.kind in (LoopKind.GROUP, LoopKind.ITEM):
            raise InternalError(f"{self.kernel.name}: processors run no groups of items")
        start, stop = self._value(loop.start, values), self._value(loop.stop, values)
        divided = self.divides and loop.kind is LoopKind.PARALLEL
        if start.known is not None and stop.known is not None:
            trips = range(start.known, stop.known, loop.step)
            if len(trips) == 0:
                return
            if not divided and (len(trips) == 1 or loop.kind is LoopKind.UNROLL):
                self._unrolled(loop, trips, values)
                return
        if divided:
            self._parallel(loop, start, stop, values)
        else:
            self._loop(loop, start, stop, values)

    def _loop(self, loop: For, start: Value, stop: Value, values: Mapping[str, Value]) -> None:
        """A loop whose test stands at its end, behind a guard where it may run not at all."""
        code = self.code
        done = code.label("done")
        if start.known is not None and stop.known is not None:
            self._repeat(loop, start, stop, done, values)
            code.open(done)
            return
        runs, enter = code.pure(f"icmp slt {start.typed}, {stop.text}"), code.label("enter")
        with code.branch():
            code.do(f"br i1 {runs}, label %{enter}, label %{done}")
            code.open(enter)
            self._repeat(loop, start, stop, done, values)
        code.open(done)

    def _repeat(
        self, loop: For, start: Value, stop: Value, done: str, values: Mapping[str, Value]
    ) -> None:
        code = self.code
        with code.loop(frozenset(_written(loop.body))):
            head, before = code.label("loop"), code.block
            code.do(f"br label %{head}")
            code.open(head)
            variable, following = code.variable(loop.var), code.fresh(f"{loop.var}.next")
            at = len(code.lines)
            self._block(loop.body, {**values, loop.var: Value(variable, INDEX)})
            code.do(f"{following} = add nsw i64 {variable}, {loop.step}")
            again = code.fresh("again")
            code.do(f"{again} = icmp slt i64 {following}, {stop.text}")
            code.do(f"br i1 {again}, label %{head}, label %{done}")
            entering = f"[ {start.text}, %{before} ], [ {following}, %{code.block} ]"
            code.lines.insert(at, f"  {variable} = phi i64 {entering}")

    def _parallel(self, loop: For, start: Value, stop: Value, values: Mapping[str, Value]) -> None:
        """A loop that the pool runs; see ``parallel.py``."""
        body = _KernelWriter(self.kernel, self.code.abilities, divides=False)
        uses = Uses().block(loop.body)
        captures: list[Capture] = []
        for buffer in (
            held for held in self.kernel.buffers().values() if held.name in uses.buffers
        ):
            if buffer.name in self.private:
                body.places[buffer.name] = Place(buffer, body._scratch(buffer))
                continue
            name, outer = body.code.fresh(buffer.name), self.places[buffer.name].pointer
            captures.append(Capture("ptr", outer, name, self.attributes[buffer.name]))
            body.places[buffer.name] = Place(buffer, name)
        known: dict[str, Value] = {}
        for variable in (name for name in uses.variables if name in values):
            known[variable] = value = values[variable]
            if value.text.startswith("%"):
                name = body.code.fresh(variable)
                captures.append(Capture(value.llvm, value.text, name))
                known[variable] = Value(name, value.type)
        first = start.text
        if first.startswith("%"):
            first = body.code.fresh("start")
            captures.append(Capture("i64", start.text, first))
        params = [capture.parameter for capture in captures]
        params += ["i64 %first", "i64 %last", f"ptr noalias align {ALIGN} %scratch"]
        captures.append(Capture("ptr", "%workers", body.code.fresh("workers")))
        body._loop(loop, Value("%first", INDEX), Value("%last", INDEX), known)

        symbol = f"{self.kernel.name}.parallel.{len(self.outlined)}"
        inner = f"{symbol}.body"
        context = Context(tuple(captures))
        divided = context.range_function(
            _quoted(symbol), _quoted(inner), first, loop.step, body.scratch_bytes
        )
        title = f"; parallel loop {loop.var} of {self.kernel.name}\n"
        self.outlined.append(f"{title}{body._defined(inner, params)}\n{divided}")
        self.worker_bytes = max(self.worker_bytes, body.scratch_bytes)
        self.code.definitions.update(body.code.definitions)
        self._fork(context, _quoted(symbol), self._iterations(loop, start, stop))

    def _fork(self, context: Context, function: str, iterations: str) -> None:
        pointer = self.code.fresh("context")
        self.contexts.append(f"  {pointer} = alloca {context.kind}, align {ALIGN}")
        self.code.lines.extend(context.fill(pointer))
        passed = f"ptr {function}, ptr {pointer}, i64 {iterations}, i32 %threads"
        self.code.do(f"call void @tilec_parallel({passed})")

    def _iterations(self, loop: For, start: Value, stop: Value) -> str:
        """How often a loop runs; not above 0 when it does not."""
        if start.known is not None and stop.known is not None:
            return str(len(range(start.known, stop.known, loop.step)))
        span = self.code.pure(f"sub nsw {stop.typed}, {start.text}")
        if loop.step == 1:
            return span
        above = self.code.pure(f"add nsw i64 {span}, {loop.step - 1}")
        return self.code.pure(f"sdiv i64 {above}, {loop.step}")

    def _unrolled(self, loop: For, trips: range, values: Mapping[str, Value]) -> None:
        if len(trips) > MAX_UNROLLED:
            raise InternalError(
                f"{self.kernel.name}: loop {loop.var} of {len(trips)} iterations is to be unrolled"
            )
        for trip in trips:
            self._block(loop.body, {**values, loop.var: known_index(trip)})


def _written(body: tuple[Stmt, ...]) -> Iterator[str]:
    """Names of the buffers that statements write."""
    for stmt in body:
        match stmt:
            case Store():
                yield stmt.buffer
            case For():
                yield from _written(stmt.body)
            case If():
                yield from _written(stmt.then)
                yield from _written(stmt.otherwise)
            case Let() | Prefetch() | Barrier():
                pass


def _entry(
    module: Module, large: tuple[ConstantData, ...], scratch_at: int, workers_after: int | None
) -> str:
    """The function that the runner calls.

    ``workers_after`` is the size of the scratch memory behind which that of the threads begins;
    None when there is no parallel loop.
    """
    threads = "" if workers_after is None else ", i32 %threads"
    params = f"ptr readonly %args, ptr %workspace{threads}"
    lines = [f"define void {_quoted(module.name)}({params}) #1 {{"]
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
    for position, view in enumerate(module.views):
        name, by = f"%view.{position}", view.offset * view.buffer.type.dtype.bytes
        lines.append(f"  {name} = getelementptr inbounds i8, ptr {pointers[view.whole]}, i64 {by}")
        pointers[view.buffer.name] = name
    lines.append(f"  %scratch = getelementptr inbounds i8, ptr %workspace, i64 {scratch_at}")
    if workers_after is not None:
        lines.append(f"  %workers = getelementptr inbounds i8, ptr %scratch, i64 {workers_after}")
    divided = {kernel.name for kernel in module.kernels if any(parallel_loops(kernel.body))}
    lines += _tick(pointers, module.clock, 0)
    for position, call in enumerate(module.calls):
        listed = [f"ptr {pointers[name]}" for name in call.args]
        listed.append("ptr %scratch")
        if call.kernel in divided:
            listed += ["ptr %workers", "i32 %threads"]
        lines.append(f"  call void {_quoted(call.kernel)}({', '.join(listed)})")
        lines += _tick(pointers, module.clock, position + 1)
    return "\n".join([*lines, "  ret void", "}", ""])


def _tick(pointers: Mapping[str, str], clock: str | None, position: int) -> list[str]:
    """Notes the time, if there is a clock."""
    if clock is None:
        return []
    tick, at = f"%tick.{position}", f"%tick.{position}.at"
    return [
        f"  {tick} = call i64 @llvm.{_counter()}()",
        f"  {at} = getelementptr inbounds i64, ptr {pointers[clock]}, i64 {position}",
        f"  store volatile i64 {tick}, ptr {at}, align 8",
    ]


def _counter() -> str:
    # The cycle counter of x86 runs at a constant rate; that of Arm is forbidden to programs, which
    # read the timer instead.
    return "readcyclecounter" if platform.machine() in ("x86_64", "AMD64") else "readsteadycounter"


def _aligned_params(module: Module, kernel: Kernel) -> frozenset[int]:
    """Positions that only temporaries and constants are passed in: those are aligned."""
    held = {item.buffer.name for item in module.constants}
    held |= {t.buffer.name for t in module.temporaries if t.offset_bytes % ALIGN == 0}
    for view in module.views:
        if view.whole in held and view.offset * view.buffer.type.dtype.bytes % ALIGN == 0:
            held.add(view.buffer.name)
    calls: list[Call] = [call for call in module.calls if call.kernel == kernel.name]
    return frozenset(
        position
        for position in range(len(kernel.params))
        if all(call.args[position] in held for call in calls)
    )


def _attributes(buffer: Buffer, *, aligned: bool) -> str:
    """What is known of the pointer to an argument."""
    parts = ["noalias" if buffer.writable else "noalias readonly"]
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
