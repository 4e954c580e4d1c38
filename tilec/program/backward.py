"""The gradient of a tensor by others of the same graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

import numpy as np

from tilec.errors import ArgumentError, GradientError
from tilec.program.boundary import public
from tilec.program.calls import applied
from tilec.program.gradients import TieRule, grad, value_and_grad
from tilec.program.graph import (
    Applied,
    Given,
    Placeholder,
    Rule,
    Source,
    Value,
    in_order,
    operands_of,
)
from tilec.program.link import link
from tilec.program.tensor import Tensor
from tilec.runtime.arrays import numpy_dtype
from tilec.runtime.spec import Number, Spec

_Key: TypeAlias = "tuple[int, int]"

_TITLE: Final = "loss"


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
            What the functions of ``with_pullback`` raise comes through.
    """
    wanted = [each.value for each in by]
    ends: list[_End] = [(of.value, None)]
    # The graph is cut at what has a rule of its own, the last first: its rule makes cotangents
    # of what it was computed from, which are further ends of the part before.
    for ruled, rule in reversed(_ruled(of.value, wanted)):
        results = [each for each in ruled.results if each.spec.dtype.is_float]
        ends += _pulled(rule, results, _slopes(ends, results, ties))
    slopes = _slopes(ends, wanted, ties)
    return tuple(None if each is None else Tensor(each) for each in slopes)


_End: TypeAlias = "tuple[Value, Value | None]"
"""A float value and its cotangent; None for the number whose gradient is asked for."""


def _pulled(
    rule: Rule, results: Sequence[Value], cotangents: Sequence[Value | None]
) -> Iterator[_End]:
    """What a rule makes of cotangents."""
    if all(each is None for each in cotangents):
        return
    given = [
        _filled(result, 0) if each is None else each
        for result, each in zip(results, cotangents, strict=True)
    ]
    for value, slope in zip(rule.by, rule.pullback(given), strict=True):
        if slope is not None and value.spec.dtype.is_float:
            yield value, slope


def _filled(like: Value, number: float) -> Value:
    return Value(Given("", np.full(like.spec.shape, number, numpy_dtype(like.spec.dtype))))


@public
def _ruled(value: Value, wanted: Sequence[Value]) -> list[tuple[Applied, Rule]]:
    """What has a rule between a value and others that it depends on, in order.

    Raises:
        GradientError: the value is no single number.
        ArgumentError: one of the others was computed from another one.
    """
    if value.spec.shape or not value.spec.dtype.is_float:
        raise GradientError(
            f"the gradient of {value.spec} was asked for, which is not one float",
            help="add its elements up first",
        )
    keys = {*map(_key, wanted)}
    moving: set[int] = set()
    found: list[tuple[Applied, Rule]] = []
    for source in in_order((value,), _led_by):
        if not any(_key(each) in keys or id(each.source) in moving for each in _led_by(source)):
            continue
        assert isinstance(source, Applied)
        if any(_key(each) in keys for each in source.results):
            raise ArgumentError(
                "gradients by a tensor and by another one that it was computed from",
                help="ask for them one after the other",
            )
        moving.add(id(source))
        if source.rule is not None:
            found.append((source, source.rule))
    return found


def _led_by(source: Source) -> Iterable[Value]:
    """The values that gradients go to."""
    rule = _rule(source)
    return operands_of(source) if rule is None else rule.by


def _rule(source: Source) -> Rule | None:
    return source.rule if isinstance(source, Applied) else None


@public
def _slopes(
    ends: Sequence[_End], values: Sequence[Value], ties: TieRule
) -> tuple[Value | None, ...]:
    """The gradients by some values of the parts of a graph that lead to ends without a rule."""
    between = _Between(values)
    copies = between.copied([value for value, _ in ends])
    names = [f"W{at}" for at in between.used]
    if not names:
        return (None,) * len(values)
    moved = [
        (copy, cotangent)
        for copy, (value, cotangent) in zip(copies, ends, strict=True)
        if between.moves(value)
    ]
    results = {f"Y{at}": copy for at, (copy, _) in enumerate(moved)}
    part = link(results, between.inputs, _TITLE).function
    if len(moved) == 1 and moved[0][1] is None:
        _, *found = applied(value_and_grad(part, names, ties=ties), between.outer)
    else:
        cotangents = [_filled(copy, 1) if slope is None else slope for copy, slope in moved]
        found = applied(grad(part, names, ties=ties), [*between.outer, *cotangents])
    by_place = dict(zip(between.used, found, strict=True))
    return tuple(by_place.get(at) for at in range(len(values)))


class _Between:
    """The part of a graph that depends on some values: a copy, in which these are inputs.

    What does not depend on them, or by a rule of its own, is an input, too: it is not
    differentiated.

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
        self._moving: set[int] = set()

    def copied(self, values: Sequence[Value]) -> list[Value]:
        """The copies of some values; what does not depend on those of the copy stays as it is."""
        for source in in_order(values, _plain_operands):
            if isinstance(source, Applied) and any(map(self.moves, _plain_operands(source))):
                self._moving.add(id(source))
                operands = tuple(map(self._operand, source.operands))
                self._copies[id(source)] = Applied(source.function, operands, source.outputs)
        return [self._value(each) if self.moves(each) else each for each in values]

    def moves(self, value: Value) -> bool:
        """True for what depends on the values."""
        return _key(value) in self._places or id(value.source) in self._moving

    def _operand(self, operand: Value | Number) -> Value | Number:
        return self._value(operand) if isinstance(operand, Value) else operand

    def _value(self, value: Value) -> Value:
        key = _key(value)
        place = self._places.get(key)
        if place is None and id(value.source) in self._moving:
            return Value(self._copies[id(value.source)], value.at)
        if key not in self._names:
            if place is not None:
                self.used.append(place)
            name = f"X{len(self.inputs)}" if place is None else f"W{place}"
            self.inputs.append(Placeholder(name, Spec(value.spec.shape, value.spec.dtype)))
            self.outer.append(value)
            self._names[key] = Value(self.inputs[-1])
        return self._names[key]


def _plain_operands(source: Source) -> Iterable[Value]:
    """The values that a call is differentiated by; none where a rule does that."""
    return operands_of(source) if _rule(source) is None else ()


def _key(value: Value) -> _Key:
    return id(value.source), value.at
