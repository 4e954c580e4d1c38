"""Schedules of convolutions by the Fourier transform, and the model that chooses them.

Transforms in, products and transforms back follow each other, so their times add up. Transforms
are counted in fused operations and vectors loaded and stored; products run at the speed of register
tiles or at that of the memory from which spectra come, whichever is slower.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import log2
from typing import Final

from tilec.records import dataclass
from tilec.schedule.winograd import padded, parts_of, product_cycles, register_rows
from tilec.target.core import Core
from tilec.tensor.fourier import Fourier

OVERHEAD = 1.6
"""Cycles that transforms take, as a multiple of those for their arithmetic: what the registers do
not hold is stored and loaded again."""

ROW_VECTOR = 3
"""Cycles to copy a vector of a row, with zeros outside."""

MEMORY = 0.5
"""Share of the memory's bandwidth that a stream reaches."""

LONGER = 2
"""Cycles that a kernel of many channels takes, as a multiple of those of its parts. On two cores of
a Cascade Lake ten layers with windows of 5x5 to 13x13 took 1.5 to 3.4 (median 2.1) times as long,
compared with their definition, as was predicted without it."""

_TEXT: Final = re.compile(
    r"fft (FFT\(\d+x\d+,\d+x\d+\)) (\d+)x(\d+)x(\d+), block (\d+)(, parallel)?"
)


@dataclass(frozen=True, slots=True)
class FourierPlan:
    """Schedule of a convolution by the Fourier transform.

    Attributes:
        method: The tiles and the window, like ``FFT(22x22,11x11)``.
        block: Tiles whose spectra are at hand together; 1 in a depthwise convolution.
        rows: Tiles of a register tile; 1 in a depthwise convolution.
        lanes: Elements of one vector register.
        vectors: Registers along the filters of a register tile, which is as wide as a panel.
        parallel: Whether the work is divided among threads.
    """

    method: str
    block: int
    rows: int
    lanes: int
    vectors: int
    parallel: bool = False

    def __str__(self) -> str:
        text = f"fft {self.method} {self.rows}x{self.vectors}x{self.lanes}, block {self.block}"
        return f"{text}, parallel" if self.parallel else text


def parse_fourier(text: str) -> FourierPlan:
    """Read what ``str`` gives.

    Raises:
        ScheduleError: it cannot be read.
    """
    example = "fft FFT(22x22,11x11) 6x4x16, block 9, parallel"
    method, rows, vectors, lanes, block, parallel = parts_of(_TEXT, text, example)
    return FourierPlan(method, int(block), int(rows), int(lanes), int(vectors), bool(parallel))


def frequency_vectors(rows: int) -> int:
    """Vectors between two frequencies, of rows of two parts: an odd number of cache lines."""
    return 2 * rows + 1


def shared_bytes(problem: Fourier, block: int, size: int) -> int:
    """Bytes of the factors and sums of a block of tiles, which all threads share."""
    if problem.depthwise:
        return 0
    rows = padded(problem.channels, size), problem.panels * problem.width
    return problem.products_per_tile * sum(padded(block * row, size) for row in rows) * size


def own_bytes(problem: Fourier, lanes: int, size: int) -> int:
    """Bytes of the rows and columns of one tile, which every thread has for itself."""
    first, second = problem.sliding
    vectors = problem.half * (frequency_vectors(first.size) + frequency_vectors(first.m))
    return (vectors + second.size + second.m) * lanes * size


def scratch_bytes(problem: Fourier, plan: FourierPlan, core: Core, size: int) -> int:
    """Scratch memory of all threads."""
    own = own_bytes(problem, plan.lanes, size) * (core.threads if plan.parallel else 1)
    return own + shared_bytes(problem, plan.block, size)


def illegal_fourier(
    problem: Fourier, plan: FourierPlan, core: Core, size: int, workspace_bytes: int
) -> str | None:
    """Why a schedule cannot be followed; None when it can."""
    lanes = core.lanes(size)
    if plan.method != problem.method:
        return f"the method is {plan.method}, but the convolution was made {problem.method}"
    if plan.lanes != lanes:
        return f"a vector has {plan.lanes} lanes, but they are {lanes}"
    if plan.vectors < 1 or not 1 <= plan.rows <= register_rows(core, plan.vectors):
        return f"a tile of {plan.rows} rows of {plan.vectors} vectors does not fit the registers"
    if problem.depthwise and (plan.block, plan.rows, plan.vectors) != (1, 1, 1):
        return "a depthwise convolution has one vector and one tile at a time"
    if not 1 <= plan.block <= problem.tile_count:
        return f"a block of {plan.block} tiles, of {problem.tile_count}"
    if scratch_bytes(problem, plan, core, size) > workspace_bytes:
        return f"its scratch memory is more than {workspace_bytes} bytes"
    return None


def plans(problem: Fourier, core: Core, size: int, workspace_bytes: int) -> Iterator[FourierPlan]:
    """Schedules that are worth a prediction: the largest blocks that scratch memory allows."""
    lanes, tiles = core.lanes(size), problem.tile_count
    vectors, parallel = problem.width // lanes, core.threads > 1
    if problem.depthwise:
        found = FourierPlan(problem.method, 1, 1, lanes, 1, parallel)
        if scratch_bytes(problem, found, core, size) <= workspace_bytes:
            yield found
        return
    rows = register_rows(core, vectors)
    for blocks in range(1, tiles + 1):
        block = -(-tiles // blocks)
        found = FourierPlan(problem.method, block, min(rows, block), lanes, vectors, parallel)
        if scratch_bytes(problem, found, core, size) <= workspace_bytes:
            yield found
            return


def cycles(problem: Fourier, plan: FourierPlan, core: Core, size: int, *, constant: bool) -> float:
    """Cycles that the model gives a schedule on all threads.

    ``constant`` says that the weights are known, so that they are transformed ahead.
    """
    threads = core.threads if plan.parallel else 1
    tiles, parts = problem.tile_count, problem.parts
    channels = -(-problem.channels // plan.lanes)
    per_tile = problem.products_per_tile
    weights = problem.panels * problem.width * per_tile * size
    if problem.depthwise:
        each = sum(operations(problem)) / core.fma_per_cycle * OVERHEAD
        total = each * tiles * channels
        stream = weights / _rate(core, weights, threads)
        return max(total / threads, stream)
    weights *= problem.channels
    inward, outward = (each / core.fma_per_cycle * OVERHEAD for each in operations(problem))
    filters = -(-problem.filters // plan.lanes)
    total = tiles * (inward * channels + outward * filters)
    blocks = -(-tiles // plan.block)
    multiply = blocks * product_cycles(
        problem.channels, plan.rows, plan.vectors, core, min(plan.block, tiles)
    )
    multiply *= problem.panels * per_tile
    held = shared_bytes(problem, plan.block, size)
    rate = _rate(core, weights + held, threads)
    # Factors and sums are written and read once, weights are read once per block.
    stream = (blocks * weights + 2 * held * blocks) / rate
    total = total / threads + max(multiply / threads, stream)
    if not constant:
        taps = problem.sliding[0].r + problem.sliding[1].r
        total += weights / size * taps * parts / core.fma_per_cycle / threads
    return LONGER * total


def operations(problem: Fourier) -> tuple[float, float]:
    """Fused vector operations of the transforms of a tile, in and out.

    A complex transform of n elements takes about 3 n log2 n, and a real one half of that.
    """
    first, second = problem.sliding
    rows = 1.5 * second.size * log2(second.size) + ROW_VECTOR * second.size
    columns = problem.half * 3 * first.size * log2(first.size)
    own = problem.half * first.size * problem.parts
    inward = first.size * rows + columns + own
    outward = first.m * rows * 4 / 3 + columns + own
    return inward, outward


def flops(problem: Fourier, plan: FourierPlan) -> int:
    """Arithmetic operations of the transforms and the products, each lane of a vector counted."""
    vectors = -(-problem.channels // plan.lanes), -(-problem.filters // plan.lanes)
    each = sum(
        count * operation for count, operation in zip(vectors, operations(problem), strict=True)
    )
    transforms = round(2 * each * plan.lanes) * problem.tile_count
    products = problem.tile_count * problem.products_per_tile * problem.channels
    return transforms + (2 * products * (1 if problem.depthwise else problem.filters))


def depth(problem: Fourier) -> int:
    """Operations that must follow one another: two per level of a transform, and the sums."""
    levels = sum(2 * (max(1, axis.size - 1)).bit_length() for axis in problem.sliding)
    sums = 2 if problem.depthwise else 3 + (max(1, problem.channels) - 1).bit_length()
    return 2 * levels + sums


def _rate(core: Core, held: int, threads: int) -> float:
    """Bytes per cycle of all threads at which spectra come that are read once."""
    if held <= core.l2_bytes * threads:
        return core.l2_bytes_per_cycle * threads
    if held <= core.l3_bytes * 0.8:
        return core.l3_bytes_per_cycle * threads
    return MEMORY * core.memory_gigabytes / core.gigahertz
