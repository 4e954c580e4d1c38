"""Attention."""

from __future__ import annotations

from math import sqrt

import tilec
from keras_tilec.src.convert import node, promote, wrap
from keras_tilec.src.tensor import Tensor
from tilec import ops

_UNSEEN = -0.7 * 65504.0, -0.7 * 3.4028235e38
"""What hides a key from a query: finite, so that a query that sees none gets a mean, not NaN."""


def dot_product_attention(
    query: object,
    key: object,
    value: object,
    bias: object = None,
    mask: object = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Tensor:
    """The compiler decides what is kept in memory, whatever ``flash_attention`` says."""
    q, k, v = promote(query, key, value, like=(float,))
    if q.ndim != 4 or k.ndim != 4 or v.ndim != 4:
        raise ValueError(
            "`dot_product_attention` only supports 4D inputs. "
            f"Received: query.shape={q.shape}, key.shape={k.shape}, value.shape={v.shape}."
        )
    factor = 1 / sqrt(q.shape[-1]) if scale is None else float(scale)
    q, k, v = (ops.transpose(each, (0, 2, 1, 3)) for each in (q, k, v))
    added = None if bias is None else ops.cast(node(bias), q.dtype)
    if mask is not None:
        seen = node(mask, "bool")
        least = ops.cast(node(_UNSEEN[q.dtype.name != "f16"], "float32"), q.dtype)
        added = ops.where(seen, ops.zeros((), q.dtype) if added is None else added, least)
    if attn_logits_soft_cap is None:
        found = ops.attention(q, k, v, added, causal=is_causal, scale=factor)
    else:
        found = _capped(q, k, v, added, is_causal, factor, attn_logits_soft_cap)
    return wrap(ops.transpose(found, (0, 2, 1, 3)))


def _capped(
    q: tilec.Tensor,
    k: tilec.Tensor,
    v: tilec.Tensor,
    added: tilec.Tensor | None,
    is_causal: bool,
    factor: float,
    cap: float,
) -> tilec.Tensor:
    """Attention whose scores stay below a bound."""
    if k.shape[1] != q.shape[1]:
        k, v = (ops.repeat(each, q.shape[1] // k.shape[1], 1) for each in (k, v))
    scores = ops.matmul(q, ops.swapaxes(k, -1, -2)) * factor
    scores = ops.tanh(scores / cap) * cap
    if added is not None:
        scores = scores + added
    if is_causal:
        seen = ops.tri(q.shape[-2], k.shape[-2], dtype="bool")
        scores = ops.where(seen, scores, ops.cast(node(float("-inf")), scores.dtype))
    return ops.matmul(ops.softmax(scores, -1), v)
