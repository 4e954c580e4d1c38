"""Memory for constants: weights stay as they are where transforms gain least for a byte.

A convolution by transforms reads weights that are up to four times as large as they were. That is
worth it where nothing bounds memory; a bound is kept by the layers that lose the least.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from math import prod

from tilec.records import dataclass
from tilec.tensor.ir import Program, TensorType
from tilec.tensor.size import concrete


@dataclass(frozen=True, slots=True)
class Gain:
    """What a transform of known weights is worth.

    Attributes:
        name: The convolution.
        cycles: Predicted cycles that it saves.
        weights: The weights as they are.
        transformed: What becomes of them.
    """

    name: str
    cycles: float
    weights: str
    transformed: str


def given_up(
    gains: Sequence[Gain], program: Program, bound: AbstractSet[str], limit: int
) -> frozenset[str]:
    """The convolutions that are to be computed by definition, so that constants fit a limit.

    Args:
        gains: The transforms that are wanted.
        program: The program with all of them.
        bound: Its inputs that are known.
        limit: Bytes of constants.
    """
    types = program.types()
    held = sum(tensor_bytes(types[name]) for name in bound)
    extra = {each.name: _extra(each, types) for each in gains}
    over = held + sum(extra.values()) - limit
    found: set[str] = set()
    for each in sorted(gains, key=lambda gain: gain.cycles / max(extra[gain.name], 1)):
        if over <= 0:
            break
        if extra[each.name] > 0:
            found.add(each.name)
            over -= extra[each.name]
    return frozenset(found)


def tensor_bytes(kind: TensorType) -> int:
    """Bytes of a value."""
    return prod(concrete(kind.shape)) * kind.dtype.bytes


def _extra(gain: Gain, types: Mapping[str, TensorType]) -> int:
    return tensor_bytes(types[gain.transformed]) - tensor_bytes(types[gain.weights])
