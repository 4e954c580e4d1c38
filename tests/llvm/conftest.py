"""Tests marked ``every_target`` run on LLVM and on each OpenCL device that is found here.

Drivers take a quarter of a second or more for a kernel, so that vectors of other than 1 or 16
lanes, which are pieces of 16 or one driver's business, run on devices only on request
(``pytest --every-target``). Everything else runs always.
"""

from __future__ import annotations

from functools import cache

import pytest

from tests.llvm.harness import Current
from tilec.errors import TargetError

LANES = (1, 16)
"""Lanes of the vectors that devices are always tested with."""


@cache
def targets() -> tuple[str, ...]:
    """LLVM, and each OpenCL device."""
    try:
        from tilec_opencl.devices import devices

        return ("llvm", *(f"opencl:{each.number}" for each in devices() if not each.lacks))
    except TargetError:
        return ("llvm",)


@pytest.fixture(autouse=True)
def target(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The target of a test."""
    name = str(getattr(request, "param", "llvm"))
    monkeypatch.setattr(Current, "target", name)
    return name


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on each target, if it is marked, and not as one of the code that LLVM makes."""
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    if "every_target" in marks and "llvm_code" not in marks:
        metafunc.parametrize("target", targets(), indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what runs on request."""
    if config.getoption("--every-target"):
        return
    left = [item for item in items if isinstance(item, pytest.Function) and _waits(item)]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in set(left)]


def _waits(item: pytest.Function) -> bool:
    call = getattr(item, "callspec", None)
    if call is None or call.params.get("target", "llvm") == "llvm":
        return False
    return call.params.get("lanes", 1) not in LANES
