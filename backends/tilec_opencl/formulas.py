"""The formulas of elementary functions as C, on scalars and on vectors.

Each operation is a statement of its own, so that a compiler that may fuse a multiplication with an
addition within an expression finds none. Integers are unsigned, and taken as signed where that
counts; a condition on vectors is an integer of as many bits as what was compared, 0 or -1.
"""

from __future__ import annotations

from dataclasses import field
from typing import Final

from tilec.dtypes import BOOL, F32, F64, I32, I64, U32, U64, DType
from tilec.errors import InternalError
from tilec.kernel.elementary import FORMULAS
from tilec.kernel.elementary.values import Type, Value
from tilec.kernel.ir import VType
from tilec.records import dataclass
from tilec_opencl.device import Machine
from tilec_opencl.spelling import Dialect

_INFIXES: Final = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "and": "&", "or": "|", "xor": "^",
    "shl": "<<", "lshr": ">>",
}  # fmt: skip
_COMPARES: Final = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
_DTYPES: Final = {("f", 32): F32, ("f", 64): F64, ("i", 32): U32, ("i", 64): U64}
_SIGNED: Final = {32: I32, 64: I64}


def has_formula(op: str, dtype: DType, machine: Machine) -> bool:
    """Whether ``op`` on floats of ``dtype`` is written from a formula.

    GPUs have instructions for the most of it, and drivers that know them.
    """
    in_f64 = dtype == F64 or op == "pow"  # pow of f32 is computed in f64
    is_known = op in FORMULAS and dtype in (F32, F64)
    return is_known and not machine.is_gpu and (machine.has_f64 or not in_f64)


def formula(op: str, kind: VType, operands: int, name: str, dialect: Dialect) -> str:
    """A function that computes ``op`` of some operands of a type, without its qualifiers."""
    code = _Code(dialect)
    own = Type("f", kind.dtype.bits, kind.lanes)
    letters = "xy"[:operands]
    result = FORMULAS[op](*(Value(code, own, letter) for letter in letters))
    spelled = dialect.register(kind)
    params = ", ".join(f"{spelled} {letter}" for letter in letters)
    body = "\n".join(code.lines)
    return f"{spelled} {name}({params}) {{\n{body}\n  return {result.text};\n}}"


@dataclass(slots=True)
class _Code:
    """The statements of a function; see ``Code``."""

    dialect: Dialect
    lines: list[str] = field(default_factory=list[str])

    def constant(self, value: float, kind: Type) -> str:
        """See ``Code``."""
        text = self.dialect.literal(value, _DTYPES[kind.kind, kind.bits])
        return text if kind.lanes == 1 else f"(({self._spelled(kind)})({text}))"

    def apply(self, op: str, result: Type, *operands: Value) -> Value:
        """See ``Code``."""
        value = Value(self, result, f"v{len(self.lines)}")
        text = self._text(op, result, operands)
        self.lines.append(f"  const {self._spelled(result)} {value.text} = {text};")
        return value

    def scales(self, kind: Type) -> bool:
        """See ``Code``: C has no such instructions."""
        return False

    def scaled(self, x: Value, n: Value) -> Value:
        """See ``Code``."""
        raise InternalError(f"{x.text} cannot be scaled in C")

    def limited(self, x: Value, most: float) -> Value:
        """See ``Code``."""
        raise InternalError(f"{x.text} cannot be limited in C")

    def _text(self, op: str, result: Type, operands: tuple[Value, ...]) -> str:
        first, kind = operands[0].text, operands[0].type
        if op in _INFIXES:
            return f"{first} {_INFIXES[op]} {operands[1].text}"
        if op in _COMPARES:
            is_ordered = kind.kind == "i" and op not in ("eq", "ne")
            left, right = (self._signed(each) if is_ordered else each.text for each in operands)
            return f"{left} {_COMPARES[op]} {right}"
        mask = (1 << (kind.bits - 1)) - 1
        match op:
            case "neg":
                return f"-{first}"
            case "not":
                return f"{'!' if kind.lanes == 1 else '~'}{first}"
            case "is_nan":
                return f"{first} != {first}"
            case "select":
                return f"{first} ? {operands[1].text} : {operands[2].text}"
            case "ashr":
                shifted = f"{self._signed(operands[0])} >> {operands[1].text}"
                return f"as_{self._spelled(result)}({shifted})"
            case "bitcast":
                return f"as_{self._spelled(result)}({first})"
            case "to_float":
                source = first if kind.kind == "f" else self._signed(operands[0])
                return f"convert_{self._spelled(result)}({source})"
            case "fma" | "sqrt" | "trunc":
                return f"{op}({', '.join(each.text for each in operands)})"
            case "abs":
                return self._float(result, f"{self._bits(operands[0])} & {self._word(kind, mask)}")
            case "copysign":
                size = f"({self._bits(operands[0])} & {self._word(kind, mask)})"
                sign = f"({self._bits(operands[1])} & {self._word(kind, mask + 1)})"
                return self._float(result, f"{size} | {sign}")
            case _:
                raise InternalError(f"the operation {op} of a formula has no words in C")

    def _spelled(self, kind: Type) -> str:
        if kind.kind == "b":
            wide = _SIGNED[kind.bits]
            return self.dialect.register(VType(BOOL if kind.lanes == 1 else wide, kind.lanes))
        return self.dialect.register(VType(_DTYPES[kind.kind, kind.bits], kind.lanes))

    def _signed(self, value: Value) -> str:
        kind = VType(_SIGNED[value.type.bits], value.type.lanes)
        return f"as_{self.dialect.register(kind)}({value.text})"

    def _bits(self, value: Value) -> str:
        return f"as_{self._spelled(Type('i', value.type.bits, value.type.lanes))}({value.text})"

    def _word(self, kind: Type, value: int) -> str:
        return self.constant(value, Type("i", kind.bits, kind.lanes))

    def _float(self, kind: Type, bits: str) -> str:
        return f"as_{self._spelled(kind)}({bits})"
