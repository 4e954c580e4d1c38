"""What lowering knows and has made so far, and how a written body becomes a kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, replace
from math import prod

from tilec.dtypes import BF16, F16, F32, F64, DType
from tilec.kernel.ir import Buffer, Call, Kernel, Load, View, VType
from tilec.kernel.uses import parallel_loops
from tilec.kernel.walk import expressions
from tilec.lower import special
from tilec.lower.buffers import register_bits
from tilec.lower.decide import Decide, kernel_name
from tilec.lower.narrow import Narrow
from tilec.lower.nontemporal import Nontemporal
from tilec.lower.plan import AWAKE_CYCLES, PARALLEL_CYCLES, WIDE
from tilec.lower.spread import Spread
from tilec.lower.translate import Place, contiguous
from tilec.lower.trees import Trees
from tilec.lower.units import Unit, nodes_of
from tilec.lower.vectorise import Vectorise
from tilec.lower.wide import Wide
from tilec.records import dataclass
from tilec.schedule.transformed import Transform
from tilec.schedule.values import SCHEDULE_LINE, Rewritten, Schedule
from tilec.target.core import Core
from tilec.tensor.ir import Contraction, Map, Node, Program, TensorType, operands
from tilec.tensor.printer import print_definition
from tilec.tensor.size import concrete
from tilec.version import __version__

Observe = Callable[[str, Kernel], None]
"""Called with the name of each pass and the kernel it made."""

NONTEMPORAL = Nontemporal.name


@dataclass(slots=True)
class Lowering:
    """A program on its way to a module: what is given, then what was made.

    Attributes:
        program: The program.
        core: The target.
        disable: Passes to leave out.
        observe: Told about each kernel after each pass.
        types: Types of the values by name.
        panels: Inputs that hold packed operands, by the contraction that reads them.
        schedule: What the caller wants of some kernels.
        workspace_bytes: Scratch memory that a kernel may take.
        decide: Told what was scheduled.
        transforms: Convolutions by transforms of tiles, and their schedules.
        rewritten: By the last kernel of several that were one, the method that made them so.
        places: Where values lie.
        kernels: The kernels so far.
        calls: Their calls, in order.
        scratch: Buffers of single kernels.
        defaults: Values that are written into the output that they are the default of.
        views: Parts of other buffers, by name.
        awake: Whether a kernel so far is divided among threads, so that these look for work.
    """

    program: Program
    core: Core
    disable: frozenset[str]
    observe: Observe
    types: dict[str, TensorType]
    panels: Mapping[str, str]
    schedule: Schedule
    workspace_bytes: int
    decide: Decide
    transforms: Mapping[str, Transform]
    rewritten: dict[str, str]
    places: dict[str, Place] = field(default_factory=dict[str, Place])
    kernels: list[Kernel] = field(default_factory=list[Kernel])
    calls: list[Call] = field(default_factory=list[Call])
    scratch: list[Buffer] = field(default_factory=list[Buffer])
    defaults: Mapping[str, Contraction] = field(default_factory=dict[str, Contraction])
    views: dict[str, View] = field(default_factory=dict[str, View])
    awake: bool = False

    @property
    def least_cycles(self) -> float:
        """Work of a kernel from which on a second thread pays."""
        return AWAKE_CYCLES if self.awake else PARALLEL_CYCLES


def target_of(work: Lowering, result: Node) -> Place:
    """Where a value is stored."""
    found = work.places.get(result.name)
    if found is not None:
        return found
    shape = concrete(result.type.shape)
    buffer = Buffer(result.name, VType(result.type.dtype), prod(shape), writable=True)
    return work.places.setdefault(result.name, Place(buffer, contiguous(shape)))


def most_lanes(work: Lowering, node: Contraction | Map) -> int:
    """Lanes of a register for the widest type of a kernel; 0 without vectors."""
    if "vectorise" in work.disable or work.core.vector_bytes == 0:
        return 0
    widest = max((node.type.dtype, node.body.dtype), key=register_bits)
    if widest in (F16, BF16):
        widest = F32
    return work.core.lanes(widest.bytes)


def total_of(work: Lowering) -> DType:
    """Type of the totals of long sums of floats."""
    return F64 if work.core.has_f64 else F32


def finish(
    work: Lowering, group: Unit, body: special.Body, kernel_named: str | None = None
) -> None:
    """Make the kernel, run the kernel passes over it, and call it."""
    work.scratch += body.scratch
    used = {e.buffer for e in expressions(body.statements) if isinstance(e, Load)}
    candidates = {place.buffer.name: place.buffer for place in work.places.values()}
    candidates |= {buffer.name: buffer for buffer in body.scratch}
    written = special.written(body.statements)
    params: list[Buffer] = []
    for name in sorted(used | written):
        if name in candidates:
            params.append(replace(candidates[name], writable=name in written))
    nodes = nodes_of(group)
    # A copy to a second name of a value is no value of the program.
    types = work.types | {node.name: node.type for node in nodes}
    shapes = {name: types[name] for node in nodes for name in (node.name, *operands(node))}
    name = kernel_named or kernel_name(work.program, group)
    lines = body.schedule
    if name in work.rewritten:
        by = str(Rewritten(work.rewritten[name]))
        lines = (", ".join((by, *lines[:1])), *lines[1:])
    header = (
        *(line for node in nodes for line in print_definition(node).splitlines()),
        f"sizes: {', '.join(f'{name}: {kind}' for name, kind in shapes.items())}",
        *body.notes,
        *(f"{SCHEDULE_LINE}{line}" for line in lines),
        f"tilec {__version__}",
    )
    kernel = Kernel(name, header, tuple(params), body.locals, body.statements)
    work.observe("loops", kernel)
    if work.core.gpu is not None:
        kernel = Spread().apply(kernel)
        work.observe(Spread.name, kernel)
        kernel = Trees(work.core.gpu).apply(kernel)
        work.observe(Trees.name, kernel)
        kernel = Wide(work.core.gpu).apply(kernel)
        work.observe(Wide.name, kernel)
    elif "vectorise" not in work.disable:
        kernel = Vectorise(body.lanes, WIDE).apply(kernel)
        work.observe("vectorise", kernel)
    if work.core.widest_lanes:
        kernel = Narrow(work.core.widest_lanes).apply(kernel)
        work.observe(Narrow.name, kernel)
    if body.stores_once and NONTEMPORAL not in work.disable:
        kernel = Nontemporal.of(work.core).apply(kernel)
        work.observe(NONTEMPORAL, kernel)
    work.awake |= any(parallel_loops(kernel.body))
    work.kernels.append(kernel)
    work.calls.append(Call(kernel.name, tuple(buffer.name for buffer in params)))
