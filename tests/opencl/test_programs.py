"""Whole programs on every OpenCL device that is found here, held against the reference."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import tilec
from tests.llvm.conftest import targets
from tests.property.products import convolutions, matrix_products
from tests.property.programs import RANDOM, Case, cases
from tests.property.test_llvm_against_reference import LAYOUTS, check_target

DEVICES = [name for name in targets() if name != "llvm"]
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not DEVICES, reason="there is no OpenCL device")


@pytest.mark.parametrize("device", DEVICES)
@settings(RANDOM, max_examples=20)
@given(case=cases(), layout=LAYOUTS)
def test_random_programs_equal_the_reference(device: str, case: Case, layout: str) -> None:
    check_target(case, device, layout)


@pytest.mark.parametrize("device", DEVICES)
@settings(RANDOM, max_examples=3)
@given(case=matrix_products(), layout=LAYOUTS)
def test_products_equal_the_reference(device: str, case: Case, layout: str) -> None:
    check_target(case, device, layout)


@pytest.mark.parametrize("device", DEVICES)
@settings(RANDOM, max_examples=6)
@given(case=convolutions(), layout=LAYOUTS)
def test_convolutions_equal_the_reference(device: str, case: Case, layout: str) -> None:
    check_target(case, device, layout)


PROGRAMS = {
    "bound weights": (
        "function (X[M, K], W[K, N], B[N]) -> (R) "
        "{ C[i, j : M, N] = +(X[i, k] * W[k, j]); R = relu(C + B); }",
        {"X": (50, 300), "W": (300, 70), "B": (70,)},
    ),
    "softmax": (
        "function (X[M, N]) -> (R) { L[i, 0 : M, 1] = >(X[i, j]); E = exp(X - L); "
        "S[i, 0 : M, 1] = +(E[i, j]); R = E / S; }",
        {"X": (33, 65)},
    ),
    "long sum": ("function (X[N]) -> (S) { S[] = +(X[i]); }", {"X": (100_003,)}),
    "gather and scatter": (
        "function (X[N, K], I[M]) -> (G, S) { G = gather(X, as_int(I * 7, 32)); "
        "S = scatter(G, as_int(I * 5, 32), X); }",
        {"X": (9, 5), "I": (40,)},
    ),
    "numbers of a row beside its vectors": (
        "function (X[M, N]) -> (Y) { S[i, 0 : M, 1] = +(X[i, j]); C = X - S / N; "
        "Q[i, 0 : M, 1] = +(C[i, j] * C[i, j]); Y = C / sqrt(Q / N + 1); }",
        {"X": (33, 65)},
    ),
    "rows beyond an int": (
        "function (X[N], I[M]: i64, Y[K]) -> (S, G) { S = scatter(X, I, Y); G = gather(Y, I); }",
        {"X": (2,), "I": (2,), "Y": (3,)},
    ),
    "winograd": (
        "function (X[H, W, C], K[3, 3, C, D]) -> (R) "
        "{ R[y, x, d : H, W, D] = +(X[y + i - 1, x + j - 1, c] * K[i, j, c, d]); }",
        {"X": (14, 14, 64), "K": (3, 3, 64, 64)},
    ),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(device: str, name: str) -> None:
    text, shapes = PROGRAMS[name]
    random = np.random.default_rng(1)
    values: dict[str, Any] = {
        key: random.random(shape, np.float32) for key, shape in shapes.items()
    }
    if name == "rows beyond an int":
        values["I"] = np.array([7189411738304648741, -(1 << 40)])
    function = tilec.function(text)
    bound = {key: values.pop(key) for key in ("W", "K") if key in values}
    part = function.bind(**bound)
    given = [values[each] for each in shapes if each in values]
    found: Any = part.compile(*given, target=device)(*given)
    wanted: Any = part.compile(*given, target="reference")(*given)
    for at in range(len(part.outputs)):
        left, right = (each if len(part.outputs) == 1 else each[at] for each in (found, wanted))
        np.testing.assert_allclose(left, right, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("device", DEVICES)
def test_elements_beside_extreme_ones(device: str) -> None:
    """Functions on vectors may go another way for all lanes where one needs that."""
    function = tilec.function(
        "function (A[N], P[N], Q[N]) -> (S, C, T, R) "
        "{ S = sin(A); C = cos(A); T = tan(A); R = pow(P, Q); }"
    )
    a = np.array([1e-9, 0.3, 1.5, 4e8, 0.7, 1e-3, 2.0, 0.1] * 4, np.float32)
    p, q = a.astype(np.float64), np.array([0.3, 2.05, 1 / 3, 200.0, 0.5, 2.0, 1.0, -1.0] * 4)
    found: Any = function(a, p, q, target=device)
    wanted: Any = function(p, p, q, target="reference")
    for own, right in zip(found, wanted, strict=True):
        np.testing.assert_allclose(own, right, rtol=1e-6 if own.dtype == np.float32 else 1e-14)


@pytest.mark.parametrize("device", DEVICES)
def test_gradients_run_there(device: str) -> None:
    function = tilec.function("C[i, j : M, N] = +(A[i, k] * B[k, j])")
    random = np.random.default_rng(2)
    a, b, c = (random.random(shape, np.float32) for shape in ((20, 30), (30, 40), (20, 40)))
    left, right = tilec.grad(function)(a, b, c, target=device)
    np.testing.assert_allclose(left, c @ b.T, rtol=1e-5)
    np.testing.assert_allclose(right, a.T @ c, rtol=1e-5)


def test_code_comes_from_the_disk_cache_in_the_next_process(tmp_path: Path) -> None:
    script = (
        "import numpy as np, pyopencl as cl, tilec, tilec_opencl.emit as emit\n"
        "made = []\n"
        "emit_before, build_before = emit.emit_module, cl.Program\n"
        "emit.emit_module = lambda *a: made.append('printed') or emit_before(*a)\n"
        "kinds = {2: 'source', 3: 'binary'}\n"
        "cl.Program = lambda *a: made.append(kinds[len(a)]) or build_before(*a)\n"
        "f = tilec.function('function (A[N]) -> (B) { B = A * 3; }')\n"
        "assert (f(np.ones(9, np.float32), target='opencl') == 3).all()\n"
        "print(*made)\n"
    )
    path = os.pathsep.join(str(ROOT / part) for part in (".", "grammar", "backends"))
    environment = {**os.environ, "TILEC_CACHE": str(tmp_path), "PYTHONPATH": path}
    steps = [
        subprocess.run(
            [sys.executable, "-c", script],
            env=environment, capture_output=True, text=True, check=True, timeout=120,
        ).stdout.strip()
        for _ in range(2)
    ]  # fmt: skip
    assert steps == ["printed source binary", "binary"]
