from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Tilec


def test_a_network_in_tilec_is_right(tilec: Tilec) -> None:
    chosen = ("--backend", "tilec", "--runs", "1", "--batch", "1", "--results", "found")
    result = tilec("bench", *chosen, "onnx", "lstm")
    assert result.status == 0, result.err
    (facts,) = json.loads(Path("found/result.json").read_text())["models"]
    assert facts["golden"] in ("onnxruntime", "reference")
    assert facts["engines"]["tilec"]["correct"]
    assert facts["engines"]["tilec"]["max_error"] < 1e-5
    assert "lstm" in result.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("onnx",), "name a file, or one of alexnet"),
        (("onnx", "lenet"), "'lenet' is no file and no network"),
        (("ops", "resnet50"), "no operation 'resnet50'"),
        (("onnx", "lstm", "--train", "--dtype", "f16"), "--train is for f32 and f64"),
    ],
)
def test_wrong_usage(tilec: Tilec, arguments: tuple[str, ...], message: str) -> None:
    result = tilec("bench", *arguments)
    assert result.status == 2
    assert message in result.err
