"""The search of the tuner, with a clock and times of the test's own."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from tilec.schedule.search import Search
from tilec.schedule.values import KernelSchedule, Tiled

FIRST = Tiled("j", "i", 4, 16, 2)


@dataclass(slots=True)
class FakeBench:
    """Runs nothing: ``seconds`` gives the time of a schedule, which noise makes longer."""

    seconds: Callable[[Tiled], float]
    left: float = 1000.0
    noise: float = 0.0
    compile_seconds: float = 0.1
    broken: Callable[[Tiled], bool] = lambda plan: False
    admitted: list[Tiled] = field(default_factory=list[Tiled])
    random: random.Random = field(default_factory=lambda: random.Random(1))
    drift: float = 1.0

    def admit(self, plan: KernelSchedule) -> float | None:
        assert isinstance(plan, Tiled)
        self.left -= self.compile_seconds
        self.admitted.append(plan)
        return None if self.broken(plan) else self._sample(plan)

    def compare(self, plans: Sequence[KernelSchedule], rounds: int) -> list[list[float]]:
        found: list[list[float]] = [[] for _ in plans]
        for _ in range(rounds):
            # The machine becomes faster or slower for all of a round.
            self.drift = 1 + self.noise * self.random.random()
            for at, plan in enumerate(plans):
                assert isinstance(plan, Tiled)
                found[at].append(self._sample(plan))
        return found

    def drop(self, plans: Sequence[KernelSchedule]) -> None:
        assert all(plan in self.admitted for plan in plans)

    def seconds_left(self) -> float:
        return self.left

    def _sample(self, plan: Tiled) -> float:
        seconds = self.seconds(plan) * self.drift * (1 + self.noise / 10 * self.random.random())
        self.left -= seconds
        return seconds


@dataclass(frozen=True, slots=True)
class Line:
    """Schedules with 1 to 30 rows; the model likes few."""

    def ranked(self) -> Sequence[KernelSchedule]:
        return [replace(FIRST, rows=rows) for rows in (4, 3, 5, 2, 6)]

    def near(self, plan: KernelSchedule) -> Sequence[KernelSchedule]:
        assert isinstance(plan, Tiled)
        near = (plan.rows - 1, plan.rows + 1)
        return [replace(plan, rows=rows) for rows in near if 1 <= rows <= 30]


def valley(plan: Tiled) -> float:
    """Best at 17 rows, far from where the model looks."""
    return 0.001 * (1 + 0.1 * abs(plan.rows - 17))


@pytest.mark.parametrize("noise", [0.0, 0.2, 0.5])
def test_it_walks_to_the_best(noise: float) -> None:
    found = Search(Line(), FakeBench(valley, noise=noise), FIRST).run()
    assert found is not None
    assert isinstance(found.plan, Tiled)
    assert abs(found.plan.rows - 17) <= (1 if noise else 0)
    assert found.first_seconds / found.seconds == pytest.approx(2.3, rel=0.1)
    assert found.reason == "nothing more to try"


def test_it_stays_where_nothing_is_faster() -> None:
    bench = FakeBench(lambda plan: 0.001, noise=0.5)
    found = Search(Line(), bench, FIRST).run()
    assert found is not None
    assert found.plan == FIRST
    assert found.seconds == found.first_seconds
    assert len(bench.admitted) == len(set(bench.admitted))


def test_it_stops_under_the_roof() -> None:
    bench = FakeBench(valley)
    found = Search(Line(), bench, FIRST, light_seconds=valley(FIRST) * 0.98).run()
    assert found is not None
    assert found.reason == "the roof leaves less than 3 % to gain"
    assert bench.admitted == [FIRST]
    near = Search(Line(), FakeBench(valley), FIRST, light_seconds=0.00101).run()
    assert near is not None
    assert near.plan == replace(FIRST, rows=17)


def test_it_keeps_to_the_budget() -> None:
    bench = FakeBench(valley, left=1.0)
    found = Search(Line(), bench, FIRST).run()
    assert found is not None
    assert found.reason == "the budget is spent"
    assert bench.left > -0.1
    assert len(bench.admitted) < 12


def test_what_was_found_before_is_tried_first() -> None:
    earlier = replace(FIRST, rows=16)
    bench = FakeBench(valley, left=2.0)
    found = Search(Line(), bench, FIRST, known=(earlier,)).run()
    assert found is not None
    assert bench.admitted[:2] == [FIRST, earlier]
    assert isinstance(found.plan, Tiled)
    assert found.plan.rows in (16, 17, 18)


def test_broken_schedules_are_left_out() -> None:
    found = Search(Line(), FakeBench(valley, broken=lambda plan: plan.rows == 10), FIRST).run()
    assert found is not None
    assert isinstance(found.plan, Tiled)
    assert found.plan.rows < 10
    assert Search(Line(), FakeBench(valley, broken=lambda plan: True), FIRST).run() is None


def test_the_last_comparison_counts() -> None:
    """A schedule that only seemed faster loses against the first one at the end."""

    class Sobering(FakeBench):
        def compare(self, plans: Sequence[KernelSchedule], rounds: int) -> list[list[float]]:
            if rounds > 12:
                self.seconds = lambda plan: 0.001
            return FakeBench.compare(self, plans, rounds)

    bench = Sobering(lambda plan: 0.001 if plan == FIRST else 0.0009)
    found = Search(Line(), bench, FIRST).run()
    assert found is not None
    assert found.plan == FIRST


def test_it_tells_how_far_it_is() -> None:
    told: list[tuple[int, float]] = []
    Search(
        Line(), FakeBench(valley), FIRST, progress=lambda n, share: told.append((n, share))
    ).run()
    assert [n for n, _ in told] == sorted(n for n, _ in told)
    assert told[-1][1] == pytest.approx(1 / 2.3)


def test_it_is_deterministic() -> None:
    first, second = FakeBench(valley, noise=0.2), FakeBench(valley, noise=0.2)
    assert Search(Line(), first, FIRST).run() == Search(Line(), second, FIRST).run()
    assert first.admitted == second.admitted


def test_an_interrupt_keeps_the_best_so_far() -> None:
    def impatient(tried: int, share: float) -> None:
        if share < 0.9:
            raise KeyboardInterrupt

    found = Search(Line(), FakeBench(valley), FIRST, progress=impatient).run()
    assert found is not None
    assert found.reason == "it was interrupted"
    assert found.plan != FIRST
    assert found.seconds < 0.9 * found.first_seconds


def test_what_was_found_before_is_not_lost_for_want_of_time() -> None:
    earlier = replace(FIRST, rows=16)
    found = Search(Line(), FakeBench(valley, left=0.001), FIRST, known=(earlier,)).run()
    assert found is not None
    assert found.plan == earlier
    lost = Search(Line(), FakeBench(valley), FIRST, known=(replace(FIRST, rows=30),)).run()
    assert lost is not None
    assert lost.plan == replace(FIRST, rows=17)


def test_long_kernels_are_timed_less_often() -> None:
    bench = FakeBench(lambda plan: 30.0, left=60.0)
    found = Search(Line(), bench, FIRST).run()
    assert found is not None
    assert found.plan == FIRST
    assert bench.admitted == [FIRST]
    assert bench.left > -10.0


def test_it_goes_around_what_was_almost_the_best() -> None:
    """From 6 rows the way to 8 leads over 7, which is a little slower than 6."""
    times = {4: 1.0, 5: 0.9, 6: 0.8, 7: 0.82, 8: 0.7}
    bench = FakeBench(lambda plan: 0.001 * times.get(plan.rows, 2.0))
    found = Search(Line(), bench, FIRST).run()
    assert found is not None
    assert found.plan == replace(FIRST, rows=8)
    assert len(bench.admitted) < 12


def test_it_goes_on_around_others_while_there_is_budget() -> None:
    """The way from 4 rows to 13 leads over eight schedules that are a little slower."""
    times = {4: 1.0, **{rows: 1.01 + 0.01 * rows for rows in range(5, 13)}, 13: 0.5}
    bench = FakeBench(lambda plan: 0.001 * times.get(plan.rows, 2.0))
    found = Search(Line(), bench, FIRST).run()
    assert found is not None
    assert found.plan == replace(FIRST, rows=13)
