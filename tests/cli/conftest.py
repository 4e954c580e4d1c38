from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tilec.cli.main import run


@dataclass(frozen=True, slots=True)
class Result:
    status: int
    out: str
    err: str


Tilec = Callable[..., Result]


@pytest.fixture
def tilec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Tilec:
    """Runs the command line in this process, in an empty folder with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TILEC_CACHE", str(tmp_path / "cache"))
    for name in ("TILEC_DEBUG", "TILEC_TARGET", "TILEC_NUM_THREADS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: str) -> Result:
        capfd.readouterr()
        status = run(arguments)
        printed = capfd.readouterr()
        return Result(status, printed.out, printed.err)

    return call
