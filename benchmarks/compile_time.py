"""Times how long the rows of the sets take to compile, cold.

    python -m benchmarks.compile_time                        # all rows of all sets
    python -m benchmarks.compile_time conv-resnet50 --only 3x3
    python -m benchmarks.compile_time --json compile.json    # every row, too

From the text to loaded code: parse, check, lower, LLVM, and the packing of weights that are known.
The libraries of the compiler are loaded before, and nothing else is: neither the disk cache nor
what the compiler remembers of earlier rows helps.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np

import tilec
from benchmarks import sets
from benchmarks.case import Case

MEDIAN_LIMIT = 0.080
WORST_LIMIT = 0.500
"""Seconds that the median and the slowest of all kernels may take."""

LARGEST_BYTES = 2 << 30
"""Rows with larger weights are left out."""

_FORGETFUL = ("lang", "tensor", "rewrite", "kernel", "schedule", "lower", "program")


@dataclass(frozen=True)
class Compiled:
    """One row: seconds, and how many kernels it became."""

    set: str
    row: str
    seconds: float
    kernels: int

    @property
    def per_kernel(self) -> float:
        """Seconds for one kernel."""
        return self.seconds / self.kernels


def forget() -> None:
    """Empty what the compiler remembers of programs."""
    rooms = (*(f"tilec.{room}." for room in _FORGETFUL), "tilec_llvm.math.")
    for name, module in list(sys.modules.items()):
        if f"{name}.".startswith(rooms):
            for value in vars(module).values():
                clear = getattr(value, "cache_clear", None)
                if callable(clear):
                    clear()


def compile_row(case: Case, mark: str, runs: int) -> tuple[float, int]:
    """Seconds, the best of some runs, and the number of kernels.

    Args:
        case: The row.
        mark: A comment that no other text has: texts that are equal are parsed once.
        runs: How often it is compiled.
    """
    constants = {
        name: np.zeros(shape, np.float32)
        for name, shape in case.shapes.items()
        if name in case.constants
    }
    passed = [tilec.Spec(shape) for name, shape in case.shapes.items() if name not in constants]
    times: list[float] = []
    kernels = 0
    for run in range(runs):
        forget()
        begin = time.perf_counter()
        function = tilec.function(f"{case.program} // {mark}, {run}")
        if constants:
            function = function.bind(**constants)
        executable = function.compile(*passed)
        times.append(time.perf_counter() - begin)
        kernels = len(executable.kernels)
    return min(times), kernels


def rows(name: str, only: str | None, runs: int, seen: set[tuple[str, str]]) -> Iterator[Compiled]:
    """Compile the rows of a set that were not seen yet: some stand in several sets."""
    cases, _ = sets.choose(sets.load(name), only=only, everything=True, quick=False)
    for case in cases:
        weights = sum(4 * int(np.prod(case.shapes[each])) for each in case.constants)
        facts = (case.program, str(case.shapes))
        if weights > LARGEST_BYTES or facts in seen:
            continue
        seen.add(facts)
        seconds, kernels = compile_row(case, f"{name} {case.name}", runs)
        yield Compiled(name, case.name, seconds, kernels)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", metavar="[SET]...", nargs=-1)
@click.option("--only", metavar="PATTERN", help="Rows whose name has this in it, or fits it.")
@click.option("--runs", type=click.IntRange(1), default=1, help="The best of so many counts.")
@click.option("--json", "to", type=click.Path(dir_okay=False, path_type=Path), help="Write rows.")
def main(names: tuple[str, ...], only: str | None, runs: int, to: Path | None) -> None:
    """Time the cold compilation of the rows of SETs; without a name, of all sets."""
    os.environ["TILEC_CACHE"] = "off"
    # The libraries, and what is found out about the machine once in a process.
    warm = tilec.Spec((600, 600))
    tilec.function("C[i, j : M, N] = +(A[i, k] * B[k, j])").compile(warm, warm)
    found: list[Compiled] = []
    seen: set[tuple[str, str]] = set()
    print(f"{'set':28}{'rows':>6}{'median':>10}{'worst':>10}  ms per kernel")
    for name in names or sets.names():
        part = list(rows(name, only, runs, seen))
        found += part
        if part:
            print(_line(name, part), flush=True)
    if not found:
        raise click.UsageError("no row is left")
    print(_line("all", found))
    for each in sorted(found, key=lambda each: -each.per_kernel):
        if each.per_kernel > WORST_LIMIT:
            print(f"over {WORST_LIMIT * 1e3:.0f} ms: {each.set} {each.row}")
    if to is not None:
        to.write_text(json.dumps([asdict(each) for each in found], indent=2) + "\n")


def _line(name: str, found: list[Compiled]) -> str:
    times = [each.per_kernel for each in found]
    median, worst = statistics.median(times), max(times)
    missed = "  missed" * (median > MEDIAN_LIMIT or worst > WORST_LIMIT)
    slowest = max(found, key=lambda each: each.per_kernel).row
    row = f"{name:28}{len(found):6}{median * 1e3:10.1f}{worst * 1e3:10.1f}"
    return f"{row}  {slowest}{missed}"


if __name__ == "__main__":
    main()
