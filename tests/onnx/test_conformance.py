"""Some of ONNX's own tests of operators; ``python -m tilec.onnx.conformance`` runs all."""

from __future__ import annotations

import pytest

from tilec.onnx import conformance

MODULES = ["cumsum", "gathernd", "reduce_log_sum", "scatternd", "slice", "split", "topk", "trilu"]


@pytest.fixture(scope="module")
def verdicts() -> list[conformance.Verdict]:
    cases = conformance.cases(MODULES)
    wanted = [each for each in cases if not each.name.endswith("_expanded")]
    return [conformance.judge(each) for each in wanted]


def test_a_slice_of_the_tests_passes(verdicts: list[conformance.Verdict]) -> None:
    failed = [f"{each.name}: {each.reason}" for each in verdicts if each.outcome != "passed"]
    assert len(verdicts) > 50
    assert not failed


def test_the_summary_counts(verdicts: list[conformance.Verdict]) -> None:
    verdicts = [
        *verdicts[:3],
        conformance.Verdict("test_one", "failed", "wrong"),
        conformance.Verdict("test_two", "left out", "strings"),
        conformance.Verdict("test_three", "not supported", "missing"),
    ]
    lines = conformance.summary(verdicts, verbose=False).splitlines()
    assert lines[-1] == ("3 of 5 tests of float and integer tensors pass (60.0 %), 1 are left out")
    assert "failed, 1: wrong" in lines
    assert "    test_one" in lines
    assert "    test_two" not in lines


def test_the_command_runs_on_the_target_that_it_is_given(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert conformance.main(["relu", "--only", "test_relu$", "--target", "llvm"]) == 0
    assert "1 of 1 tests" in capsys.readouterr().out
    assert conformance.main(["relu", "--only", "test_relu$", "--target", "nowhere"]) == 1
    assert "there is no target 'nowhere'" in capsys.readouterr().out
