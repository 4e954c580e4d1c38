"""What is known about a value before any size is: its kind and, mostly, its rank."""

from __future__ import annotations

from typing import TypeAlias

from tilec.records import dataclass


@dataclass(frozen=True, slots=True)
class TensorKind:
    """A tensor, a scalar or a number. ``rank`` is None where it depends on the arguments."""

    rank: int | None


@dataclass(frozen=True, slots=True)
class TupleKind:
    """A compile-time tuple; ``leaves`` counts what it holds, tuples in it included."""

    items: tuple[Kind, ...]
    leaves: int


@dataclass(frozen=True, slots=True)
class RandomKind:
    """What ``prng_step`` returns: random values to come, of the given rank."""

    rank: int


@dataclass(frozen=True, slots=True)
class UnknownKind:
    """The value of something faulty. It fits everywhere, so that one mistake is told once."""


Kind: TypeAlias = TensorKind | TupleKind | RandomKind | UnknownKind

UNKNOWN = UnknownKind()
SCALAR = TensorKind(0)


def describe(kind: Kind) -> str:
    """The kind in the words of a message."""
    match kind:
        case TensorKind(rank=0):
            return "a scalar"
        case TensorKind(rank=None):
            return "a tensor"
        case TensorKind(rank=rank):
            return f"a tensor with {count(rank, 'axis', 'axes')}"
        case TupleKind():
            return f"a tuple of {len(kind.items)}"
        case RandomKind():
            return "a random generator's step"
        case UnknownKind():
            return "faulty"


def count(number: int | None, one: str, many: str) -> str:
    """A number with its noun."""
    return f"{number} {one if number == 1 else many}"
