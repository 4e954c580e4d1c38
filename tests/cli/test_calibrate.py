from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Tilec


def test_calibrate(tilec: Tilec) -> None:
    assert "not calibrated" in tilec("targets").out
    result = tilec("calibrate", "--samples", "2", "--json")
    assert result.status == 0, result.err
    facts: dict[str, Any] = json.loads(result.out)
    assert Path(facts["file"]).is_file()
    assert facts["peak"]["one"]["samples"] == 2
    assert facts["peak"]["every"]["median"] > 1e8
    names = [each["name"] for each in facts["reads"]]
    assert names[:2] == ["L1", "L2"]
    assert names[-1] == "memory"
    assert all(0 < each["one"]["low"] <= each["one"]["high"] for each in facts["reads"])

    assert "reading from memory" in tilec("targets").out
    known: dict[str, Any] = json.loads(tilec("targets", "--json").out)
    assert known["calibration"]["peak"] == facts["peak"]
    assert known["description"]["threads"] == facts["threads"]

    Path(facts["file"]).write_text("{}")
    assert "not calibrated" in tilec("targets").out


def test_calibration_is_not_kept_without_a_cache(
    tilec: Tilec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILEC_CACHE", "off")
    result = tilec("calibrate", "--samples", "1")
    assert result.status == 0
    assert "arithmetic, f32" in result.out
    assert "not kept, because TILEC_CACHE is off" in result.err


def test_a_folder_that_cannot_be_written(tilec: Tilec) -> None:
    Path("cache").write_text("no folder")
    result = tilec("calibrate", "--samples", "1")
    assert result.status == 2
    assert "the calibration cannot be written" in result.err
