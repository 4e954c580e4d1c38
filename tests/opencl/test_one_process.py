"""tilec, PyTorch and pyopencl with PoCL in one process: three LLVMs that must not meet."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from itertools import permutations
from pathlib import Path

import pytest

from tests.llvm.conftest import targets

ROOT = Path(__file__).parents[2]
LIBRARIES = ("llvmlite.binding", "pyopencl", "torch")
SCRIPT = """
import numpy as np
f = g = None
def use(name):
    global f, g
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


def scripts() -> list[str]:
    """Each imports the libraries in another order, and uses them in that and in the opposite one;
    then each uses what it made as soon as it is there.
    """
    orders = list(permutations(name for name in LIBRARIES if find_spec(name.partition(".")[0])))
    found: list[str] = []
    for order in orders:
        uses = "".join(f"use({name!r})\n" for name in (*order, *reversed(order)))
        found.append("".join(f"import {name}\n" for name in order) + SCRIPT + uses)
        if len(order) == len(LIBRARIES):
            lazily = "".join(f"import {name}\nuse({name!r})\n" for name in order)
            found.append(SCRIPT + lazily)
    return found


@pytest.mark.parametrize("script", scripts(), ids=lambda script: str(script.count("import")))
def test_libraries_live_in_one_process(script: str) -> None:
    path = os.pathsep.join(str(ROOT / part) for part in (".", "grammar", "backends"))
    environment = {**os.environ, "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120, env=environment)
