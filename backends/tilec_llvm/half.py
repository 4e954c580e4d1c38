"""f16 to f32 and back in integer instructions, for processors that have none for it."""

from __future__ import annotations

from tilec.dtypes import F16, F32
from tilec.kernel.ir import VType
from tilec_llvm.types import literal, register, splat, vector
from tilec_llvm.writer import Value, Writer

_INFINITY = 0x7F800000
_SMALLEST_NORMAL = 0x38800000  # 2**-14 in f32
_BEYOND = 0x47800000  # 2**16 in f32: rounds to infinity, as does everything above
_REBIAS = (15 - 127) << 23


class _Words:
    """Vectors of i32."""

    def __init__(self, writer: Writer, lanes: int) -> None:
        self.writer, self.lanes = writer, lanes
        self.kind = vector("i32", lanes)

    def number(self, value: int) -> str:
        return splat(str(value), "i32", self.lanes)

    def op(self, name: str, left: str, right: str | int) -> str:
        text = self.number(right) if isinstance(right, int) else right
        return self.writer.pure(f"{name} {self.kind} {left}, {text}")

    def choose(self, test: str, then: str, otherwise: str) -> str:
        condition = vector("i1", self.lanes)
        return self.writer.pure(
            f"select {condition} {test}, {self.kind} {then}, {self.kind} {otherwise}"
        )


def from_half(writer: Writer, value: Value) -> Value:
    """f16 as f32: the bits in place, scaled by a power of two, which also settles subnormals."""
    words = _Words(writer, value.type.lanes)
    wide = VType(F32, value.type.lanes)
    floats = register(wide)
    bits = writer.pure(f"zext {value.typed} to {words.kind}")
    magnitude = words.op("and", bits, 0x7FFF)
    placed = words.op("shl", magnitude, 13)
    small = writer.pure(f"bitcast {words.kind} {placed} to {floats}")
    scaled = writer.pure(f"fmul {floats} {small}, {literal(2.0**112, wide)}")
    finite = writer.pure(f"bitcast {floats} {scaled} to {words.kind}")
    special = words.op("or", placed, _INFINITY)
    is_special = words.op("icmp uge", magnitude, 0x7C00)
    chosen = words.choose(is_special, special, finite)
    sign = words.op("shl", words.op("and", bits, 0x8000), 16)
    result = words.op("or", chosen, sign)
    return Value(writer.pure(f"bitcast {words.kind} {result} to {floats}"), wide)


def to_half(writer: Writer, value: Value) -> Value:
    """f32 rounded to f16, ties to even."""
    words = _Words(writer, value.type.lanes)
    kind = VType(F16, value.type.lanes)
    bits = writer.pure(f"bitcast {value.typed} to {words.kind}")
    magnitude = words.op("and", bits, 0x7FFFFFFF)
    odd = words.op("and", words.op("lshr", magnitude, 13), 1)
    shifted = words.op("add", magnitude, _REBIAS + 0xFFF)
    normal = words.op("lshr", words.op("add", shifted, odd), 13)
    # Adding 1/2 lets the float unit round at the last place of a subnormal f16.
    bare = writer.pure(f"bitcast {words.kind} {magnitude} to {value.llvm}")
    sum_ = writer.pure(f"fadd {value.llvm} {bare}, {literal(0.5, value.type)}")
    half_bits = writer.pure(f"bitcast {value.llvm} {sum_} to {words.kind}")
    subnormal = words.op("sub", half_bits, 0x3F000000)
    is_small = words.op("icmp ult", magnitude, _SMALLEST_NORMAL)
    finite = words.choose(is_small, subnormal, normal)
    is_nan = words.op("icmp ugt", magnitude, _INFINITY)
    special = words.choose(is_nan, words.number(0x7E00), words.number(0x7C00))
    is_beyond = words.op("icmp uge", magnitude, _BEYOND)
    chosen = words.choose(is_beyond, special, finite)
    sign = words.op("and", words.op("lshr", bits, 16), 0x8000)
    result = words.op("or", chosen, sign)
    return Value(writer.pure(f"trunc {words.kind} {result} to {register(kind)}"), kind)
