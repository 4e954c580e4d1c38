"""All engines on one model: compiled, compared, and timed in turns."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Final

import numpy as np

from tilec.bench import torch_engine
from tilec.bench.engines import (
    ENGINES,
    NAMES,
    ONNXRUNTIME,
    TILEC,
    TORCH,
    Engine,
    Run,
    outputs,
    reference_run,
)
from tilec.bench.measure import Plan, Timing, measure, timed
from tilec.bench.subject import Array, Subject
from tilec.records import dataclass

EXACT: Final = "torch, in f64"
REFERENCE: Final = "reference"

_MOST_FLOP: Final = 10**9
"""The reference evaluator computes a model of this size in about a minute."""

# Relative to the largest element: sums of thousands of terms in another order.
_NOISE: Final = 1e-4
"""Gradients that are this much smaller than the largest are compared with that: some are 0 but for
rounding, such as that of a bias before a softmax."""

_SLACK: Final = 4.0
"""How much farther from the exact gradients than PyTorch's those of another engine may be."""

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
    golden = _golden(subject, tried, threads)
    timings = measure({name: timed(each.run) for name, each in ready.items()}, plan)
    laps = [
        Lap(
            name,
            compile_seconds=ready[name].seconds,
            timing=timings[name],
            error=None if golden is None else _error(subject, ready[name].found, golden.outputs),
        )
        if name in timings
        else Lap(name, failure=failures[name])
        for name in (engine.name for engine in engines)
    ]
    if golden is None:
        return Race(subject, None, _TOLERANCE.get(subject.dtype, 0.0), tuple(laps))
    return Race(subject, golden.name, golden.tolerance, tuple(laps))


def relative_error(found: Sequence[Array], right: Sequence[Array]) -> float:
    """Largest difference, relative to the largest element of the output that it is in."""
    if [each.shape for each in found] != [each.shape for each in right]:
        return float("inf")
    return max((_difference(a, b) for a, b in zip(found, right, strict=True)), default=0.0)


def gradient_error(found: Sequence[Array], right: Sequence[Array]) -> float:
    """Largest distance of a gradient from what it should be, relative to its length."""
    if [each.shape for each in found] != [each.shape for each in right]:
        return float("inf")
    lengths = [_length(each) for each in right]
    least = _NOISE * max(lengths, default=0.0)
    distances = [
        _length(np.subtract(a, b, dtype=np.float64)) for a, b in zip(found, right, strict=True)
    ]
    pairs = zip(distances, lengths, strict=True)
    error = max((distance / (max(length, least) or 1.0) for distance, length in pairs), default=0.0)
    return error if all(map(isfinite, distances)) else float("inf")


def _length(values: Array) -> float:
    return float(np.linalg.norm(values.reshape(-1).astype(np.float64)))


def _error(subject: Subject, found: Sequence[Array], right: Sequence[Array]) -> float:
    if not subject.training:
        return relative_error(found, right)
    loss = relative_error(found[:1], right[:1])
    return max(loss, gradient_error(found[1:], right[1:]))


def _difference(found: Array, right: Array) -> float:
    if not right.size:
        return 0.0
    exact: np.ndarray[Any, np.dtype[np.float64]] = right.astype(np.float64)
    difference = float(np.abs(found.astype(np.float64) - exact).max())
    scale = float(np.abs(exact).max()) or 1.0
    return difference / scale if np.isfinite(difference) else float("inf")


def _tried(engine: Engine, subject: Subject, threads: int) -> _Ready | str:
    """An engine that has run the model once, or why it has not."""
    missing = engine.missing(subject.training)
    if missing is not None:
        return missing
    try:
        begin = time.perf_counter()
        run = engine.prepared(subject, threads)
        seconds = time.perf_counter() - begin
        return _Ready(run, seconds, outputs(run))
    except Exception as error:  # whatever an engine raises is a fact about it
        return f"{type(error).__name__}: {error}".partition("\n")[0][:300]


@dataclass(frozen=True, slots=True)
class _Golden:
    """What is right: who says so, and how far from that an engine may be."""

    name: str
    outputs: list[Array]
    tolerance: float


def _golden(subject: Subject, tried: Mapping[str, _Ready | str], threads: int) -> _Golden | None:
    """What is right, from another engine, even if it is not to be timed."""
    name = TORCH if subject.training else ONNXRUNTIME
    tolerance = _TOLERANCE.get(subject.dtype, 0.0)
    judge = tried.get(name) or _tried(ENGINES[NAMES.index(name)], subject, threads)
    if not isinstance(judge, str):
        if not subject.training:
            return _Golden(name, judge.found, tolerance)
        exact = outputs(torch_engine.prepare_training(subject, threads, exact=True))
        # An element near the corner of a ReLU is on either side of it after rounding, so that
        # right gradients differ by more than sums in another order would make them.
        noise = _error(subject, judge.found, exact)
        return _Golden(EXACT, exact, max(tolerance, _SLACK * noise))
    if subject.flop is not None and subject.flop <= _MOST_FLOP:
        return _Golden(REFERENCE, outputs(reference_run(subject)), tolerance)
    return None
