"""No access outside an array, as the memory protection of the machine sees it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no mprotect")


def run(first: str, examples: int, note: Path) -> subprocess.CompletedProcess[str]:
    """The module ``guarded`` in a process of its own, which may die."""
    command = [sys.executable, "-m", "tests.property.guarded", first, str(examples), str(note)]
    root = Path(__file__).parents[2]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_the_guard_is_fatal(tmp_path: Path) -> None:
    done = run("beyond", 0, tmp_path / "note")
    assert done.returncode in (-signal.SIGSEGV, -signal.SIGBUS)
    assert (tmp_path / "note").read_text() == "one element beyond"


def test_random_programs_stay_inside_their_arrays(tmp_path: Path) -> None:
    note = tmp_path / "note"
    done = run("1", 60, note)
    if done.returncode < 0:
        died = signal.Signals(-done.returncode).name
        pytest.fail(f"{died} in\n{note.read_text()}\n{done.stderr}")
    assert done.returncode == 0, done.stderr
