"""Stream, register tile or plain loops: what a reduction becomes that several can compute.

A product with a few columns is a matrix-vector product for each of them, and a small product of
matrices. As a stream it reads the large operand once, where it lies; as a tile it uses what is
read more often. Both have a cost model, and the one that predicts less time is believed. A tile
whose lanes lie far apart, or are few, loses to plain loops with lanes along the reduction.
"""

from __future__ import annotations

from dataclasses import replace

from tilec.lower.decide import Decision, Planned
from tilec.lower.flatten import FlatPiece
from tilec.lower.loops import Target
from tilec.lower.nests import nests_of
from tilec.lower.plan import choose, parallel
from tilec.lower.recognise import recognise
from tilec.lower.streams import reduction
from tilec.records import dataclass
from tilec.schedule import model, stream
from tilec.schedule.product import Product
from tilec.schedule.reduction import Reduction
from tilec.schedule.roofs import loops_seconds
from tilec.schedule.values import Streamed, Tiled
from tilec.target.core import Core

LOOPS_WIN = 0.25
"""Share of a tile's predicted time below which plain loops are believed: what is predicted for them
are roofs, which they do not reach."""


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
        if isinstance(tile, Tiled) and _tile_over_stream(product, tile, problem, plan, core) < 1:
            return f"'{tile}' takes less time"
    return Stream(problem, plan)


def _tile_over_stream(
    product: Product, tile: Tiled, problem: Reduction, plan: Streamed, core: Core
) -> float:
    """Predicted time of a tile over that of a stream, both on one thread."""
    busy = model.cycles(product, core, tile) / (core.gigahertz * 1e9)
    return max(busy, stream.reading(problem, core)) / stream.seconds(problem, core, plan)


def lost(decision: Decision, core: Core, workspace_bytes: int) -> tuple[str, float] | None:
    """The best stream that lost to a tile, or tile that lost to a stream; None where there is none.

    Args:
        decision: The kernel.
        core: The processor.
        workspace_bytes: Limit of scratch memory.

    Returns:
        The schedule, and its predicted time over that of the chosen one.
    """
    if decision.source is None:
        return None
    flat, target = decision.source
    match decision.plan:
        case Tiled() as tile if isinstance(decision.problem, Product):
            problem = reduction(flat, target)
            if isinstance(problem, str):
                return None
            plan = stream.choose(problem, core, workspace_bytes)
            if isinstance(plan, str):
                return None
            return str(plan), 1 / _tile_over_stream(decision.problem, tile, problem, plan, core)
        case Streamed() as plan if isinstance(decision.problem, Reduction):
            product = recognise(flat, target)
            if isinstance(product, str):
                return None
            tile = model.choose(product, core, ahead=False, workspace_bytes=workspace_bytes)
            if isinstance(tile, str):
                return None
            return str(tile), _tile_over_stream(product, tile, decision.problem, plan, core)
        case _:
            return None


def tiled(
    flat: FlatPiece,
    target: Target,
    problem: Product,
    core: Core,
    workspace_bytes: int,
    lanes: int,
    *,
    ahead: bool = False,
) -> Tiled | str:
    """The register tile that the cost models prefer for a piece, or the reason why it is none.

    Args:
        flat: The piece.
        target: What it computes.
        problem: The piece as a product.
        core: The processor.
        workspace_bytes: Limit of scratch memory.
        lanes: Of a register for the widest type of the piece.
        ahead: Whether its panels are made before the call.
    """
    tile = model.choose(problem, core, ahead=ahead, workspace_bytes=workspace_bytes)
    if isinstance(tile, str) or ahead:
        return tile
    plan = choose(flat, target.agg, lanes)
    plan = replace(plan, parallel=parallel(flat, plan))
    loops = loops_seconds(nests_of(Planned(flat, plan, target.output.type.dtype.bytes)), core)
    threads = 1 if tile.parallel is None else core.threads
    busy = model.cycles(problem, core, tile) / threads / (core.gigahertz * 1e9)
    return f"plain loops take less time than '{tile}'" if loops < LOOPS_WIN * busy else tile
