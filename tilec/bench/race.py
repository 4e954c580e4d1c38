"""All engines on one model: compiled, compared, and timed in turns."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from tilec.bench.engines import ENGINES, TILEC, Engine, Run, outputs, reference_run
from tilec.bench.measure import Plan, Timing, measure, timed
from tilec.bench.subject import Array, Subject
from tilec.records import dataclass

GOLDEN: Final = "onnxruntime"
REFERENCE: Final = "reference"

_MOST_FLOP: Final = 10**9
"""The reference evaluator computes a model of this size in about a minute."""

# Relative to the largest element: sums of thousands of terms in another order.
_TOLERANCE: Final = {"float64": 1e-4, "float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}


@dataclass(frozen=True, slots=True)
class Lap:
    """One engine on one model.

    Attributes:
        engine: Its name.
        compile_seconds: From the model to something that runs.
        timing: Seconds of a run.
        error: Largest difference from the golden outputs, relative to the largest element of each;
            None without any.
        failure: Why it has not run; then there is nothing else.
    """

    engine: str
    compile_seconds: float | None = None
    timing: Timing | None = None
    error: float | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Race:
    """What all engines did on one model.

    Attributes:
        subject: The model.
        golden: Who computed the golden outputs; None if nobody could.
        tolerance: What ``Lap.error`` may be.
        laps: One for each engine.
    """

    subject: Subject
    golden: str | None
    tolerance: float
    laps: tuple[Lap, ...]

    def correct(self, lap: Lap) -> bool | None:
        """Whether the outputs were those that are right; None if that is not known."""
        return None if lap.error is None else lap.error <= self.tolerance

    def failed(self) -> bool:
        """True if tilec was to run, and has not, or has computed something else."""
        laps = [lap for lap in self.laps if lap.engine == TILEC]
        return any(lap.failure is not None or self.correct(lap) is False for lap in laps)

    def ratio(self, lap: Lap) -> float | None:
        """Its time in units of the fastest other engine's."""
        others = [
            each.timing.median
            for each in self.laps
            if each.timing is not None and each.engine != lap.engine
        ]
        return lap.timing.median / min(others) if lap.timing is not None and others else None


@dataclass(frozen=True, slots=True)
class _Ready:
    """An engine that runs: how, the seconds that it took to compile, and what it computed."""

    run: Run
    seconds: float
    found: list[Array]


def race(subject: Subject, engines: Sequence[Engine], threads: int, plan: Plan) -> Race:
    """Run a model in all engines. One that cannot run it is no reason to lose the others."""
    tried = {engine.name: _tried(engine, subject, threads) for engine in engines}
    failures = {name: each for name, each in tried.items() if isinstance(each, str)}
    ready = {name: each for name, each in tried.items() if not isinstance(each, str)}
    golden, right = _golden(subject, tried, threads)
    timings = measure({name: timed(each.run) for name, each in ready.items()}, plan)
    laps = [
        Lap(
            name,
            compile_seconds=ready[name].seconds,
            timing=timings[name],
            error=None if right is None else relative_error(ready[name].found, right),
        )
        if name in timings
        else Lap(name, failure=failures[name])
        for name in (engine.name for engine in engines)
    ]
    return Race(subject, golden, _TOLERANCE.get(subject.dtype, 0.0), tuple(laps))


def relative_error(found: Sequence[Array], right: Sequence[Array]) -> float:
    """Largest difference, relative to the largest element of the output that it is in."""
    if [each.shape for each in found] != [each.shape for each in right]:
        return float("inf")
    return max((_difference(a, b) for a, b in zip(found, right, strict=True)), default=0.0)


def _difference(found: Array, right: Array) -> float:
    if not right.size:
        return 0.0
    exact: np.ndarray[Any, np.dtype[np.float64]] = right.astype(np.float64)
    difference = float(np.abs(found.astype(np.float64) - exact).max())
    scale = float(np.abs(exact).max()) or 1.0
    return difference / scale if np.isfinite(difference) else float("inf")


def _tried(engine: Engine, subject: Subject, threads: int) -> _Ready | str:
    """An engine that has run the model once, or why it has not."""
    missing = engine.missing()
    if missing is not None:
        return missing
    try:
        begin = time.perf_counter()
        run = engine.prepare(subject, threads)
        seconds = time.perf_counter() - begin
        return _Ready(run, seconds, outputs(run))
    except Exception as error:  # whatever an engine raises is a fact about it
        return f"{type(error).__name__}: {error}".partition("\n")[0][:300]


def _golden(
    subject: Subject, tried: Mapping[str, _Ready | str], threads: int
) -> tuple[str | None, list[Array] | None]:
    """What is right and who says so: ONNX Runtime, even if it is not to be timed."""
    by_name = {each.name: each for each in ENGINES}
    judge = tried.get(GOLDEN) or _tried(by_name[GOLDEN], subject, threads)
    if not isinstance(judge, str):
        return GOLDEN, judge.found
    if subject.flop is not None and subject.flop <= _MOST_FLOP:
        return REFERENCE, outputs(reference_run(subject))
    return None, None
