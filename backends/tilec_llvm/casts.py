"""Conversions between dtypes, each rounded or wrapped once, without run-time library."""

from __future__ import annotations

from tilec.dtypes import BF16, BOOL, F16, F32, F64, I64, U64, DType, Kind
from tilec.kernel.ir import VType
from tilec_llvm.half import from_half, to_half
from tilec_llvm.types import element, is_narrow, literal, register, splat, vector
from tilec_llvm.writer import Value, Writer


def cast(writer: Writer, value: Value, dtype: DType) -> Value:
    """``value`` converted lane by lane, as the operation ``cast`` says."""
    source = value.type.dtype
    if source == dtype:
        return value
    if dtype == BOOL:
        return truth(writer, value)
    if is_narrow(source):
        return cast(writer, widen(writer, value), dtype)
    if is_narrow(dtype):
        return _narrow(writer, value, dtype)
    if source.is_float and dtype.is_float:
        return _convert(writer, "fpext" if dtype == F64 else "fptrunc", value, dtype)
    if source.is_float:
        return _float_to_integer(writer, value, dtype)
    if dtype.is_float:
        op = "sitofp" if source.is_signed else "uitofp"
        return _convert(writer, op, value, dtype)
    if source.kind is not Kind.BOOL and source.bits == dtype.bits:
        return Value(value.text, VType(dtype, value.type.lanes))
    if source.kind is not Kind.BOOL and source.bits > dtype.bits:
        return _convert(writer, "trunc", value, dtype)
    return _convert(writer, "sext" if source.is_signed else "zext", value, dtype)


def truth(writer: Writer, value: Value) -> Value:
    """``value != 0``; NaN is true."""
    kind = VType(BOOL, value.type.lanes)
    if value.type.dtype == BOOL:
        return value
    if is_narrow(value.type.dtype):
        value = widen(writer, value)
    zero = literal(0, value.type)
    op = "fcmp une" if value.type.dtype.is_float else "icmp ne"
    return Value(writer.pure(f"{op} {value.typed}, {zero}"), kind)


def widen(writer: Writer, value: Value) -> Value:
    """f16 and bf16 as f32, exactly; other values unchanged."""
    lanes = value.type.lanes
    wide = VType(F32, lanes)
    if value.type.dtype == F16 and not writer.abilities.half:
        return from_half(writer, value)
    if value.type.dtype == F16:
        half = vector("half", lanes)
        bits = writer.pure(f"bitcast {value.typed} to {half}")
        return Value(writer.pure(f"fpext {half} {bits} to {register(wide)}"), wide)
    if value.type.dtype == BF16:
        words = vector("i32", lanes)
        upper = writer.pure(f"zext {value.typed} to {words}")
        shifted = writer.pure(f"shl {words} {upper}, {splat('16', 'i32', lanes)}")
        return Value(writer.pure(f"bitcast {words} {shifted} to {register(wide)}"), wide)
    return value


def _convert(writer: Writer, op: str, value: Value, dtype: DType) -> Value:
    kind = VType(dtype, value.type.lanes)
    return Value(writer.pure(f"{op} {value.typed} to {register(kind)}"), kind)


def _narrow(writer: Writer, value: Value, dtype: DType) -> Value:
    """To f16 or bf16, rounded once to nearest even."""
    value = _to_f32_for_rounding(writer, value)
    lanes = value.type.lanes
    kind = VType(dtype, lanes)
    if dtype == F16 and not writer.abilities.half:
        return to_half(writer, value)
    if dtype == F16:
        half = vector("half", lanes)
        rounded = writer.pure(f"fptrunc {value.typed} to {half}")
        return Value(writer.pure(f"bitcast {half} {rounded} to {register(kind)}"), kind)
    words = vector("i32", lanes)

    def number(value: int) -> str:
        return splat(str(value), "i32", lanes)

    bits = writer.pure(f"bitcast {value.typed} to {words}")
    upper = writer.pure(f"lshr {words} {bits}, {number(16)}")
    even = writer.pure(f"and {words} {upper}, {number(1)}")
    bias = writer.pure(f"add {words} {even}, {number(0x7FFF)}")
    sum_ = writer.pure(f"add {words} {bits}, {bias}")
    rounded = writer.pure(f"lshr {words} {sum_}, {number(16)}")
    quiet = writer.pure(f"or {words} {upper}, {number(0x40)}")
    is_nan = writer.pure(f"fcmp uno {value.typed}, {value.text}")
    chosen = writer.pure(
        f"select {vector('i1', lanes)} {is_nan}, {words} {quiet}, {words} {rounded}"
    )
    return Value(writer.pure(f"trunc {words} {chosen} to {register(kind)}"), kind)


def _to_f32_for_rounding(writer: Writer, value: Value) -> Value:
    """A value as the f32 that rounds to the same f16 or bf16: to odd where f32 cannot hold it.

    Rounding to odd keeps what a second rounding needs to know (Boldo and Melquiond 2008): the
    result is odd whenever anything was lost.
    """
    dtype = value.type.dtype
    if dtype == F32:
        return value
    if not dtype.is_float:
        if dtype.kind is Kind.BOOL or dtype.bits <= 16:
            return cast(writer, value, F32)
        value = cast(writer, _sticky(writer, value), F64)
    single = _convert(writer, "fptrunc", value, F32)
    back = _convert(writer, "fpext", single, F64)
    lanes = value.type.lanes
    words, double = vector("i32", lanes), register(value.type)
    one = splat("1", "i32", lanes)
    bits = writer.pure(f"bitcast {single.typed} to {words}")
    odd = writer.pure(f"and {words} {bits}, {one}")
    exact = writer.pure(f"fcmp ueq {double} {back.text}, {value.text}")
    bare = [
        writer.pure(f"call {double} @llvm.fabs.{'f64' if lanes == 1 else f'v{lanes}f64'}({item})")
        for item in (back.typed, value.typed)
    ]
    above = writer.pure(f"fcmp ogt {double} {bare[0]}, {bare[1]}")
    conditions = vector("i1", lanes)
    step = writer.pure(
        f"select {conditions} {above}, {words} {splat('-1', 'i32', lanes)}, {words} {one}"
    )
    is_odd = writer.pure(f"icmp ne {words} {odd}, {splat('0', 'i32', lanes)}")
    keep = writer.pure(f"or {conditions} {exact}, {is_odd}")
    moved = writer.pure(f"add {words} {bits}, {step}")
    chosen = writer.pure(f"select {conditions} {keep}, {words} {bits}, {words} {moved}")
    return Value(writer.pure(f"bitcast {words} {chosen} to {single.llvm}"), single.type)


def _sticky(writer: Writer, value: Value) -> Value:
    """An integer of 64 bits that f64 can hold and that rounds to the same f16 or bf16.

    Of a value from 2**32 on, the low 12 bits only matter as zero or not: both formats keep less
    than 20 bits. One set bit in their middle says so.
    """
    if value.type.dtype.bits < 64:
        return value
    kind, lanes = value.llvm, value.type.lanes

    def number(value: int) -> str:
        return splat(str(value), "i64", lanes)

    low = writer.pure(f"and {kind} {value.text}, {number(0xFFF)}")
    some = writer.pure(f"icmp ne {kind} {low}, {number(0)}")
    high = writer.pure(f"and {kind} {value.text}, {number(-0x1000)}")
    marked = writer.pure(f"or {kind} {high}, {number(0x800)}")
    conditions = vector("i1", lanes)
    shortened = writer.pure(f"select {conditions} {some}, {kind} {marked}, {kind} {high}")
    if value.type.dtype.is_signed:
        offset = writer.pure(f"add {kind} {value.text}, {number(1 << 32)}")
        small = writer.pure(f"icmp ult {kind} {offset}, {number(1 << 33)}")
    else:
        small = writer.pure(f"icmp ult {kind} {value.text}, {number(1 << 32)}")
    text = writer.pure(f"select {conditions} {small}, {value.typed}, {kind} {shortened}")
    return Value(text, value.type)


def _float_to_integer(writer: Writer, value: Value, dtype: DType) -> Value:
    """Toward zero, NaN to 0, saturated at i64 (u64: up to its own highest), then wrapped."""
    lanes = value.type.lanes
    floats, words = value.llvm, vector("i64", lanes)
    conditions = vector("i1", lanes)

    def bound(exponent: int, *, negative: bool = False) -> str:
        return literal((-1.0 if negative else 1.0) * 2.0**exponent, value.type)

    # fptosi out of range is poison: the value is clamped below, and frozen and replaced above.
    lowest = bound(63, negative=True)
    below = writer.pure(f"fcmp olt {value.typed}, {lowest}")
    clamped = writer.pure(f"select {conditions} {below}, {floats} {lowest}, {value.typed}")
    signed = writer.pure(f"fptosi {floats} {clamped} to {words}")
    frozen = writer.pure(f"freeze {words} {signed}")
    above = writer.pure(f"fcmp oge {value.typed}, {bound(63)}")
    highest = splat(str((1 << 63) - 1), "i64", lanes)
    if dtype == U64:
        unsigned = writer.pure(f"fptoui {value.typed} to {words}")
        thawed = writer.pure(f"freeze {words} {unsigned}")
        beyond = writer.pure(f"fcmp oge {value.typed}, {bound(64)}")
        ones = splat("-1", "i64", lanes)
        highest = writer.pure(f"select {conditions} {beyond}, {words} {ones}, {words} {thawed}")
    high = writer.pure(f"select {conditions} {above}, {words} {highest}, {words} {frozen}")
    is_nan = writer.pure(f"fcmp uno {value.typed}, {value.text}")
    zero = splat("0", "i64", lanes)
    number = writer.pure(f"select {conditions} {is_nan}, {words} {zero}, {words} {high}")
    result = Value(number, VType(I64, lanes))
    if dtype.bits == 64:
        return Value(number, VType(dtype, lanes))
    kind = vector(element(dtype), lanes)
    return Value(writer.pure(f"trunc {result.typed} to {kind}"), VType(dtype, lanes))
