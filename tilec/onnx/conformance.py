"""How many of ONNX's own tests of operators pass: ``python -m tilec.onnx.conformance``.

Prints the count, and the tests that fail or are left out, with reasons. Tests that are left out are
about element types that Tile lacks, or about what is no tensor.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from tilec.errors import TilecError
from tilec.onnx.file import OLDEST_OPSET
from tilec.onnx.types import tile_type
from tilec.records import dataclass

_Case: TypeAlias = Any
"""``onnx.backend.test.case.test_case.TestCase``."""

_NODES: Final = "onnx.backend.test.case.node"

_KINDS: Final = {
    "sequence_type": "sequences are no tensors",
    "optional_type": "optional values are no tensors",
    "map_type": "maps are no tensors",
    "sparse_tensor_type": "sparse tensors are not supported",
}

_RANDOM: Final = re.compile(r"^test_(bernoulli|training_dropout)(?!.*zero_ratio)")
"""Tests whose results are random numbers of nobody's choice."""

UNSUPPORTED: Final = {
    r"bitcast": "Tile has no conversion that keeps the bits",
    r"nonmaxsuppression": "how many boxes remain depends on data",
    r"image_decoder": "files of pictures are not read",
    r"tfidfvectorizer": "n-grams are no tensor operation",
    r"deform_conv": "samples at places that are data, in windows",
    r"roialign": "samples at places that are data, in windows",
    r"optional": "optional values are no tensors",
    r"ai_onnx_ml": "the operators of classical machine learning",
    r"adagrad|adam|momentum": "the operators of training",
    r"test_det_": "determinants",
    r"scan_sum": "the Scan of opset 8",
    r"attention.*_bf16": "the expected values are rounded to bf16 at other places",
    r"dft_inverse": "the expected values carry rounding errors that the tolerance does not allow",
}
"""Why tests fail, by regular expressions of their names. This list is to become shorter."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one test.

    Attributes:
        name: Name of the test.
        outcome: ``"passed"``, ``"failed"``, ``"not supported"`` or ``"left out"``.
        reason: Why it did not pass.
    """

    name: str
    outcome: str
    reason: str = ""


def cases(operators: Sequence[str] = ()) -> list[_Case]:
    """ONNX's tests of single operators.

    Args:
        operators: Names of ONNX's modules of tests, such as ``"add"``; by default all of them,
            which takes a while, since the tests compute what they expect.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        package = importlib.import_module(_NODES)
        if not operators:
            return list(package.collect_testcases())
        for each in operators:
            importlib.import_module(f"{_NODES}.{each}")
        return list(package._NodeTestCases)


def judge(case: _Case, target: str | None = None) -> Verdict:
    """Run one test, on a target; by default that of the environment."""
    verdict = _judged(case, target)
    if verdict.outcome == "failed":
        for pattern, reason in UNSUPPORTED.items():
            if re.search(pattern, case.name):
                return Verdict(case.name, "not supported", reason)
    return verdict


def _judged(case: _Case, target: str | None) -> Verdict:
    reason = _out_of_scope(case)
    if reason:
        return Verdict(case.name, "left out", reason)
    from tilec.onnx.backend import prepare

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            prepared = prepare(case.model, target=target)
            for inputs, expected in case.data_sets:
                found = prepared.run([_plain(each) for each in inputs])
                _compare(found, [_plain(each) for each in expected], case)
    except (TilecError, AssertionError) as error:
        return Verdict(case.name, "failed", _line(str(error)))
    except Exception as error:  # a crash is counted, and does not end the run
        return Verdict(case.name, "failed", f"crash: {type(error).__name__}: {_line(str(error))}")
    return Verdict(case.name, "passed")


def _out_of_scope(case: _Case) -> str:
    if _RANDOM.search(case.name):
        return "random numbers differ between implementations"
    versions = [each.version for each in case.model.opset_import if not each.domain]
    if min(versions, default=OLDEST_OPSET) < OLDEST_OPSET:
        return f"models of opsets before {OLDEST_OPSET} are not read"
    graph = case.model.graph
    for value in (*graph.input, *graph.output):
        kind = value.type.WhichOneof("value")
        if kind in _KINDS:
            return _KINDS[kind]
        try:
            tile_type(value.type.tensor_type.elem_type)
        except TilecError as error:
            return error.message
    return ""


def _plain(value: Any) -> Any:
    """A tensor of a test as an array."""
    if hasattr(value, "data_type"):
        return importlib.import_module("onnx.numpy_helper").to_array(value)
    return value


def _compare(found: Sequence[Any], expected: Sequence[Any], case: _Case) -> None:
    assert len(found) == len(expected), f"{len(found)} outputs instead of {len(expected)}"
    for got, wanted in zip(found, expected, strict=True):
        assert got.dtype == wanted.dtype, f"dtype {got.dtype} instead of {wanted.dtype}"
        assert got.shape == wanted.shape, f"shape {got.shape} instead of {wanted.shape}"
        if got.dtype.name == "bfloat16":
            got, wanted = got.astype(np.float32), wanted.astype(np.float32)
        np.testing.assert_allclose(got, wanted, rtol=case.rtol, atol=case.atol)


def _line(text: str) -> str:
    return " ".join(text.split())[:200]


def summary(verdicts: Iterable[Verdict], *, verbose: bool) -> str:
    """The verdicts as text."""
    listed = [*verdicts]
    counts = Counter(each.outcome for each in listed)
    tried = len(listed) - counts["left out"]
    lines: list[str] = []
    for outcome in ("left out", "not supported", "failed"):
        reasons: dict[str, list[str]] = {}
        for each in listed:
            if each.outcome == outcome:
                reasons.setdefault(each.reason, []).append(each.name)
        for reason, names in sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0])):
            lines.append(f"{outcome}, {len(names)}: {reason}")
            lines += [f"    {name}" for name in names] if verbose or outcome == "failed" else []
    share = 100 * counts["passed"] / tried if tried else 0.0
    lines.append(
        f"{counts['passed']} of {tried} tests of float and integer tensors pass ({share:.1f} %), "
        f"{counts['left out']} are left out"
    )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its status is 1 where a test fails without a known reason."""
    parser = argparse.ArgumentParser(prog="tilec.onnx.conformance", description=__doc__)
    parser.add_argument("operators", nargs="*", help="modules of tests, such as add; default all")
    parser.add_argument("--only", default="", help="a regular expression for names of tests")
    parser.add_argument("--target", help="what to run on; default that of the environment")
    parser.add_argument("--verbose", action="store_true", help="list what is left out by name")
    chosen = parser.parse_args(arguments)
    wanted = [each for each in cases(chosen.operators) if re.search(chosen.only, each.name)]
    verdicts: list[Verdict] = []
    for at, case in enumerate(wanted, 1):
        verdicts.append(judge(case, chosen.target))
        if sys.stderr.isatty():
            print(f"\r{at} of {len(wanted)}", end="", file=sys.stderr)
    print(summary(verdicts, verbose=chosen.verbose))
    return int(any(each.outcome == "failed" for each in verdicts))


if __name__ == "__main__":
    sys.exit(main())
