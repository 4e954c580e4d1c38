"""Kernel IR as readable pseudo-code, the same text for the same kernel.

``A[i]`` reads one element, ``A[i; 16]`` sixteen that lie side by side, ``A[i; 16 by -2]`` sixteen
that lie two apart downward, ``A[<v>]`` those at the offsets in a vector; ``if m`` after an access
is its mask. Constants carry their dtype unless it is i64, f32 or bool.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Final, assert_never

from tilec.dtypes import F32, I64, Kind
from tilec.kernel.ir import (
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
    LoopKind,
    Module,
    Prefetch,
    Ramp,
    Splat,
    Stmt,
    Store,
    Var,
    Zip,
)

_INDENT: Final = "  "

# Symbol and binding strength of what is written between its operands, as in Tile.
_INFIX: Final = {
    "logical_or": ("||", 1),
    "logical_and": ("&&", 2),
    "bit_xor": ("^", 3),
    "bit_or": ("|", 4),
    "bit_and": ("&", 5),
    "cmp_eq": ("==", 6),
    "cmp_ne": ("!=", 6),
    "cmp_lt": ("<", 7),
    "cmp_le": ("<=", 7),
    "cmp_gt": (">", 7),
    "cmp_ge": (">=", 7),
    "bit_left": ("<<", 8),
    "bit_right": (">>", 8),
    "add": ("+", 9),
    "sub": ("-", 9),
    "mul": ("*", 10),
    "div": ("/", 10),
    "mod": ("%", 10),
}
_PREFIX: Final = {"neg": "-", "logical_not": "!", "bit_not": "~"}
_PREFIX_LEVEL: Final = 11
_NOT_ASSOCIATIVE: Final = frozenset({6, 7})

_KINDS: Final = {
    LoopKind.SERIAL: "",
    LoopKind.PARALLEL: "parallel ",
    LoopKind.UNROLL: "unrolled ",
    LoopKind.VECTOR: "vector ",
    LoopKind.GROUP: "group ",
    LoopKind.ITEM: "item ",
}


def print_module(module: Module) -> str:
    """A module: its buffers, the calls in order, then every kernel."""
    lines = [f"module {module.name} {{"]
    lines += [f"{_INDENT}input {_buffer(buffer)}" for buffer in module.inputs]
    lines += [f"{_INDENT}output {_buffer(buffer)}" for buffer in module.outputs]
    for temporary in module.temporaries:
        at = temporary.offset_bytes
        lines.append(f"{_INDENT}temporary {_buffer(temporary.buffer)} at byte {at}")
    for item in module.constants:
        digest = sha256(item.data).hexdigest()[:16]
        lines.append(f"{_INDENT}constant {_buffer(item.buffer)} sha256 {digest}")
    for view in module.views:
        at = f"of {view.whole} at element {view.offset}"
        at += f" in runs of {view.run} each {view.pitch}" if view.pitch else ""
        lines.append(f"{_INDENT}view {_buffer(view.buffer)} {at}")
    lines.append(f"{_INDENT}workspace {module.workspace_bytes} bytes")
    for call in module.calls:
        title = f"  // {call.title}" if call.title else ""
        lines.append(f"{_INDENT}{call.kernel}({', '.join(call.args)}){title}")
    parts = ["\n".join([*lines, "}"]), *(print_kernel(kernel) for kernel in module.kernels)]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def print_kernel(kernel: Kernel) -> str:
    """A kernel under its header."""
    lines = [f"// {line}" for line in kernel.header]
    params = ", ".join(
        f"{'out ' if buffer.writable else ''}{_buffer(buffer)}" for buffer in kernel.params
    )
    lines.append(f"kernel {kernel.name}({params}) {{")
    lines += [f"{_INDENT}{buffer.scope.value} {_buffer(buffer)}" for buffer in kernel.locals]
    lines += _block(kernel.body, 1)
    return "\n".join([*lines, "}"]) + "\n"


def print_statement(stmt: Stmt) -> str:
    """One statement and what it contains."""
    return "\n".join(_statement(stmt, 0))


def print_expression(expr: Expr) -> str:
    """One expression."""
    return _expression(expr, 0)


def _buffer(buffer: Buffer) -> str:
    extent = str(buffer.high) if buffer.low == 0 else f"{buffer.low}..{buffer.high}"
    return f"{buffer.name}: {buffer.type}[{extent}]"


def _block(body: tuple[Stmt, ...], depth: int) -> Iterator[str]:
    for stmt in body:
        yield from _statement(stmt, depth)


def _statement(stmt: Stmt, depth: int) -> Iterator[str]:
    pad = _INDENT * depth
    match stmt:
        case For():
            bounds = f"{_expression(stmt.start, 0)} .. {_expression(stmt.stop, 0)}"
            step = f" by {stmt.step}" if stmt.step != 1 else ""
            yield f"{pad}{_KINDS[stmt.kind]}for {stmt.var} in {bounds}{step} {{"
            yield from _block(stmt.body, depth + 1)
            yield f"{pad}}}"
        case If():
            yield f"{pad}if {_expression(stmt.condition, 0)} {{"
            yield from _block(stmt.then, depth + 1)
            if stmt.otherwise:
                yield f"{pad}}} else {{"
                yield from _block(stmt.otherwise, depth + 1)
            yield f"{pad}}}"
        case Store():
            lanes = stmt.value.type.lanes
            where = _access(stmt.buffer, stmt.index, lanes, stmt.stride)
            mask = "" if stmt.mask is None else f" if {_expression(stmt.mask, 0)}"
            hint = "nontemporal " if stmt.nontemporal else ""
            yield f"{pad}{hint}{where} = {_expression(stmt.value, 0)}{mask}"
        case Prefetch():
            purpose = " to write" if stmt.to_write else ""
            yield f"{pad}prefetch{purpose} {stmt.buffer}[{_expression(stmt.index, 0)}]"
        case Barrier():
            yield f"{pad}barrier"
        case Let():
            yield f"{pad}let {stmt.var.name}: {stmt.var.type} = {_expression(stmt.value, 0)}"
        case _:
            assert_never(stmt)


def _access(buffer: str, index: Expr, lanes: int, stride: int) -> str:
    where = _expression(index, 0)
    if index.type.lanes > 1:
        return f"{buffer}[<{where}>]"
    if lanes == 1:
        return f"{buffer}[{where}]"
    by = "" if stride == 1 else f" by {stride}"
    return f"{buffer}[{where}; {lanes}{by}]"


def _expression(expr: Expr, level: int) -> str:
    """``expr`` in parentheses where it binds less strongly than ``level``."""
    match expr:
        case Const():
            return _constant(expr)
        case Var():
            return expr.name
        case Load():
            text = _access(expr.buffer, expr.index, expr.type.lanes, expr.stride)
            return text if expr.mask is None else f"({text} if {_expression(expr.mask, 0)})"
        case Apply():
            return _apply(expr, level)
        case Splat():
            return f"splat{expr.type.lanes}({_expression(expr.arg, 0)})"
        case Ramp():
            by = "" if expr.stride == 1 else f" by {expr.stride}"
            return f"ramp{expr.type.lanes}({_expression(expr.start, 0)}{by})"
        case Fold():
            return f"fold_{expr.op}({_expression(expr.arg, 0)})"
        case Zip():
            half = "upper" if expr.upper else "lower"
            return f"zip_{half}({_expression(expr.first, 0)}, {_expression(expr.second, 0)})"
        case _:
            assert_never(expr)


def _apply(expr: Apply, level: int) -> str:
    if expr.op in _INFIX and len(expr.args) == 2:
        symbol, own = _INFIX[expr.op]
        left, right = expr.args
        negative = expr.op == "add" and isinstance(right, Const) and _is_negative(right)
        if negative and isinstance(right, Const):  # i - 1 rather than i + -1
            symbol, right = "-", Const(-right.value, right.type)
        first = _expression(left, own + 1 if own in _NOT_ASSOCIATIVE else own)
        text = f"{first} {symbol} {_expression(right, own + 1)}"
        return f"({text})" if own < level else text
    if expr.op in _PREFIX and len(expr.args) == 1:
        text = f"{_PREFIX[expr.op]}{_expression(expr.args[0], _PREFIX_LEVEL + 1)}"
        return f"({text})" if level > _PREFIX_LEVEL else text
    name = str(expr.type) if expr.op == "cast" else expr.op
    return f"{name}({', '.join(_expression(arg, 0) for arg in expr.args)})"


def _constant(expr: Const) -> str:
    dtype = expr.type.dtype
    if dtype.kind is Kind.BOOL:
        return "true" if expr.value else "false"
    if dtype.is_float:
        text = repr(float(expr.value))
        return text if dtype == F32 else f"{text}_{dtype}"
    return str(int(expr.value)) if dtype == I64 else f"{int(expr.value)}_{dtype}"


def _is_negative(expr: Const) -> bool:
    return not expr.type.dtype.is_float and expr.value < 0 and not isinstance(expr.value, bool)
