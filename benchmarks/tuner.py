"""The command ``python -m benchmarks.tuner``: what a budget finds, against a search without one.

The other search tries points of a grid that the cost model had no part in: some at random, then
those that differ from the fastest in one respect, several times. Its leaders are raced against each
other, and the winner against what the tuner found, in alternation.

The search compiles at any time, and runs only what is compiled; nothing else should run meanwhile,
nor while the tuner does. Each command goes on where it was interrupted::

    python -m benchmarks.tuner compile      # points at random
    python -m benchmarks.tuner time         # one look at each
    python -m benchmarks.tuner compile      # now points beside the fastest; repeat both
    python -m benchmarks.tuner tune         # the budget, and the races
    python -m benchmarks.tuner table
"""

from __future__ import annotations

import json
import random
import statistics
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import click

import tilec
from benchmarks.codes import Codes, Kernel
from benchmarks.grid import beside, grid
from benchmarks.racing import Track
from tilec.bench.statistic import geometric_mean
from tilec.options import Options
from tilec.program.tuner import Task, tasks_of
from tilec.schedule.values import KernelSchedule

MATMUL = "C[i, j : M, N] = +(A[i, k] * B[k, j])"
BATCHED = "C[b, i, j : S, M, N] = +(A[b, i, k] * B[b, k, j])"
TURNED = "C[i, j : M, N] = +(A[k, i] * B[j, k])"
CONV = """function (I[H, W, Z], K[R, S, Z, F]) -> (C) {
    C[y, x, f : H, W, F] = +(I[y + r - 1, x + s - 1, z] * K[r, s, z, f]);
}"""
MATVEC = "C[i : M] = +(A[i, k] * B[k])"
COLUMNS = "C[j : N] = +(A[i, j])"

CASES: tuple[tuple[str, tuple[tuple[int, ...], ...]], ...] = (
    *((MATMUL, ((n, n), (n, n))) for n in (64, 128, 256, 512)),
    (MATMUL, ((35, 2560), (2560, 1700))),
    (MATMUL, ((64, 4096), (4096, 1024))),
    (MATMUL, ((1000, 33), (33, 1000))),
    (MATMUL, ((3136, 64), (64, 64))),
    (MATMUL, ((49, 512), (512, 2048))),
    (TURNED, ((256, 384), (320, 256))),
    (TURNED, ((1024, 128), (512, 1024))),
    (BATCHED, ((16, 64, 64), (16, 64, 64))),
    (BATCHED, ((8, 512, 64), (8, 64, 512))),
    (CONV, ((28, 28, 64), (3, 3, 64, 64))),
    (MATVEC, ((1000, 1000), (1000,))),
    (MATVEC, ((2048, 2048), (2048,))),
    (MATVEC, ((30, 90_000), (90_000,))),
    (COLUMNS, ((1000, 1000),)),
    (COLUMNS, ((20_000, 300),)),
    (COLUMNS, ((60, 50_000),)),
)
"""Twenty kernels of at most 3 ms: square and thin products, turned operands, batches, a
convolution, sums bound by reading."""

_LEADERS = 6
"""Schedules beside which further points are looked for."""

_FINALISTS = 16
_ROUNDS = 41


@dataclass(frozen=True)
class Case:
    """One kernel, with the state of its search in a folder."""

    at: int
    folder: Path

    @cached_property
    def kernel(self) -> Kernel:
        """The program."""
        text, shapes = CASES[self.at]
        function = tilec.function(text)
        # The grid has tiles, so a convolution is one by definition here.
        options = Options(tuned=False, conv="direct")
        recipe = function.recipe(*map(tilec.Spec, shapes), options=options)
        return Kernel(function.parts.text, recipe, "main_C")

    @cached_property
    def task(self) -> Task:
        """What the tuner is given."""
        (found,) = tasks_of(self.kernel.text, self.kernel.recipe)
        return found

    @cached_property
    def codes(self) -> Codes:
        """What was compiled."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return Codes(self.folder / f"{self.at:02}.sqlite", self.kernel)

    @property
    def result(self) -> Path:
        """Where the outcome is."""
        return self.folder / f"{self.at:02}.json"

    def track(self) -> Track:
        """The operands, in memory."""
        text, shapes = CASES[self.at]
        (output,) = tilec.function(text).compile(*map(tilec.Spec, shapes)).outputs
        self.ready([self.task.first])
        return Track(self.codes, self.kernel.recipe, output[1], str(self.task.first))

    def ready(self, plans: list[KernelSchedule]) -> None:
        """Compile what is not compiled yet."""
        known = self.codes.known()
        for plan in plans:
            if str(plan) not in known:
                self.codes.compile(plan)


def _at_random(case: Case) -> list[KernelSchedule]:
    points = grid(case.task.space)
    random.Random(case.at).shuffle(points)
    return [case.task.first, *points]


def _beside_the_fastest(case: Case) -> list[KernelSchedule]:
    points = grid(case.task.space)
    by_text = {str(point): point for point in points}
    found: dict[KernelSchedule, None] = {}
    leaders = [plan for plan in case.codes.fastest(4 * _LEADERS) if plan in by_text][:_LEADERS]
    for plan in leaders:
        found.update(dict.fromkeys(beside(points, by_text[plan])))
    return list(found)


@click.group()
@click.option("--folder", type=click.Path(path_type=Path), default=Path("tuner"), show_default=True)
@click.option("--only", type=click.IntRange(0, len(CASES) - 1), multiple=True, help="Cases.")
@click.pass_context
def main(context: click.Context, folder: Path, only: tuple[int, ...]) -> None:
    """Measure which share of an exhaustive search's speed the tuner reaches."""
    context.obj = [Case(at, folder) for at in only or range(len(CASES))]


@main.command("compile")
@click.option("--count", default=400, show_default=True, help="Points of each, at most.")
@click.pass_obj
def compile_points(cases: list[Case], count: int) -> None:
    """Compile points of the grids: at random, or beside the fastest once some were timed."""
    for case in cases:
        before = len(case.codes.known())
        is_timed = bool(case.codes.fastest(1)) and not case.codes.untimed()
        case.ready((_beside_the_fastest(case) if is_timed else _at_random(case))[:count])
        click.echo(f"{case.at:2}  {before} and {len(case.codes.known()) - before} schedules")


@main.command("time")
@click.pass_obj
def look(cases: list[Case]) -> None:
    """Take one look at what is compiled."""
    for case in cases:
        waiting = case.codes.untimed()
        if waiting:
            track = case.track()
            case.codes.keep(track.look(waiting))
        fastest = case.codes.fastest(1)
        click.echo(f"{case.at:2}  {len(waiting)} schedules  {fastest[0] if fastest else ''}")


@main.command("tune")
@click.option("--budget", default=60.0, show_default=True, help="Seconds of the tuner.")
@click.option("--again", is_flag=True, help="Cases that have a result, too.")
@click.pass_obj
def tune(cases: list[Case], budget: float, again: bool) -> None:
    """Run the tuner, and race what it found against the leaders of the search."""
    for case in cases:
        if again or not case.result.exists():
            case.result.write_text(json.dumps(measure(case, budget), indent=1) + "\n")
            click.echo(_line(case.at, json.loads(case.result.read_text())))


@main.command("table")
@click.pass_obj
def table(cases: list[Case]) -> None:
    """Print all results as a table of Markdown, and their means."""
    rows = {case.at: json.loads(case.result.read_text()) for case in cases if case.result.exists()}
    click.echo("| | kernel | schedules | model | tuner | tuner, µs |\n|---|---|---|---|---|---|")
    for at, row in rows.items():
        sizes = ", ".join("x".join(map(str, shape)) for shape in row["shapes"])
        searched, tried = row["searched"], row["tried"]
        click.echo(
            f"| {at} | {row['program']} {sizes} | {tried} of {searched} | {row['model']:.2f} "
            f"| {row['share']:.2f} | {row['seconds'] * 1e6:.0f} |"
        )
    for what in ("share", "model"):
        shares = [float(row[what]) for row in rows.values()]
        click.echo(f"{what}: geometric mean {geometric_mean(shares):.3f}, least {min(shares):.3f}")


def measure(case: Case, budget: float) -> dict[str, Any]:
    """One case: shares of the speed of the exhaustive search's schedule, and what was tried."""
    text, shapes = CASES[case.at]
    specs = [tilec.Spec(shape) for shape in shapes]
    options = case.kernel.recipe.options
    found = tilec.tune(tilec.function(text), *specs, budget=budget, options=options, keep=False)
    (kernel,) = found.kernels
    first, tuned = str(case.task.first), kernel.best
    track = case.track()
    if tuned not in case.codes.known():
        case.codes.compile(found.schedule["main_C"])
    leaders = track.race(case.codes.fastest(_FINALISTS))
    other = leaders[0]
    # Fresh samples: those of the race made its winner look faster than it is.
    samples = track.compare(list(dict.fromkeys((first, tuned, other))), _ROUNDS)

    def share(plan: str) -> float:
        pairs = zip(samples[plan], samples[other], strict=True)
        return statistics.median(beside / own for own, beside in pairs)

    return {
        "program": text,
        "shapes": shapes,
        "share": share(tuned),
        "model": share(first),
        "seconds": statistics.median(samples[tuned]),
        "exhaustive_seconds": statistics.median(samples[other]),
        "light_seconds": kernel.light_seconds,
        "first": first,
        "tuned": tuned,
        "exhaustive": other,
        "searched": len(case.codes.known()),
        "tried": kernel.tried,
        "budget": budget,
        "took": found.seconds,
        "reason": kernel.reason,
    }


def _line(at: int, row: dict[str, Any]) -> str:
    return (
        f"{at:2}  {row['share']:.3f}  model {row['model']:.3f}  {row['tried']} of "
        f"{row['searched']}  {row['took']:.0f} s  {row['reason']}\n"
        f"      {row['tuned']}\n      {row['exhaustive']}"
    )


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.tuner")
