"""Compiling CUDA C where there is a compiler for it, and reading it where there is one for C++."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

NVCC = shutil.which("nvcc")
CXX = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)

needs_nvcc = pytest.mark.skipif(NVCC is None, reason="there is no nvcc")
needs_cxx = pytest.mark.skipif(CXX is None, reason="there is no C++ compiler")


def complaints(text: str) -> str:
    """What a C++ compiler says about the syntax, names and types of a text; nothing if it is fine.

    It knows the words of CUDA from ``cuda_words.h``, so that no machine goes without this check.
    """
    assert CXX is not None
    words = Path(__file__).with_name("cuda_words.h")
    # Warnings that would be about how things are arranged, and pragmas that C++ has not.
    fine = ["-Wno-unknown-pragmas", "-Wno-unused-function", "-Wno-unused-variable"]
    warn = ["-Wall", "-Wextra", "-Werror", *fine]
    command = [CXX, "-std=c++14", "-fsyntax-only", *warn, "-include", str(words), "-x", "c++", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


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
