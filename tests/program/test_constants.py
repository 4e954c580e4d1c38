"""What an executable keeps of the arrays that are bound."""

from __future__ import annotations

import numpy as np

import tilec


def test_weights_that_became_panels_are_not_kept_twice() -> None:
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((512, 640)).astype(np.float32)
    bias = rng.standard_normal(640).astype(np.float32)
    layer = tilec.function(
        """function f(X[M, K], W[K, N], B[N]) -> (Y) {
          T[m, n : M, N] = +(X[m, k] * W[k, n]);
          Y = T + B;
        }"""
    ).bind(W=weights, B=bias)
    x = rng.standard_normal((96, 512)).astype(np.float32)
    run = layer.compile(x)
    assert "ahead" in str(run.schedule)
    np.testing.assert_allclose(run(x), x @ weights + bias, rtol=1e-3, atol=1e-3)
    assert run.memory.constants < 1.1 * (weights.nbytes + bias.nbytes)
