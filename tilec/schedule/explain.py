"""Why a kernel takes the time it takes: rooflines after Williams et al. (2009)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from math import prod
from typing import Any

from tilec.records import dataclass
from tilec.schedule import grouped, model, stream
from tilec.schedule.footprint import passes, scratch_bytes
from tilec.schedule.fourier import FourierPlan
from tilec.schedule.grouped import Grouped
from tilec.schedule.product import Product
from tilec.schedule.reduction import Reduction
from tilec.schedule.roofs import Nest, Roof, instruction_roofs, stream_roofs, tile_roofs
from tilec.schedule.transformed import TransformPlan, cycles
from tilec.schedule.transformed import scratch_bytes as transforms_bytes
from tilec.schedule.values import Streamed, Tiled
from tilec.schedule.winograd import WinogradPlan
from tilec.target.calibration import Calibration
from tilec.target.core import Core
from tilec.target.gpu import Gpu
from tilec.tensor.fourier import Fourier
from tilec.tensor.transformed import Transformed
from tilec.tensor.winograd import Winograd

CALIBRATION = "calibration"
"""Source of limits that were measured."""

DEVICE = "device"
"""Source of limits of devices, which nobody measures."""

SHOWN = 5
"""How many rejected schedules of a kind are listed, and how many temporaries."""


@dataclass(frozen=True, slots=True)
class Level:
    """A level of memory.

    Attributes:
        name: ``L1``, ``L2``, ``L3`` or ``memory``.
        bytes: What all threads together keep there; 0 for memory, which has no end.
        one: Bytes per second that one thread reads.
        every: Bytes per second that all threads read together.
    """

    name: str
    bytes: int
    one: float
    every: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What a machine can do with all its threads.

    Attributes:
        source: Where the figures are from.
        flops: Floating-point operations per second, f32.
        hertz: Cycles per second while all threads work on vectors.
        levels: Levels of memory, nearest first.
    """

    source: str
    flops: float
    hertz: float
    levels: tuple[Level, ...]

    def holding(self, size: int) -> Level:
        """The nearest level that holds some bytes."""
        return next((each for each in self.levels[:-1] if size <= each.bytes), self.levels[-1])


def limits_of(core: Core, calibration: Calibration | None) -> Limits:
    """The measured limits, else those of the description."""
    if core.gpu is not None:
        return _limits_of_device(core.gpu)
    sizes = (*core.levels, ("memory", 0))
    if calibration is None:
        levels = tuple(
            Level(name, size, core.bandwidth(name, 1), core.bandwidth(name)) for name, size in sizes
        )
        return Limits(f"description {core.name}", core.peak_flops(4), core.gigahertz * 1e9, levels)
    found = {each.name: each for each in calibration.reads}
    reads = {name: found.get(name, calibration.reads[-1]) for name, _ in sizes}
    levels = tuple(
        Level(name, size, reads[name].one.high, reads[name].every.high) for name, size in sizes
    )
    flops = calibration.peak.every.high
    per_cycle = calibration.threads * 2 * core.lanes(4) * core.fma_per_cycle
    return Limits(CALIBRATION, flops, flops / per_cycle, levels)


def _limits_of_device(gpu: Gpu) -> Limits:
    hertz, size = gpu.gigahertz * 1e9, gpu.units * gpu.unit_local_bytes
    near = gpu.units * gpu.local_bytes_per_cycle * hertz
    levels = (
        Level("local memory", size, near / gpu.units, near),
        Level("memory", 0, gpu.memory_gigabytes * 1e9, gpu.memory_gigabytes * 1e9),
    )
    return Limits(f"{DEVICE} {gpu.name}", gpu.peak_flops, hertz, levels)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A schedule that lost: the model gives it ``ratio`` times the chosen one's time."""

    schedule: str
    ratio: float


@dataclass(frozen=True, slots=True)
class MethodReport:
    """A way to compute a convolution.

    Attributes:
        method: ``direct``, or the tiles and the window, like ``F(4x4,3x3)``.
        flops: Arithmetic operations.
        depth: Operations that must follow one another.
        workspace_bytes: Packed copies and transforms of all threads, and what is written out.
        seconds: The predicted time.
    """

    method: str
    flops: int
    depth: int
    workspace_bytes: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.method}: work {self.flops / 1e6:.3f} MFLOP, depth {self.depth}, "
            f"workspace {_size(self.workspace_bytes)}, predicted {_time(self.seconds)}"
        )


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
        roofs: What each resource needs under the schedule, as if there were no other.
        predicted_seconds: By the cost model; for plain loops under the lowest of the roofs.
        measured_seconds: Of a run within the program; None when it did not run.
        roof: What binds any schedule: ``compute``, or a level of memory.
        light_seconds: The shortest possible time under that roof.
        rejected: The best of the schedules that lost.
        methods: Ways to compute a convolution, the fastest by prediction first.
        groups: Groups of items, what they take of a device, and how many a unit holds.
        fused: Values of the program that it computes together.
        saved_bytes: Traffic with memory that they would have as kernels of their own.
    """

    kernel: str
    schedule: str
    reason: str
    flops: int
    compulsory_bytes: int
    actual_bytes: int
    scratch_bytes: int
    roofs: tuple[Roof, ...]
    predicted_seconds: float
    measured_seconds: float | None
    roof: str
    light_seconds: float
    rejected: tuple[Rejected, ...]
    methods: tuple[MethodReport, ...] = ()
    groups: str = ""
    fused: tuple[str, ...] = ()
    saved_bytes: int = 0

    @property
    def binding(self) -> str:
        """The roof that binds under the schedule."""
        return max(self.roofs, key=lambda each: each.seconds).name

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
        if self.groups:
            lines.append(f"  groups      {self.groups}")
        if self.saved_bytes:
            more = ", ..." if len(self.fused) > SHOWN else ""
            names = ", ".join(self.fused[:SHOWN]) + more
            lines.append(f"  fused       {names}: {_size(self.saved_bytes)} of traffic saved")
        scratch = f", {_size(self.scratch_bytes)} scratch" if self.scratch_bytes else ""
        lines.append(
            f"  work        {self.flops / 1e6:.3f} MFLOP, "
            f"{_size(self.compulsory_bytes)} compulsory, "
            f"{_size(self.actual_bytes)} moved{scratch}"
        )
        lines.append(f"  roof        {self.roof}: at least {_time(self.light_seconds)}")
        needs = ", ".join(f"{each.name} {_time(each.seconds)}" for each in self.roofs)
        lines.append(f"  needs       {needs}")
        lines.append(f"  predicted   {_time(self.predicted_seconds)}, bound by {self.binding}")
        if self.measured_seconds is not None and self.fraction is not None:
            rate = self.flops / self.measured_seconds / 1e9
            reading = self.compulsory_bytes / self.measured_seconds / 1e9
            lines.append(
                f"  measured    {_time(self.measured_seconds)}, {rate:.1f} GFLOP/s, "
                f"{reading:.1f} GB/s, {self.fraction:.0%} of the speed of light"
            )
        lines += [
            f"  rejected    {each.ratio:.2f} x, {_time(each.ratio * self.predicted_seconds)}  "
            f"{each.schedule}"
            for each in self.rejected
        ]
        lines += [f"  method      {each}" for each in self.methods]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Explanation:
    """All kernels of a call, and the limits they are compared with.

    Attributes:
        limits: What the machine can do.
        kernels: In the order in which they run.
        temporaries: Name and bytes of what one kernel leaves for another.
    """

    limits: Limits
    kernels: tuple[KernelReport, ...]
    temporaries: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        limits = self.limits
        head = f"limits: {limits.source}, {limits.flops / 1e9:.0f} GFLOP/s"
        head += f" at {limits.hertz / 1e9:.2f} GHz"
        rates = (f"{each.name} {each.every / 1e9:.0f} GB/s" for each in limits.levels)
        is_final = limits.source == CALIBRATION or limits.source.startswith(DEVICE)
        note = "" if is_final else "; 'tilec calibrate' would measure them"
        lines = [", ".join([head, *rates]) + note, *map(str, self.kernels)]
        return "\n".join([*lines, *self._left(), *self._total()])

    def _left(self) -> list[str]:
        """One line for what is left between kernels, if anything is."""
        if not self.temporaries:
            return []
        size = sum(held for _, held in self.temporaries)
        largest = sorted(self.temporaries, key=lambda each: (-each[1], each[0]))
        named = [f"{name} {_size(held)}" for name, held in largest[:SHOWN]]
        more = ", ..." if len(largest) > SHOWN else ""
        return [f"temporaries: {len(largest)}, {_size(size)}: {', '.join(named)}{more}"]

    def _total(self) -> list[str]:
        """One line for all kernels, where there are several."""
        if len(self.kernels) < 2:
            return []
        light = sum(each.light_seconds for each in self.kernels)
        text = f"all {len(self.kernels)} kernels: at least {_time(light)}, "
        text += f"predicted {_time(sum(each.predicted_seconds for each in self.kernels))}"
        measured = [each.measured_seconds for each in self.kernels]
        if any(each is None for each in measured):
            return [text]
        taken = sum(each or 0 for each in measured)
        return [f"{text}, measured {_time(taken)}, {light / taken:.0%} of the speed of light"]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        kernels = [
            {**asdict(each), "binding": each.binding, "fraction": each.fraction}
            for each in self.kernels
        ]
        held = [{"name": name, "bytes": size} for name, size in self.temporaries]
        return {"limits": asdict(self.limits), "kernels": kernels, "temporaries": held}


def rejected(
    problem: Product, plan: Tiled, core: Core, ahead: bool, workspace_bytes: int
) -> tuple[Rejected, ...]:
    """The best schedules that the model considered and did not choose."""
    found, _ = model.candidates(problem, core, ahead, workspace_bytes)
    own = model.cycles(problem, core, plan) / model.used_threads(plan, core)
    ranked = sorted(found, key=lambda each: each.elapsed(core))
    others = dict.fromkeys((str(each.plan), each.elapsed(core) / own) for each in ranked)
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


def rejected_groups(problem: Product, plan: Grouped, gpu: Gpu) -> tuple[Rejected, ...]:
    """The best groups that the model considered and did not choose."""
    own = grouped.seconds(problem, gpu, plan)
    others = [each for each in grouped.ranked(problem, gpu) if each != plan][:SHOWN]
    return tuple(Rejected(str(each), grouped.seconds(problem, gpu, each) / own) for each in others)


def moved_bytes(problem: Product, plan: Tiled, compulsory: int) -> int:
    """Bytes between the first-level caches and the rest, packing included."""
    dtype = problem.dtype.bytes
    extents = {axis.name: axis.extent for axis in problem.axes}
    steps = prod(axis.extent for axis in problem.reductions)
    outputs = prod(extents.values())
    panels = -(-extents[plan.vector] // plan.width)
    high = extents[plan.row] if plan.row is not None else 1
    tiles = -(-high // plan.rows)
    others = outputs // (extents[plan.vector] * high)
    # Of a tile, the vectors come from the next level; its rows are read once per panel.
    vectors = others * tiles * steps * extents[plan.vector] * dtype
    rows = others * panels * steps * high * dtype
    results = outputs * problem.stored.bytes * (2 * passes(problem, plan) - 1)
    packing = 2 * steps * extents[plan.vector] * dtype if plan.pack_vector and not plan.ahead else 0
    packing += 2 * steps * high * dtype if plan.pack_row else 0
    return max(compulsory, min(vectors, rows) + min(rows, compulsory) + results + packing)


def speed_of_light(
    problem: Product | Reduction | Transformed | str, flops: int, compulsory: int, limits: Limits
) -> Roof:
    """What binds any schedule of a kernel, and the least time that it allows.

    Args:
        problem: The kernel.
        flops: Its arithmetic.
        compulsory: Bytes of every operand and result, once.
        limits: What the machine can do.
    """
    wide = 2 if isinstance(problem, Product) and problem.dtype.bytes == 8 else 1
    level = limits.holding(compulsory)
    compute, reading = flops * wide / limits.flops, compulsory / level.every
    return Roof("compute", compute) if compute >= reading else Roof(level.name, reading)


def report(
    name: str,
    problem: Product | Reduction | Transformed | str,
    plan: Tiled | Streamed | Grouped | TransformPlan | None,
    schedule: str,
    flops: int,
    compulsory: int,
    core: Core,
    limits: Limits,
    *,
    nests: Sequence[Nest] = (),
    lost: Sequence[Rejected] = (),
    measured: float | None = None,
    methods: Sequence[MethodReport] = (),
    fused: tuple[str, ...] = (),
    saved_bytes: int = 0,
) -> KernelReport:
    """What is known of a kernel; ``nests`` are those of plain loops."""
    light, groups = speed_of_light(problem, flops, compulsory, limits), ""
    if isinstance(plan, Grouped) and isinstance(problem, Product) and core.gpu is not None:
        every, scratch = True, 0
        costs = grouped.costs(problem, core.gpu, plan)
        moved, own = int(costs.moved_bytes), costs.seconds
        roofs = [Roof("items", costs.items), Roof("caches", costs.caches)]
        traffic = {level.name: compulsory for level in limits.levels}
        groups = grouped.used(problem, plan, core.gpu)
    elif isinstance(plan, Streamed) and isinstance(problem, Reduction):
        every = plan.parallel is not None
        threads = core.threads if every else 1
        scratch, moved = stream.scratch_bytes(problem, plan, core), compulsory
        roofs = stream_roofs(flops, compulsory, core, threads * limits.hertz)
        traffic = {level.name: compulsory for level in limits.levels[1:]}
        own = stream.seconds(problem, core, plan) / threads
    elif isinstance(plan, Tiled) and isinstance(problem, Product):
        every = plan.parallel is not None
        threads = core.threads if every else 1
        scratch = scratch_bytes(problem, plan, core.threads)
        moved = moved_bytes(problem, plan, compulsory)
        roofs = tile_roofs(problem, plan, core, threads * limits.hertz)
        traffic = {level.name: compulsory for level in limits.levels[2:]} | {"L2": moved}
        own = model.cycles(problem, core, plan) / threads / limits.hertz
    elif isinstance(plan, WinogradPlan) and isinstance(problem, Winograd):
        every, size = plan.parallel is not None, core.vector_bytes // plan.lanes
        scratch = transforms_bytes((problem, plan), core, size)
        own = cycles((problem, plan), core, size, constant=True) / limits.hertz
        # Weights pass by once per block of tiles, transforms are written and read once.
        blocks = 1 if plan.parallel == "filters" else -(-problem.tile_count // plan.block)
        moved = compulsory * blocks + 2 * scratch
        roofs = [Roof("FMA", flops / core.peak_flops(size))]
        traffic = {level.name: compulsory for level in limits.levels[2:]} | {"L2": moved}
    elif isinstance(plan, FourierPlan) and isinstance(problem, Fourier):
        every, size = plan.parallel, core.vector_bytes // plan.lanes
        scratch = transforms_bytes((problem, plan), core, size)
        own = cycles((problem, plan), core, size, constant=True) / limits.hertz
        moved = compulsory * -(-problem.tile_count // plan.block) + 2 * scratch
        roofs = [Roof("FMA", flops / core.peak_flops(size))]
        traffic = {level.name: compulsory for level in limits.levels[2:]} | {"L2": moved}
    else:
        every = not nests or any(nest.divided for nest in nests)
        scratch, own = 0, 0.0
        caches = {after.name: before for before, after in pairwise(limits.levels)}
        share = 1 if every else core.threads
        traffic = {
            name: sum(nest.moved_bytes(cache.bytes // share, core.line_bytes) for nest in nests)
            or compulsory
            for name, cache in caches.items()
        }
        moved = max(traffic[limits.levels[1].name], compulsory)
        roofs = instruction_roofs(nests, core, limits.hertz)
    for nearer, level in pairwise(limits.levels):
        if compulsory + scratch > nearer.bytes // (1 if every else core.threads):
            rate = level.every if every else level.one
            roofs.append(Roof(level.name, traffic[level.name] / rate))
    return KernelReport(
        kernel=name,
        schedule=schedule,
        reason=problem if isinstance(problem, str) else "",
        flops=flops,
        compulsory_bytes=compulsory,
        actual_bytes=moved,
        scratch_bytes=scratch,
        roofs=tuple(roofs),
        predicted_seconds=max(own, *(each.seconds for each in roofs)),
        measured_seconds=measured,
        roof=light.name,
        light_seconds=light.seconds,
        rejected=tuple(lost),
        methods=tuple(methods),
        groups=groups,
        fused=fused,
        saved_bytes=saved_bytes,
    )


def _size(count: int) -> str:
    return f"{count / 1024:.1f} KiB" if count < 1 << 20 else f"{count / (1 << 20):.1f} MiB"


def _time(seconds: float) -> str:
    if seconds < 1e-6:
        return f"{seconds * 1e9:.0f} ns"
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"
