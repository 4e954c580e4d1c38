"""Arguments of sin, cos and tan, reduced to ``|r| <= pi/4`` and a quadrant.

Up to ``_LIMIT`` a multiple of pi/2 in three parts is subtracted. Beyond, where its bits run out,
lanes are reduced one at a time by Payne and Hanek's method: only those bits of 2/pi are multiplied
that matter for the result modulo 4. Such arguments are rare, and the branch around that code costs
next to nothing.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from tilec.kernel.elementary.formats import F64, format_of
from tilec.kernel.elementary.pairs import multiply_exactly
from tilec.kernel.elementary.values import Type, Value, fma, select
from tilec.records import dataclass
from tilec_llvm.math.builder import (
    PURE,
    Definition,
    code_of,
    constant,
    define,
    element,
    leading_zeros,
    rarely,
    spelled,
    struct_of,
    suffix,
    typed,
)

_TWO_OVER_PI: Final = 0.6366197723675814
# pi/2 in three parts of the format's precision each.
_HALF_PI: Final = {
    32: (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
    64: (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33),
}
# Below, the first part's multiple is subtracted without error, and all parts hold enough bits.
_LIMIT: Final = {32: 2.0**17, 64: 2.0**27}

_SCALE: Final = 1168
"""The table is ``floor(2/pi * 2**_SCALE)``, lowest word first: what the largest f64 needs."""
_TABLE: Final = (
    *(0x5FB11F8D5D085603, 0x39F78A5292EA6BFB, 0xBAC7EBE5F17B3D07, 0x3F669E5FEA2D7527),
    *(0x7ECF27CB09B74F46, 0x118B5A0A6D1F6D36, 0x97FFDE05980FEF2F, 0x5F8BBDF9283B1FF8),
    *(0xD639835339F49C84, 0x7026B45F7E413991, 0x35F52EBB4484E99C, 0xEB1CB129A73EE882),
    *(0x2EEA09D1921CFE1D, 0x6E3A424DD2E00649, 0x63ABDEBBC561B724, 0x95993C439041FE51),
    *(0x57D1F534DDC0DB62, 0x836E4E441529FC27, 0x000000000000A2F9, 0x0000000000000000),
)


@dataclass(frozen=True, slots=True)
class Angle:
    """``x = (r + rest) + quadrant * pi/2``; only the lowest two bits of ``quadrant`` count."""

    r: Value
    rest: Value
    quadrant: Value


def reduced_angle(size: Value) -> Angle:
    """The angle ``size >= 0``; NaN for infinity."""
    form = format_of(size)
    first, second, third = _HALF_PI[form.bits]
    shifted = fma(size, _TWO_OVER_PI, form.shifter)
    n = shifted - form.shifter
    exact = fma(n, -first, size)
    part = multiply_exactly(n, n.of(second))
    r = exact - part.value
    rest = fma(n, -third, ((exact - r) - part.value) - part.rest)
    large = (size >= _LIMIT[form.bits]) & (size < float("inf"))
    usual = (r, rest, shifted.bits())
    r, rest, quadrant = rarely(large, usual, _large_angles(size.type), size, *usual)
    return Angle(r, rest, quadrant)


def _large_angles(kind: Type) -> Definition:
    """Replaces the angle (the other operands) in the lanes where the size is large."""
    scalar = _large_angle(kind.bits)
    if kind.lanes == 1:
        return scalar
    whole = Type("i", kind.bits, kind.lanes)
    one, integer = element(kind), element(whole)
    parts, singles = struct_of((kind, kind, whole)), f"{{ {one}, {one}, {integer} }}"
    symbol = f"tilec.large_angles.{suffix(kind)}"
    limit, infinity = (
        constant(value, Type("f", kind.bits, 1)) for value in (_LIMIT[kind.bits], float("inf"))
    )
    floats, integers = spelled(kind), spelled(whole)
    operands = f"{floats} %x, {floats} %r0, {floats} %s0, {integers} %q0"
    text = f"""define internal {parts} @{symbol}({operands}) cold noinline {PURE} {{
entry:
  br label %loop
loop:
  %lane = phi i64 [ 0, %entry ], [ %next, %last ]
  %r = phi {floats} [ %r0, %entry ], [ %r2, %last ]
  %s = phi {floats} [ %s0, %entry ], [ %s2, %last ]
  %q = phi {integers} [ %q0, %entry ], [ %q2, %last ]
  %one = extractelement {floats} %x, i64 %lane
  %above = fcmp oge {one} %one, {limit}
  %below = fcmp olt {one} %one, {infinity}
  %large = and i1 %above, %below
  br i1 %large, label %reduce, label %last
reduce:
  %angle = call {singles} @{scalar.symbol}({one} %one, {one} poison, {one} poison, {integer} poison)
  %ra = extractvalue {singles} %angle, 0
  %sa = extractvalue {singles} %angle, 1
  %qa = extractvalue {singles} %angle, 2
  %r1 = insertelement {floats} %r, {one} %ra, i64 %lane
  %s1 = insertelement {floats} %s, {one} %sa, i64 %lane
  %q1 = insertelement {integers} %q, {integer} %qa, i64 %lane
  br label %last
last:
  %r2 = phi {floats} [ %r, %loop ], [ %r1, %reduce ]
  %s2 = phi {floats} [ %s, %loop ], [ %s1, %reduce ]
  %q2 = phi {integers} [ %q, %loop ], [ %q1, %reduce ]
  %next = add i64 %lane, 1
  %more = icmp ult i64 %next, {kind.lanes}
  br i1 %more, label %loop, label %done
done:
  %y0 = insertvalue {parts} poison, {floats} %r2, 0
  %y1 = insertvalue {parts} %y0, {floats} %s2, 1
  %y2 = insertvalue {parts} %y1, {integers} %q2, 2
  ret {parts} %y2
}}
"""
    return Definition(symbol, text, (scalar,))


def _large_angle(bits: int) -> Definition:
    """One lane; takes the angle of the other method, too, and ignores it."""
    kind, integer = Type("f", bits, 1), Type("i", bits, 1)

    def formula(x: Value, *_: Value) -> tuple[Value, Value, Value]:
        r, rest, quadrant = _payne_hanek(x if bits == 64 else x.to_float(64))
        if bits == 64:
            return r, rest, quadrant
        high = r.to_float(32)
        return high, ((r - high.to_float(64)) + rest).to_float(32), quadrant.to_width(32)

    symbol = f"tilec.large_angle.{suffix(kind)}"
    return define(symbol, (kind, kind, kind, integer), formula, "cold noinline ")


def _payne_hanek(x: Value) -> tuple[Value, Value, Value]:
    """The angle of a finite ``x = m 2**e``, of at least 2**17, in f64.

    The window is the 192 bits of 2/pi from weight ``2**(1 - e)`` down: higher ones give multiples
    of 4, lower ones less than 2**-137, while x is never closer than about 2**-62 to a multiple of
    pi/2.
    """
    bits = x.bits()
    exponent = bits.shift_right(F64.fraction) - (F64.bias + F64.fraction)
    m = ((bits & ((1 << F64.fraction) - 1)) | (1 << F64.fraction)).to_width(128)
    low, middle, high = _window((_SCALE - 190) - exponent)
    # The product modulo 2**192, as an upper and a lower part.
    lowest = low.to_width(128) * m
    above = middle.to_width(128) * m + lowest.shift_right(64)
    upper = above + ((high.to_width(128) * m) << 64)
    # Two bits are the quadrant; the fraction is signed, and the quadrant rounded accordingly.
    quadrant = (upper.shift_right(64).to_width(64) + (1 << 61)).shift_right(62)
    fraction = (upper << 2) | (lowest.to_width(64).shift_right(62)).to_width(128)
    negative = fraction < 0
    size = select(negative, -fraction, fraction)
    zeros = leading_zeros(size)
    size = size << zeros
    scale = ((F64.bias - zeros.to_width(64)) << F64.fraction).as_float()
    scale = select(negative, -scale, scale)
    first = size.shift_right(75).to_width(64).to_float() * 2.0**-53
    second = (size.shift_right(22).to_width(64) & ((1 << 53) - 1)).to_float() * 2.0**-106
    half_pi, half_pi_rest = F64.half_pi
    part = multiply_exactly(first, first.of(half_pi))
    rest = fma(first, half_pi_rest, fma(second, half_pi, part.rest))
    return part.value * scale, rest * scale, quadrant


def _window(shift: Value) -> tuple[Value, Value, Value]:
    """Three words of the table, lowest first, from a bit on."""
    code, word = code_of(shift), shift.type
    name, array = "tilec.two_over_pi", f"[{len(_TABLE)} x i64]"
    listed = ", ".join(f"i64 {value}" for value in _TABLE)
    code.requires.append(
        Definition(name, f"@{name} = internal unnamed_addr constant {array} [{listed}]\n")
    )
    index = shift.shift_right(6)
    words: list[Value] = []
    for position in range(4):
        at = index + position
        place = f"getelementptr {array}, ptr @{name}, i64 0, {typed(at)}"
        words.append(code.emit(word, f"load i64, {typed(code.emit(Type('p', 64, 1), place))}"))
    first, second, third = (
        code.emit(word, f"call i64 @llvm.fshr.i64({typed(above)}, {typed(below)}, {typed(shift)})")
        for below, above in pairwise(words)
    )
    return first, second, third
