"""Schedules of one kernel in a race: samples taken in turns, the slower half left behind."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.codes import Codes
from tilec.program.recipe import Recipe
from tilec.runtime.arrays import Array, numpy_dtype
from tilec.runtime.backend import Runner
from tilec.runtime.spec import Spec

_LOOKS = 4
"""Calls of a schedule at the first look, the shortest of which counts."""

_HOPELESS = 3.0
"""A schedule whose first warm call takes so many times as long as the best is not called again."""

_SAMPLE = 5e-4
"""Seconds of a sample at least."""

_ROUNDING = 1e-4
"""Difference between results, relative to the largest, that the order of a sum may make."""


class Track:
    """The operands of a kernel, and schedules of it that run on them.

    Attributes:
        first: The schedule whose results are right.
    """

    def __init__(self, codes: Codes, recipe: Recipe, output: Spec, first: str) -> None:
        random = np.random.default_rng(0)
        self._codes = codes
        self._inputs = [_array(each.spec, random) for each in recipe.arguments]
        self._output = _array(output, random)
        self._given = [each.ctypes.data for each in self._inputs]
        self._taken = [self._output.ctypes.data]
        self._runners: dict[str, Runner] = {}
        self._run(self._runner(first))
        self._right = self._output.copy()

    def look(self, plans: Sequence[str]) -> list[tuple[str, float]]:
        """The shortest of a few calls of each schedule, and fewer of hopeless ones."""
        found: list[tuple[str, float]] = []
        best = float("inf")
        for plan in plans:
            runner = self._codes.load(plan)
            self._run(runner)  # pages are touched and caches warmed
            seconds = self._run(runner)
            for _ in range(_LOOKS - 2):
                if seconds > _HOPELESS * best:
                    break
                seconds = min(seconds, self._run(runner))
            best = min(best, seconds)
            found.append((plan, seconds))
        return found

    def race(self, plans: Sequence[str], rounds: int = 4, least: int = 4) -> list[str]:
        """The fastest by median: half of them drop out, the others get twice the rounds."""
        alive = [plan for plan in plans if self._is_right(plan)]
        while True:
            samples = self.compare(alive, rounds)
            alive.sort(key=lambda plan: statistics.median(samples[plan]))
            if len(alive) <= least:
                return alive
            alive, rounds = alive[: max(least, len(alive) // 2)], 2 * rounds

    def compare(self, plans: Sequence[str], rounds: int) -> Mapping[str, list[float]]:
        """Samples of schedules that take turns; nobody is always the first."""
        found: dict[str, list[float]] = {plan: [] for plan in plans}
        names = list(found)
        for turn in range(rounds):
            for at in range(len(names)):
                plan = names[(at + turn) % len(names)]
                found[plan].append(self._sample(self._runner(plan)))
        return found

    def _is_right(self, plan: str) -> bool:
        self._output[...] = np.nan
        self._run(self._runner(plan))
        found, right = self._output.astype(np.float64), self._right.astype(np.float64)
        most = np.abs(right).max(initial=0.0)
        return bool((np.abs(found - right) <= _ROUNDING * most).all())

    def _runner(self, plan: str) -> Runner:
        if plan not in self._runners:
            self._runners[plan] = self._codes.load(plan)
        return self._runners[plan]

    def _run(self, runner: Runner) -> float:
        started = time.perf_counter()
        runner.run(self._given, self._taken)
        return time.perf_counter() - started

    def _sample(self, runner: Runner) -> float:
        """Seconds of a call, the mean over one sample, after a call that warms the caches."""
        self._run(runner)
        count = max(1, int(_SAMPLE / max(self._run(runner), 1e-9)))
        started = time.perf_counter()
        for _ in range(count):
            runner.run(self._given, self._taken)
        return (time.perf_counter() - started) / count


def _array(spec: Spec, random: np.random.Generator) -> Array:
    """Numbers in memory that begins at a page, as those of the tuner do."""
    page, kind = 4096, numpy_dtype(spec.dtype)
    memory = np.empty(spec.bytes + page, np.uint8)
    first = -memory.ctypes.data % page
    array = memory[first : first + spec.bytes].view(kind).reshape(spec.shape)
    array[...] = random.uniform(-1, 1, spec.shape)
    return array
