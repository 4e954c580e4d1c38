"""Lowering as one list: what happens to a program between the tensor IR and a backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from math import prod

from tilec.errors import InternalError, ScheduleError
from tilec.kernel.ir import Buffer, ConstantData, Module, View, VType
from tilec.lower import sort, special
from tilec.lower.blockgroups import block_groups
from tilec.lower.blocks import BlockWriter, reblocked
from tilec.lower.buffers import constant_bytes, input_places, tensor_bytes
from tilec.lower.columns import ColumnWriter
from tilec.lower.contraction import TRANSPOSE, lower_loops
from tilec.lower.decide import (
    Decide,
    Decision,
    check_methods,
    check_names,
    kernel_name,
    method_for,
    wanted_for,
)
from tilec.lower.defaults import placed_defaults
from tilec.lower.flatten import Epilogue
from tilec.lower.fourier import FourierWriter
from tilec.lower.groups import Group, groups
from tilec.lower.join import JOIN, Joined, joined, write_part
from tilec.lower.memory import Lifetime, plan
from tilec.lower.pieces import pieces_of, pieces_of_map
from tilec.lower.rowgroups import row_groups
from tilec.lower.rows import RowWriter, flops_of_rows
from tilec.lower.sharing import SHARE, Sharing
from tilec.lower.translate import Place, contiguous
from tilec.lower.units import BlockGroup, RowGroup, Single, Unit, nodes_of, saved_bytes
from tilec.lower.views import VIEWS, parts, viewed
from tilec.lower.winograd import WinogradWriter
from tilec.lower.work import (
    NONTEMPORAL,
    Lowering,
    Observe,
    finish,
    most_lanes,
    target_of,
    total_of,
)
from tilec.schedule.fourier import FourierPlan
from tilec.schedule.legal import WORKSPACE_BYTES
from tilec.schedule.transformed import Transform, flops
from tilec.schedule.values import APART, Blocked, Schedule
from tilec.schedule.winograd import WinogradPlan
from tilec.target.core import Core
from tilec.tensor.fourier import Fourier
from tilec.tensor.ir import (
    ArgSort,
    Constant,
    Contraction,
    Gather,
    Map,
    Program,
    RandomState,
    RandomValue,
    Reshape,
    Scatter,
    SumTo,
    operands,
)
from tilec.tensor.size import concrete
from tilec.tensor.winograd import Winograd

FUSE_ROWS = "fuse-rows"
FUSE_BLOCKS = "fuse-blocks"

PASSES = (
    VIEWS,
    JOIN,
    "fuse",
    FUSE_ROWS,
    FUSE_BLOCKS,
    "pack-ahead",
    "merge",
    "stream",
    "tile",
    TRANSPOSE,
    "thread",
    "vectorise",
    NONTEMPORAL,
    SHARE,
)
"""Names of the passes that ``Options.disable`` accepts here, in order."""


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
    transforms: Mapping[str, Transform] | None = None,
    rewritten: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
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
        transforms: Convolutions by transforms of tiles, by name, and their schedules.
        rewritten: By the last kernel of several that were one, the method that made them so.
        progress: Told how many kernels are done, and of how many.

    Returns:
        The module; its inputs and outputs are in the program's order.
    """
    decisions: list[Decision] = []

    together: dict[str, Unit] = {}

    def note(decision: Decision) -> None:
        unit = together.get(decision.kernel)
        if unit is not None:
            names = tuple(node.name for node in nodes_of(unit))
            decision = replace(decision, fused=names, saved_bytes=saved_bytes(unit))
        decisions.append(decision)
        decide(decision)

    work = Lowering(
        program=program,
        core=core or Core(),
        disable=frozenset(disable),
        observe=observe,
        types=program.types(),
        panels=panels or {},
        schedule=schedule or Schedule(()),
        workspace_bytes=workspace_bytes,
        decide=note,
        transforms=transforms or {},
        rewritten=dict(rewritten or {}),
    )
    inside = {name for method, _ in work.transforms.values() for name in method.inside}
    work.places.update(input_places(program, strides or {}))
    inputs = tuple(work.places[value.name] for value in program.inputs)
    outputs = _outputs(work)
    used = _constants(work, inside)
    constants = tuple(_constant(work, node) for node in used)
    held = {place.buffer.name for place in work.places.values()}
    joins = joined(program, work.core, disable)
    joins.hold(work)
    work.defaults = placed_defaults(program)
    for name, node in work.defaults.items():
        if name not in work.places:
            work.places[name] = target_of(work, node)
    sharing = Sharing(work, decisions)
    copies = parts(work)
    lying = {name: place.strides for name, place in joins.places().items()}
    units = _units(work, {**(strides or {}), **lying}, inside | copies.keys(), joins)
    for done, unit in enumerate(units):
        progress(done, len(units))
        together[kernel_name(program, unit)] = unit
        if isinstance(unit, BlockGroup):
            if sharing.lower(unit, partial(_lower_blocks, work, unit)):
                continue
            alone: tuple[Single, ...] = unit.units
        else:
            alone = (unit,)
        for each in alone:
            together[kernel_name(program, each)] = each
            part = copies.get(each.result.name)
            if part is not None and viewed(work, each.result, part):
                continue
            if each.result.name in joins.parts:
                write_part(work, joins, each.result)
                continue
            if isinstance(each, RowGroup):
                sharing.lower(each, partial(_lower_rows, work, each))
            elif not isinstance(each.node, Constant) and each.node.name not in inside:
                sharing.lower(each, partial(_lower_group, work, each))
    progress(len(units), len(units))
    _copy_outputs(work, outputs)
    check_names(work.schedule, [call.name for call in work.calls])
    check_methods(work.schedule, work.rewritten)
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
        views=_views(work),
    )


def _views(work: Lowering) -> tuple[View, ...]:
    """The views that kernels take."""
    taken = {name for call in work.calls for name in call.args}
    return tuple(view for name, view in work.views.items() if name in taken)


def _units(
    work: Lowering, strides: Mapping[str, tuple[int, ...]], inside: set[str], joins: Joined
) -> tuple[Unit, ...]:
    """What becomes a kernel each, in order; ``inside`` is part of one already, or needs none."""
    found = groups(work.program, fuse="fuse" not in work.disable, apart=joins.parts.keys())
    apart = frozenset((*inside, *work.transforms, *joins.parts))
    rows: tuple[Single, ...] = found
    if FUSE_ROWS not in work.disable:
        rows = row_groups(work.program, found, strides, work.core, apart)
    # Blocks are for caches that keep what one kernel leaves to the next.
    if FUSE_BLOCKS in work.disable or work.core.gpu is not None:
        return rows
    return block_groups(work.program, rows, work.core, apart)


def _outputs(work: Lowering) -> tuple[Buffer, ...]:
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


def _copy_outputs(work: Lowering, outputs: tuple[Buffer, ...]) -> None:
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
        lower_loops(work, Group(node), pieces_of_map(node), target)


def _constants(work: Lowering, inside: set[str]) -> list[Constant]:
    """The constants that kernels read; matrices of transforms are in the code of theirs."""
    apart = inside | work.transforms.keys()
    read = {
        name for node in work.program.nodes if node.name not in apart for name in operands(node)
    }
    read |= {output.value for output in work.program.outputs}
    return [n for n in work.program.nodes if isinstance(n, Constant) and n.name in read]


def _constant(work: Lowering, node: Constant) -> ConstantData:
    shape = concrete(node.type.shape)
    name = node.name
    while any(place.buffer.name == name for place in work.places.values()):
        name += "'"
    buffer = Buffer(name, VType(node.type.dtype), prod(shape))
    work.places[node.name] = Place(buffer, contiguous(shape))
    return ConstantData(buffer, constant_bytes(node.data, node.type.dtype))


def _lower_blocks(work: Lowering, group: BlockGroup) -> bool:
    """Write a kernel that goes block by block, if there can be one."""
    names = [kernel_name(work.program, unit) for unit in group.units]
    last = len(names) - 1
    wanted = wanted_for(work.schedule, names[last])
    if method_for(work.schedule, names[last]) == APART:
        work.rewritten[names[last]] = APART
        return False
    if any(name in work.schedule for name in names[:last]) or not isinstance(
        wanted, Blocked | None
    ):
        return False  # the schedule is one for kernels that are not put together
    if wanted is not None:
        group = reblocked(names[last], group, wanted)
    writer = BlockWriter(group, work)
    body = writer.body()
    if body is None:
        return False
    work.decide(Decision(names[last], body.notes[0], None, writer.flops))
    finish(work, group, body)
    return True


def _lower_rows(work: Lowering, group: RowGroup) -> bool:
    for member in group.members:
        if member.name in group.outputs:
            target_of(work, member.node)
    lanes = max(1, min(most_lanes(work, member.node) for member in group.members))
    writer = ColumnWriter if group.is_standing else RowWriter
    names = {name for node in group.nodes for name in (node.name, *operands(node))}
    far = sum(tensor_bytes(work.types[name]) for name in sorted(names)) > work.core.last_cache_bytes
    threads, least = "thread" not in work.disable, work.least_cycles
    body = writer(group, work.places, lanes, threads, far, least, total=total_of(work)).body()
    name = kernel_name(work.program, group)
    wanted = wanted_for(work.schedule, name)
    if wanted is not None and str(wanted) not in body.schedule:
        chosen = f"the loops over rows are '{body.schedule[0]}'"
        raise ScheduleError.illegal(
            name, wanted, f"{chosen}; leave it out, or pass disable=('{FUSE_ROWS}',)"
        )
    work.decide(Decision(name, body.notes[0], None, flops_of_rows(group)))
    finish(work, group, body)
    return True


def _lower_group(work: Lowering, group: Group) -> bool:
    node, result = group.node, group.result
    if isinstance(node, Reshape) and node.name not in work.places:
        source = work.places[node.operand]
        if source.strides == contiguous(concrete(work.types[node.operand].shape)):
            work.places[node.name] = Place(source.buffer, contiguous(concrete(node.type.shape)))
            return True
    target = target_of(work, result)
    if 0 in concrete(result.type.shape):
        return True
    match node:
        case Contraction() if node.name in work.transforms:
            finish(work, group, _transformed(work, group, node, target))
        case Contraction():
            lower_loops(work, group, pieces_of(node, work.types), target)
        case Map():
            lower_loops(work, group, pieces_of_map(node), target)
        case Reshape():
            finish(work, group, special.reshape(node, work.places, target, work.types))
        case Gather():
            finish(work, group, special.gather(node, work.places, target, work.types))
        case Scatter():
            finish(work, group, special.scatter(node, work.places, target, work.types))
        case RandomValue():
            finish(work, group, special.random_value(node, work.places, target))
        case RandomState():
            finish(work, group, special.random_state(node, work.places, target))
        case ArgSort():
            finish(work, group, sort.argsort(node, work.places, target, work.types))
        case Constant() | SumTo():
            raise InternalError(f"{node.name} reached the loops")
    return True


def _transformed(work: Lowering, group: Group, node: Contraction, target: Place) -> special.Body:
    """A convolution, its transforms and its epilogue as one kernel."""
    found = work.transforms[node.name]
    method, plan = found
    work.decide(Decision(kernel_name(work.program, group), method, plan, flops(found)))
    after = None if group.epilogue is None else Epilogue(group.epilogue, node.name)
    if isinstance(method, Fourier) and isinstance(plan, FourierPlan):
        return FourierWriter(method, plan, node.type.dtype, work.places, target, after).body()
    assert isinstance(method, Winograd)
    assert isinstance(plan, WinogradPlan)
    return WinogradWriter(method, plan, node.type.dtype, work.places, target, after).body()


def _lifetimes(work: Lowering, held: set[str]) -> tuple[Lifetime, ...]:
    """First and last call of each buffer that is neither argument nor constant."""
    buffers = {place.buffer.name: place.buffer for place in work.places.values()}
    buffers |= {buffer.name: buffer for buffer in work.scratch}
    spans: dict[str, tuple[int, int]] = {}
    for at, call in enumerate(work.calls):
        for name in (work.views[arg].whole if arg in work.views else arg for arg in call.args):
            if name not in held:
                spans[name] = (spans.get(name, (at, at))[0], at)
    return tuple(
        Lifetime(replace(buffers[name], writable=True), first, last)
        for name, (first, last) in spans.items()
    )
