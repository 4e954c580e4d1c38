"""``pytest -p tilec.keras.pytest_plugin``: Keras's own tests run on tilec.

What ``excluded_tests.txt`` of the backend lists is skipped, with the reason that stands there.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from importlib.resources import files
from types import ModuleType
from typing import Any

import pytest

from tilec.keras._hook import activate
from tilec.keras.absent import stand_ins
from tilec.keras.versions import BACKEND

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
    """Stand in for Keras's own ``conftest.py``, which is not installed with it."""
    for marker in ("requires_trainable_backend", "multi_device"):
        config.addinivalue_line("markers", f"{marker}: a mark of Keras")
    module: Any = ModuleType("conftest")
    module.skip_if_backend = skip_if_backend
    sys.modules.setdefault("conftest", module)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Let test modules of Keras import what is not installed."""
    if not isinstance(collector, pytest.Module) or "keras/src" not in str(collector.path):
        return (yield)
    with stand_ins():
        return (yield)


def skip_if_backend(name: str, reason: str) -> pytest.MarkDecorator:
    """What tests import from there: a mark for those that do not hold for some backend."""
    return pytest.mark.skipif(name == BACKEND, reason=reason)


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
