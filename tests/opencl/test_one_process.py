"""tilec, PyTorch and pyopencl with PoCL in one process: three LLVMs that must not meet."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import permutations
from pathlib import Path

import pytest

from tests.llvm.conftest import targets

ROOT = Path(__file__).parents[2]
LIBRARIES = ("llvmlite.binding", "pyopencl", "torch")
SCRIPT = """
import numpy as np
def use(name):
    import tilec
    if name == "torch":
        import torch
        a = torch.ones(4, 5)
        assert (torch.relu(a @ a.T) == 5).all()
        return
    h = tilec.function("function (A[N]) -> (B) { B = exp(A); }")
    a = np.ones(50, np.float32)
    assert abs(h(a, target="opencl" if name == "pyopencl" else "llvm") - np.e).max() < 1e-5
"""

pytestmark = pytest.mark.skipif(len(targets()) == 1, reason="there is no OpenCL device")


def scripts() -> Iterator[tuple[str, ...]]:
    """Orders of all three libraries, and of the two that are always there."""
    yield from permutations(LIBRARIES)
    yield from permutations(LIBRARIES[:2])


@pytest.mark.parametrize("order", [*scripts()], ids=" ".join)
@pytest.mark.parametrize("way", ["imported first", "used at once"])
def test_libraries_live_in_one_process(order: tuple[str, ...], way: str) -> None:
    if "torch" in order and find_spec("torch") is None:
        pytest.skip("PyTorch is not installed")
    if way == "used at once":
        script = SCRIPT + "".join(f"import {name}\nuse({name!r})\n" for name in order)
    else:  # used in the order of the imports, then in the opposite one
        uses = "".join(f"use({name!r})\n" for name in (*order, *reversed(order)))
        script = "".join(f"import {name}\n" for name in order) + SCRIPT + uses
    path = os.pathsep.join(str(ROOT / part) for part in (".", "grammar", "backends"))
    environment = {**os.environ, "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120, env=environment)
