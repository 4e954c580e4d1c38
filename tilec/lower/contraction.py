"""How a contraction or a map becomes kernels: a stream, register tiles, a transpose, or loops."""

from __future__ import annotations

from dataclasses import replace

from tilec.errors import InternalError
from tilec.kernel import build
from tilec.kernel.ir import Buffer, Expr, Stmt
from tilec.lower import special
from tilec.lower.decide import Decision, Planned, flops_of, kernel_name, obey, refuse, wanted_for
from tilec.lower.defaults import overwritten
from tilec.lower.flatten import Epilogue, FlatPiece, flat_places, flatten, merge_loops
from tilec.lower.grouped import GroupWriter
from tilec.lower.groups import Group
from tilec.lower.loops import LoopWriter, Target
from tilec.lower.pieces import Piece, cut_alone
from tilec.lower.plan import choose, parallel
from tilec.lower.recognise import recognise
from tilec.lower.registers import RegisterTile
from tilec.lower.rival import Stream, streamed, tiled
from tilec.lower.split import TASK, split
from tilec.lower.streams import StreamWriter, reduction
from tilec.lower.tiles import TileWriter
from tilec.lower.translate import Place
from tilec.lower.transpose import TransposeWriter, transposition, turn_of
from tilec.lower.turned import TurnWriter
from tilec.lower.work import Lowering, finish, most_lanes, total_of
from tilec.schedule import grouped, stream
from tilec.schedule.grouped import Grouped
from tilec.schedule.legal import illegal
from tilec.schedule.product import Product
from tilec.schedule.transformed import TransformPlan
from tilec.schedule.values import Loops, Plan, Streamed, Tiled
from tilec.tensor.ir import Aggregation, Contraction, Map

TRANSPOSE = "transpose"

_ZERO = build.const(0)


def lower_loops(
    work: Lowering,
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
    default = None
    if isinstance(node, Contraction) and node.default is not None:
        default = work.places[node.default]
    after = epilogue_of(group)
    target = replace(target_of_node(node, output, default), total=total_of(work))

    def flat_of(piece: Piece) -> FlatPiece:
        flat = flatten(piece, work.places, output, default, after)
        return flat if "merge" in work.disable else merge_loops(flat)

    name = kernel_name(work.program, group)
    # Panels that were made ahead are those of the whole.
    if node.name not in work.panels:
        apart = [flat_of(part) for piece in pieces for part in cut_alone(piece)]
        if len(apart) > 1 and any(_is_tiled(work, flat, target, node) for flat in apart):
            for number, flat in enumerate(apart):
                _lower_flats(work, group, [flat], target, node, f"{name}.{number}")
            return
    _lower_flats(work, group, list(map(flat_of, pieces)), target, node, name)


def epilogue_of(group: Group) -> Epilogue | None:
    """What is applied to each element before it is stored."""
    return None if group.epilogue is None else Epilogue(group.epilogue, group.node.name)


def target_of_node(node: Contraction | Map, output: Place, default: Place | None) -> Target:
    """Where and how the results of a node are stored."""
    return Target(
        node.agg if isinstance(node, Contraction) else Aggregation.ASSIGN,
        node.body.dtype,
        node.type.dtype,
        output.buffer,
        None if default is None else default.buffer,
    )


def _is_tiled(work: Lowering, flat: FlatPiece, target: Target, node: Contraction | Map) -> bool:
    """Whether the cost model writes a piece around a register tile, as a kernel of its own."""
    if "tile" in work.disable or work.core.vector_bytes == 0:
        return False
    problem = recognise(flat, target)
    if isinstance(problem, str):
        return False
    lanes = most_lanes(work, node)
    plan = tiled(flat, target, problem, work.core, work.workspace_bytes, lanes)
    return isinstance(plan, Tiled)


def _lower_flats(
    work: Lowering,
    group: Group,
    flats: list[FlatPiece],
    target: Target,
    node: Contraction | Map,
    name: str,
) -> None:
    """One kernel for some pieces."""
    wanted = wanted_for(work.schedule, name)
    if isinstance(wanted, TransformPlan):
        refuse(name, wanted, "the kernel is no convolution that this method can compute")
    product = _grouped(work, flats, target, name)
    if isinstance(product, special.Body):
        finish(work, group, product, name)
        return
    streamed = _stream(work, flats, target, node, name)
    if streamed is not None:
        finish(work, group, streamed, name)
        return
    tile = _tile(work, flats, target, node, name)
    if isinstance(tile, special.Body):
        finish(work, group, tile, name)
        return
    moved = _transpose(work, flats, target, name)
    if moved is not None:
        where = "registers" if work.core.gpu is None else "local memory"
        reason = f"nothing is computed: it is transposed in {where}"
        work.decide(Decision(name, reason, None, flops_of(flats)))
        finish(work, group, moved, name)
        return
    body, planned = _plain(work, flats, target, node, name)
    work.decide(Decision(name, tile, None, flops_of(flats), pieces=planned))
    finish(work, group, body, name)


def _grouped(
    work: Lowering, flats: list[FlatPiece], target: Target, name: str
) -> special.Body | str:
    """A sum of products for groups of items; else the reason why there is none."""
    wanted, gpu = wanted_for(work.schedule, name), work.core.gpu
    if not isinstance(wanted, Grouped | None):
        return "the schedule asks for something else"
    problem: Product | str = "there are no groups of items, or the pass is switched off"
    if gpu is not None and "tile" not in work.disable:
        problem = "several pieces write the output"
        problem = recognise(flats[0], target) if len(flats) == 1 else problem
    if gpu is None or isinstance(problem, str):
        return refuse(name, wanted, str(problem))
    plan = grouped.choose(problem, gpu) if wanted is None else wanted
    if isinstance(plan, str):
        return refuse(name, wanted, plan)
    why, sides = grouped.illegal(problem, plan, gpu), grouped.sides(problem)
    if why is not None or isinstance(sides, str):
        return refuse(name, wanted, str(why))
    work.decide(Decision(name, problem, plan, flops_of(flats)))
    places = flat_places(work.places)
    body = GroupWriter(problem, sides, plan, flats[0], target, places).body()
    return replace(body, notes=(grouped.note(problem, plan, gpu),))


def _transpose(
    work: Lowering, flats: list[FlatPiece], target: Target, name: str
) -> special.Body | None:
    """A map that reads along another loop than it stores along; None for any other."""
    if len(flats) != 1 or TRANSPOSE in work.disable:
        return None
    (flat,), places, body = flats, flat_places(work.places), None
    threads = "thread" not in work.disable
    if work.core.gpu is not None:
        turn = turn_of(flat, target)
        if turn is not None:
            body = TurnWriter(turn, flat, target, places, work.core.gpu).body()
    elif "vectorise" not in work.disable:
        problem = transposition(flat, target, work.core)
        if problem is not None:
            body = TransposeWriter(problem, flat, target, places, threads).body()
    wanted = wanted_for(work.schedule, name)
    return body if body is None or wanted is None or str(wanted) in body.schedule else None


def _plain(
    work: Lowering,
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
    halves = split(flats[0], target.accumulate, work.core.gpu) if splits else None
    scratch: tuple[Buffer, ...] = ()
    writers = [writer] * len(flats)
    if halves is not None:
        scratch = (replace(halves.buffer, name=f"{target.output.name}.partial"),)
        places[halves.buffer.name] = Place(scratch[0], (1,))
        first = replace(target, result=target.accumulate, output=scratch[0], default=None)
        writers = [LoopWriter(places, first, writer.locals, prefix=".first"), writer]
        flats = [halves.partial, halves.final]
    plans = [_plan(work, flat, node, target.agg) for flat in flats]
    if halves is not None:
        plans[0] = _plan(work, halves.partial, node, target.agg, divided=TASK)
    elif threads:
        least = work.least_cycles
        chosen = [parallel(flat, each, least) for flat, each in zip(flats, plans, strict=True)]
        if None not in chosen:  # a register must not be shared by parallel and serial loops
            pairs = zip(plans, chosen, strict=True)
            plans = [replace(each, parallel=name) for each, name in pairs]
    wanted = wanted_for(work.schedule, kernel)
    if isinstance(wanted, Loops):
        most = most_lanes(work, node)
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
    work: Lowering,
    flats: list[FlatPiece],
    target: Target,
    node: Contraction | Map,
    name: str,
) -> special.Body | None:
    """A reduction that is bound by reading its largest operand; None for any other."""
    wanted = wanted_for(work.schedule, name)
    if not isinstance(wanted, Streamed | None) or node.name in work.panels:
        return None
    found: Stream | str = "there are no streams without vectors, or when switched off"
    if work.core.vector_bytes and not work.disable & {"stream", "vectorise"}:
        found = "several pieces write the output"
        if len(flats) == 1 and wanted is None:
            tiles = "tile" not in work.disable
            found = streamed(flats[0], target, work.core, work.workspace_bytes, tiles=tiles)
        elif len(flats) == 1 and wanted is not None:
            found = _wanted_stream(work, flats[0], target, wanted)
    if isinstance(found, str):
        refuse(name, wanted, found)
        return None
    source = (flats[0], target)
    work.decide(Decision(name, found.problem, found.plan, flops_of(flats), source=source))
    places = flat_places(work.places)
    return StreamWriter(found.problem, found.plan, flats[0], target, places).body()


def _wanted_stream(
    work: Lowering, flat: FlatPiece, target: Target, wanted: Streamed
) -> Stream | str:
    """The stream that a caller asks for, or the reason why it cannot be followed."""
    problem = reduction(flat, target)
    if isinstance(problem, str):
        return problem
    why = stream.illegal(problem, wanted, work.core, work.workspace_bytes)
    return why or Stream(problem, wanted)


def _tile(
    work: Lowering,
    flats: list[FlatPiece],
    target: Target,
    node: Contraction | Map,
    name: str,
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
    ahead, limit = node.name in work.panels, work.workspace_bytes
    if wanted is None:
        lanes = most_lanes(work, node)
        plan = tiled(flats[0], target, problem, work.core, limit, lanes, ahead=ahead)
    else:
        why = illegal(problem, wanted, work.core, ahead=ahead, workspace_bytes=limit)
        plan = why or wanted
    if isinstance(plan, str):
        return refuse(name, wanted, plan)
    source = (flats[0], target)
    work.decide(Decision(name, problem, plan, flops_of(flats), ahead, source=source))
    return tile_body(work, problem, plan, target, node.name)


def tile_body(
    work: Lowering,
    problem: Product,
    plan: Tiled,
    target: Target,
    contraction: str,
    first_panel: Expr = _ZERO,
) -> special.Body:
    """A product around its register tile, with panels that were made ahead if there are any.

    A product that is a part of the one they were made for begins with the panel ``first_panel``.
    """
    places, panels = flat_places(work.places), work.panels.get(contraction)
    if panels is None:
        return TileWriter(RegisterTile(problem, plan, places, target.output)).body()
    ready = work.places[panels].buffer.name
    tile = RegisterTile(problem, plan, places, target.output, ready, first_panel)
    return TileWriter(tile).body()


def _plan(
    work: Lowering,
    flat: FlatPiece,
    node: Contraction | Map,
    agg: Aggregation,
    divided: str | None = None,
) -> Plan:
    most = most_lanes(work, node)
    return Plan(None, 1, parallel=divided) if most == 0 else choose(flat, agg, most, divided)
