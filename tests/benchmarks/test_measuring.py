"""Statistics, interleaving, limits."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from benchmarks.case import aligned
from benchmarks.limits import Level, Limits, better, measure_limits
from benchmarks.turning import COLUMNS, turned, turning_meter
from tilec.bench.measure import Plan, measure, settle, timed, timing
from tilec.bench.statistic import Spread, geometric_mean, spread


def flat(value: float) -> Spread:
    return spread([value])


LIMITS = Limits(
    flat(100.0),
    512,
    (
        Level("L1", 10, 5, flat(50.0), flat(40.0)),
        Level("L2", 100, 50, flat(20.0), flat(10.0)),
        Level("DRAM", None, 600, flat(5.0), flat(4.0)),
    ),
)


def test_spread() -> None:
    found = spread([5.0, 1.0, 2.0, 4.0, 3.0])
    assert (found.median, found.best, found.samples) == (3.0, 5.0, 5)
    assert found.low == pytest.approx(1.4)
    assert found.high == pytest.approx(4.6)
    assert spread([7.0]) == Spread(7.0, 7.0, 7.0, 7.0, 1)


def test_geometric_mean() -> None:
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4.0)
    assert geometric_mean([]) is None


def test_timing() -> None:
    found = timing([3.0, 1.0, 2.0], 7)
    assert (found.median, found.best, found.samples, found.calls) == (2.0, 1.0, 3, 7)


def test_contenders_take_turns() -> None:
    seen: list[str] = []
    plan = Plan(rounds=3, turn=0.0, sample=0.0, pause=0.0)
    found = measure({name: timed(partial(seen.append, name)) for name in "ab"}, plan)
    # Three calls to get to know each, and then one to warm up and one that counts in each turn.
    assert seen == ["a"] * 3 + ["b"] * 3 + ["a", "a", "b", "b"] * 3
    assert found["a"].samples == found["b"].samples == 3


def test_slow_contenders_have_fewer_turns() -> None:
    calls: list[int] = []
    plan = Plan(rounds=5, slow_rounds=2, slow=0.0, turn=0.0, pause=0.0)
    assert measure({"a": timed(lambda: calls.append(1))}, plan)["a"].samples == 2


def test_contenders_with_a_clock_of_their_own() -> None:
    plan = Plan(rounds=2, turn=0.0, sample=3e-4, pause=0.0)
    found = measure({"a": lambda calls: 1e-4}, plan)["a"]
    assert (found.median, found.calls, found.samples) == (1e-4, 3, 2)


class Workers:
    """A process whose workers spin for a while: a clock, its CPU time, and sleeping."""

    def __init__(self, spinning: float) -> None:
        self.now = 0.0
        self.spinning = spinning

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def cpu(self) -> float:
        return min(self.now, self.spinning)

    def clock(self) -> float:
        return self.now


@pytest.mark.parametrize(("spinning", "waited"), [(0.0, 0.006), (0.02, 0.03), (10.0, 0.102)])
def test_a_turn_waits_for_workers_that_spin(spinning: float, waited: float) -> None:
    workers = Workers(spinning)
    plan = Plan(pause=0.006, patience=0.1)
    found = settle(plan, workers.sleep, workers.cpu, workers.clock)
    assert found == pytest.approx(waited)


def test_the_slower_of_arithmetic_and_traffic_is_the_limit() -> None:
    assert LIMITS.seconds(1000, 10) == (10.0, "compute")
    assert LIMITS.seconds(10, 100) == (5.0, "L2")
    assert LIMITS.seconds(10, 101) == (101 / 5, "DRAM")


def test_of_two_looks_the_better_one_counts() -> None:
    slow = Limits(flat(50.0), 256, tuple(
        Level(each.name, each.capacity, each.working_set, flat(1.0), flat(90.0))
        for each in LIMITS.levels
    ))  # fmt: skip
    found = better(slow, LIMITS)
    assert (found.flops.best, found.vector_bits) == (100.0, 512)
    assert [each.read.best for each in found.levels] == [50.0, 20.0, 5.0]
    assert [each.triad.best for each in found.levels] == [90.0, 90.0, 90.0]


def test_limits_of_this_machine() -> None:
    found = measure_limits(1, quick=True)
    assert found.flops.best > 1e8
    assert found.levels[-1].name == "DRAM"
    assert all(level.read.best > 1e7 and level.triad.best > 1e7 for level in found.levels)


def test_a_copy_by_hand_is_transposed() -> None:
    read, written = aligned((48, COLUMNS)), aligned((COLUMNS, 48))
    read[:], written[:] = np.arange(48 * COLUMNS).reshape(48, COLUMNS), 0
    turned(read, written, 2)()
    np.testing.assert_array_equal(written, read.T)
    assert turning_meter(1, 1 << 20)() > 0
