"""What is kept for the backward call and what is computed again."""

from __future__ import annotations

import numpy as np
import pytest

import tilec

LAYER = """
function layer(X[B, I], W[I, O], V[O, K]) -> (R) {
  Z[b, o : B, O] = +(X[b, i] * W[i, o]);
  H = tanh(Z);
  R[b, k : B, K] = +(H[b, o] * V[o, k]);
}
"""


def arrays() -> list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    random = np.random.default_rng(0)
    return [random.normal(size=shape) for shape in ((8, 256), (256, 16), (16, 4))]


@pytest.mark.parametrize("keep", ["auto", "all", "none", ("Z",), ("H",)])
def test_gradients_do_not_depend_on_it(keep: tilec.Keep) -> None:
    f, given = tilec.function(LAYER), arrays()
    result, pullback = tilec.vjp(f, *given, keep=keep)
    np.testing.assert_allclose(result, f(*given))
    one = np.ones_like(result)
    for ours, expected in zip(pullback(one), tilec.grad(f)(*given, one), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-12)


def test_products_are_kept_and_cheap_values_are_not() -> None:
    result, pullback = tilec.vjp(tilec.function(LAYER), *arrays())
    decided = {each.name: each.kept for each in pullback.intermediates}
    assert decided == {"Z": True, "H": False}
    (z, h) = pullback.intermediates
    assert (z.bytes, z.flops) == (8 * 16 * 8, 2 * 8 * 16 * 256)
    assert h.flops == 8 * 16 * 20
    assert "Z" in str(pullback)
    assert pullback.peak_bytes(np.ones_like(result)) > sum(a.nbytes for a in arrays())
    assert [each.name for each in pullback.backward.inputs] == ["X", "W", "V", "Z", "DR"]


def test_outputs_are_kept_for_nothing() -> None:
    result, pullback = tilec.vjp(
        tilec.function("function (X[N]) -> (Y) { Y = exp(X); }"), np.ones(3)
    )
    (y,) = pullback.intermediates
    assert (y.is_output, y.kept) == (True, True)
    np.testing.assert_allclose(pullback(np.ones(3)), result)


def test_what_cannot_be_kept() -> None:
    with pytest.raises(tilec.ArgumentError, match="the gradient needs no 'Q'"):
        tilec.vjp(tilec.function(LAYER), *arrays(), keep=("Q",))
