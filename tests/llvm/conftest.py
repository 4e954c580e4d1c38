"""Tests that say ``EVERY_TARGET`` run on every target that is found here: always, or on request
(``pytest --every-target``) where drivers take minutes to compile them.
"""

from __future__ import annotations

from functools import cache

import pytest

from tests.llvm.harness import Current
from tilec.errors import TargetError


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
    """Run the tests of a file on each target, if it asks for that."""
    when = getattr(metafunc.function, "__globals__", {}).get("EVERY_TARGET")
    if when is not None:
        every = when == "always" or metafunc.config.getoption("--every-target")
        metafunc.parametrize("target", targets() if every else targets()[:1], indirect=True)
