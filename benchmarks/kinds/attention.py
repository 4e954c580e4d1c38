"""Attention: products of queries and keys, the softmax of each row, and its product with values.

Columns: heads, tokens, width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.case import Array, Case, Row
from benchmarks.simple import Definition, make


def case(row: Row) -> Case:
    heads, tokens, width = row.integer("heads"), row.integer("tokens"), row.integer("width")
    shape = (heads, tokens, width)
    scale = width**-0.5

    def with_torch(torch: Any, of: Sequence[Any], out: Any) -> Any:
        batch = [each.unsqueeze(0) for each in of]
        return torch.nn.functional.scaled_dot_product_attention(*batch).squeeze(0)

    def with_jax(jax: Any, of: Sequence[Any]) -> Any:
        query, key, value = of
        weights = jax.nn.softmax(query @ key.swapaxes(1, 2) * scale, axis=2)
        return weights @ value

    def reference(of: Sequence[Array]) -> Array:
        query, key, value = of
        scores = query @ key.swapaxes(1, 2) * scale
        powers = np.exp(scores - scores.max(2, keepdims=True))
        return powers / powers.sum(2, keepdims=True) @ value

    # The quotient is taken of the result, which has fewer elements than the weights.
    program = f"""function (Q[H, T, D], K[H, T, D], V[H, T, D]) -> (O) {{
  S[h, i, j : H, T, T] = +(Q[h, i, d] * K[h, j, d]);
  Z = S * {scale!r};
  R[h, i, 0 : H, T, 1] = >(Z[h, i, j]);
  E = exp(Z - R);
  L[h, i, 0 : H, T, 1] = +(E[h, i, j]);
  U[h, i, d : H, T, D] = +(E[h, i, j] * V[h, j, d]);
  O = U / L;
}}"""
    shapes = {"Q": shape, "K": shape, "V": shape}
    flop = heads * tokens * tokens * (4 * width + 5)
    what = Definition(program, shapes, shape, flop, with_torch, with_jax, reference)
    return make(f"{heads}x{tokens}x{width}", what)
