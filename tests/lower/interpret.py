"""Runs kernel IR in plain Python: slow, obvious, and independent of any backend.

Iterations of a parallel loop run in an order of their own, and find nothing usable in the scratch
memory that is private to a thread. The items of a group run one after the other from barrier to
barrier, now from the first to the last, now the other way round.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilec.dtypes import BF16, DType
from tilec.kernel.groups import Nest, nest_of
from tilec.kernel.ir import (
    Apply,
    Barrier,
    Const,
    Expr,
    Fold,
    For,
    If,
    Kernel,
    Let,
    Load,
    LoopKind,
    Module,
    Prefetch,
    Ramp,
    Scope,
    Splat,
    Stmt,
    Store,
    Var,
    Zip,
)
from tilec.kernel.uses import private_buffers

Array = NDArray[Any]
_NAMES = {"bool": "bool", "f16": "float16", "f32": "float32", "f64": "float64"}


def numpy_dtype(dtype: DType) -> np.dtype[Any]:
    """NumPy's dtype of the same values; bf16 values are held in f32."""
    if dtype == BF16:
        return np.dtype("float32")
    letters = {"i": "int", "u": "uint"}
    plain = _NAMES.get(dtype.name) or letters[dtype.name[0]] + dtype.name[1:]
    return np.dtype(plain)


def run_module(module: Module, inputs: Mapping[str, Array]) -> list[Array]:
    """Run all calls of a module on flat input buffers; returns the flat outputs."""
    memory: dict[str, Array] = dict(inputs)
    for buffer in module.outputs:
        memory[buffer.name] = np.zeros(buffer.high, numpy_dtype(buffer.type.dtype))
    for held in module.temporaries:
        memory[held.buffer.name] = np.zeros(held.buffer.high, numpy_dtype(held.buffer.type.dtype))
    for held in module.constants:
        memory[held.buffer.name] = np.frombuffer(held.data, numpy_dtype(held.buffer.type.dtype))
    kernels = {kernel.name: kernel for kernel in module.kernels}
    for call in module.calls:
        kernel = kernels[call.kernel]
        pairs = zip(kernel.params, call.args, strict=True)
        Interpreter(kernel, {param.name: memory[name] for param, name in pairs}).run()
    return [memory[buffer.name] for buffer in module.outputs]


@dataclass
class Interpreter:
    """State of one kernel run. Vectors are 1-D arrays, scalars are NumPy scalars or ints."""

    kernel: Kernel
    memory: dict[str, Array]
    values: dict[str, Any] = field(default_factory=dict[str, Any])

    def run(self) -> None:
        for buffer in self.kernel.locals:
            in_registers = buffer.scope is Scope.REGISTER
            shape = (buffer.high, buffer.type.lanes) if in_registers else (buffer.high,)
            self.memory[buffer.name] = np.zeros(shape, numpy_dtype(buffer.type.dtype))
        with np.errstate(all="ignore"):
            for _ in self.block(self.kernel.body):
                raise AssertionError("a barrier outside of any group")

    def block(self, body: tuple[Stmt, ...]) -> Iterator[Barrier]:
        """Runs statements; stops at each barrier."""
        for stmt in body:
            match stmt:
                case Barrier():
                    yield stmt
                case For(kind=LoopKind.GROUP):
                    self.groups(stmt)
                case For():
                    start, stop = int(self.value(stmt.start)), int(self.value(stmt.stop))
                    divided = stmt.kind is LoopKind.PARALLEL
                    trips = range(start, stop, stmt.step)
                    for at in reversed(trips) if divided else trips:
                        self.values[stmt.var] = at
                        if divided:
                            self.spoil()
                        yield from self.block(stmt.body)
                case If():
                    yield from self.block(
                        stmt.then if self.value(stmt.condition) else stmt.otherwise
                    )
                case Let():
                    self.values[stmt.var.name] = self.value(stmt.value)
                case Store():
                    self.store(stmt)
                case Prefetch():
                    self.value(stmt.index)

    def groups(self, loop: For) -> None:
        """All groups of a nest, the last one first."""
        nest = nest_of(loop)
        for group in reversed([*product(*map(self.trips, nest.groups))]):
            self.values.update(zip((each.var for each in nest.groups), group, strict=True))
            self.group(nest)

    def group(self, nest: Nest) -> None:
        """The items of one group, each with registers and values of its own."""
        self.spoil()
        local = {b.name for b in self.kernel.locals if b.scope is Scope.LOCAL}
        private = private_buffers(self.kernel) - local
        items: list[Iterator[Barrier]] = []
        for item in product(*map(self.trips, nest.items)):
            own = {
                name: array.copy() if name in private else array
                for name, array in self.memory.items()
            }
            values = dict(zip((each.var for each in nest.items), item, strict=True))
            running = Interpreter(self.kernel, own, {**self.values, **values})
            items.append(running.block(nest.body))
        order = items
        while True:
            order = order[::-1]
            stops = [next(item, None) for item in order]
            if all(stop is None for stop in stops):
                return
            assert None not in stops, "an item ends while others wait at a barrier"

    def trips(self, loop: For) -> range:
        return range(int(self.value(loop.start)), int(self.value(loop.stop)), loop.step)

    def spoil(self) -> None:
        """Leave numbers in private scratch memory that no kernel may rely on."""
        for name in private_buffers(self.kernel):
            array = self.memory[name]
            array[...] = np.nan if array.dtype.kind == "f" else np.iinfo(array.dtype).max // 3

    def store(self, stmt: Store) -> None:
        value = self.value(stmt.value)
        held = self.kernel.buffers()[stmt.buffer]
        array = self.memory[stmt.buffer]
        if held.scope is Scope.REGISTER:
            at = int(self.value(stmt.index))
            if held.type.lanes == 1 and stmt.value.type.lanes > 1:
                array[at : at + stmt.value.type.lanes, 0] = value
            else:
                array[at] = value
            return
        for lane, at in self.lanes(stmt.index, stmt.stride, stmt.mask, stmt.value.type.lanes):
            assert held.low <= at < held.high, f"store to {stmt.buffer}[{at}]"
            array[at - held.low] = value if stmt.value.type.lanes == 1 else value[lane]

    def lanes(
        self, index: Expr, stride: int, mask: Expr | None, count: int
    ) -> list[tuple[int, int]]:
        """Lane and offset of each lane that takes part in an access."""
        first = self.value(index)
        active = [True] * count if mask is None else np.atleast_1d(self.value(mask))
        offsets = (
            [int(at) for at in first]
            if index.type.lanes > 1
            else [int(first) + lane * stride for lane in range(count)]
        )
        return [(lane, offsets[lane]) for lane in range(count) if active[lane]]

    def value(self, expr: Expr) -> Any:
        dtype, lanes = numpy_dtype(expr.type.dtype), expr.type.lanes
        match expr:
            case Const():
                return np.full(lanes, expr.value, dtype)[slice(None) if lanes > 1 else 0]
            case Var():
                return self.values[expr.name]
            case Splat():
                return np.full(lanes, self.value(expr.arg), dtype)
            case Ramp():
                steps = np.arange(lanes) * expr.stride
                return (self.value(expr.start) + steps).astype(dtype)
            case Fold():
                return FOLDS[expr.op](self.value(expr.arg)).astype(dtype)
            case Zip():
                pair = np.stack([self.value(expr.first), self.value(expr.second)], axis=1)
                return pair.reshape(2, -1)[int(expr.upper)]
            case Load():
                return self.load(expr, dtype)
            case Apply():
                args = [self.value(arg) for arg in expr.args]
                return np.asarray(OPS[expr.op](*args)).astype(dtype)[()]

    def load(self, expr: Load, dtype: np.dtype[Any]) -> Any:
        held = self.kernel.buffers()[expr.buffer]
        array = self.memory[expr.buffer]
        if held.scope is Scope.REGISTER:
            at = int(self.value(expr.index))
            if held.type.lanes == 1 and expr.type.lanes > 1:
                return array[at : at + expr.type.lanes, 0].copy()
            row = array[at]
            return row.copy() if held.type.lanes > 1 else row[0]
        result = np.zeros(expr.type.lanes, dtype)
        for lane, at in self.lanes(expr.index, expr.stride, expr.mask, expr.type.lanes):
            assert held.low <= at < held.high, f"load of {expr.buffer}[{at}]"
            result[lane] = array[at - held.low]
        return result if expr.type.lanes > 1 else result[0]


def _divide(a: Any, b: Any) -> Any:
    if np.asarray(a).dtype.kind == "f":
        return a / b
    safe = np.where(b == 0, 1, b)
    quotient = (np.abs(a) // np.abs(safe)) * np.where((a < 0) != (safe < 0), -1, 1)
    return quotient * (b != 0)


def _relu(a: Any) -> Any:
    return np.where(a < 0, 0, a)


def _fma(a: Any, b: Any, c: Any) -> Any:
    return a * b + c


def _same(a: Any) -> Any:
    return a


def _recip(a: Any) -> Any:
    return 1 / a


FOLDS: dict[str, Any] = {"add": np.sum, "mul": np.prod, "max": np.max, "min": np.min}
OPS: dict[str, Any] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": _divide, "neg": np.negative,
    "max": np.maximum, "min": np.minimum, "abs": np.abs, "relu": _relu,
    "cmp_eq": np.equal, "cmp_ne": np.not_equal, "cmp_lt": np.less, "cmp_gt": np.greater,
    "cmp_le": np.less_equal, "cmp_ge": np.greater_equal, "cond": np.where,
    "logical_and": np.logical_and, "logical_or": np.logical_or, "logical_not": np.logical_not,
    "bit_and": np.bitwise_and, "bit_or": np.bitwise_or, "bit_xor": np.bitwise_xor,
    "bit_left": np.left_shift, "bit_right": np.right_shift, "floor_div": np.floor_divide,
    "floor_mod": np.mod, "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "tanh": np.tanh,
    "fma": _fma, "floor": np.floor, "ceil": np.ceil, "round": np.rint,
    "cast": _same, "recip": _recip,
}  # fmt: skip
