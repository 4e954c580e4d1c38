"""PlaidML 0.7 as a peer, in an environment of its own.

Its wheel demands packages that break current Pythons, so it cannot live beside the others. A
second interpreter runs ``plaidml_worker.py``, which is handed the Tile program that tilec compiles:
tilec's language is a superset of PlaidML's. It times its calls itself, and is at rest when it
answers.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import numpy as np

import tilec
from benchmarks.case import Array, Case, Inputs, Work

_SECONDS = 60.0
"""How long an answer may take; its compiler takes seconds for some programs."""

_SCRIPT = Path(__file__).with_name("plaidml_worker.py")


class PlaidMLError(RuntimeError):
    """PlaidML refused a program, died or took too long."""


class PlaidML:
    """A process that runs PlaidML; after a failure it is started again.

    Args:
        python: An interpreter that can import plaidml.
        threads: On how many cores it may run.
        patience: Seconds that an answer may take.

    Raises:
        PlaidMLError: it does not work.
        OSError: there is no such interpreter.
    """

    def __init__(self, python: str, threads: int, patience: float = _SECONDS) -> None:
        self._python = python
        self._patience = patience
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
        self._cores = cores[:threads]
        self._folder = tempfile.TemporaryDirectory(prefix="tilec-plaidml-")
        try:
            self._process = self._start()
        except (PlaidMLError, OSError):
            self._folder.cleanup()
            raise

    def close(self) -> None:
        """End the process."""
        self._kill()
        self._folder.cleanup()

    def prepare(self, case: Case, inputs: Inputs) -> Work:
        """A case, compiled."""
        if self._process.poll() is not None:
            self._start()
        files: dict[str, str] = {}
        for name, array in inputs.items():
            files[name] = str(Path(self._folder.name) / f"{name}.npy")
            np.save(files[name], array)
        self._ask(
            do="prepare",
            program=case.program,
            inputs=files,
            output=case.output,
            result=tilec.function(case.program).outputs[0],
        )
        return Work(lambda: self._seconds(1), self._result, self._seconds)

    def _seconds(self, calls: int) -> float:
        return float(self._ask(do="time", calls=calls)["seconds"])

    def _result(self) -> Array:
        path = Path(self._folder.name) / "result.npy"
        self._ask(do="save", path=str(path))
        return np.load(path)

    def _start(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            [self._python, str(_SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=_environment(),
        )
        if self._cores:
            os.sched_setaffinity(self._process.pid, self._cores)
        self._answer()
        return self._process

    def _ask(self, **request: object) -> Mapping[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise PlaidMLError(self._end()) from error
        return self._answer()

    def _answer(self) -> Mapping[str, Any]:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], self._patience)[0]:
            self._kill()
            raise PlaidMLError(f"no answer for {self._patience:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise PlaidMLError(self._end())
        facts = cast("dict[str, Any]", json.loads(line))
        if "failed" in facts:
            self._end()
        if "error" in facts:
            raise PlaidMLError(str(facts["error"]))
        return facts

    def _end(self) -> str:
        code = self._process.wait()
        self._kill()
        return f"its process ended with the exit code {code}"

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            # What was not sent to a process that died cannot be sent any more.
            with suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()


def _environment() -> dict[str, str]:
    """The environment, less what belongs to the interpreter of this process."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
