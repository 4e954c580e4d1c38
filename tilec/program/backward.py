"""The gradient of a tensor by others of the same graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from tilec.errors import ArgumentError, GradientError
from tilec.program.boundary import public
from tilec.program.calls import applied
from tilec.program.gradients import TieRule, value_and_grad
from tilec.program.graph import Applied, Placeholder, Source, Value, in_order
from tilec.program.link import link
from tilec.program.tensor import Tensor
from tilec.runtime.spec import Number, Spec

_Key: TypeAlias = "tuple[int, int]"

_TITLE: Final = "loss"


@public
def gradients(
    of: Tensor, by: Sequence[Tensor], *, ties: TieRule = "all"
) -> tuple[Tensor | None, ...]:
    """The gradients of one number by tensors that it was computed from.

    The part of the graph between them becomes a function, which ``value_and_grad`` differentiates;
    what the gradient has in common with the graph is computed once when both are compiled as one
    program.

    Args:
        of: A float tensor without axes.
        by: Float tensors: arrays, inputs of a traced function, or what was computed of these.
        ties: As for ``grad``.

    Returns:
        A gradient for each; None for one that ``of`` does not depend on.

    Raises:
        GradientError: something cannot be differentiated, or ``of`` is no single number.
        ArgumentError: a tensor of ``by`` was computed from another one.
    """
    if of.shape or not of.dtype.is_float:
        raise GradientError(
            f"the gradient of {of.spec} was asked for, which is not one float",
            help="add its elements up first",
        )
    between = _Between([each.value for each in by])
    value = between.copied(of.value)
    names = [f"W{at}" for at in between.used]
    if not names:
        return (None,) * len(by)
    function = link({"Y": value}, between.inputs, _TITLE).function
    _, *found = applied(value_and_grad(function, names, ties=ties), between.outer)
    by_place = dict(zip(between.used, map(Tensor, found), strict=True))
    return tuple(by_place.get(at) for at in range(len(by)))


class _Between:
    """The part of a graph that depends on some values: a copy, in which these are inputs.

    What does not depend on them is an input, too: it is not differentiated.

    Attributes:
        inputs: The inputs of the copy.
        outer: What they are in the graph.
        used: Places of the values that the copy depends on.
    """

    def __init__(self, values: Sequence[Value]) -> None:
        self.inputs: list[Placeholder] = []
        self.outer: list[Value] = []
        self.used: list[int] = []
        self._places = {_key(value): at for at, value in enumerate(values)}
        self._names: dict[_Key, Value] = {}
        self._copies: dict[int, Source] = {}

    def copied(self, value: Value) -> Value:
        """The copy of a value.

        Raises:
            ArgumentError: one of the values was computed from another one.
        """
        sources = in_order((value,))
        moving = self._moving(sources)
        for source in sources:
            if isinstance(source, Applied) and id(source) in moving:
                self._refuse_wanted(source)
                operands = tuple(self._operand(each, moving) for each in source.operands)
                self._copies[id(source)] = Applied(source.function, operands, source.outputs)
        return self._value(value, moving)

    def _moving(self, sources: Sequence[Source]) -> set[int]:
        """The calls that depend on one of the values."""
        found: set[int] = set()
        for source in sources:
            operands = source.operands if isinstance(source, Applied) else ()
            values = [each for each in operands if isinstance(each, Value)]
            if any(_key(each) in self._places or id(each.source) in found for each in values):
                found.add(id(source))
        return found

    def _refuse_wanted(self, source: Applied) -> None:
        if any((id(source), at) in self._places for at in range(len(source.outputs))):
            raise ArgumentError(
                "gradients by a tensor and by another one that it was computed from",
                help="ask for them one after the other",
            )

    def _operand(self, operand: Value | Number, moving: set[int]) -> Value | Number:
        return self._value(operand, moving) if isinstance(operand, Value) else operand

    def _value(self, value: Value, moving: set[int]) -> Value:
        key = _key(value)
        place = self._places.get(key)
        if place is None and id(value.source) in moving:
            return Value(self._copies[id(value.source)], value.at)
        if key not in self._names:
            if place is not None:
                self.used.append(place)
            name = f"X{len(self.inputs)}" if place is None else f"W{place}"
            self.inputs.append(Placeholder(name, Spec(value.spec.shape, value.spec.dtype)))
            self.outer.append(value)
            self._names[key] = Value(self.inputs[-1])
        return self._names[key]


def _key(value: Value) -> _Key:
    return id(value.source), value.at
