"""The fork-join pool: who runs what, races, forks, callers side by side, sleep, and the end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.llvm import native
from tests.llvm.native import TASKS, hunt, hunt_together, meet, region
from tilec_llvm.pool import Pool, default_threads, load_pool, pool
from tilec_llvm.pool_ir import MOST_WORKERS, SPIN_NS, pool_text
from tilec_llvm.pool_platform import System, Waiting, system_of
from tilec_llvm.target import Compiler, Processor, host

ROOT = Path(__file__).parents[2]
HAS_WORKERS = system_of(host().triple, 8).waiting is not Waiting.NONE

needs_workers = pytest.mark.skipif(not HAS_WORKERS, reason="this platform has no workers")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
needs_tasks = pytest.mark.skipif(not TASKS.is_dir(), reason="threads are listed on Linux only")
needs_affinity = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this platform has no affinity"
)

FORKS = 4 if hasattr(os, "fork") else 0
_KINDS = [Waiting.FUTEX, Waiting.CONDVAR] if sys.platform == "linux" else [Waiting.CONDVAR]


@pytest.fixture(name="team", params=_KINDS, scope="module", ids=lambda kind: str(kind.value))
def load_team(request: pytest.FixtureRequest) -> Pool:
    """A pool of each kind that this platform can run."""
    if not HAS_WORKERS:
        pytest.skip("this platform has no workers")
    own = system_of(host().triple, 8)
    kind: Waiting = request.param
    system = System(
        kind, own.architecture, own.futex, own.monotonic, own.set_mask, own.bus_error, own.linux
    )
    return load_pool(system)


def ranges(team: Pool, iterations: int, threads: int) -> list[int]:
    """The number of the range that ran each iteration."""
    found = np.full(max(iterations, 1), -1, np.int32)
    region(team, "mark", found, iterations, threads)
    return found.tolist()


@pytest.mark.parametrize("iterations", [1, 2, 3, 7, 64, 257, 1000])
@pytest.mark.parametrize("threads", [-1, 0, 1, 2, 3, 4, 7])
def test_iterations_are_cut_into_even_ranges(team: Pool, iterations: int, threads: int) -> None:
    found = ranges(team, iterations, threads)
    parts = max(1, min(threads, iterations))
    assert found == sorted(found)
    assert set(found) == set(range(parts))
    sizes = [found.count(part) for part in range(parts)]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("iterations", [0, -1, -(1 << 40)])
def test_nothing_runs_without_iterations(team: Pool, iterations: int) -> None:
    assert ranges(team, iterations, 4) == [-1]


def test_the_ranges_do_not_depend_on_who_runs_them(team: Pool) -> None:
    """Ranges that the caller takes back keep their numbers, and so their scratch memory."""
    wanted = [number for number in range(8) for _ in range(5)]
    assert all(ranges(team, 40, 8) == wanted for _ in range(500))


@pytest.mark.parametrize("most", [2, 3, 6])
def test_many_regions_in_a_row(team: Pool, most: int) -> None:
    """Random sizes, thread counts and delays; now and then long enough to fall asleep."""
    wrong, helped = hunt_together(team, rounds=40, regions=250, most=most)
    assert wrong == 0
    assert helped > 100


def test_regions_after_sleep(team: Pool) -> None:
    """Workers that sleep are woken, and callers that sleep too."""
    for seed in range(30):
        assert hunt(team, 1, 3, seed) == 0
        time.sleep(3 * SPIN_NS / 1e9)
    slow = np.array([300_000], np.int64)
    for _ in range(5):
        region(team, "dawdle", slow, 2, 2)


@needs_workers
def test_workers_start_with_the_first_region() -> None:
    team = load_pool(system_of(host().triple, 8))
    assert team.workers() == 0
    ranges(team, 100, 1)
    assert team.workers() == 0
    ranges(team, 100, 2)
    assert team.workers() == 1
    ranges(team, 100, 4)
    assert team.workers() == 3
    ranges(team, 100, 2)
    assert team.workers() == 3


@pytest.mark.parametrize("threads", [2, 4])
def test_all_threads_take_part(team: Pool, threads: int) -> None:
    """A region whose ranges wait for each other ends, so each has a thread."""
    meet(team, threads)
    assert team.workers() >= threads - 1


def test_nested_regions_run_in_their_thread(team: Pool) -> None:
    context = np.zeros(1 + 11 * 40, np.int64)
    context[0] = team.parallel
    for _ in range(50):
        region(team, "nested", context, 40, 3)
    counts = context[1:].reshape(40, 11)[:, 3:]
    assert np.all(counts == 50)


def test_callers_side_by_side(team: Pool) -> None:
    """One of them has the pool, the others work alone; none waits, none disturbs another."""
    wrong: list[int] = []

    def call(seed: int) -> None:
        wrong.append(hunt(team, 2500, 4, seed))

    callers = [threading.Thread(target=call, args=(seed,)) for seed in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == [0, 0, 0, 0]


@needs_fork
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "in a region"])
def test_a_forked_child_makes_workers_of_its_own(team: Pool, busy: bool) -> None:
    meet(team, 2)
    held = threading.Thread(
        target=lambda: region(team, "dawdle", np.array([20_000_000], np.int64), 2, 2)
    )
    if busy:
        held.start()
        time.sleep(0.005)

    def child() -> bool:
        before = team.workers()
        meet(team, 3)
        return before == 0 and team.workers() == 2 and hunt(team, 300, 4, seed=1) == 0

    assert in_child(child)
    if busy:
        held.join()
    assert hunt(team, 300, 4, seed=2) == 0


@needs_fork
def test_a_forked_child_can_fork(team: Pool) -> None:
    meet(team, 2)
    assert in_child(
        lambda: hunt(team, 100, 3, 1) == 0 and in_child(lambda: hunt(team, 9, 3, 1) == 0)
    )


def in_child(check: Callable[[], bool]) -> bool:
    """What ``check`` answers in a forked process."""
    with warnings.catch_warnings():
        # Newer Pythons warn that threads and fork do not mix: the pool's do, which is tested here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if check() else 1
        finally:
            os._exit(status)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.001)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return False


def test_an_idle_pool_uses_no_cpu(team: Pool) -> None:
    hunt(team, 200, 4, seed=3)
    time.sleep(0.02)
    begin = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - begin < 0.01


@needs_tasks
def test_workers_leave_signals_to_the_program() -> None:
    """They have a name for debuggers, and SIGINT is never theirs to take."""
    meet(pool(), 2)
    masks: list[int] = []
    for task in TASKS.iterdir():
        if (task / "comm").read_text().strip() == "tilec":
            lines = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
            masks.append(int(lines["SigBlk"], 16))
    assert masks
    interrupt, fault = 1 << (2 - 1), 1 << (11 - 1)
    assert all(mask & interrupt and not mask & fault for mask in masks)


@pytest.mark.skipif(not native.IS_X86, reason="the mode is read as on x86")
def test_workers_round_as_their_caller_does(team: Pool) -> None:
    down_and_flush = 0x1F80 | 0x2000 | 0x8040
    context = np.array([0, 2, 0, 0], np.uint32)
    native.function("with_mode")(team.parallel, context.ctypes.data, down_and_flush)
    assert context[2:].tolist() == [down_and_flush, down_and_flush]
    context[:] = [0, 2, 0, 0]
    region(team, "modes", context, 2, 2)
    assert context[2] == context[3] == 0x1F80


def test_a_platform_without_threads_runs_serially() -> None:
    team = load_pool(System(Waiting.NONE, "unknown"))
    assert ranges(team, 10, 4) == [0] * 10
    assert ranges(team, 0, 4) == [-1]
    assert hunt(team, 20, 4, seed=4) == 0
    assert team.workers() == 0


TRIPLES = {
    "x86_64-unknown-linux-gnu": (Waiting.FUTEX, "pause", "xchg"),
    "x86_64-apple-darwin": (Waiting.CONDVAR, "pause", "xchg"),
    "aarch64-unknown-linux-gnu": (Waiting.FUTEX, "yield", "ldaxr"),
    "arm64-apple-darwin": (Waiting.CONDVAR, "yield", "swpal"),
    "x86_64-unknown-freebsd": (Waiting.CONDVAR, "pause", "xchg"),
    "x86_64-pc-windows-msvc": (Waiting.NONE, "tilec_parallel", "tilec_workers"),
}


@pytest.mark.parametrize("triple", TRIPLES)
def test_the_pool_of_other_platforms(triple: str) -> None:
    """It is code for them, at least."""
    waiting, *wanted = TRIPLES[triple]
    system = system_of(triple, 8)
    assert system.waiting is waiting
    cpu = "apple-m1" if triple.startswith("arm64") else "generic"
    code = Compiler(Processor(triple, cpu, ""), speed=0).assembly(pool_text(system))
    assert all(word in code for word in wanted)


def test_32_bits_run_serially() -> None:
    assert system_of("i686-unknown-linux-gnu", 4).waiting is Waiting.NONE
    assert system_of("wasm64-unknown-unknown", 8).waiting is Waiting.NONE
    assert system_of("loongarch64-unknown-linux-gnu", 8).waiting is Waiting.CONDVAR


# What needs a process of its own: a forked one where nothing else is needed.


@needs_affinity
@needs_fork
def test_affinity_limits_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TILEC_NUM_THREADS", raising=False)
    meet(pool(), 2)

    def child() -> bool:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        return default_threads() == 1 and hunt(pool(), 500, 3, 1) == 0 and pool().workers() == 2

    everything = default_threads()
    assert in_child(child)
    assert default_threads() == everything


@needs_fork
def test_the_environment_names_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEC_NUM_THREADS", "3")
    assert in_child(lambda: default_threads() == 3)


def test_default_threads_are_some() -> None:
    assert default_threads() >= 1


@needs_workers
@needs_fork
def test_threads_beyond_the_limit_are_left_out() -> None:
    def child() -> bool:
        found = np.full(3000, -1, np.int32)
        region(pool(), "mark", found, 3000, 1 << 30)
        return set(found) == set(range(MOST_WORKERS + 1)) and pool().workers() == MOST_WORKERS

    assert in_child(child)


def run_python(text: str) -> None:
    """A program that ends well and says nothing."""
    paths = [str(ROOT), str(ROOT / "grammar"), str(ROOT / "backends")]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", text],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


PRELUDE = """
import os, sys, threading, time
import numpy as np
from tests.llvm.native import hunt, meet, region
from tilec_llvm.pool import pool

def several():
    # Each of the forked interpreters goes on and ends by itself, as this one does.
    pool()
    children = []
    for _ in range(FORKS):
        child = os.fork()
        if child == 0:
            return
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
"""
ENDINGS = {
    "at the end": "pass",
    "by exit": "sys.exit(0)",
    "after another region": "meet(pool(), 3)",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_interpreter_ends_while_workers_spin(ending: str) -> None:
    run_python(f"FORKS = {FORKS}\n{PRELUDE}\nseveral()\nmeet(pool(), 3)\n{ENDINGS[ending]}")


def test_the_interpreter_ends_during_a_region() -> None:
    text = """
def forever():
    while True:
        hunt(pool(), 1000, 3, 1)

several()
meet(pool(), 2)
threading.Thread(target=forever, daemon=True).start()
time.sleep(0.02)
"""
    run_python(f"FORKS = {FORKS}\n{PRELUDE}\n{text}")


@needs_workers
@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux only")
def test_without_memory_for_workers_the_caller_works_alone() -> None:
    """In a process that has had no threads, whose stacks could be used again."""
    text = """
import resource
parallel = pool()
assert hunt(parallel, 1, 1, 1) == 0
with open("/proc/self/statm") as file:
    pages = int(file.read().split()[0])
limit = pages * os.sysconf("SC_PAGE_SIZE") + (2 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
wrong = hunt(parallel, 200, 4, 1)
alone = parallel.workers()
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
later = hunt(parallel, 200, 4, 2)
assert (wrong, alone, later, parallel.workers()) == (0, 0, 0, 3)
"""
    run_python(PRELUDE + text)
