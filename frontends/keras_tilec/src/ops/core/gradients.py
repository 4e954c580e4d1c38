"""Functions that say what gradients do."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import tilec
from keras_tilec.src.convert import convert, wrap
from keras_tilec.src.tensor import Tensor, is_tracing


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
    """A function that returns its result, and the function of its gradient."""

    def called(*args: object, **kwargs: object) -> Any:
        return f(*args, **kwargs)[0]

    return called


def remat(f: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself: the compiler decides what is kept and what is computed again."""
    return f
