"""Chooses the method of each convolution: by its definition, or one of Winograd's.

The method with the shortest predicted time is taken, of those whose rounding error, relative to the
largest output, is expected to stay below 1e-5 in f32 (``docs/convolutions.md``). ``auto`` takes one
of Winograd's only where the prediction promises enough to be trusted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from itertools import product
from math import prod

from tilec.dtypes import F32
from tilec.errors import ScheduleError
from tilec.kernel.ir import Buffer, VType
from tilec.lower.ahead import flat_piece
from tilec.lower.decide import kernel_name, wanted_for
from tilec.lower.groups import Group, groups
from tilec.lower.recognise import recognise
from tilec.lower.translate import Place, contiguous
from tilec.options import Options
from tilec.records import dataclass
from tilec.rewrite.constants import constant_values
from tilec.rewrite.convolution import Convolution, convolution_of
from tilec.rewrite.winograd import apply_winograd, winograd_of
from tilec.schedule import model
from tilec.schedule.values import Schedule
from tilec.schedule.winograd import (
    WinogradPlan,
    cycles,
    depth,
    flops,
    illegal_winograd,
    plans,
    scratch_bytes,
)
from tilec.target.core import Core
from tilec.tensor.ir import Contraction, Program, TensorType
from tilec.tensor.scalar import IndexValue, walk
from tilec.tensor.size import concrete
from tilec.tensor.winograd import Winograd

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

GAIN = 0.7
"""Share of the direct method's predicted time below which another is taken: predictions err."""

MIN_WORK = 1 << 20
"""Multiplications below which ``auto`` keeps the definition: the loops around transforms, and
threads that wake up, then weigh as much as what is saved."""


@dataclass(frozen=True, slots=True)
class Method:
    """A way to compute a convolution.

    Attributes:
        winograd: The tiles; None is the definition.
        plan: The schedule of the transforms; None for the definition.
        cycles: The predicted time on all threads.
        flops: Arithmetic operations.
        depth: Operations that must follow one another.
        workspace_bytes: Scratch memory of all threads.
    """

    winograd: Winograd | None
    plan: WinogradPlan | None
    cycles: float
    flops: int
    depth: int
    workspace_bytes: int = 0

    @property
    def name(self) -> str:
        """``direct``, or the tiles and the window."""
        return "direct" if self.winograd is None else self.winograd.method


@dataclass(frozen=True, slots=True)
class Methods:
    """A program whose convolutions are rewritten where that pays.

    Attributes:
        program: The program.
        winograd: Methods and schedules of convolutions that are rewritten, by name.
        considered: By the kernel of each convolution, its methods, the fastest first.
    """

    program: Program
    winograd: Mapping[str, tuple[Winograd, WinogradPlan]]
    considered: Mapping[str, tuple[Method, ...]]

    @property
    def inside(self) -> frozenset[str]:
        """Values that the kernel of a rewritten convolution keeps to itself, and itself."""
        made = (method for method, _ in self.winograd.values())
        return frozenset(name for each in made for name in (each.name, each.tiles, each.products))


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
        schedule: What the caller wants of some kernels, which then are written by definition.
    """
    unchanged = Methods(program, {}, {})
    off = {"tile", "convolutions"} & set(options.disable) or core.vector_bytes == 0
    if off or (options.conv == "direct" and not schedule):
        return unchanged
    types, held = program.types(), dict(places)
    constants = constant_values(program, bound)
    chosen: dict[str, tuple[Convolution, Winograd]] = {}
    found: dict[str, tuple[Winograd, WinogradPlan]] = {}
    considered: dict[str, tuple[Method, ...]] = {}
    for group in groups(program, fuse="fuse" not in options.disable):
        shape = concrete(group.result.type.shape)
        buffer = Buffer(group.result.name, VType(group.result.type.dtype), prod(shape))
        output = held.setdefault(group.result.name, Place(buffer, contiguous(shape)))
        name = kernel_name(program, group)
        wanted = wanted_for(schedule or Schedule(()), name)
        if not isinstance(group.node, Contraction) or 0 in shape:
            continue
        if not isinstance(wanted, WinogradPlan | None):
            continue
        conv = convolution_of(group.node, types)
        if isinstance(conv, str) or not _is_laid_out(conv, group, held, output):
            continue
        if wanted is not None:
            made = _asked(name, conv, wanted, core, options)
            chosen[group.node.name], found[group.node.name] = (conv, made), (made, wanted)
            continue
        if options.conv == "direct":
            continue
        known = conv.weights.tensor in constants
        direct = _direct(conv, group, types, held, output, core, known, options)
        ways = [direct, *_winograd(conv, core, options, known)]
        ways.sort(key=lambda way: way.cycles)
        considered[name] = tuple(ways)
        best = next((way for way in ways if way.winograd is not None), direct)
        if best.winograd is None or best.plan is None:
            continue
        pays = direct.flops >= 2 * MIN_WORK and best.cycles < GAIN * direct.cycles
        if options.conv == "winograd" or pays:
            chosen[group.node.name] = conv, best.winograd
            found[group.node.name] = best.winograd, best.plan
    return Methods(apply_winograd(program, chosen), found, considered)


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
    name: str, conv: Convolution, plan: WinogradPlan, core: Core, options: Options
) -> Winograd:
    """The method that a schedule asks for.

    Raises:
        ScheduleError: it cannot be followed.
    """
    outputs = [int(text) for text in plan.method[2:].partition(",")[0].split("x")]
    sliding = [window for window in conv.windows if window.tap is not None]
    reason: str | None = "it has another number of windows"
    made = None
    if len(outputs) == len(sliding) <= 2 and max(outputs) <= MOST:
        made = winograd_of(conv, outputs, plan.vectors * plan.lanes)
        limit = options.workspace_bytes
        reason = illegal_winograd(made, plan, core, conv.dtype.bytes, limit)
    if reason is not None or made is None:
        raise ScheduleError.illegal(name, plan, str(reason))
    return made


def _winograd(conv: Convolution, core: Core, options: Options, constant: bool) -> Iterator[Method]:
    """Winograd's methods, each with its best schedule."""
    sliding = [window for window in conv.windows if window.tap is not None]
    if len(sliding) > 2:
        return
    size = conv.dtype.bytes
    lanes = core.lanes(size)
    allowed = [[m for m, r in ERRORS if r == window.taps] for window in sliding]
    for outputs in product(*allowed):
        if conv.dtype == F32 and _error(conv, outputs) > MAX_ERROR:
            continue
        if len(set(outputs)) > 1 and len({window.taps for window in sliding}) == 1:
            continue
        best: Method | None = None
        for vectors in WIDTHS:
            made = winograd_of(conv, outputs, vectors * lanes)
            for plan in plans(made, core, size, options.workspace_bytes):
                time = cycles(made, plan, core, size, constant=constant)
                if best is None or time < best.cycles:
                    best = Method(
                        made,
                        plan,
                        time,
                        flops(made, plan),
                        depth(made, conv.channels, 0),
                        scratch_bytes(made, plan.block, size) * core.threads,
                    )
        if best is not None:
            yield best


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
    work = points * conv.channels * conv.filters
    lanes = core.lanes(conv.dtype.bytes)
    slow = Method(None, None, work / lanes, 2 * work, depth(None, conv.channels, taps))
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
    return replace(slow, cycles=model.cycles(problem, core, plan) / threads)
