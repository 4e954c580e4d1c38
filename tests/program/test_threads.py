"""The number of threads from the public API: it changes nothing but the time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tilec
from tilec.target.cores import usable_cores

ROOT = Path(__file__).parents[2]
Array = NDArray[Any]
MATMUL = "C[i, j : M, N] = +(A[i, k] * B[k, j])"


def operands() -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return (
        rng.standard_normal((190, 300), np.float32),
        rng.standard_normal((300, 210), np.float32),
    )


@pytest.mark.skipif(usable_cores() == 1, reason="one core gets serial code")
def test_results_do_not_depend_on_the_number_of_threads() -> None:
    a, b = operands()
    matmul = tilec.function(MATMUL)
    assert "tilec_parallel" in matmul.compile(a, b).source("llvm")
    wanted = matmul(a, b, num_threads=1)
    np.testing.assert_allclose(wanted, a @ b, rtol=1e-3, atol=1e-3)
    for threads in (None, 2, 3, 7, 1000):
        for _ in range(5):
            np.testing.assert_array_equal(matmul(a, b, num_threads=threads), wanted)


KERNELS = {
    "tiles": ("C[i, j : M, N] = +(A[i, k] * B[k, j])", ((190, 300), (300, 210))),
    "rows of tiles": ("C[i, j : M, N] = +(A[i, k] * B[k, j])", ((3000, 60), (60, 17))),
    "batches": ("C[b, i, j : L, M, N] = +(A[b, i, k] * B[b, k, j])", ((9, 70, 40), (9, 40, 70))),
    "epilogue": (
        """function (A[M, K], B[K, N], V[N]) -> (R) {
          C[i, j : M, N] = +(A[i, k] * B[k, j]); R = relu(C + V); }""",
        ((190, 300), (300, 210), (210,)),
    ),
    "convolution": (
        """function (I[H, W, C], K[R, S, C, D]) -> (O) {
          O[h, w, d : H, W, D] = +(I[h + r - 1, w + s - 1, c] * K[r, s, c, d]); }""",
        ((40, 41, 16), (3, 3, 16, 48)),
    ),
    "map": ("C = exp(A) - A * A", ((300_007,),)),
    "map of rows": ("C = tanh(A) + B", ((301, 997), (997,))),
    "sums of rows": ("S[i : M] = +(A[i, j])", ((1003, 1999),)),
    "sums of columns": ("S[j : N] = +(A[i, j])", ((1003, 1999),)),
    "largest": ("S[j : N] = >(A[i, j])", ((1003, 1999),)),
    "split sum": ("S[] = +(A[i])", ((1_000_003,),)),
    "split sums": ("S[j : N] = +(A[i, j])", ((300_001, 5),)),
}


@pytest.mark.skipif(usable_cores() == 1, reason="one core gets serial code")
@pytest.mark.parametrize("name", KERNELS)
def test_every_kind_of_kernel_gives_the_same_bits(name: str) -> None:
    text, shapes = KERNELS[name]
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal(shape, np.float32) for shape in shapes]
    function = tilec.function(text)
    assert "parallel for" in function.compile(*arrays).source("kernel")
    wanted = function(*arrays, num_threads=1)
    for threads in (2, 3, 2):
        np.testing.assert_array_equal(function(*arrays, num_threads=threads), wanted)
    serial = function.compile(*arrays, options=tilec.Options(disable=("thread",)))
    assert "parallel for" not in serial.source("kernel")
    np.testing.assert_allclose(serial(*arrays), wanted, rtol=1e-4, atol=1e-3)


def test_the_environment_bounds_the_threads() -> None:
    text = f"""
import os, numpy as np, tilec
a, b = np.ones((256, 256), np.float32), np.ones((256, 256), np.float32)
assert (tilec.function({MATMUL!r})(a, b) == 256).all()
print(len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1)
"""
    paths = [str(ROOT), str(ROOT / "grammar"), str(ROOT / "backends")]
    environment = {"TILEC_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TILEC_CACHE": "off"}
    done = subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment},
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "1\n")
