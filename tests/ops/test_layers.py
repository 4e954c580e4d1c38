"""Activations, normalisations, products, attention and losses against NumPy."""

from __future__ import annotations

from itertools import groupby, product
from math import erf
from typing import Any, TypeAlias

import numpy as np
import pytest

import tilec
from tests.ops.agreement import Case, agree
from tilec import ops
from tilec.errors import ArgumentError, ShapeError

Floats: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[np.float64]]"

RNG = np.random.default_rng(12)


def numbers(*shape: int) -> Floats:
    return RNG.standard_normal(shape)


@pytest.fixture
def by_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    """The texts are tested; that they compile, by those of kernels."""
    monkeypatch.setenv("TILEC_TARGET", "reference")


X = np.array([-800.0, -30, -5, -1.2, -1, -0.5, -1e-4, 0, 1e-4, 0.3, 1, 2, 30, 800])


def _soft(x: Floats) -> Floats:
    return np.logaddexp(0, x)


def _sigmoid(x: Floats) -> Floats:
    return np.exp(-_soft(-x))


def _expm1(x: Floats) -> Floats:
    return np.expm1(np.minimum(x, 0))


def test_inverse_of_erf() -> None:
    for dtype, rtol in ((np.float64, 1e-9), (np.float32, 1e-5), (np.float16, 2e-2)):
        y = np.array([-2.5, -1.2, 1e-3, 0.3, 2], dtype)
        x = np.array([erf(float(each)) for each in y], dtype)
        if dtype != np.float64:
            y, x = y[1:4], x[1:4]  # further out narrow floats have few numbers below 1
        agree({str(dtype): (ops.erfinv(x), y)}, rtol, 1e-6)
    agree({"ends": (ops.erfinv(np.array([-1.0, 1.0])), [-np.inf, np.inf])})


def test_activations() -> None:
    up = np.maximum(X, 0)
    normal = np.array([(1 + erf(each / np.sqrt(2))) / 2 for each in X])
    tanh = np.tanh(np.sqrt(2 / np.pi) * (X + 0.044715 * X**3))
    cases: dict[str, Case] = {
        "relu": (ops.relu(X), up),
        "leaky": (ops.leaky_relu(X, 0.1), np.where(X < 0, 0.1 * X, X)),
        "prelu": (ops.prelu(X, [0.3]), np.where(X < 0, 0.3 * X, X)),
        "relu6": (ops.relu6(X), np.clip(X, 0, 6)),
        "thresholded": (ops.thresholded_relu(X, 0.4), np.where(X > 0.4, X, 0)),
        "sigmoid": (ops.sigmoid(X), _sigmoid(X)),
        "log_sigmoid": (ops.log_sigmoid(X), -_soft(-X)),
        "hard_sigmoid": (ops.hard_sigmoid(X, 0.2, 0.5), np.clip(0.2 * X + 0.5, 0, 1)),
        "hard_swish": (ops.hard_swish(X), X * np.clip(X / 6 + 0.5, 0, 1)),
        "hard_tanh": (ops.hard_tanh(X), np.clip(X, -1, 1)),
        "scaled_tanh": (ops.scaled_tanh(X, 2.0, 0.5), 2 * np.tanh(X / 2)),
        "elu": (ops.elu(X, 0.7), np.where(X > 0, X, 0.7 * _expm1(X))),
        "selu": (ops.selu(X, 1.5, 1.1), 1.1 * np.where(X > 0, X, 1.5 * _expm1(X))),
        "celu": (ops.celu(X, 2.0), up + 2 * _expm1(X / 2)),
        "softplus": (ops.softplus(X), _soft(X)),
        "softsign": (ops.softsign(X), X / (1 + np.abs(X))),
        "swish": (ops.swish(X, 1.5), X * _sigmoid(1.5 * X)),
        "mish": (ops.mish(X), X * np.tanh(_soft(X))),
        "gelu": (ops.gelu(X), X * normal),
        "gelu_tanh": (ops.gelu(X, approximate=True), X * (1 + tanh) / 2),
        "shrink": (ops.shrink(X, 0.4, 0.1), np.where(np.abs(X) > 0.4, X - 0.1 * np.sign(X), 0)),
        "soft_shrink": (ops.soft_shrink(X), np.sign(X) * np.maximum(np.abs(X) - 0.5, 0)),
        "hard_shrink": (ops.hard_shrink(X), np.where(np.abs(X) > 0.5, X, 0)),
        "tanh_shrink": (ops.tanh_shrink(X), X - np.tanh(X)),
        "squared_relu": (ops.squared_relu(X), up**2),
        "sparse_plus": (
            ops.sparse_plus(X),
            np.where(X <= -1, 0, np.where(X < 1, (X + 1) ** 2 / 4, X)),
        ),
        "sparse_sigmoid": (ops.sparse_sigmoid(X), np.clip((X + 1) / 2, 0, 1)),
        "squareplus": (ops.squareplus(X), (X + np.sqrt(X * X + 4)) / 2),
    }
    agree(cases, 1e-9, 1e-12)
    small = np.array([-1, 0.5], np.float16)
    assert ops.gelu(small).dtype.name == ops.hard_swish(small).dtype.name == "f16"


def _standard(x: Floats, axes: tuple[int, ...]) -> Floats:
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5)


@pytest.mark.usefixtures("by_definition")
def test_normalisations() -> None:
    x, scale, bias, mean = numbers(2, 6, 4, 3), numbers(6), numbers(6), numbers(6)
    variance = np.abs(numbers(6)) + 0.1
    shape = (6, 1, 1)

    def wide(each: Floats) -> Floats:
        return each.reshape(shape)

    known = (x - wide(mean)) / np.sqrt(wide(variance) + 1e-5) * wide(scale) + wide(bias)
    given = (scale, bias, mean, variance)
    trained, new_mean, new_variance = ops.batch_norm_training(x, *given, momentum=0.8)
    axes = (0, 2, 3)
    grouped = _standard(x.reshape(2, 3, 2, 4, 3), (2, 3, 4)).reshape(x.shape)
    turned = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    padded = np.pad(x * x, ((0, 0), (1, 2), (0, 0), (0, 0)))
    near = padded[:, :6] + padded[:, 1:7] + padded[:, 2:8] + padded[:, 3:9]
    cases: dict[str, Case] = {
        "batch": (ops.batch_norm(x, *given), known),
        "last": (ops.batch_norm(turned, *given, axis=-1), np.moveaxis(known, 1, -1)),
        "trained": (trained, _standard(x, axes) * wide(scale) + wide(bias)),
        "new mean": (new_mean, 0.8 * mean + 0.2 * x.mean(axes)),
        "new variance": (new_variance, 0.8 * variance + 0.2 * x.var(axes)),
        "layer": (ops.layer_norm(x, axis=2), _standard(x, (2, 3))),
        "layer scaled": (
            ops.layer_norm(x, x[0, 0], x[0, 1], axis=-2),
            _standard(x, (2, 3)) * x[0, 0] + x[0, 1],
        ),
        "rms": (
            ops.rms_norm(x, x[0, 0, 0]),
            x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * x[0, 0, 0],
        ),
        "instance": (
            ops.instance_norm(x, scale, bias),
            _standard(x, (2, 3)) * wide(scale) + wide(bias),
        ),
        "group": (ops.group_norm(x, scale, bias, 3), grouped * wide(scale) + wide(bias)),
        "group last": (
            ops.group_norm(turned, scale, bias, 3, layout="channels_last"),
            np.moveaxis(grouped * wide(scale) + wide(bias), 1, -1),
        ),
        "local": (
            ops.local_response_norm(x, 4, alpha=0.2, beta=0.6, bias=1.5),
            x / (1.5 + 0.2 / 4 * near) ** 0.6,
        ),
        "lp": (
            ops.lp_normalize(x, 1, p=1),
            x / np.abs(x).sum(1, keepdims=True),
        ),
        "zero": (ops.lp_normalize(np.zeros((2, 2))), np.zeros((2, 2))),
    }
    agree(cases, 1e-9, 1e-9)


@pytest.mark.usefixtures("by_definition")
def test_softmax_along_any_axis() -> None:
    x = numbers(2, 3, 4) * 100
    cases: dict[str, Case] = {}
    for axis in (0, 1, -1):
        e = np.exp(x - x.max(axis, keepdims=True))
        s = e.sum(axis, keepdims=True)
        one = (np.indices(x.shape)[axis] == x.argmax(axis, keepdims=True)).astype(float)
        cases[f"soft {axis}"] = ops.softmax(x, axis), e / s
        logs = x - x.max(axis, keepdims=True) - np.log(s)
        cases[f"log {axis}"] = ops.log_softmax(x, axis), logs
        cases[f"hard {axis}"] = ops.hardmax(x, axis), one
    both = np.exp(x - x.max((0, 2), keepdims=True))
    cases["soft both"] = ops.softmax(x, (0, -1)), both / both.sum((0, 2), keepdims=True)
    cases["ties"] = ops.hardmax(np.array([1.0, 3, np.inf, np.inf])), [0.0, 0, 1, 0]
    agree(cases, 1e-9, 1e-12)


@pytest.mark.usefixtures("by_definition")
def test_products() -> None:
    a, b, c = numbers(3, 4), numbers(5, 4), numbers(5)
    cases: dict[str, Case] = {
        "matmul": (ops.matmul(a, b.T.copy()), a @ b.T),
        "dense": (ops.dense(numbers(2, 3, 4) * 0 + a, b.T.copy(), c), [a @ b.T + c] * 2),
        "transposed": (ops.dense(a, b, transposed=True), a @ b.T),
        "gemm": (
            ops.gemm(a, b, c, alpha=0.5, beta=2.0, transpose_b=True),
            0.5 * a @ b.T + 2 * c,
        ),
        "gemm turned": (ops.gemm(a.T.copy(), b.T.copy(), transpose_a=True), a @ b.T),
    }
    for text, shapes in {
        "bij,bjk->bik": [(2, 3, 4), (2, 4, 5)],
        "ij,jk,kl->il": [(2, 3), (3, 4), (4, 5)],
        "ab,bc,cd,de->ae": [(2, 3), (3, 4), (4, 5), (5, 6)],
        "ii->i": [(3, 3)],
        "ii": [(3, 3)],
        "...ij,...jk": [(2, 3, 4), (4, 5)],
        "i,j": [(3,), (4,)],
        "ij->ji": [(3, 4)],
        "ba,ac": [(2, 3), (3, 4)],
        "i...,i...->...": [(3, 1, 4), (3, 2, 4)],
    }.items():
        given = [numbers(*shape) for shape in shapes]
        cases[text] = ops.einsum(text, *given), np.einsum(text, *given)
    agree(cases, 1e-9, 1e-9)
    faults = {"ij,jk->": "is for 2 operands", "i?": "cannot be read", "i->k": "no operand"}
    for text, words in faults.items():
        with pytest.raises(ArgumentError, match=words):
            ops.einsum(text, numbers(3))
    with pytest.raises(ShapeError, match="axis of size 3 and of 4"):
        ops.einsum("i,i", numbers(3), numbers(4))
    with pytest.raises(ShapeError, match="dense: x has the shape"):
        ops.dense(a, b)


def _attended(q: Floats, k: Floats, v: Floats, mask: Any = 0.0) -> Floats:
    scores = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]) + mask
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True) @ v


@pytest.mark.usefixtures("by_definition")
def test_attention() -> None:
    q, k, v = numbers(2, 4, 5, 8), numbers(2, 4, 7, 8), numbers(2, 4, 7, 3)
    seen = RNG.random((5, 7)) > 0.3
    seen[:, 0] = True
    added = np.where(seen, 0, -np.inf)
    causal = np.where(np.arange(7) > np.arange(5)[:, None], -np.inf, 0)
    few = k[:, :2].copy(), v[:, :2].copy()
    agree(
        {
            "plain": (ops.attention(q, k, v), _attended(q, k, v)),
            "seen": (ops.attention(q, k, v, seen), _attended(q, k, v, added)),
            "added": (ops.attention(q, k, v, added), _attended(q, k, v, added)),
            "causal": (ops.attention(q, k, v, causal=True), _attended(q, k, v, causal)),
            "both": (
                ops.attention(q, k, v, added, causal=True),
                _attended(q, k, v, added + causal),
            ),
            "shared": (
                ops.attention(q, *few),
                _attended(q, *(np.repeat(each, 2, 1) for each in few)),
            ),
            "matrices": (ops.attention(q[0, 0], k[0, 0], v[0, 0]), _attended(q, k, v)[0, 0]),
        },
        1e-9,
        1e-9,
    )
    with pytest.raises(ShapeError, match="attention: query, key and value have the shapes"):
        ops.attention(q, k, v[:, :, :3])


@pytest.mark.usefixtures("by_definition")
def ctc(logits: Floats, labels: list[int], blank: int) -> float:
    """By the definition: the sum over all paths that say the labels."""
    steps, classes = logits.shape
    scores = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    total = 0.0
    for path in product(range(classes), repeat=steps):
        merged = [each for each, _ in groupby(path)]
        if [each for each in merged if each != blank] == labels:
            total += np.exp(sum(scores[at, each] for at, each in enumerate(path)))
    return -np.log(total) if total else np.inf


@pytest.mark.usefixtures("by_definition")
def test_ctc_loss() -> None:
    logits = numbers(4, 6, 3)
    labels = np.array([[1, 2, 1], [2, 2, 0], [1, 1, 1], [0, 0, 0], [2, 2, 2], [1, 2, 0]])
    counts, spent = np.array([3, 2, 1, 0, 3, 2]), np.array([4, 4, 3, 2, 4, 1])
    found = ops.ctc_loss(
        logits, labels, logit_lengths=spent, label_lengths=counts, reduction="none"
    )
    wanted = [ctc(logits[: spent[at], at], labels[at, : counts[at]].tolist(), 0) for at in range(6)]
    assert np.isinf(wanted).tolist() == [False] * 4 + [True] * 2
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-6)
    one = ops.ctc_loss(logits[:, :2], [[0], [1]], blank=2)
    means = np.mean([ctc(logits[:, at], [at], 2) for at in (0, 1)])
    none = ops.ctc_loss(logits, np.zeros((6, 0), np.int32), reduction="sum")
    blanks = sum(ctc(logits[:, at], [], 0) for at in range(6))
    agree({"blank last": (one, means), "no labels": (none, blanks)})
    with pytest.raises(ShapeError, match="steps x batch x classes"):
        ops.ctc_loss(logits[0], labels)
    with pytest.raises(ShapeError, match="lengths for a batch of 6"):
        ops.ctc_loss(logits, labels, label_lengths=[1])
    with pytest.raises(ArgumentError, match="blank is 3 and there are 3 classes"):
        ops.ctc_loss(logits, labels, blank=3)


def test_losses() -> None:
    p, t = RNG.random((4, 5)) * 0.9 + 0.05, RNG.random((4, 5))
    x, y = numbers(4, 5) * 3, numbers(4, 5)
    d = np.abs(x - y)
    classes, weights = np.array([0, 3, 4, 1]), p[0]
    logs = x - np.log(np.exp(x).sum(-1, keepdims=True))
    chosen = -logs[np.arange(4), classes]
    kept, factor = classes != 3, weights[classes]
    sign = np.sign(y)
    binary = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    cases: dict[str, Case] = {
        "squared": (ops.mean_squared_error(x, y), ((x - y) ** 2).mean()),
        "none": (ops.mean_squared_error(x, y, reduction="none"), (x - y) ** 2),
        "absolute": (ops.mean_absolute_error(x, y, reduction="sum"), d.sum()),
        "huber": (
            ops.huber(x, y, 0.7),
            np.where(d <= 0.7, d * d / 2, 0.7 * (d - 0.35)).mean(),
        ),
        "log_cosh": (ops.log_cosh(x, y), np.log(np.cosh(x - y)).mean()),
        "logarithmic": (
            ops.mean_squared_logarithmic_error(p, t),
            ((np.log1p(p) - np.log1p(t)) ** 2).mean(),
        ),
        "percentage": (ops.mean_absolute_percentage_error(p, t), 100 * np.abs((t - p) / t).mean()),
        "binary": (ops.binary_cross_entropy(p, t), binary.mean()),
        "logits": (
            ops.binary_cross_entropy_with_logits(x, t),
            (np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x)))).mean(),
        ),
        "divergence": (ops.kl_divergence(p, t), (t * np.log(t / p)).sum(-1).mean()),
        "poisson": (ops.poisson(p, t), (p - t * np.log(p + 1e-7)).mean()),
        "hinge": (ops.hinge(x, sign), np.maximum(1 - sign * x, 0).mean()),
        "squared hinge": (ops.squared_hinge(x, sign), (np.maximum(1 - sign * x, 0) ** 2).mean()),
        "cosine": (
            ops.cosine_similarity(x, y),
            (x * y).sum(-1) / np.linalg.norm(x, axis=-1) / np.linalg.norm(y, axis=-1),
        ),
        "categorical": (
            ops.categorical_cross_entropy(p, t),
            -(t * np.log(p)).sum(-1).mean(),
        ),
        "categorical logits": (
            ops.categorical_cross_entropy(x, t, from_logits=True),
            -(t * logs).sum(-1).mean(),
        ),
        "cross": (ops.cross_entropy(x, classes), chosen.mean()),
        "turned": (ops.cross_entropy(x.T.copy(), classes, axis=0), chosen.mean()),
        "weighted": (
            ops.cross_entropy(x, classes, weights=weights),
            (chosen * factor).sum() / factor.sum(),
        ),
        "ignoring": (ops.cross_entropy(x, classes, ignore=3), chosen[kept].mean()),
        "nll": (ops.nll(logs, classes, ignore=3, reduction="none"), np.where(kept, chosen, 0)),
    }
    agree(cases, 1e-6, 1e-7)
    with pytest.raises(ShapeError, match="huber: prediction has the shape"):
        ops.huber(x, y[0])
    with pytest.raises(ShapeError, match="classes are integers"):
        ops.nll(x, x[:, 0])


def test_gradients_are_those_of_differences() -> None:
    x, w, scale = numbers(3, 4), numbers(4, 4), numbers(4)

    def net(x: tilec.Tensor, w: tilec.Tensor, scale: tilec.Tensor) -> tilec.Tensor:
        y = ops.layer_norm(ops.gelu(ops.dense(x, w)), scale)
        y = ops.attention(y, y, ops.swish(y), causal=True)
        return ops.cross_entropy(y, np.array([0, 3, 1], np.int32))

    linked = tilec.trace(net, x, w, scale)
    tilec.check_grad(linked.bound(), x, w, scale)
