"""What races say, as a table and as JSON."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Final

from tilec.bench.engines import Engine
from tilec.bench.race import Lap, Race

COLUMNS: Final = (
    "model", "batch", "engine", "compile s", "ms/example", "GFLOP/s", "of best other", "max error",
    "correct",
)  # fmt: skip
RIGHT: Final = (1, 3, 4, 5, 6, 7)


def rows(races: Sequence[Race]) -> list[tuple[str, ...]]:
    """Cells of the table."""
    return [_row(race, lap) for race in races for lap in race.laps if lap.failure is None]


def as_json(races: Sequence[Race], engines: Sequence[Engine], threads: int) -> dict[str, object]:
    """Everything, by names that stay."""
    versions = {each.name: each.version() for each in engines if each.missing() is None}
    return {
        "machine": {"processor": platform.machine(), "system": platform.platform()},
        "threads": threads,
        "versions": versions,
        "models": [_model(race) for race in races],
    }


def _row(race: Race, lap: Lap) -> tuple[str, ...]:
    correct = {True: "yes", False: "NO", None: "-"}[race.correct(lap)]
    return (
        race.subject.name,
        str(race.subject.batch),
        lap.engine,
        _number(lap.compile_seconds, ".2f"),
        _number(_example_seconds(race, lap), ".3f", 1e3),
        _number(_rate(race, lap), ".1f", 1e-9),
        _number(race.ratio(lap), ".2f"),
        _number(lap.error, ".1e"),
        correct,
    )


def _model(race: Race) -> dict[str, object]:
    subject = race.subject
    return {
        "model": subject.name,
        "batch": subject.batch,
        "dtype": subject.dtype,
        "flop": subject.flop,
        "golden": race.golden,
        "tolerance": race.tolerance,
        "engines": {lap.engine: _lap(race, lap) for lap in race.laps},
    }


def _lap(race: Race, lap: Lap) -> dict[str, object]:
    if lap.failure is not None or lap.timing is None:
        return {"failure": lap.failure}
    return {
        "compile_seconds": lap.compile_seconds,
        "example_seconds": _example_seconds(race, lap),
        "run_seconds": {
            "median": lap.timing.median,
            "low": lap.timing.low,
            "high": lap.timing.high,
            "best": lap.timing.best,
            "samples": lap.timing.samples,
        },
        "flop_per_second": _rate(race, lap),
        "of_best_other": race.ratio(lap),
        "max_error": lap.error,
        "correct": race.correct(lap),
    }


def _example_seconds(race: Race, lap: Lap) -> float | None:
    return None if lap.timing is None else lap.timing.median / race.subject.batch


def _rate(race: Race, lap: Lap) -> float | None:
    if lap.timing is None or not race.subject.flop:
        return None
    return race.subject.flop / lap.timing.median


def _number(value: float | None, form: str, unit: float = 1.0) -> str:
    return "-" if value is None else format(value * unit, form)
