"""Panels of constants, made ahead: weights are packed once, when they are bound.

The packed copy is an ordinary contraction, ``P[panel, steps.., lane] = =(W[..])``, which runs with
whatever else is computed once. Elements beyond the edge of the last panel have no index point and
so are zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from fractions import Fraction
from math import prod

from tilec.kernel.ir import Buffer, VType
from tilec.lower.decide import kernel_name, wanted_for
from tilec.lower.flatten import Epilogue, FlatPiece, flatten, merge_loops
from tilec.lower.groups import Group, groups
from tilec.lower.loops import Target
from tilec.lower.pieces import Piece, pieces_of
from tilec.lower.recognise import recognise
from tilec.lower.rival import Stream, streamed
from tilec.lower.translate import Place, contiguous
from tilec.records import dataclass
from tilec.schedule import model
from tilec.schedule.legal import WORKSPACE_BYTES, illegal
from tilec.schedule.product import Product
from tilec.schedule.values import Schedule, Tiled
from tilec.target.core import Core
from tilec.tensor.affine import Affine
from tilec.tensor.ir import Aggregation, Contraction, Input, Program, TensorType
from tilec.tensor.scalar import Read, at_indices, reads
from tilec.tensor.size import concrete

PANEL, LANE = ".panel", ".lane"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A program whose constant operands are packed ahead.

    Attributes:
        program: The program with the panels as further inputs, after all others.
        packs: What makes the panels from constants, once; in the order of those inputs.
        panels: Name of the panels by the contraction that reads them.
    """

    program: Program
    packs: tuple[Contraction, ...]
    panels: Mapping[str, str]


def prepare(
    program: Program,
    constants: AbstractSet[str],
    places: Mapping[str, Place],
    core: Core,
    *,
    fuse: bool,
    stream: bool = True,
    schedule: Schedule | None = None,
    workspace_bytes: int = WORKSPACE_BYTES,
    skip: AbstractSet[str] = frozenset(),
) -> Prepared:
    """Find the contractions that read panels of a constant, and what makes those panels.

    ``places`` says how the inputs lie in memory, which decides schedules; ``schedule`` has those
    that the caller wants. With ``stream``, what is read only once stays as it is. Nodes in ``skip``
    are written in another way.
    """
    types = program.types()
    held = dict(places)
    packs: dict[Contraction, str] = {}
    made: list[Contraction] = []
    panels: dict[str, str] = {}
    for group in groups(program, fuse=fuse):
        shape = concrete(group.result.type.shape)
        buffer = Buffer(group.result.name, VType(group.result.type.dtype), prod(shape))
        output = held.setdefault(group.result.name, Place(buffer, contiguous(shape)))
        if not isinstance(group.node, Contraction) or 0 in shape or group.node.name in skip:
            continue
        wanted = wanted_for(schedule or Schedule(()), kernel_name(program, group))
        if wanted is not None and not (isinstance(wanted, Tiled) and wanted.ahead):
            continue
        pack = _pack(group, types, held, output, constants, core, wanted, stream, workspace_bytes)
        if pack is not None:  # layers that share their weights share the panels
            name = packs.setdefault(replace(pack, name=""), pack.name)
            panels[group.node.name] = name
            if name == pack.name:
                made.append(pack)
    inputs = tuple(Input(pack.name, pack.type) for pack in made)
    wider = replace(program, inputs=(*program.inputs, *inputs))
    return Prepared(wider, tuple(made), panels)


def _pack(
    group: Group,
    types: Mapping[str, TensorType],
    places: Mapping[str, Place],
    output: Place,
    constants: AbstractSet[str],
    core: Core,
    wanted: Tiled | None,
    stream: bool,
    workspace_bytes: int,
) -> Contraction | None:
    node = group.node
    if not isinstance(node, Contraction):
        return None
    if not any(read.tensor in constants for read in reads(node.body)):
        return None
    found = flat_piece(group, node, types, places, output)
    if found is None:
        return None
    piece, merged, target = found
    if stream and wanted is None:
        found = streamed(merged, target, core, workspace_bytes, ahead=True)
        if isinstance(found, Stream):
            return None
    problem = recognise(merged, target)
    if isinstance(problem, str):
        return None
    plan: Tiled | str
    if wanted is None:
        plan = model.choose(problem, core, ahead=True, workspace_bytes=workspace_bytes)
    else:
        why = illegal(problem, wanted, core, ahead=True, workspace_bytes=workspace_bytes)
        plan = why or wanted
    if isinstance(plan, str) or plan.row is None:
        return None
    tensor = _constant(problem, plan, constants)
    return None if tensor is None else _packing(node, piece, plan, tensor)


def flat_piece(
    group: Group,
    node: Contraction,
    types: Mapping[str, TensorType],
    places: Mapping[str, Place],
    output: Place,
) -> tuple[Piece, FlatPiece, Target] | None:
    """The only piece of a contraction, also with its loops merged; None when there are several."""
    if node.default is not None:
        return None
    pieces = pieces_of(node, dict(types))
    if len(pieces) != 1 or len(pieces[0].parts) != 1:
        return None
    after = None if group.epilogue is None else Epilogue(group.epilogue, node.name)
    target = Target(node.agg, node.body.dtype, node.type.dtype, output.buffer, None)
    flat = flatten(pieces[0], places, output, None, after)
    return pieces[0], merge_loops(flat), target


def _constant(problem: Product, plan: Tiled, constants: AbstractSet[str]) -> str | None:
    """The constant that is the whole moving operand, the same for all other outputs."""
    operand, _ = problem.split(plan.vector, plan.row)
    if not isinstance(operand.body, Read) or operand.body.tensor not in constants:
        return None
    if operand.body.dtype != problem.dtype:
        return None
    others = [axis.name for axis in problem.axes if axis.name != plan.vector]
    return None if any(operand.moves(name) for name in others) else operand.body.tensor


def _packing(node: Contraction, piece: Piece, plan: Tiled, tensor: str) -> Contraction | None:
    """The contraction that makes the panels; None when the vector loop was merged from several."""
    if all(axis.name != plan.vector for axis in piece.axes):
        return None
    vector = next(axis for axis in piece.axes if axis.name == plan.vector)
    part = piece.parts[0]
    found = [read for read in reads(part.body) if read.tensor == tensor]
    if len(found) != 1:
        return None
    (read,) = found
    width = plan.width
    column = Affine(((LANE, Fraction(1)), (PANEL, Fraction(width))), Fraction(vector.low))
    steps = {axis.name: Affine.index(axis.name) + Affine.number(axis.low) for axis in part.axes}
    names = (PANEL, *(axis.name for axis in part.axes), LANE)
    shape = (-(-vector.extent // width), *(axis.extent for axis in part.axes), width)
    return Contraction(
        name=f"{node.name}.panels",
        type=TensorType(read.dtype, shape),
        indices=names,
        agg=Aggregation.ASSIGN,
        output=tuple(map(Affine.index, names)),
        body=at_indices(read, {vector.name: column, **steps}),
        span=node.span,
    )
