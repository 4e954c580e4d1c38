"""Narrow: vectors that span several registers become as many vectors of a type that a target has.

LLVM cuts a vector of 64 floats into registers by itself; the languages of devices have none with
more than 16 lanes.

Before: ``store C[i], (load f32x64 A[i]) * s``. After, for 16 lanes: four stores, 16 elements apart.
"""

from __future__ import annotations

from dataclasses import field, replace

from tilec.errors import InternalError
from tilec.kernel import build
from tilec.kernel.ir import (
    INDEX,
    Apply,
    Barrier,
    Buffer,
    Const,
    Expr,
    Fold,
    For,
    If,
    Kernel,
    Let,
    Load,
    Prefetch,
    Ramp,
    Scope,
    Splat,
    Stmt,
    Store,
    Var,
    VType,
    Zip,
)
from tilec.records import dataclass


@dataclass(frozen=True, slots=True)
class Narrow:
    """The pass. ``widest`` is the number of lanes that a vector may have."""

    widest: int
    name: str = "narrow"

    def apply(self, kernel: Kernel) -> Kernel:
        """Cut what is wider."""
        work = _Narrower(self.widest)
        buffers = tuple(work.buffer(buffer) for buffer in kernel.locals)
        return replace(kernel, body=work.block(kernel.body), locals=buffers)


@dataclass(slots=True)
class _Narrower:
    widest: int
    registers: dict[str, int] = field(default_factory=dict[str, int])

    def buffer(self, buffer: Buffer) -> Buffer:
        """A register buffer of wide vectors as one of more elements."""
        parts = self.parts(buffer.type)
        if buffer.scope is not Scope.REGISTER or parts == 1:
            return buffer
        self.registers[buffer.name] = parts
        return replace(buffer, type=self.narrow(buffer.type), high=buffer.high * parts)

    def parts(self, kind: VType) -> int:
        """Vectors that a value becomes."""
        count, rest = divmod(kind.lanes, self.widest)
        if count and rest:
            raise InternalError(f"{kind} cannot be cut into vectors of {self.widest} lanes")
        return max(1, count)

    def narrow(self, kind: VType) -> VType:
        """The type of one part."""
        return VType(kind.dtype, min(kind.lanes, self.widest))

    def block(self, body: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
        return tuple(new for stmt in body for new in self.statement(stmt))

    def statement(self, stmt: Stmt) -> tuple[Stmt, ...]:
        match stmt:
            case For():
                start, stop = self.whole(stmt.start), self.whole(stmt.stop)
                return (replace(stmt, start=start, stop=stop, body=self.block(stmt.body)),)
            case If():
                then, otherwise = self.block(stmt.then), self.block(stmt.otherwise)
                return (If(self.whole(stmt.condition), then, otherwise),)
            case Let():
                count = self.parts(stmt.value.type)
                if count == 1:
                    return (Let(stmt.var, self.whole(stmt.value)),)
                return tuple(
                    Let(self._var(stmt.var, at), self.part(stmt.value, at)) for at in range(count)
                )
            case Store():
                return tuple(self._stores(stmt))
            case Barrier():
                return (stmt,)
            case Prefetch():
                return (replace(stmt, index=self.whole(stmt.index)),)

    def _stores(self, stmt: Store) -> list[Stmt]:
        count = self.parts(stmt.value.type)
        if count == 1:
            mask = None if stmt.mask is None else self.whole(stmt.mask)
            index, value = self.whole(stmt.index), self.whole(stmt.value)
            return [replace(stmt, index=index, value=value, mask=mask)]
        stores: list[Stmt] = []
        for at in range(count):
            mask = None if stmt.mask is None else self.part(stmt.mask, at)
            index = self._index(stmt.buffer, stmt.index, stmt.stride, at)
            value = self.part(stmt.value, at)
            stores.append(replace(stmt, index=index, value=value, mask=mask))
        return stores

    def _index(self, buffer: str, index: Expr, stride: int, at: int) -> Expr:
        """Where a part of an access lies."""
        if buffer in self.registers:
            count = self.registers[buffer]
            return build.add(build.mul(self.whole(index), build.const(count)), build.const(at))
        if index.type.lanes > 1:
            return self.part(index, at)
        return build.add(self.whole(index), build.const(at * self.widest * stride))

    def whole(self, expr: Expr) -> Expr:
        """An expression that is not wider than a vector may be."""
        match expr:
            case Const() | Var():
                return expr
            case Load():
                mask = None if expr.mask is None else self.whole(expr.mask)
                return replace(expr, index=self.whole(expr.index), mask=mask)
            case Apply():
                return replace(expr, args=tuple(map(self.whole, expr.args)))
            case Splat():
                return replace(expr, arg=self.whole(expr.arg))
            case Ramp():
                return replace(expr, start=self.whole(expr.start))
            case Zip():
                return replace(expr, first=self.whole(expr.first), second=self.whole(expr.second))
            case Fold():
                return replace(expr, arg=self._folded(expr.op, expr.arg))

    def _folded(self, op: str, arg: Expr) -> Expr:
        """The parts of a vector combined as their halves would be."""
        parts = [self.part(arg, at) for at in range(self.parts(arg.type))]
        if len(parts) == 1:
            return self.whole(arg)
        while len(parts) > 1:
            half = len(parts) // 2
            pairs = zip(parts[:half], parts[half:], strict=True)
            parts = [Apply(op, pair, pair[0].type) for pair in pairs]
        return parts[0]

    def part(self, expr: Expr, at: int) -> Expr:
        """A part of an expression that is wider than a vector may be."""
        kind = self.narrow(expr.type)
        if kind == expr.type:
            return self.whole(expr)
        match expr:
            case Const():
                return replace(expr, type=kind)
            case Var():
                return self._var(expr, at)
            case Load():
                mask = None if expr.mask is None else self.part(expr.mask, at)
                index = self._index(expr.buffer, expr.index, expr.stride, at)
                return Load(expr.buffer, index, kind, expr.stride, mask)
            case Apply():
                return Apply(expr.op, tuple(self.part(arg, at) for arg in expr.args), kind)
            case Splat():
                return Splat(self.whole(expr.arg), kind)
            case Ramp():
                return Ramp(_moved(expr.start, at * self.widest * expr.stride), expr.stride, kind)
            case Zip() | Fold():
                raise InternalError(f"{expr} has {expr.type.lanes} lanes, which cannot be cut")

    def _var(self, var: Var, at: int) -> Var:
        return Var(f"{var.name}.{at}", self.narrow(var.type))


def _moved(start: Expr, distance: int) -> Expr:
    if start.type == INDEX:
        return build.add(start, build.const(distance))
    if isinstance(start, Const):
        return replace(start, value=start.value + distance)
    return Apply("add", (start, Const(distance, start.type)), start.type)
