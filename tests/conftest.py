"""What all tests share."""

from __future__ import annotations

import os

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of this suite."""
    parser.addoption("--every-target", action="store_true", help="all tests that devices can run")
    parser.addoption("--many", action="store_true", help="random tests of devices take minutes")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests use a disk cache of their own, and leave that of the user alone."""
    patch = pytest.MonkeyPatch()
    patch.setenv("TILEC_CACHE", str(tmp_path_factory.mktemp("home") / "cache"))


@pytest.fixture(scope="session", autouse=True)
def _compiled_files(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Processes that tests start find compiled Python files, as those of users do.

    Where Python is told to leave none beside the sources, each of them would compile all it
    imports again, which takes longer than most tests.
    """
    if os.environ.get("PYTHONDONTWRITEBYTECODE"):
        patch = pytest.MonkeyPatch()
        patch.delenv("PYTHONDONTWRITEBYTECODE")
        patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("compiled")))
