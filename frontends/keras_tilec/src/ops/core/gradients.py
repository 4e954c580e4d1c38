"""Functions that say what gradients do."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import tilec
from keras_tilec.src.convert import convert, node, wrap
from keras_tilec.src.host import KerasVariable, tree
from keras_tilec.src.tensor import Tensor, is_tracing, tracing


@cache
def _stopped() -> tilec.Function:
    """A value as it is, whose gradient is 0 whatever comes: ``0 * inf`` would not be."""
    # A bare ``Y = X`` would be no call that a gradient of its own could stand for.
    same = tilec.function("function stopped(X) -> (Y) { Y = X == X ? X : X; }")
    return same.with_grad(tilec.function("function (X, DY) -> (DX) { DX = DY < DY ? DY : 0; }"))


def stop_gradient(variable: object) -> Tensor:
    found = convert(variable)
    if not found.node.dtype.is_float or (found.is_settled and not is_tracing()):
        return found
    return wrap(tilec.apply(_stopped(), found.node))


def custom_gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function that returns its result and the function of its gradient, as an operation.

    That function is called with a cotangent for each float tensor of the result, and returns a
    gradient for each tensor of the arguments, or None.
    """

    def called(*args: object, **kwargs: object) -> Any:
        given = tree.map_structure(_value, args)
        output, slope = f(*given, **kwargs)
        if not is_tracing():  # nobody can ask for a gradient later
            return output
        leaves = tree.flatten(given)
        by = [each.node for each in leaves if isinstance(each, Tensor)]

        def pullback(*cotangents: tilec.Tensor) -> list[tilec.Tensor | None]:
            with tracing():
                slopes = tree.flatten(slope(*map(Tensor, cotangents)))
                if len(slopes) != len(leaves):
                    raise ValueError(
                        f"A custom gradient returned {len(slopes)} values for {len(leaves)} "
                        "arguments; it returns one for each, or None"
                    )
                return [
                    None if one is None else node(one, each.dtype)
                    for one, each in zip(slopes, leaves, strict=True)
                    if isinstance(each, Tensor)
                ]

        results = [convert(each) for each in tree.flatten(output)]
        ruled = tilec.with_pullback([each.node for each in results], by, pullback)
        return tree.pack_sequence_as(output, [*map(Tensor, ruled)])

    return called


def _value(leaf: object) -> object:
    return leaf.value if isinstance(leaf, KerasVariable) else leaf


def remat(f: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself: the compiler decides what is kept and what is computed again."""
    return f
