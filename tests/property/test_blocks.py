"""Kernels that go block by block, against the reference evaluator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tilec
from tests.property.networks import Network, networks
from tests.property.programs import RANDOM, Array
from tests.property.test_rows import as_tuple
from tilec.target.core import host_core

SHAPES = {"X": "X[M, K]", "W": "W[K, P]", "V": "V[P, Q]"}
ATTENTION = """function (Q[H, T, D], K[H, T, D], V[H, T, D]) -> (O) {
  S[h, i, j : H, T, T] = +(Q[h, i, d] * K[h, j, d]);
  R[h, i, 0 : H, T, 1] = >(S[h, i, j]);
  E = exp(S - R);
  L[h, i, 0 : H, T, 1] = +(E[h, i, j]);
  U[h, i, d : H, T, D] = +(E[h, i, j] * V[h, j, d]);
  O = U / L;
}"""
PAIR = """function (X[N, H, W, C], K[I, J, C], B[C], F[C, D]) -> (P) {
  S[n, y, x, c : N, H, W, C] = +(X[n, y + i - 1, x + j - 1, c] * K[i, j, c]);
  R = relu(S + B);
  P[n, y, x, d : N, H, W, D] = +(R[n, y, x, c] * F[c, d]);
}"""
LAYERS = """function (X[M, K], W[K, P], B[P], V[P, Q]) -> (Y) {
  A[i, j : M, P] = +(X[i, k] * W[k, j]); R = relu(A + B);
  Y[i, j : M, Q] = +(R[i, k] * V[k, j]);
}"""
NORM = """function (X[M, K], W[K, P]) -> (Y, A) {
  A[i, j : M, P] = +(X[i, k] * W[k, j]); S[i, 0 : M, 1] = +(A[i, j]); C = A - S / P;
  Q[i, 0 : M, 1] = +(C[i, j] * C[i, j]); Y = C / sqrt(Q / P + 0.01);
}"""

SHORTCUT = """function (X[N, C, H, W], K[F, C], Z[N, D, H, W], L[F, D], B[F]) -> (Y) {
  S[n, f, y, x : N, F, H, W] = +(Z[n, d, y, x] * L[f, d]);
  T[n, f, y, x : N, F, H, W] = +(X[n, c, y, x] * K[f, c]);
  Y = relu(T + reshape(B, F, 1, 1) + S);
}"""


@pytest.fixture(scope="module", autouse=True)
def small_caches() -> Iterator[None]:
    """A processor whose caches hold little, so that small programs go beyond them."""
    small = replace(host_core(), l2_bytes=1 << 14, threads=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tilec.target.core.host_core", lambda: small)
        yield


def check(text: str, arrays: list[Array], constants: tuple[str, ...] = ()) -> str:
    """Hold results against the reference; returns the kernels."""
    function = tilec.function(text)
    expected = function(*arrays, target="reference")
    names = [each.name for each in function.inputs]
    bound = function.bind(**{n: a for n, a in zip(names, arrays, strict=True) if n in constants})
    given = [a for n, a in zip(names, arrays, strict=True) if n not in constants]
    one = bound(*given, num_threads=1)
    two = bound(*given, num_threads=2)
    for first, second, wanted in zip(*map(as_tuple, (one, two, expected)), strict=True):
        np.testing.assert_array_equal(first, second)
        np.testing.assert_allclose(first, wanted, rtol=2e-5, atol=2e-5)
    return bound.compile(*given).source("kernel")


def numbers(seed: int, *shapes: tuple[int, ...]) -> list[Array]:
    generator = np.random.default_rng(seed)
    return [generator.standard_normal(shape).astype(np.float32) for shape in shapes]


@settings(RANDOM, max_examples=8)
@given(
    heads=st.sampled_from((1, 2, 3)),
    tokens=st.sampled_from((31, 32, 33, 47, 64, 65)),
    width=st.sampled_from((1, 5, 16, 17)),
    special=st.sampled_from((None, np.nan, np.inf, -np.inf)),
    seed=st.integers(0, 99),
)
def test_attention(heads: int, tokens: int, width: int, special: float | None, seed: int) -> None:
    arrays = numbers(seed, *[(heads, tokens, width)] * 3)
    if special is not None:
        arrays[0][0, tokens // 2, 0] = special
    with np.errstate(all="ignore"):
        check(ATTENTION, arrays)


@settings(RANDOM, max_examples=8)
@given(
    images=st.sampled_from((1, 2)),
    size=st.sampled_from(((7, 9), (16, 16), (33, 5), (12, 40))),
    channels=st.sampled_from((8, 16, 17)),
    filters=st.sampled_from((1, 16, 24)),
    is_bound=st.booleans(),
    seed=st.integers(0, 99),
)
def test_convolutions(
    images: int, size: tuple[int, int], channels: int, filters: int, is_bound: bool, seed: int
) -> None:
    arrays = numbers(
        seed, (images, *size, channels), (3, 3, channels), (channels,), (channels, filters)
    )
    check(PAIR, arrays, ("K", "B", "F") if is_bound else ())


@settings(RANDOM, max_examples=8)
@given(
    text=st.sampled_from((LAYERS, NORM)),
    rows=st.sampled_from((95, 96, 97, 200, 211)),
    widths=st.sampled_from(((16, 24, 16), (3, 33, 1), (40, 16, 17))),
    is_bound=st.booleans(),
    seed=st.integers(0, 99),
)
def test_layers(
    text: str, rows: int, widths: tuple[int, int, int], is_bound: bool, seed: int
) -> None:
    k, p, q = widths
    arrays = numbers(seed, (rows, k), (k, p), (p,), (p, q))
    arrays = arrays if text is LAYERS else arrays[:2]
    check(text, arrays, ("W", "V", "B")[: 3 if text is LAYERS else 1] if is_bound else ())


@settings(RANDOM, max_examples=4)
@given(
    images=st.sampled_from((1, 2)),
    size=st.sampled_from(((3, 3), (2, 6), (5, 5), (7, 7))),
    channels=st.sampled_from(((16, 32), (40, 17), (64, 128))),
    filters=st.sampled_from((130, 192, 256, 304)),
    is_bound=st.booleans(),
    seed=st.integers(0, 99),
)
def test_shortcuts_of_images_with_channels_first(
    images: int,
    size: tuple[int, int],
    channels: tuple[int, int],
    filters: int,
    is_bound: bool,
    seed: int,
) -> None:
    c, d = channels
    arrays = numbers(
        seed, (images, c, *size), (filters, c), (images, d, *size), (filters, d), (filters,)
    )
    check(SHORTCUT, arrays, ("K", "L", "B") if is_bound else ())


@pytest.mark.parametrize("filters", [256, 304])
@pytest.mark.parametrize("size", [(2, 6), (3, 3)])
def test_each_block_reads_its_own_panels_of_weights(filters: int, size: tuple[int, int]) -> None:
    """Blocks along the filters of which panels were made ahead, as wide as panels or not."""
    shapes = [(1, 64, *size), (filters, 64), (1, 128, *size), (filters, 128), (filters,)]
    check(SHORTCUT, numbers(1, *shapes), ("K", "L", "B"))


@settings(RANDOM, max_examples=6)
@given(case=networks(), seed=st.integers(0, 99), data=st.data())
def test_networks(case: Network, seed: int, data: st.DataObject) -> None:
    arrays = numbers(seed, *case.shapes.values())
    scaled = [a / np.float32(np.sqrt(max(1, prod(a.shape[1:])))) for a in arrays[1:]]
    bound = data.draw(st.sampled_from(((), tuple(case.shapes)[1:])))
    check(case.text, [arrays[0], *scaled], bound)


def test_they_are_one_kernel() -> None:
    if not host_core().vector_bytes:
        return
    for text, shapes in (
        (ATTENTION, [(2, 64, 16)] * 3),
        (PAIR, [(1, 16, 16, 16), (3, 3, 16), (16,), (16, 24)]),
        (LAYERS, [(200, 16), (16, 24), (24,), (24, 16)]),
    ):
        assert check(text, numbers(1, *shapes)).count("// blocks: ") == 1
