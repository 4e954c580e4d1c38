"""What has no derivative is refused where it stands, or is 0 where that is the truth."""

from __future__ import annotations

import numpy as np
import pytest

import tilec


@pytest.mark.parametrize(
    ("text", "words", "place"),
    [
        ("function (X[N], Z) -> (Y) { Y = argsort(X, 0); }", "the output Y is i32", "1:33"),
        ("Y = X > 0", "the output Y is bool", "1:1"),
        ("function (X: i32, Z) -> (Y) { Y = X; }", "the output Y is i32", "1:26"),
    ],
)
def test_outputs_that_are_no_floats(text: str, words: str, place: str) -> None:
    with pytest.raises(tilec.GradientError, match=words) as caught:
        tilec.grad(tilec.function(text))
    assert f":{place}:" in str(caught.value)


def test_inputs_that_are_no_floats() -> None:
    f = tilec.function("function (T[V, D], I[N]: i32) -> (E) { E = gather(T, I); }")
    assert tilec.grad(f).outputs == ("DT",)
    with pytest.raises(tilec.GradientError, match="the input I is i32") as caught:
        tilec.grad(f, "I")
    assert ":1:20:" in str(caught.value)
    with pytest.raises(tilec.ArgumentError, match="no input 'J'"):
        tilec.grad(f, "J")
    with pytest.raises(tilec.GradientError, match="no input is a float"):
        tilec.grad(tilec.function("function (X: i32) -> (Y) { Y = X * 0.5; }"))


def test_a_named_input_that_only_a_comparison_reads() -> None:
    f = tilec.function(
        "function (X[N], Y[N]) -> (R) {\n  B = Y > 1;\n  F = as_float(B, 32);\n  R = X * F;\n}"
    )
    with pytest.raises(tilec.GradientError, match="its gradient ends at B") as caught:
        tilec.grad(f, "Y")
    assert ":2:3:" in str(caught.value)
    _, by_y = tilec.grad(f)(np.ones(3), np.ones(3), np.ones(3))
    np.testing.assert_array_equal(by_y, np.zeros(3))


def test_the_generator_has_no_gradient() -> None:
    f = tilec.function(
        "function (S[3, 2048]: u32, X[N]) -> (R) { U = prng_value(prng_step(S, N)); R = U * X; }"
    )
    with pytest.raises(tilec.GradientError, match="the input S is u32"):
        tilec.grad(f, "S")


def test_the_derivative_of_a_product_is_taken_once() -> None:
    g = tilec.grad(tilec.function("O[i] = *(A[i, k])"))
    with pytest.raises(tilec.GradientError, match="which can be taken once"):
        tilec.grad(g)


def test_a_maximum_over_an_index_without_a_range_of_its_own() -> None:
    f = tilec.function("function (A[N], B[M]) -> (O) { O[i : N] = >(A[i + j] * B[i - j]); }")
    with pytest.raises(tilec.GradientError, match="needs the range of j"):
        tilec.grad(f)


def test_the_number_of_axes_is_needed() -> None:
    f = tilec.function("function (X) -> (Y) { E = exp(X); Y = index(X, 1) * E; }")
    with pytest.raises(tilec.GradientError, match="cannot be derived while sizes"):
        tilec.grad(f)


@pytest.mark.parametrize("value", ["argsort(X)", "shape(X)", "gather(X, I)", "scatter(X, I, Z)"])
def test_builtins_that_count_axes(value: str) -> None:
    f = tilec.function(f"function (X, I, Z[N]) -> (Y) {{ T = {value}; Y = T * X; }}")
    with pytest.raises(tilec.GradientError, match="how many axes"):
        tilec.grad(f)


def test_value_and_grad_needs_one_number() -> None:
    with pytest.raises(tilec.GradientError, match="the output Y is no scalar"):
        tilec.value_and_grad(tilec.function("function (X[N]) -> (Y) { Y = X * X; }"))


def test_integers_where_floats_were_assumed() -> None:
    g = tilec.grad(tilec.function("Y = X * X"))
    with pytest.raises(tilec.GradientError, match="X is i64, but the derivative"):
        g(np.arange(3), np.ones(3))
