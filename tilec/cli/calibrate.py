"""``tilec calibrate``."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from tilec.cli.report import note, print_table, progress_bar, size_text
from tilec.program.calibrate import calibrate
from tilec.runtime.calibrations import store
from tilec.target.calibration import Calibration, Rate
from tilec.version import __version__


@click.command("calibrate")
@click.option(
    "--samples",
    type=click.IntRange(min=1, max=1000),
    default=9,
    show_default=True,
    help="How often each figure is measured.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(samples: int, as_json: bool) -> None:
    """Measure what this machine reaches, and keep it.

    Peak arithmetic, and read bandwidth of each cache level and of memory, on one thread and
    on all. 'tilec explain' and 'tilec targets' compare with these figures. Let nothing else
    run meanwhile: a large spread means that something did.
    """
    found = _measure(samples)
    path = store(found)
    if as_json:
        facts = {"version": __version__, "file": None if path is None else str(path)}
        click.echo(json.dumps(facts | found.as_json(), indent=2))
        return
    click.echo(found.machine)
    click.echo()
    print_table(COLUMNS, rows(found), right=RIGHT)
    note("not kept, because TILEC_CACHE is off" if path is None else f"wrote {path}")


COLUMNS = ("limit", "size", "1 thread", "spread", "all threads", "spread")
RIGHT = (1, 2, 3, 4, 5)


def rows(found: Calibration) -> Sequence[Sequence[str]]:
    """A calibration as rows of a table."""
    return [
        (
            "arithmetic, f32" if limit is found.peak else f"reading from {limit.name}",
            "" if limit is found.peak else size_text(limit.bytes),
            *_cells(limit.one, limit is found.peak),
            *_cells(limit.every, limit is found.peak),
        )
        for limit in (found.peak, *found.reads)
    ]


def _cells(rate: Rate, is_arithmetic: bool) -> tuple[str, str]:
    unit = "GFLOP/s" if is_arithmetic else "GB/s"
    return f"{rate.median / 1e9:.1f} {unit}", f"{rate.spread:.0%}"


def _measure(samples: int) -> Calibration:
    with progress_bar("calibrating") as show:
        return calibrate(samples) if show is None else calibrate(samples, show)
