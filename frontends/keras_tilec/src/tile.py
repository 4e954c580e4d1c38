"""Tile functions of users as operations."""

from __future__ import annotations

import tilec
from keras_tilec.src.convert import node, wrap_all
from keras_tilec.src.tensor import Tensor


def apply(f: tilec.Function, *operands: object) -> Tensor | tuple[Tensor, ...]:
    """Call a Tile function on tensors of Keras, and on numbers."""
    given = [each if isinstance(each, bool | int | float) else node(each) for each in operands]
    found: tilec.Tensor | tuple[tilec.Tensor, ...] = tilec.apply(f, *given)
    if isinstance(found, tuple):
        return tuple(wrap_all(found))
    (only,) = wrap_all([found])
    return only
