"""What the tuner tells: about its progress, and of what it found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from tilec.records import dataclass
from tilec.schedule.values import Schedule

Progress = Callable[[str, int, float, float], None]
"""Told the kernel, how many of its schedules were tried, the time of the best as a share of the
first one's, and the share of the budget that is used."""


@dataclass(frozen=True, slots=True)
class TunedKernel:
    """What the tuner did for one kernel.

    Attributes:
        kernels: Its name, and those of kernels that are like it.
        first: The schedule that the cost model chose.
        best: The schedule that was found; ``first`` where none is faster.
        first_seconds: Time of ``first``, in the last comparison.
        seconds: Time of ``best``, beside it.
        light_seconds: The shortest possible time: the roof of any schedule.
        tried: Schedules that ran.
        refused: Schedules that were of no use, and why.
        reason: Why the search ended.
    """

    kernels: tuple[str, ...]
    first: str
    best: str
    first_seconds: float
    seconds: float
    light_seconds: float
    tried: int
    refused: tuple[tuple[str, str], ...]
    reason: str

    @property
    def gain(self) -> float:
        """How many times as fast ``best`` is."""
        return self.first_seconds / self.seconds

    def __str__(self) -> str:
        lines = [
            f"{', '.join(self.kernels)}: {self.gain:.2f} x as fast, {self.tried} schedules tried, "
            f"{len(self.refused)} refused; {self.reason}",
            f"  {self.first_seconds * 1e6:10.1f} us  {self.first}",
        ]
        if self.best != self.first:
            lines.append(f"  {self.seconds * 1e6:10.1f} us  {self.best}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Tuning:
    """What came out of tuning a program.

    Attributes:
        kernels: Each kernel that has a choice; those that are alike are tuned once.
        schedule: The best schedule of every kernel.
        kept: Whether the findings are in the store, where compilations find them.
        seconds: How long it took.
        skipped: Kernels that could not be timed and stay as they are, each with the reason.
    """

    kernels: tuple[TunedKernel, ...]
    schedule: Schedule
    kept: bool
    seconds: float
    skipped: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        left = [f"{name}: left as it is; {why}" for name, why in self.skipped]
        return "\n".join([*map(str, self.kernels), *left]) or "no kernel has a choice"

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        kernels = [{**asdict(each), "gain": each.gain} for each in self.kernels]
        return {
            "kernels": kernels,
            "schedule": self.schedule.as_json(),
            "kept": self.kept,
            "seconds": self.seconds,
            "skipped": [{"kernel": name, "reason": why} for name, why in self.skipped],
        }
