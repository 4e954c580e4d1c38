"""The random generator: ``prng_step``, ``prng_value`` and ``prng_state``."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from tilec.dtypes import F32, U32
from tilec.errors import TileTypeError
from tilec.lang.lower.builder import Frame
from tilec.lang.lower.values import RandomStep, Tensor
from tilec.source import Span
from tilec.tensor import uses
from tilec.tensor.ir import Node, Program, RandomState, RandomValue, TensorType
from tilec.tensor.size import Size, SizeExpr

STATE = TensorType(U32, (3, 2048))


def step(state: Tensor, shape: tuple[Size, ...], span: Span) -> RandomStep:
    """The values that a state will give.

    Raises:
        TileTypeError: the state is not u32[3, 2048].
    """
    if state.type == STATE:
        return RandomStep(state, shape)
    raise TileTypeError(
        f"the state of a random generator is {STATE}, but this is {state.type}",
        span,
        help="pass the state first, then the sizes: prng_step(S, N, M)",
    )


def draw(function: str, value: RandomStep, frame: Frame, name: str, span: Span) -> Tensor:
    """The values of a step, or the state after it."""
    if function == "prng_value":
        type_ = TensorType(F32, value.shape)
        return frame.add(RandomValue(name, type_, value.state.name, span=span))
    count = _count(value.shape)
    return frame.add(RandomState(name, STATE, value.state.name, count, span=span))


def _count(shape: tuple[Size, ...]) -> Size:
    known = [size for size in shape if isinstance(size, int)]
    total: Size = prod(known)
    for size in shape:
        if isinstance(size, SizeExpr):
            total = size if total == 1 else SizeExpr("mul", (total, size))
    return total


def settle(program: Program) -> Program:
    """Leave a state unchanged where the values that were to be drawn from it are not used.

    PlaidML draws value and state in one kernel, which goes when its values go.
    """
    live = uses.needed(program)
    drawn = {
        (node.state, _count(node.type.shape))
        for node in program.nodes
        if isinstance(node, RandomValue) and node.name in live
    }
    instead: dict[str, str] = {}
    nodes: list[Node] = []
    for node in program.nodes:
        if isinstance(node, RandomState) and (node.state, node.count) not in drawn:
            instead[node.name] = instead.get(node.state, node.state)
        else:
            nodes.append(uses.reading(node, instead))
    if not instead:
        return program
    outputs = (replace(o, value=instead.get(o.value, o.value)) for o in program.outputs)
    return replace(program, nodes=tuple(nodes), outputs=tuple(outputs))
