"""Functions that say what gradients do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tilec
from keras_tilec.src.convert import convert, node
from keras_tilec.src.host import KerasVariable, tree
from keras_tilec.src.tensor import Tensor, is_tracing, tracing


def stop_gradient(variable: object) -> Tensor:
    found = convert(variable)
    if not found.node.dtype.is_float or (found.is_settled and not is_tracing()):
        return found
    (stopped,) = tilec.with_pullback([found.node], [], _no_gradients)
    return Tensor(stopped)


def _no_gradients(_: tilec.Tensor) -> list[tilec.Tensor | None]:
    return []


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
