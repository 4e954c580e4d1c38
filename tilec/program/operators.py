"""The Tile texts behind Python's operators on tensors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

from tilec.errors import ShapeError
from tilec.program.function import Function, function
from tilec.records import dataclass

ELEMENTWISE: Final = {
    "plus": "A + B",
    "minus": "A - B",
    "times": "A * B",
    "over": "A / B",
    "remainder": "A % B",
    "power": "pow(A, B)",
    "less": "A < B",
    "at_most": "A <= B",
    "greater": "A > B",
    "at_least": "A >= B",
    "equal": "A == B",
    "different": "A != B",
    "both_bits": "A & B",
    "any_bits": "A | B",
    "either_bits": "A ^ B",
    "negated": "-A",
    "magnitude": "abs(A)",
    "inverted": "~A",
}


@cache
def elementwise(name: str) -> Function:
    """One of ``ELEMENTWISE``; operands are broadcast as in NumPy."""
    text = ELEMENTWISE[name]
    operands = "A, B" if "B" in text else "A"
    return function(f"function {name}({operands}) -> (C) {{ C = {text}; }}")


def product(left: Sequence[int], right: Sequence[int]) -> Function:
    """``left @ right`` for operands of these shapes, as ``numpy.matmul`` defines it.

    Raises:
        ShapeError: the shapes do not fit.
    """
    if not left or not right:
        raise ShapeError("a matrix product has an operand without axes", help="multiply with *")
    outer = len(left) > 1, len(right) > 1
    batch = max(len(left), len(right), 2) - 2
    leads = [(1,) * (batch - max(len(each) - 2, 0)) + tuple(each[:-2]) for each in (left, right)]
    for one, other in zip(*leads, strict=True):
        if one != other and 1 not in (one, other):
            raise ShapeError(f"shapes {list(left)} and {list(right)} cannot be multiplied")
    inner = left[-1], right[-2] if outer[1] else right[-1]
    if inner[0] != inner[1]:
        raise ShapeError(
            f"shapes {list(left)} and {list(right)} cannot be multiplied: {inner[0]} is not "
            f"{inner[1]}"
        )
    turned = (leads, leads[::-1])
    wide = [tuple(one >= other for one, other in zip(*pair, strict=True)) for pair in turned]
    return _product(len(left), len(right), wide[0], wide[1])


@cache
def _product(
    left: int, right: int, left_wide: tuple[bool, ...], right_wide: tuple[bool, ...]
) -> Function:
    """The text; of each leading axis, whether an operand is as long as the other at least."""
    batch = len(left_wide)

    def operand(letter: str, rank: int, wide: tuple[bool, ...], last: str) -> tuple[str, str]:
        own = range(batch - max(rank - 2, 0), batch)
        sizes = [f"{letter}{axis}" for axis in own]
        at = [f"b{axis}" if wide[axis] else "0" for axis in own]
        names = last if rank > 1 else "K"
        return ", ".join([*sizes, *names]), ", ".join([*at, *names.lower()])

    (a_sizes, a_at), (b_sizes, b_at) = (
        operand("A", left, left_wide, "MK"),
        operand("B", right, right_wide, "KN"),
    )
    batches = [
        f"A{axis}" if left_wide[axis] and axis >= batch - max(left - 2, 0) else f"B{axis}"
        for axis in range(batch)
    ]
    rows, columns = "M" * (left > 1), "N" * (right > 1)
    sizes = ", ".join([*batches, *rows, *columns])
    at = ", ".join([*(f"b{axis}" for axis in range(batch)), *rows.lower(), *columns.lower()])
    return function(
        f"function matrices(A[{a_sizes}], B[{b_sizes}]) -> (C) "
        f"{{ C[{at} : {sizes}] = +(A[{a_at}] * B[{b_at}]); }}"
    )


@dataclass(frozen=True, slots=True)
class Cut:
    """One axis of an array, or a new one, in an indexing expression.

    Attributes:
        start: First element.
        step: Distance of elements; may be negative.
        count: How many there are; None where the axis vanishes.
        is_new: True for an axis of size 1 that the array does not have.
    """

    start: int
    step: int
    count: int | None
    is_new: bool = False


@cache
def cut(axes: tuple[Cut, ...]) -> Function:
    """The elements that an indexing expression selects, from positions that are its operands.

    The slices of one kind are calls of one function; ``start`` of the axes does not count.
    """
    dims, reads, sizes, at = list[str](), list[str](), list[str](), list[str]()
    for place, axis in enumerate(axes):
        index = f"i{place}"
        if axis.count is not None:
            sizes.append(str(axis.count))
            at.append(index)
        if not axis.is_new:
            dims.append(f"N{place}")
            moving = "" if axis.count is None else f" + {axis.step}*{index}"
            reads.append(f"S{place}{moving}")
    inputs = [f"A[{', '.join(dims)}]" if dims else "A", *starts_of(axes)]
    return function(
        f"function cut({', '.join(inputs)}) -> (B) "
        f"{{ B[{', '.join(at)} : {', '.join(sizes)}] = =(A[{', '.join(reads)}]); }}"
    )


def starts_of(axes: Sequence[Cut]) -> dict[str, int]:
    """The operands of ``cut`` behind the array: the first position on each axis of it."""
    return {f"S{place}": axis.start for place, axis in enumerate(axes) if not axis.is_new}
