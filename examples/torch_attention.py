"""Attention written in Tile as a layer of PyTorch, which trains through its derived gradient."""

from __future__ import annotations

import importlib
from typing import Any

import tilec
import tilec.interop.torch

torch: Any = importlib.import_module("torch")

# Queries, keys and values of H heads; a query sees itself and what comes before it.
ATTENTION = """
function attention(Q[H, N, D], K[H, N, D], V[H, N, D], Scale[]) -> (O) {
  S[h, i, j : H, N, N] = +(Q[h, i, d] * K[h, j, d]), i - j < N;
  Seen[i, j : N, N] = =(1), i - j < N;
  Z = Seen ? S * Scale : -1e30;
  M[h, i, 0 : H, N, 1] = >(Z[h, i, j]);
  E = exp(Z - M);
  T[h, i, 0 : H, N, 1] = +(E[h, i, j]);
  P = E / T;
  O[h, i, d : H, N, D] = +(P[h, i, j] * V[h, j, d]);
}
"""


def main() -> None:
    """Compare the layer and its gradients with PyTorch's own."""
    attention = tilec.interop.torch.wrap(tilec.function(ATTENTION))
    torch.manual_seed(0)
    heads, length, width = 4, 48, 16
    q, k, v = (torch.randn(heads, length, width, requires_grad=True) for _ in range(3))
    weights = torch.randn(heads, length, width)

    ours = attention(q, k, v, width**-0.5)
    theirs = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    pairs = [("result", ours.detach(), theirs.detach())]
    found = torch.autograd.grad((ours * weights).sum(), (q, k, v))
    expected = torch.autograd.grad((theirs * weights).sum(), (q, k, v))
    names = ("gradient of Q", "gradient of K", "gradient of V")
    pairs += list(zip(names, found, expected, strict=True))
    for name, one, other in pairs:
        error = float((one - other).abs().max() / other.abs().max())
        print(f"{name}: {'x'.join(map(str, one.shape))}, largest error {error:.1e}")
        if not error <= 1e-4:
            raise SystemExit(f"{name}: that is too much")


if __name__ == "__main__":
    main()
