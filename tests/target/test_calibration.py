from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tilec.errors import CacheError
from tilec.target.calibration import Calibration, Limit, Rate, from_json, machine_key
from tilec.target.host import host

RATE = Rate.of([3.0, 1.0, 2.0])
FOUND = Calibration(
    "a machine", 2, Limit("f32", 0, RATE, RATE), (Limit("L1", 9, RATE, Rate(4.0, 4.0, 5.0, 1)),)
)


def test_rate() -> None:
    assert Rate(2.0, 1.0, 3.0, 3) == RATE
    assert RATE.spread == 1.0


def test_json_round_trip() -> None:
    assert from_json(json.loads(json.dumps(FOUND.as_json()))) == FOUND


def test_bandwidth_of_a_level_that_is_not_there_is_that_of_memory() -> None:
    assert FOUND.bandwidth("L1").median == FOUND.bandwidth("L3").median == 4.0


@pytest.mark.parametrize(
    "facts",
    [
        None,
        [],
        {},
        {**FOUND.as_json(), "format": 0},
        {**FOUND.as_json(), "reads": [1]},
        {**FOUND.as_json(), "peak": {"name": "f32", "bytes": 0, "one": {}, "every": {}}},
        replace(FOUND, peak=Limit("f32", 0, Rate(1.0, 2.0, 3.0, 1), RATE)).as_json(),
    ],
)
def test_what_is_no_calibration(facts: object) -> None:
    with pytest.raises(CacheError):
        from_json(facts)


def test_machines_have_different_keys() -> None:
    this = host()
    assert machine_key(this) == machine_key(replace(this))
    assert machine_key(this) != machine_key(replace(this, cores=this.cores + 1))
