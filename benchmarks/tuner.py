"""The command ``python -m benchmarks.tuner``: what a budget finds, against an exhaustive search.

The exhaustive search races every schedule that the model considers and, around the best of them,
every near one, until nothing is left; it takes minutes for each kernel. What it found and what the
budget found are then timed in alternation.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

import click

import tilec
from tilec.options import Options
from tilec.program.trials import Trials
from tilec.program.tuner import tasks_of
from tilec.schedule.search import Search
from tilec.schedule.values import parse_kernel

MATMUL = "C[i, j : M, N] = +(A[i, k] * B[k, j])"
BATCHED = "C[b, i, j : B, M, N] = +(A[b, i, k] * B[b, k, j])"
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
    (COLUMNS, ((100_000, 40),)),
    (COLUMNS, ((60, 50_000),)),
)
"""Twenty kernels: square and thin products, turned operands, batches, sums bound by reading."""

_ROUNDS = 31


@click.command()
@click.option("--budget", default=60.0, show_default=True, help="Seconds of the tuner.")
@click.option(
    "--exhaustive", default=900.0, show_default=True, help="Seconds at most, each kernel."
)
@click.option("--only", type=click.IntRange(0, len(CASES) - 1), multiple=True, help="Cases.")
@click.option("--json", "to", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON.")
def main(budget: float, exhaustive: float, only: tuple[int, ...], to: Path | None) -> None:
    """Measure which share of an exhaustive search's speed the tuner reaches."""
    rows: list[dict[str, object]] = []
    for at in only or range(len(CASES)):
        row = measure(at, budget, exhaustive)
        rows.append(row)
        click.echo(f"{at:2}  {row['share']:.3f}  gain {row['gain']:.2f}  {row['tuned']}")
    shares = [float(str(row["share"])) for row in rows]
    click.echo(f"least {min(shares):.3f}, median {statistics.median(shares):.3f}")
    if to is not None:
        to.write_text(json.dumps(rows, indent=1) + "\n")


def measure(at: int, budget: float, exhaustive: float) -> dict[str, object]:
    """One case."""
    text, shapes = CASES[at]
    function = tilec.function(text)
    specs = [tilec.Spec(shape) for shape in shapes]
    recipe = function.recipe(*specs, options=Options(tuned=False))
    found = tilec.tune(function, *specs, budget=budget, options=recipe.options, keep=False)
    (kernel,) = found.kernels
    (task,) = tasks_of(function.parts.text, recipe)
    bench = Trials(recipe, task.names[0], deadline=time.monotonic() + exhaustive)
    tuned = parse_kernel(kernel.best)
    try:
        # No roof, and the tuner's result among the first: what remains is what it missed.
        best = Search(task.space, bench, task.first, known=(tuned,)).run()
        assert best is not None
        again = Trials(recipe, task.names[0], deadline=time.monotonic() + exhaustive)
        try:
            again.admit(task.first)
            first, own, other = again.compare([task.first, tuned, best.plan], _ROUNDS)
        finally:
            again.close()
    finally:
        bench.close()
    return {
        "program": text,
        "shapes": shapes,
        "share": statistics.median(b / a for a, b in zip(own, other, strict=True)),
        "gain": statistics.median(b / a for a, b in zip(own, first, strict=True)),
        "tuned": kernel.best,
        "exhaustive": str(best.plan),
        "tried": (kernel.tried, best.tried),
        "reason": (kernel.reason, best.reason),
    }


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.tuner")
