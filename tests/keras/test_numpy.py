"""Functions of ``keras.ops`` compiled and differentiated, which Keras's own tests do not do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tilec
from keras_tilec.src.convert import node
from keras_tilec.src.tensor import Tensor, tracing
from tests.keras.host import ops

RNG = np.random.default_rng(3)
X: Any = RNG.uniform(0.2, 0.9, (3, 4))
SQUARE: Any = RNG.standard_normal((4, 4))
ROWS = np.array([1, -1, 3])
PLACES = np.array([[2, 0], [1, 1], [0, 3]], np.int32)

Step = Callable[[Any], Any]

CASES: dict[str, Step] = {
    "roots and logarithms": lambda x: ops.cbrt(x) * ops.log2(x) + ops.sqrt(x) * ops.rsqrt(x + 1),
    "exponentials": lambda x: ops.logaddexp2(x, 0.5) + ops.exp2(x) * ops.expm1(x),
    "angles": lambda x: ops.arctan2(x, 0.3) * ops.arccos(x) + ops.sinc(x) * ops.tan(x),
    "choices": lambda x: ops.clip(x, 0.3, 0.7) * ops.fmax(x, 0.5) + ops.where(x > 0.5, x * x, 1),
    "division": lambda x: ops.divide_no_nan(x, ops.floor(2 * x)) + ops.mod(x, 0.3) * ops.fmod(x, 1),
    "no number": lambda x: ops.nansum(x, 0) * ops.nanmean(x * x, 0) + ops.nanstd(x, 0),
    "sums": lambda x: ops.prod(x, 1) * ops.average(x, 1, X) + ops.std(x, 1) * ops.ptp(x, 1),
    "running": lambda x: (ops.cumprod(x, 1) + ops.cumsum(x, 0))[:, 1:] * ops.diff(x),
    "order": lambda x: ops.sort(x, 0) * ops.median(x, 0) + ops.quantile(x, [0.2, 0.9], 0)[:1],
    "largest": lambda x: ops.top_k(x, 2)[0] * ops.logsumexp(x, 1, keepdims=True),
    "areas": lambda x: ops.trapezoid(x, x * x, axis=1) * ops.linspace(x[0, 0], x[1, 1], 3),
    "products": lambda x: ops.einsum("ij,kj->ik", x, x) @ ops.kron(x[:, :1], x[:1, :2]),
    "vectors": lambda x: ops.cross(x[:, :3], x[:, 1:]) * ops.vdot(x, x) + ops.inner(x[0], x[1]),
    "signals": lambda x: ops.correlate(x[0], x[1], "full") + ops.fft((x[:1, :1], x[1:2, :1]))[0],
    "correlations": lambda x: ops.corrcoef(x) * ops.norm(x, 1, (0, 1)) + ops.norm(x, 3, 1),
    "triangles": lambda x: ops.tril(x) + ops.triu(x, 1) * ops.trace(x) + ops.diagonal(x)[0],
    "places": lambda x: ops.take_along_axis(x, PLACES, 1) * ops.take(x, PLACES)[:, 1:],
    "margins": lambda x: ops.pad(x, 1, "symmetric") * ops.rot90(ops.pad(x, ((1, 2), (1, 0))))[0, 0],
    "parts": lambda x: ops.hstack(ops.split(x, 2, 1)[::-1]) * ops.repeat(x, [2, 0, 1], axis=0),
    "segments": lambda x: ops.segment_sum(x, ROWS, 3) + ops.segment_max(x, ROWS % 3, 3),
    "powers": lambda x: (
        ops.vander(x[0, :3], 3) * ops.geomspace(x[0, :3], 2, 3) * ops.ldexp(x, 3)[:, :1]
    ),
    "distances": lambda x: ops.cdist(x, 2 * x + 1),
    "windows": lambda x: ops.stft(ops.tile(x[:1], 3), 3, 2, 4)[0],
}


def traced(step: Step) -> tilec.Function:
    """A step of Keras as a function of Tile."""

    def run(x: tilec.Tensor) -> tilec.Tensor:
        with tracing():
            return node(step(Tensor(x)))

    return tilec.trace(run, tilec.Spec(X.shape, "f64")).bound()


@pytest.mark.parametrize("name", CASES)
def test_gradient(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEC_TARGET", "reference")
    tilec.check_grad(traced(CASES[name]), X)


def test_compiled_as_evaluated() -> None:
    def every(x: tilec.Tensor) -> list[tilec.Tensor]:
        with tracing():
            return [node(step(Tensor(x))) for step in CASES.values()]

    found = tilec.trace(every, tilec.Spec(X.shape, "f64")).bound()(X)
    given = ops.convert_to_tensor(X, "float64")
    for name, one, step in zip(CASES, found, CASES.values(), strict=True):
        np.testing.assert_allclose(one, step(given), rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("name", ["unique", "nonzero", "qr", "bincount", "det"])
def test_what_runs_on_the_host_says_so_when_it_is_traced(name: str) -> None:
    with pytest.raises(NotImplementedError, match=rf"keras\.ops\.{name} runs on the host"):
        traced(lambda x: getattr(ops, name)(x @ x.T))


def test_factors_of_matrices() -> None:
    lower, exchanged = map(np.asarray, ops.lu_factor(np.stack([SQUARE, SQUARE.T])))
    rows = np.arange(4)
    for at, other in enumerate(exchanged[1]):
        rows[[at, other]] = rows[[other, at]]
    product = (np.tril(lower[1], -1) + np.eye(4)) @ np.triu(lower[1])
    np.testing.assert_allclose(product, SQUARE.T[rows], rtol=1e-5, atol=1e-6)
    turned = np.array([[0.0, -1.0], [1.0, 0.0]])
    with pytest.raises(ValueError, match="complex"):
        ops.eig(turned)
    assert ops.det(np.eye(3, dtype=np.float16)).dtype == "float16"


def test_counts_of_rows() -> None:
    rows = np.array([[0, 2, 2, 7], [1, 1, 0, 3]])
    found = ops.bincount(rows, minlength=4)
    np.testing.assert_array_equal(found, [np.bincount(each, minlength=8) for each in rows])
    weights = RNG.uniform(size=rows.shape).astype(np.float32)
    pairs = zip(rows, weights, strict=True)
    np.testing.assert_allclose(
        ops.bincount(rows, weights), [np.bincount(r, w, 8) for r, w in pairs], rtol=1e-6
    )


def test_quantiles_of_rows_with_holes() -> None:
    holes = np.array([[3.0, np.nan, 1.0, 2.0], [np.nan] * 4, [4.0, np.inf, 5.0, 0.0]])
    for method in ("linear", "lower", "higher", "midpoint", "nearest"):
        found = ops.nanquantile(holes, [0.0, 0.4, 0.6], 1, method)
        wanted = [np.nanquantile(holes[[0, 2]], q, 1, method=method) for q in (0.0, 0.4, 0.6)]
        np.testing.assert_allclose(np.asarray(found)[:, [0, 2]], wanted)
        assert np.isnan(np.asarray(found)[:, 1]).all()
    assert np.isnan(float(ops.median(holes[0])))
