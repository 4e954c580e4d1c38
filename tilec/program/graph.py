"""A program before it is text: an immutable graph of calls of Tile functions.

A ``Value`` is one result of a call, an array that is known, or an input that will come. Nothing is
computed here; ``program/link.py`` prints what some values need as one Tile text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from tilec.program.function import Function
from tilec.records import dataclass
from tilec.runtime.spec import Number, Spec
from tilec.runtime.stored import Known, known_spec


@dataclass(frozen=True, slots=True, eq=False)
class Placeholder:
    """An array that comes with each call.

    Attributes:
        name: As error messages and the text call it.
        spec: Its type; row-major.
    """

    name: str
    spec: Spec


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """An array that is known, such as a weight.

    Attributes:
        name: As the text calls it; may be empty.
        array: Its elements; nobody may change them any more.
    """

    name: str
    array: Known


@dataclass(frozen=True, slots=True, eq=False)
class Applied:
    """A call of a function.

    Attributes:
        function: The function; without bound inputs.
        operands: A value or a number for each input.
        outputs: Types of the results.
    """

    function: Function
    operands: tuple[Value | Number, ...]
    outputs: tuple[Spec, ...]


Source: TypeAlias = "Placeholder | Given | Applied"


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """One array of a graph.

    Attributes:
        source: Where it comes from.
        at: Which of the results of a call it is.
    """

    source: Source
    at: int = 0

    @property
    def spec(self) -> Spec:
        """Its type."""
        match self.source:
            case Placeholder(spec=spec):
                return spec
            case Given(array=array):
                return known_spec(array)
            case Applied(outputs=outputs):
                return outputs[self.at]


def in_order(values: Sequence[Value]) -> tuple[Source, ...]:
    """Everything that some values are made of: operands before what uses them."""
    found: dict[int, Source] = {}
    pending: list[tuple[Source, Iterator[Source]]] = []

    def enter(source: Source) -> None:
        if id(source) not in found and all(source is not each for each, _ in pending):
            operands = source.operands if isinstance(source, Applied) else ()
            inner = (each.source for each in operands if isinstance(each, Value))
            pending.append((source, inner))

    for value in values:
        enter(value.source)
        while pending:
            source, rest = pending[-1]
            following = next((each for each in rest if id(each) not in found), None)
            if following is None:
                found[id(source)] = source
                pending.pop()
            else:
                enter(following)
    return tuple(found.values())
