"""A tilec backend that prints kernels as Python and runs them with NumPy."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np

from tilec.kernel.ir import Module
from tilec.options import Options
from tilec.runtime.backend import Runner
from tilec.target.core import Core
from tilec_python.emit import module_source


class PythonRunner:
    """The function ``main`` of a module's source."""

    def __init__(self, source: str, name: str, workspace_bytes: int) -> None:
        names: dict[str, object] = {}
        exec(compile(source, f"<{name}>", "exec"), names)
        self._main = cast("Callable[[Sequence[int], Sequence[int], int], None]", names["main"])
        self._workspace_bytes = workspace_bytes

    def run(
        self, inputs: Sequence[int], outputs: Sequence[int], num_threads: int | None = None
    ) -> None:
        """Run the module once; each call has a workspace of its own."""
        workspace = ctypes.create_string_buffer(self._workspace_bytes + 64)
        address = -(-ctypes.addressof(workspace) // 64) * 64
        with np.errstate(all="ignore"):  # kernels overflow and divide by zero silently
            self._main(inputs, outputs, address)


class PythonBackend:
    """Kernels as Python source."""

    name = "python"
    stages = ("python",)

    def fingerprint(self, options: Options) -> str:
        """The code depends on the printer only."""
        return "tilec-python 0.1.0"

    def core(self, options: Options) -> Core:
        """Loops are all that Python has: no vectors, one thread."""
        return Core(name="python", vector_bytes=0, threads=1)

    def compile(self, module: Module, options: Options) -> bytes:
        """The source; Python compiles it when it is loaded."""
        return module_source(module).encode()

    def text(self, module: Module, stage: str, options: Options) -> str:
        """The source."""
        return module_source(module)

    def load(self, code: bytes, module_name: str, workspace_bytes: int) -> Runner:
        """Execute the source, which defines ``main``."""
        return PythonRunner(code.decode(), module_name, workspace_bytes)


backend = PythonBackend()
