"""Measures one set: every row, tilec and its peers in turns, between two looks at the limits."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

import tilec
from benchmarks.case import Array, Case, Inputs, Work, aligned
from benchmarks.limits import DRAM, Limits, better, measure_limits, peak_meter
from benchmarks.peers import Found
from benchmarks.sets import Set
from benchmarks.turning import turning_meter
from tilec.bench.measure import Plan, Timing, measure, timed
from tilec.bench.statistic import spread

TILEC = "tilec"
WRONG = 1e-3
"""Relative to the largest element of the reference; f32 sums of a million terms stay below."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A contender on one row.

    Attributes:
        timing: Its times.
        error: Largest difference from the float64 result, relative to the largest element of that.
    """

    timing: Timing
    error: float


@dataclass(frozen=True, slots=True)
class RowResult:
    """One row.

    Attributes:
        name: Name of the row.
        flop: Operations of the definition.
        bytes: Compulsory bytes.
        contenders: tilec and the peers that could run, by name.
        failures: Those that could not, with the reason.
        compile_seconds: What tilec needed to compile, from the text, without any cache.
        workspace_bytes: Scratch memory of tilec's call.
        schedule: The schedules that tilec chose, one for each kernel that has one.
        peak: Median of the peak, operations per second, between the turns of this row.
        turning: Median time of a transposing copy by hand of as many bytes, there as well; only of
            permutations that go to memory.
    """

    name: str
    flop: int
    bytes: int
    contenders: Mapping[str, Measured]
    failures: Mapping[str, str]
    compile_seconds: float
    workspace_bytes: int
    schedule: tuple[str, ...]
    peak: float | None = None
    turning: float | None = None


@dataclass(frozen=True, slots=True)
class SetResult:
    """A set that was measured.

    Attributes:
        set: The set.
        limits: The limits, measured before and after its rows.
        rows: What was measured.
        skipped: Rows that were left out, with the reason.
    """

    set: Set
    limits: Limits
    rows: tuple[RowResult, ...]
    skipped: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Session:
    """How to measure.

    Attributes:
        plan: How long.
        threads: Threads of each contender.
        peers: The peers.
        quick: Short looks at the limits.
        tell: Called with a line about what is going on.
        options: How tilec compiles.
    """

    plan: Plan
    threads: int
    peers: Found
    quick: bool
    tell: Callable[[str], None]
    options: tilec.Options = field(default_factory=tilec.Options)

    def run(self, chosen: Set, cases: list[Case], skipped: Mapping[str, str]) -> SetResult:
        """Measure some rows of a set."""
        self.tell("limits of this machine")
        before = measure_limits(self.threads, quick=self.quick)
        meter = peak_meter(self.threads)
        rows: list[RowResult] = []
        for number, case in enumerate(cases, 1):
            self.tell(f"{chosen.name} {number}/{len(cases)}: {case.name}")
            is_turned = case.turns and before.level(case.bytes).name == DRAM
            turning = turning_meter(self.threads, case.bytes) if is_turned else None
            rows.append(self.row(case, meter, turning))
        self.tell("limits of this machine, again")
        after = measure_limits(self.threads, quick=self.quick)
        return SetResult(chosen, better(before, after), tuple(rows), skipped)

    def row(
        self, case: Case, meter: Callable[[], float], turning: Callable[[], float] | None = None
    ) -> RowResult:
        """Measure one row, and between the turns what a row is held against."""
        inputs = case.inputs()
        works: dict[str, Work] = {}
        failures: dict[str, str] = {}
        own = _Own()
        makers: dict[str, Callable[[], Work]] = {
            TILEC: partial(own.prepare, case, inputs, self.options)
        }
        for name, module in self.peers.modules.items():
            if name in case.peers:
                makers[name] = partial(case.peers[name], module, inputs)
        for name, outside in self.peers.outside.items():
            makers[name] = partial(outside.prepare, case, inputs)
        reference = case.reference(inputs)
        errors: dict[str, float] = {}
        for name, make in makers.items():
            # Whatever a library raises is a fact about it, and no reason to lose the other rows.
            try:
                works[name] = make()
                works[name].run()
                errors[name] = relative_error(works[name].result(), reference)
            except Exception as error:
                works.pop(name, None)
                failures[name] = f"{type(error).__name__}: {error}".partition("\n")[0][:200]
        peaks: list[float] = []
        turnings: list[float] = []

        def look() -> None:
            peaks.append(meter())
            if turning is not None:
                turnings.append(turning())

        runs = {name: work.seconds or timed(work.run) for name, work in works.items()}
        timings = measure(runs, self.plan, look)
        return RowResult(
            name=case.name,
            flop=case.flop,
            bytes=case.bytes,
            contenders={name: Measured(timings[name], errors[name]) for name in works},
            failures=failures,
            compile_seconds=own.seconds,
            workspace_bytes=own.workspace,
            schedule=own.schedule,
            peak=spread(peaks).median if peaks else None,
            turning=spread(turnings).median if turnings else None,
        )


class _Own:
    """tilec's part of a row, and what is known about it beside its time."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.workspace = 0
        self.schedule: tuple[str, ...] = ()

    def prepare(self, case: Case, inputs: Inputs, options: tilec.Options) -> Work:
        begin = time.perf_counter()
        function = tilec.function(case.program)
        constants = {name: inputs[name] for name in case.shapes if name in case.constants}
        passed = [inputs[name] for name in case.shapes if name not in case.constants]
        if constants:
            function = function.bind(**constants)
        executable = function.compile(*passed, options=options)
        self.seconds = time.perf_counter() - begin
        self.workspace = executable.memory.workspace
        self.schedule = tuple(
            line.removeprefix("schedule: ")
            for kernel in executable.kernels
            for line in kernel.header
            if line.startswith("schedule: ")
        )
        if len(function.outputs) > 1:
            results: list[Array] = []

            def step() -> None:
                results[:] = executable(*passed)

            return Work(step, lambda: np.concatenate([each.ravel() for each in results]))
        out = aligned(case.output)
        return Work(lambda: executable(*passed, out=out), lambda: out)


def relative_error(result: Array, reference: Array) -> float:
    """Largest difference, relative to the largest element of the reference.

    Raises:
        ValueError: the shapes differ.
    """
    if result.shape != reference.shape:
        raise ValueError(f"the result is {result.shape} and should be {reference.shape}")
    if not reference.size:
        return 0.0
    scale = float(np.abs(reference).max()) or 1.0
    difference = float(np.abs(result - reference).max())
    return difference / scale if np.isfinite(difference) else float("inf")
