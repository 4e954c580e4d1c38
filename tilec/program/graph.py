"""A program before it is text: an immutable graph of calls of Tile functions.

A ``Value`` is one result of a call, an array that is known, or an input that will come. Nothing is
computed here; ``program/link.py`` prints what some values need as one Tile text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field
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
        spec: Its type, which is asked for many times.
    """

    name: str
    array: Known
    spec: Spec = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "spec", known_spec(self.array))


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A gradient that somebody gave for a part of a graph, which is used instead of that part's.

    Attributes:
        by: The values that it has gradients for.
        pullback: From a cotangent for each float result to a gradient for each of ``by``, or None.
    """

    by: tuple[Value, ...]
    pullback: Callable[[Sequence[Value]], Sequence[Value | None]]


@dataclass(frozen=True, slots=True, eq=False)
class Applied:
    """A call of a function.

    Attributes:
        function: The function; without bound inputs.
        operands: A value or a number for each input.
        outputs: Types of the results.
        rule: What gradients go by, if not by the function and its operands.
    """

    function: Function
    operands: tuple[Value | Number, ...]
    outputs: tuple[Spec, ...]
    rule: Rule | None = None

    @property
    def results(self) -> tuple[Value, ...]:
        """The values that it makes."""
        return tuple(Value(self, at) for at in range(len(self.outputs)))


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
            case Placeholder(spec=spec) | Given(spec=spec):
                return spec
            case Applied(outputs=outputs):
                return outputs[self.at]


def operands_of(source: Source) -> Iterator[Value]:
    """The values that a call computes its results of."""
    operands = source.operands if isinstance(source, Applied) else ()
    return (each for each in operands if isinstance(each, Value))


def in_order(
    values: Sequence[Value], operands: Callable[[Source], Iterable[Value]] = operands_of
) -> tuple[Source, ...]:
    """Everything that some values are made of: operands before what uses them.

    Args:
        values: The values.
        operands: What counts as an operand of a source.
    """
    found: dict[int, Source] = {}
    pending: list[tuple[Source, Iterator[Source]]] = []

    def enter(source: Source) -> None:
        if id(source) not in found and all(source is not each for each, _ in pending):
            pending.append((source, (each.source for each in operands(source))))

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
