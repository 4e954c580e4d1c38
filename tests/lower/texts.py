"""Tensor programs and flattened pieces from texts, for the tests of single passes."""

from __future__ import annotations

from collections.abc import Mapping

from tilec.dtypes import F32
from tilec.kernel.ir import Buffer, VType
from tilec.lang.check import check_file
from tilec.lang.lower.program import lower
from tilec.lang.parse import parse
from tilec.lower.buffers import input_places
from tilec.lower.flatten import Epilogue, FlatPiece, flatten, merge_loops
from tilec.lower.groups import groups
from tilec.lower.loops import Target
from tilec.lower.pieces import pieces_of, pieces_of_map
from tilec.lower.translate import Place, contiguous
from tilec.source import Source
from tilec.tensor.ir import Aggregation, Contraction, Map, Program, TensorType
from tilec.tensor.size import concrete


def program(text: str, **inputs: tuple[int, ...] | TensorType) -> Program:
    """The tensor program of a text; an input of which only the shape is given is f32."""
    types = {
        name: given if isinstance(given, TensorType) else TensorType(F32, given)
        for name, given in inputs.items()
    }
    return lower(check_file(parse(Source("<test>", text)))[-1], types)


def flat_pieces(
    made: Program, strides: Mapping[str, tuple[int, ...]] | None = None, *, merge: bool = True
) -> tuple[list[FlatPiece], Target]:
    """The pieces of the last group of a program, all of whose values lie contiguously."""
    types = made.types()
    places = input_places(made, strides or {})
    for node in made.nodes:
        shape = concrete(node.type.shape)
        buffer = Buffer(node.name, VType(node.type.dtype), 1 << 40)
        places[node.name] = Place(buffer, contiguous(shape))
    group = groups(made, fuse=True)[-1]
    node, output = group.node, places[group.result.name]
    after = None if group.epilogue is None else Epilogue(group.epilogue, node.name)
    assert isinstance(node, Contraction | Map)
    if isinstance(node, Map):
        pieces, agg, default = pieces_of_map(node), Aggregation.ASSIGN, None
    else:
        pieces, agg = pieces_of(node, types), node.agg
        default = None if node.default is None else places[node.default]
    flats = [flatten(piece, places, output, default, after) for piece in pieces]
    target = Target(
        agg,
        node.body.dtype,
        node.type.dtype,
        output.buffer,
        None if default is None else default.buffer,
    )
    return [merge_loops(flat) for flat in flats] if merge else flats, target


def flat_piece(
    text: str, strides: Mapping[str, tuple[int, ...]] | None = None, **shapes: tuple[int, ...]
) -> FlatPiece:
    """The only piece of a program of one statement, its loops merged."""
    (flat,), _ = flat_pieces(program(text, **shapes), strides)
    return flat
