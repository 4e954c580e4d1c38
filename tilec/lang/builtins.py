"""The functions that every Tile program can call: their arguments, not their meaning.

Most are scalar operations of ``tilec.operations`` under their own name; the others are rows of
their own. What each computes is written in ``lang/lower/``.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto
from typing import Final

from tilec.dtypes import BOOL, BY_NAME, DType
from tilec.operations import OPERATIONS
from tilec.records import dataclass


class Group(Enum):
    """What kind of thing a builtin is, as far as checking and lowering treat it alike."""

    ELEMENTWISE = auto()
    CAST = auto()
    SIZES = auto()
    ASSERTION = auto()
    TUPLE = auto()
    RANDOM = auto()
    TENSOR = auto()
    REFUSED = auto()


@dataclass(frozen=True, slots=True)
class Builtin:
    """One function of the language.

    Attributes:
        name: As it is called.
        usage: The call as messages show it.
        group: How it is treated.
        least: Fewest arguments.
        most: Most arguments; None for any number.
        op: Name of the scalar operation behind an elementwise builtin.
        literals: Positions of arguments that must be integer literals.
        sizes: Position from which on the arguments are sizes; None when none are.
    """

    name: str
    usage: str
    group: Group
    least: int
    most: int | None
    op: str = ""
    literals: tuple[int, ...] = ()
    sizes: int | None = None

    def accepts(self, count: int) -> bool:
        """True for a possible number of arguments."""
        return self.least <= count and (self.most is None or count <= self.most)


ASSERTION_PREFIX: Final = "assert_"

_ALIASES: Final = {"bit_shl": "bit_left", "bit_shr": "bit_right", "select": "cond"}
"""v1 spellings."""

_OPERANDS: Final = {1: "x", 2: "a, b", 3: "test, then, otherwise"}

_LETTERS: Final = {"as_float": "f", "as_bfloat": "bf", "as_int": "i", "as_uint": "u"}
"""Conversions, and what stands in front of the width in the names of their dtypes."""

_T: Final = Group.TENSOR

_ROWS: Final = (
    Builtin("ident", "ident(x)", Group.ELEMENTWISE, 1, 1),
    Builtin("as_float", "as_float(x, bits)", Group.CAST, 2, 2, literals=(1,)),
    Builtin("as_bfloat", "as_bfloat(x, bits)", Group.CAST, 2, 2, literals=(1,)),
    Builtin("as_int", "as_int(x, bits)", Group.CAST, 2, 2, literals=(1,)),
    Builtin("as_uint", "as_uint(x, bits)", Group.CAST, 2, 2, literals=(1,)),
    Builtin("as_bool", "as_bool(x)", Group.CAST, 1, 2, literals=(1,)),
    Builtin("broadcast", "broadcast(a, b)", Group.SIZES, 2, 2, sizes=0),
    Builtin("match", "match(a, b)", Group.SIZES, 2, 2, sizes=0),
    Builtin("tuple", "tuple(a, ...)", Group.TUPLE, 1, None),
    Builtin("element", "element(t, k)", Group.TUPLE, 2, 2, literals=(1,)),
    Builtin("prng_step", "prng_step(state, d0, ...)", Group.RANDOM, 1, None, sizes=1),
    Builtin("prng_value", "prng_value(p)", Group.RANDOM, 1, 1),
    Builtin("prng_state", "prng_state(p)", Group.RANDOM, 1, 1),
    Builtin("index", "index(x, axis)", _T, 2, 2, literals=(1,)),
    Builtin("shape", "shape(x)", _T, 1, 1),
    Builtin("reshape", "reshape(x, d0, d1, ...)", _T, 1, None, sizes=1),
    Builtin("gather", "gather(data, rows)", _T, 2, 2),
    Builtin("scatter", "scatter(updates, rows, like)", _T, 3, 3),
    Builtin("argsort", "argsort(x, axis, descending)", _T, 1, 3, literals=(1, 2)),
    Builtin("builtin_softmax", "builtin_softmax(x, rows, columns)", _T, 3, 3, sizes=1),
    Builtin("builtin_logsoftmax", "builtin_logsoftmax(x, rows, columns)", _T, 3, 3, sizes=1),
    Builtin(
        "builtin_binary_crossentropy",
        "builtin_binary_crossentropy(output, target, scale)",
        _T,
        3,
        3,
    ),
    Builtin("reverse_grad", "reverse_grad(x, c)", _T, 2, 2),
    Builtin("simple_reduce", "simple_reduce(x, d0, d1, ...)", _T, 1, None, sizes=1),
    Builtin("sum_to", "sum_to(x, like)", _T, 2, 2),
    Builtin("quantize", "quantize(x, ...)", Group.REFUSED, 0, None),
)


def _elementwise(name: str, op: str) -> Builtin:
    arity = OPERATIONS[op].arity
    usage = f"{name}({_OPERANDS[arity]})"
    return Builtin(name, usage, Group.ELEMENTWISE, arity, arity, op)


BUILTINS: Final = {
    **{name: _elementwise(name, name) for name in OPERATIONS if name != "cast"},
    **{alias: _elementwise(alias, op) for alias, op in _ALIASES.items()},
    **{row.name: row for row in _ROWS},
}

_ASSERTION: Final = Builtin("", "assert_name(condition)", Group.ASSERTION, 1, 1, sizes=0)


def find(name: str) -> Builtin | None:
    """The builtin that a call names, or None."""
    if name.startswith(ASSERTION_PREFIX):
        return replace(_ASSERTION, name=name)
    return BUILTINS.get(name)


def cast_dtype(name: str, bits: int) -> DType | None:
    """Type that ``as_int(x, 32)`` and its like convert to; None for a width that is none."""
    if name == "as_bool":
        return BOOL
    return BY_NAME.get(f"{_LETTERS[name]}{bits}")


def cast_widths(name: str) -> str:
    """The widths that a cast can have, for messages."""
    return ", ".join(str(bits) for bits in (8, 16, 32, 64) if cast_dtype(name, bits))


def folds(builtin: Builtin) -> bool:
    """True when the result is a number if all arguments are numbers known when sizes are bound."""
    match builtin.group:
        case Group.ELEMENTWISE:
            return builtin.op == "" or OPERATIONS[builtin.op].bind_time
        case Group.CAST | Group.SIZES | Group.ASSERTION:
            return True
        case _:
            return False
