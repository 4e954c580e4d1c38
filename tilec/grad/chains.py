"""What a value receives through slices of it, put into one array instead of added up.

The cotangent of a slice is an array of zeros around it. A recurrent network reads a slice of its
inputs at each step: their sum would take memory and additions that grow with the square of the
steps. Slices that share no element are written one after the other, each with the array so far as
the default of the others, which the compiler does in place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TypeAlias

from tilec.tensor.affine import Affine
from tilec.tensor.ir import Contraction, TensorType
from tilec.tensor.scalar import reads

_Range: TypeAlias = tuple[int, int]
"""First and last coordinate that a contraction may write along an axis."""


def layers(
    terms: Sequence[Contraction], types: Mapping[str, TensorType]
) -> list[list[Contraction]]:
    """Contractions of equal shape, in as few lists as one axis allows in which none share elements.

    Args:
        terms: What is added up.
        types: The types of the values that they read.
    """
    best = [[term] for term in terms]
    for axis in range(len(terms[0].output) if terms else 0):
        ranges = [_range(term, axis, types) for term in terms]
        found: list[list[Contraction]] = []
        ends: list[int] = []
        order = sorted((each, at) for at, each in enumerate(ranges) if each is not None)
        if len(order) < len(terms):
            continue
        for (first, last), at in order:
            free = next((layer for layer, end in enumerate(ends) if end < first), None)
            if free is None:
                found.append([terms[at]])
                ends.append(last)
            else:
                found[free].append(terms[at])
                ends[free] = last
        best = min(best, found, key=len)
    return best


def _range(term: Contraction, axis: int, types: Mapping[str, TensorType]) -> _Range | None:
    form = term.output[axis]
    if not isinstance(form.const, int | Fraction) or form.const.denominator != 1:
        return None
    first = int(form.const)
    if not form.terms:
        return first, first
    (index, factor), *more = form.terms
    plain = Affine.index(index)
    sizes = [
        size
        for read in reads(term.body)
        for access, size in zip(read.access, types[read.tensor].shape, strict=True)
        if access == plain and isinstance(size, int)
    ]
    if more or factor != 1 or not sizes:
        return None
    return first, first + min(sizes) - 1
