"""The gradients of a loss, in a program that is being traced or recorded."""

from __future__ import annotations

from collections.abc import Sequence

import tilec
from keras_tilec.src.convert import node
from keras_tilec.src.tensor import Tensor
from tilec import ops


def gradients(loss: object, values: Sequence[Tensor]) -> list[Tensor | None]:
    """The gradient of a loss by each of some tensors; None where it does not depend on one."""
    found = node(loss)
    total = ops.sum(found) if found.shape else found
    floats = [each.node for each in values if each.node.dtype.is_float]
    slopes = iter(tilec.gradients(total, floats, ties="share"))
    each_one = [next(slopes) if each.node.dtype.is_float else None for each in values]
    return [None if each is None else Tensor(each) for each in each_one]
