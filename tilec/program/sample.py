"""Arrays to try a function on when nobody gave any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tilec.program.boundary import compiler_lock
from tilec.program.shrink import fill
from tilec.runtime.spec import Spec

if TYPE_CHECKING:
    from tilec.program.function import Function


def sample_arguments(f: Function) -> list[object] | None:
    """Small arrays and numbers with which a function binds; None when none were found."""
    from tilec.lang.samples import sample_sizes
    from tilec.tensor.size import concrete

    with compiler_lock():
        found = sample_sizes(f.parts.text.checked)
    if found is None:
        return None
    random = np.random.default_rng(0)
    values: list[object] = []
    for each in f.inputs:
        if each.name in found.values:
            values.append(found.values[each.name])
        else:
            kind = found.types[each.name]
            values.append(fill(Spec(concrete(kind.shape), kind.dtype), random))
    return values
