"""Machine code against the reference evaluator, on random programs."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import tilec
from tests.property.products import convolutions, matrix_products
from tests.property.programs import RANDOM, Array, Case, cases
from tests.property.tolerance import assert_close

LAYOUTS = st.sampled_from(["contiguous"] * 4 + ["columns first", "backwards", "every other"])

CHECKED = tilec.Options(debug=True)


def laid_out(array: Array, layout: str) -> Array:
    """The same elements with other strides."""
    if not array.shape:
        return array
    match layout:
        case "columns first":
            return np.asfortranarray(array)
        case "backwards":
            return np.flip(np.flip(array).copy())
        case "every other":
            spread = np.zeros([2 * n for n in array.shape], array.dtype)
            view = spread[tuple(slice(None, None, 2) for _ in array.shape)]
            view[...] = array
            return view
        case _:
            return array


def check_target(
    case: Case, target: str, layout: str = "contiguous", options: tilec.Options = CHECKED
) -> None:
    """Compile a case for a target and hold every result against the reference.

    All invariants are verified on the way, bounds and races among them.
    """
    function = tilec.function(case.text)
    arrays = [laid_out(array, layout) for array in case.arrays.values()]
    kept = [array.copy() for array in arrays]
    results = function.compile(*arrays, target=target, options=options)(*arrays)
    expected = function.compile(*arrays, target="reference")(*arrays)
    if len(case.facts) == 1:
        results, expected = (results,), (expected,)
    for (name, fact), result, reference in zip(case.facts.items(), results, expected, strict=True):
        try:
            assert_close(np.asarray(result), np.asarray(reference), fact.dtype, error=fact.error)
        except AssertionError as error:
            raise AssertionError(f"{name} of {case!r}: {error}") from None
    for array, before in zip(arrays, kept, strict=True):
        assert array.tobytes() == before.tobytes(), "an input was written"


@settings(RANDOM, max_examples=120)
@given(cases(), LAYOUTS)
def test_random_programs_equal_the_reference(case: Case, layout: str) -> None:
    check_target(case, "llvm", layout)


@settings(RANDOM, max_examples=60)
@given(matrix_products(), LAYOUTS)
def test_matrix_products_equal_the_reference(case: Case, layout: str) -> None:
    check_target(case, "llvm", layout)


@settings(RANDOM, max_examples=40)
@given(convolutions(), LAYOUTS)
def test_convolutions_equal_the_reference(case: Case, layout: str) -> None:
    check_target(case, "llvm", layout)
