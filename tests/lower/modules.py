"""Modules of texts, for the tests of what several kernels share."""

from __future__ import annotations

import numpy as np

import tilec
from tests.property.test_rows import as_tuple
from tilec.kernel.ir import Module
from tilec.program.compile import built


def lowered(
    text: str, *shapes: tuple[int, ...], off: tuple[str, ...] = (), bound: tuple[str, ...] = ()
) -> Module:
    """The module of a text; its results have been compared with the definition.

    Args:
        text: The function.
        shapes: Those of its inputs.
        off: Passes to leave out.
        bound: The inputs that are constants.
    """
    random = np.random.default_rng(5)
    function, options = tilec.function(text), tilec.Options(disable=off)
    names = [each.name for each in function.inputs]
    arrays = {
        name: random.standard_normal(shape).astype(np.float32)
        for name, shape in zip(names, shapes, strict=True)
    }
    wanted = function(*arrays.values(), target="reference")
    some = function.bind(**{name: arrays[name] for name in bound})
    given = [array for name, array in arrays.items() if name not in bound]
    found = some.compile(*given, options=options)(*given)
    for one, other in zip(as_tuple(found), as_tuple(wanted), strict=True):
        largest = max(1.0, float(np.abs(other).max(initial=0)))
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=5e-6 * largest)
    return built(some.parts.text, some.recipe(*given, options=options)).main.module
