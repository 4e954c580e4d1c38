"""Interleaved timing of contenders.

In every round each contender has its turn. A turn waits until the process stands still, because
workers of OpenMP and OpenBLAS go on spinning after a call and would slow down the next contender;
then it calls once to warm up, and then takes samples for a while. So a machine that becomes slower
or faster for some seconds does so for all contenders alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tilec.bench.statistic import quantile, spread

Clock = Callable[[], float]

Timed = Callable[[int], float]
"""Calls so many times, and says the mean of the seconds."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure.

    Attributes:
        rounds: Turns of each contender.
        turn: Seconds of samples in one turn; at least one is taken.
        sample: Seconds of one sample at least: short calls are timed several at a time.
        slow: A contender that takes this many seconds has only ``slow_rounds`` turns.
        slow_rounds: See there.
        pause: Seconds of rest before each turn at least.
        patience: Seconds to wait at most for workers that spin.
    """

    rounds: int = 7
    turn: float = 0.02
    sample: float = 2e-4
    slow: float = 0.1
    slow_rounds: int = 3
    pause: float = 0.006
    patience: float = 0.1


QUICK = Plan(rounds=2, turn=0.004, slow_rounds=1, patience=0.03)


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one call.

    Attributes:
        median: The middle of the samples.
        low: The 10 % quantile.
        high: The 90 % quantile.
        best: The shortest.
        samples: How many samples there were.
        calls: Calls in one sample.
    """

    median: float
    low: float
    high: float
    best: float
    samples: int
    calls: int


def nothing() -> None:
    """Does nothing."""


def measure(
    contenders: Mapping[str, Timed],
    plan: Plan,
    between: Callable[[], object] = nothing,
) -> dict[str, Timing]:
    """Time each contender, all of them in turns; ``between`` is called before each turn."""
    calls: dict[str, int] = {}
    rounds: dict[str, int] = {}
    for name, sample in contenders.items():
        sample(1)  # the first call compiles and allocates
        settle(plan)
        sample(1)
        seconds = sample(1)
        calls[name] = max(1, round(plan.sample / max(seconds, 1e-9)))
        rounds[name] = plan.slow_rounds if seconds >= plan.slow else plan.rounds
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(plan.rounds):
        for name, sample in contenders.items():
            if turn < rounds[name]:
                settle(plan)
                between()
                samples[name] += _turn(sample, calls[name], plan)
    return {name: timing(samples[name], calls[name]) for name in contenders}


def timing(samples: list[float], calls: int) -> Timing:
    """What samples of seconds per call say."""
    ordered = sorted(samples)
    known = spread(ordered)
    return Timing(
        known.median,
        quantile(ordered, 0.1),
        quantile(ordered, 0.9),
        ordered[0],
        len(ordered),
        calls,
    )


def settle(
    plan: Plan,
    sleep: Callable[[float], None] = time.sleep,
    cpu: Clock = time.process_time,
    clock: Clock = time.perf_counter,
) -> float:
    """Rest until the threads of this process have stopped; how many seconds that took."""
    begin = clock()
    while True:
        before, since = cpu(), clock()
        sleep(plan.pause)
        busy = (cpu() - before) / max(clock() - since, 1e-9)
        waited = clock() - begin
        # A thread that spins uses a whole core; being woken from sleep takes next to nothing.
        if busy < 0.1 or waited >= plan.patience:
            return waited


def timed(run: Callable[[], object]) -> Timed:
    """Times calls in this process."""

    def seconds(calls: int) -> float:
        numbers = range(calls)
        begin = time.perf_counter()
        for _ in numbers:
            run()
        return (time.perf_counter() - begin) / calls

    return seconds


def _turn(sample: Timed, calls: int, plan: Plan) -> list[float]:
    sample(calls)  # workers are awake and caches filled after as many calls as make one sample
    found: list[float] = []
    end = time.perf_counter() + plan.turn
    while not found or time.perf_counter() < end:
        found.append(sample(calls))
    return found
