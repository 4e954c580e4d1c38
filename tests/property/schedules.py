"""Random schedules for a compiled program: mostly of its own loops, legal or not."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import strategies as st

import tilec
from tilec.schedule.values import KernelSchedule, Loops, Plan, Streamed, Tiled

_LOOP = re.compile(r"for (\S+) in ")
_BLOCKS = st.sampled_from([0, 0, 0, 1, 2, 5, 8, 17, 64])


def loop_names(executable: tilec.Executable) -> list[str]:
    """Names of the loops of all kernels; those that the compiler adds come last."""
    found = _LOOP.findall(executable.source("kernel"))
    for schedule in executable.schedule.values():
        own: list[str | None] = []
        if isinstance(schedule, Loops):
            own = [name for plan in schedule.plans for name in (plan.vector, plan.parallel)]
        elif isinstance(schedule, Tiled | Streamed):
            own = [schedule.vector, schedule.row, schedule.parallel]
        found += [name for name in own if name is not None]
    return sorted(dict.fromkeys(found), key=lambda name: name.startswith(".")) or ["i"]


@st.composite
def schedules(draw: st.DrawFn, executable: tilec.Executable) -> tilec.Schedule:
    """A schedule for some of the kernels of a program."""
    every = loop_names(executable)
    usual = [name for name in every if not name.startswith(".")] or every
    names = every if draw(st.integers(0, 9)) == 0 else usual
    found: dict[str, KernelSchedule] = {}
    for kernel, chosen in executable.schedule.items():
        if found and draw(st.integers(0, 2)) == 0:
            continue
        if isinstance(chosen, Streamed) and draw(st.booleans()):
            found[kernel] = draw(_streams(chosen))
        elif draw(st.integers(0, 9)) < (5 if isinstance(chosen, Tiled) else 1):
            found[kernel] = draw(_tiles(chosen, names))
        else:
            found[kernel] = draw(_loops(chosen, names))
    return tilec.Schedule.of(found)


@st.composite
def _tiles(draw: st.DrawFn, chosen: KernelSchedule, names: list[str]) -> Tiled:
    """A tile: of the chosen loops, mostly."""
    vector, row = draw(st.sampled_from(names)), draw(st.sampled_from([*names, None]))
    divided: list[str | None] = [None, vector, row]
    if isinstance(chosen, Tiled) and draw(st.integers(0, 4)) > 0:
        vector, row = chosen.vector, draw(st.sampled_from([chosen.row, chosen.row, None]))
        divided = [None, vector, row, chosen.parallel]
    pack_row = row is not None and draw(st.integers(0, 2)) == 0
    parallel = draw(st.sampled_from(divided))
    if draw(st.integers(0, 4)) == 0:
        parallel = draw(st.sampled_from(names))
    rows = 1 if row is None else draw(st.sampled_from([1, 1, 2, 3, 4, 5, 7, 8, 12]))
    turn = draw(st.sampled_from([None, None, row, *names]))
    if row is not None and draw(st.integers(0, 3)) == 0:
        vector, row, turn = row, vector, vector  # what lies side by side becomes the rows
    return Tiled(
        vector,
        row,
        rows,
        draw(st.sampled_from([2, 4, 4, 8, 8, 16])),
        draw(st.integers(1, 2 if rows > 6 else 4)),
        pack_vector=draw(st.booleans()),
        pack_row=pack_row,
        reduce_block=draw(_BLOCKS),
        row_block=draw(_BLOCKS) if pack_row else 0,
        tasks=1 if parallel is None else draw(st.integers(1, 5)),
        parallel=parallel,
        turn=turn,
        reduce_loop=draw(st.sampled_from([None, None, *names])),
    )


@st.composite
def _streams(draw: st.DrawFn, chosen: Streamed) -> Streamed:
    """The chosen stream with other sizes."""
    return replace(
        chosen,
        lanes=draw(st.sampled_from([chosen.lanes, 4, 8])),
        rows=1 if chosen.row is None else draw(st.sampled_from([chosen.rows, 1, 2, 4])),
        span=draw(st.sampled_from([chosen.span, 0, 64])),
        parallel=draw(st.sampled_from([chosen.parallel, None])),
        pack=draw(st.booleans()),
    )


@st.composite
def _loops(draw: st.DrawFn, chosen: KernelSchedule, names: list[str]) -> Loops:
    """Plans for as many pieces as there are, or for one."""
    count = len(chosen.plans) if isinstance(chosen, Loops) else 1
    plans: list[Plan] = []
    for at in range(draw(st.sampled_from([1, count, count]))):
        before = chosen.plans[min(at, count - 1)] if isinstance(chosen, Loops) else None
        vector = draw(st.sampled_from([*names, *names, None]))
        reduction = vector is not None and draw(st.booleans())
        parallel = draw(st.sampled_from([*names, *[None] * (2 * len(names))]))
        if before is not None and draw(st.booleans()):
            parallel = before.parallel
        if before is not None and draw(st.booleans()):
            vector, reduction = before.vector, before.reduction
        lanes = 1 if vector is None else draw(st.sampled_from([2, 2, 4, 4, 4, 8]))
        plans.append(Plan(vector, lanes, reduction, parallel))
    return Loops(tuple(plans))
