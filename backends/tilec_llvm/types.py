"""How kernel types and constants are spelled in LLVM IR.

A value in memory and in a register may differ: a bool is a byte in memory and ``i1`` in a register.
f16 and bf16 are integers of 16 bits in both; ``casts.py`` alone turns them into floats, so that
no instruction on them can become a call of a run-time library.
"""

from __future__ import annotations

import struct

from tilec.dtypes import DType, Kind
from tilec.kernel.ir import VType

_registers: dict[tuple[str, int], str] = {}
_FLOATS = {"f32": "float", "f64": "double"}

# Types are looked up by name: this runs once per expression, and comparing a name is the cheapest.


def is_narrow(dtype: DType) -> bool:
    """Whether values are held as integers and computed in f32."""
    return dtype.name in ("f16", "bf16")


def element(dtype: DType) -> str:
    """LLVM type of one lane in a register."""
    if dtype.kind is Kind.BOOL:
        return "i1"
    return _FLOATS.get(dtype.name) or f"i{dtype.bits}"


def stored_element(dtype: DType) -> str:
    """LLVM type of one element in memory."""
    return "i8" if dtype.kind is Kind.BOOL else element(dtype)


def vector(scalar: str, lanes: int) -> str:
    """LLVM type of ``lanes`` values of type ``scalar``."""
    return scalar if lanes == 1 else f"<{lanes} x {scalar}>"


def register(kind: VType) -> str:
    """LLVM type of a value in a register."""
    key = kind.dtype.name, kind.lanes
    found = _registers.get(key)
    if found is None:
        found = _registers[key] = vector(element(kind.dtype), kind.lanes)
    return found


def stored(kind: VType) -> str:
    """LLVM type of a value in memory."""
    return register(kind) if kind.dtype.name != "bool" else vector("i8", kind.lanes)


def suffix(scalar: str, lanes: int) -> str:
    """How the names of overloaded intrinsics spell a type."""
    name = {"float": "f32", "double": "f64", "ptr": "p0"}.get(scalar, scalar)
    return name if lanes == 1 else f"v{lanes}{name}"


def literal(value: float, kind: VType) -> str:
    """``value`` rounded to the dtype of ``kind``, in every lane."""
    if kind.lanes == 1 and kind.dtype.name == "i64":
        return _wrapped(int(value), 64)
    return splat(_scalar(value, kind.dtype), element(kind.dtype), kind.lanes)


def splat(text: str, scalar: str, lanes: int) -> str:
    """A constant in every lane."""
    return text if lanes == 1 else f"splat ({scalar} {text})"


def constant_vector(texts: list[str], scalar: str) -> str:
    """A vector constant from its lanes."""
    return "<" + ", ".join(f"{scalar} {text}" for text in texts) + ">"


def _scalar(value: float, dtype: DType) -> str:
    if dtype.kind is Kind.BOOL:
        return "true" if value else "false"
    if dtype.name == "f16":
        return str(struct.unpack("<h", _half(float(value)))[0])
    if dtype.name == "bf16":
        return str(_bf16(float(value)))
    if dtype.name == "f32":
        value = _single(float(value))
    if dtype.is_float:
        return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
    return _wrapped(int(value), dtype.bits)


def _wrapped(value: int, bits: int) -> str:
    """LLVM prints integers as signed ones."""
    half = 1 << (bits - 1)
    return str((value + half) % (half << 1) - half)


def _half(value: float) -> bytes:
    try:
        return struct.pack("<e", value)
    except OverflowError:
        return struct.pack("<e", float("inf") if value > 0 else float("-inf"))


def _single(value: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _bf16(value: float) -> int:
    """Bits of the bf16 nearest to ``value``, as a signed integer."""
    if value != value:
        return 0x7FC0
    bits = struct.unpack("<I", struct.pack("<f", _odd(value)))[0]
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return rounded - (1 << 16) if rounded >> 15 else rounded


def _odd(value: float) -> float:
    """``value`` rounded to f32 so that rounding again cannot be misled (Boldo, Melquiond 2008)."""
    single = _single(value)
    bits = struct.unpack("<I", struct.pack("<f", single))[0]
    if single == value or bits & 1:
        return single
    step = -1 if abs(single) > abs(value) else 1
    return float(struct.unpack("<f", struct.pack("<I", bits + step))[0])
