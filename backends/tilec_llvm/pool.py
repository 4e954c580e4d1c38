"""The fork-join pool of this process, compiled when the first parallel kernel is loaded.

A process has one pool. Its workers are started by the first region that wants them, keep the
affinity of the thread that ran it, and end with the process. A forked child starts without workers
and makes its own.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from functools import cache
from threading import Lock
from typing import cast

from tilec.options import read_environment
from tilec.records import dataclass
from tilec.target.cores import usable_cores
from tilec_llvm.direct import Entry
from tilec_llvm.jit import LlvmRunner, load_forever, workspaces
from tilec_llvm.pool_ir import MOST_WORKERS, pool_text
from tilec_llvm.pool_platform import System, Waiting, system_of

ENTRY = "tilec_parallel"
"""Symbol that kernels call."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A loaded pool.

    Attributes:
        parallel: Address of ``tilec_parallel``.
        workers: How many workers have been started in this process.
    """

    parallel: int
    workers: Callable[[], int]


def pool(image: bytes | None = None) -> Pool:
    """The pool of this process.

    Args:
        image: What ``pool_image`` made, so that it need not be compiled now.
    """
    global _shared
    with _lock:
        if _shared is None:
            found = image or pool_image()
            _shared = _load(found[1:], has_workers=bool(found[0]))
        return _shared


@cache
def default_threads() -> int:
    """Threads of a call that names no number: ``TILEC_NUM_THREADS``, or the usable cores.

    Read once per process, and again in a forked child: affinity is often set there.
    """
    return read_environment().num_threads or usable_cores()


def load_pool(system: System) -> Pool:
    """Compile and load a pool of its own; the kernels of a process share ``pool()``."""
    return _load(_compile(system), has_workers=system.waiting is not Waiting.NONE)


@cache
def pool_image() -> bytes:
    """The pool for this machine, which goes with the code of parallel kernels.

    The first byte says whether it has workers, the rest is object code.
    """
    from tilec_llvm.target import host  # slow to import

    system = system_of(host().triple, ctypes.sizeof(ctypes.c_void_p))
    return bytes([system.waiting is not Waiting.NONE]) + _compile(system)


class ParallelRunner(LlvmRunner):
    """Loaded code of a module with parallel loops."""

    takes_threads = True

    def __init__(
        self,
        image: bytes,
        name: str,
        workspace_bytes: int,
        constants: Sequence[bytes],
        worker_bytes: int,
        team: Pool,
        enter: Entry | None = None,
    ) -> None:
        super().__init__(image, name, workspace_bytes, constants, {ENTRY: team.parallel}, enter)
        self._worker_bytes = worker_bytes
        self._divided = cast("Callable[[bytes, int, int], None]", _PROTOTYPE(self._address))

    def run(
        self, inputs: Sequence[int], outputs: Sequence[int], num_threads: int | None = None
    ) -> None:
        """Run the module once; see ``tilec.runtime.backend.Runner``."""
        args = self._packed(inputs, outputs)
        needed, threads = self.needs(num_threads)
        if needed == 0:
            self._divided(args, 0, threads)
            return
        piece = workspaces.take(needed)
        try:
            self._divided(args, piece[0], threads)
        finally:
            workspaces.give(piece)

    def needs(self, num_threads: int | None) -> tuple[int, int]:
        """See ``LlvmRunner``."""
        threads = min(num_threads or default_threads(), MOST_WORKERS + 1)
        return self._workspace_bytes + self._worker_bytes * threads, threads


_PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int32)
_lock = Lock()
_shared: Pool | None = None


def _compile(system: System) -> bytes:
    """Object code of a pool.

    The little that it computes gains nothing from optimisation, which would take ten times as long.
    """
    from tilec_llvm.target import Compiler, host

    return Compiler(host(), speed=0).object_code(pool_text(system))


def _load(image: bytes, *, has_workers: bool) -> Pool:
    symbols = load_forever(image, (ENTRY, "tilec_workers", "tilec_forked"))
    if has_workers:
        _when_forked(symbols["tilec_forked"])
    workers = ctypes.CFUNCTYPE(ctypes.c_int32)(symbols["tilec_workers"])
    return Pool(symbols[ENTRY], cast("Callable[[], int]", workers))


def _when_forked(handler: int) -> None:
    """Have native code called in forked children, whoever forks."""
    libc = ctypes.CDLL(None)
    child = ctypes.c_void_p(handler)
    if hasattr(libc, "pthread_atfork"):
        failed = libc.pthread_atfork(None, None, child)
    else:  # glibc has it in the part that is linked statically, on top of this
        failed = libc.__register_atfork(None, None, child, None)
    if failed:
        raise MemoryError("the C library has no room for a fork handler")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=default_threads.cache_clear)
