"""One function of a program: its parameters, its private memory, its statements."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from math import gcd, prod
from typing import Final

from tilec.errors import InternalError
from tilec.kernel.groups import Nest
from tilec.kernel.ir import (
    INDEX,
    Barrier,
    Buffer,
    Expr,
    For,
    If,
    Let,
    LoopKind,
    Prefetch,
    Scope,
    Stmt,
    Store,
)
from tilec.kernel.uses import Uses
from tilec.records import dataclass
from tilec_opencl.device import Machine
from tilec_opencl.expressions import Memory, Names, bare
from tilec_opencl.helpers import Helpers
from tilec_opencl.operations import Operations, Value

WIDE_BYTES: Final = 16
"""Alignment of what a group shares: that of the widest access of an item."""

MAX_UNROLLED: Final = 4096
"""Iterations of an UNROLL loop that are written out; more than that is a mistake."""

MOST_GROUPS: Final = 65535
"""Groups along the second and the third axis of a range."""

_WORD: Final = re.compile(r"[^A-Za-z0-9_]")
_WORDS: Final = """
auto break case char const continue default do double else enum extern float for goto if
inline int long register restrict return short signed sizeof static struct switch typedef
union unsigned void volatile while bool true false half kernel global local constant private
uchar ushort uint ulong size_t event_t sampler_t max min abs exp log pow sin cos tan select
fma mad dot cross length clamp step sign round floor ceil sqrt erf asm class new delete this
template typename operator namespace using public protected try catch throw friend virtual
main printf I NAN INFINITY NULL pipe queue_t atomic any all mix barrier signbit isnan isinf
fabs rint fmod
"""
_RESERVED: Final = frozenset(_WORDS.split())
"""What C, C++ and the two languages have already."""


def identifier(name: str) -> str:
    """A name as C has them; different names may become one."""
    word = _WORD.sub("_", name)
    if not word[:1].isalpha() or word in _RESERVED or word.startswith(("tilec_", "get_", "as_")):
        word = f"v_{word.lstrip('_')}"
    if re.fullmatch(
        r"(u?(char|short|int|long)|float|double|half)\d+|(vload|vstore|convert).*", word
    ):
        word = f"v_{word}"
    return word


@dataclass(slots=True)
class FunctionWriter:
    """Writes one function.

    Attributes:
        name: Its name.
        helpers: Functions that it calls.
        index: Type of index arithmetic.
        arguments: What is passed: buffers of the kernel and of its scratch memory, by name.
    """

    name: str
    helpers: Helpers
    index: str
    arguments: list[str] = field(default_factory=list[str])
    _params: list[str] = field(default_factory=list[str])
    _variables: list[str] = field(default_factory=list[str])
    _lines: list[str] = field(default_factory=list[str])
    _memory: dict[str, Memory] = field(default_factory=dict[str, Memory])
    _values: dict[str, Value] = field(default_factory=dict[str, Value])
    _taken: dict[str, str] = field(default_factory=dict[str, str])
    _depth: int = 1
    _shape: tuple[int, int, int] | None = None

    def argument(self, buffer: Buffer, passed: str, *, per_worker: bool = False) -> None:
        """A pointer to global memory."""
        dialect = self.helpers.dialect
        name = self._fresh(buffer.name)
        written = buffer.writable or buffer.scope is not Scope.GLOBAL
        const = "" if written else "const "
        element = dialect.stored(buffer.type.dtype)
        self._params.append(f"{dialect.memory}{const}{element}* {dialect.restrict} {name}")
        self.arguments.append(passed)
        aligned = gcd(self.helpers.machine.aligned, -buffer.low * buffer.type.dtype.bytes)
        self._memory[buffer.name] = Memory(name, buffer.type, dialect.memory, aligned=aligned)
        if buffer.low:  # offsets count from the first element, which is not the lowest then
            self._lines.append(f"  {name} += {-buffer.low};")
        if per_worker:
            self._lines.append(f"  {name} += {dialect.group[0]} * {max(1, buffer.high)};")

    def variable(self, name: str) -> None:
        """A loop variable of the host."""
        word = self._fresh(name)
        self._variables.append(f"const {self.index} {word}")
        self._values[name] = Value(word, INDEX)

    def private(self, buffer: Buffer) -> None:
        """Memory of one work-item."""
        dialect = self.helpers.dialect
        name = self._fresh(buffer.name)
        in_memory = buffer.scope is Scope.CACHE and buffer.type.lanes == 1
        kind = dialect.stored(buffer.type.dtype) if in_memory else dialect.register(buffer.type)
        single = buffer.high <= 1 and buffer.scope is Scope.REGISTER
        # A first value for registers, because lanes that a mask leaves out are read, too, and C
        # makes the reading of a variable without one undefined.
        size = "" if single else f"[{max(1, buffer.high)}]"
        first = "" if in_memory else " = 0" if single else " = {0}"
        self._lines.append(f"  {kind} {name}{size}{first};")
        space = "__private " if in_memory and dialect.name == "opencl" else ""
        self._memory[buffer.name] = Memory(name, buffer.type, space, single, not in_memory)

    def shared(self, buffer: Buffer) -> None:
        """Memory that the items of a group share."""
        dialect = self.helpers.dialect
        name = self._fresh(buffer.name)
        kind = dialect.stored(buffer.type.dtype)
        self._lines.append(f"  {dialect.shared}{dialect.wide}{kind} {name}[{max(1, buffer.high)}];")
        self._memory[buffer.name] = Memory(name, buffer.type, dialect.local, aligned=WIDE_BYTES)

    def body(
        self, lets: tuple[Let, ...], guards: tuple[Expr, ...], stmts: tuple[Stmt, ...]
    ) -> None:
        """Statements, behind what surrounds them on the host."""
        self._block((*lets, *_guarded(guards, stmts)), self._values)

    def workers(self, loop: For, lets: tuple[Let, ...], guards: tuple[Expr, ...]) -> None:
        """A parallel loop of which every worker takes one part."""
        dialect = self.helpers.dialect
        self._block(lets, self._values)
        names = self._names(self._values)
        start, stop = names.position(loop.start), names.position(loop.stop)
        count, first = self._fresh("count"), self._fresh("first")
        last, variable = self._fresh("last"), self._fresh(loop.var)
        step = loop.step
        span = stop.text if start.known == 0 else f"{stop.text} - {start.text}"
        trips = span if step == 1 else f"({span} + {step - 1}) / {step}"
        self._line(f"const {self.index} {count} = {bare(trips)};")
        long, group, groups = dialect.types["i64"], dialect.group[0], dialect.groups[0]
        for name, at in ((first, f"({long}){group}"), (last, f"(({long}){group} + 1)")):
            self._line(f"const {self.index} {name} = ({long}){count} * {at} / ({long}){groups};")
        head = f"{self.index} {variable} = {start.text} + {first} * {step}"
        test = f"{variable} < {start.text} + {last} * {step} && {variable} < {stop.text}"
        self._line(f"for ({head}; {test}; {variable} += {step}) {{")
        here = Value(variable, INDEX, is_natural=start.is_natural)
        inner = {**self._values, loop.var: here}
        self._indented(_guarded(guards, loop.body), inner)
        self._line("}")

    def items(
        self,
        nest: tuple[list[For], tuple[Stmt, ...]],
        lets: tuple[Let, ...],
        guards: tuple[Expr, ...],
        machine: Machine,
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """A nest of parallel loops, an item for each iteration; items in all, and in a group."""
        loops, body = nest
        self._block(lets, self._values)
        extents: list[int] = []
        tests: list[str] = []
        values = dict(self._values)
        inner, outer = loops[::-1][:2], loops[::-1][2:]
        shape = [*map(_trips, inner), *([prod(map(_trips, outer))] if outer else [])]
        if not _fits(shape, machine.group_shape(shape)):
            inner, outer = [], loops[::-1]
        for axis, loop in enumerate(inner):
            extents.append(_trips(loop))
            word = self._fresh(loop.var)
            self._line(f"const {self.index} {word} = {self._global(axis)};")
            tests.append(f"{word} < {extents[-1]}")
            values[loop.var] = self._iteration(loop, word)
        if outer:
            extents.append(prod(map(_trips, outer)))
            rest = self._fresh("outer") if len(outer) > 1 else self._fresh(outer[0].var)
            self._line(f"const {self.index} {rest} = {self._global(len(inner))};")
            tests.append(f"{rest} < {extents[-1]}")
            for at, loop in enumerate(outer):
                count = f"({_part(rest, list(map(_trips, outer)), at)})"
                values[loop.var] = self._iteration(loop, rest if len(outer) == 1 else count)
        local = machine.group_shape(extents)
        whole = all(extent % size == 0 for extent, size in zip(extents, local, strict=True))
        if not whole:
            self._line(f"if ({' && '.join(tests)}) {{")
            self._indented(_guarded(guards, body), values)
            self._line("}")
        else:
            self._block(_guarded(guards, body), values)
        sizes = [-(-extent // size) * size for extent, size in zip(extents, local, strict=True)]
        return tuple(sizes), local

    def grouped(
        self, nest: Nest, lets: tuple[Let, ...], guards: tuple[Expr, ...]
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Groups of items; items in all, and in a group."""
        self._block(lets, self._values)
        values = dict(self._values)
        axes: list[list[int]] = []
        dialect = self.helpers.dialect
        used = Uses().block(nest.body).variables
        for loops, given in ((nest.groups, dialect.group), (nest.items, dialect.item)):
            axes.append([1, 1, 1])
            numbers, counts = list(given), [_trips(loop) for loop in reversed(loops)]
            if not _fits(counts, [1] * len(counts)):  # all of them along the first axis
                numbers = [f"({_part(given[0], counts, axis)})" for axis in range(len(counts))]
            for axis, loop in enumerate(reversed(loops)):
                axes[-1][axis] = _trips(loop)
                if loop.var not in used:
                    continue
                word = self._fresh(loop.var)
                self._line(f"const {self.index} {word} = {numbers[axis]};")
                values[loop.var] = self._iteration(loop, word)
        groups, (x, y, z) = axes
        if not _fits(groups, (1, 1, 1)):
            groups = [prod(groups), 1, 1]
        self._shape = x, y, z
        self._block(_guarded(guards, nest.body), values)
        return tuple(g * n for g, n in zip(groups, self._shape, strict=True)), self._shape

    def _global(self, axis: int) -> str:
        dialect = self.helpers.dialect
        if dialect.name == "opencl":
            return f"get_global_id({axis})"
        return f"{dialect.group[axis]} * {dialect.size[axis]} + {dialect.item[axis]}"

    @staticmethod
    def _iteration(loop: For, count: str) -> Value:
        """The loop variable of an iteration."""
        start = int(getattr(loop.start, "value", 0))
        text = count if loop.step == 1 else f"{count} * {loop.step}"
        multiple = gcd(start, loop.step)
        if start:
            text = f"({text} + {start})"
        elif loop.step != 1:
            text = f"({text})"
        return Value(text, INDEX, multiple=multiple, is_natural=start >= 0)

    def text(self) -> str:
        """The function."""
        params = ", ".join((*self._params, *self._variables))
        dialect = self.helpers.dialect
        words = [dialect.kernel, "void", f"{self.name}({params}) {{"]
        if self._shape is not None:
            words.insert(dialect.sized_at, dialect.shaped(self._shape))
        head = " ".join(words)
        return "\n".join([head, *self._lines, "}", ""])

    # Statements.

    def _names(self, values: Mapping[str, Value]) -> Names:
        return Names(Operations(self.helpers), self._memory, values, self.index)

    def _line(self, text: str) -> None:
        self._lines.append("  " * self._depth + text)

    def _indented(self, body: tuple[Stmt, ...], values: Mapping[str, Value]) -> None:
        self._depth += 1
        self._block(body, dict(values))
        self._depth -= 1

    def _block(self, body: tuple[Stmt, ...], known: dict[str, Value]) -> None:
        """Statements of one block, which names values for those that follow."""
        for stmt in body:
            match stmt:
                case Let():
                    known[stmt.var.name] = self._let(stmt, known)
                case Store():
                    self._line(self._names(known).store(stmt))
                case If():
                    self._if(stmt, known)
                case For():
                    self._for(stmt, known)
                case Barrier():
                    self._line(self.helpers.dialect.barrier)
                case Prefetch():
                    if not self.helpers.machine.is_gpu:  # those have other items to run
                        self._line(self._names(known).prefetch(stmt))

    def _let(self, stmt: Let, values: Mapping[str, Value]) -> Value:
        names = self._names(values)
        kind = stmt.value.type
        value = names.position(stmt.value) if kind == INDEX else names.emit(stmt.value)
        if value.known is not None and kind == INDEX:
            return value
        spelled = self.index if kind == INDEX else self.helpers.dialect.register(kind)
        word = self._fresh(stmt.var.name)
        self._line(f"const {spelled} {word} = {bare(value.text)};")
        multiple = names.multiple(stmt.value) if kind == INDEX else 1
        return Value(word, kind, multiple=multiple, is_natural=value.is_natural)

    def _if(self, stmt: If, values: Mapping[str, Value]) -> None:
        condition = self._names(values).condition(stmt.condition)
        if condition.text in ("true", "false"):
            taken = stmt.then if condition.text == "true" else stmt.otherwise
            self._block(taken, dict(values))
            return
        self._line(f"if ({bare(condition.text)}) {{")
        self._indented(stmt.then, values)
        if stmt.otherwise:
            self._line("} else {")
            self._indented(stmt.otherwise, values)
        self._line("}")

    def _for(self, loop: For, values: Mapping[str, Value]) -> None:
        names = self._names(values)
        start, stop = names.position(loop.start), names.position(loop.stop)
        if start.known is not None and stop.known is not None:
            trips = range(start.known, stop.known, loop.step)
            if len(trips) <= 1 or (loop.kind is LoopKind.UNROLL and self._shape is None):
                self._unrolled(loop, trips, values)
                return
        if loop.kind is LoopKind.UNROLL:  # registers are chosen by the variable
            self._line("#pragma unroll")
        word = self._fresh(loop.var)
        step = f"++{word}" if loop.step == 1 else f"{word} += {loop.step}"
        head = f"{self.index} {word} = {start.text}; {word} < {stop.text}; {step}"
        self._line(f"for ({head}) {{")
        multiple = gcd(names.multiple(loop.start), loop.step)
        here = Value(word, INDEX, multiple=multiple, is_natural=start.is_natural)
        self._indented(loop.body, {**values, loop.var: here})
        self._line("}")

    def _unrolled(self, loop: For, trips: range, values: Mapping[str, Value]) -> None:
        if len(trips) > MAX_UNROLLED:
            raise InternalError(f"{self.name}: loop {loop.var} of {len(trips)} is to be unrolled")
        for trip in trips:
            here = Value(str(trip), INDEX, trip, is_natural=trip >= 0)
            self._block(loop.body, {**values, loop.var: here})

    def _fresh(self, name: str) -> str:
        """A word for a name, of its own."""
        word = base = identifier(name)
        count = 1
        while word in self._taken:
            count += 1
            word = f"{base}_{count}"
        self._taken[word] = name
        return word


def _part(number: str, counts: Sequence[int], axis: int) -> str:
    """One of several numbers that were made one, the first of which runs fastest."""
    before = prod(counts[:axis])
    text = number if before == 1 else f"{number} / {before}"
    return text if axis == len(counts) - 1 else f"{text} % {counts[axis]}"


def _fits(sizes: Sequence[int], local: Sequence[int]) -> bool:
    """Whether devices take a range of groups; of all but the first axis CUDA's are limited."""
    groups = (-(-size // own) for size, own in zip(sizes, local, strict=True))
    return all(count <= MOST_GROUPS for count in [*groups][1:])


def _trips(loop: For) -> int:
    start, stop = getattr(loop.start, "value", 0), getattr(loop.stop, "value", 0)
    return max(0, -(-(int(stop) - int(start)) // loop.step))


def _guarded(guards: tuple[Expr, ...], body: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
    for guard in reversed(guards):
        body = (If(guard, body),)
    return body
