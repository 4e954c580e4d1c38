"""The backend in examples/third_party_backend, installed in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "examples" / "third_party_backend"


@pytest.fixture
def installed(tmp_path: Path) -> Mapping[str, str]:
    """An environment in which the package is installed, as far as Python can tell."""
    project: dict[str, Any] = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    facts = tmp_path / "site" / f"tilec_python-{project['version']}.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    points = project["entry-points"]["tilec.backends"]
    lines = [f"{name} = {where}" for name, where in points.items()]
    (facts / "entry_points.txt").write_text("\n".join(["[tilec.backends]", *lines, ""]))
    path = [ROOT, ROOT / "grammar", ROOT / "backends", PACKAGE, tmp_path / "site"]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "TILEC_CACHE": str(tmp_path / "cache"),
    }


def python(environment: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_found(installed: Mapping[str, str]) -> None:
    listed = json.loads(python(installed, "-m", "tilec", "targets", "--json"))["targets"]
    found = {info["name"]: info for info in listed}
    assert found["python"]["available"]
    assert found["python"]["stages"] == ["tile", "tensor", "kernel", "python"]


BODIES = {
    "matmul": "C[i, j : M, M] = +(A[i, k] * B[k, j]);",
    "window": "C[i, j : M, N] = >(A[i + k - 1, j] + B[j, i]), k < 3;",
    "elementwise": "C = (A > 0.5) ? exp(A) : sqrt(abs(A));",
    "softmax": """
        D[i, 0 : M, 1] = >(A[i, k]);
        E = exp(A - D);
        S[i, 0 : M, 1] = +(E[i, k]);
        C = E / S;
    """,
    "integers": """
        X = as_int(1000 * A, 32);
        Y = as_int(1000 * B, 8);
        C[i, j : M, M] = +(X[i, k] * Y[k, j]);
    """,
    "cumulative": "C[i, j : M, N] = +(A[k, j]), i - k < M;",
}

SCRIPT = """
import sys
import numpy as np
import tilec

random = np.random.default_rng(0)
function = tilec.function("function (A[M, N], B[N, M]) -> (C) {" + sys.argv[1] + "}")
for m, n in [(1, 1), (3, 5), (16, 16), (7, 33)]:
    a, b = random.random((m, n), np.float32), random.random((n, m), np.float32)
    result = function(a, b, target="python")
    expected = function(a, b, target="reference")
    assert result.dtype == expected.dtype
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)
"""


@pytest.mark.parametrize("name", BODIES)
def test_it_computes_what_the_reference_does(installed: Mapping[str, str], name: str) -> None:
    python(installed, "-c", SCRIPT, BODIES[name])


def test_it_prints_its_stage(installed: Mapping[str, str]) -> None:
    text = "C[i, j : M, N] = +(A[i, k] * B[k, j])"
    shapes = ("--shape", "A=4x4", "--shape", "B=4x4")
    compiled = ("-m", "tilec", "compile", "-e", text, "--target", "python", "--emit", "python")
    printed = python(installed, *compiled, *shapes)
    compile(printed, "printed", "exec")
    assert "def main(inputs, outputs, workspace):" in printed


def test_what_it_lacks_is_an_error_that_names_it(installed: Mapping[str, str]) -> None:
    script = """
import numpy as np
import tilec
try:
    tilec.function("C = erf(A)")(np.ones(3, np.float32), target="python")
except tilec.TargetError as error:
    print(error)
"""
    assert "'erf'" in python(installed, "-c", script)
