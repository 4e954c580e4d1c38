"""The other end of ``benchmarks/plaidml_peer.py``: runs Tile programs with PlaidML 0.7.

It is run by an interpreter that has PlaidML, and knows nothing of tilec. A request is one line of
JSON on standard input, an answer one line on standard output.
"""

from __future__ import annotations

import collections
import collections.abc
import importlib
import json
import os
import sys
import time
from typing import Any

import numpy as np

_PAUSE = 0.006
_PATIENCE = 0.1


def load() -> Any:
    """PlaidML, told where its parts are in an environment that was made without its set-up step."""
    os.environ.setdefault("PLAIDML_EXPERIMENTAL", "1")
    os.environ.setdefault("PLAIDML_DEVICE_IDS", "llvm_cpu.0")
    os.environ.setdefault("PLAIDML_NATIVE_PATH", os.path.join(sys.prefix, "lib", "libplaidml.so"))
    os.environ.setdefault("RUNFILES_DIR", os.path.join(sys.prefix, "share", "plaidml"))
    # Its Python was written when these still stood in `collections`.
    for name in ("Iterable", "Mapping", "MutableMapping", "Sequence"):
        if not hasattr(collections, name):
            setattr(collections, name, getattr(collections.abc, name))
    return importlib.import_module("plaidml")


class Worker:
    """One device, and the program that was prepared last."""

    def __init__(self, plaidml: Any) -> None:
        self._plaidml = plaidml
        self._context = plaidml.Context()
        devices = plaidml.devices(self._context, limit=8, return_all=True)[0]
        if not devices:
            raise RuntimeError("PlaidML has found no device")
        self._device = plaidml.Device(self._context, devices[0])
        self._invoker: Any = None
        self._output: Any = None
        self._shape: tuple[int, ...] = ()

    def prepare(self, request: dict[str, Any]) -> dict[str, Any]:
        """Compile a program for its inputs."""
        inputs = {name: self._tensor(np.load(path)) for name, path in request["inputs"].items()}
        self._shape = tuple(request["output"])
        self._output = self._empty(self._shape)
        function = self._plaidml.Function(request["program"])
        self._invoker = self._plaidml.Invoker(
            self._context, function, inputs=inputs, outputs={request["result"]: self._output}
        )
        self._run()
        return {}

    def time(self, request: dict[str, Any]) -> dict[str, Any]:
        """Seconds of one call, the mean of some."""
        calls = range(request["calls"])
        begin = time.perf_counter()
        for _ in calls:
            self._run()
        seconds = (time.perf_counter() - begin) / len(calls)
        _settle()
        return {"seconds": seconds}

    def save(self, request: dict[str, Any]) -> dict[str, Any]:
        """Write the result to a file."""
        result = np.zeros(self._shape, np.float32)
        with self._output.mmap_current() as view:
            view.copy_to_ndarray(result)
        np.save(request["path"], result)
        return {}

    def _run(self) -> None:
        self._invoker.invoke()
        # An invocation is only queued; to look at the output is to wait for it.
        with self._output.mmap_current():
            pass

    def _empty(self, shape: tuple[int, ...]) -> Any:
        kind = self._plaidml.Shape(self._context, self._plaidml.DType.FLOAT32, *shape)
        return self._plaidml.Tensor(self._device, kind)

    def _tensor(self, array: np.ndarray[Any, Any]) -> Any:
        tensor = self._empty(array.shape)
        with tensor.mmap_discard(self._context) as view:
            view.copy_from_ndarray(array)
            view.writeback()
        return tensor


def _settle() -> None:
    """Rest until the threads of this process have stopped, so that they disturb nobody."""
    end = time.perf_counter() + _PATIENCE
    while time.perf_counter() < end:
        before = time.process_time()
        time.sleep(_PAUSE)
        if time.process_time() - before < 0.1 * _PAUSE:
            return


def main() -> None:
    # Whatever PlaidML prints goes to standard error; only answers stand on standard output.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(facts: dict[str, Any]) -> None:
        answers.write(json.dumps(facts) + "\n")
        answers.flush()

    try:
        worker = Worker(load())
    except Exception as error:
        answer({"error": f"{type(error).__name__}: {error}", "failed": True})
        return
    answer({})
    for line in sys.stdin:
        request = json.loads(line)
        # Whatever a library raises is a fact about it, which the other end reports.
        try:
            answer(getattr(worker, request["do"])(request))
        except Exception as error:
            answer({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
