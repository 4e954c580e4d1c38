"""``check_grad``: a gradient against finite differences in float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tilec.errors import ArgumentError
from tilec.program.boundary import public
from tilec.program.differences import Differences, Judged, several
from tilec.program.function import Function
from tilec.program.gradients import Names, TieRule, grad
from tilec.runtime.arrays import Array, spec_of, take


@public
def check_grad(
    f: Function,
    *arrays: object,
    wrt: Names | None = None,
    gradient: Function | None = None,
    ties: TieRule = "all",
    tolerance: float | None = None,
    samples: int = 64,
    seed: int = 0,
) -> tuple[Judged, ...]:
    """Hold a gradient against central differences, which are taken in float64.

    The outputs are weighted by random cotangents. Elements at which the function has a kink are
    left out.

    Args:
        f: The function.
        *arrays: The inputs at which to look.
        wrt: The inputs to differentiate for; by default all floats.
        gradient: The gradient to judge; by default ``grad(f, wrt)``.
        ties: As for ``grad``.
        tolerance: Largest error, relative to the largest element of a gradient; by default what
            the narrowest float of the inputs and of the function allows.
        samples: At how many elements of each input to look.
        seed: Seed of the cotangents and of the choice of elements.

    Returns:
        What was found, for each input.

    Raises:
        GradientError: an element is wrong; the message names the worst.
    """
    judged = grad(f, wrt, ties=ties) if gradient is None else gradient
    names = [each.name for each in f.inputs]
    if len(arrays) != len(names):
        raise ArgumentError(f"check_grad needs {len(names)} arrays: {', '.join(names)}")
    given = [
        take(each.name, value, each.dtype) for each, value in zip(f.inputs, arrays, strict=True)
    ]
    work = Differences(f, given, np.random.default_rng(seed))
    found = several(judged(*given, *work.cotangents))
    targets = _differentiated(f, judged, wrt, given)
    if len(found) != len(targets):
        raise ArgumentError(
            f"the gradient has {len(found)} outputs for {len(targets)} inputs: {', '.join(targets)}"
        )
    allowed = work.allowed if tolerance is None else tolerance
    return tuple(
        work.judge(names.index(name), value, allowed, samples)
        for name, value in zip(targets, found, strict=True)
    )


def _differentiated(
    f: Function, judged: Function, wrt: Names | None, given: Sequence[Array]
) -> list[str]:
    if wrt is not None:
        return [wrt] if isinstance(wrt, str) else list(wrt)
    origin = judged.parts.origin
    if origin is not None:
        return [each.name for each in f.inputs if each.name in origin.floats]
    return [
        each.name
        for each, array in zip(f.inputs, given, strict=True)
        if spec_of(array).dtype.is_float
    ]
