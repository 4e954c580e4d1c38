"""Loads and stores: contiguous, strided, gathered, with and without mask."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tilec.dtypes import BOOL
from tilec.kernel.ir import Buffer, Scope, VType
from tilec.records import dataclass
from tilec_llvm.arithmetic import shuffle
from tilec_llvm.math import Definition
from tilec_llvm.types import (
    constant_vector,
    literal,
    splat,
    stored,
    stored_element,
    suffix,
    vector,
)
from tilec_llvm.writer import Value, Writer

SHUFFLED_STRIDES = 8
"""Up to this distance between lanes, whole vectors are read and shuffled; beyond it the lanes are
read one by one. Measured on Cascade Lake, f32, 16 lanes: 0.1 ns per element for stride 2, 0.2
for 6, 0.45 for 8; one by one 0.4."""

SHUFFLED_BYTES = 4096
"""Reach of a shuffled read. No page lies between its ends that holds neither of them, so the
elements between the lanes can be read whatever they belong to."""

LINE_BYTES: Final = 64
"""Size of a cache line."""

PAST_CACHES: Final = "!nontemporal !0"
"""What LLVM calls a store that does not go through the caches."""

_NONTEMPORAL = Definition("nontemporal", "!0 = !{i32 1}\n")
_ZERO = Definition("tilec.zero", "@tilec.zero = private unnamed_addr constant i64 0, align 8\n")
"""What is read where nothing may be read."""


@dataclass(frozen=True, slots=True)
class Place:
    """A buffer in the function being written.

    Attributes:
        buffer: Its type and scope.
        pointer: LLVM name of the address that offsets count from.
        is_start: Whether that is the address of the buffer.
    """

    buffer: Buffer
    pointer: str
    is_start: bool = True

    def at(self, pointer: str) -> Place:
        """The buffer as seen from an address that need not be inside."""
        return self if pointer == self.pointer else Place(self.buffer, pointer, is_start=False)

    @property
    def align(self) -> int:
        """Bytes by which every element is surely aligned."""
        return self.buffer.type.dtype.bytes


def load(
    writer: Writer, place: Place, index: Value, kind: VType, stride: int, mask: Value | None
) -> Value:
    """Read ``kind`` from a buffer; see ``tilec.kernel.ir.Load``."""
    if index.type.lanes > 1:
        return _gather(writer, place, _addresses(writer, place, index), kind, mask)
    if place.buffer.type.lanes > 1:
        value = _plain_load(writer, place, _address(writer, place, index), kind)
        return value if mask is None else _masked(writer, mask, value)
    if kind.lanes == 1:
        return _scalar_load(writer, place, index, kind, mask)
    if stride == 0:
        return _broadcast(writer, place, index, kind, mask)
    if stride in (1, -1):
        return _contiguous_load(writer, place, index, kind, stride, mask)
    if mask is None and _shuffles(place, kind, stride):
        return _shuffled_load(writer, place, index, kind, stride)
    if mask is None:
        return _spaced_load(writer, place, index, kind, stride)
    return _gather(writer, place, _ramp(writer, place, index, kind, stride), kind, mask)


def store(
    writer: Writer, place: Place, index: Value, value: Value, stride: int, mask: Value | None
) -> None:
    """Write to a buffer; see ``tilec.kernel.ir.Store``."""
    _store(writer, place, index, value, stride, mask)
    writer.wrote(place.buffer.name)


def store_past_caches(writer: Writer, place: Place, index: Value, value: Value) -> None:
    """Write consecutive elements to memory without reading their cache lines first.

    The instructions for that want aligned addresses, which are only known here: what is not at the
    beginning of a line is stored like anything else.
    """
    pointer = _address(writer, place, index)
    stored_value = _to_memory(writer, value)
    address = writer.pure(f"ptrtoint ptr {pointer} to i64")
    rest = writer.pure(f"and i64 {address}, {LINE_BYTES - 1}")
    whole = writer.pure(f"icmp eq i64 {rest}, 0")
    then, otherwise, join = writer.label("past"), writer.label("through"), writer.label("join")
    writer.do(f"br i1 {whole}, label %{then}, label %{otherwise}")
    writer.open(then)
    writer.use(_NONTEMPORAL)
    writer.do(f"store {stored_value}, ptr {pointer}, align {LINE_BYTES}, {PAST_CACHES}")
    writer.do(f"br label %{join}")
    writer.open(otherwise)
    writer.do(f"store {stored_value}, ptr {pointer}, align {place.align}")
    writer.do(f"br label %{join}")
    writer.open(join)
    writer.wrote(place.buffer.name)


def prefetch(writer: Writer, place: Place, index: Value, *, to_write: bool) -> None:
    """Ask for the cache line of an element, to be read or written, kept in all levels."""
    pointer = _address(writer, place, index, inbounds=False)
    writer.do(f"call void @llvm.prefetch.p0(ptr {pointer}, i32 {int(to_write)}, i32 3, i32 1)")


def _store(
    writer: Writer, place: Place, index: Value, value: Value, stride: int, mask: Value | None
) -> None:
    if index.type.lanes > 1:
        _scatter(writer, place, _addresses(writer, place, index), value, mask)
    elif place.buffer.type.lanes > 1:
        pointer = _address(writer, place, index)
        if mask is not None:
            old = _plain_load(writer, place, pointer, value.type)
            chosen = writer.pure(f"select {mask.typed}, {value.typed}, {old.typed}")
            value = Value(chosen, value.type)
        _plain_store(writer, place, pointer, value)
    elif value.type.lanes == 1:
        _scalar_store(writer, place, index, value, mask)
    elif stride in (1, -1):
        _contiguous_store(writer, place, index, value, stride, mask)
    else:
        _scatter(writer, place, _ramp(writer, place, index, value.type, stride), value, mask)


def _address(writer: Writer, place: Place, index: Value, *, inbounds: bool = True) -> str:
    """Address of one element. That of a lane that is masked off may lie outside the buffer."""
    if index.known == 0:
        return place.pointer
    flag = "inbounds " if inbounds and place.is_start else ""
    unit = stored(place.buffer.type)
    return writer.pure(f"getelementptr {flag}{unit}, ptr {place.pointer}, {index.typed}")


def _addresses(writer: Writer, place: Place, index: Value) -> str:
    unit = stored(place.buffer.type)
    return writer.pure(f"getelementptr {unit}, ptr {place.pointer}, {index.typed}")


def _ramp(writer: Writer, place: Place, index: Value, kind: VType, stride: int) -> str:
    """Addresses of lanes ``stride`` elements apart."""
    first = _address(writer, place, index, inbounds=False)
    steps = constant_vector([str(lane * stride) for lane in range(kind.lanes)], "i64")
    unit, offsets = stored(place.buffer.type), vector("i64", kind.lanes)
    return writer.pure(f"getelementptr {unit}, ptr {first}, {offsets} {steps}")


def _plain_load(writer: Writer, place: Place, pointer: str, kind: VType) -> Value:
    instruction = f"load {stored(kind)}, ptr {pointer}, align {place.align}"
    text = writer.read(instruction, place.buffer.name)
    return _from_memory(writer, text, kind)


def _plain_store(writer: Writer, place: Place, pointer: str, value: Value) -> None:
    writer.do(f"store {_to_memory(writer, value)}, ptr {pointer}, align {place.align}")


def _scalar_load(
    writer: Writer, place: Place, index: Value, kind: VType, mask: Value | None
) -> Value:
    if mask is None:
        return _plain_load(writer, place, _address(writer, place, index), kind)
    pointer = _address(writer, place, index, inbounds=False)
    safe = writer.pure(f"select {mask.typed}, ptr {pointer}, ptr {writer.use(_ZERO)}")
    return _plain_load(writer, place, safe, kind)


def _scalar_store(
    writer: Writer, place: Place, index: Value, value: Value, mask: Value | None
) -> None:
    if mask is None:
        _plain_store(writer, place, _address(writer, place, index), value)
        return
    stored_value = _to_memory(writer, value)
    pointer = _address(writer, place, index, inbounds=False)
    then, join = writer.label("write"), writer.label("join")
    writer.do(f"br {mask.typed}, label %{then}, label %{join}")
    writer.open(then)
    writer.do(f"store {stored_value}, ptr {pointer}, align {place.align}")
    writer.do(f"br label %{join}")
    writer.open(join)


def _broadcast(
    writer: Writer, place: Place, index: Value, kind: VType, mask: Value | None
) -> Value:
    """All lanes read the same element, if any lane does."""
    some = mask
    if mask is not None:
        name = f"@llvm.vector.reduce.or.{suffix('i1', kind.lanes)}"
        some = Value(writer.pure(f"call i1 {name}({mask.typed})"), VType(BOOL))
    value = _scalar_load(writer, place, index, VType(kind.dtype), some)
    wide = spread(writer, value, kind.lanes)
    return wide if mask is None else _masked(writer, mask, wide)


def spread(writer: Writer, value: Value, lanes: int) -> Value:
    """A scalar in every lane."""
    kind = VType(value.type.dtype, lanes)
    if value.known is not None:
        return Value(literal(value.known, kind), kind, value.known)
    if not value.text.startswith("%"):
        return Value(splat(value.text, value.llvm, lanes), kind)
    wide = vector(value.llvm, lanes)
    first = writer.pure(f"insertelement {wide} poison, {value.typed}, i32 0")
    text = f"shufflevector {wide} {first}, {wide} poison, {vector('i32', lanes)} zeroinitializer"
    return Value(writer.pure(text), kind)


def _contiguous_load(
    writer: Writer, place: Place, index: Value, kind: VType, stride: int, mask: Value | None
) -> Value:
    first, mask = _downward(writer, index, kind, stride, mask)
    pointer = _address(writer, place, first, inbounds=mask is None)
    if mask is None:
        value = _plain_load(writer, place, pointer, kind)
    else:
        unit = stored(kind)
        name = f"@llvm.masked.load.{suffix(stored_element(kind.dtype), kind.lanes)}.p0"
        text = writer.read(
            f"call {unit} {name}(ptr align {place.align} {pointer}, {mask.typed}, "
            f"{unit} zeroinitializer)",
            place.buffer.name,
        )
        value = _from_memory(writer, text, kind)
    return _reversed(writer, value) if stride < 0 else value


def _contiguous_store(
    writer: Writer, place: Place, index: Value, value: Value, stride: int, mask: Value | None
) -> None:
    kind = value.type
    value = _reversed(writer, value) if stride < 0 else value
    first, mask = _downward(writer, index, kind, stride, mask)
    pointer = _address(writer, place, first, inbounds=mask is None)
    if mask is None:
        _plain_store(writer, place, pointer, value)
        return
    unit = stored_element(kind.dtype)
    name = f"@llvm.masked.store.{suffix(unit, kind.lanes)}.p0"
    stored_value = _to_memory(writer, value)
    if unit in ("i8", "i16", "i32"):
        mask = _opaque(writer, mask)
    writer.do(f"call void {name}({stored_value}, ptr align {place.align} {pointer}, {mask.typed})")


def _downward(
    writer: Writer, index: Value, kind: VType, stride: int, mask: Value | None
) -> tuple[Value, Value | None]:
    """Lowest index and mask in memory order of an access upward or downward."""
    if stride > 0:
        return index, mask
    first = _plus(writer, index, 1 - kind.lanes)
    return first, None if mask is None else _reversed(writer, mask)


def _plus(writer: Writer, index: Value, offset: int) -> Value:
    if index.known is not None:
        known = index.known + offset
        return Value(str(known), index.type, known)
    return Value(writer.pure(f"add {index.typed}, {offset}"), index.type)


def _reversed(writer: Writer, value: Value) -> Value:
    return shuffle(writer, value, value, list(reversed(range(value.type.lanes))))


def _shuffles(place: Place, kind: VType, stride: int) -> bool:
    reach = abs(stride) * kind.lanes * kind.dtype.bytes
    return (
        abs(stride) <= SHUFFLED_STRIDES
        and reach <= SHUFFLED_BYTES
        and place.buffer.scope is not Scope.REGISTER
    )


def _shuffled_load(writer: Writer, place: Place, index: Value, kind: VType, stride: int) -> Value:
    """Lanes a few elements apart: whole vectors that end where the last lane does, shuffled."""
    step, lanes = abs(stride), kind.lanes
    reach = (lanes - 1) * step
    low = index if stride > 0 else _plus(writer, index, -reach)
    starts = [min(part * lanes, reach + 1 - lanes) for part in range(step)]
    parts = [
        _plain_load(writer, place, _address(writer, place, _plus(writer, low, start)), kind)
        for start in starts
    ]
    result = parts[0]
    filled = lanes  # elements from ``low`` on that have been read
    for part, start in zip(parts[1:], starts[1:], strict=True):
        chosen: list[int] = []
        for lane in range(lanes):
            at = lane * step
            if at < filled:
                chosen.append(lane if result is not parts[0] else at)
            else:
                chosen.append(lanes + min(max(at - start, 0), lanes - 1))
        result = shuffle(writer, result, part, chosen)
        filled = start + lanes
    return _reversed(writer, result) if stride < 0 else result


def _gather(writer: Writer, place: Place, addresses: str, kind: VType, mask: Value | None) -> Value:
    """Lanes at addresses of their own, read one by one.

    Gather instructions are no faster on any current x86 core, and three times slower (1.4 ns per
    element, measured) on those whose microcode guards them against data sampling.
    """
    lanes = kind.lanes
    pointers = f"<{lanes} x ptr>"
    if mask is not None:
        nothing = splat(writer.use(_ZERO), "ptr", lanes)
        addresses = writer.pure(
            f"select {mask.typed}, {pointers} {addresses}, {pointers} {nothing}"
        )
    each = (writer.pure(f"extractelement {pointers} {addresses}, i32 {n}") for n in range(lanes))
    return _one_by_one(writer, place, each, kind)


def _spaced_load(writer: Writer, place: Place, index: Value, kind: VType, stride: int) -> Value:
    """Lanes too far apart for whole vectors."""
    unit, first = stored(place.buffer.type), _address(writer, place, index)
    each = (
        writer.pure(f"getelementptr inbounds {unit}, ptr {first}, i64 {lane * stride}")
        for lane in range(kind.lanes)
    )
    return _one_by_one(writer, place, each, kind)


def _one_by_one(writer: Writer, place: Place, pointers: Iterable[str], kind: VType) -> Value:
    unit, wide = stored_element(kind.dtype), stored(kind)
    text = "poison"
    for lane, pointer in enumerate(pointers):
        instruction = f"load {unit}, ptr {pointer}, align {place.align}"
        item = writer.read(instruction, place.buffer.name)
        text = writer.pure(f"insertelement {wide} {text}, {unit} {item}, i32 {lane}")
    return _from_memory(writer, text, kind)


def _scatter(
    writer: Writer, place: Place, addresses: str, value: Value, mask: Value | None
) -> None:
    """Lanes are written from first to last, so that of equal addresses the last lane stays.

    Scatter instructions are measured to be as fast as single stores, or faster.
    """
    lanes = value.type.lanes
    name = f"@llvm.masked.scatter.{suffix(stored_element(value.type.dtype), lanes)}.v{lanes}p0"
    writer.do(
        f"call void {name}({_to_memory(writer, value)}, "
        f"<{lanes} x ptr> align {place.align} {addresses}, {_mask(mask, lanes)})"
    )


def _mask(mask: Value | None, lanes: int) -> str:
    return f"<{lanes} x i1> splat (i1 true)" if mask is None else mask.typed


def _opaque(writer: Writer, mask: Value) -> Value:
    """The same mask, of which LLVM cannot know that it is constant.

    LLVM 22 on x86 makes of a masked store of truncated elements, whose mask is known to have one
    lane, a store of the lane before its truncation, which writes beyond the element.
    """
    one = writer.pure('call i8 asm "", "=r,0"(i8 1)')
    true = writer.pure(f"trunc i8 {one} to i1")
    nothing = f"<{mask.type.lanes} x i1> zeroinitializer"
    return Value(writer.pure(f"select i1 {true}, {mask.typed}, {nothing}"), mask.type)


def _masked(writer: Writer, mask: Value, value: Value) -> Value:
    zero = literal(0, value.type)
    return Value(
        writer.pure(f"select {mask.typed}, {value.typed}, {value.llvm} {zero}"), value.type
    )


def _from_memory(writer: Writer, text: str, kind: VType) -> Value:
    """Bools are bytes in memory, and every byte but 0 is true."""
    if kind.dtype != BOOL:
        return Value(text, kind)
    zero = splat("0", "i8", kind.lanes)
    return Value(writer.pure(f"icmp ne {stored(kind)} {text}, {zero}"), kind)


def _to_memory(writer: Writer, value: Value) -> str:
    """Type and operand of a value as it is stored."""
    if value.type.dtype != BOOL:
        return value.typed
    kind = stored(value.type)
    return f"{kind} {writer.pure(f'zext {value.typed} to {kind}')}"
