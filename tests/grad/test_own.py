"""Gradients that were given by hand."""

from __future__ import annotations

import numpy as np
import pytest

import tilec

STRAIGHT = tilec.function("function (X, DQ) -> (DX) { DX = DQ; }")
LAYER = """
function quantise(X) -> (Q) { Q = round(X); }
function layer(X[N], W[N]) -> (L) { Q = quantise(W * 3); L[] = +(X[i] * Q[i]); }
"""


def test_a_straight_through_estimator() -> None:
    step = tilec.function("function (X[N]) -> (Y) { Y = round(X); }")
    x = np.array([0.4, 1.7])
    np.testing.assert_array_equal(tilec.grad(step)(x, x), [0, 0])
    straight = step.with_grad(tilec.function("function (X[N], DY[N]) -> (DX) { DX = DY; }"))
    np.testing.assert_array_equal(straight(x), [0, 2])
    np.testing.assert_array_equal(tilec.grad(straight)(x, x), x)


def test_a_function_that_is_called() -> None:
    f = tilec.function(LAYER).with_grad(quantise=STRAIGHT)
    x, w = np.array([1.0, 2.0]), np.array([0.2, 0.6])
    by_x, by_w = tilec.grad(f)(x, w, np.ones(()))
    np.testing.assert_array_equal(by_x, [1, 2])
    np.testing.assert_array_equal(by_w, 3 * x)
    assert tilec.function(tilec.grad(f).source).source == tilec.grad(f).source


def test_only_one_of_the_gradients() -> None:
    f = tilec.function("function (A[N], B[N]) -> (C) { C = A * B; }").with_grad(
        tilec.function("function (A[N], B[N], DC[N]) -> (DA, DB) { DA = 10 * DC; DB = 20 * DC; }")
    )
    one = np.ones(2)
    np.testing.assert_array_equal(tilec.grad(f, "B")(one, one, one), [20, 20])


def test_debug_does_not_doubt_it() -> None:
    f = tilec.function(LAYER).with_grad(quantise=STRAIGHT)
    spec = tilec.Spec((50,))
    tilec.grad(f).compile(spec, spec, tilec.Spec(()), options=tilec.Options(debug=True))


def test_what_does_not_fit() -> None:
    f = tilec.function(LAYER)
    with pytest.raises(tilec.ArgumentError, match="layer calls no function 'quantize'"):
        f.with_grad(quantize=STRAIGHT)
    with pytest.raises(tilec.ArgumentError, match="has more than 2 inputs"):
        f.with_grad(STRAIGHT)
    two = tilec.function("function (X, DQ) -> (A, B) { A = DQ; B = DQ; }")
    with pytest.raises(tilec.GradientError, match="has 2 outputs, but there are 1 float inputs"):
        tilec.grad(f.with_grad(quantise=two))
    with pytest.raises(tilec.GradientError, match="says nothing about tangents"):
        tilec.jvp(f.with_grad(quantise=STRAIGHT))
