"""The command that holds models of ``keras.applications`` against another backend."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from tilec.keras.applications import QUICK, SIZES, difference, main


def test_every_model_is_known() -> None:
    assert len(SIZES) == 40
    assert set(QUICK) <= set(SIZES)


def test_a_model_agrees_with_torch() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    found = CliRunner().invoke(main, ["MobileNetV2"])
    assert found.exit_code == 0, found.output
    assert "1 of 1 models agree with torch" in found.output


def test_results_that_differ_are_told() -> None:
    assert difference(np.array([1, -4], np.float32), np.array([1, -2], np.float32)) == 1
