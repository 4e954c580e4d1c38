"""Small C functions that kernels call: what C leaves undefined, and what differs from Tile.

Each is written for scalars; ``spread`` makes the same for vectors, component by component. A
program contains those that it uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from string import Template
from typing import Final

from tilec.dtypes import BF16, BOOL, F16, F32, F64, I64, U32, U64, DType
from tilec.errors import InternalError
from tilec.kernel.ir import VType
from tilec.records import dataclass
from tilec_opencl.device import Machine
from tilec_opencl.spelling import LANES, OPENCL, Dialect

# $T is the type of the operands, $U the unsigned type in which it wraps, $F and $R the name.
_FLOAT: Final[Mapping[str, str]] = {
    # NaN in either operand stays.
    "max": "$T $F($T a, $T b) { return (a > b || a != a) ? a : b; }",
    "min": "$T $F($T a, $T b) { return (a < b || a != a) ? a : b; }",
    "relu": "$T $F($T a) { return a < 0 ? ($T)0 : a; }",
    "sign": "$T $F($T a) { return a > 0 ? ($T)1 : a < 0 ? ($T)-1 : a == 0 ? ($T)0 : a; }",
    "mod": "$T $F($T a, $T b) { return fmod(a, b); }",
    "sigmoid": "$T $F($T a) { return ($T)1 / (($T)1 + exp(-a)); }",
}
_INTEGER: Final[Mapping[str, str]] = {
    "max": "$T $F($T a, $T b) { return a > b ? a : b; }",
    "min": "$T $F($T a, $T b) { return a < b ? a : b; }",
    "abs": "$T $F($T a) { return a < 0 ? ($T)(0 - ($U)a) : a; }",
    "relu": "$T $F($T a) { return a < 0 ? ($T)0 : a; }",
    "sign": "$T $F($T a) { return ($T)((a > 0) - (a < 0)); }",
    # Toward zero; by 0 it is 0; the lowest by -1 wraps to itself.
    "div": "$T $F($T a, $T b) { return b == 0 ? ($T)0 : $M ? ($T)(0 - ($U)a) : ($T)(a / b); }",
    "mod": "$T $F($T a, $T b) { return b == 0 || $M ? ($T)0 : ($T)(a % b); }",
    "floor_div": "$T $F($T a, $T b) { return a / b - (a % b < 0); }",
    "floor_mod": "$T $F($T a, $T b) { $T r = a % b; return r < 0 ? r + b : r; }",
    # From the width on nothing is left, except the sign of a negative value.
    "bit_left": "$T $F($T a, $T b) { return ($V)b >= $B ? ($T)0 : ($T)(($U)a << b); }",
    "bit_right": "$T $F($T a, $T b) { return ($V)b >= $B ? $Z : ($T)(a >> b); }",
}
# Toward zero, NaN to 0, saturated at the range of i64 (u64: up to its own highest).
_TO_I64: Final = "$L $F($T a) { return a != a ? 0 : a >= $H ? $MAX : a <= -$H ? $MIN : ($L)a; }"
_TO_U64: Final = (
    "$UL $F($T a) { return a != a ? 0 : a >= 2 * $H ? $UMAX : a <= -$H ? ($UL)$MIN"
    " : a < 0 ? ($UL)($L)a : ($UL)a; }"
)
_BITS: Final = {
    "opencl": ("as_float", "as_uint"),
    "cuda": ("__uint_as_float", "__float_as_uint"),
}
_FROM_HALF: Final = """float $F($US h) {
  $UI e = (h >> 10) & 31u, m = h & 1023u, s = ($UI)(h & 0x8000u) << 16;
  if (e == 31u) return $AF(s | 0x7f800000u | (m << 13));
  if (e != 0u) return $AF(s | ((e + 112u) << 23) | (m << 13));
  float small = (float)m * 5.9604644775390625e-8f;  // m * 2^-24, exactly
  return s ? -small : small;
}"""
# Rounded once, to nearest even: below the normal range by adding a number whose last place is that
# of the smallest half.
_TO_HALF: Final = """$US $F(float f) {
  $UI x = $AU(f), s = (x >> 16) & 0x8000u, a = x & 0x7fffffffu;
  if (a > 0x7f800000u) return ($US)(s | 0x7e00u);
  if (a >= 0x47800000u) return ($US)(s | 0x7c00u);
  if (a < 0x38800000u) return ($US)(s | ($AU($AF(a) + 0.5f) - 0x3f000000u));
  return ($US)(s | ((a - 0x38000000u + 0x0fffu + ((a >> 13) & 1u)) >> 13));
}"""
_FROM_BF16: Final = "float $F($US h) { return $AF(($UI)h << 16); }"
_TO_BF16: Final = """$US $F(float f) {
  $UI x = $AU(f);
  return f != f ? ($US)((x >> 16) | 0x40u) : ($US)((x + 0x7fffu + ((x >> 16) & 1u)) >> 16);
}"""
# The same for $N components at once, without branches: as many times as fast to compile and to run.
_VECTORS: Final[Mapping[str, str]] = {
    "tilec_f16_to_f32": """float$N $F(ushort$N h) {
  uint$N w = convert_uint$N(h), a = (w & 0x7fffu) << 13, e = w & 0x7c00u;
  uint$N large = a + select((uint$N)0x38000000u, (uint$N)0x70000000u, e == 0x7c00u);
  // Below 2^-14: the fraction added to that and what was added taken away, both exactly.
  uint$N small = as_uint$N(as_float$N(a + 0x38800000u) - 6.103515625e-5f);
  return as_float$N(select(large, small, e == 0u) | ((w & 0x8000u) << 16));
}""",
    "tilec_f32_to_f16": """ushort$N $F(float$N f) {
  uint$N x = as_uint$N(f), a = x & 0x7fffffffu;
  uint$N r = (a - 0x38000000u + 0x0fffu + ((a >> 13) & 1u)) >> 13;
  r = select(r, as_uint$N(as_float$N(a) + 0.5f) - 0x3f000000u, a < 0x38800000u);
  r = select(r, (uint$N)0x7c00u, a >= 0x47800000u);
  r = select(r, (uint$N)0x7e00u, a > 0x7f800000u);
  return convert_ushort$N(((x >> 16) & 0x8000u) | r);
}""",
    "tilec_bf16_to_f32": "float$N $F(ushort$N h) { return as_float$N(convert_uint$N(h) << 16); }",
    "tilec_f32_to_bf16": """ushort$N $F(float$N f) {
  uint$N x = as_uint$N(f), r = (x + 0x7fffu + ((x >> 16) & 1u)) >> 16;
  return convert_ushort$N(select(r, (x >> 16) | 0x40u, (x & 0x7fffffffu) > 0x7f800000u));
}""",
}
# To odd where f32 cannot hold a value: rounding again to f16 or bf16 is not misled then (Boldo and
# Melquiond 2008, emulation of a FMA and correctly rounded sums).
_TO_ODD: Final = """float $F(double d) {
  float f = (float)d;
  $UI x = $AU(f);
  if ((double)f == d || d != d || (x & 1u)) return f;
  return $AF(fabs((double)f) > fabs(d) ? x - 1u : x + 1u);
}"""
# An integer to odd, without f64: of 17 to 24 bits that are kept the last one says whether any of
# those below is set. f16 and bf16 keep 12 bits at most.
_STICKY: Final = """float $F($T v) {
  $U m = $NEGATIVE ? ($U)(0 - ($U)v) : ($U)v, low;
  int n = 0;
  while ((m >> n) > 16777215u) n += 8;
  low = m & ((($U)1 << n) - 1);
  m = low ? (m - low) | (($U)1 << n) : m;
  return $NEGATIVE ? -(float)m : (float)m;
}"""

_PACKED: Final = "struct __attribute__((packed)) {name} {{ {vector} v; }};"
# Clang's words, which compilers for processors have that are made of it.
_PAST_CACHES: Final = """#ifdef __has_builtin
#if __has_builtin(__builtin_nontemporal_store)
#define TILEC_PAST_CACHES
#endif
#endif"""
_ASK: Final = """#ifdef __has_builtin
#if __has_builtin(__builtin_prefetch)
#define TILEC_ASK(p, w) __builtin_prefetch((const void*)(size_t)(p), w);
#endif
#endif
#ifndef TILEC_ASK
#define TILEC_ASK(p, w)
#endif"""


@dataclass(slots=True)
class Helpers:
    """The functions that a program for a machine has asked for so far."""

    dialect: Dialect
    machine: Machine
    texts: dict[str, str] = field(default_factory=dict[str, str])

    def function(self, op: str, dtype: DType) -> str:
        """Name of the function for an operation on scalars."""
        name = f"tilec_{op}_{dtype}"
        if name not in self.texts:
            table = _FLOAT if dtype.is_float else _INTEGER
            if op not in table:
                raise InternalError(f"operation {op} on {dtype} reached the OpenCL backend")
            self._define(name, table[op], dtype)
        return name

    def conversion(self, source: DType, result: DType) -> str:
        """Name of the function for a conversion that C does not have as Tile wants it."""
        name = f"tilec_{source}_to_{result}"
        if name not in self.texts:
            template = {
                (F16, F32): _FROM_HALF,
                (F32, F16): _TO_HALF,
                (BF16, F32): _FROM_BF16,
                (F32, BF16): _TO_BF16,
            }.get((source, result))
            template = template or (_TO_U64 if result == U64 else _TO_I64)
            self._define(name, template, source)
        return name

    def odd(self) -> str:
        """Name of the function from f64 to f32, to odd."""
        self._define("tilec_f64_to_odd", _TO_ODD, F64)
        return "tilec_f64_to_odd"

    def sticky(self, dtype: DType) -> str:
        """Name of the function from an integer to an f32 that rounds as it does."""
        name = f"tilec_{dtype}_to_sticky"
        self._define(name, _STICKY, dtype)
        return name

    def spread(self, name: str, args: Sequence[VType], result: VType) -> str:
        """Name of a function on vectors that calls one on scalars for each component."""
        lanes = result.lanes
        wide = f"{name}_x{lanes}"
        if wide in self.texts:
            return wide
        if name in _VECTORS and self.dialect is OPENCL:
            text = Template(_VECTORS[name]).substitute(F=wide, N=lanes)
            return self.add(wide, text)
        letters = "abc"[: len(args)]
        params = ", ".join(
            f"{self.dialect.register(kind)} {letter}"
            for kind, letter in zip(args, letters, strict=True)
        )
        lines = [f"  {self.dialect.register(result)} r;"]
        for lane in LANES[:lanes]:
            given = ", ".join(
                f"{letter}.s{lane}{' != 0' if kind.dtype == BOOL else ''}"
                for kind, letter in zip(args, letters, strict=True)
            )
            sign = "-" if result.dtype == BOOL else ""
            lines.append(f"  r.s{lane} = {sign}{name}({given});")
        head = f"{self.dialect.function}{self.dialect.register(result)} {wide}({params}) {{"
        self.texts[wide] = "\n".join([head, *lines, "  return r;", "}"])
        return wide

    def add(self, name: str, text: str) -> str:
        """Keep a function under its name."""
        self.texts.setdefault(name, self.dialect.function + text)
        return name

    def whole_store(self, space: str, kind: VType, *, past_caches: bool) -> str:
        """Name of the function that writes a vector to wherever, by one instruction.

        What ``vstore`` becomes is left to the driver: PoCL's writes quarters and halves of 64
        bytes. Past the caches goes what begins at a line, if the compiler has a word for that.
        """
        element, lanes = self.dialect.stored(kind.dtype), kind.lanes
        spelled, packed = f"{element}{lanes}", f"tilec_packed_{kind.dtype}_x{lanes}"
        params = f"({space}{element}* p, {spelled} v)"
        self.texts.setdefault(packed, _PACKED.format(name=packed, vector=spelled))
        name = f"tilec_store_{space.strip('_ ')}_{kind.dtype}_x{lanes}"
        self.add(name, f"void {name}{params} {{ (({space}struct {packed}*)p)->v = v; }}")
        if not past_caches:
            return name
        self.texts.setdefault("past caches", _PAST_CACHES)
        beyond = f"{name}_past_caches"
        lines = [
            f"void {beyond}{params} {{",
            "#ifdef TILEC_PAST_CACHES",
            f"  if (((size_t)p & {lanes * kind.dtype.bytes - 1}) == 0) {{",
            f"    __builtin_nontemporal_store(v, ({space}{spelled}*)p);",
            "    return;",
            "  }",
            "#endif",
            f"  {name}(p, v);",
            "}",
        ]
        return self.add(beyond, "\n".join(lines))

    def ask(self) -> str:
        """Name of the macro that asks for a line ahead."""
        self.texts.setdefault("ask", _ASK)
        return "TILEC_ASK"

    def _define(self, name: str, template: str, dtype: DType) -> None:
        if name not in self.texts:
            text = Template(template).substitute(self._spelled(name, dtype))
            self.texts[name] = self.dialect.function + text

    def _spelled(self, name: str, dtype: DType) -> dict[str, str]:
        dialect, spelled = self.dialect, self.dialect.types
        wrapping = U64 if dtype.bits == 64 else U32
        is_signed = dtype.is_signed and not dtype.is_float
        to_float, to_bits = _BITS[dialect.name]
        limit = dialect.literal(2.0**63, dtype) if dtype.is_float else ""
        return {
            "F": name,
            "T": dialect.scalar(dtype),
            "U": dialect.scalar(wrapping),
            "V": spelled[f"u{dtype.bits}"],
            "B": str(dtype.bits),
            "M": "b == -1" if is_signed else "false",
            "Z": f"(a < 0 ? ({spelled[dtype.name]})-1 : 0)" if is_signed else "0",
            "L": spelled["i64"],
            "UL": spelled["u64"],
            "UI": spelled["u32"],
            "US": spelled["u16"],
            "H": limit,
            "MAX": dialect.literal((1 << 63) - 1, I64),
            "MIN": dialect.literal(-(1 << 63), I64),
            "UMAX": dialect.literal((1 << 64) - 1, U64),
            "AF": to_float,
            "AU": to_bits,
            "NEGATIVE": "v < 0" if is_signed else "false",
        }
