"""A module of kernels as C for devices, and the launches that run it.

A device runs one function per launch, many times side by side. So a kernel becomes a list of
launches, one for each parallel loop and one for what stands between them; loops around parallel
loops stay with the host, which passes their variables. Two ways of dividing a parallel loop:

- *workers*, for processors: as many work-items as there are cores, each with its own part of the
  iterations and its own scratch memory, as threads of a pool would have;
- *items*, for GPUs: one work-item for each iteration of a nest of parallel loops.

Loops over groups and their items are what a device runs anyway.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field, replace

from tilec.errors import InternalError
from tilec.kernel.groups import nest_of
from tilec.kernel.ir import (
    INDEX,
    Apply,
    Buffer,
    Const,
    Expr,
    For,
    If,
    Kernel,
    Let,
    Load,
    LoopKind,
    Module,
    Scope,
    Stmt,
    Var,
)
from tilec.kernel.uses import Uses, parallel_loops, private_buffers
from tilec.kernel.walk import expressions
from tilec.records import dataclass
from tilec_opencl.device import Machine
from tilec_opencl.functions import FunctionWriter, identifier
from tilec_opencl.helpers import Helpers
from tilec_opencl.program import HostLoop, Launch, Program, Run, Scratch
from tilec_opencl.spelling import Dialect

PRIVATE_BYTES = 16 << 10
"""Larger scratch buffers of a work-item lie in global memory."""

INT_ELEMENTS = 1 << 29
"""Buffers up to this size are addressed with ints: sums of a few offsets stay below 2**31."""


def emit_module(module: Module, dialect: Dialect, machine: Machine) -> Program:
    """Print a module for a device."""
    helpers = Helpers(dialect, machine)
    functions: list[str] = []
    runs: list[Run] = []
    scratch: list[Scratch] = []
    kernels: dict[str, _KernelWriter] = {}
    for kernel in module.kernels:
        writer = _KernelWriter(kernel, helpers, machine)
        writer.write()
        kernels[kernel.name] = writer
        functions += writer.texts
        scratch += writer.scratch
    for call in module.calls:
        writer = kernels[call.kernel]
        names = dict(zip((each.name for each in writer.kernel.params), call.args, strict=True))
        runs.append(Run(writer.steps, names))
    head = f"// {module.name}, for {machine.name}\n"
    text = "\n".join([head, *helpers.texts.values(), "", *functions])
    return Program(text, tuple(runs), tuple(scratch))


@dataclass(slots=True)
class _Inside:
    """What surrounds the statements that are being divided into launches."""

    loops: tuple[str, ...] = ()
    lets: tuple[Let, ...] = ()
    guards: tuple[Expr, ...] = ()


@dataclass(slots=True)
class _KernelWriter:
    """Writes the functions of one kernel and the steps that the host takes to run them."""

    kernel: Kernel
    helpers: Helpers
    machine: Machine
    texts: list[str] = field(default_factory=list[str])
    steps: tuple[Launch | HostLoop, ...] = ()
    scratch: list[Scratch] = field(default_factory=list[Scratch])
    private: frozenset[str] = frozenset()

    def write(self) -> None:
        """Write all of it."""
        header = "".join(f"// {line}\n" for line in self.kernel.header)
        self.private = private_buffers(self.kernel)
        for buffer in self.kernel.locals:
            if buffer.scope is Scope.CACHE and buffer.name not in self.private:
                self.scratch.append(Scratch(self._scratch_name(buffer), _size(buffer)))
        self.steps = tuple(self._block(self.kernel.body, _Inside()))
        if self.texts:
            self.texts[0] = header + self.texts[0]

    def _scratch_name(self, buffer: Buffer) -> str:
        return f"{self.kernel.name}/{buffer.name}"

    def _block(self, body: tuple[Stmt, ...], inside: _Inside) -> Iterator[Launch | HostLoop]:
        """The launches of some statements: runs without a parallel loop are one each."""
        alone: list[Stmt] = []
        for stmt in body:
            if not any(parallel_loops((stmt,))):
                alone.append(stmt)
                continue
            yield from self._serial(tuple(alone), inside)
            # What a run has named is computed again by those behind it.
            inside = replace(inside, lets=(*inside.lets, *_lets(alone)))
            alone = []
            yield from self._divided(stmt, inside)
        yield from self._serial(tuple(alone), inside)

    def _divided(self, stmt: Stmt, inside: _Inside) -> Iterator[Launch | HostLoop]:
        """The launches of a statement with a parallel loop."""
        match stmt:
            case For(kind=LoopKind.PARALLEL):
                yield self._parallel(stmt, inside)
            case For(kind=LoopKind.GROUP):
                yield self._grouped(stmt, inside)
            case For():
                within = _Inside((*inside.loops, stmt.var), inside.lets, inside.guards)
                body = tuple(self._block(stmt.body, within))
                yield HostLoop(stmt.var, _host(stmt.start), _host(stmt.stop), stmt.step, body)
            case If():
                for taken, part in ((True, stmt.then), (False, stmt.otherwise)):
                    test = stmt.condition if taken else _negated(stmt.condition)
                    within = _Inside(inside.loops, inside.lets, (*inside.guards, test))
                    yield from self._block(part, within)
            case _:
                raise InternalError(f"{self.kernel.name}: no parallel loop in {stmt}")

    def _function(self, stmts: tuple[Stmt, ...], inside: _Inside) -> FunctionWriter:
        name = identifier(self.kernel.name) + (f"_{len(self.texts)}" if self.texts else "")
        uses = Uses().block((*inside.lets, *stmts))
        buffers = self.kernel.buffers().values()
        # A processor adds constants to 64-bit addresses on the way, but extends each sum of ints.
        wide = not self.machine.is_gpu or any(max(b.high, -b.low) >= INT_ELEMENTS for b in buffers)
        index = self.helpers.dialect.types["i64"] if wide else "int"
        writer = FunctionWriter(name, self.helpers, index)
        for buffer in self.kernel.params:
            if buffer.name in uses.buffers:
                writer.argument(buffer, buffer.name)
        for loop in inside.loops:
            writer.variable(loop)
        return writer

    def _serial(self, stmts: tuple[Stmt, ...], inside: _Inside) -> Iterator[Launch]:
        """One work-item runs the statements, if they do more than naming values."""
        if len(_lets(stmts)) == len(stmts):
            return
        inside = self._needed(stmts, inside)
        writer = self._function(stmts, inside)
        self._local_buffers(writer, stmts, inside, workers=0)
        writer.body(inside.lets, inside.guards, stmts)
        yield self._finish(writer, inside, (1,), (1,))

    def _needed(self, stmts: tuple[Stmt, ...], inside: _Inside) -> _Inside:
        """Only the values that a launch needs; none of them is in registers of another."""
        registers = {b.name for b in self.kernel.locals if b.scope is not Scope.CACHE}
        uses = Uses().block(stmts)
        names = set(uses.variables)
        names |= {e.name for g in inside.guards for e in expressions(g) if isinstance(e, Var)}
        kept: list[Let] = []
        for let in reversed(inside.lets):
            if let.var.name not in names:
                continue
            kept.append(let)
            for each in expressions(let.value):
                if isinstance(each, Var):
                    names.add(each.name)
                elif isinstance(each, Load) and each.buffer in registers:
                    raise InternalError(f"{self.kernel.name}: {let.var.name} is in other registers")
        return replace(inside, lets=tuple(reversed(kept)))

    def _parallel(self, loop: For, inside: _Inside) -> Launch:
        nest, inside = _nest(loop), self._needed((loop,), inside)
        writer = self._function((loop,), inside)
        large = [
            buffer
            for buffer in self._used_locals((loop,), inside)
            if buffer.name in self.private and _size(buffer) > PRIVATE_BYTES
        ]
        if self.machine.is_gpu and not large and nest is not None:
            self._local_buffers(writer, (loop,), inside, workers=0)
            sizes, local = writer.items(nest, inside.lets, inside.guards, self.machine)
            return self._finish(writer, inside, sizes, local)
        workers = self.machine.workers
        self._local_buffers(writer, (loop,), inside, workers)
        writer.workers(loop, inside.lets, inside.guards)
        return self._finish(writer, inside, (workers,), (1,))

    def _grouped(self, loop: For, inside: _Inside) -> Launch:
        """Groups of items as the kernel has them."""
        inside = self._needed((loop,), inside)
        writer = self._function((loop,), inside)
        self._local_buffers(writer, (loop,), inside, workers=0)
        sizes, local = writer.grouped(nest_of(loop), inside.lets, inside.guards)
        return self._finish(writer, inside, sizes, local)

    def _used_locals(self, stmts: tuple[Stmt, ...], inside: _Inside) -> list[Buffer]:
        used = Uses().block((*inside.lets, *stmts)).buffers
        return [buffer for buffer in self.kernel.locals if buffer.name in used]

    def _local_buffers(
        self, writer: FunctionWriter, stmts: tuple[Stmt, ...], inside: _Inside, workers: int
    ) -> None:
        """Scratch memory that statements use: private, shared, or of each worker."""
        for buffer in self._used_locals(stmts, inside):
            if buffer.scope is Scope.REGISTER:
                writer.private(buffer)
            elif buffer.scope is Scope.LOCAL:
                writer.shared(buffer)
            elif buffer.name not in self.private:
                writer.argument(buffer, self._scratch_name(buffer))
            elif _size(buffer) <= PRIVATE_BYTES or not workers:
                writer.private(buffer)
            else:
                name = self._scratch_name(buffer)
                self.scratch.append(Scratch(name, workers * _size(buffer)))
                writer.argument(buffer, name, per_worker=True)

    def _finish(
        self,
        writer: FunctionWriter,
        inside: _Inside,
        sizes: tuple[int, ...],
        local: tuple[int, ...],
    ) -> Launch:
        self.texts.append(writer.text())
        return Launch(
            writer.name, tuple(writer.arguments), inside.loops, sizes, local, writer.index
        )


def _nest(loop: For) -> tuple[list[For], tuple[Stmt, ...]] | None:
    """Parallel loops with constant bounds that have nothing between them, and what is inside."""
    loops: list[For] = []
    body: Sequence[Stmt] = (loop,)
    while len(body) == 1 and isinstance(body[0], For) and body[0].kind is LoopKind.PARALLEL:
        found = body[0]
        if not (isinstance(found.start, Const) and isinstance(found.stop, Const)):
            break
        loops.append(found)
        body = found.body
    return (loops, tuple(body)) if loops else None


def _lets(stmts: Sequence[Stmt]) -> tuple[Let, ...]:
    """The values that statements name for those behind them."""
    return tuple(stmt for stmt in stmts if isinstance(stmt, Let))


def _negated(condition: Expr) -> Expr:
    return Apply("logical_not", (condition,), condition.type)


def _host(expr: Expr) -> object:
    """A bound of a loop that the host runs, in the form of a manifest."""
    match expr:
        case Const():
            return int(expr.value)
        case Var():
            return expr.name
        case Apply() if expr.type == INDEX:
            return [expr.op, *map(_host, expr.args)]
        case _:
            raise InternalError(f"the host cannot compute {expr}")


def _size(buffer: Buffer) -> int:
    return max(1, buffer.high) * buffer.type.dtype.bytes * buffer.type.lanes
