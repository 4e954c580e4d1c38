"""Libraries: a module, the pool and a C interface as one object file, and loading one again."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Final, cast

from tilec.errors import ArgumentError, OutOfMemoryError, TargetError
from tilec.kernel.ir import Module
from tilec.options import Options
from tilec.runtime.backend import Runner
from tilec.runtime.library import Interface, Library, Weights
from tilec_llvm import library_ir as ir
from tilec_llvm.c_header import header
from tilec_llvm.emit import emit_module
from tilec_llvm.features import portable
from tilec_llvm.jit import load_forever
from tilec_llvm.pool import default_threads
from tilec_llvm.pool_ir import pool_text
from tilec_llvm.pool_platform import system_of
from tilec_llvm.target import compiler

_POINTER_BYTES: Final = 8
_SAME: Final = {"amd64": "x86_64", "arm64": "aarch64"}


def make_library(module: Module, interface: Interface, options: Options) -> Library:
    """See ``tilec.runtime.library.LibraryBackend``."""
    target = portable(options.cpu)
    machine = compiler(target.target)
    entry = f"{interface.name}.entry"
    emitted = emit_module(replace(module, name=entry), machine.abilities, tuned=target.tuned)
    weights = Weights()
    offsets = tuple(weights.add(data) for data in interface.constants)
    tail = tuple(weights.add(data) for data in emitted.constants)
    frame = ir.Frame(
        name=interface.name,
        inputs=interface.inputs,
        outputs=interface.outputs,
        order=interface.order,
        offsets=offsets,
        tail=tail,
        weights_bytes=weights.bytes,
        checksum=weights.checksum,
        workspace_bytes=emitted.workspace_bytes,
        worker_bytes=emitted.worker_bytes,
        is_parallel=emitted.is_parallel,
    )
    texts = [emitted.text, ir.interface_text(frame, target)]
    if emitted.is_parallel:
        texts.append(pool_text(system_of(target.target.triple, _POINTER_BYTES)))
    exported = frozenset(f"{interface.name}_{each}" for each in ir.FUNCTIONS)
    return Library(
        object=machine.linked_code(texts, exported),
        header=header(interface, target.features),
        weights=tuple(weights.pieces),
        checksum=weights.checksum,
        architecture=target.target.architecture,
        cpu=target.tuned,
        features=target.features,
        workspace_bytes=emitted.workspace_bytes + emitted.worker_bytes,
        worker_bytes=emitted.worker_bytes,
    )


def open_library(code: bytes, name: str, architecture: str, weights: str) -> Runner:
    """See ``tilec.runtime.library.LibraryBackend``."""
    here = platform.machine().lower()
    if _SAME.get(here, here) != architecture:
        raise TargetError(
            f"the library was compiled for {architecture}, and this machine is {here}",
            help="export it again with --cpu and the name of such a processor",
        )
    return _Model(_loaded(code, name), name, weights)


@cache
def _loaded(code: bytes, name: str) -> dict[str, int]:
    """Addresses of the functions; the same code is loaded once."""
    symbols = load_forever(code, [f"{name}_{each}" for each in ir.FUNCTIONS])
    return {symbol.removeprefix(f"{name}_"): at for symbol, at in symbols.items()}


class _Model:
    """A model of a library. Its memory is given back when nothing refers to it any more."""

    def __init__(self, symbols: dict[str, int], name: str, weights: str) -> None:
        missing = cast("Callable[[], int]", ctypes.CFUNCTYPE(ctypes.c_uint64)(symbols["missing"]))
        words = ctypes.CFUNCTYPE(ctypes.c_char_p)(symbols["features"])
        _check_features(missing(), cast("Callable[[], bytes]", words)().decode().split())
        whole, pointer = ctypes.c_int, ctypes.c_void_p
        opened = ctypes.CFUNCTYPE(whole, ctypes.c_char_p, pointer)(symbols["open"])
        self._error = ctypes.CFUNCTYPE(ctypes.c_char_p, whole)(symbols["error"])
        self._close = ctypes.CFUNCTYPE(None, pointer)(symbols["close"])
        run = ctypes.CFUNCTYPE(whole, pointer, pointer, pointer, whole)(symbols["run"])
        self._run = cast("Callable[[object, object, object, int], int]", run)
        self._handle = pointer()
        self._check(cast("int", opened(os.fsencode(weights), ctypes.byref(self._handle))), weights)

    def run(
        self, inputs: Sequence[int], outputs: Sequence[int], num_threads: int | None = None
    ) -> None:
        """See ``tilec.runtime.backend.Runner``."""
        given = (ctypes.c_void_p * len(inputs))(*inputs)
        written = (ctypes.c_void_p * len(outputs))(*outputs)
        threads = num_threads or default_threads()
        self._check(self._run(self._handle, given, written, threads), "a run")

    def _check(self, status: int, subject: str) -> None:
        if status == ir.OK:
            return
        words = cast("bytes", self._error(status)).decode()
        kind = OutOfMemoryError if status == ir.MEMORY else ArgumentError
        raise kind(f"{subject}: {words}")

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._close(self._handle)


def _check_features(missing: int, needed: Sequence[str]) -> None:
    lacking = [name for at, name in enumerate(needed) if missing >> at & 1]
    if lacking:
        raise TargetError(
            f"this machine lacks {', '.join(lacking)}, which the library was compiled for",
            help="export it again with --cpu and the name of an older processor, e.g. x86-64-v3",
        )
