"""Results beyond the last cache are written past it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import tilec
from tests.lower.texts import program
from tilec.kernel.ir import Kernel, Store
from tilec.lower.pipeline import lower_program
from tilec.lower.walk import statements
from tilec.target.core import Core, host_core

SMALL = Core(l2_bytes=1 << 12, l3_bytes=0)
"""A processor whose caches hold next to nothing."""


def marked(kernel: Kernel) -> set[str]:
    return {s.buffer for s in statements(kernel.body) if isinstance(s, Store) and s.nontemporal}


def kernels(text: str, core: Core = SMALL, **shapes: tuple[int, ...]) -> tuple[Kernel, ...]:
    return lower_program(program(text, **shapes), core=core).kernels


def test_outputs_beyond_the_cache_are() -> None:
    text = "function (A[N]) -> (B) { B = A * 2; }"
    (kernel,) = kernels(text, A=(1027,))
    assert marked(kernel) == {"B"}
    stores = [s for s in statements(kernel.body) if isinstance(s, Store)]
    # The rest is no whole line.
    assert [s.nontemporal for s in stores] == [s.mask is None for s in stores]
    assert not marked(kernels(text, A=(511,))[0])
    assert not marked(kernels(text, Core(), A=(1027,))[0])


def test_what_a_kernel_reads_again_is_not() -> None:
    text = """function (X[M, N]) -> (E, S) { R[i, 0 : M, 1] = >(X[i, j]);
      E = exp(X - R) * (R + 1) + X; S[i : M] = +(E[i, j]); T[i : M] = +(E[i, j] * S[i]); }"""
    text = text.replace("(E, S)", "(E, T)")
    found = kernels(text, X=(40, 128))
    assert len(found) == 1
    assert not marked(found[0])


def test_register_tiles_keep_their_stores() -> None:
    text = "function (A[M, K], B[K, N]) -> (C) { C[i, j : M, N] = +(A[i, k] * B[k, j]); }"
    assert not marked(kernels(text, A=(64, 64), B=(64, 64))[0])


@pytest.mark.parametrize("skip", [0, 1, 16])
def test_results_are_the_same_at_any_alignment(skip: int, monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(host_core(), l2_bytes=1 << 12, l3_bytes=0)
    monkeypatch.setattr("tilec.target.core.host_core", lambda: small)
    function = tilec.function("function (A[N]) -> (B) { B = A * 2 + 1; }")
    x = np.arange(100_003, dtype=np.float32)
    executable = function.compile(x)
    assert "nontemporal" in executable.source("llvm") or not small.vector_bytes
    memory = np.zeros(x.size + 32, np.float32)
    out = memory[skip : skip + x.size]
    executable(x, out=out)
    np.testing.assert_array_equal(out, x * 2 + 1)
    assert not memory[:skip].any()
    assert not memory[skip + x.size :].any()
