"""Machine code against the reference evaluator, on random programs."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings

import tilec
from tests.property.programs import RANDOM, Case, cases
from tests.property.tolerance import assert_close


def check_target(case: Case, target: str) -> None:
    """Compile a case for a target and hold every result against the reference."""
    function = tilec.function(case.text)
    arrays = list(case.arrays.values())
    kept = [array.copy() for array in arrays]
    results = function.compile(*arrays, target=target)(*arrays)
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


@settings(RANDOM, max_examples=150)
@given(cases())
def test_machine_code_equals_the_reference(case: Case) -> None:
    check_target(case, "llvm")
