"""Diagonals, products, grids, transforms and random numbers against NumPy."""

from __future__ import annotations

from typing import Any

import pytest

import tilec
from tests.ops.agreement import agree, np
from tilec import ops
from tilec.errors import ArgumentError, ShapeError

RNG = np.random.default_rng(17)
A: Any = RNG.standard_normal((2, 3, 4)).astype(np.float32)
V: Any = np.array([2, -1, 0])


def test_matrices() -> None:
    grid = ops.meshgrid(A[0, 0], A[0, :, 0], V)
    rows = ops.meshgrid(A[0, 0], V, indexing="ij")
    agree(
        {
            "one_hot": (ops.one_hot(V, 3), np.eye(3)[V]),
            "one_hot, first": (ops.one_hot(V, 3, on=5.0, off=1.0, axis=0), 4 * np.eye(3)[:, V] + 1),
            "diagonal": (ops.diagonal(A, 1, (1, 2)), np.diagonal(A, 1, 1, 2)),
            "below": (ops.diagonal(A, -1, (2, 0)), np.diagonal(A, -1, 2, 0)),
            "trace": (ops.trace(A, 0, (0, 2)), np.trace(A, 0, 0, 2)),
            "diag": (ops.diag(V, -1), np.diag(V, -1)),
            "of a matrix": (ops.diag(A[0], 2), np.diag(A[0], 2)),
            "outer": (ops.outer(A[0], V), np.outer(A[0], V)),
            "kron": (ops.kron(A[0], A[1]), np.kron(A[0], A[1])),
            "cross": (ops.cross(A[0, :, :3], A[1, 0, :3]), np.cross(A[0, :, :3], A[1, 0, :3])),
            "tensordot": (
                ops.tensordot(A, A, ((0, -1), (0, 2))),
                np.tensordot(A, A, ((0, 2), (0, 2))),
            ),
            "last and first": (ops.tensordot(A, A[0].T.copy(), 1), np.tensordot(A, A[0].T, 1)),
            **{
                f"grid {at}": (each, np.meshgrid(A[0, 0], A[0, :, 0], V)[at])
                for at, each in enumerate(grid)
            },
            "ij": (rows[1], np.meshgrid(A[0, 0], V, indexing="ij")[1]),
        }
    )


def _parts(x: Any) -> Any:
    return np.stack([x.real, x.imag], -1).astype(np.float32)


def test_transforms() -> None:
    real: Any = A[..., None]
    halves: Any = np.fft.rfft(A, axis=1)
    spectrum: Any = np.fft.fft(A, axis=2)
    framed: Any = np.stack([A[:, at : at + 2, 0] for at in range(2)], 1)
    agree(
        {
            "fft": (ops.dft(real, 2), _parts(spectrum)),
            "complex": (ops.dft(_parts(spectrum), 1), _parts(np.fft.fft(spectrum, axis=1))),
            "inverse": (ops.dft(_parts(spectrum), 2, inverse=True), _parts(A + 0j)),
            "half": (ops.dft(real, 1, one_sided=True), _parts(halves)),
            "back": (ops.dft(_parts(halves), 1, inverse=True, one_sided=True, length=3), real),
            "longer": (ops.dft(real, 2, length=6), _parts(np.fft.fft(A, 6, 2))),
            "stft": (ops.stft(A[..., :1], 1, 2), _parts(np.fft.rfft(framed))),
        },
        1e-4,
        1e-5,
    )


def test_random_numbers() -> None:
    state = ops.random_state(3)
    numbers, following = ops.uniform(state, (4000,), -1, 3)
    normal, _ = ops.normal(following, (4000,), 2.0, 0.5)
    chances, _ = ops.bernoulli(state, np.full(4000, 0.25, np.float32))
    again, _ = ops.uniform(ops.random_state(3), (4000,), -1, 3)
    tilec.evaluate(numbers, normal, chances, again)
    np.testing.assert_array_equal(numbers.numpy(), again.numpy())
    assert -1 <= numbers.numpy().min() < -0.9
    assert 2.9 < numbers.numpy().max() < 3
    assert abs(normal.numpy().mean() - 2) < 0.05
    assert abs(normal.numpy().std() - 0.5) < 0.05
    assert abs(chances.numpy().mean() - 0.25) < 0.05


def test_random_bits_are_a_cipher_of_positions() -> None:
    # The first words are those that the authors of Threefry-2x32 publish for a key of zeros.
    first, second = ops.random_bits(np.zeros(2, np.uint32), (2, 3))
    other, _ = ops.random_bits(np.array([0, 1], np.uint32), (2, 3))
    tilec.evaluate(first, second, other)
    assert (first.numpy()[0, 0], second.numpy()[0, 0]) == (0x6B200159, 0x99BA4EFE)
    assert first.shape == (2, 3)
    assert len({*first.numpy().flat, *other.numpy().flat}) == 12


def test_faults_are_told() -> None:
    with pytest.raises(ShapeError, match="has no diagonal 4"):
        ops.diagonal(A, 4, (1, 2))
    with pytest.raises(ShapeError, match="do not fit along axes"):
        ops.tensordot(A, A, 1)
    with pytest.raises(ArgumentError, match="diag: a tensor with 3 axes"):
        ops.diag(A)
    with pytest.raises(ShapeError, match="dft: shape"):
        ops.dft(A)
