"""The operations of kernel IR as C expressions, lane by lane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tilec.dtypes import BOOL, F32, F64, I32, I64, U32, U64, DType, Kind
from tilec.errors import InternalError
from tilec.kernel import build
from tilec.kernel.ir import VType
from tilec.records import dataclass
from tilec_opencl.formulas import formula, has_formula
from tilec_opencl.helpers import Helpers
from tilec_opencl.spelling import NARROW

COMPARES: Final = {
    "cmp_eq": "==", "cmp_ne": "!=", "cmp_lt": "<", "cmp_gt": ">", "cmp_le": "<=", "cmp_ge": ">=",
}  # fmt: skip
"""Comparisons in C."""

_MASK_COMPARE: Final = {
    "cmp_eq": "~({0} ^ {1})", "cmp_ne": "{0} ^ {1}", "cmp_lt": "~{0} & {1}",
    "cmp_gt": "{0} & ~{1}", "cmp_le": "~{0} | {1}", "cmp_ge": "{0} | ~{1}",
}  # fmt: skip
"""Comparisons of bools in vectors, where true is -1."""

_LOGICAL: Final = {"logical_and": "&", "logical_or": "|", "logical_xor": "^"}
_BITWISE: Final = {"bit_and": "&", "bit_or": "|", "bit_xor": "^"}
INFIXES: Final = {"add": "+", "sub": "-", "mul": "*"}
"""Arithmetic of C that means what it means in kernel IR, as long as nothing overflows."""

_FUNCTIONS: Final = {
    "abs": "fabs", "sqrt": "sqrt", "ceil": "ceil", "floor": "floor", "round": "rint",
    "fma": "fma",
    **{
        name: name
        for name in (
            "exp", "log", "pow", "erf", "sin", "cos", "tan", "asin", "acos", "atan", "sinh",
            "cosh", "tanh", "asinh", "acosh", "atanh",
        )
    },
}  # fmt: skip
_APART: Final = (("sin", F32), ("cos", F32), ("tan", F32), ("pow", F64))
"""Functions of which PoCL's on vectors give wrong values beside a very large one or an infinity."""

_SPREAD: Final = ("sign", "sigmoid", "mod")
"""Operations on vectors of floats that are done component by component."""


@dataclass(frozen=True, slots=True)
class Value:
    """An expression in C, with parentheses where it is not a single word or call.

    Attributes:
        text: The expression.
        type: Its type.
        known: Its value, where that is known.
        multiple: What divides it; of 0 that is 0.
        is_natural: It is an index that is never negative.
    """

    text: str
    type: VType
    known: int | None = None
    multiple: int = 1
    is_natural: bool = False


@dataclass(frozen=True, slots=True)
class Operations:
    """Spells operations; ``helpers`` gathers the functions that they need."""

    helpers: Helpers

    def apply(self, op: str, args: Sequence[Value], result: VType) -> Value:
        """The value of ``op`` on ``args``."""
        folded = self.folded(op, args)
        if folded is not None:
            return folded
        if result.lanes > 1 and self.helpers.dialect.name == "cuda":
            raise InternalError(f"{op} of {result}: there is no arithmetic on vectors in cuda")
        if op == "cast":
            return self.cast(args[0], result.dtype)
        if op == "cond":
            return self._cond(self.truth(args[0]), args[1], args[2])
        if op in _LOGICAL:
            left, right = (self.truth(arg) for arg in args)
            return Value(f"({left.text} {_LOGICAL[op]} {right.text})", result)
        if op == "logical_not":
            sign = "!" if result.lanes == 1 else "~"
            return Value(f"{sign}{self.truth(args[0]).text}", result)
        return self._typed(op, args, result)

    def _typed(self, op: str, args: Sequence[Value], result: VType) -> Value:
        """Operations that differ by the kind of their operands."""
        dtype = args[0].type.dtype
        if dtype in NARROW:
            widened = [self.cast(arg, F32) for arg in args]
            kind = VType(F32 if result.dtype in NARROW else result.dtype, result.lanes)
            return self.cast(self._typed(op, widened, kind), result.dtype)
        if op in COMPARES and dtype.kind is Kind.BOOL and result.lanes > 1:
            left, right = (arg.text for arg in args)
            return Value(f"({_MASK_COMPARE[op].format(left, right)})", result)
        if op in COMPARES:
            text = f"({args[0].text} {COMPARES[op]} {args[1].text})"
            return Value(self._mask(text, dtype, result.lanes), result)
        if dtype.kind is Kind.BOOL:
            return self._on_bools(op, args, result)
        if dtype.is_float:
            return self._on_floats(op, args)
        return self._on_integers(op, args)

    def _mask(self, text: str, dtype: DType, lanes: int) -> str:
        """A comparison as a bool: of vectors of other than 32 bits it has other widths."""
        if lanes == 1 or dtype.bits == 32 or dtype.kind is Kind.BOOL:
            return text
        return f"convert_int{lanes}({text})"

    def _on_floats(self, op: str, args: Sequence[Value]) -> Value:
        kind, first = args[0].type, args[0]
        if op in INFIXES or op == "div":
            return Value(f"({first.text} {INFIXES.get(op, '/')} {args[1].text})", kind)
        if op == "neg":
            return Value(f"(-{first.text})", kind)
        if op == "recip":
            return Value(f"({self.constant(1, kind).text} / {first.text})", kind)
        if has_formula(op, kind.dtype, self.helpers.machine):
            return self._formula(op, args)
        if kind.lanes > 1 and (op, kind.dtype) in _APART:
            return self._apart(op, args)
        if op in _FUNCTIONS:
            return Value(f"{_FUNCTIONS[op]}({', '.join(arg.text for arg in args)})", kind)
        if kind.lanes > 1 and op not in _SPREAD:
            return self._vector_function(op, args)
        return self._helper(op, args)

    def _formula(self, op: str, args: Sequence[Value]) -> Value:
        """A function of tilec's own, which is vector code on every processor."""
        kind, dialect = args[0].type, self.helpers.dialect
        name = f"tilec_{op}_{kind.dtype}" + (f"_x{kind.lanes}" if kind.lanes > 1 else "")
        if name not in self.helpers.texts:
            self.helpers.add(name, formula(op, kind, len(args), name, dialect))
        return Value(f"{name}({', '.join(arg.text for arg in args)})", kind)

    def _apart(self, op: str, args: Sequence[Value]) -> Value:
        """A function of the driver, component by component."""
        dtype = args[0].type.dtype
        name, spelled = f"tilec_{op}_{dtype}", self.helpers.dialect.scalar(dtype)
        letters = "ab"[: len(args)]
        params = ", ".join(f"{spelled} {each}" for each in letters)
        text = f"{spelled} {name}({params}) {{ return {_FUNCTIONS[op]}({', '.join(letters)}); }}"
        return self.call(self.helpers.add(name, text), args, args[0].type)

    def _vector_function(self, op: str, args: Sequence[Value]) -> Value:
        """``max``, ``min`` and ``relu`` of vectors of floats, without branches."""
        kind = args[0].type
        spelled = self.helpers.dialect.register(kind)
        name = f"tilec_{op}_{kind.dtype}_x{kind.lanes}"
        if op == "relu":
            text = f"{spelled} {name}({spelled} a) {{ return select(a, ({spelled})0, a < 0); }}"
        elif op in ("max", "min"):
            sign = ">" if op == "max" else "<"
            text = (
                f"{spelled} {name}({spelled} a, {spelled} b) "
                f"{{ return select(b, a, (a {sign} b) | (a != a)); }}"
            )
        else:
            raise InternalError(f"operation {op} on {kind} reached the OpenCL backend")
        self.helpers.add(name, text)
        return Value(f"{name}({', '.join(arg.text for arg in args)})", kind)

    def _on_integers(self, op: str, args: Sequence[Value]) -> Value:
        kind, first = args[0].type, args[0]
        dtype = kind.dtype
        if op in INFIXES or op in ("neg", "fma"):
            return self._wrapping(op, args)
        if op in _BITWISE:
            return self._narrowed(f"({first.text} {_BITWISE[op]} {args[1].text})", kind)
        if op == "bit_not":
            return self._narrowed(f"(~{first.text})", kind)
        if op in ("ceil", "floor", "round") or (op in ("abs", "relu") and not dtype.is_signed):
            return first
        if op in ("floor_div", "floor_mod"):
            return self._floor(op, first, args[1])
        if op in ("max", "min") and kind.lanes > 1:
            return Value(f"{op}({first.text}, {args[1].text})", kind)
        return self._helper(op, args)

    def _wrapping(self, op: str, args: Sequence[Value]) -> Value:
        """Arithmetic in unsigned integers, which wrap where C leaves signed ones undefined."""
        kind, lanes = args[0].type, args[0].type.lanes
        dtype, dialect = kind.dtype, self.helpers.dialect
        wide = U64 if dtype.bits == 64 else U32
        if lanes == 1:
            texts = [f"({dialect.scalar(wide)}){arg.text}" for arg in args]
        else:
            unsigned = dialect.register(VType(_unsigned(dtype), lanes))
            texts = [f"as_{unsigned}({arg.text})" if dtype.is_signed else arg.text for arg in args]
        if op == "neg":
            text = f"(-{texts[0]})"
        elif op == "fma":
            text = f"({texts[0]} * {texts[1]} + {texts[2]})"
        else:
            text = f"({texts[0]} {INFIXES[op]} {texts[1]})"
        if lanes > 1:
            return Value(f"as_{dialect.register(kind)}{text}" if dtype.is_signed else text, kind)
        return Value(f"({dialect.scalar(dtype)}){text}", kind)

    def _narrowed(self, text: str, kind: VType) -> Value:
        """C computes small integers as ints."""
        if kind.lanes > 1 or kind.dtype.bits >= 32:
            return Value(text, kind)
        return Value(f"({self.helpers.dialect.scalar(kind.dtype)}){text}", kind)

    def _floor(self, op: str, left: Value, right: Value) -> Value:
        """Division of an index by a positive constant, rounded down, or what it leaves."""
        divisor = right.known
        if divisor is None or divisor < 1:
            raise InternalError(f"{op} by {right.text}, which is no positive constant")
        if divisor & (divisor - 1) == 0 and left.type.lanes == 1:
            if op == "floor_div":
                return Value(f"({left.text} >> {divisor.bit_length() - 1})", left.type)
            return Value(f"({left.text} & {divisor - 1})", left.type)
        return self._helper(op, [left, right])

    def _helper(self, op: str, args: Sequence[Value]) -> Value:
        kind = args[0].type
        return self.call(self.helpers.function(op, kind.dtype), args, kind)

    def call(self, name: str, args: Sequence[Value], result: VType) -> Value:
        """A function on scalars, for vectors component by component."""
        if result.lanes > 1:
            name = self.helpers.spread(name, [arg.type for arg in args], result)
        return Value(f"{name}({', '.join(arg.text for arg in args)})", result)

    def _on_bools(self, op: str, args: Sequence[Value], result: VType) -> Value:
        """Arithmetic on bools is that of integers, and what is not 0 is true."""
        first = args[0]
        infix = {**_BITWISE, "max": "|", "min": "&", "mul": "&", "div": "&"}
        if op in infix:
            return Value(f"({first.text} {infix[op]} {args[1].text})", result)
        if op in ("ceil", "floor", "round", "abs", "neg", "relu", "sign"):
            return first
        if op == "bit_not":
            return self.apply("logical_not", args, result)
        words = [self.cast(arg, I32) for arg in args]
        return self.cast(self._on_integers(op, words), result.dtype)

    def truth(self, value: Value) -> Value:
        """``value != 0``; NaN is true."""
        kind = VType(BOOL, value.type.lanes)
        if value.type.dtype == BOOL:
            return value
        if value.type.dtype in NARROW:
            value = self.cast(value, F32)
        zero = self.constant(0, value.type)
        text = f"({value.text} != {zero.text})"
        return Value(self._mask(text, value.type.dtype, value.type.lanes), kind)

    def _cond(self, test: Value, then: Value, otherwise: Value) -> Value:
        kind = then.type
        if kind.lanes == 1:
            return Value(f"({test.text} ? {then.text} : {otherwise.text})", kind)
        mask = test.text
        if kind.dtype.bits != 32 and kind.dtype.kind is not Kind.BOOL:
            signed = {8: "char", 16: "short", 64: "long"}[kind.dtype.bits]
            mask = f"convert_{signed}{kind.lanes}({mask})"
        return Value(f"select({otherwise.text}, {then.text}, {mask})", kind)

    def cast(self, value: Value, dtype: DType) -> Value:
        """``value`` converted lane by lane, as the operation ``cast`` says."""
        source, lanes = value.type.dtype, value.type.lanes
        kind = VType(dtype, lanes)
        if source == dtype:
            return value
        if value.known is not None and dtype.is_integer:
            return self.constant(value.known, kind)
        if dtype == BOOL:
            return self.truth(value)
        if source in NARROW:
            wide = self.call(self.helpers.conversion(source, F32), [value], VType(F32, lanes))
            return self.cast(wide, dtype)
        if dtype in NARROW:
            single = self._rounded(value)
            return self.call(self.helpers.conversion(F32, dtype), [single], kind)
        if source.is_float and dtype.is_integer:
            wide_dtype = dtype if dtype.bits == 64 else I64
            whole = self.call(
                self.helpers.conversion(source, wide_dtype), [value], VType(wide_dtype, lanes)
            )
            return self.cast(whole, dtype)
        if lanes == 1:
            return Value(f"({self.helpers.dialect.scalar(dtype)}){value.text}", kind)
        text = f"({value.text} & 1)" if source == BOOL else value.text
        return Value(f"convert_{self.helpers.dialect.register(kind)}({text})", kind)

    def _rounded(self, value: Value) -> Value:
        """A value as the f32 that rounds to the same f16 or bf16."""
        dtype, lanes = value.type.dtype, value.type.lanes
        single = VType(F32, lanes)
        if dtype == F32 or (not dtype.is_float and (dtype == BOOL or dtype.bits <= 16)):
            return self.cast(value, F32)
        if dtype.is_integer:
            return self.call(self.helpers.sticky(dtype), [value], single)
        return self.call(self.helpers.odd(), [value], single)

    def constant(self, value: float, kind: VType) -> Value:
        """A constant in every lane."""
        dialect = self.helpers.dialect
        known = int(value) if kind.dtype.is_integer else None
        text = dialect.literal(value, kind.dtype)
        if kind.lanes == 1:
            return Value(text, kind, known)
        if kind.dtype == BOOL:
            text = "-1" if value else "0"
        return Value(f"(({dialect.register(kind)})({text}))", kind, known)

    def fold(self, op: str, value: Value) -> Value:
        """All lanes combined pairwise, the lower half with the upper half."""
        kind = value.type
        if kind.lanes == 1:
            return value
        dialect, half = self.helpers.dialect, kind.lanes // 2
        part, scalar = VType(kind.dtype, half), VType(kind.dtype)
        name = f"tilec_fold_{op}_{kind.dtype}_x{kind.lanes}"
        if half == 1:
            low, high = (self._component(Value("v", kind), at) for at in "01")
            body = self.apply(op, [low, high], scalar)
        else:
            halves = [Value("v.lo", part), Value("v.hi", part)]
            body = self.fold(op, self.apply(op, halves, part))
        head = f"{dialect.register(scalar)} {name}({dialect.register(kind)} v)"
        self.helpers.add(name, f"{head} {{ return {body.text}; }}")
        return Value(f"{name}({value.text})", scalar)

    @staticmethod
    def _component(value: Value, at: str) -> Value:
        kind = VType(value.type.dtype)
        text = f"{value.text}.s{at}"
        return Value(f"({text} != 0)" if kind.dtype == BOOL else text, kind)

    def folded(self, op: str, args: Sequence[Value]) -> Value | None:
        """Index arithmetic on constants, which unrolled loops are full of."""
        if len(args) != 2 or args[0].type.lanes > 1 or args[0].type.dtype.name != "i64":
            return None
        left, right = args[0].known, args[1].known
        if op in ("add", "sub") and right == 0:
            return args[0]
        if op == "add" and left == 0:
            return args[1]
        if op == "mul" and right == 1:
            return args[0]
        if left is None or right is None:
            return None
        if op in build.FOLDS and not (op.startswith("floor") and right < 1):
            return self.constant(build.FOLDS[op](left, right), args[0].type)
        if op in build.COMPARES:
            return self.constant(build.COMPARES[op](left, right), VType(BOOL))
        return None


def _unsigned(dtype: DType) -> DType:
    return dtype if dtype.kind is Kind.UINT else DType(f"u{dtype.bits}", Kind.UINT, dtype.bits)
