"""The command ``python -m benchmarks.tuner``: what a budget finds, against a search without one.

The other search tries a grid of schedules that the cost model had no part in, in random order for
half of its time, and climbs from the best of them for the other half, with the tuner's result among
its candidates. What it found and what the budget found are then timed in alternation.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from pathlib import Path

import click

import tilec
from benchmarks.grid import grid
from tilec.options import Options
from tilec.program.trials import Trials
from tilec.program.tuner import Task, tasks_of
from tilec.schedule.search import Search
from tilec.schedule.values import KernelSchedule, parse_kernel

MATMUL = "C[i, j : M, N] = +(A[i, k] * B[k, j])"
BATCHED = "C[b, i, j : S, M, N] = +(A[b, i, k] * B[b, k, j])"
TURNED = "C[i, j : M, N] = +(A[k, i] * B[j, k])"
MATVEC = "C[i : M] = +(A[i, k] * B[k])"
COLUMNS = "C[j : N] = +(A[i, j])"

CASES: tuple[tuple[str, tuple[tuple[int, ...], ...]], ...] = (
    *((MATMUL, ((n, n), (n, n))) for n in (64, 128, 256, 512, 1024)),
    (MATMUL, ((35, 2560), (2560, 1700))),
    (MATMUL, ((64, 4096), (4096, 1024))),
    (MATMUL, ((1000, 33), (33, 1000))),
    (MATMUL, ((3136, 64), (64, 64))),
    (MATMUL, ((49, 512), (512, 2048))),
    (TURNED, ((256, 384), (320, 256))),
    (TURNED, ((1024, 128), (512, 1024))),
    (BATCHED, ((16, 64, 64), (16, 64, 64))),
    (BATCHED, ((8, 512, 64), (8, 64, 512))),
    (MATVEC, ((1000, 1000), (1000,))),
    (MATVEC, ((4096, 4096), (4096,))),
    (MATVEC, ((30, 90_000), (90_000,))),
    (COLUMNS, ((1000, 1000),)),
    (COLUMNS, ((20_000, 300),)),
    (COLUMNS, ((60, 50_000),)),
)
"""Twenty kernels: square and thin products, turned operands, batches, sums bound by reading."""

_ROUNDS = 31


_LEADERS = 8
"""Schedules of the grid that are raced against each other, after one look at each."""


@click.command()
@click.option("--budget", default=60.0, show_default=True, help="Seconds of the tuner.")
@click.option("--exhaustive", default=600.0, show_default=True, help="Seconds of the search.")
@click.option("--only", type=click.IntRange(0, len(CASES) - 1), multiple=True, help="Cases.")
@click.option("--json", "to", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON.")
def main(budget: float, exhaustive: float, only: tuple[int, ...], to: Path | None) -> None:
    """Measure which share of an exhaustive search's speed the tuner reaches."""
    rows: list[dict[str, object]] = []
    for at in only or range(len(CASES)):
        row = measure(at, budget, exhaustive)
        rows.append(row)
        click.echo(
            f"{at:2}  {row['share']:.3f}  model {row['model']:.3f}  "
            f"{row['tried']} of {row['grid']}  {row['tuned']}"
        )
        if to is not None:
            to.write_text(json.dumps(rows, indent=1) + "\n")
    for what in ("share", "model"):
        shares = [float(str(row[what])) for row in rows]
        mean = statistics.geometric_mean(shares)
        click.echo(f"{what}: geometric mean {mean:.3f}, least {min(shares):.3f}")


def measure(at: int, budget: float, exhaustive: float) -> dict[str, object]:
    """One case: shares of the speed of the exhaustive search's schedule, and what was tried."""
    text, shapes = CASES[at]
    function = tilec.function(text)
    specs = [tilec.Spec(shape) for shape in shapes]
    recipe = function.recipe(*specs, options=Options(tuned=False))
    found = tilec.tune(function, *specs, budget=budget, options=recipe.options, keep=False)
    (kernel,) = found.kernels
    (task,) = tasks_of(function.parts.text, recipe)
    points = grid(task.space)
    random.Random(at).shuffle(points)
    tuned = parse_kernel(kernel.best)
    bench = Trials(recipe, task.names[0], deadline=time.monotonic() + exhaustive)
    try:
        bench.admit(task.first)
        leaders, seen = _leaders(points, bench, exhaustive / 2)
        # No roof: what remains is what the tuner missed.
        best = Search(task.space, bench, leaders[0], known=(tuned, *leaders[1:])).run()
        assert best is not None
        first, own, other = _alternate(task, bench, [task.first, tuned, best.plan])
    finally:
        bench.close()
    return {
        "program": text,
        "shapes": shapes,
        "share": statistics.median(b / a for a, b in zip(own, other, strict=True)),
        "model": statistics.median(b / a for a, b in zip(first, other, strict=True)),
        "seconds": [statistics.median(each) for each in (first, own, other)],
        "first": str(task.first),
        "tuned": kernel.best,
        "exhaustive": str(best.plan),
        "grid": len(points),
        "tried": (kernel.tried, seen, best.tried),
        "reason": (kernel.reason, best.reason),
    }


def _leaders(
    points: list[KernelSchedule], bench: Trials, seconds: float
) -> tuple[list[KernelSchedule], int]:
    """The best schedules of a grid after one look at each, and how many there was time for."""
    until = bench.seconds_left() - seconds
    kept: list[tuple[float, int]] = []
    seen = 0
    for at, plan in enumerate(points):
        if bench.seconds_left() < until:
            break
        took = bench.admit(plan)
        seen += 1
        if took is None:
            continue
        kept = sorted([*kept, (took, at)])
        bench.drop([points[other] for _, other in kept[_LEADERS:]])
        kept = kept[:_LEADERS]
    return [points[at] for _, at in kept], seen


def _alternate(task: Task, bench: Trials, plans: list[KernelSchedule]) -> list[list[float]]:
    """Times of schedules that take turns; a schedule that occurs twice has the same times."""
    distinct = list(dict.fromkeys([task.first, *plans]))
    samples = dict(zip(distinct, bench.compare(distinct, _ROUNDS), strict=True))
    return [samples[plan] for plan in plans]


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.tuner")
