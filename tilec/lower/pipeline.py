"""Lowering as one list: what happens to a program between the tensor IR and a backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, replace
from math import prod

from tilec.dtypes import BF16, F16, F32
from tilec.errors import InternalError, ScheduleError
from tilec.kernel.ir import Buffer, Call, ConstantData, Kernel, Load, Module, Stmt, VType
from tilec.lower import sort, special
from tilec.lower.buffers import constant_bytes, input_places, register_bits, tensor_bytes
from tilec.lower.columns import ColumnWriter
from tilec.lower.decide import (
    Decide,
    Decision,
    Planned,
    check_names,
    flops_of,
    kernel_name,
    obey,
    operations_of,
    refuse,
    wanted_for,
)
from tilec.lower.defaults import overwritten, placed_defaults
from tilec.lower.flatten import Epilogue, FlatPiece, flat_places, flatten, merge_loops
from tilec.lower.groups import Group, groups
from tilec.lower.loops import LoopWriter, Target
from tilec.lower.memory import Lifetime, plan
from tilec.lower.nontemporal import Nontemporal
from tilec.lower.pieces import Piece, cut_alone, pieces_of, pieces_of_map
from tilec.lower.plan import WIDE, choose, parallel
from tilec.lower.recognise import recognise
from tilec.lower.registers import RegisterTile
from tilec.lower.rowgroups import RowGroup, Unit, nodes_of, row_groups
from tilec.lower.rows import RowWriter
from tilec.lower.split import TASK, split
from tilec.lower.streams import StreamWriter, reduction
from tilec.lower.tiles import TileWriter
from tilec.lower.translate import Place, contiguous
from tilec.lower.transpose import TransposeWriter, transposition
from tilec.lower.vectorise import Vectorise
from tilec.lower.walk import expressions
from tilec.lower.winograd import WinogradWriter
from tilec.records import dataclass
from tilec.schedule import model, stream
from tilec.schedule.legal import WORKSPACE_BYTES, illegal
from tilec.schedule.reduction import Reduction
from tilec.schedule.values import SCHEDULE_LINE, Loops, Plan, Schedule, Streamed, Tiled
from tilec.schedule.winograd import WinogradPlan, flops
from tilec.target.core import Core
from tilec.tensor.ir import (
    Aggregation,
    ArgSort,
    Constant,
    Contraction,
    Gather,
    Map,
    Node,
    Program,
    RandomState,
    RandomValue,
    Reshape,
    Scatter,
    SumTo,
    TensorType,
    operands,
)
from tilec.tensor.printer import print_definition
from tilec.tensor.size import concrete
from tilec.tensor.winograd import Winograd
from tilec.version import __version__

Observe = Callable[[str, Kernel], None]
"""Called with the name of each pass and the kernel it made."""

FUSE_ROWS = "fuse-rows"
NONTEMPORAL = Nontemporal.name
TRANSPOSE = "transpose"

PASSES = (
    "fuse",
    FUSE_ROWS,
    "pack-ahead",
    "merge",
    "stream",
    "tile",
    TRANSPOSE,
    "thread",
    "vectorise",
    NONTEMPORAL,
)
"""Names of the passes that ``Options.disable`` accepts here, in order."""


@dataclass(slots=True)
class _Lowering:
    program: Program
    core: Core
    disable: frozenset[str]
    observe: Observe
    types: dict[str, TensorType]
    panels: Mapping[str, str]
    schedule: Schedule
    workspace_bytes: int
    decide: Decide
    winograd: Mapping[str, tuple[Winograd, WinogradPlan]]
    places: dict[str, Place] = field(default_factory=dict[str, Place])
    kernels: list[Kernel] = field(default_factory=list[Kernel])
    calls: list[Call] = field(default_factory=list[Call])
    scratch: list[Buffer] = field(default_factory=list[Buffer])
    defaults: Mapping[str, Contraction] = field(default_factory=dict[str, Contraction])


def lower_program(
    program: Program,
    strides: Mapping[str, tuple[int, ...]] | None = None,
    *,
    core: Core | None = None,
    disable: tuple[str, ...] = (),
    panels: Mapping[str, str] | None = None,
    schedule: Schedule | None = None,
    workspace_bytes: int = WORKSPACE_BYTES,
    observe: Observe = lambda name, kernel: None,
    decide: Decide = lambda decision: None,
    winograd: Mapping[str, tuple[Winograd, WinogradPlan]] | None = None,
) -> Module:
    """Lower a bound program to kernels over shared buffers.

    Args:
        program: A verified program with integer sizes.
        strides: Element strides of inputs that are not contiguous, by name.
        core: The target; by default a core with 512-bit vectors.
        disable: Passes to leave out.
        panels: Inputs that hold packed operands, by the contraction that reads them.
        schedule: What the caller wants of some kernels, by name.
        workspace_bytes: Scratch memory that a kernel may take beside temporaries.
        observe: Told about each kernel after each pass.
        decide: Told what was scheduled, how and why.
        winograd: Convolutions by Winograd's method, by name, and their schedules.

    Returns:
        The module; its inputs and outputs are in the program's order.
    """
    work = _Lowering(
        program=program,
        core=core or Core(),
        disable=frozenset(disable),
        observe=observe,
        types=program.types(),
        panels=panels or {},
        schedule=schedule or Schedule(()),
        workspace_bytes=workspace_bytes,
        decide=decide,
        winograd=winograd or {},
    )
    inside = {
        name for method, _ in work.winograd.values() for name in (method.tiles, method.products)
    }
    work.places.update(input_places(program, strides or {}))
    inputs = tuple(work.places[value.name] for value in program.inputs)
    outputs = _outputs(work)
    constants = tuple(_constant(work, node) for node in program.nodes if isinstance(node, Constant))
    held = {place.buffer.name for place in work.places.values()}
    work.defaults = placed_defaults(program)
    for name, node in work.defaults.items():
        if name not in work.places:
            work.places[name] = _target(work, node)
    for unit in _units(work, strides or {}, inside):
        if isinstance(unit, RowGroup):
            _lower_rows(work, unit)
        elif not isinstance(unit.node, Constant) and unit.node.name not in inside:
            _lower_group(work, unit)
    _copy_outputs(work, outputs)
    check_names(work.schedule, [kernel.name for kernel in work.kernels])
    temporaries, workspace = plan(_lifetimes(work, held | {b.name for b in outputs}))
    return Module(
        name=program.name,
        inputs=tuple(place.buffer for place in inputs),
        outputs=outputs,
        temporaries=temporaries,
        constants=constants,
        workspace_bytes=workspace,
        kernels=tuple(work.kernels),
        calls=tuple(work.calls),
    )


def _units(
    work: _Lowering, strides: Mapping[str, tuple[int, ...]], inside: set[str]
) -> tuple[Unit, ...]:
    """What becomes a kernel each, in order; ``inside`` is part of a kernel already."""
    found = groups(work.program, fuse="fuse" not in work.disable)
    if FUSE_ROWS in work.disable:
        return found
    apart = frozenset((*inside, *work.winograd))
    return row_groups(work.program, found, strides, work.core, apart)


def _outputs(work: _Lowering) -> tuple[Buffer, ...]:
    """Buffers of the results; the first name of a computed value is where it is computed."""
    buffers: list[Buffer] = []
    taken = {value.name for value in work.program.inputs} | {n.name for n in work.program.nodes}
    for output in work.program.outputs:
        kind = work.types[output.value]
        shape = concrete(kind.shape)
        is_constant = any(
            isinstance(n, Constant) and n.name == output.value for n in work.program.nodes
        )
        is_copied = is_constant or output.value in work.places
        name = f"{output.name}.out" if is_copied else output.value
        while name in {b.name for b in buffers} or (name != output.value and name in taken):
            name += "'"
        buffer = Buffer(name, VType(kind.dtype), prod(shape), writable=True)
        buffers.append(buffer)
        if not is_copied:
            work.places[output.value] = Place(buffer, contiguous(shape))
    return tuple(buffers)


def _copy_outputs(work: _Lowering, outputs: tuple[Buffer, ...]) -> None:
    """Outputs that are inputs, constants or second names of a value are copied at the end."""
    for output, buffer in zip(work.program.outputs, outputs, strict=True):
        source = work.places[output.value]
        if source.buffer.name == buffer.name:
            continue
        kind = work.types[output.value]
        # The name may be that of the value, whose kernel has it then.
        name = f"{output.name}_copy" if output.name in work.types else output.name
        node = special.copy_map(name, output.value, kind)
        target = work.places[buffer.name] = Place(buffer, contiguous(concrete(kind.shape)))
        _lower_loops(work, Group(node), pieces_of_map(node), target)


def _constant(work: _Lowering, node: Constant) -> ConstantData:
    shape = concrete(node.type.shape)
    name = node.name
    while any(place.buffer.name == name for place in work.places.values()):
        name += "'"
    buffer = Buffer(name, VType(node.type.dtype), prod(shape))
    work.places[node.name] = Place(buffer, contiguous(shape))
    return ConstantData(buffer, constant_bytes(node.data, node.type.dtype))


def _lower_rows(work: _Lowering, group: RowGroup) -> None:
    for member in group.members:
        if member.name in group.outputs:
            _target(work, member.node)
    lanes = max(1, min(_most_lanes(work, member.node) for member in group.members))
    writer = ColumnWriter if group.is_standing else RowWriter
    names = {name for node in group.nodes for name in (node.name, *operands(node))}
    far = sum(tensor_bytes(work.types[name]) for name in sorted(names)) > work.core.last_cache_bytes
    body = writer(group, work.places, lanes, "thread" not in work.disable, far).body()
    name = kernel_name(work.program, group)
    wanted = wanted_for(work.schedule, name)
    if wanted is not None and str(wanted) not in body.schedule:
        raise ScheduleError(
            f"the schedule of {name} is illegal: the loops over rows are what they are",
            help=f"leave it out, or pass disable=('{FUSE_ROWS}',); it is '{body.schedule[0]}'",
        )
    points = prod(axis.extent for axis in (*group.rows, *group.columns))
    operations = sum(operations_of(member.body) + 1 for member in group.members)
    work.decide(Decision(name, body.notes[0], None, points * operations))
    _finish(work, group, body)


def _target(work: _Lowering, result: Node) -> Place:
    """Where a value is stored."""
    found = work.places.get(result.name)
    if found is not None:
        return found
    shape = concrete(result.type.shape)
    buffer = Buffer(result.name, VType(result.type.dtype), prod(shape), writable=True)
    return work.places.setdefault(result.name, Place(buffer, contiguous(shape)))


def _lower_group(work: _Lowering, group: Group) -> None:
    node, result = group.node, group.result
    if isinstance(node, Reshape) and node.name not in work.places:
        source = work.places[node.operand]
        if source.strides == contiguous(concrete(work.types[node.operand].shape)):
            work.places[node.name] = Place(source.buffer, contiguous(concrete(node.type.shape)))
            return
    target = _target(work, result)
    if 0 in concrete(result.type.shape):
        return
    match node:
        case Contraction() if node.name in work.winograd:
            _finish(work, group, _winograd(work, group, node, target))
        case Contraction():
            _lower_loops(work, group, pieces_of(node, work.types), target)
        case Map():
            _lower_loops(work, group, pieces_of_map(node), target)
        case Reshape():
            _finish(work, group, special.reshape(node, work.places, target, work.types))
        case Gather():
            _finish(work, group, special.gather(node, work.places, target, work.types))
        case Scatter():
            _finish(work, group, special.scatter(node, work.places, target, work.types))
        case RandomValue():
            _finish(work, group, special.random_value(node, work.places, target))
        case RandomState():
            _finish(work, group, special.random_state(node, work.places, target))
        case ArgSort():
            _finish(work, group, sort.argsort(node, work.places, target, work.types))
        case Constant() | SumTo():
            raise InternalError(f"{node.name} reached the loops")


def _winograd(work: _Lowering, group: Group, node: Contraction, target: Place) -> special.Body:
    """A convolution, its transforms and its epilogue as one kernel."""
    method, plan = work.winograd[node.name]
    work.decide(Decision(kernel_name(work.program, group), method, plan, flops(method, plan)))
    after = None if group.epilogue is None else Epilogue(group.epilogue, node.name)
    return WinogradWriter(method, plan, node.type.dtype, work.places, target, after).body()


def _lower_loops(
    work: _Lowering,
    group: Group,
    pieces: tuple[Piece, ...],
    output: Place,
) -> None:
    """A contraction or a map: flatten, merge loops, choose a schedule, write the loops.

    Pieces are one kernel, unless one of them is worth a register tile: then each is a kernel.
    """
    node = group.node
    if not isinstance(node, Contraction | Map):
        raise InternalError(f"{node.name} is written by loops of its own")
    agg = node.agg if isinstance(node, Contraction) else Aggregation.ASSIGN
    default = None
    if isinstance(node, Contraction) and node.default is not None:
        default = work.places[node.default]
    after = None if group.epilogue is None else Epilogue(group.epilogue, node.name)
    target = Target(
        agg,
        node.body.dtype,
        node.type.dtype,
        output.buffer,
        None if default is None else default.buffer,
    )

    def flat_of(piece: Piece) -> FlatPiece:
        flat = flatten(piece, work.places, output, default, after)
        return flat if "merge" in work.disable else merge_loops(flat)

    name = kernel_name(work.program, group)
    # Panels that were made ahead are those of the whole.
    if node.name not in work.panels:
        apart = [flat_of(part) for piece in pieces for part in cut_alone(piece)]
        if len(apart) > 1 and any(_is_tiled(work, flat, target) for flat in apart):
            for number, flat in enumerate(apart):
                _lower_flats(work, group, [flat], target, node, f"{name}.{number}")
            return
    _lower_flats(work, group, list(map(flat_of, pieces)), target, node, name)


def _is_tiled(work: _Lowering, flat: FlatPiece, target: Target) -> bool:
    """Whether the cost model writes a piece around a register tile, as a kernel of its own."""
    if "tile" in work.disable or work.core.vector_bytes == 0:
        return False
    problem = recognise(flat, target)
    if isinstance(problem, str):
        return False
    plan = model.choose(problem, work.core, workspace_bytes=work.workspace_bytes)
    return isinstance(plan, Tiled)


def _lower_flats(
    work: _Lowering,
    group: Group,
    flats: list[FlatPiece],
    target: Target,
    node: Contraction | Map,
    name: str,
) -> None:
    """One kernel for some pieces."""
    wanted = wanted_for(work.schedule, name)
    if isinstance(wanted, WinogradPlan):
        refuse(name, wanted, "the kernel is no convolution that this method can compute")
    streamed = _stream(work, flats, target, node, name)
    if streamed is not None:
        _finish(work, group, streamed, name)
        return
    tiled = _tile(work, flats, target, node.name, name)
    if isinstance(tiled, special.Body):
        _finish(work, group, tiled, name)
        return
    moved = _transpose(work, flats, target, name)
    if moved is not None:
        reason = "nothing is computed: it is transposed in registers"
        work.decide(Decision(name, reason, None, flops_of(flats)))
        _finish(work, group, moved, name)
        return
    body, planned = _plain(work, flats, target, node, name)
    work.decide(Decision(name, tiled, None, flops_of(flats), pieces=planned))
    _finish(work, group, body, name)


def _transpose(
    work: _Lowering, flats: list[FlatPiece], target: Target, name: str
) -> special.Body | None:
    """A map that reads along another loop than it stores along; None for any other."""
    if len(flats) != 1 or work.disable & {TRANSPOSE, "vectorise"}:
        return None
    problem = transposition(flats[0], target, work.core)
    if problem is None:
        return None
    threads = "thread" not in work.disable
    writer = TransposeWriter(problem, flats[0], target, flat_places(work.places), threads)
    body = writer.body()
    wanted = wanted_for(work.schedule, name)
    return body if wanted is None or str(wanted) in body.schedule else None


def _plain(
    work: _Lowering,
    flats: list[FlatPiece],
    target: Target,
    node: Contraction | Map,
    kernel: str,
) -> tuple[special.Body, tuple[Planned, ...]]:
    """Loops without register tiles; long reductions into few elements are split."""
    places = flat_places(work.places)
    writer = LoopWriter(places, target, again=overwritten(node.name, work.defaults, work.types))
    threads = "thread" not in work.disable
    # An assignment has one point per element; the ranges without it have nothing to combine.
    splits = threads and len(flats) == 1 and target.agg is not Aggregation.ASSIGN
    halves = split(flats[0], target.accumulate) if splits else None
    scratch: tuple[Buffer, ...] = ()
    writers = [writer] * len(flats)
    if halves is not None:
        scratch = (replace(halves.buffer, name=f"{target.output.name}.partial"),)
        places[halves.buffer.name] = Place(scratch[0], (1,))
        first = Target(target.agg, target.accumulate, target.accumulate, scratch[0], None)
        writers = [LoopWriter(places, first, writer.locals, prefix=".first"), writer]
        flats = [halves.partial, halves.final]
    plans = [_plan(work, flat, node, target.agg) for flat in flats]
    if halves is not None:
        plans[0] = _plan(work, halves.partial, node, target.agg, divided=TASK)
    elif threads:
        chosen = [parallel(flat, each) for flat, each in zip(flats, plans, strict=True)]
        if None not in chosen:  # a register must not be shared by parallel and serial loops
            pairs = zip(plans, chosen, strict=True)
            plans = [replace(each, parallel=name) for each, name in pairs]
    wanted = wanted_for(work.schedule, kernel)
    if isinstance(wanted, Loops):
        most = _most_lanes(work, node)
        plans = obey(kernel, wanted, plans, flats, target.agg, most)
    body: list[Stmt] = []
    pieces: list[Planned] = []
    for each, flat, chosen_plan in zip(writers, flats, plans, strict=True):
        body += each.piece(flat, chosen_plan)
        pieces.append(Planned(flat, chosen_plan, each.target.output.type.dtype.bytes))
    lines = (str(Loops.of(tuple(plans))),)
    lanes = max((each.lanes for each in plans), default=1)
    made = special.Body(tuple(body), tuple(writer.locals), lines, lanes, scratch, stores_once=True)
    return made, tuple(pieces)


def _stream(
    work: _Lowering,
    flats: list[FlatPiece],
    target: Target,
    node: Contraction | Map,
    name: str,
) -> special.Body | None:
    """A reduction that is bound by reading its largest operand; None for any other."""
    wanted = wanted_for(work.schedule, name)
    if not isinstance(wanted, Streamed | None) or node.name in work.panels:
        return None
    problem: Reduction | str = "there are no streams without vectors, or when switched off"
    if work.core.vector_bytes and not work.disable & {"stream", "vectorise"}:
        problem = "several pieces write the output"
        if len(flats) == 1:
            problem = reduction(flats[0], target)
    plan: Streamed | str = problem if isinstance(problem, str) else "there is no schedule"
    if not isinstance(problem, str):
        limit = work.workspace_bytes
        if wanted is None:
            plan = stream.choose(problem, work.core, limit)
        else:
            plan = stream.illegal(problem, wanted, work.core, limit) or wanted
    if isinstance(plan, str) or isinstance(problem, str):
        refuse(name, wanted, str(plan))
        return None
    work.decide(Decision(name, problem, plan, flops_of(flats)))
    return StreamWriter(problem, plan, flats[0], target, flat_places(work.places)).body()


def _tile(
    work: _Lowering, flats: list[FlatPiece], target: Target, contraction: str, name: str
) -> special.Body | str:
    """A sum of products around a register tile; else the reason why there is none."""
    wanted = wanted_for(work.schedule, name)
    if not isinstance(wanted, Tiled | None):
        return "the schedule asks for plain loops"
    reason: str | None = None
    if "tile" in work.disable or work.core.vector_bytes == 0:
        reason = "there are no tiles without vectors, or when the pass is switched off"
    elif len(flats) != 1:
        reason = "several pieces write the output"
    problem = recognise(flats[0], target) if reason is None else reason
    if isinstance(problem, str):
        return refuse(name, wanted, problem)
    panels = work.panels.get(contraction)
    ahead, limit = panels is not None, work.workspace_bytes
    if wanted is None:
        plan = model.choose(problem, work.core, ahead=ahead, workspace_bytes=limit)
    else:
        why = illegal(problem, wanted, work.core, ahead=ahead, workspace_bytes=limit)
        plan = why or wanted
    if isinstance(plan, str):
        return refuse(name, wanted, plan)
    work.decide(Decision(name, problem, plan, flops_of(flats), ahead))
    places = flat_places(work.places)
    if panels is None:
        return TileWriter(RegisterTile(problem, plan, places, target.output)).body()
    ready = work.places[panels].buffer.name
    return TileWriter(RegisterTile(problem, plan, places, target.output, ready)).body()


def _plan(
    work: _Lowering,
    flat: FlatPiece,
    node: Contraction | Map,
    agg: Aggregation,
    divided: str | None = None,
) -> Plan:
    most = _most_lanes(work, node)
    return Plan(None, 1, parallel=divided) if most == 0 else choose(flat, agg, most, divided)


def _most_lanes(work: _Lowering, node: Contraction | Map) -> int:
    """Lanes of a register for the widest type of a kernel; 0 without vectors."""
    if "vectorise" in work.disable or work.core.vector_bytes == 0:
        return 0
    widest = max((node.type.dtype, node.body.dtype), key=register_bits)
    if widest in (F16, BF16):
        widest = F32
    return work.core.lanes(widest.bytes)


def _finish(
    work: _Lowering, group: Unit, body: special.Body, kernel_named: str | None = None
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
    header = (
        *(line for node in nodes for line in print_definition(node).splitlines()),
        f"sizes: {', '.join(f'{name}: {kind}' for name, kind in shapes.items())}",
        *body.notes,
        *(f"{SCHEDULE_LINE}{line}" for line in body.schedule),
        f"tilec {__version__}",
    )
    name = kernel_named or kernel_name(work.program, group)
    kernel = Kernel(name, header, tuple(params), body.locals, body.statements)
    work.observe("loops", kernel)
    if "vectorise" not in work.disable:
        kernel = Vectorise(body.lanes, WIDE).apply(kernel)
        work.observe("vectorise", kernel)
    if body.stores_once and NONTEMPORAL not in work.disable:
        kernel = Nontemporal(work.core.last_cache_bytes, work.core.line_bytes).apply(kernel)
        work.observe(NONTEMPORAL, kernel)
    work.kernels.append(kernel)
    work.calls.append(Call(kernel.name, tuple(buffer.name for buffer in params)))


def _lifetimes(work: _Lowering, held: set[str]) -> tuple[Lifetime, ...]:
    """First and last call of each buffer that is neither argument nor constant."""
    buffers = {place.buffer.name: place.buffer for place in work.places.values()}
    buffers |= {buffer.name: buffer for buffer in work.scratch}
    spans: dict[str, tuple[int, int]] = {}
    for at, call in enumerate(work.calls):
        for name in call.args:
            if name not in held:
                spans[name] = (spans.get(name, (at, at))[0], at)
    return tuple(
        Lifetime(replace(buffers[name], writable=True), first, last)
        for name, (first, last) in spans.items()
    )
