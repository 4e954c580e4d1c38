"""Every example runs as a user runs it: as a script, in a folder of its own, without warnings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("[0-9]*.py"))

PICTURES = {
    "04_photo_filters.py": ("photo_filters.png", (1992, 976)),
    "05_kmeans_digits.py": ("digits.png", (1200, 120)),
    "07_train_digits.py": ("training.png", (640, 320)),
    "demo.py": ("demo.png", (1280, 427)),
}


def run(script: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / script)],
        cwd=folder,
        env={**os.environ, "KERAS_HOME": str(folder / "keras")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("script", [*SCRIPTS, "demo.py"])
def test_example(script: str, tmp_path: Path) -> None:
    assert "largest error" in run(script, tmp_path)
    drawn = sorted(path.name for path in tmp_path.glob("out/*"))
    assert drawn == ([PICTURES[script][0]] if script in PICTURES else [])
    for name in drawn:
        with Image.open(tmp_path / "out" / name) as picture:
            assert picture.size == PICTURES[script][1]


def test_attention_in_pytorch(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    assert run("torch_attention.py", tmp_path).count("largest error") == 4


def test_every_example_is_described() -> None:
    text = (EXAMPLES / "README.md").read_text()
    named = [path.name for path in EXAMPLES.glob("tile/*.tile")]
    for name in [*SCRIPTS, *named]:
        assert name in text, name
