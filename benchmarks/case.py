"""What a row of a set becomes: a Tile program, its inputs, its size, and the peers' ways."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Inputs = Mapping[str, Array]
Shape = tuple[int, ...]

_ALIGN = 64
_ITEM_BYTES = 4


class RowError(Exception):
    """A row lacks something that its kind needs, or has it in the wrong form."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a set: named values, and the set's defaults behind them."""

    values: Mapping[str, object]

    def integer(self, name: str, default: int | None = None) -> int:
        """An integer; without a default it has to be there."""
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise RowError(f"{name} is {value!r}, which is not an integer")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        """A truth value."""
        value = self._value(name, default)
        if not isinstance(value, bool):
            raise RowError(f"{name} is {value!r}, which is neither true nor false")
        return value

    def text(self, name: str, default: str | None = None) -> str:
        """A text."""
        value = self._value(name, default)
        if not isinstance(value, str):
            raise RowError(f"{name} is {value!r}, which is not a text")
        return value

    def integers(self, name: str) -> tuple[int, ...]:
        """A list of integers."""
        value = self._value(name, None)
        if not isinstance(value, list):
            raise RowError(f"{name} is {value!r}, which is not a list")
        entries = cast("list[object]", value)
        return tuple(Row({name: each}).integer(name) for each in entries)

    def sizes(self, name: str) -> dict[str, int]:
        """Integers by name."""
        value = self._value(name, None)
        if not isinstance(value, dict):
            raise RowError(f"{name} is {value!r}, which holds no sizes by name")
        entries = cast("dict[str, object]", value)
        return {key: Row(entries).integer(key) for key in entries}

    def _value(self, name: str, default: object) -> object:
        value = self.values.get(name, default)
        if value is None:
            raise RowError(f"the column {name} is missing")
        return value


@dataclass(frozen=True, slots=True)
class Work:
    """A prepared computation.

    Attributes:
        run: Computes once and returns when the result is complete.
        result: What the last run computed, in the layout of tilec's output.
        seconds: Computes so many times and says the mean of the times, where that happens in
            another process, which has a clock of its own.
    """

    run: Callable[[], object]
    result: Callable[[], Array]
    seconds: Callable[[int], float] | None = None


Maker = Callable[[Any, Inputs], Work]
"""Prepares a peer, given its module and the inputs; conversions and packing happen here, once."""


@dataclass(frozen=True, slots=True)
class Case:
    """A row, ready to be measured.

    Attributes:
        name: Tells the row from others of the set.
        program: Tile text.
        shapes: Shape of each input, in the order of the program; all are f32.
        output: Shape of the result; of several results, which follow one another, their elements.
        turns: Whether it is a permutation that moves the last axis.
        constants: Inputs that are known before the call, such as weights.
        scales: Standard deviations of inputs, where those are not 1.
        flop: Floating-point operations of the definition, two for a multiplication with addition.
        reference: The result in float64.
        peers: How each peer computes it, by the peer's name; a peer that cannot is left out.
    """

    name: str
    program: str
    shapes: Mapping[str, Shape]
    output: Shape
    flop: int
    reference: Callable[[Inputs], Array]
    peers: Mapping[str, Maker]
    turns: bool = False
    constants: frozenset[str] = field(default=frozenset[str]())
    scales: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def bytes(self) -> int:
        """Compulsory traffic: every input is read once, the output written once."""
        elements = sum(math.prod(shape) for shape in self.shapes.values())
        return _ITEM_BYTES * (elements + math.prod(self.output))

    def inputs(self, seed: int = 0) -> dict[str, Array]:
        """Random inputs, the same for the same seed."""
        generator = np.random.default_rng(seed)
        made: dict[str, Array] = {}
        for name, shape in self.shapes.items():
            made[name] = aligned(shape)
            generator.standard_normal(dtype=np.float32, out=made[name])
            made[name] *= np.float32(self.scales.get(name, 1))
        return made


def aligned(shape: Sequence[int]) -> Array:
    """An empty f32 array that begins at a cache line, so that no contender has better luck."""
    count = math.prod(shape)
    memory = np.empty(count * _ITEM_BYTES + _ALIGN, np.uint8)
    skip = -memory.ctypes.data % _ALIGN
    return memory[skip : skip + count * _ITEM_BYTES].view(np.float32).reshape(shape)


def make_case(kind: str, row: Row) -> Case:
    """The case that a kind makes of a row.

    Raises:
        RowError: there is no such kind, or the row does not suit it.
    """
    try:
        module = importlib.import_module(f"benchmarks.kinds.{kind}")
    except ModuleNotFoundError as error:
        raise RowError(f"there is no kind {kind!r}") from error
    return cast("Case", module.case(row))
