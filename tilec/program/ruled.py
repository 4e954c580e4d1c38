"""Tensors with a gradient of their own, as a function of Python makes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from tilec.errors import GradientError
from tilec.program.boundary import public
from tilec.program.function import Function, function
from tilec.program.graph import Applied, Rule, Value
from tilec.program.tensor import Tensor
from tilec.runtime.spec import Spec


@public
def with_pullback(
    results: Sequence[Tensor],
    by: Sequence[Tensor],
    pullback: Callable[..., Sequence[Tensor | None]],
) -> tuple[Tensor, ...]:
    """Tensors as they are, whose gradients are what a function says.

    Args:
        results: The tensors. How they were computed does not matter to ``gradients``.
        by: The tensors that gradients go to.
        pullback: Called by ``gradients`` with a cotangent for each float tensor of ``results``. It
            returns a gradient for each tensor of ``by``, or None where there is none.

    Returns:
        The same tensors, to be used instead of ``results``.

    Example:
        >>> import numpy as np
        >>> import tilec
        >>> x = tilec.tensor(np.ones(2, np.float32))
        >>> (y,) = tilec.with_pullback([x * x], [x], lambda slope: [slope * 5])
        >>> (dx,) = tilec.gradients(y[0], [x])
        >>> dx.numpy()
        array([5., 0.], dtype=float32)
    """

    def pulled(cotangents: Sequence[Value]) -> Sequence[Value | None]:
        found = pullback(*map(Tensor, cotangents))
        if len(found) != len(by):
            raise GradientError(
                f"a pullback returned {len(found)} gradients for {len(by)} tensors",
                help="it returns one for each, or None",
            )
        for one, other in zip(found, by, strict=True):
            if one is not None and one.spec != other.spec:
                raise GradientError(f"a pullback returned {one.spec} for a tensor {other.spec}")
        return [None if each is None else each.value for each in found]

    values = tuple(each.value for each in results)
    rule = Rule(tuple(each.value for each in by), pulled)
    outputs = tuple(Spec(each.spec.shape, each.spec.dtype) for each in values)
    return tuple(map(Tensor, Applied(_same(len(values)), values, outputs, rule).results))


@cache
def _same(count: int) -> Function:
    inputs = ", ".join(f"X{at}" for at in range(count))
    outputs = ", ".join(f"Y{at}" for at in range(count))
    lines = " ".join(f"Y{at} = X{at};" for at in range(count))
    return function(f"function same{count}({inputs}) -> ({outputs}) {{ {lines} }}")
