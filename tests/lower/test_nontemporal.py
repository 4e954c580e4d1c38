"""Results beyond the last cache are written past it, or their lines asked for ahead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import tilec
from tests.lower.texts import program
from tilec.kernel.ir import Kernel, Prefetch, Store
from tilec.kernel.printer import print_kernel
from tilec.kernel.walk import statements
from tilec.lower.pipeline import lower_program
from tilec.target.core import Core, host_core

SMALL = Core(l2_bytes=1 << 12, l3_bytes=0, threads=8)
"""A processor whose caches hold next to nothing, with cores enough for its memory."""

ASKING = replace(SMALL, threads=2)
"""The same with cores too few for its memory."""


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


def asked(kernel: Kernel, how: str = "prefetch to write ") -> list[str]:
    lines = [line.strip() for line in print_kernel(kernel).splitlines()]
    return [line.removeprefix(how) for line in lines if line.startswith(how)]


def asked_to_read(kernel: Kernel) -> list[str]:
    return [each for each in asked(kernel, "prefetch ") if not each.startswith("to write")]


def test_few_cores_ask_for_the_lines_ahead() -> None:
    (kernel,) = kernels("function (A[N]) -> (B) { B = A * 2; }", ASKING, A=(100_000,))
    # A store of 64 lanes is four lines; a loop that goes on asks two kilobytes ahead.
    assert asked(kernel)[:4] == [f"B[i0 + {at}]" for at in (512, 528, 544, 560)]
    # What it reads comes from the next page.
    assert asked_to_read(kernel)[:4] == [f"A[i0 + {at}]" for at in (1024, 1040, 1056, 1072)]
    assert not marked(kernel)
    stores = [s for s in statements(kernel.body) if isinstance(s, Store) and s.mask is None]
    asks = [s for s in statements(kernel.body) if isinstance(s, Prefetch) and s.to_write]
    assert len(asks) == sum(s.value.type.lanes // 16 for s in stores)


def test_what_the_caches_hold_is_not_asked_for() -> None:
    text = "function (A[M, N], B[N]) -> (C) { C = A + B; }"
    (kernel,) = kernels(text, ASKING, A=(100, 1024), B=(1024,))
    assert asked_to_read(kernel)[:1] == ["A[i0 * 1024 + i1 + 1024]"]
    assert not any(each.startswith("B[") for each in asked_to_read(kernel))


def test_rows_that_were_asked_for_are_not_asked_for_again() -> None:
    text = """function (X[M, N]) -> (Y) {
      R[i, 0 : M, 1] = >(X[i, j]); E = exp(X - R); S[i, 0 : M, 1] = +(E[i, j]); Y = E / S + X; }"""
    (kernel,) = kernels(text, replace(ASKING, l2_bytes=1 << 16), X=(400, 256))
    assert {each.split("[")[0] for each in asked(kernel)} == {"Y"}
    (first, *_) = asks = asked_to_read(kernel)
    assert first == "X[i * 256 + j + 256]"
    assert len(asks) == len(set(asks))


def test_short_rows_ask_for_the_next_row() -> None:
    text = "function (A[L, M, N]) -> (B) { B[j, i, k : M, L, N] = =(A[i, j, k]); }"
    (kernel,) = kernels(text, ASKING, A=(20, 30, 128))
    assert asked(kernel)[0] == "B[i * 128 + j * 2560 + k + 128]"
    assert asked_to_read(kernel)[0] == "A[i * 3840 + j * 128 + k + 3840]"
    assert not marked(kernel)


def test_single_lines_are_written_past_the_caches() -> None:
    text = "function (A[M, N]) -> (B) { B[j, i : N, M] = =(A[i, j]); }"
    (kernel,) = kernels(text, ASKING, A=(64, 48))
    assert marked(kernel) == {"B"}
    assert not asked(kernel)


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("skip", [0, 1, 16])
def test_results_are_the_same_at_any_alignment(
    skip: int, asks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(host_core(), l2_bytes=1 << 12, l3_bytes=0, core_gigabytes=0 if asks else 1e3)
    monkeypatch.setattr("tilec.target.core.host_core", lambda: small)
    function = tilec.function("function (A[N]) -> (B) { B = A * 2 + 1; }")
    x = np.arange(100_003, dtype=np.float32)
    executable = function.compile(x)
    word = "i32 1, i32 3, i32 1)" if asks else "!nontemporal"
    assert word in executable.source("llvm") or not small.vector_bytes
    memory = np.zeros(x.size + 32, np.float32)
    out = memory[skip : skip + x.size]
    executable(x, out=out)
    np.testing.assert_array_equal(out, x * 2 + 1)
    assert not memory[:skip].any()
    assert not memory[skip + x.size :].any()
