"""The nodes that are no contraction, as loops: reshape, gather, scatter and random numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod

from tilec.dtypes import F32, I64, U32, U64, accumulator
from tilec.kernel import build
from tilec.kernel.ir import (
    INDEX,
    Apply,
    Buffer,
    Const,
    Expr,
    For,
    If,
    Let,
    Load,
    LoopKind,
    Scope,
    Stmt,
    Store,
    Var,
    VType,
)
from tilec.kernel.walk import statements
from tilec.lower.translate import Place, convert
from tilec.records import dataclass
from tilec.tensor.affine import Affine
from tilec.tensor.ir import Gather, Map, RandomState, RandomValue, Reshape, Scatter, TensorType
from tilec.tensor.scalar import Read
from tilec.tensor.size import concrete

STREAMS = 2048
"""Independent generators in a random state."""

_LANES = 16


@dataclass(frozen=True, slots=True)
class Body:
    """Statements of a kernel before vectorisation, and what they need.

    Attributes:
        statements: The loops.
        locals: Register buffers.
        schedule: What was chosen for the loops, as text.
        lanes: Lanes of one register for the widest type in it.
        scratch: Buffers in the workspace that only this kernel uses.
        notes: Further lines for the kernel's header.
        stores_once: Whether elements are stored in long runs, each once.
    """

    statements: tuple[Stmt, ...]
    locals: tuple[Buffer, ...] = ()
    schedule: tuple[str, ...] = ()
    lanes: int = 1
    scratch: tuple[Buffer, ...] = ()
    notes: tuple[str, ...] = ()
    stores_once: bool = False


def written(body: tuple[Stmt, ...]) -> set[str]:
    """Names of the buffers that some statements store to."""
    return {stmt.buffer for stmt in statements(body) if isinstance(stmt, Store)}


def copy_map(name: str, source: str, kind: TensorType) -> Map:
    """A map that copies a tensor."""
    indices = tuple(f"i{axis}" for axis in range(len(kind.shape)))
    access = tuple(Affine.index(index) for index in indices)
    return Map(name, kind, indices, Read(source, access, kind.dtype))


def reshape(
    node: Reshape, places: Mapping[str, Place], target: Place, types: Mapping[str, TensorType]
) -> Body:
    """Copies the elements in row-major order of the operand."""
    shape = concrete(types[node.operand].shape)
    source = places[node.operand]
    names = [f"i{axis}" for axis in range(len(shape))]
    kind = VType(node.type.dtype)
    rows = _row_major(names, shape)
    value = Load(source.buffer.name, _address(names, source.strides), kind)
    body: tuple[Stmt, ...] = (Store(target.buffer.name, rows, value),)
    return Body(_nest(names, shape, body), lanes=_LANES)


def gather(
    node: Gather, places: Mapping[str, Place], target: Place, types: Mapping[str, TensorType]
) -> Body:
    """Copies one slice per row number; the numbers are clamped to the axis."""
    data, rows = places[node.data], places[node.rows]
    count = concrete(types[node.rows].shape)
    size, *rest = concrete(types[node.data].shape)
    outer = [f"r{axis}" for axis in range(len(count))]
    inner = [f"i{axis}" for axis in range(len(rest))]
    row, fetch = _row(rows, _address(outer, rows.strides), types[node.rows], size)
    start = build.mul(row, build.const(data.strides[0]))
    offset = build.add(start, _address(inner, data.strides[1:]))
    value = Load(data.buffer.name, offset, VType(node.type.dtype))
    where = _row_major([*outer, *inner], (*count, *rest))
    copy = _nest(inner, tuple(rest), (Store(target.buffer.name, where, value),))
    return Body(_serial(outer, count, (fetch, *copy)), lanes=_LANES)


def scatter(
    node: Scatter, places: Mapping[str, Place], target: Place, types: Mapping[str, TensorType]
) -> Body:
    """Adds one slice per row number, in order; narrow types are summed in their accumulator."""
    updates, rows = places[node.updates], places[node.rows]
    count = concrete(types[node.rows].shape)
    size, *rest = concrete(node.type.shape)
    result, wide = VType(node.type.dtype), VType(accumulator(node.type.dtype))
    total = prod((size, *rest))
    direct = result == wide
    sums = (
        target.buffer
        if direct
        else Buffer(f"{target.buffer.name}.sums", wide, total, writable=True)
    )
    outer = [f"r{axis}" for axis in range(len(count))]
    inner = [f"i{axis}" for axis in range(len(rest))]
    row, fetch = _row(rows, _address(outer, rows.strides), types[node.rows], size)
    start = build.mul(row, build.const(prod(rest)))
    at = build.add(start, _row_major(inner, tuple(rest)))
    value = Load(updates.buffer.name, _address([*outer, *inner], updates.strides), result)
    added = Apply("add", (Load(sums.name, at, wide), convert(value, wide.dtype)), wide)
    add = _nest(inner, tuple(rest), (Store(sums.name, at, added),))
    e = build.var("e")
    zero = Const(0.0 if wide.dtype.is_float else 0, wide)
    clear = _nest(["e"], (total,), (Store(sums.name, e, zero),))
    body = (*clear, *(_serial(outer, count, (fetch, *add))))
    if direct:
        return Body(body, lanes=_LANES)
    narrow = convert(Load(sums.name, e, wide), result.dtype)
    finish = _nest(["e"], (total,), (Store(target.buffer.name, e, narrow),))
    return Body((*body, *finish), lanes=_LANES, scratch=(sums,))


def random_value(node: RandomValue, places: Mapping[str, Place], target: Place) -> Body:
    """One value per step of a stream; stream e % 2048 makes element e."""
    total = prod(concrete(node.type.shape))
    words = _words()
    word = Apply(
        "bit_xor", (Apply("bit_xor", (_get(words[0]), _get(words[1])), _U32), _get(words[2])), _U32
    )
    scaled = Apply("mul", (convert(word, F32), Const(2.0**-32, _F32)), _F32)
    # Rounding to 24 bits would take the highest words to 1, which is outside [0, 1).
    value = Apply("min", (scaled, Const(1.0 - 2.0**-24, _F32)), _F32)
    stream = build.var(".stream")
    step = build.var(".step")
    at = build.add(build.mul(step, build.const(STREAMS)), stream)
    draw = (*_step(words), Store(target.buffer.name, at, value))
    last = build.add(stream, build.const(total // STREAMS * STREAMS))
    final = (*_step(words), Store(target.buffer.name, last, value))
    return _streams(places[node.state], words, total, draw, final, ())


def random_state(node: RandomState, places: Mapping[str, Place], target: Place) -> Body:
    """The state after ``count`` values."""
    (count,) = concrete((node.count,))
    words = _words()
    stream = build.var(".stream")
    save = tuple(
        Store(target.buffer.name, build.add(stream, build.const(axis * STREAMS)), _get(word))
        for axis, word in enumerate(words)
    )
    return _streams(places[node.state], words, count, _step(words), _step(words), save)


_U32, _F32 = VType(U32), VType(F32)


def _streams(
    state: Place,
    words: tuple[Buffer, ...],
    total: int,
    draw: tuple[Stmt, ...],
    final: tuple[Stmt, ...],
    after: tuple[Stmt, ...],
) -> Body:
    """Load each stream, draw as often as all streams do, once more where elements are left."""
    stream = build.var(".stream")
    load = tuple(
        Store(
            word.name,
            build.const(0),
            Load(
                state.buffer.name,
                build.add(
                    build.mul(stream, build.const(state.strides[1])),
                    build.const(axis * state.strides[0]),
                ),
                _U32,
            ),
        )
        for axis, word in enumerate(words)
    )
    rounds, rest = divmod(total, STREAMS)
    body: tuple[Stmt, ...] = load
    if rounds:
        body += (For(".step", build.const(0), build.const(rounds), draw),)
    if rest:
        body += (If(build.compare("cmp_lt", stream, build.const(rest)), final),)
    loop = For(
        ".stream", build.const(0), build.const(STREAMS), (*body, *after), kind=LoopKind.VECTOR
    )
    return Body((loop,), words, lanes=_LANES)


def _step(words: tuple[Buffer, ...]) -> tuple[Stmt, ...]:
    """The three Tausworthe recurrences of PlaidML's generator."""
    rows = ((0xFFFFFFFE, 12, 13, 19), (0xFFFFFFF8, 4, 2, 25), (0xFFFFFFF0, 17, 3, 11))
    stmts: list[Stmt] = []
    for word, (keep, up, mix, down) in zip(words, rows, strict=True):
        s = _get(word)
        kept = _u32("bit_left", _u32("bit_and", s, _number(keep)), _number(up))
        mixed = _u32(
            "bit_right", _u32("bit_xor", _u32("bit_left", s, _number(mix)), s), _number(down)
        )
        stmts.append(Store(word.name, build.const(0), _u32("bit_xor", kept, mixed)))
    return tuple(stmts)


def _words() -> tuple[Buffer, ...]:
    return tuple(
        Buffer(name, _U32, 1, scope=Scope.REGISTER, writable=True) for name in (".s1", ".s2", ".s3")
    )


def _get(buffer: Buffer) -> Load:
    return Load(buffer.name, build.const(0), buffer.type)


def _u32(op: str, *args: Expr) -> Expr:
    return Apply(op, args, _U32)


def _number(value: int) -> Const:
    return Const(value, _U32)


def _row(rows: Place, at: Expr, kind: TensorType, size: int) -> tuple[Var, Let]:
    """The clamped row number at an address, and the statement that fetches it."""
    value: Expr = Load(rows.buffer.name, at, VType(kind.dtype))
    if kind.dtype == U64:  # beyond i64: clamp before converting
        value = Apply("min", (value, Const(max(0, size - 1), VType(U64))), VType(U64))
    index = convert(value, I64)
    high = Apply("min", (index, build.const(max(0, size - 1))), INDEX)
    row = build.var("row")
    return row, Let(row, Apply("max", (high, build.const(0)), INDEX))


def _address(names: list[str], strides: tuple[int, ...]) -> Expr:
    total: Expr = build.const(0)
    for name, stride in zip(names, strides, strict=True):
        total = build.add(total, build.mul(build.var(name), build.const(stride)))
    return total


def _row_major(names: list[str], shape: tuple[int, ...]) -> Expr:
    return _address(names, tuple(prod(shape[axis + 1 :]) for axis in range(len(shape))))


def _serial(names: list[str], shape: tuple[int, ...], body: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
    for name, extent in zip(reversed(names), reversed(shape), strict=True):
        body = (For(name, build.const(0), build.const(extent), body),)
    return body


def _nest(names: list[str], shape: tuple[int, ...], body: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
    """Loops of which the innermost becomes vectors."""
    loops = _serial(names, shape, body)
    return _vector_innermost(loops) if names else loops


def _vector_innermost(loops: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
    (loop,) = loops
    if not isinstance(loop, For):
        return loops
    if len(loop.body) == 1 and isinstance(loop.body[0], For):
        return (replace(loop, body=_vector_innermost(loop.body)),)
    return (replace(loop, kind=LoopKind.VECTOR),)
