"""Many small results of operations, computed by one program and held against NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy

import tilec

np: Any = numpy
"""NumPy, whose results are compared and need no types."""

Case: TypeAlias = "tuple[tilec.Tensor, Any]"
"""A tensor, and what NumPy says it is."""


def agree(cases: Mapping[str, Case], rtol: float = 1e-5, atol: float = 1e-6) -> None:
    """Hold tensors against arrays: shapes, kinds of dtypes, and elements."""
    tilec.evaluate(*(found for found, _ in cases.values()))
    for name, (found, wanted) in cases.items():
        expected = np.asarray(wanted)
        got = found.numpy()
        assert got.shape == expected.shape, name
        assert got.dtype.kind == expected.dtype.kind, name
        np.testing.assert_allclose(got, expected, rtol, atol, err_msg=name)
