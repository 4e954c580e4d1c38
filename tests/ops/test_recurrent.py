"""Recurrent layers against their recurrences in NumPy."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pytest

import tilec
from tests.ops.agreement import agree
from tilec import ops
from tilec.errors import ArgumentError, ShapeError

Floats: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[np.float64]]"

RNG = np.random.default_rng(13)
STEPS, BATCH, INPUTS, UNITS = 4, 3, 5, 2


@pytest.fixture(autouse=True)
def by_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    """The texts are tested here; that they compile, by those of kernels."""
    monkeypatch.setenv("TILEC_TARGET", "reference")


def numbers(*shape: int) -> Floats:
    return RNG.standard_normal(shape)


def sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-x))


X, H, C = numbers(STEPS, BATCH, INPUTS), numbers(BATCH, UNITS), numbers(BATCH, UNITS)


def weights(parts: int) -> tuple[Floats, Floats, Floats]:
    size = parts * UNITS
    return numbers(size, INPUTS), numbers(size, UNITS), numbers(size)


def _lstm(x: Floats, w: Floats, r: Floats, b: Floats) -> tuple[Floats, Floats, Floats]:
    h, c, every = H, C, list[Floats]()
    for each in x:
        i, f, g, o = np.split(each @ w.T + h @ r.T + b, 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        every.append(h)
    return np.stack(every), h, c


def test_lstm() -> None:
    w, r, b = weights(4)
    outputs, h, c = ops.lstm(X, w, r, b, state=H, cell=C)
    wanted = _lstm(X, w, r, b)
    back = ops.lstm(X[::-1].copy(), w, r, b, state=H, cell=C, reverse=True)
    turned = [np.concatenate([np.split(each, 4)[at] for at in (0, 3, 1, 2)]) for each in (w, r, b)]
    onnx = ops.lstm(X, *turned, state=H, cell=C, gates="iofc")
    zeros = ops.lstm(X, w, r, b, state=H * 0, cell=C * 0)
    free = ops.lstm(X, w, r, b)
    agree(
        {
            "all": (outputs, wanted[0]),
            "h": (h, wanted[1]),
            "c": (c, wanted[2]),
            "reverse": (back[0], wanted[0][::-1]),
            "order": (onnx[0], wanted[0]),
            "zeros": (zeros[0] - free[0], wanted[0] * 0),
        },
        1e-9,
        1e-9,
    )


def test_rows_that_end_early() -> None:
    w, r, b = weights(4)
    lengths = np.array([4, 2, 0], np.int32)
    outputs, h, c = ops.lstm(X, w, r, b, state=H, cell=C, lengths=lengths)
    every, _, _ = _lstm(X, w, r, b)
    short = _lstm(X[:2], w, r, b)
    for row, length in enumerate(lengths):
        every[length:, row] = 0
    _, last, cell = _lstm(X, w, r, b)
    agree(
        {
            "all": (outputs, every),
            "h": (h, np.stack([last[0], short[1][1], H[2]])),
            "c": (c, np.stack([cell[0], short[2][1], C[2]])),
        },
        1e-9,
        1e-9,
    )


def test_gru_and_simple() -> None:
    w, r, b = weights(3)
    extra = numbers(3 * UNITS)
    h, before, every, others = H, H, list[Floats](), list[Floats]()
    for each in X:
        z, reset, n = np.split(each @ w.T + b, 3, -1)
        uz, ur, un = np.split(h @ r.T + extra, 3, -1)
        update = sigmoid(z + uz)
        h = (1 - update) * np.tanh(n + sigmoid(reset + ur) * un) + update * h
        every.append(h)
        uz, ur, _ = np.split(before @ r.T + extra, 3, -1)
        update, cut = sigmoid(z + uz), sigmoid(reset + ur) * before
        mixed = np.tanh(n + cut @ r[2 * UNITS :].T + extra[2 * UNITS :])
        before = (1 - update) * mixed + update * before
        others.append(before)
    after = ops.gru(X, w, r, b, extra, state=H)
    first = ops.gru(X, w, r, b, extra, state=H, reset_after=False)
    w, r, b = weights(1)
    h, plain = H, list[Floats]()
    for each in X:
        h = np.tanh(each @ w.T + h @ r.T + b)
        plain.append(h)
    agree(
        {
            "after": (after[0], np.stack(every)),
            "last": (after[1], every[-1]),
            "before": (first[0], np.stack(others)),
            "simple": (ops.simple_rnn(X, w, r, b, state=H)[0], np.stack(plain)),
        },
        1e-9,
        1e-9,
    )


def test_steps_share_their_functions() -> None:
    w, r, b = (each.astype(np.float32) for each in weights(4))

    def net(x: tilec.Tensor) -> tilec.Tensor:
        return ops.lstm(x, w, r, b)[0]

    linked = tilec.trace(net, X.astype(np.float32))
    text = linked.function.source
    assert text.count("function recurrent_cell(") == 1
    assert text.count("= recurrent_cell(") == STEPS


def test_faults() -> None:
    w, r, b = weights(4)
    with pytest.raises(ShapeError, match="lstm: x, w and recurrent have the shapes"):
        ops.lstm(X, r, w, b)
    with pytest.raises(ArgumentError, match="gates is 'ifcc'"):
        ops.lstm(X, w, r, b, gates="ifcc")
    with pytest.raises(ArgumentError, match="no activation 'sine'"):
        ops.lstm(X, w, r, activations=(ops.Activation("sine"),) * 3)
    with pytest.raises(ShapeError, match="a state has the shape"):
        ops.lstm(X, w, r, state=H[:1])
