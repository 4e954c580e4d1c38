"""The arrays of some values of a graph: found code is run again without writing its text again."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import prod
from typing import Final, cast

from tilec.program.function import Function
from tilec.program.graph import Applied, Given, Placeholder, Source, Value, in_order
from tilec.program.link import link
from tilec.runtime.arrays import Array
from tilec.runtime.dispatch import Recent
from tilec.runtime.stored import Known, elements

_KEPT: Final = 1024

_functions: Final[Recent[Function]] = Recent(_KEPT)
"""The functions of graphs, by what their texts would say."""


def computed(
    values: Sequence[Value], target: str | None = None, reference_up_to: int = 0
) -> tuple[Array, ...]:
    """Compile and run what some values need, in one program.

    Args:
        values: Values that depend on no placeholder.
        target: What to run on; by default that of the environment.
        reference_up_to: Graphs of at most so many elements, all values together, run on the
            reference evaluator, which has to compile nothing.

    Raises:
        UserError: one depends on an input that has not come, or something cannot be computed.
    """
    sources = in_order(values)
    if reference_up_to and _elements(sources) <= reference_up_to:
        target = "reference"
    arrays: list[Known] = []
    key = _key(sources, values, arrays)
    function = _functions.get(key)
    if function is None:
        linked = link({f"Y{at}": value for at, value in enumerate(values)})
        function, arrays = linked.function, list(linked.given.values())
        _functions.put(key, function)
    found = function(*map(elements, arrays), target=target)
    return (found,) if len(values) == 1 else cast("tuple[Array, ...]", found)


def is_abstract(value: Value) -> bool:
    """True if a value depends on an input that has not come."""
    return any(isinstance(source, Placeholder) for source in in_order((value,)))


def _elements(sources: Sequence[Source]) -> int:
    total = 0
    for source in sources:
        match source:
            case Given(spec=spec) | Placeholder(spec=spec):
                total += prod(spec.shape)
            case Applied(outputs=outputs):
                total += sum(prod(each.shape) for each in outputs)
    return total


def _key(sources: Sequence[Source], values: Sequence[Value], arrays: list[Known]) -> Hashable:
    """What tells the text of a graph from others; the arrays are put in the order of its inputs."""
    numbers: dict[int, int] = {}
    inputs: dict[int, int] = {}
    parts: list[Hashable] = []
    for number, source in enumerate(sources):
        numbers[id(source)] = number
        match source:
            case Given(array=array, spec=spec):
                at = inputs.setdefault(id(array), len(arrays))
                if at == len(arrays):
                    arrays.append(array)
                parts.append((at, spec))
            case Applied(function=function, operands=operands):
                text = function.parts.text
                # A number counts by type and value: 1 and 1.0 and True are equal.
                called = tuple(
                    (numbers[id(each.source)], each.at)
                    if isinstance(each, Value)
                    else (type(each), repr(each))
                    for each in operands
                )
                parts.append((text.source.text, text.wanted, called))
            case Placeholder():
                parts.append(source.name)  # linking says what is wrong
    return tuple(parts), tuple((numbers[id(value.source)], value.at) for value in values)
