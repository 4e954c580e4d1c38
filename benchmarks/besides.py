"""Rows of a set on an OpenCL device, beside the LLVM backend on the processor."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import geometric_mean, median
from typing import Any, Final

import click
import numpy as np

import tilec
from benchmarks import sets
from benchmarks.case import Case, aligned
from benchmarks.session import relative_error
from tilec.errors import TilecError

ROUNDS: Final = 7
"""Turns of each contender."""
LEAST_ROUNDS: Final = 3
"""Turns of rows that take long."""
SECONDS: Final = 0.5
"""What the turns of a row may take, beyond the least number of them."""
SLOW: Final = 0.5
"""Who takes so many seconds has two turns, and no call to warm up before them."""
WRONG: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Compared:
    """Medians of the seconds of a row of a set, on a device and by LLVM.

    ``error`` is the difference of the two results, relative to the largest element.
    """

    row: str
    tilec: float
    llvm: float
    ratio: float
    error: float
    kernels: int


@dataclass(frozen=True, slots=True)
class _Prepared:
    runs: Mapping[str, Callable[[], object]]
    error: float
    kernels: int


def measure(
    target: str,
    name: str,
    only: str,
    known: Sequence[dict[str, Any]],
    seconds: float | None,
    *,
    prepare: bool,
) -> list[dict[str, Any]]:
    """The rows of a set, those that are known as they are; prints each, and what they come to.

    What is only prepared has no times yet, and is known when it is prepared again.
    """
    begin = time.monotonic()
    cases, _ = sets.choose(sets.load(name), only=only or None, everything=True, quick=False)
    found = {row["row"]: row for row in known}
    left = 0
    for case in cases:
        if case.name in found and (prepare or "ratio" in found[case.name]):
            continue
        if seconds is not None and time.monotonic() - begin > seconds:
            left += 1
            continue
        try:
            made = _prepared(target, case)
        except TilecError as error:
            click.echo(f"{case.name:50} not on this device: {error.message.splitlines()[0]}")
            continue
        if prepare:
            found[case.name] = {"row": case.name, "error": made.error, "kernels": made.kernels}
            continue
        row = _compared(case.name, made)
        click.echo(
            f"{row.row:50} {1e3 * row.tilec:10.3f} ms  llvm {1e3 * row.llvm:10.3f} ms"
            f"  {row.ratio:5.2f}  {row.error:.0e}"
        )
        found[case.name] = asdict(row)
    ratios = [row["ratio"] for row in found.values() if "ratio" in row]
    if ratios:
        click.echo(f"{name}: {geometric_mean(ratios):.2f} of LLVM's speed, {len(ratios)} rows")
    click.echo(f"{left} rows are left")
    return list(found.values())


def _prepared(target: str, case: Case) -> _Prepared:
    """A row compiled for the device, on arrays that lie there, and for LLVM; both have run."""
    inputs, function = case.inputs(), tilec.function(case.program)
    constants = {name: inputs[name] for name in case.shapes if name in case.constants}
    passed = [inputs[name] for name in case.shapes if name not in case.constants]
    function = function.bind(**constants) if constants else function
    there = [tilec.array(each, target) for each in passed]
    executable = function.compile(*there)
    host = function.compile(*passed, target="llvm")
    out, on_host = tilec.array(np.zeros(case.output, np.float32), target), aligned(case.output)
    executable(*there, out=out).wait()
    host(*passed, out=on_host)
    error = relative_error(out.numpy(), on_host)
    if not error <= WRONG:
        raise click.ClickException(f"{case.name}: the results differ by {error:.1e}")
    runs: dict[str, Callable[[], object]] = {
        "tilec": lambda: executable(*there, out=out).wait(),
        "llvm": lambda: host(*passed, out=on_host),
    }
    return _Prepared(runs, error, len(executable.kernels))


def _compared(name: str, made: _Prepared) -> Compared:
    times = in_turns(made.runs)
    ratio = times["llvm"] / times["tilec"]
    return Compared(name, times["tilec"], times["llvm"], ratio, made.error, made.kernels)


def in_turns(runs: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """The median of each contender's seconds; of those that take long fewer."""
    first = {name: _seconds(run) for name, run in runs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    begin = time.perf_counter()
    for turn in range(ROUNDS):
        if turn >= LEAST_ROUNDS and time.perf_counter() - begin > SECONDS:
            break
        for name, run in runs.items():
            if first[name] < SLOW:
                run()  # workers of the last one may still spin
            elif turn >= 2:
                continue
            seconds[name].append(_seconds(run))
    return {name: median(each) for name, each in seconds.items()}


def _seconds(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin
