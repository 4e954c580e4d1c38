"""Every example runs as a user runs it: as a script, in a folder of its own, without warnings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("[0-9]*.py"))


def run(script: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / script)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_example(script: str, tmp_path: Path) -> None:
    assert "largest error" in run(script, tmp_path)


def test_demo(tmp_path: Path) -> None:
    printed = run("demo.py", tmp_path)
    assert "largest error" in printed
    assert (tmp_path / "out" / "demo.png").exists()


def test_pictures(tmp_path: Path) -> None:
    from PIL import Image

    run("04_photo_filters.py", tmp_path)
    with Image.open(tmp_path / "out" / "photo_filters.png") as page:
        assert page.size == (1992, 976)


def test_every_example_is_described() -> None:
    text = (EXAMPLES / "README.md").read_text()
    named = [path.name for path in EXAMPLES.glob("tile/*.tile")]
    for name in [*SCRIPTS, *named]:
        assert name in text, name
