"""Functions of single elements, called for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from keras_tilec.src.convert import convert
from keras_tilec.src.host import tree, vectorize_function
from keras_tilec.src.ops.numpy.joining import stack
from keras_tilec.src.tensor import Tensor


def vectorize(
    pyfunc: Callable[..., Any],
    *,
    excluded: object = None,
    signature: str | None = None,
) -> Callable[..., Any]:
    """The function for each element, or for each part of the shape that the signature says."""
    return vectorize_function(pyfunc, _mapped, excluded=excluded, signature=signature)


def _mapped(function: Callable[..., Any], in_axes: Sequence[int | None]) -> Callable[..., Any]:
    """The function along the first axis of those arguments that are named by a 0."""

    def called(*args: object) -> Any:
        given = [convert(each) for each in args]
        pairs = [*zip(given, in_axes, strict=True)]
        count = next(x.shape[0] for x, axis in pairs if axis is not None)
        results = [
            function(*(x if axis is None else x[at] for x, axis in pairs)) for at in range(count)
        ]
        return tree.map_structure(_stack, *results)

    return called


def _stack(*each: object) -> Tensor:
    return stack(each)
