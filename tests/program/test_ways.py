"""What the tuner may make of a kernel beside what the model did: other methods, kinds, blocks."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tilec
from tilec.options import Options
from tilec.program import findings, ways
from tilec.program.function import Function
from tilec.program.trials import Trials
from tilec.program.tuner import Task, Tuner, tasks_of
from tilec.program.ways import Choice, widened
from tilec.runtime.tunings import Finding, tunings
from tilec.schedule.search import Found
from tilec.schedule.values import KernelSchedule, Rewritten, Schedule
from tilec.schedule.winograd import WinogradPlan

CONV = """function (I[H, W, Z], K[R, S, Z, F]) -> (C) {
    C[y, x, f : H, W, F] = +(I[y + r - 1, x + s - 1, z] * K[r, s, z, f]);
}"""
CONV_SPECS = (tilec.Spec((14, 14, 32)), tilec.Spec((3, 3, 32, 32)))
PRODUCT = "C[i, j : M, N] = +(A[i, k] * B[k, j])"
THIN = (tilec.Spec((3, 512)), tilec.Spec((512, 128)))
LAYERS = """H[i, j : M, P] = +(X[i, k] * W[k, j]); R = relu(H);
    Y[i, q : M, Q] = +(R[i, j] * V[j, q]);"""
LAYERS_SPECS = (tilec.Spec((2048, 64)), tilec.Spec((64, 128)), tilec.Spec((128, 64)))


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TILEC_TUNED", raising=False)


def looked_at(
    function: Function, specs: tuple[tilec.Spec, ...], options: Options
) -> tuple[Task, list[KernelSchedule]]:
    """The last kernel, and the best schedule of each of its ways."""
    recipe = function.recipe(*specs, options=replace(options, tuned=False))
    task = tasks_of(function.parts.text, recipe)[-1]
    found = widened(Choice(task.space, task.first), task.names[0], function.parts.text, recipe)
    assert isinstance(found, ways.Ways)
    return task, list(found.heads)


@pytest.mark.parametrize(
    ("text", "specs", "expected"),
    [
        (CONV, CONV_SPECS, ("tile", "winograd", "by lowering-1", "by lowering-2", "by lowering-3")),
        (PRODUCT, THIN, ("stream", "tile", "vector")),
        (LAYERS, LAYERS_SPECS, ("blocks", "tile")),
    ],
)
def test_each_way_runs_and_is_right(
    text: str,
    specs: tuple[tilec.Spec, ...],
    expected: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ways, "LEAST", 16)
    function = tilec.function(text)
    task, heads = looked_at(function, specs, Options())
    for kind in expected:
        assert any(str(each).startswith(kind) for each in heads), (kind, heads)
    recipe = function.recipe(*specs, options=Options(tuned=False))
    bench = Trials(recipe, task.names[0], deadline=time.monotonic() + 60)
    try:
        for head in heads:
            assert bench.admit(head) is not None, (str(head), bench.refused)
        assert bench.confirm(Schedule.of({task.names[0]: heads[-1]})) is None
    finally:
        bench.close()


def test_all_kernels_of_a_method_are_timed() -> None:
    """Strassen's algorithm with wrong products must not pass for its last kernel alone."""
    function = tilec.function(PRODUCT)
    specs = (tilec.Spec((64, 64)), tilec.Spec((64, 64)))
    bench = Trials(
        function.recipe(*specs, options=Options(tuned=False)),
        "main_C",
        deadline=time.monotonic() + 60,
    )
    try:
        (first,) = function.compile(*specs, options=Options(tuned=False)).schedule.values()
        assert bench.admit(first) is not None
        assert bench.admit(Rewritten("strassen")) is not None, bench.refused
        assert bench.admit(Rewritten("lowering-1")) is None
        assert "cannot be computed by lowering-1" in bench.refused[Rewritten("lowering-1")]
    finally:
        bench.close()


def test_a_method_that_the_caller_names_stays() -> None:
    options = Options(conv="winograd")
    _, heads = looked_at(tilec.function(CONV), CONV_SPECS, options)
    assert heads
    assert all(isinstance(each, WinogradPlan) for each in heads)


@pytest.mark.parametrize("method", ["lowering-1", "lowering-2", "lowering-3", "direct"])
def test_the_schedule_of_a_rewritten_kernel_is_replayed(method: str) -> None:
    function = tilec.function(CONV)
    random = np.random.default_rng(0)
    arrays = [random.normal(size=spec.shape).astype(np.float32) for spec in CONV_SPECS]
    right = function(*arrays, target="reference")
    made = function.compile(*CONV_SPECS, schedule=f"main_C: by {method}")
    assert np.allclose(made(*arrays), right, atol=1e-3)
    again = function.compile(*CONV_SPECS, schedule=made.schedule)
    assert again.schedule == made.schedule
    assert [each.name for each in again.kernels] == [each.name for each in made.kernels]
    assert Schedule.from_json(made.schedule.as_json()) == made.schedule == Schedule.parse(
        str(made.schedule)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "specs", "wanted", "message"),
    [
        (CONV, CONV_SPECS, "main_C: by strassen", "no sum of products|indices"),
        (PRODUCT, THIN, "main_C: by strassen", "a size is odd"),
        (PRODUCT, THIN, "main_C: by lowering-1", "cannot be computed by lowering-1"),
        (PRODUCT, THIN, "main_C: by apart", "cannot be computed by apart"),
        (PRODUCT, THIN, "main_C: by magic", "there is no method 'magic'"),
        (PRODUCT, THIN, "main_C: by direct, by direct", "cannot be read"),
    ],
)
def test_methods_that_do_not_fit(
    text: str, specs: tuple[tilec.Spec, ...], wanted: str, message: str
) -> None:
    with pytest.raises(tilec.ScheduleError, match=message):
        tilec.function(text).compile(*specs, schedule=wanted)


def test_a_method_is_found_again_with_the_schedules_of_its_kernels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kernels that a method makes are tuned after it, and all findings are replayed."""
    function = tilec.function(CONV)
    tuned: list[str] = []

    def tune(
        self: Tuner, task: Task, recipe: object, started: float, left: float, known: str | None
    ) -> tuple[Found, dict[KernelSchedule, str]]:
        (name,) = task.names
        tuned.append(name)
        plan = Rewritten("lowering-1") if name == "main_C" else task.space.ranked()[-1]
        return Found(plan, 0.5, 1.0, 2, "it was told so"), {}

    monkeypatch.setattr(Tuner, "_tune", tune)
    found = tilec.tune(function, *CONV_SPECS)
    assert tuned == ["main_C", "main_C.lifted"]
    after = function.compile(*CONV_SPECS).schedule
    assert str(after["main_C"]).startswith("by lowering-1, tile")
    assert after["main_C.lifted"] == found.schedule["main_C.lifted"]
    assert found.kernels[1].best == str(after["main_C.lifted"])
    assert function.compile(*CONV_SPECS, options=Options(tuned=False)).schedule.keys() == {"main_C"}
    # What does not fit is left out.
    recipe = function.recipe(*CONV_SPECS, options=Options(tuned=False))
    (task,) = tasks_of(function.parts.text, recipe)
    machine = findings.machine(recipe.options)
    store = tunings()
    assert store is not None
    store.put([Finding(machine, task.key, "here", task.title, "by strassen", 0.5, 1.0)])
    assert function.compile(*CONV_SPECS).schedule.keys() == {"main_C"}
