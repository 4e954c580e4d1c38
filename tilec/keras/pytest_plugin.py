"""``pytest -p tilec.keras.pytest_plugin``: Keras's own tests run on tilec.

What ``excluded_tests.txt`` of the backend lists is skipped, with the reason that stands there.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import pytest

from tilec.keras._hook import activate

activate()  # before pytest's own finder, and before any test imports Keras


def exclusions() -> dict[str, str]:
    """Why tests are excluded, by a part of their names.

    A line is ``part of a name: reason``; lines that begin with # are comments.
    """
    text = (files("keras_tilec") / "excluded_tests.txt").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    pairs = [line.partition(": ") for line in lines]
    return {name.strip(): reason.strip() for name, _, reason in pairs}


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers of Keras's own ``conftest.py``, which is not installed with it."""
    for marker in ("requires_trainable_backend", "multi_device"):
        config.addinivalue_line("markers", f"{marker}: a mark of Keras")


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Skip what is excluded."""
    known = exclusions()
    for item in items:
        if not item.nodeid.startswith("keras/") and "keras/src" not in str(item.path):
            continue
        if item.get_closest_marker("multi_device") is not None:
            item.add_marker(pytest.mark.skip(reason="needs several devices"))
        for name, reason in known.items():
            if name in item.nodeid:
                item.add_marker(pytest.mark.skip(reason=f"excluded: {reason}"))
