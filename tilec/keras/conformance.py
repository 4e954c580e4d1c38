"""``python -m tilec.keras.conformance [GROUP ...]``: Keras's own tests on tilec, counted by group.

They are installed with Keras. Some of their modules and cases need TensorFlow, PyTorch or grain:
these are counted apart, as are those that ``excluded_tests.txt`` of the backend names.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest

from tilec.errors import UserError

GROUPS: Final[Mapping[str, Sequence[str]]] = {
    "core": ("ops.core_test",),
    "math": ("ops.math_test",),
    "linalg": ("ops.linalg_test",),
    "nn": ("ops.nn_test",),
    "numpy": ("ops.numpy_test",),
    "image": ("ops.image_test",),
    "operations": (
        "ops.einops_test",
        "ops.function_test",
        "ops.node_test",
        "ops.operation_test",
        "ops.operation_utils_test",
        "ops.ops_test",
        "ops.symbolic_arguments_test",
    ),
    "variables": ("backend.common", "backend.tests"),
    "layers": (
        "layers.activations",
        "layers.attention",
        "layers.convolutional",
        "layers.core",
        "layers.layer_test",
        "layers.merging",
        "layers.normalization",
        "layers.pooling",
        "layers.regularization",
        "layers.reshaping",
        "layers.rnn",
    ),
    "preprocessing": ("layers.preprocessing",),
    "losses": ("losses", "activations"),
    "metrics": ("metrics",),
    "optimizers": ("optimizers",),
    "trainers": ("trainers",),
    "models": ("models",),
    "saving": ("saving",),
    "callbacks": ("callbacks",),
    "random": ("random", "initializers", "regularizers", "constraints"),
    "utilities": ("distillation", "dtype_policies", "testing", "tree", "utils", "wrappers"),
    "quantizers": ("quantizers",),
    "applications": ("applications",),
}
"""Modules and packages of ``keras.src`` that belong together."""

NIGHTLY: Final = ("applications", "quantizers")
"""Groups that run only when they are named: they take long."""

OUTCOMES: Final = ("passed", "failed", "skipped", "excluded", "foreign")

_FOREIGN: Final = (
    "No module named 'tensorflow",
    "No module named 'grain'",
    "No module named 'torch",
    "No module named 'orbax'",
    "requires the tensorflow module",
    "requires installing TensorFlow",
    "requires TensorFlow",
)
"""What errors say of packages that are not installed and that Keras on tilec does not need."""


class Tally:
    """A plug-in of pytest that counts outcomes."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.failed: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a case."""
        if report.when == "call" or report.outcome != "passed":
            self._count(report.nodeid, report.outcome, str(report.longrepr))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Count a module that cannot be imported."""
        if report.outcome != "passed":
            self._count(report.nodeid, report.outcome, str(report.longrepr))

    def _count(self, name: str, outcome: str, text: str) -> None:
        if outcome == "failed" and any(each in text for each in _FOREIGN):
            outcome = "foreign"
        elif outcome == "skipped" and "excluded: " in text:
            outcome = "excluded"
        self.counts[outcome] += 1
        if outcome == "failed":
            self.failed.append(name)


def tally(group: str) -> Tally:
    """Run the tests of a group in this process."""
    found = Tally()
    names = [str(_file(each)) for each in GROUPS[group]]
    options = ["-q", "-W", "ignore", "--no-header", "--no-summary", "--tb=short", "-c", os.devnull]
    options += ["--continue-on-collection-errors", "-p", "no:cacheprovider"]
    options += ["-p", "tilec.keras.pytest_plugin"]
    with open(os.devnull, "w") as nowhere:
        shown, sys.stdout = sys.stdout, nowhere
        try:
            code = pytest.main([*options, *names], plugins=[found])
        finally:
            sys.stdout = shown
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise UserError(f"pytest could not run the group {group}: {pytest.ExitCode(code).name}")
    return found


def _file(name: str) -> Path:
    """A module or a folder of Keras, which is not imported for it."""
    spec = find_spec("keras")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("Keras is not installed", help="pip install 'tilec[keras]'")
    found = Path(spec.submodule_search_locations[0], "src", *name.split("."))
    return found if found.is_dir() else found.with_suffix(".py")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run groups and print a table; 0 if nothing failed."""
    parser = argparse.ArgumentParser(
        prog="python -m tilec.keras.conformance", description="Keras's own tests on tilec."
    )
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--names", action="store_true", help="print the names of what failed")
    given = parser.parse_args(arguments)
    groups: Sequence[str] = given.groups or [each for each in GROUPS if each not in NIGHTLY]
    for each in groups:
        if each not in GROUPS:
            parser.error(f"there is no group {each}; there are {', '.join(GROUPS)}")
    total: Counter[str] = Counter()
    print(f"{'group':<14}" + "".join(f"{each:>10}" for each in OUTCOMES), flush=True)
    with TemporaryDirectory() as folder:
        # Keras writes a file of settings where it looks for one.
        os.environ.setdefault("KERAS_HOME", str(Path(folder) / "keras"))
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        for each in groups:
            found = tally(each)
            total += found.counts
            _show(each, found.counts)
            if given.names:
                print("".join(f"  {name}\n" for name in found.failed), end="", flush=True)
    _show("all", total)
    return 1 if total["failed"] else 0


def _show(name: str, counts: Mapping[str, int]) -> None:
    print(f"{name:<14}" + "".join(f"{counts.get(each, 0):>10}" for each in OUTCOMES), flush=True)


if __name__ == "__main__":
    sys.exit(main())
