"""Small arrays that are like given ones, to try a function on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tilec.dtypes import Kind
from tilec.errors import UserError
from tilec.program.function import Function
from tilec.program.recipe import Argument
from tilec.runtime.arrays import numpy_dtype
from tilec.runtime.spec import Spec

_LIMITS: Final = (5, 9, 17, 33)
"""Largest sizes to try, in order: windows and strides may need more than the least."""

_MOST_ELEMENTS: Final = 1 << 16
"""Elements of all arrays beyond which no attempt is made."""

_LEAST_SEEDS: Final = 16
"""The generator needs seeds of at least that much."""


def small_arguments(f: Function, arguments: Sequence[Argument]) -> list[object] | None:
    """Values for the inputs of a function; None where no small sizes fit it.

    Args:
        f: The function.
        arguments: What its inputs look like, by name.
    """
    given = {each.name: each for each in arguments}
    for limit in (*_LIMITS, None):
        specs = dict(_shrunk(f, given, limit))
        total = sum(prod(spec.shape) for spec in specs.values())
        if total > _MOST_ELEMENTS:
            continue
        values = [
            given[each.name].value if each.specialised else specs[each.name] for each in f.inputs
        ]
        try:
            f.compile(*values, target="reference")
        except UserError:
            continue
        random = np.random.default_rng(0)
        return [fill(v, random) if isinstance(v, Spec) else v for v in values]
    return None


def fill(spec: Spec, random: np.random.Generator) -> NDArray[Any]:
    """Positive floats of ordinary size, small integers."""
    dtype = numpy_dtype(spec.dtype)
    if spec.dtype.is_float:
        return random.uniform(0.25, 1.75, spec.shape).astype(dtype)
    if spec.dtype.kind is Kind.BOOL:
        return random.integers(0, 2, spec.shape).astype(dtype)
    if spec.shape == (3, 2048):
        return random.integers(_LEAST_SEEDS, 1 << 31, spec.shape).astype(dtype)
    return random.integers(0, 4, spec.shape).astype(dtype)


def _shrunk(
    f: Function, given: dict[str, Argument], limit: int | None
) -> Iterator[tuple[str, Spec]]:
    """Equal sizes stay equal, and different ones different if there is room."""
    named: dict[str, int] = {}
    for each in f.inputs:
        if each.specialised:
            continue
        spec = given[each.name].spec
        shape: list[int] = []
        for axis, size in enumerate(spec.shape):
            dim = None if each.dims is None else each.dims[axis]
            if limit is None or size <= limit or isinstance(dim, int):
                shape.append(size)
                continue
            key = str(size) if dim is None else dim
            named.setdefault(key, limit - len(named) % 3)
            shape.append(named[key])
        yield each.name, Spec(shape, spec.dtype)
