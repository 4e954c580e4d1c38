"""The operations of kernel IR as instructions, lane by lane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tilec.dtypes import BOOL, F32, F64, I32, DType, Kind, integer_range
from tilec.errors import InternalError
from tilec.kernel import build
from tilec.kernel.ir import CONDITION, VType
from tilec_llvm import math
from tilec_llvm.casts import cast, truth, widen
from tilec_llvm.types import is_narrow, literal, register, splat, suffix, vector
from tilec_llvm.writer import Value, Writer, known_index

_COMPARE: Final = {
    "cmp_eq": ("oeq", "eq", "eq"),
    "cmp_ne": ("une", "ne", "ne"),
    "cmp_lt": ("olt", "slt", "ult"),
    "cmp_gt": ("ogt", "sgt", "ugt"),
    "cmp_le": ("ole", "sle", "ule"),
    "cmp_ge": ("oge", "sge", "uge"),
}
_LOGICAL: Final = {"logical_and": "and", "logical_or": "or", "logical_xor": "xor"}
_BITWISE: Final = {"bit_and": "and", "bit_or": "or", "bit_xor": "xor"}
_ROUNDING: Final = {"ceil": "ceil", "floor": "floor", "round": "roundeven"}
_PLAIN: Final = {"add": "add", "sub": "sub", "mul": "mul"}


def apply(writer: Writer, op: str, args: Sequence[Value], result: VType) -> Value:
    """The value of ``op`` on ``args``."""
    folded = _fold_index(op, args)
    if folded is not None:
        return folded
    if op == "cast":
        return cast(writer, args[0], result.dtype)
    if op == "cond":
        test = truth(writer, args[0])
        return _value(writer, f"select {test.typed}, {args[1].typed}, {args[2].typed}", result)
    if op in _LOGICAL:
        left, right = (truth(writer, arg) for arg in args)
        return _value(writer, f"{_LOGICAL[op]} {left.typed}, {right.text}", result)
    if op == "logical_not":
        return _value(writer, f"xor {truth(writer, args[0]).typed}, {_true(result)}", result)
    return _typed(writer, op, args, result)


def _typed(writer: Writer, op: str, args: Sequence[Value], result: VType) -> Value:
    """Operations that differ by the kind of their operands."""
    dtype = args[0].type.dtype
    if is_narrow(dtype) and op in ("neg", "abs", "relu"):
        return _on_bits(writer, op, args[0])
    if is_narrow(dtype):
        widened = [widen(writer, arg) for arg in args]
        kind = VType(F32 if is_narrow(result.dtype) else result.dtype, result.lanes)
        return cast(writer, _typed(writer, op, widened, kind), result.dtype)
    if op in _COMPARE:
        kinds = _COMPARE[op]
        if dtype.is_float:
            name = f"fcmp {kinds[0]}"
        else:
            name = f"icmp {kinds[1 if dtype.kind is Kind.INT else 2]}"
        return _value(writer, f"{name} {args[0].typed}, {args[1].text}", result)
    if dtype.kind is Kind.BOOL:
        return _on_bools(writer, op, args, result)
    if dtype.is_float:
        return _on_floats(writer, op, args)
    return _on_integers(writer, op, args)


def _on_floats(writer: Writer, op: str, args: Sequence[Value]) -> Value:
    kind, first = args[0].type, args[0]
    if op in _PLAIN:
        return _value(writer, f"f{op} contract {first.typed}, {args[1].text}", kind)
    if op in ("max", "min"):
        # The second operand may be the accumulator of a loop; LLVM tests the first one for NaN
        # beside the maximum, so that the loop waits for one instruction less. The sign of a zero
        # is left open (nsz), as in the reference.
        return _intrinsic(writer, f"{op}imum", [args[1], first], flags="nsz ")
    match op:
        case "div":
            return _value(writer, f"fdiv {first.typed}, {args[1].text}", kind)
        case "recip":
            return _value(writer, f"fdiv {first.llvm} {literal(1, kind)}, {first.text}", kind)
        case "neg":
            return _value(writer, f"fneg {first.typed}", kind)
        case "abs":
            return _intrinsic(writer, "fabs", [first])
        case "sqrt":
            return _intrinsic(writer, "sqrt", [first])
        case "fma":
            # Fused where the hardware can, never a call of a library.
            return _intrinsic(writer, "fmuladd", args)
        case "relu":
            zero = Value(literal(0, kind), kind)
            negative = _compare(writer, "fcmp olt", first, zero)
            return _select(writer, negative, zero, first)
        case "sign":
            return _float_sign(writer, first)
        case _ if op in _ROUNDING:
            return _intrinsic(writer, _ROUNDING[op], [first])
        case _:
            return _elementary(writer, op, args)


def _on_bits(writer: Writer, op: str, value: Value) -> Value:
    """What f16 and bf16 need no arithmetic for."""
    kind, lanes = value.type, value.type.lanes
    if op == "neg":
        return _value(writer, f"xor {value.typed}, {splat('-32768', 'i16', lanes)}", kind)
    if op == "abs":
        return _value(writer, f"and {value.typed}, {splat('32767', 'i16', lanes)}", kind)
    wide = widen(writer, value)
    negative = _compare(writer, "fcmp olt", wide, Value(literal(0, wide.type), wide.type))
    return _select(writer, negative, Value(literal(0, kind), kind), value)


def _float_sign(writer: Writer, value: Value) -> Value:
    """-1, 0 or 1; NaN stays."""
    kind = value.type
    zero, one = Value(literal(0, kind), kind), Value(literal(1, kind), kind)
    minus = Value(literal(-1, kind), kind)
    below = _compare(writer, "fcmp olt", value, zero)
    above = _compare(writer, "fcmp ogt", value, zero)
    is_zero = _compare(writer, "fcmp oeq", value, zero)
    other = _select(writer, is_zero, zero, value)
    return _select(writer, above, one, _select(writer, below, minus, other))


def _elementary(writer: Writer, op: str, args: Sequence[Value]) -> Value:
    kind = args[0].type
    if kind.dtype not in (F32, F64):
        raise InternalError(f"operation {op} on {kind} reached the LLVM backend")
    avx512 = writer.abilities.avx512
    symbol = writer.use(math.function(op, kind.dtype.name, kind.lanes, avx512=avx512))
    listed = ", ".join(arg.typed for arg in args)
    return _value(writer, f"call {register(kind)} {symbol}({listed})", kind)


def _on_integers(writer: Writer, op: str, args: Sequence[Value]) -> Value:
    kind, first = args[0].type, args[0]
    dtype = kind.dtype
    zero, one = Value(literal(0, kind), kind), Value(literal(1, kind), kind)
    sign = "s" if dtype.is_signed else "u"
    if op in _PLAIN or op in _BITWISE:
        name = _BITWISE.get(op, op)
        return _value(writer, f"{name} {first.typed}, {args[1].text}", kind)
    match op:
        case "fma":
            product = _value(writer, f"mul {first.typed}, {args[1].text}", kind)
            return _value(writer, f"add {product.typed}, {args[2].text}", kind)
        case "div":
            return _divide(writer, first, args[1])
        case "mod":
            return _remainder(writer, first, args[1])
        case "floor_div" | "floor_mod":
            return _floor(writer, op, first, args[1])
        case "neg":
            return _value(writer, f"sub {first.llvm} {zero.text}, {first.text}", kind)
        case "abs":
            if not dtype.is_signed:
                return first
            name = f"@llvm.abs.{_suffix(kind)}"
            return _value(writer, f"call {first.llvm} {name}({first.typed}, i1 false)", kind)
        case "max" | "min":
            return _intrinsic(writer, f"{sign}{op}", args)
        case "relu":
            return _intrinsic(writer, "smax", [first, zero]) if dtype.is_signed else first
        case "sign":
            top = _intrinsic(writer, f"{sign}min", [first, one])
            minus = Value(literal(-1, kind), kind)
            return _intrinsic(writer, "smax", [top, minus]) if dtype.is_signed else top
        case "bit_not":
            return _value(writer, f"xor {first.typed}, {literal(-1, kind)}", kind)
        case "bit_left" | "bit_right":
            return _shift(writer, op, first, args[1])
        case "ceil" | "floor" | "round":
            return first
        case _:
            raise InternalError(f"operation {op} on {kind} reached the LLVM backend")


def _on_bools(writer: Writer, op: str, args: Sequence[Value], result: VType) -> Value:
    """Arithmetic on bools is that of integers, and what is not 0 is true."""
    kind, first = args[0].type, args[0]
    if op in _BITWISE:
        return _value(writer, f"{_BITWISE[op]} {first.typed}, {args[1].text}", kind)
    match op:
        case "ceil" | "floor" | "round" | "abs" | "neg" | "relu" | "sign":
            return first
        case "bit_not":
            return _value(writer, f"xor {first.typed}, {_true(kind)}", kind)
        case "max":
            return _value(writer, f"or {first.typed}, {args[1].text}", kind)
        case "min" | "mul" | "div":
            return _value(writer, f"and {first.typed}, {args[1].text}", kind)
        case _:
            words = [cast(writer, arg, I32) for arg in args]
            return cast(writer, _on_integers(writer, op, words), result.dtype)


def _divide(writer: Writer, left: Value, right: Value) -> Value:
    """Toward zero; by 0 it is 0; the lowest by -1 wraps to itself."""
    kind = left.type
    zero = Value(literal(0, kind), kind)
    divisor, special = _safe_divisor(writer, right)
    quotient = _quotient(writer, left, divisor)
    if special is None:
        return quotient
    by_zero, by_minus = special
    if by_minus is not None:
        negated = _value(writer, f"sub {left.llvm} {zero.text}, {left.text}", kind)
        quotient = _select(writer, by_minus, negated, quotient)
    return _select(writer, by_zero, zero, quotient)


def _remainder(writer: Writer, left: Value, right: Value) -> Value:
    """With the sign of the dividend; 0 by 0 and by -1."""
    kind = left.type
    divisor, special = _safe_divisor(writer, right)
    quotient = _quotient(writer, left, divisor)
    product = _value(writer, f"mul {quotient.typed}, {divisor.text}", kind)
    rest = _value(writer, f"sub {left.typed}, {product.text}", kind)
    if special is None:
        return rest
    # Where the divisor was replaced it is 1 now, and the rest by 1 is 0.
    return rest


def _safe_divisor(writer: Writer, right: Value) -> tuple[Value, tuple[Value, Value | None] | None]:
    """A divisor that cannot trap, and where the given one was 0 or -1."""
    kind = right.type
    if right.known is not None and right.known > 0:
        return right, None
    zero, one = Value(literal(0, kind), kind), Value(literal(1, kind), kind)
    by_zero = _compare(writer, "icmp eq", right, zero)
    divisor = _select(writer, by_zero, one, right)
    if not kind.dtype.is_signed:
        return divisor, (by_zero, None)
    minus = Value(literal(-1, kind), kind)
    by_minus = _compare(writer, "icmp eq", right, minus)
    return _select(writer, by_minus, one, divisor), (by_zero, by_minus)


def _quotient(writer: Writer, left: Value, right: Value) -> Value:
    """Quotient toward zero by a divisor that is neither 0 nor, if signed, -1.

    No processor divides vectors of integers. A float that holds both operands exactly divides
    them well enough: a quotient of integers below 2**b that is not whole differs from the next
    whole number by at least 2**-b of itself, and f64 rounds by at most 2**-53, f32 by 2**-24.
    """
    kind = left.type
    sign = "s" if kind.dtype.is_signed else "u"
    if kind.lanes == 1 or kind.dtype.bits == 64:
        return _value(writer, f"{sign}div {left.typed}, {right.text}", kind)
    wide = VType(F64 if kind.dtype.bits == 32 else F32, kind.lanes)
    floats = [
        _value(writer, f"{sign}itofp {arg.typed} to {register(wide)}", wide)
        for arg in (left, right)
    ]
    quotient = _value(writer, f"fdiv {floats[0].typed}, {floats[1].text}", wide)
    return _value(writer, f"fpto{sign}i {quotient.typed} to {register(kind)}", kind)


def _floor(writer: Writer, op: str, left: Value, right: Value) -> Value:
    """Division of an index by a positive constant, rounded down, or what it leaves."""
    kind, divisor = left.type, right.known
    if divisor is None or divisor < 1:
        raise InternalError(f"{op} by {right.text}, which is no positive constant")
    if divisor & (divisor - 1) == 0:
        shift = literal(divisor.bit_length() - 1, kind)
        if op == "floor_div":
            return _value(writer, f"ashr {left.typed}, {shift}", kind)
        return _value(writer, f"and {left.typed}, {literal(divisor - 1, kind)}", kind)
    zero = Value(literal(0, kind), kind)
    quotient = _value(writer, f"sdiv {left.typed}, {right.text}", kind)
    product = _value(writer, f"mul {quotient.typed}, {right.text}", kind)
    rest = _value(writer, f"sub {left.typed}, {product.text}", kind)
    below = _compare(writer, "icmp slt", rest, zero)
    if op == "floor_mod":
        wrapped = _value(writer, f"add {rest.typed}, {right.text}", kind)
        return _select(writer, below, wrapped, rest)
    less = _value(writer, f"sub {quotient.typed}, {literal(1, kind)}", kind)
    return _select(writer, below, less, quotient)


def _shift(writer: Writer, op: str, value: Value, count: Value) -> Value:
    """From the width on nothing is left of a value, except the sign of a negative one."""
    kind, width = value.type, value.type.dtype.bits
    zero = Value(literal(0, kind), kind)
    if op == "bit_right" and kind.dtype.is_signed:
        most = Value(literal(width - 1, kind), kind)
        limited = _intrinsic(writer, "umin", [count, most])
        return _value(writer, f"ashr {value.typed}, {limited.text}", kind)
    name = "shl" if op == "bit_left" else "lshr"
    shifted = _value(writer, f"{name} {value.typed}, {count.text}", kind)
    limit = Value(literal(width, kind), kind)
    if width == 8 and integer_range(kind.dtype)[1] < width:
        raise InternalError(f"no shift count of type {kind.dtype} reaches {width}")
    inside = _compare(writer, "icmp ult", count, limit)
    return _select(writer, inside, shifted, zero)


def _fold_index(op: str, args: Sequence[Value]) -> Value | None:
    """Index arithmetic on constants, which unrolled loops are full of."""
    if len(args) != 2 or args[0].type.lanes > 1 or args[0].type.dtype.name != "i64":
        return None
    left, right = args[0].known, args[1].known
    if left is None or right is None:
        return None
    if op in build.FOLDS:
        if op.startswith("floor") and right < 1:
            return None
        return known_index(build.FOLDS[op](left, right))
    if op in build.COMPARES:
        return Value("true" if build.COMPARES[op](left, right) else "false", CONDITION)
    return None


def fold(writer: Writer, op: str, value: Value) -> Value:
    """All lanes combined pairwise, in an order that depends on their number alone."""
    while value.type.lanes > 1:
        lanes = value.type.lanes
        half = lanes // 2
        low = _lanes(writer, value, list(range(half)))
        high = _lanes(writer, value, list(range(lanes - half, lanes)))
        combined = apply(writer, op, [low, high], low.type)
        if lanes % 2:
            middle = _lanes(writer, value, [half])
            first = _lanes(writer, combined, [0])
            joined = apply(writer, op, [first, middle], first.type)
            combined = _with_first(writer, combined, joined)
        value = combined
    return value


def _lanes(writer: Writer, value: Value, chosen: list[int]) -> Value:
    kind = VType(value.type.dtype, len(chosen))
    if value.type.lanes == 1:
        return value
    if len(chosen) == 1:
        return _value(writer, f"extractelement {value.typed}, i32 {chosen[0]}", kind)
    return shuffle(writer, value, value, chosen)


def _with_first(writer: Writer, value: Value, first: Value) -> Value:
    if value.type.lanes == 1:
        return first
    return _value(writer, f"insertelement {value.typed}, {first.typed}, i32 0", value.type)


def shuffle(writer: Writer, left: Value, right: Value, chosen: list[int]) -> Value:
    """Lanes picked from two vectors laid end to end."""
    mask = ", ".join(f"i32 {lane}" for lane in chosen)
    text = f"shufflevector {left.typed}, {right.typed}, <{len(chosen)} x i32> <{mask}>"
    return _value(writer, text, VType(left.type.dtype, len(chosen)))


def _value(writer: Writer, instruction: str, kind: VType) -> Value:
    return Value(writer.pure(instruction), kind)


def _compare(writer: Writer, op: str, left: Value, right: Value) -> Value:
    kind = VType(BOOL, left.type.lanes)
    return _value(writer, f"{op} {left.typed}, {right.text}", kind)


def _select(writer: Writer, test: Value, then: Value, otherwise: Value) -> Value:
    return _value(writer, f"select {test.typed}, {then.typed}, {otherwise.typed}", then.type)


def _intrinsic(writer: Writer, name: str, args: Sequence[Value], flags: str = "") -> Value:
    kind = args[0].type
    listed = ", ".join(arg.typed for arg in args)
    full = f"@llvm.{name}.{_suffix(kind)}"
    return _value(writer, f"call {flags}{register(kind)} {full}({listed})", kind)


def _suffix(kind: VType) -> str:
    dtype: DType = kind.dtype
    scalar = {F32: "float", F64: "double"}.get(dtype, f"i{dtype.bits}")
    return suffix(scalar, kind.lanes)


def _true(kind: VType) -> str:
    return "true" if kind.lanes == 1 else f"splat ({vector('i1', 1)} true)"
