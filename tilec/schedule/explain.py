"""Why a kernel takes the time it takes: rooflines after Williams et al. (2009)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

from tilec.schedule import model, stream
from tilec.schedule.footprint import scratch_bytes
from tilec.schedule.product import Product
from tilec.schedule.reduction import Reduction
from tilec.schedule.values import Streamed, Tiled
from tilec.target.calibration import Calibration
from tilec.target.core import Core

SHOWN = 5
"""How many rejected schedules are listed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a machine can do with all its threads.

    Attributes:
        source: Where the figures are from.
        flops: Floating-point operations per second, f32.
        levels: Name, bytes and bytes per second of each level, nearest first; the last has no end.
    """

    source: str
    flops: float
    levels: tuple[tuple[str, int, float], ...]

    def memory(self, size: int) -> tuple[str, float]:
        """The nearest level that holds some bytes, and its bytes per second."""
        holding = (each for each in self.levels[:-1] if size <= each[1])
        name, _, rate = next(holding, self.levels[-1])
        return name, rate


def limits_of(core: Core, calibration: Calibration | None) -> Limits:
    """The measured limits, else those of the description."""
    sizes = (*core.levels, ("memory", 0))
    if calibration is None:
        levels = tuple((name, size, core.bandwidth(name)) for name, size in sizes)
        return Limits(f"description {core.name}", core.peak_flops(4), levels)
    levels = tuple((name, size, calibration.bandwidth(name).high) for name, size in sizes)
    return Limits("calibration", calibration.peak.every.high, levels)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A schedule that lost: the model gives it ``ratio`` times the chosen one's time."""

    schedule: str
    ratio: float


@dataclass(frozen=True, slots=True)
class KernelReport:
    """One kernel.

    Attributes:
        kernel: Its name.
        schedule: What it does with its loops.
        reason: Why it has no register tile; "" when it has one, or is a stream.
        flops: Arithmetic operations.
        compulsory_bytes: Every operand read once, every result written once.
        actual_bytes: What is moved between the first-level caches and the rest.
        scratch_bytes: Packed copies of all threads.
        predicted_seconds: By the cost model; None for plain loops.
        measured_seconds: Of a run; None when it did not run.
        roof: What binds: ``compute``, or a level of memory.
        light_seconds: The shortest possible time under that roof.
        rejected: The best of the schedules that lost.
    """

    kernel: str
    schedule: str
    reason: str
    flops: int
    compulsory_bytes: int
    actual_bytes: int
    scratch_bytes: int
    predicted_seconds: float | None
    measured_seconds: float | None
    roof: str
    light_seconds: float
    rejected: tuple[Rejected, ...]

    @property
    def fraction(self) -> float | None:
        """Share of the speed of light that was reached; None when it did not run."""
        if self.measured_seconds is None:
            return None
        return self.light_seconds / self.measured_seconds

    def __str__(self) -> str:
        lines = [f"{self.kernel}", f"  schedule    {self.schedule}"]
        if self.reason:
            lines.append(f"  no tile     {self.reason}")
        lines.append(
            f"  work        {self.flops / 1e6:.3f} MFLOP, "
            f"{_size(self.compulsory_bytes)} compulsory, "
            f"{_size(self.actual_bytes)} moved, {_size(self.scratch_bytes)} scratch"
        )
        lines.append(f"  roof        {self.roof}: at least {_time(self.light_seconds)}")
        if self.predicted_seconds is not None:
            lines.append(f"  predicted   {_time(self.predicted_seconds)}")
        if self.measured_seconds is not None and self.fraction is not None:
            rate = self.flops / self.measured_seconds / 1e9
            lines.append(
                f"  measured    {_time(self.measured_seconds)}, {rate:.1f} GFLOP/s, "
                f"{self.fraction:.0%} of the speed of light"
            )
        lines += [f"  rejected    {each.ratio:.2f} x  {each.schedule}" for each in self.rejected]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Explanation:
    """All kernels of a call, and the limits they are compared with."""

    limits: Limits
    kernels: tuple[KernelReport, ...]

    def __str__(self) -> str:
        head = f"limits: {self.limits.source}, {self.limits.flops / 1e9:.0f} GFLOP/s"
        rates = (f"{name} {rate / 1e9:.0f} GB/s" for name, _, rate in self.limits.levels)
        return "\n".join([", ".join([head, *rates]), *map(str, self.kernels)])

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        kernels = [{**asdict(each), "fraction": each.fraction} for each in self.kernels]
        return {"limits": asdict(self.limits), "kernels": kernels}


def rejected(
    problem: Product, plan: Tiled, core: Core, ahead: bool, workspace_bytes: int
) -> tuple[Rejected, ...]:
    """The best schedules that the model considered and did not choose."""
    found, _ = model.candidates(problem, core, ahead, workspace_bytes)
    own = model.cycles(problem, core, plan)
    ranked = sorted(found, key=lambda each: each.cycles)
    others = dict.fromkeys((str(each.plan), each.cycles / own) for each in ranked)
    kept = [Rejected(text, ratio) for text, ratio in others if text != str(plan)]
    return tuple(kept[:SHOWN])


def rejected_streams(problem: Reduction, plan: Streamed, core: Core) -> tuple[Rejected, ...]:
    """The best streams that the model considered and did not choose."""
    found, _ = stream.candidates(problem, core)
    own = stream.cost(problem, core, plan)
    ranked = sorted(found, key=lambda each: each.seconds)
    others = dict.fromkeys((str(each.plan), each.seconds / own) for each in ranked)
    kept = [Rejected(text, ratio) for text, ratio in others if text != str(plan)]
    return tuple(kept[:SHOWN])


def moved_bytes(problem: Product, plan: Tiled, compulsory: int) -> int:
    """Bytes between the first-level caches and the rest, packing included."""
    dtype = problem.dtype.bytes
    extents = {axis.name: axis.extent for axis in problem.axes}
    steps = prod(axis.extent for axis in problem.reductions)
    outputs = prod(extents.values())
    panels = -(-extents[plan.vector] // (plan.lanes * plan.vectors))
    high = extents[plan.row] if plan.row is not None else 1
    tiles = -(-high // plan.rows)
    others = outputs // (extents[plan.vector] * high)
    # Of a tile, the vectors come from the next level; its rows are read once per panel.
    vectors = others * tiles * steps * extents[plan.vector] * dtype
    rows = others * panels * steps * high * dtype
    passes = -(-problem.reductions[-1].extent // plan.reduce_block) if plan.reduce_block else 1
    results = outputs * problem.stored.bytes * (2 * passes - 1)
    packing = 2 * steps * extents[plan.vector] * dtype if plan.pack_vector and not plan.ahead else 0
    packing += 2 * steps * high * dtype if plan.pack_row else 0
    return max(compulsory, min(vectors, rows) + min(rows, compulsory) + results + packing)


def report(
    name: str,
    problem: Product | Reduction | str,
    plan: Tiled | Streamed | None,
    schedule: str,
    flops: int,
    compulsory: int,
    core: Core,
    limits: Limits,
    *,
    lost: Sequence[Rejected] = (),
    measured: float | None = None,
) -> KernelReport:
    """What is known of a kernel."""
    wide = 2 if isinstance(problem, Product) and problem.dtype.bytes == 8 else 1
    level, rate = limits.memory(compulsory)
    compute, reading = flops * wide / limits.flops, compulsory / rate
    roof = "compute" if compute >= reading else level
    predicted, moved, scratch = None, compulsory, 0
    if isinstance(plan, Streamed) and isinstance(problem, Reduction):
        threads = 1 if plan.parallel is None else core.threads
        predicted = max(stream.seconds(problem, core, plan) / threads, reading)
        scratch = stream.scratch_bytes(problem, plan, core)
    if isinstance(plan, Tiled) and isinstance(problem, Product):
        threads = 1 if plan.parallel is None else core.threads
        cycles = model.cycles(problem, core, plan)
        predicted = max(cycles / threads / (core.gigahertz * 1e9), reading)
        moved = moved_bytes(problem, plan, compulsory)
        scratch = scratch_bytes(problem, plan, core.threads)
    return KernelReport(
        kernel=name,
        schedule=schedule,
        reason=problem if isinstance(problem, str) else "",
        flops=flops,
        compulsory_bytes=compulsory,
        actual_bytes=moved,
        scratch_bytes=scratch,
        predicted_seconds=predicted,
        measured_seconds=measured,
        roof=roof,
        light_seconds=max(compute, reading),
        rejected=tuple(lost),
    )


def _size(count: int) -> str:
    return f"{count / 1024:.1f} KiB" if count < 1 << 20 else f"{count / (1 << 20):.1f} MiB"


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"
