"""Chooses the method of large products of matrices: the definition, or Strassen's algorithm.

What Strassen's algorithm saves grows with the third power of the sizes, what it writes out with the
second, so that it pays from some size on (``docs/convolutions.md`` has what was measured).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import ceil, log2
from typing import Final

from tilec.errors import ScheduleError
from tilec.lower.decide import kernel_name, method_for, wanted_for
from tilec.lower.groups import groups
from tilec.options import Options
from tilec.program.convolutions import Method
from tilec.records import dataclass
from tilec.rewrite.strassen import (
    PRODUCTS,
    Multiplication,
    divided,
    multiplication_of,
    written_elems,
)
from tilec.schedule.values import STRASSEN, Schedule
from tilec.target.core import Core
from tilec.tensor.ir import Contraction, Node, Program

LEAST: Final = 4096
"""Sizes below which ``auto`` keeps the definition."""

GAIN: Final = 0.95
"""Share of the predicted time of the definition below which ``auto`` takes the other."""

_SHARE_OF_PEAK: Final = 0.85
"""What products of this size reach."""

_PASSES: Final = 2.5
"""How often an element that is written out goes to memory or comes from there: it is written, which
reads its line first where stores go through the caches, and read once."""


@dataclass(frozen=True, slots=True)
class Products:
    """A program whose products are rewritten where that pays.

    Attributes:
        program: The program.
        considered: By the kernel of each large product, its methods, the fastest first.
        rewritten: By the kernel of each product that is rewritten, how.
    """

    program: Program
    considered: Mapping[str, tuple[Method, ...]]
    rewritten: Mapping[str, str]


def choose_products(
    program: Program, core: Core, options: Options, schedule: Schedule | None
) -> Products:
    """The program with products rewritten where that pays.

    A product that the caller has a schedule for is left as it is, unless that asks for a method.
    """
    off = {"tile", "products"} & set(options.disable) or core.vector_bytes == 0
    if off or (options.product == "direct" and not schedule):
        return Products(program, {}, {})
    types = program.types()
    considered: dict[str, tuple[Method, ...]] = {}
    chosen: dict[str, Multiplication] = {}
    rewritten: dict[str, str] = {}
    for group in groups(program, fuse="fuse" not in options.disable):
        name = kernel_name(program, group)
        given = schedule or Schedule(())
        wanted, method = wanted_for(given, name), method_for(given, name)
        is_left = wanted is not None or method is not None or options.product == "direct"
        if not isinstance(group.node, Contraction) or (is_left and method != STRASSEN):
            continue
        found = multiplication_of(group.node, types)
        if isinstance(found, str):
            if method == STRASSEN:
                raise ScheduleError.illegal(name, given.get(name), found)
            continue
        direct, other = _methods(found, core)
        is_large = min(found.extents.values()) >= LEAST
        is_asked = STRASSEN in (method, options.product)
        if is_asked or (is_large and other.cycles < GAIN * direct.cycles):
            chosen[group.node.name] = found
            rewritten[name] = STRASSEN
        if is_large or is_asked:
            considered[name] = tuple(sorted((direct, other), key=lambda each: each.cycles))
    nodes: list[Node] = []
    for node in program.nodes:
        nodes += divided(chosen[node.name]) if node.name in chosen else (node,)
    return Products(replace(program, nodes=tuple(nodes)), considered, rewritten)


def _methods(found: Multiplication, core: Core) -> tuple[Method, Method]:
    """The definition and Strassen's algorithm, with predicted times."""
    size = found.node.body.dtype.bytes
    rate = core.peak_flops(size) / (core.gigahertz * 1e9) * _SHARE_OF_PEAK
    depth = 1 + ceil(log2(max(2, found.extents[found.step])))
    direct = Method(None, found.flops / rate, found.flops, depth)
    held = written_elems(found) * size
    seconds = _PASSES * held / (core.memory_gigabytes * 1e9)
    # Each element that is written out is a sum of four quarters, or part of one of seven.
    flops = found.flops * PRODUCTS // 8 + 2 * (PRODUCTS + 4) * written_elems(found) // 3
    cycles = direct.cycles * PRODUCTS / 8 + seconds * core.gigahertz * 1e9
    return direct, Method(None, cycles, flops, depth + 4, held, STRASSEN)
