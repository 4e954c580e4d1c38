"""Search for the fastest schedule of a kernel: the model says where to look, a clock what is true.

Candidates come in waves: what the model ranks best, and what lies near the best schedule so far. A
wave is thinned out by successive halving (Jamieson and Talwalkar 2016): all get a few samples, the
better half gets twice as many, and so on. Samples of a candidate are compared with those of the
best schedule so far that were taken beside them, so that a machine that slows down for a while does
so for both. A schedule is replaced only by one that wins by a margin.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Final, Protocol

from tilec.records import dataclass
from tilec.schedule.space import Space
from tilec.schedule.values import KernelSchedule

NEAR_ROOF: Final = 0.97
"""Share of the speed of light from which on a search is not worth its time."""

WAVE: Final = 8
"""Candidates that are raced at once."""

SCREEN: Final = 1.5
"""A candidate that first runs so many times as long as the best is not raced."""

MARGIN: Final = 0.985
"""A candidate replaces the best schedule when it takes at most this share of its time."""

SURE: Final = 0.99
"""The outcome replaces the first schedule when it takes at most this share of its time."""

_ALMOST: Final = 1.25
"""Schedules that take at most so many times as long as the best are gone around, the best of them
first, when all near the best were tried: a step that loses may be half of one that gains."""

_FIRST_ROUNDS: Final = 3
_MOST_ROUNDS: Final = 12
_FINAL_ROUNDS: Final = (5, 31)
_HOPELESS: Final = 1.05
_RANKED: Final = 24

INTERRUPTED: Final = "it was interrupted"
"""Why a search ended that someone did not want to wait for."""

Progress = Callable[[int, float], None]
"""Told how many schedules were tried, and the time of the best as a share of the first one's."""


class Bench(Protocol):
    """What runs schedules of one kernel and looks at the clock."""

    def admit(self, plan: KernelSchedule) -> float | None:
        """Make a schedule ready; the seconds of a first run, or None when it is of no use."""
        ...

    def compare(self, plans: Sequence[KernelSchedule], rounds: int) -> list[list[float]]:
        """Seconds of each schedule in each round; empty for those that turned out to be broken."""
        ...

    def drop(self, plans: Sequence[KernelSchedule]) -> None:
        """Forget schedules that are not needed any more."""
        ...

    def seconds_left(self) -> float:
        """What remains of the budget."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to.

    Attributes:
        plan: The schedule.
        seconds: Its time, in the last comparison.
        first_seconds: The time of the schedule that the search began with, beside it.
        tried: Schedules that ran.
        reason: Why the search ended.
    """

    plan: KernelSchedule
    seconds: float
    first_seconds: float
    tried: int
    reason: str


@dataclass(slots=True)
class Search:
    """A search for one kernel.

    Attributes:
        space: What may be tried.
        bench: What runs it.
        first: Where to begin: the choice of the model.
        light_seconds: The shortest possible time; 0 when it is not known.
        progress: Told after each wave.
        known: Further schedules to begin with, such as an earlier finding.
    """

    space: Space
    bench: Bench
    first: KernelSchedule
    light_seconds: float = 0.0
    progress: Progress = lambda tried, share: None
    known: tuple[KernelSchedule, ...] = ()
    _seen: set[KernelSchedule] = field(default_factory=set[KernelSchedule])
    _best: KernelSchedule | None = None
    _others: dict[KernelSchedule, float] = field(default_factory=dict[KernelSchedule, float])
    _share: float = 1.0
    _tried: int = 0

    def run(self) -> Found | None:
        """Search until nothing is left to gain, to try, or of the budget.

        Returns:
            What was found; None when not even the first schedule ran.
        """
        seconds = self.bench.admit(self.first)
        if seconds is None:
            return None
        rounds = self._affordable(seconds, _FINAL_ROUNDS[0])
        samples = self.bench.compare([self.first], rounds)[0] if rounds > 1 else [seconds]
        if not samples:
            return None
        self._seen, self._tried, self._best = {self.first}, 1, self.first
        seconds = statistics.median(samples)
        try:
            reason = self._climb(seconds)
        except KeyboardInterrupt:
            # Whoever has waited until now is to have what was found.
            reason = INTERRUPTED
        return self._last_word(self._best, seconds, reason)

    def _affordable(self, seconds: float, rounds: int) -> int:
        """Rounds of one schedule in a quarter of what is left, one at least."""
        left = max(0.0, self.bench.seconds_left())
        return min(rounds, max(1, int(left / (4 * max(seconds, 1e-9)))))

    def _climb(self, first_seconds: float) -> str:
        """Find the best schedule; why the search ended."""
        best = self.first
        # What was found before is tried whatever the budget: it must not be lost unseen.
        ready: dict[KernelSchedule, float] = {}
        for plan in self.known:
            self._admit(plan, ready, first_seconds)
        if ready:
            best = self._best = self._race(best, list(ready), float("-inf")) or best
        ranked = list(self.space.ranked())
        pending = _braided(ranked[:_RANKED], self.space.near(best))
        rest = ranked[_RANKED:]
        # The last comparison has to fit in, too.
        reserve = 0.1 * self.bench.seconds_left() + 2 * _FINAL_ROUNDS[0] * first_seconds
        while True:
            now = first_seconds * self._share
            if self.light_seconds >= NEAR_ROOF * now:
                return "the roof leaves less than 3 % to gain"
            pending = [each for each in pending if each not in self._seen]
            if not pending and not rest:
                pending = self._around_others()
            if not pending and not rest:
                return "nothing more to try"
            if not pending:
                pending, rest = rest[:_RANKED], rest[_RANKED:]
            ready = {}
            while pending and len(ready) < WAVE:
                if self.bench.seconds_left() <= reserve:
                    break
                self._admit(pending.pop(0), ready, now)
            winner = self._race(best, list(ready), reserve)
            if winner is not None:
                self.bench.drop([best] if best != self.first else [])
                best = self._best = winner
                pending = [*self.space.near(best), *pending]
            self.bench.drop([each for each in ready if each != best])
            self.progress(self._tried, self._share)
            if self.bench.seconds_left() <= reserve:
                return "the budget is spent"

    def _around_others(self) -> list[KernelSchedule]:
        """What lies near a schedule that was almost the best: two steps may gain what one loses."""
        found: list[KernelSchedule] = []
        while not found and self._others:
            plan = min(self._others, key=lambda each: self._others[each])
            if self._others.pop(plan) > _ALMOST * self._share:
                break
            found = [each for each in self.space.near(plan) if each not in self._seen]
        return found

    def _admit(
        self, plan: KernelSchedule, ready: dict[KernelSchedule, float], best_seconds: float
    ) -> None:
        if plan in self._seen:
            return
        self._seen.add(plan)
        seconds = self.bench.admit(plan)
        if seconds is None:
            return
        self._tried += 1
        if seconds <= SCREEN * best_seconds:
            ready[plan] = seconds
        else:
            self.bench.drop([plan])

    def _race(
        self, best: KernelSchedule, plans: list[KernelSchedule], reserve: float
    ) -> KernelSchedule | None:
        """The one of some schedules that is faster than the best by a margin, if one is."""
        ratios: dict[KernelSchedule, list[float]] = {plan: [] for plan in plans}
        rounds, alive = _FIRST_ROUNDS, plans
        while alive and rounds <= _MOST_ROUNDS:
            if self.bench.seconds_left() <= reserve:
                break
            base, *others = self.bench.compare([best, *alive], rounds)
            for plan, samples in zip(alive, others, strict=True):
                # One that broke meanwhile has no samples.
                pairs = zip(samples, base, strict=False)
                ratios[plan] += [own / beside for own, beside in pairs]
                if not samples:
                    ratios[plan] = []
            limit = _HOPELESS if rounds == _FIRST_ROUNDS else 1.0
            ranked = sorted((self._ratio(ratios[plan]), at) for at, plan in enumerate(alive))
            kept = [at for ratio, at in ranked if ratio < limit][: -(-len(alive) // 2)]
            alive = [alive[at] for at in kept]
            rounds *= 2
        self._others |= {
            plan: self._share * self._ratio(own) for plan, own in ratios.items() if own
        }
        if not alive:
            return None
        winner = min(alive, key=lambda plan: self._ratio(ratios[plan]))
        share = self._ratio(ratios[winner])
        if share > MARGIN or len(ratios[winner]) < 3 * _FIRST_ROUNDS:
            return None
        self._share *= share
        del self._others[winner]
        return winner

    @staticmethod
    def _ratio(ratios: Sequence[float]) -> float:
        return statistics.median(ratios) if ratios else float("inf")

    def _last_word(self, best: KernelSchedule, seconds: float, reason: str) -> Found:
        """The first schedule against the best, once more; the first one wins ties."""
        if best == self.first:
            return Found(best, seconds, seconds, self._tried, reason)
        low, high = _FINAL_ROUNDS
        rounds = max(low, self._affordable(seconds, high))
        before, after = self.bench.compare([self.first, best], rounds)
        if not before or not after:
            return Found(self.first, seconds, seconds, self._tried, "the best one broke")
        share = self._ratio([own / beside for own, beside in zip(after, before, strict=True)])
        first_seconds = statistics.median(before)
        if share > SURE:
            return Found(self.first, first_seconds, first_seconds, self._tried, reason)
        return Found(best, first_seconds * share, first_seconds, self._tried, reason)


def _braided(
    first: Sequence[KernelSchedule], second: Sequence[KernelSchedule]
) -> list[KernelSchedule]:
    """Two lists, one of each in turn."""
    found: list[KernelSchedule] = []
    for at in range(max(len(first), len(second))):
        found += [*first[at : at + 1], *second[at : at + 1]]
    return found
