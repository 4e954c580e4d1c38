"""Medians, quantiles and geometric means of what was measured."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """A sample of measurements, of times or of rates.

    Attributes:
        median: The middle one.
        low: The 10 % quantile.
        high: The 90 % quantile.
        best: The largest.
        samples: How many there were.
    """

    median: float
    low: float
    high: float
    best: float
    samples: int

    def as_json(self) -> dict[str, float]:
        """The values by name."""
        return asdict(self)


def spread(values: Sequence[float]) -> Spread:
    """Median, quantiles and maximum of at least one value."""
    ordered = sorted(values)
    return Spread(
        statistics.median(ordered),
        quantile(ordered, 0.1),
        quantile(ordered, 0.9),
        ordered[-1],
        len(ordered),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which ``share`` of sorted values lie, interpolated between neighbours."""
    at = share * (len(ordered) - 1)
    below = math.floor(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (at - below) * (ordered[above] - ordered[below])


def geometric_mean(values: Iterable[float]) -> float | None:
    """The geometric mean, or None of nothing."""
    logarithms = [math.log(each) for each in values]
    return math.exp(statistics.fmean(logarithms)) if logarithms else None
