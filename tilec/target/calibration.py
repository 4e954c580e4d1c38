"""What a machine was measured to reach: peak arithmetic and read bandwidth, with their spread."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, cast

from tilec.errors import CacheError
from tilec.records import dataclass
from tilec.target.host import Host

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Rate:
    """Repeated measurements of a rate per second.

    Attributes:
        median: The middle one.
        low: The lowest.
        high: The highest.
        samples: How many there were.
    """

    median: float
    low: float
    high: float
    samples: int

    @staticmethod
    def of(values: Sequence[float]) -> Rate:
        """The rate of at least one measurement."""
        return Rate(statistics.median(values), min(values), max(values), len(values))

    @property
    def spread(self) -> float:
        """Distance of the lowest and the highest, as a share of the median."""
        return (self.high - self.low) / self.median


@dataclass(frozen=True, slots=True)
class Limit:
    """What one resource gives to one thread, and to all threads together.

    Attributes:
        name: ``f32`` for arithmetic; ``L1``, ``L2``, ``L3`` or ``memory`` for reading.
        bytes: Size of what was read by one thread; 0 for arithmetic.
        one: On one thread.
        every: On all threads.
    """

    name: str
    bytes: int
    one: Rate
    every: Rate


@dataclass(frozen=True, slots=True)
class Calibration:
    """The measured limits of one machine.

    Attributes:
        machine: Which, in words.
        threads: How many threads ``every`` means.
        peak: Floating-point operations per second, f32, a fused multiply-add being two.
        reads: Bytes read per second, by level, nearest first.
    """

    machine: str
    threads: int
    peak: Limit
    reads: tuple[Limit, ...]

    def bandwidth(self, level: str) -> Rate:
        """Of all threads from a level; from memory when there is no such level."""
        return next((each for each in self.reads if each.name == level), self.reads[-1]).every

    def as_json(self) -> dict[str, Any]:
        """Plain values; ``from_json`` reads them."""
        return {"format": FORMAT, **asdict(self)}


def from_json(facts: object) -> Calibration:
    """The calibration that ``as_json`` gave.

    Raises:
        CacheError: it is something else.
    """
    try:
        values = cast("Mapping[str, Any]", facts)
        if values["format"] != FORMAT:
            raise CacheError("it was written by another version of tilec")
        return Calibration(
            machine=str(values["machine"]),
            threads=int(values["threads"]),
            peak=_limit(values["peak"]),
            reads=tuple(_limit(each) for each in values["reads"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CacheError("it holds no calibration") from error


def machine_title(machine: Host) -> str:
    """The machine in words: what its key is made of."""
    caches = ", ".join(f"L{each.level} {each.bytes >> 10} KiB" for each in machine.caches)
    name = machine.model or machine.architecture
    return f"{name} ({machine.cpu}), {machine.cores} threads, {caches or 'caches unknown'}"


def machine_key(machine: Host) -> str:
    """A digest under which the calibration of a machine is kept."""
    facts = f"{machine_title(machine)}, {machine.system}, {machine.vector_bits}"
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def _limit(facts: Mapping[str, Any]) -> Limit:
    one, every = (_rate(facts[name]) for name in ("one", "every"))
    return Limit(str(facts["name"]), int(facts["bytes"]), one, every)


def _rate(facts: Mapping[str, Any]) -> Rate:
    median, low, high = (float(facts[name]) for name in ("median", "low", "high"))
    if not 0 < low <= median <= high:
        raise ValueError(f"the rates {low}, {median} and {high} are not in order")
    return Rate(median, low, high, int(facts["samples"]))
