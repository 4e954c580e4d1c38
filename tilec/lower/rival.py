"""Stream or register tile: what a reduction becomes that both can compute.

A product with a few columns is a matrix-vector product for each of them, and a small product of
matrices. As a stream it reads the large operand once, where it lies; as a tile it uses what is
read more often. Both have a cost model, and the one that predicts less time is believed.
"""

from __future__ import annotations

from tilec.lower.flatten import FlatPiece
from tilec.lower.loops import Target
from tilec.lower.recognise import recognise
from tilec.lower.streams import reduction
from tilec.records import dataclass
from tilec.schedule import model, stream
from tilec.schedule.reduction import Reduction
from tilec.schedule.values import Streamed
from tilec.target.core import Core


@dataclass(frozen=True, slots=True)
class Stream:
    """A reduction and the stream that computes it."""

    problem: Reduction
    plan: Streamed


def streamed(
    flat: FlatPiece,
    target: Target,
    core: Core,
    workspace_bytes: int,
    *,
    tiles: bool = True,
    ahead: bool = False,
) -> Stream | str:
    """The stream that the cost models prefer for a piece, or the reason why it is none.

    Args:
        flat: The piece.
        target: What it computes.
        core: The processor.
        workspace_bytes: Limit of scratch memory.
        tiles: Whether it may be a register tile.
        ahead: Whether that could have its panels made before the call.
    """
    problem = reduction(flat, target)
    if isinstance(problem, str):
        return problem
    plan = stream.choose(problem, core, workspace_bytes)
    if isinstance(plan, str):
        return plan
    # What is used once is bound by reading it, and no tile reads it faster.
    product = recognise(flat, target) if tiles and plan.share is not None else "used once"
    if not isinstance(product, str):
        tile = model.choose(product, core, ahead=ahead, workspace_bytes=workspace_bytes)
        if not isinstance(tile, str):
            busy = model.cycles(product, core, tile) / (core.gigahertz * 1e9)
            if max(busy, stream.reading(problem, core)) < stream.seconds(problem, core, plan):
                return f"'{tile}' takes less time"
    return Stream(problem, plan)
