"""A typed door to matplotlib, which is used without a display."""

from __future__ import annotations

import importlib
from typing import Any


def figure(width: float, height: float) -> tuple[Any, Any]:
    """A figure of so many inches with one pair of axes.

    Raises:
        ImportError: matplotlib is not installed.
    """
    importlib.import_module("matplotlib").use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    made, axes = pyplot.subplots(figsize=(width, height), layout="constrained")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return made, axes


def save(made: Any, path: str) -> None:
    """Write a figure and forget it."""
    made.savefig(path, dpi=140)
    importlib.import_module("matplotlib.pyplot").close(made)
