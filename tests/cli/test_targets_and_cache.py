from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Tilec
from tilec import TargetInfo


def test_targets(tilec: Tilec) -> None:
    result = tilec("targets")
    assert result.status == 0
    lines = result.out.splitlines()
    usable = dict(line.split()[:2] for line in lines[2:5])
    assert list(usable) == ["llvm", "opencl", "reference"]
    assert usable["llvm"] == usable["reference"] == "yes"
    assert all(len(line) < 150 for line in lines[:5])
    assert "processor" in result.out


def test_targets_as_json(tilec: Tilec) -> None:
    facts: dict[str, Any] = json.loads(tilec("targets", "--json").out)
    assert {each["name"] for each in facts["targets"]} >= {"llvm", "reference"}
    assert facts["host"]["cores"] >= 1


def test_a_target_that_cannot_be_used(tilec: Tilec, monkeypatch: pytest.MonkeyPatch) -> None:
    info = TargetInfo("opencl", False, (), "the package pyopencl is not installed")
    monkeypatch.setattr("tilec.targets", lambda: (info,))
    assert "the package pyopencl is not installed" in tilec("targets").out
    result = tilec("compile", "-e", "C = A", "--shape", "A=4", "--target", "opencl")
    assert result.status == 2
    assert "the target opencl cannot be used: the package pyopencl is not installed" in result.err


def test_cache(tilec: Tilec) -> None:
    assert tilec("cache", "info", "--json").status == 0
    assert tilec("run", "-e", "C = A + 1", "A=[1]").status == 0
    facts: dict[str, Any] = json.loads(tilec("cache", "info", "--json").out)
    assert facts["folder"] == str(Path("cache").absolute())
    assert facts["entries"] > 0
    assert facts["problem"] is None
    assert f"entries  {facts['entries']}\n" in tilec("cache", "info").out

    entry = max(Path("cache").glob("*"), key=lambda path: path.stat().st_size)
    entry.write_bytes(entry.read_bytes()[:-1])
    report: dict[str, Any] = json.loads(tilec("cache", "verify", "--json").out)
    assert report["checked"] == facts["entries"]
    assert [each["entry"] for each in report["damaged"]] == [entry.name]
    assert tilec("cache", "verify").out.endswith("0 damaged\n")
    assert tilec("cache", "clear").out == f"removed {facts['entries'] - 1} " + (
        "entry\n" if facts["entries"] == 2 else "entries\n"
    )
    assert json.loads(tilec("cache", "info", "--json").out)["entries"] == 0


def test_no_cache(tilec: Tilec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEC_CACHE", "off")
    assert "switched off" in tilec("cache", "info").out
    assert tilec("cache", "clear").out == "removed 0 entries\n"
    assert tilec("cache", "verify").status == 0


@pytest.mark.skipif(os.name == "nt", reason="modes are those of POSIX")
def test_a_cache_that_is_refused(tilec: Tilec) -> None:
    Path("cache").mkdir()
    Path("cache").chmod(0o777)
    assert "problem" in tilec("cache", "info").out
    result = tilec("cache", "clear")
    assert result.status == 1
    assert "TILEC_CACHE" in result.err
