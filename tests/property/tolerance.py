"""When two results count as equal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.property.facts import DIGITS
from tilec.dtypes import DType

Array = NDArray[Any]


def assert_close(
    result: Array,
    reference: Array,
    dtype: DType,
    accumulated_terms: int = 1,
    *,
    error: float | None = None,
) -> None:
    """Fail unless a result equals the reference, as far as its type allows.

    Integers and bools are equal in every element. Floats have NaN and infinities at the same
    places; finite values differ by at most ``error``, the bound of the error of either side. Where
    no bound is known it is taken as that of a sum of ``accumulated_terms`` terms as large as the
    largest result, or 1.

    Args:
        result: What a backend computed.
        reference: What the reference evaluator computed.
        dtype: Element type of both; bf16 may be held in any float type.
        accumulated_terms: How many values met in one element.
        error: Bound of the absolute error of each side.
    """
    assert result.shape == reference.shape
    if not dtype.is_float:
        np.testing.assert_array_equal(result, reference, strict=True)
        return
    left, right = result.astype(np.float64), reference.astype(np.float64)
    finite = np.isfinite(right)
    np.testing.assert_array_equal(np.isnan(left), np.isnan(right), "NaN stands elsewhere")
    np.testing.assert_array_equal(
        np.where(finite, 0.0, left), np.where(finite, 0.0, right), "infinities differ"
    )
    if error is None:
        largest = float(np.max(np.abs(right), where=finite, initial=1.0))
        error = (4 + accumulated_terms) * largest * 2.0 ** -DIGITS[dtype]
    with np.errstate(invalid="ignore"):
        far = finite & ~(np.abs(left - right) <= 2 * error)
    if far.any():
        first = tuple(int(at) for at in np.argwhere(far)[0])
        raise AssertionError(
            f"{np.count_nonzero(far)} of {far.size} elements are off by more than {2 * error:g}; "
            f"the first at {first}: {left[first]!r} instead of {right[first]!r}"
        )
