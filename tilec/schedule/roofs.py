"""Roofs over the time of a kernel (Williams et al. 2009): arithmetic, loads, stores, each level of
memory. The time that is predicted for plain loops is that under the lowest of them.

The bytes that a level delivers are counted by loops: from the inside out, the loops whose data
together fit into the cache before it are run on that data; each iteration of the loops around
them fetches it again, unless it stays the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from tilec.records import dataclass
from tilec.schedule.footprint import passes
from tilec.schedule.product import Product
from tilec.schedule.values import Tiled
from tilec.target.core import Core

BROADCAST_SHARE = 0.25
"""Loads of one scalar per vector of a kernel whose values span four registers."""

GATHER_LOADS = 1.0
"""Loads per lane of an access without unit stride."""


@dataclass(frozen=True, slots=True)
class Stream:
    """The reads or writes of one array element per iteration.

    Attributes:
        bytes: Of an element.
        strides: Elements between iterations of each loop of the nest, by position.
        writes: Whether it is a store.
        per_element: Whether it happens once per element of the output, outside the reduction.
    """

    bytes: int
    strides: tuple[int, ...]
    writes: bool = False
    per_element: bool = False


@dataclass(frozen=True, slots=True)
class Nest:
    """One piece of a kernel of plain loops.

    Attributes:
        extents: Iterations of each loop, outermost first; the last one is that of the lanes.
        lanes: Elements of a vector; 1 for scalar code.
        streams: What is read and written.
        cycles: Of the arithmetic of one vector.
        divided: Whether threads share it.
    """

    extents: tuple[int, ...]
    lanes: int
    streams: tuple[Stream, ...]
    cycles: float
    divided: bool

    @property
    def vectors(self) -> int:
        """How often the body runs."""
        return prod(self.extents[:-1]) * -(-self.extents[-1] // self.lanes)

    def loads(self) -> float:
        """Load instructions."""
        return sum(self._instructions(each) for each in self.streams if not each.writes)

    def stores(self) -> float:
        """Store instructions."""
        return sum(self._instructions(each) for each in self.streams if each.writes)

    def moved_bytes(self, cache: int, line: int) -> int:
        """Bytes that come from beyond a cache of some size, or go there."""
        inner = len(self.extents)
        while inner and sum(self._held(s, inner - 1, line) for s in self.streams) <= cache:
            inner -= 1
        total = 0
        for stream in self.streams:
            fetched = self._held(stream, inner, line)
            outer = zip(self.extents[:inner], stream.strides[:inner], strict=True)
            if stream.per_element:
                fetched *= prod(extent for extent, stride in outer if stride)
            elif any(stream.strides[:inner]):
                fetched *= prod(extent for extent, _ in outer)
            total += fetched
        return total

    def _instructions(self, stream: Stream) -> float:
        along = stream.strides[-1]
        moved = [at for at, stride in enumerate(stream.strides[:-1]) if stride]
        if stream.per_element:
            around = prod(self.extents[at] for at in moved)
        elif along:
            around = prod(self.extents[:-1])
        else:  # a scalar is loaded where the innermost loop that moves it stands
            around = prod(self.extents[: max(moved, default=-1) + 1])
        if along == 0:
            return around * (BROADCAST_SHARE if self.lanes > 1 else 1.0)
        vectors = around * -(-self.extents[-1] // self.lanes)
        return vectors * (1.0 if abs(along) == 1 else GATHER_LOADS * self.lanes)

    def _held(self, stream: Stream, inner: int, line: int) -> int:
        """Bytes of the lines that the loops from ``inner`` on touch."""
        pairs = zip(self.extents[inner:], stream.strides[inner:], strict=True)
        moving = [(abs(stride), extent) for extent, stride in pairs if stride]
        elements = prod(extent for _, extent in moving)
        nearest = min((stride for stride, _ in moving), default=1)
        return elements * min(max(nearest * stream.bytes, stream.bytes), line)


@dataclass(frozen=True, slots=True)
class Roof:
    """One bound of a kernel's time under its schedule."""

    name: str
    seconds: float


def instruction_roofs(nests: Sequence[Nest], core: Core, hertz: float) -> list[Roof]:
    """Arithmetic, loads and stores of plain loops."""
    compute = loads = stores = 0.0
    for nest in nests:
        threads = core.threads if nest.divided else 1
        compute += nest.vectors * nest.cycles / threads
        loads += nest.loads() / core.loads_per_cycle / threads
        stores += nest.stores() / threads
    cycles = {"compute": compute, "load": loads, "store": stores}
    return [Roof(name, count / hertz) for name, count in cycles.items()]


def loops_seconds(nests: Sequence[Nest], core: Core) -> float:
    """The predicted time of plain loops: of the instructions, or of a cache or memory."""
    hertz = core.gigahertz * 1e9
    threads = core.threads if any(nest.divided for nest in nests) else 1
    seconds = [roof.seconds for roof in instruction_roofs(nests, core, hertz)]
    names = [*(name for name, _ in core.levels), "memory"]
    for (_, held), beyond in zip(core.levels, names[1:], strict=True):
        # What all cores hold together is what one has as its share.
        moved = sum(
            nest.moved_bytes(held * threads // core.threads, core.line_bytes) for nest in nests
        )
        seconds.append(moved / core.bandwidth(beyond, threads))
    return max(seconds)


def tile_roofs(problem: Product, plan: Tiled, core: Core, hertz: float) -> list[Roof]:
    """Arithmetic, loads and stores of a register tile; ``hertz`` are those of all its threads."""
    extents = {axis.name: axis.extent for axis in problem.axes}
    steps = prod(axis.extent for axis in problem.reductions)
    width, high = plan.width, 1 if plan.row is None else extents[plan.row]
    others = prod(extents.values()) // (extents[plan.vector] * high)
    tiles = others * -(-extents[plan.vector] // width) * -(-high // plan.rows)
    registers = plan.rows * plan.vectors
    cycles = {
        "compute": tiles * steps * registers / core.fma_per_cycle,
        "load": tiles
        * (steps * (plan.rows + plan.vectors) + registers * (passes(problem, plan) - 1))
        / core.loads_per_cycle,
        "store": tiles * registers * passes(problem, plan),
    }
    return [Roof(name, count / hertz) for name, count in cycles.items()]


def stream_roofs(flops: int, read_bytes: int, core: Core, hertz: float) -> list[Roof]:
    """Arithmetic and loads of a stream, f32; ``hertz`` are those of all its threads."""
    cycles = {
        "compute": flops / (2 * core.lanes(4) * core.fma_per_cycle),
        "load": read_bytes / (core.loads_per_cycle * max(core.vector_bytes, 8)),
    }
    return [Roof(name, count / hertz) for name, count in cycles.items()]
