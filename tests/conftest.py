"""What all tests share."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests use a disk cache of their own, and leave that of the user alone."""
    patch = pytest.MonkeyPatch()
    patch.setenv("TILEC_CACHE", str(tmp_path_factory.mktemp("home") / "cache"))
