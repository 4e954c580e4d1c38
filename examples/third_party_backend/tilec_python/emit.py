"""Kernel IR as Python source.

Scalars are NumPy scalars (index arithmetic is in Python's own integers), vectors are arrays of one
axis, and a register buffer of vectors is an array of two.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import assert_never

from tilec.dtypes import BF16, DType
from tilec.errors import TargetError
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
    Module,
    Prefetch,
    Ramp,
    Splat,
    Stmt,
    Store,
    Var,
    Zip,
)

# How operations are spelled. What stands here neither is refused by name.
_INFIX = {
    "add": "+", "sub": "-", "mul": "*", "floor_div": "//", "floor_mod": "%",
    "cmp_eq": "==", "cmp_ne": "!=", "cmp_lt": "<", "cmp_gt": ">", "cmp_le": "<=", "cmp_ge": ">=",
    "bit_and": "&", "bit_or": "|", "bit_xor": "^",
}  # fmt: skip
_CALLS = {
    "neg": "np.negative", "abs": "np.abs", "max": "np.maximum", "min": "np.minimum",
    "sign": "np.sign", "logical_and": "np.logical_and", "logical_or": "np.logical_or",
    "logical_xor": "np.logical_xor", "logical_not": "np.logical_not", "bit_not": "np.invert",
    "cond": "np.where", "ceil": "np.ceil", "floor": "np.floor", "round": "np.rint",
    "sqrt": "np.sqrt", "exp": "np.exp", "log": "np.log", "pow": "np.power", "sin": "np.sin",
    "cos": "np.cos", "tan": "np.tan", "asin": "np.arcsin", "acos": "np.arccos",
    "atan": "np.arctan", "sinh": "np.sinh", "cosh": "np.cosh", "tanh": "np.tanh",
    "asinh": "np.arcsinh", "acosh": "np.arccosh", "atanh": "np.arctanh", "recip": "np.reciprocal",
}  # fmt: skip
_FOLDS = {"add": "np.add", "mul": "np.multiply", "max": "np.maximum", "min": "np.minimum"}


def module_source(module: Module) -> str:
    """A Python module whose ``main(inputs, outputs, workspace)`` runs everything once."""
    lines = ["import numpy as np", "from tilec_python import support", ""]
    for kernel in module.kernels:
        lines += [*_kernel(kernel), ""]
    lines.append("def main(inputs, outputs, workspace):")
    for group, buffers in (("inputs", module.inputs), ("outputs", module.outputs)):
        for at, buffer in enumerate(buffers):
            lines.append(f"    {_name(buffer.name)} = {_view(f'{group}[{at}]', buffer)}")
    for held in module.temporaries:
        address = f"workspace + {held.offset_bytes}"
        lines.append(f"    {_name(held.buffer.name)} = {_view(address, held.buffer)}")
    for constant in module.constants:
        kind = _dtype(constant.buffer.type.dtype)
        lines.append(
            f"    {_name(constant.buffer.name)} = np.frombuffer({constant.data!r}, {kind!r})"
        )
    for call in module.calls:
        lines.append(f"    {_name(call.kernel)}({', '.join(map(_name, call.args))})")
    lines.append("    return None")
    return "\n".join(lines) + "\n"


def _view(address: str, buffer: Buffer) -> str:
    return f"support.view({address}, {_dtype(buffer.type.dtype)!r}, {buffer.low}, {buffer.high})"


def _kernel(kernel: Kernel) -> Iterator[str]:
    yield f"def {_name(kernel.name)}({', '.join(_name(buffer.name) for buffer in kernel.params)}):"
    yield from (f"    # {line}" for line in kernel.header)
    for buffer in kernel.locals:
        lanes = f", {buffer.type.lanes}" if buffer.type.lanes > 1 else ""
        shape = f"({buffer.high - buffer.low}{lanes or ','})"
        yield f"    {_name(buffer.name)} = np.zeros({shape}, {_dtype(buffer.type.dtype)!r})"
    printer = _Printer(kernel)
    yield from (f"    {line}" for line in printer.block(kernel.body))


class _Printer:
    """Prints the statements of one kernel."""

    def __init__(self, kernel: Kernel) -> None:
        self._buffers = kernel.buffers()

    def block(self, body: tuple[Stmt, ...]) -> Iterator[str]:
        if not body:
            yield "pass"
        for stmt in body:
            yield from self._statement(stmt)

    def _statement(self, stmt: Stmt) -> Iterator[str]:
        match stmt:
            case For():
                # Parallel, unrolled and vector loops may all run one iteration after the other.
                bounds = f"{self._expr(stmt.start)}, {self._expr(stmt.stop)}, {stmt.step}"
                yield f"for {_name(stmt.var)} in range({bounds}):"
                yield from (f"    {line}" for line in self.block(stmt.body))
            case If():
                yield f"if {self._expr(stmt.condition)}:"
                yield from (f"    {line}" for line in self.block(stmt.then))
                if stmt.otherwise:
                    yield "else:"
                    yield from (f"    {line}" for line in self.block(stmt.otherwise))
            case Let():
                yield f"{_name(stmt.var.name)} = {self._expr(stmt.value)}"
            case Store():
                lanes = stmt.value.type.lanes
                at, memory = self._offsets(stmt, lanes), _name(stmt.buffer)
                value = self._expr(stmt.value)
                if stmt.mask is None:
                    yield f"{memory}[{at}] = {value}"
                else:
                    yield f"support.store({memory}, {at}, {value}, {self._expr(stmt.mask)})"
            case Barrier():
                raise TargetError("there are no groups of items in Python")
            case Prefetch():
                yield "pass"  # a hint
            case _:
                assert_never(stmt)

    def _expr(self, expr: Expr) -> str:
        match expr:
            case Const():
                return _constant(expr)
            case Var():
                return _name(expr.name)
            case Load():
                at, memory = self._offsets(expr, expr.type.lanes), _name(expr.buffer)
                if expr.mask is not None:
                    return f"support.load({memory}, {at}, {self._expr(expr.mask)})"
                return f"int({memory}[{at}])" if expr.type == INDEX else f"{memory}[{at}]"
            case Apply():
                return self._apply(expr)
            case Splat():
                return f"np.full({expr.type.lanes}, {self._expr(expr.arg)})"
            case Ramp():
                lanes = f"np.arange({expr.type.lanes}, dtype={_dtype(expr.type.dtype)!r})"
                return f"({self._expr(expr.start)} + {expr.stride} * {lanes})"
            case Fold():
                if expr.op not in _FOLDS:
                    raise _missing(expr.op)
                return f"{_FOLDS[expr.op]}.reduce({self._expr(expr.arg)})"
            case Zip():
                pair = f"{self._expr(expr.first)}, {self._expr(expr.second)}"
                return f"np.stack([{pair}], axis=1).reshape(2, -1)[{int(expr.upper)}]"
            case _:
                assert_never(expr)

    def _apply(self, expr: Apply) -> str:
        args = [self._expr(arg) for arg in expr.args]
        if expr.op in _INFIX:
            return f"({args[0]} {_INFIX[expr.op]} {args[1]})"
        if expr.op == "fma":
            return f"({args[0]} * {args[1]} + {args[2]})"
        if expr.op == "div" and expr.type.dtype.is_float:
            return f"({args[0]} / {args[1]})"
        if expr.op == "relu" and expr.type.dtype.is_float:
            return f"np.where({args[0]} < 0, 0, {args[0]}).astype({_dtype(expr.type.dtype)!r})"
        if expr.op == "cast":
            cast = f"support.cast({args[0]}, {_dtype(expr.type.dtype)!r})"
            return f"int({cast})" if expr.type == INDEX else cast
        if expr.op not in _CALLS:
            raise _missing(expr.op)
        call = f"{_CALLS[expr.op]}({', '.join(args)})"
        return f"int({call})" if expr.type == INDEX else call

    def _offsets(self, access: Load | Store, lanes: int) -> str:
        """Subscript of an access; a vector of offsets unless a scalar is accessed."""
        low = self._buffers[access.buffer].low
        index = self._expr(access.index) + (f" + {-low}" if low else "")
        is_element = self._buffers[access.buffer].type.lanes == lanes
        if is_element or access.index.type.lanes > 1:
            return index
        return f"{index} + {access.stride} * np.arange({lanes})"


def _constant(expr: Const) -> str:
    if expr.type == INDEX:
        return repr(int(expr.value))
    kind = _dtype(expr.type.dtype).replace("bool", "bool_")
    value = float(expr.value) if expr.type.dtype.is_float else int(expr.value)
    # inf and nan are spelled as strings, everything else as a literal.
    return f"np.{kind}({value})" if isfinite(value) else f"np.{kind}({str(value)!r})"


def _dtype(dtype: DType) -> str:
    if dtype == BF16:
        raise TargetError("the target 'python' has no bf16", help="use f32, or the target 'llvm'")
    return "bool" if dtype.name == "bool" else f"{dtype.kind.value}{dtype.bits}"


def _name(name: str) -> str:
    """A Python identifier: the IR's names may contain primes and dots."""
    return "v_" + name.replace("'", "_p").replace(".", "_d").replace("$", "_s").replace("#", "_h")


def _missing(op: str) -> TargetError:
    return TargetError(f"the target 'python' has no operation {op!r}", help="use the target 'llvm'")
