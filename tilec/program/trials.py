"""Schedules of one kernel, run in a child process: what the tuner's search looks at the clock with.

A child that crashes, hangs or answers nonsense is ended and another one started; the schedule that
it was busy with is of no use then, and the others are compiled again when they are needed.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO, Any, Final, cast

from tilec.errors import TargetError
from tilec.program.recipe import Recipe
from tilec.program.written import recipe_to_manifest
from tilec.schedule.values import KernelSchedule, Schedule

LAUNCH: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from tilec.program.trial import main; main()"
)
"""The program of the child, which finds its packages where this process does."""

_START_SECONDS: Final = 60.0
"""A child has to be there by then, with its modules loaded."""

_PATIENCE_SECONDS: Final = 20.0
"""A schedule that takes longer to compile and run is given up."""

_LEAST_SECONDS: Final = 3.0
"""However little is left of the budget, one command may take this long."""

_SLOWER: Final = 50
"""So many times the expected time of some runs, and they hang."""

_LOSSES: Final = 8
"""Children that may be lost in a row before the tuner gives up on a kernel."""

Clock = Callable[[], float]


class ChildLostError(Exception):
    """The child ended, or did not answer in time."""


class Trials:
    """A ``Bench`` whose candidates run in a child process.

    Attributes:
        refused: Schedules that were of no use, each with the reason.
        patience: Seconds after which a schedule that is compiled and run is given up.
    """

    def __init__(
        self,
        recipe: Recipe,
        kernel: str,
        *,
        deadline: float,
        seed: int = 0,
        clock: Clock = time.monotonic,
        launch: str = LAUNCH,
        patience: float = _PATIENCE_SECONDS,
    ) -> None:
        self._recipe = recipe
        self._kernel = kernel
        self._deadline = deadline
        self._seed = seed
        self._clock = clock
        self._launch = launch
        self.patience = patience
        self._child: _Child | None = None
        self._first: KernelSchedule | None = None
        self._loaded: dict[KernelSchedule, int] = {}
        self._numbers = 0
        self._losses = 0
        self._seconds: dict[KernelSchedule, float] = {}
        self.refused: dict[KernelSchedule, str] = {}

    def seconds_left(self) -> float:
        """See ``Bench``."""
        return 0.0 if self._losses >= _LOSSES else self._deadline - self._clock()

    def admit(self, plan: KernelSchedule) -> float | None:
        """See ``Bench``."""
        if plan in self._loaded:
            return self._seconds[plan]
        if plan in self.refused:
            return None
        if self._first is None:
            self._first = plan
        try:
            # Results are compared with those of the first schedule, in whichever child.
            if plan != self._first and self._first not in self._loaded:
                self._load(self._first)
            return self._load(plan)
        except ChildLostError as lost:
            self._lose(plan, str(lost))
            return None

    def compare(self, plans: Sequence[KernelSchedule], rounds: int) -> list[list[float]]:
        """See ``Bench``."""
        ready = list(plans)
        while ready:
            ready = [plan for plan in ready if self.admit(plan) is not None]
            if self._loaded.keys() >= set(ready):
                break  # else one of them has taken the child of the others with it
        expected = rounds * sum(self._seconds.get(plan, 0.0) for plan in ready)
        try:
            answer = self._ask(
                "compare",
                [self._loaded[plan] for plan in ready],
                rounds,
                limit=max(self.patience, _SLOWER * expected),
            )
        except ChildLostError as lost:
            # Nobody knows which of them it was. The one that was there before is given a chance.
            for plan in plans[1:] or plans:
                self._lose(plan, f"while some were compared: {lost}")
            return [[] for _ in plans]
        samples = dict(zip(ready, cast("list[list[float]]", answer), strict=True))
        return [samples.get(plan, []) for plan in plans]

    def drop(self, plans: Sequence[KernelSchedule]) -> None:
        """See ``Bench``."""
        numbers = [self._loaded.pop(plan) for plan in plans if plan in self._loaded]
        if not numbers or self._child is None:
            return
        try:
            self._ask("drop", numbers, limit=self.patience)
        except ChildLostError:
            self._end()

    def confirm(self, schedule: Schedule) -> str | None:
        """Why a program is wrong under a schedule; None when it is right."""
        try:
            self._ask("confirm", str(schedule), limit=_START_SECONDS)
        except TargetError as error:
            return error.message
        except ChildLostError as lost:
            return str(lost)
        return None

    def close(self) -> None:
        """End the child."""
        self._end()

    def _load(self, plan: KernelSchedule) -> float | None:
        self._numbers += 1
        limit, left = self.patience, self.seconds_left()
        # Without the first one there is nothing to compare with.
        limit = max(limit, left) if plan == self._first else min(limit, max(_LEAST_SECONDS, left))
        try:
            answer = self._ask("admit", self._numbers, str(plan), limit=limit)
        except TargetError as error:
            self.refused[plan] = error.message
            return None
        self._losses = 0
        self._loaded[plan] = self._numbers
        self._seconds[plan] = float(cast("float", answer))
        return self._seconds[plan]

    def _lose(self, plan: KernelSchedule, reason: str) -> None:
        self.refused[plan] = reason
        self._losses += 1
        self._end()

    def _end(self) -> None:
        self._loaded.clear()
        if self._child is not None:
            self._child.end()
            self._child = None

    def _ask(self, do: str, *values: object, limit: float) -> object:
        """The child's answer.

        Raises:
            TargetError: it refuses, and says why.
            ChildLostError: there is none.
        """
        if self._child is None:
            self._child = _Child(self._launch)
            self._child.ask(
                {
                    "do": "open",
                    "recipe": recipe_to_manifest(self._recipe),
                    "threads": self._recipe.options.num_threads,
                    "kernel": self._kernel,
                    "seed": self._seed,
                },
                _START_SECONDS,
            )
        try:
            return self._child.ask({"do": do, "with": values}, limit)
        except KeyboardInterrupt:
            self._end()  # its answer would be taken for that to the next question
            raise


class _Child:
    """One process."""

    def __init__(self, launch: str) -> None:
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", launch, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,  # who interrupts this process does not mean the child
            )
        except OSError as error:
            raise ChildLostError(f"no process can be started: {error.strerror}") from error
        self._answers: SimpleQueue[str] = SimpleQueue()
        # A thread, because pipes cannot be waited for with a timeout on every system.
        self._thread = Thread(target=self._listen, args=(self._process.stdout,), daemon=True)
        self._thread.start()

    def ask(self, command: dict[str, object], limit: float) -> object:
        """The answer to a command; see ``Trials``."""
        stdin = self._process.stdin
        assert stdin is not None
        try:
            with _no_broken_pipes():
                stdin.write(json.dumps({**command, "limit": limit + _LEAST_SECONDS}) + "\n")
                stdin.flush()
            line = self._answers.get(timeout=limit)
        except Empty:
            raise ChildLostError(f"it took longer than {limit:.0f} s") from None
        except OSError as error:
            raise ChildLostError(self._fate()) from error
        if not line:
            raise ChildLostError(self._fate())
        try:
            answer = cast("dict[str, Any]", json.loads(line))
            if "refused" in answer:
                raise TargetError(str(answer["refused"]))
            return answer["result"]
        except (ValueError, KeyError, TypeError) as error:
            raise ChildLostError("it answered what cannot be read") from error

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._thread.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                # What was not yet written has no reader any more.
                with suppress(OSError), _no_broken_pipes():
                    stream.close()

    def _listen(self, stdout: IO[str]) -> None:
        for line in stdout:
            self._answers.put(line)
        self._answers.put("")

    def _fate(self) -> str:
        code = self._process.wait()
        if code >= 0:
            return f"its process ended with status {code}"
        try:
            return f"its process was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"its process was ended by signal {-code}"


@contextmanager
def _no_broken_pipes() -> Generator[None, None, None]:
    """Writing to a child that is gone is an error and no signal, which would end this process."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
    try:
        yield
    finally:
        if signal.SIGPIPE not in before:
            if signal.SIGPIPE in signal.sigpending():
                signal.sigwait({signal.SIGPIPE})
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
