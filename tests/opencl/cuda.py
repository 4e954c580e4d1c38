"""Compiling CUDA C, where there is a compiler for it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

NVCC = shutil.which("nvcc")

needs_nvcc = pytest.mark.skipif(NVCC is None, reason="there is no nvcc")


def compile_cuda(text: str, folder: Path, name: str) -> str:
    """What nvcc makes of a text: PTX."""
    assert NVCC is not None
    source, made = folder / f"{name}.cu", folder / f"{name}.ptx"
    source.write_text(text)
    done = subprocess.run(
        [NVCC, "-ptx", "-arch=sm_80", "-Werror=all-warnings", "-o", str(made), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stderr}\n{text}"
    return made.read_text()
