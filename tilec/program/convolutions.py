"""Chooses the method of each convolution: the definition, transforms of tiles, or a lowering.

The method with the shortest predicted time is taken, of those whose rounding error, relative to the
largest output, is expected to stay below 1e-5 in f32 (``docs/convolutions.md``). ``auto`` takes
another than the definition only where the prediction promises enough to be trusted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import field, replace
from itertools import product
from math import prod

from tilec.dtypes import F32
from tilec.errors import ScheduleError
from tilec.kernel.ir import Buffer, VType
from tilec.lower.ahead import flat_piece
from tilec.lower.decide import kernel_name, method_for, wanted_for
from tilec.lower.dft import is_length
from tilec.lower.groups import Group, groups
from tilec.lower.recognise import recognise
from tilec.lower.translate import Place, contiguous
from tilec.options import Options
from tilec.program.budget import Gain, given_up
from tilec.records import dataclass
from tilec.rewrite.constants import constant_values
from tilec.rewrite.convolution import Convolution, Window, convolution_of
from tilec.rewrite.fourier import fourier_of
from tilec.rewrite.lowering import KINDS, lifted_elems
from tilec.rewrite.methods import apply_methods
from tilec.rewrite.winograd import winograd_of
from tilec.schedule import model
from tilec.schedule.footprint import scratch_bytes as packed_bytes
from tilec.schedule.fourier import FourierPlan, illegal_fourier
from tilec.schedule.fourier import plans as fourier_plans
from tilec.schedule.transformed import (
    Transform,
    TransformPlan,
    cycles,
    depth,
    flops,
    scratch_bytes,
)
from tilec.schedule.values import Schedule
from tilec.schedule.winograd import GROUPS, illegal_winograd, plans
from tilec.schedule.winograd import depth as definition_depth
from tilec.target.core import Core
from tilec.tensor.fourier import Fourier
from tilec.tensor.ir import Contraction, Program, TensorType
from tilec.tensor.scalar import IndexValue, walk
from tilec.tensor.size import concrete
from tilec.tensor.transformed import Transformed

ERRORS = {(2, 3): 1e-6, (3, 3): 2.5e-6, (4, 3): 4e-6, (2, 5): 3e-6}
"""By outputs and taps of F(m, r), the error in f32 with 512 channels, relative to the largest
output: the largest of some that were measured with normal data. It grows like the root of the
channels."""

MEASURED_CHANNELS = 512

MAX_ERROR = 1e-5
"""The largest error that is expected of a method."""

MOST = 6
"""Outputs of a tile along a window that a schedule may ask for."""

WIDTHS = (4, 2, 1)
"""Registers along a panel of filters."""

LENGTHS = (8, 12, 16, 24, 32, 48, 64)
"""Lengths of Fourier transforms that are considered."""

MOST_LENGTH = 96
"""The longest transform that a schedule may ask for: it is straight-line code."""

MIN_TAPS = 25
"""Taps of a window from which on Fourier transforms are considered."""

MOST_WEIGHTS = 256 << 20
"""Bytes of transformed weights above which a method is not considered."""

GAIN = 0.8
"""Share of the direct method's predicted time below which another is taken: predictions err."""

MIN_WORK = 1 << 20
"""Multiplications below which ``auto`` keeps the definition: the loops around transforms, and
threads that wake up, then weigh as much as what is saved."""


@dataclass(frozen=True, slots=True)
class Method:
    """A way to compute a convolution.

    Attributes:
        transform: The tiles and their schedule; None for the definition and lowerings.
        cycles: The predicted time on all threads.
        flops: Arithmetic operations.
        depth: Operations that must follow one another.
        workspace_bytes: Scratch memory of all threads, packed copies included; what a lowering
            writes out besides.
        family: The option that asks for it.
    """

    transform: Transform | None
    cycles: float
    flops: int
    depth: int
    workspace_bytes: int = 0
    family: str = "direct"

    @property
    def name(self) -> str:
        """``direct``, or the tiles and the window."""
        return self.family if self.transform is None else self.transform[0].method


@dataclass(frozen=True, slots=True)
class Methods:
    """A program whose convolutions are rewritten where that pays.

    Attributes:
        program: The program.
        transforms: Methods and schedules of convolutions that are rewritten, by name.
        considered: By the kernel of each convolution, its methods, the fastest first.
        rewritten: By the kernel of each convolution that becomes several kernels, how.
    """

    program: Program
    transforms: Mapping[str, Transform]
    considered: Mapping[str, tuple[Method, ...]]
    rewritten: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def inside(self) -> frozenset[str]:
        """Values that the kernel of a rewritten convolution keeps to itself, and itself."""
        made = [method for method, _ in self.transforms.values()]
        return frozenset(name for each in made for name in (each.name, *each.inside))


def choose_methods(
    program: Program,
    core: Core,
    options: Options,
    places: Mapping[str, Place],
    bound: AbstractSet[str],
    schedule: Schedule | None,
) -> Methods:
    """Rewrite convolutions by the method that is the fastest by prediction.

    Args:
        program: The program.
        core: The machine.
        options: Which methods are allowed, and how much scratch memory.
        places: How the inputs lie.
        bound: The inputs whose values are known.
        schedule: What the caller wants of some kernels, which then are written by definition,
            or by the method that it says.
    """
    unchanged = Methods(program, {}, {})
    off = {"tile", "convolutions"} & set(options.disable) or core.vector_bytes == 0
    if off or (options.conv == "direct" and not schedule):
        return unchanged
    types, held = program.types(), dict(places)
    constants = constant_values(program, bound)
    chosen: dict[str, tuple[Convolution, Transformed | str]] = {}
    found: dict[str, Transform] = {}
    considered: dict[str, tuple[Method, ...]] = {}
    rewritten: dict[str, str] = {}
    gains: list[Gain] = []
    given = schedule or Schedule(())
    for group in groups(program, fuse="fuse" not in options.disable):
        shape = concrete(group.result.type.shape)
        buffer = Buffer(group.result.name, VType(group.result.type.dtype), prod(shape))
        output = held.setdefault(group.result.name, Place(buffer, contiguous(shape)))
        name = kernel_name(program, group)
        wanted, method = wanted_for(given, name), method_for(given, name)
        if not isinstance(group.node, Contraction) or 0 in shape:
            continue
        if method not in (None, *KINDS) or (
            method is None and not isinstance(wanted, TransformPlan | None)
        ):
            continue
        conv = convolution_of(group.node, types)
        if isinstance(conv, str) or not _is_laid_out(conv, group, held, output):
            continue
        if isinstance(wanted, TransformPlan) and method is None:
            asked = _asked(name, conv, wanted, core, options)
            chosen[group.node.name], found[group.node.name] = (conv, asked[0]), asked
            continue
        if options.conv == "direct" and method is None:
            continue
        known = conv.weights.tensor in constants
        direct = _direct(conv, group, types, held, output, core, known, options)
        ways = [direct, *_winograd(conv, core, options, known)]
        ways += _fourier(conv, core, options, known)
        ways += _lowerings(conv, direct, core)
        ways.sort(key=lambda way: way.cycles)
        considered[name] = tuple(ways)
        kind = method or options.conv
        if kind in KINDS:
            if any(way.family == kind for way in ways):
                chosen[group.node.name], rewritten[name] = (conv, kind), kind
            continue
        best = _chosen(ways, direct, options.conv)
        if best is not None:
            chosen[group.node.name], found[group.node.name] = (conv, best[0]), best
            if known and options.conv == "auto":
                saved = direct.cycles - ways[0].cycles
                gains.append(Gain(group.node.name, saved, conv.weights.tensor, best[0].weights))
    made = apply_methods(program, chosen)
    if options.constants_bytes is not None and gains:
        dear = given_up(gains, made, bound, options.constants_bytes)
        found = {name: each for name, each in found.items() if name not in dear}
        chosen = {name: each for name, each in chosen.items() if name not in dear}
        made = apply_methods(program, chosen)
    return Methods(made, found, considered, rewritten)


def _chosen(ways: Sequence[Method], direct: Method, wanted: str) -> Transform | None:
    """The transform to take of some methods, the fastest of which is first; None for direct."""
    if wanted != "auto":
        return next((way.transform for way in ways if way.family == wanted), None)
    best = next((way for way in ways if way.transform is not None), direct)
    pays = direct.flops >= 2 * MIN_WORK and best.cycles < GAIN * direct.cycles
    return best.transform if pays else None


def _is_laid_out(
    conv: Convolution, group: Group, places: Mapping[str, Place], output: Place
) -> bool:
    """Whether channels and filters lie side by side, and the epilogue can be applied."""
    data = places.get(conv.data.tensor)
    if data is None or data.strides[conv.channel_at] != 1 or output.strides[conv.filter_at] != 1:
        return False
    after = None if group.epilogue is None else group.epilogue.body
    return after is None or not any(isinstance(each, IndexValue) for each in walk(after))


def _asked(
    name: str, conv: Convolution, plan: TransformPlan, core: Core, options: Options
) -> Transform:
    """The method that a schedule asks for.

    Raises:
        ScheduleError: it cannot be followed.
    """
    outputs = [int(text) for text in re.findall(r"\d+", plan.method.partition(",")[0])]
    sliding = [window for window in conv.windows if window.tap is not None]
    size, limit = conv.dtype.bytes, options.workspace_bytes
    width = plan.vectors * plan.lanes
    reason: str | None = "it has another number of windows"
    if isinstance(plan, FourierPlan):
        lengths = [m + window.taps - 1 for m, window in zip(outputs, sliding, strict=False)]
        if len(outputs) == len(sliding) == 2:
            reason = f"transforms of {lengths} elements are none of those with code"
            if all(is_length(length) and length <= MOST_LENGTH for length in lengths):
                made = fourier_of(conv, outputs, width)
                reason = illegal_fourier(made, plan, core, size, limit)
                if reason is None:
                    return made, plan
    elif conv.is_depthwise:
        reason = "each channel has a filter of its own"
    elif len(outputs) == len(sliding) <= 2 and max(outputs) <= MOST:
        tiles = winograd_of(conv, outputs, width, plan.group, late=plan.late > 0)
        reason = illegal_winograd(tiles, plan, core, size, limit)
        if reason is None:
            return tiles, plan
    raise ScheduleError.illegal(name, plan, str(reason))


def _winograd(conv: Convolution, core: Core, options: Options, constant: bool) -> Iterator[Method]:
    """Winograd's methods, each with its best schedule."""
    sliding = [window for window in conv.windows if window.tap is not None]
    if len(sliding) > 2 or conv.is_depthwise:
        return
    size = conv.dtype.bytes
    lanes = core.lanes(size)
    allowed = [[m for m, r in ERRORS if r == window.taps] for window in sliding]
    for outputs in product(*allowed):
        if conv.dtype == F32 and _error(conv, outputs) > MAX_ERROR:
            continue
        if len(set(outputs)) > 1 and len({window.taps for window in sliding}) == 1:
            continue
        found: list[Transform] = []
        candidates = [
            winograd_of(conv, outputs, vectors * lanes, group)
            for vectors, group in product(WIDTHS, GROUPS)
        ]
        candidates.append(winograd_of(conv, outputs, lanes, late=True))
        for made in candidates:
            if made.group <= made.panels:
                found += [(made, plan) for plan in plans(made, core, size, options.workspace_bytes)]
        yield from _best(found, core, size, constant)


def _fourier(conv: Convolution, core: Core, options: Options, constant: bool) -> Iterator[Method]:
    """The best of all lengths of Fourier transforms."""
    sliding = [window for window in conv.windows if window.tap is not None]
    taps = prod(window.taps for window in sliding)
    if len(sliding) != 2 or (options.conv != "fft" and taps < MIN_TAPS):
        return
    size = conv.dtype.bytes
    lanes = core.lanes(size)
    allowed = [_lengths(window) for window in sliding]
    widths = (1,) if conv.is_depthwise else WIDTHS
    found: list[Transform] = []
    for lengths in product(*allowed):
        outputs = [n - window.taps + 1 for n, window in zip(lengths, sliding, strict=True)]
        for vectors in widths:
            made = fourier_of(conv, outputs, vectors * lanes)
            if made.weights_elems * size > MOST_WEIGHTS:
                continue
            limit = options.workspace_bytes
            found += [(made, plan) for plan in fourier_plans(made, core, size, limit)]
    yield from _best(found, core, size, constant)


def _lengths(window: Window) -> list[int]:
    """Lengths that are worth a prediction: up to the first one that has all outputs in a tile."""
    found: list[int] = []
    for length in LENGTHS:
        if length > window.taps:
            found.append(length)
            if length >= window.extent + window.taps - 1:
                break
    return found


def _best(found: Sequence[Transform], core: Core, size: int, constant: bool) -> Iterator[Method]:
    """The fastest of some schedules; none of none."""
    timed = [(cycles(each, core, size, constant=constant), each) for each in found]
    if timed:
        time, best = min(timed, key=lambda each: each[0])
        workspace = scratch_bytes(best, core, size)
        family = "fft" if isinstance(best[0], Fourier) else "winograd"
        yield Method(best, time, flops(best), depth(best), workspace, family)


def _lowerings(conv: Convolution, direct: Method, core: Core) -> Iterator[Method]:
    """The kinds of explicit lowering: what is written out is written and read once."""
    if conv.is_depthwise:
        return
    for kind in KINDS:
        held = lifted_elems(conv, kind) * conv.dtype.bytes
        rate = core.memory_gigabytes / core.gigahertz
        if held <= core.l3_bytes:
            rate = core.l3_bytes_per_cycle * core.threads
        time = direct.cycles + 2 * held / rate
        packed = direct.workspace_bytes
        yield replace(direct, cycles=time, workspace_bytes=packed + held, family=kind)


def _error(conv: Convolution, outputs: tuple[int, ...]) -> float:
    """The error to expect, relative to the largest output."""
    taps = (window.taps for window in conv.windows if window.tap is not None)
    worst = max(ERRORS[pair] for pair in zip(outputs, taps, strict=True))
    return worst * (conv.channels / MEASURED_CHANNELS) ** 0.5


def _direct(
    conv: Convolution,
    group: Group,
    types: Mapping[str, TensorType],
    places: Mapping[str, Place],
    output: Place,
    core: Core,
    constant: bool,
    options: Options,
) -> Method:
    """The definition, and its predicted time; without a register tile a vector takes a cycle."""
    points = prod(window.extent * window.taps for window in conv.windows)
    taps = prod(window.taps for window in conv.windows)
    channels = 1 if conv.is_depthwise else conv.channels
    work = points * channels * conv.filters
    lanes = core.lanes(conv.dtype.bytes)
    slow = Method(None, work / lanes, 2 * work, definition_depth(None, channels, taps))
    found = flat_piece(group, conv.node, types, places, output)
    if found is None:
        return slow
    _, flat, target = found
    problem = recognise(flat, target)
    if isinstance(problem, str):
        return slow
    limit = options.workspace_bytes
    plan = model.choose(problem, core, ahead=constant, workspace_bytes=limit)
    if isinstance(plan, str):
        return slow
    threads = core.threads if plan.parallel is not None else 1
    packed = packed_bytes(problem, plan, core.threads)
    time = model.cycles(problem, core, plan) / threads
    return replace(slow, cycles=time, workspace_bytes=packed)
