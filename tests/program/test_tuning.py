"""The tuner with real kernels and real children, some of which misbehave."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tilec
from tilec.options import Options
from tilec.program import compile as compile_module
from tilec.program import findings
from tilec.program.code import Compiled
from tilec.program.frontend import Frontend
from tilec.program.pipeline import Observer
from tilec.program.recipe import Recipe
from tilec.program.trials import LAUNCH, Trials
from tilec.program.tuner import Tuner, tasks_of
from tilec.program.tuning import duration
from tilec.runtime.backend import Backend
from tilec.runtime.dispatch import Recent
from tilec.runtime.tunings import Finding, Tunings, tunings
from tilec.schedule.values import Schedule, Tiled

MATMUL = "C[i, j : M, N] = +(A[i, k] * B[k, j])"
SPECS = (tilec.Spec((40, 96)), tilec.Spec((96, 64)))
OTHER = "tile i=3 j=2x4, pack j, reduce block 32"

# A child that does something else when it is to try a tile of three rows.
FAULT = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from tilec.program import trial
admit = trial.Trial.admit
def faulty(self, number, schedule):
    if "i=3 " in schedule:
        {fault}
    return admit(self, number, schedule)
trial.Trial.admit = faulty
trial.main()
"""


def fresh() -> Recent[Compiled]:
    """A memory of code that remembers nothing yet."""
    return Recent(8)


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tunings:
    monkeypatch.setenv("TILEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TILEC_TUNED", raising=False)
    monkeypatch.setattr(compile_module, "_loaded", fresh())
    found = tunings()
    assert found is not None
    return found


def trials(launch: str = LAUNCH, patience: float = 20.0, kernel: str = "main_C") -> Trials:
    recipe = tilec.function(MATMUL).recipe(*SPECS, options=Options(tuned=False))
    deadline = time.monotonic() + 60
    return Trials(recipe, kernel, deadline=deadline, launch=launch, patience=patience)


def teach(store: Tunings, schedule: str, specs: tuple[tilec.Spec, ...] = SPECS) -> Finding:
    """Put a finding for the product into the store, as if it had been found."""
    function = tilec.function(MATMUL)
    recipe = function.recipe(*specs)
    (task,) = tasks_of(function.parts.text, recipe)
    machine = findings.machine(recipe.options)
    found = Finding(machine, task.key, "this", task.title, schedule, 0.5, 1.0)
    assert store.put([found])
    return found


def plan(text: str) -> Tiled:
    (found,) = Schedule.parse(text).values()
    assert isinstance(found, Tiled)
    return found


FIRST, FAULTY, GOOD = map(plan, ("tile i=4 j=2x4, pack j", OTHER, "tile i=2 j=2x4, pack j"))


def test_tune(store: Tunings) -> None:
    """With two seconds little is found, but all parts have to work together."""
    function = tilec.function(MATMUL)
    told: list[tuple[str, int, float, float]] = []

    def tell(kernel: str, tried: int, share: float, used: float) -> None:
        told.append((kernel, tried, share, used))

    found = tilec.tune(function, *SPECS, budget="2s", progress=tell)
    (kernel,) = found.kernels
    assert kernel.kernels == ("main_C",)
    assert kernel.tried >= 1
    assert kernel.seconds <= kernel.first_seconds
    assert kernel.refused == ()
    assert found.kept
    assert str(found.schedule["main_C"]) == kernel.best
    assert found.as_json()["kernels"][0]["gain"] == kernel.gain >= 1
    assert "main_C" in str(found)
    assert told[-1][0] == "main_C"
    assert told[-1][1] == kernel.tried
    (row,) = store.findings()
    assert (row.schedule, row.seconds) == (kernel.best, kernel.seconds)
    assert str(function.compile(*SPECS).schedule["main_C"]) == kernel.best


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("import time; time.sleep(60)", "longer than"),
        ("import os; os.write(4, b'nonsense\\n')", "cannot be read|ended"),
    ],
)
def test_a_child_that_is_lost(fault: str, why: str) -> None:
    bench = trials(FAULT.replace("{fault}", fault), patience=8.0)
    try:
        if "sleep" in fault:
            assert bench.admit(FIRST) is not None  # a child needs its time to start
            bench.patience = 0.5
        assert bench.admit(FIRST) is not None
        assert bench.admit(FAULTY) is None
        assert bench.refused.keys() == {FAULTY}
        assert any(word in bench.refused[FAULTY] for word in why.split("|"))
        bench.patience = 8.0
        first, good = bench.compare([FIRST, GOOD], 2)  # in a new child
        assert len(first) == len(good) == 2
        assert bench.admit(FAULTY) is None
    finally:
        bench.close()


def test_wrong_results_and_illegal_schedules_are_refused() -> None:
    # The schedule of three rows runs, but leaves half of the result as it was.
    fault = (
        "load = self._load; "
        "self._load = lambda module: type('R', (), {'run': lambda *a, **k: None})()"
    )
    bench = trials(FAULT.replace("{fault}", fault))
    try:
        assert bench.admit(FIRST) is not None
        assert bench.admit(FAULTY) is None
        assert bench.admit(replace(GOOD, vector="k")) is None
        assert "the results C differ" in bench.refused[FAULTY]
        assert "illegal" in bench.refused[replace(GOOD, vector="k")]
        assert bench.confirm(Schedule((("", GOOD),))) is None
        assert "illegal" in str(bench.confirm(Schedule((("", replace(GOOD, vector="k")),))))
    finally:
        bench.close()


def test_a_first_schedule_that_crashes_is_an_error() -> None:
    function = tilec.function(MATMUL)
    launch = (
        FAULT.replace("{fault}", "0")
        .replace('"i=3 "', '"tile"')
        .replace("        0\n", "        import os; os._exit(3)\n")
    )
    tuner = Tuner(function.parts.text, function.recipe(*SPECS), 5.0, launch=launch)
    with pytest.raises(tilec.TargetError, match="main_C cannot be run in a child process"):
        tuner.run()


def test_a_kernel_that_cannot_be_timed_stays_and_others_are_tuned(store: Tunings) -> None:
    text = """function (A[M, K], B[K, N]) -> (C, E) {
        C[i, j : M, N] = +(A[i, k] * B[k, j]);
        E[j, i : N, M] = +(C[i, l] * B[l, j]);
    }"""
    launch = (
        FAULT.replace("{fault}", "0")
        .replace('"i=3 " in schedule', 'self.kernel == "main_C"')
        .replace("        0\n", "        import os; os._exit(3)\n")
    )
    function = tilec.function(text)
    recipe = function.recipe(tilec.Spec((40, 64)), tilec.Spec((64, 64)))
    found = Tuner(function.parts.text, recipe, 1.5, launch=launch).run()
    assert [each.kernels for each in found.kernels] == [("main_E",)]
    assert found.skipped == (("main_C", "its process ended with status 3"),)
    assert "main_C: left as it is; its process ended" in str(found)
    assert found.as_json()["skipped"][0]["kernel"] == "main_C"
    assert len(store.findings()) == 1


def test_an_interrupt_keeps_what_was_found(store: Tunings) -> None:
    interrupts = 0

    def impatient(kernel: str, tried: int, share: float, used: float) -> None:
        nonlocal interrupts
        interrupts += 1
        if interrupts == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tilec.tune(tilec.function(MATMUL), *SPECS, budget=60, progress=impatient)
    (row,) = store.findings()
    assert row.seconds <= row.first_seconds


def test_a_store_that_cannot_be_written_is_told_before_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("TILEC_CACHE", str(tmp_path / "file" / "cache"))
    told: list[int] = []

    def tell(kernel: str, tried: int, share: float, used: float) -> None:
        told.append(len(caught))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = tilec.tune(tilec.function(MATMUL), *SPECS, budget=0.2, progress=tell)
    assert not found.kept
    assert told[0] >= 1
    assert sum("what was found is not kept" in str(each.message) for each in caught) == 1


BROKEN_PIPE = """
import os, signal, sys, time
sys.path[:] = {path!r}
signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as the command line does
import tilec
from tilec.program.trials import Trials
from tilec.schedule.values import parse_kernel
recipe = tilec.function({text!r}).recipe(tilec.Spec((40, 96)), tilec.Spec((96, 64)))
bench = Trials(recipe, "main_C", deadline=time.monotonic() + 60)
first, other = (parse_kernel(f"tile i={{n}} j=2x4, pack j") for n in (4, 2))
assert bench.admit(first) is not None
os.kill(bench._child._process.pid, signal.SIGKILL)
time.sleep(0.2)
assert bench.admit(other) is None
assert bench.compare([first], 1)[0]
bench.close()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGPIPE"), reason="this platform has no such signal")
def test_a_child_that_is_gone_does_not_end_the_command() -> None:
    program = BROKEN_PIPE.format(path=sys.path, text=MATMUL)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_packed_constants_and_several_kernels_and_strides() -> None:
    """Panels depend on the schedule: they are made for each, and the results are the same."""
    text = """function (A[M, K], W[K, N], B[N]) -> (R, S) {
        C[i, j : M, N] = +(A[i, k] * W[k, j]);
        R = C + B > 0 ? C + B : 0;
        S[i : M] = >(A[i, k]);
    }"""
    function = tilec.function(text).bind(W=np.ones((96, 64), np.float32))
    specs = (tilec.Spec((40, 96), "f32", (1, 40)), tilec.Spec((64,)))
    recipe = function.recipe(*specs, options=Options(tuned=False))
    product, largest = tasks_of(function.parts.text, recipe)
    assert isinstance(product.first, Tiled)
    assert product.first.ahead
    for task, plans in (
        (product, [replace(product.first, rows=2, vectors=v) for v in (1, 2)]),
        (largest, largest.space.ranked()[:3]),
    ):
        bench = Trials(recipe, task.names[0], deadline=time.monotonic() + 60)
        try:
            admitted = [bench.admit(each) is not None for each in (task.first, *plans)]
            assert bench.refused == {}
            assert all(admitted)
            assert bench.confirm(Schedule.of({task.names[0]: plans[-1]})) is None
        finally:
            bench.close()


def test_findings_are_used_and_can_be_switched_off(
    store: Tunings, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = tilec.function(MATMUL)
    before = function.compile(*SPECS).schedule
    teach(store, OTHER)
    assert str(function.compile(*SPECS).schedule["main_C"]) == OTHER
    assert function.compile(*SPECS, options=Options(tuned=False)).schedule == before
    mine = "tile i=2 j=1x4, pack j"
    assert str(function.compile(*SPECS, schedule=mine).schedule["main_C"]) == mine
    renamed = tilec.function("Z[i, j : M, N] = +(X[i, k] * Y[k, j])")
    assert str(renamed.compile(*SPECS).schedule["main_Z"]) == OTHER
    sizes = (tilec.Spec((41, 96)), SPECS[1])
    assert str(function.compile(*sizes).schedule["main_C"]) != OTHER
    arrays = [np.full(spec.shape, 0.5, np.float32) for spec in SPECS]
    assert (function(*arrays) == 24).all()
    monkeypatch.setenv("TILEC_TUNED", "0")
    assert function.compile(*SPECS).schedule == before


def test_code_is_found_as_long_as_the_store_says_the_same(
    store: Tunings, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = 0
    anew = compile_module.compile_anew

    def count(
        text: Frontend, recipe: Recipe, backend: Backend, observe: Observer | None
    ) -> Compiled:
        nonlocal compiled
        compiled += 1
        return anew(text, recipe, backend, observe)

    monkeypatch.setattr(compile_module, "compile_anew", count)

    def schedule() -> str:
        monkeypatch.setattr(compile_module, "_loaded", fresh())  # as in a fresh process
        return str(tilec.function(MATMUL).compile(*SPECS).schedule["main_C"])

    first = schedule()
    assert (schedule(), compiled) == (first, 1)
    teach(store, OTHER, (tilec.Spec((8, 96)), SPECS[1]))  # of another kernel
    assert (schedule(), compiled) == (first, 1)
    teach(store, OTHER)
    assert (schedule(), compiled) == (OTHER, 2)
    assert (schedule(), compiled) == (OTHER, 2)
    assert str(tilec.function(MATMUL).compile(*SPECS).schedule["main_C"]) == OTHER
    store.clear()
    assert (schedule(), compiled) == (first, 3)


@pytest.mark.parametrize("text", ["no schedule", "tile i=4 k=2x4", "tile i=30 j=9x16, pack j"])
def test_a_finding_that_does_not_fit_is_none(store: Tunings, text: str) -> None:
    function = tilec.function(MATMUL)
    before = function.compile(*SPECS).schedule
    teach(store, text)
    assert function.compile(*SPECS).schedule == before
    with pytest.raises(tilec.ScheduleError):
        function.compile(*SPECS, schedule="tile i=4 k=2x4")


def test_other_kernels_keep_their_findings(store: Tunings) -> None:
    text = """function (A[M, K], B[K, N]) -> (C, E) {
        C[i, j : M, N] = +(A[i, k] * B[k, j]);
        E[j, i : N, M] = +(C[i, l] * A[l, j]);
    }"""
    specs = (tilec.Spec((96, 96)), tilec.Spec((96, 96)))
    function = tilec.function(text)
    before = function.compile(*specs).schedule
    recipe = function.recipe(*specs, options=Options(tuned=False))
    machine = findings.machine(recipe.options)
    one, two = "tile i=2 j=1x4, pack j", "tile i=4 k=2x4"  # the second has no such loop
    for task, wanted in zip(tasks_of(function.parts.text, recipe), (one, two), strict=True):
        assert store.put([Finding(machine, task.key, "here", task.title, wanted, 0.5, 1.0)])
    after = function.compile(*specs).schedule
    assert str(after["main_C"]) == one
    assert after["main_E"] == before["main_E"]
    with pytest.raises(tilec.ScheduleError, match="the schedule of main_E is illegal"):
        function.compile(*specs, schedule=f"main_E: {two}")


@pytest.mark.parametrize(
    ("given", "seconds"), [(5, 5.0), (0.5, 0.5), ("90", 90.0), ("60s", 60.0), ("1.5m", 90.0)]
)
def test_budgets(given: float | str, seconds: float) -> None:
    assert duration(given) == seconds


@pytest.mark.parametrize("given", [0, -1, float("nan"), float("inf"), "", "5q", "s", "-3s"])
def test_budgets_that_are_none(given: float | str) -> None:
    with pytest.raises(tilec.ArgumentError, match="is no time"):
        tilec.tune(tilec.function(MATMUL), *SPECS, budget=given)


def test_what_cannot_be_tuned() -> None:
    function = tilec.function(MATMUL)
    with pytest.raises(tilec.ArgumentError, match="reference evaluator has no kernels"):
        tilec.tune(function, *SPECS, options=Options(target="reference"))
    with pytest.raises(tilec.ArgumentError, match="cannot run here"):
        tilec.tune(function, *SPECS, options=Options(cpu="znver4"))
    with pytest.raises(tilec.ArgumentError, match="B is missing"):
        tilec.tune(function, SPECS[0])
