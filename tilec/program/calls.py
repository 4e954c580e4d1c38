"""Calls of Tile functions as nodes of a graph: operands are checked, results have their types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tilec.errors import ArgumentError
from tilec.program.function import Function
from tilec.program.graph import Applied, Given, Value
from tilec.program.infer import infer
from tilec.program.link import call_of
from tilec.runtime.dispatch import Recent
from tilec.runtime.spec import Number, Spec

_KEPT: Final = 4096


def applied(
    function: Function,
    operands: Sequence[Value | Number],
    outputs: tuple[Spec, ...] | None = None,
) -> tuple[Value, ...]:
    """The results of a call.

    Args:
        function: What is called.
        operands: One for each input.
        outputs: Types of the results, where the caller knows them; else they are inferred, which
            takes as long as it takes to check the function.

    Raises:
        UserError: the operands do not fit the function, or each other.
    """
    parts = function.parts
    if parts.bound:  # what is bound is an operand like any other
        rest = iter(operands)
        header = parts.text.header
        operands = [
            Value(Given(each.name, parts.bound[each.name])) if each.name in parts.bound else one
            for each in header.inputs
            if (one := next(rest, None) if each.name not in parts.bound else 0) is not None
        ]
        function = Function(parts.text, {}, parts.origin, parts.gradient, parts.inner)
    if len(operands) != len(function.inputs):
        raise ArgumentError(
            f"{function.name or 'the function'} takes {len(function.inputs)} operands, but "
            f"{len(operands)} were given",
            help=f"the inputs are {', '.join(each.name for each in function.inputs)}",
        )
    found = _outputs(function, operands) if outputs is None else outputs
    return Applied(function, tuple(operands), found).results


_types: Final[Recent[tuple[Spec, ...]]] = Recent(_KEPT)


def _outputs(function: Function, operands: Sequence[Value | Number]) -> tuple[Spec, ...]:
    """Types of the results: those of a program that consists of this call."""
    # A number counts by type and value: 1 and 1.0 and True are equal.
    typed = tuple(e.spec if isinstance(e, Value) else (type(e), repr(e)) for e in operands)
    text = function.parts.text
    key = (text.source.text, text.wanted, typed)
    found = _types.get(key)
    if found is None:
        found = infer(call_of(function, operands))
        _types.put(key, found)
    return found
