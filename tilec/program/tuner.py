"""The work of ``tilec.tune``: kernel by kernel, a search with a child process and a clock."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tilec.errors import TargetError
from tilec.program import findings, ways
from tilec.program.compile import built
from tilec.program.frontend import Frontend
from tilec.program.pipeline import core_of
from tilec.program.recipe import Recipe
from tilec.program.trials import LAUNCH, Clock, Trials
from tilec.program.tuned import Progress, TunedKernel, Tuning
from tilec.program.ways import Choice, widened
from tilec.records import dataclass
from tilec.runtime.calibrations import stored
from tilec.runtime.tunings import Finding, tunings
from tilec.schedule.explain import limits_of, speed_of_light
from tilec.schedule.search import INTERRUPTED, Found, Search
from tilec.schedule.space import Space
from tilec.schedule.values import KernelSchedule, Rewritten, Schedule
from tilec.target.calibration import machine_title
from tilec.target.host import host

_GUESSED: Final = 0.7
"""Share of the shortest time that holds on a machine that is not calibrated: its clock is a guess,
and processors run faster than they say."""


@dataclass(frozen=True, slots=True)
class Task:
    """A kernel to be tuned, and those that are like it.

    Attributes:
        key: Under which a finding is kept.
        title: What it computes.
        names: The kernels; the first of them runs.
        space: What may be tried.
        first: What the model chose.
        schedule: What was found for the kernels that it comes from.
        light_seconds: The shortest possible time.
    """

    key: str
    title: str
    names: tuple[str, ...]
    space: Space
    first: KernelSchedule
    light_seconds: float
    schedule: Schedule = Schedule(())


@dataclass(frozen=True, slots=True)
class Tuner:
    """One run of the tuner.

    Attributes:
        text: The program.
        recipe: What it is compiled for.
        seconds: The budget of all kernels.
        seed: Of the made-up numbers.
        keep: Whether findings go into the store.
        progress: Told about the search.
        launch: Program of the child process.
        clock: What the budget is measured with.
    """

    text: Frontend
    recipe: Recipe
    seconds: float
    seed: int = 0
    keep: bool = True
    progress: Progress = lambda kernel, tried, share, used: None
    launch: str = LAUNCH
    clock: Clock = time.monotonic

    def run(self) -> Tuning:
        """Tune each kernel; see ``tilec.tune``."""
        started = self.clock()
        # The search starts from the model's choice, whatever was found before.
        recipe = replace(self.recipe, options=replace(self.recipe.options, tuned=False))
        tasks = tasks_of(self.text, recipe)
        store = tunings() if self.keep else None
        machine = findings.machine(recipe.options)
        kernels: list[TunedKernel] = []
        best: dict[str, KernelSchedule] = {}
        if store is not None and tasks:
            store.put([])  # what cannot be written warns before the search, not after it
        kept = store is not None and bool(tasks)
        skipped: list[tuple[str, str]] = []
        while tasks:
            task = tasks.pop(0)
            # Each of the kernels that are left has an equal part of what is left.
            left = max(0.0, self.seconds - (self.clock() - started)) / (len(tasks) + 1)
            known = {} if store is None else store.schedules(machine, [task.key])
            found, refused = self._tune(task, recipe, started, left, known.get(task.key))
            if found is None:
                why = refused.get(task.first, "it broke while it was measured")
                skipped += [(name, why) for name in task.names]
                continue
            kernels.append(_told(task, found, refused))
            best.update((name, found.plan) for name in task.names)
            if store is not None:
                # Now, not at the end: whoever interrupts the next search keeps this one's result.
                kept = store.put([_finding(task, found, machine)]) and kept
            if found.reason == INTERRUPTED:
                raise KeyboardInterrupt
            if _is_other(found.plan, task.first):
                tasks += self._made(recipe, Schedule.of(best), tasks)
        if skipped and not kernels:
            name, why = skipped[0]
            raise TargetError(f"the kernel {name} cannot be run in a child process: {why}")
        took = self.clock() - started
        return Tuning(tuple(kernels), Schedule.of(best), kept, took, tuple(skipped))

    def _made(self, recipe: Recipe, best: Schedule, tasks: Sequence[Task]) -> list[Task]:
        """Kernels that are there with the best schedules so far, and were not before."""
        known = {*best, *(name for task in tasks for name in task.names)}
        made = tasks_of(self.text, replace(recipe, schedule=best))
        return [replace(task, schedule=best) for task in made if not known & {*task.names}]

    def _tune(
        self, task: Task, recipe: Recipe, started: float, left: float, known: str | None
    ) -> tuple[Found | None, dict[KernelSchedule, str]]:
        """The outcome for one kernel, if it can be run, and the schedules that were refused."""
        name, deadline = task.names[0], self.clock() + left
        recipe = replace(recipe, schedule=task.schedule if len(task.schedule) else None)

        def tell(tried: int, share: float) -> None:
            self.progress(name, tried, share, min(1.0, (self.clock() - started) / self.seconds))

        bench = Trials(
            recipe,
            name,
            deadline=deadline,
            seed=self.seed,
            clock=self.clock,
            launch=self.launch,
        )
        before = findings.parsed(known or "")
        tell(0, 1.0)
        try:
            known_too = () if before is None else (before,)
            space = widened(Choice(task.space, task.first), name, self.text, recipe)
            search = Search(space, bench, task.first, task.light_seconds, tell, known_too)
            found = search.run()
            if found is None:
                return None, bench.refused
            found = _confirmed(found, task, bench)
        finally:
            bench.close()
        tell(found.tried, found.seconds / found.first_seconds)
        return found, bench.refused


def tasks_of(text: Frontend, recipe: Recipe) -> list[Task]:
    """The kernels that have a choice, those that are alike together."""
    part = built(text, recipe).main
    core = core_of(recipe.options)
    calibration = stored()
    limits = limits_of(core, calibration)
    trust = _GUESSED if calibration is None else 1.0
    kernels = part.module.called()
    found: dict[str, Task] = {}
    for decision in part.decisions:
        kernel = kernels[decision.kernel]
        key = findings.key(kernel, decision.ahead, recipe)
        if key in found:
            names = (*found[key].names, decision.kernel)
            found[key] = replace(found[key], names=names)
            continue
        choice = ways.choice(part, decision, core, recipe.options)
        if choice is None:
            continue
        size = sum((each.high - each.low) * each.type.dtype.bytes for each in kernel.params)
        flops = ways.least_flops(part, decision)
        light = trust * speed_of_light(decision.problem, flops, size, limits).seconds
        title = findings.title(kernel)
        found[key] = Task(key, title, (kernel.name,), choice.space, choice.first, light)
    return list(found.values())


def _is_other(found: KernelSchedule, first: KernelSchedule) -> bool:
    """Whether a schedule may need other kernels than the first one: it is of another kind."""
    return found != first and (isinstance(found, Rewritten) or type(found) is not type(first))


def _confirmed(found: Found, task: Task, bench: Trials) -> Found:
    """The outcome, if the whole program is right with it; else the first schedule."""
    if found.plan == task.first:
        return found
    schedule = Schedule.of(dict.fromkeys(task.names, found.plan))
    why = bench.confirm(schedule)
    if why is None:
        return found
    bench.refused[found.plan] = why
    return replace(found, plan=task.first, seconds=found.first_seconds, reason=why)


def _finding(task: Task, found: Found, machine: str) -> Finding:
    return Finding(
        machine=machine,
        key=task.key,
        title=machine_title(host()),
        kernel=task.title,
        schedule=str(found.plan),
        seconds=found.seconds,
        first_seconds=found.first_seconds,
    )


def _told(task: Task, found: Found, refused: dict[KernelSchedule, str]) -> TunedKernel:
    return TunedKernel(
        kernels=task.names,
        first=str(task.first),
        best=str(found.plan),
        first_seconds=found.first_seconds,
        seconds=found.seconds,
        light_seconds=task.light_seconds,
        tried=found.tried,
        refused=tuple((str(plan), why) for plan, why in refused.items()),
        reason=found.reason,
    )
