"""Explains an executable: what the cost model chose, and what the machine made of it."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from tilec.dtypes import Kind
from tilec.errors import ArgumentError, ScheduleError
from tilec.kernel.ir import INDEX, Buffer, Call, Kernel, Module
from tilec.lower import rival
from tilec.lower.decide import Decision, Planned
from tilec.lower.nests import nests_of
from tilec.program.compile import built
from tilec.program.frontend import Frontend
from tilec.program.pipeline import Part, core_of
from tilec.program.recipe import Recipe
from tilec.runtime.arrays import Array, allocate, numpy_dtype
from tilec.runtime.backend import Backend, ClockedBackend, find_backend
from tilec.runtime.calibrations import stored
from tilec.schedule.explain import (
    Explanation,
    KernelReport,
    MethodReport,
    Rejected,
    limits_of,
    rejected,
    rejected_groups,
    rejected_streams,
    report,
)
from tilec.schedule.grouped import Grouped
from tilec.schedule.product import Product
from tilec.schedule.reduction import Reduction
from tilec.schedule.roofs import Nest
from tilec.schedule.values import SCHEDULE_LINE, Loops, Plan, Schedule, Streamed, Tiled

_SAMPLES: Final = 7
_SECONDS: Final = 0.2
_CLOCK: Final = "clock of the calls"
_CHANGE: Final = re.compile(r"([\w.']+)=(\d+)")


def explain(
    frontend: Frontend, recipe: Recipe, *, what_if: str | None = None, measure: bool = True
) -> Explanation:
    """Compile again, look at each kernel, and run it on made-up numbers.

    Args:
        frontend: The function.
        recipe: What it was compiled for.
        what_if: Another tile, such as ``i=6,j=64``, for the kernels whose loops have these names.
        measure: False leaves the runs out.
    """
    if recipe.options.target == "reference":
        raise ArgumentError("the reference evaluator has no kernels to explain")
    if what_if is not None:
        first = built(frontend, recipe).main
        recipe = replace(recipe, schedule=changed(first, what_if, recipe.schedule))
    part = built(frontend, recipe).main
    backend = find_backend(recipe.options.target)
    core = core_of(recipe.options)
    limits = limits_of(core, stored() if recipe.options.cpu is None else None)
    decisions = {each.kernel: each for each in part.decisions}
    measured: Mapping[str, float] = {}
    if measure and recipe.options.cpu is None:
        measured = _measured(part.module, backend, recipe)
    kernels = part.module.called()
    reports: list[KernelReport] = []
    for call in part.module.calls:
        decision = decisions.get(call.name)
        kernel = kernels[call.name]
        lines = [line for line in kernel.header if line.startswith(SCHEDULE_LINE)]
        problem = "its loops are written directly" if decision is None else decision.problem
        plan = None if decision is None else decision.plan
        limit = recipe.options.workspace_bytes
        lost = ()
        if isinstance(plan, Streamed) and isinstance(problem, Reduction):
            lost = rejected_streams(problem, plan, core)
        if isinstance(plan, Grouped) and isinstance(problem, Product) and core.gpu is not None:
            lost = rejected_groups(problem, plan, core.gpu)
        if decision is not None and isinstance(plan, Tiled) and isinstance(problem, Product):
            lost = rejected(problem, plan, core, decision.ahead, limit)
        other = None if decision is None else rival.lost(decision, core, limit)
        if other is not None:
            lost = (Rejected(*other), *lost)
        reports.append(
            report(
                call.name,
                problem,
                plan,
                lines[0].removeprefix(SCHEDULE_LINE) if lines else "none",
                0 if decision is None else decision.flops,
                _bytes(part.module, call, kernel),
                core,
                limits,
                nests=() if decision is None else _nests(decision),
                lost=lost,
                methods=_methods(part, call.name, limits.hertz),
                measured=measured.get(call.name),
                fused=() if decision is None else decision.fused,
                saved_bytes=0 if decision is None else decision.saved_bytes,
            )
        )
    held = tuple((each.buffer.name, each.buffer.bytes) for each in part.module.temporaries)
    return Explanation(limits, tuple(reports), held)


def _bytes(module: Module, call: Call, kernel: Kernel) -> int:
    """Bytes of what a kernel reads and writes; of rows that lie apart without what is between."""
    views = {view.buffer.name: view for view in module.views}
    return sum(
        buffer.bytes if name not in views else min(buffer.bytes, views[name].bytes)
        for name, buffer in zip(call.args, kernel.params, strict=True)
    )


def _methods(part: Part, kernel: str, hertz: float) -> tuple[MethodReport, ...]:
    """The methods that were considered for a convolution."""
    found = () if part.methods is None else part.methods.considered.get(kernel, ())
    return tuple(
        MethodReport(each.name, each.flops, each.depth, each.workspace_bytes, each.cycles / hertz)
        for each in found
    )


def _nests(decision: Decision) -> tuple[Nest, ...]:
    return tuple(nest for piece in decision.pieces for nest in nests_of(piece))


def changed(part: Part, what_if: str, before: Schedule | None) -> Schedule:
    """The schedule with other extents of tiles, or another vector loop of plain loops.

    Raises:
        ScheduleError: it cannot be read, or no kernel has such loops.
    """
    extents: dict[str, int] = {}
    for item in what_if.split(","):
        match = _CHANGE.fullmatch(item.strip())
        if match is None:
            raise ScheduleError(f"{item!r} cannot be read", help="write loops like i=6,j=64")
        extents[match.group(1)] = int(match.group(2))
    found = dict(before or {})
    hit = False
    for decision in part.decisions:
        plan = decision.plan
        if isinstance(plan, Tiled) and extents.keys() <= {plan.vector, plan.row}:
            found[decision.kernel] = _with_extents(plan, extents)
            hit = True
        elif plan is None and any(extents.keys() & _loops(each) for each in decision.pieces):
            found[decision.kernel] = _with_vectors(decision, extents)
            hit = True
    if not hit:
        tiles = [str(d.plan) for d in part.decisions if isinstance(d.plan, Tiled)]
        names = [name for d in part.decisions for each in d.pieces for name in _loops(each)]
        raise ScheduleError(
            f"no kernel has a tile over {', '.join(extents)}",
            help=f"the tiles are: {'; '.join(tiles) or 'none'}; "
            f"the plain loops are: {', '.join(dict.fromkeys(names)) or 'none'}",
        )
    return Schedule.of({name: plan for name, plan in found.items() if name})


def _with_extents(plan: Tiled, extents: Mapping[str, int]) -> Tiled:
    width = extents.get(plan.vector, plan.vectors * plan.lanes)
    if width % plan.lanes:
        raise ScheduleError(
            f"{plan.vector}={width} is no multiple of {plan.lanes}, the lanes of a vector"
        )
    rows = extents.get(plan.row, plan.rows) if plan.row is not None else 1
    rows_block = -(-plan.row_block // rows) * rows if plan.row_block and rows else plan.row_block
    return replace(plan, rows=rows, vectors=width // plan.lanes, row_block=rows_block)


def _loops(piece: Planned) -> dict[str, bool]:
    """Loops that could become vectors, and whether they are reductions."""
    found = {axis.name: False for axis in piece.flat.piece.axes}
    for part in piece.flat.piece.parts:
        found |= {axis.name: True for axis in part.axes}
    return found


def _with_vectors(decision: Decision, extents: Mapping[str, int]) -> Loops:
    """Plain loops with vectors of a given length along a given loop; 1 is for scalar code."""
    if len(extents) != 1:
        raise ScheduleError(
            f"{decision.kernel} has plain loops, of which one is made vectors, and no tile: "
            f"{decision.problem}",
            help=f"name one of the loops, such as {next(iter(extents))}=8",
        )
    ((name, lanes),) = extents.items()
    plans: list[Plan] = []
    for piece in decision.pieces:
        known, plan = _loops(piece), piece.plan
        if name in known and lanes == 1:
            plan = Plan(None, 1, parallel=plan.parallel)
        elif name in known:
            parallel = None if plan.parallel == name and len(known) > 1 else plan.parallel
            plan = Plan(name, lanes, known[name], parallel)
        plans.append(plan)
    return Loops.of(tuple(plans))


def _measured(module: Module, backend: Backend, recipe: Recipe) -> Mapping[str, float]:
    """Median time of each kernel: in its place in the program if the code can tell the time.

    So a kernel of a network finds in the caches what the ones before left there, and no more.
    """
    if isinstance(backend, ClockedBackend) and backend.clocked:
        return _clocked(module, backend, recipe)
    found: dict[str, float] = {}
    for call in module.calls:
        kernel = next(each for each in module.kernels if each.name == call.kernel)
        run = _runnable(replace(module, kernels=(kernel,), calls=(call,)), backend, recipe)
        found[call.name] = statistics.median(_samples(run)[1:])
    return found


def _clocked(module: Module, backend: Backend, recipe: Recipe) -> Mapping[str, float]:
    ticks = np.zeros(len(module.calls) + 1, np.int64)
    clock = Buffer(_CLOCK, INDEX, len(ticks), writable=True)
    module = replace(module, outputs=(*module.outputs, clock), clock=_CLOCK)
    run = _runnable(module, backend, recipe, ticks)
    read: list[Array] = []
    begun = time.perf_counter()

    def once() -> None:
        run()
        read.append(ticks.copy())

    _samples(once)
    whole = time.perf_counter() - begun
    rate = whole / float(read[-1][-1] - read[0][0])  # what is not between the two is little
    taken = np.median(np.diff(np.array(read[1:])), axis=0) * rate
    return {call.name: float(each) for call, each in zip(module.calls, taken, strict=True)}


def _samples(run: Callable[[], None]) -> list[float]:
    """Times of a few runs, the first of which finds cold caches."""
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) <= _SAMPLES and (len(times) < 2 or time.perf_counter() - begun < _SECONDS):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return times


def _runnable(
    module: Module, backend: Backend, recipe: Recipe, *known: Array
) -> Callable[[], None]:
    """A call of the module on made-up numbers; ``known`` are the last of its outputs."""
    code = backend.compile(module, recipe.options)
    runner = backend.load(code, module.name, module.workspace_bytes)
    inputs = [_made_up(buffer) for buffer in module.inputs]
    made = module.outputs[: len(module.outputs) - len(known)]
    outputs = [*map(_made_up, made), *known]
    given = [_address(*pair) for pair in zip(inputs, module.inputs, strict=True)]
    taken = [_address(*pair) for pair in zip(outputs, module.outputs, strict=True)]

    def run(kept: object = (inputs, outputs)) -> None:
        runner.run(given, taken, recipe.options.num_threads)

    return run


def _made_up(buffer: Buffer) -> Array:
    """Numbers of a harmless size; zero where they could be indices."""
    dtype = numpy_dtype(buffer.type.dtype)
    array = allocate((max(1, buffer.high - buffer.low),), dtype)
    array[...] = 0.5 if buffer.type.dtype.kind is Kind.FLOAT else 0
    return array


def _address(array: Array, buffer: Buffer) -> int:
    return array.ctypes.data - buffer.low * np.dtype(array.dtype).itemsize
