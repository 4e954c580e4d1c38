"""Functions with a gradient of their own: their nodes are passed over, and it stands for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tilec.errors import GradientError
from tilec.grad.tape import Tape, elementwise, zero_like
from tilec.records import dataclass
from tilec.tensor import uses
from tilec.tensor.ir import Program, Region, TensorType


@dataclass(frozen=True, slots=True)
class Own:
    """The gradients that were given.

    Attributes:
        regions: The calls of functions that have one.
        expand: The program of a gradient, by the name of the function and the types of its inputs:
            those of the function, and a cotangent for each float result.
    """

    regions: tuple[Region, ...] = ()
    expand: Callable[[str, Mapping[str, TensorType]], Program] | None = None

    def of(self, node: str) -> Region | None:
        """The call that a node came from."""
        return next((region for region in self.regions if node in region.nodes), None)


def whole(program: Program, name: str) -> Region:
    """A program as one call."""
    return Region(
        name,
        tuple(item.name for item in program.inputs),
        tuple(output.value for output in program.outputs),
        frozenset(node.name for node in program.nodes),
    )


def insert(own: Own, region: Region, cotangents: Sequence[str], tape: Tape) -> dict[str, str]:
    """Append the gradient of a call.

    Args:
        own: The gradients that were given.
        region: The call.
        cotangents: Those of its float results.
        tape: The program that grows.

    Returns:
        The cotangent of each float operand.

    Raises:
        GradientError: the gradient does not fit the function.
    """
    assert own.expand is not None
    given = [name for name in region.operands if name is not None]
    if len(given) < len(region.operands):
        raise GradientError(f"{region.function} has a gradient of its own and is called with sizes")
    values = [*given, *cotangents]
    types = {f"{at}": tape.types[name] for at, name in enumerate(values)}
    program = own.expand(region.function, types)
    names = {item.name: value for item, value in zip(program.inputs, values, strict=True)}
    for node in program.nodes:
        node = uses.reading(node, names)
        names[node.name] = tape.fresh(node.name)
        tape.add(replace(node, name=names[node.name]))
    floats = [name for name in given if tape.types[name].dtype.is_float]
    if len(floats) != len(program.outputs):
        raise GradientError(
            f"the gradient given for {region.function or 'the function'} has "
            f"{len(program.outputs)} outputs, but there are {len(floats)} float inputs"
        )
    found = [names[output.value] for output in program.outputs]
    for name, value in zip(floats, found, strict=True):
        if tape.types[name] != tape.types[value]:
            raise GradientError(
                f"the gradient given for {region.function or 'the function'} returns "
                f"{tape.types[value]} for {name}, which is {tape.types[name]}"
            )
    return dict(zip(floats, found, strict=True))


def zeros(tape: Tape, name: str) -> str:
    """The cotangent of a result that nothing uses."""
    shape = tape.types[name].shape
    return tape.define(f"Zero_{name}", elementwise(zero_like(tape, name), shape, None)).tensor
