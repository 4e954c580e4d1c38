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
    made = folder / f"{name}.ptx"
    _run(text, folder / f"{name}.cu", "-ptx", "-o", str(made))
    return made.read_text()


def registers(text: str, folder: Path) -> str:
    """What the assembler says about the registers of a kernel."""
    made = folder / "registers.cubin"
    return _run(text, folder / "registers.cu", "-cubin", "-Xptxas", "-v", "-o", str(made))


def _run(text: str, source: Path, *options: str) -> str:
    """Run nvcc; what it says."""
    assert NVCC is not None
    source.write_text(text)
    command = [NVCC, "-arch=sm_80", "-Werror=all-warnings", *options, str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stderr}\n{text}"
    return done.stderr
