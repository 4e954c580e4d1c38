"""Code of the schedules of one kernel, kept in a file with the times that were measured.

A schedule takes a thousand times as long to compile as to run, so that an exhaustive search
compiles whenever there is time, in pieces, and the clock runs on code alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from tilec.errors import TilecError
from tilec.program.boundary import compiler_lock
from tilec.program.frontend import Frontend
from tilec.program.pipeline import Hook, build
from tilec.program.recipe import Recipe
from tilec.runtime.backend import Runner, find_backend
from tilec.schedule.values import KernelSchedule, Schedule

_MADE = """
CREATE TABLE IF NOT EXISTS codes (
    plan TEXT PRIMARY KEY, code BLOB, name TEXT, workspace INTEGER, seconds REAL
)"""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A program of one kernel.

    Attributes:
        text: The program.
        recipe: What it is compiled for.
        name: The kernel.
    """

    text: Frontend
    recipe: Recipe
    name: str


class Codes:
    """The file of one kernel."""

    def __init__(self, path: Path, kernel: Kernel) -> None:
        self._path = path
        self._kernel = kernel
        self._backend = find_backend(kernel.recipe.options.target)
        with closing(self._opened()) as base, base:
            base.execute(_MADE)

    def compile(self, plan: KernelSchedule) -> None:
        """Keep the code of a schedule; none where it cannot be followed."""
        text, recipe = self._kernel.text, self._kernel.recipe
        wanted = replace(recipe, schedule=Schedule(((self._kernel.name, plan),)))
        row: tuple[object, ...] = (str(plan), None, None, None)
        with compiler_lock():
            try:
                module = build(text, wanted, Hook(lambda event: None, debug=False)).main.module
                code = self._backend.compile(module, recipe.options)
                row = (str(plan), code, module.name, module.workspace_bytes)
            except TilecError:
                pass  # a point of the grid that is no schedule after all
        with closing(self._opened()) as base, base:
            base.execute("INSERT OR REPLACE INTO codes VALUES (?, ?, ?, ?, NULL)", row)

    def known(self) -> set[str]:
        """The schedules that were compiled."""
        with closing(self._opened()) as base:
            return {row[0] for row in base.execute("SELECT plan FROM codes")}

    def untimed(self) -> list[str]:
        """Those with code that did not run yet."""
        query = "SELECT plan FROM codes WHERE code IS NOT NULL AND seconds IS NULL"
        with closing(self._opened()) as base:
            return [row[0] for row in base.execute(query)]

    def fastest(self, count: int) -> list[str]:
        """Schedules by the time that was kept for them."""
        query = "SELECT plan FROM codes WHERE seconds IS NOT NULL ORDER BY seconds LIMIT ?"
        with closing(self._opened()) as base:
            return [row[0] for row in base.execute(query, (count,))]

    def keep(self, seconds: Sequence[tuple[str, float]]) -> None:
        """Keep times of schedules."""
        with closing(self._opened()) as base, base:
            rows = [(time, plan) for plan, time in seconds]
            base.executemany("UPDATE codes SET seconds = ? WHERE plan = ?", rows)

    def load(self, plan: str) -> Runner:
        """The code of a schedule, ready to run."""
        query = "SELECT code, name, workspace FROM codes WHERE plan = ?"
        with closing(self._opened()) as base:
            code, name, workspace = base.execute(query, (plan,)).fetchone()
        return self._backend.load(code, name, workspace)

    def _opened(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path)
