"""Tile functions inside PyTorch and JAX, held against what these do by themselves."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

import tilec
from tilec.interop import jax as in_jax
from tilec.interop import torch as in_torch

MATMUL = tilec.function("C[i, j : M, N] = +(A[i, k] * B[k, j])")
SOFTMAX = tilec.function("M[i, 0] = >(P[i, k]); E = exp(P - M); S[i, 0] = +(E[i, k]); R = E / S")
CONV = tilec.function(
    "function (X[B, H, W, C], K[3, 3, C, D]) -> (R) { R[b, y, x, d : B, (H + 1) / 2, (W + 1) / 2, "
    "D] = +(X[b, 2*y + i - 1, 2*x + j - 1, c] * K[i, j, c, d]); }"
)


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.fixture
def jax() -> Any:
    return pytest.importorskip("jax", reason="JAX is not installed")


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", absent)
    with pytest.raises(tilec.ArgumentError, match="needs PyTorch"):
        in_torch.wrap(MATMUL)
    with pytest.raises(tilec.ArgumentError, match="needs JAX"):
        in_jax.wrap(MATMUL)


def test_torch_gradients(torch: Any) -> None:
    a = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    b = torch.randn(5, 4, dtype=torch.float64, requires_grad=True).T  # strides of its own
    c = in_torch.wrap(MATMUL)(a, b)
    torch.testing.assert_close(c, a @ b)
    assert torch.autograd.gradcheck(in_torch.wrap(MATMUL), (a, b))
    assert torch.autograd.gradgradcheck(in_torch.wrap(SOFTMAX), (a,))


def test_torch_convolution(torch: Any) -> None:
    x = torch.randn(2, 7, 6, 3, requires_grad=True)
    k = torch.randn(3, 3, 3, 4, requires_grad=True)
    weight = torch.randn(2, 4, 3, 4)
    ours = torch.autograd.grad((in_torch.wrap(CONV)(x, k) * weight).sum(), (x, k))
    moved = torch.nn.functional.conv2d(x.permute(0, 3, 1, 2), k.permute(3, 2, 0, 1), None, 2, 1)
    theirs = torch.autograd.grad((moved.permute(0, 2, 3, 1) * weight).sum(), (x, k))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_torch_computes_only_what_is_asked_for(torch: Any) -> None:
    a, b = torch.randn(3, 4), torch.randn(4, 5, requires_grad=True)
    in_torch.wrap(MATMUL)(a, b).sum().backward()
    assert a.grad is None
    torch.testing.assert_close(b.grad, a.T @ torch.ones(3, 5))


def test_torch_integers_and_numbers(torch: Any) -> None:
    f = tilec.function("function (T[V, D], I, S) -> (E) { G = gather(T, I); E = G * S; }")
    table = torch.randn(5, 3, requires_grad=True)
    rows = torch.tensor([1, 1, 4])
    in_torch.wrap(f)(table, rows, 2.0).sum().backward()
    torch.testing.assert_close(table.grad[1], torch.full((3,), 4.0))


def test_torch_shares_memory(torch: Any) -> None:
    tensor = torch.randn(4, 4)
    array = np.from_dlpack(tensor)
    assert array.ctypes.data == tensor.data_ptr()
    seen: list[int] = []
    f = tilec.function("Y = X * 2")
    f.compile(tilec.Spec((4, 4)))

    class Spy:
        parts = f.parts
        inputs = f.inputs

        def __call__(self, *arrays: Any) -> Any:
            seen.extend(each.data_ptr() for each in arrays)
            return f(*arrays)

    in_torch.wrap(cast("Any", Spy()))(tensor)
    assert seen == [tensor.data_ptr()]


def test_jax_gradients(jax: Any) -> None:
    random = np.random.default_rng(0)
    a, b = (jax.numpy.asarray(random.random(s, np.float32)) for s in ((3, 4), (4, 5)))
    ours = in_jax.wrap(MATMUL)

    def gradient(product: Any) -> Any:
        def loss(a: Any, b: Any) -> Any:
            return (product(a, b) ** 2).sum()

        return jax.grad(loss, (0, 1))

    expected = gradient(jax.numpy.matmul)(a, b)
    for found in (gradient(ours)(a, b), jax.jit(gradient(ours))(a, b)):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5)


def test_jax_integers_have_no_gradient(jax: Any) -> None:
    f = in_jax.wrap(tilec.function("function (T[V, D], I) -> (E) { E = gather(T, I); }"))
    table, rows = jax.numpy.ones((5, 3)), jax.numpy.array([1, 1, 4])

    def total(table: Any) -> Any:
        return f(table, rows).sum()

    found = jax.grad(total)(table)
    np.testing.assert_array_equal(found[:, 0], [0, 2, 0, 0, 1])
