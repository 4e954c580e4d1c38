"""Random schedules: refused with a reason, or right, with any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tilec
from tests.property.products import convolutions, matrix_products, reductions
from tests.property.programs import RANDOM, Case, cases
from tests.property.schedules import schedules
from tests.property.test_llvm_against_reference import LAYOUTS, laid_out
from tests.property.tolerance import assert_close
from tilec import Options, ScheduleError
from tilec.lower import split
from tilec.schedule import model


@pytest.fixture(autouse=True)
def small_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small problems are tiled, split and divided like large ones."""
    monkeypatch.setattr(model, "MIN_WORK", 1)
    monkeypatch.setattr(model, "PARALLEL_CYCLES", 1)
    monkeypatch.setattr(split, "MANY_POINTS", 64)
    monkeypatch.setattr(split, "TASKS", 5)


def check_schedule(case: Case, layout: str, data: st.DataObject) -> str | None:
    """Hold a program under a random schedule against the reference; the reason if refused."""
    function = tilec.function(case.text)
    arrays = [laid_out(array, layout) for array in case.arrays.values()]
    chosen = function.compile(*arrays, options=Options(debug=True, num_threads=2))
    given = data.draw(schedules(chosen), label="schedule")
    try:
        first = function.compile(
            *arrays, options=Options(debug=True, num_threads=2), schedule=given
        )
    except ScheduleError as error:
        return error.message
    followed = first.schedule
    assert all(followed[name] == wanted for name, wanted in given.items())
    assert tilec.Schedule.parse(str(followed)) == followed
    second = function.compile(
        *arrays, options=Options(debug=True, num_threads=1), schedule=followed
    )
    expected = function.compile(*arrays, target="reference")(*arrays)
    results = [executable(*arrays) for executable in (first, second)]
    if len(case.facts) == 1:
        expected, results = (expected,), [(result,) for result in results]
    for at, fact in enumerate(case.facts.values()):
        two, one = (np.asarray(result[at]) for result in results)
        assert_close(two, np.asarray(expected[at]), fact.dtype, error=fact.error)
        assert two.tobytes() == one.tobytes(), "the bits depend on the number of threads"
    return None


SLOW = settings(
    RANDOM,
    suppress_health_check=[*RANDOM.suppress_health_check, HealthCheck.function_scoped_fixture],
)


@settings(SLOW, max_examples=40)
@given(matrix_products() | convolutions(), LAYOUTS, st.data())
def test_schedules_of_products(case: Case, layout: str, data: st.DataObject) -> None:
    check_schedule(case, layout, data)


@settings(SLOW, max_examples=40)
@given(reductions(), LAYOUTS, st.data())
def test_schedules_of_reductions(case: Case, layout: str, data: st.DataObject) -> None:
    check_schedule(case, layout, data)


@settings(SLOW, max_examples=40)
@given(cases(), LAYOUTS, st.data())
def test_schedules_of_random_programs(case: Case, layout: str, data: st.DataObject) -> None:
    check_schedule(case, layout, data)
