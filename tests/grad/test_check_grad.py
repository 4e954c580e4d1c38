"""``check_grad`` and the check at compile time find what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

import tilec
from tilec.tensor.scalar import Scalar

TEXT = "C[i, j : M, N] = +(A[i, k] * B[k, j])"


def arrays(dtype: str = "float32") -> list[np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    random = np.random.default_rng(0)
    return [random.random((3, 4)).astype(dtype), random.random((4, 5)).astype(dtype)]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_right_gradients_pass(dtype: str) -> None:
    judged = tilec.check_grad(tilec.function(TEXT), *arrays(dtype))
    assert [(each.input, each.elements, each.kinks) for each in judged] == [
        ("A", 12, 0),
        ("B", 20, 0),
    ]


def test_narrow_floats_within_a_function_widen_what_is_allowed() -> None:
    narrow = tilec.function("function (A[N]: f64) -> (R) { R = asinh(as_float(A, 16)); }")
    (judged,) = tilec.check_grad(narrow, np.array([1.5, 0.3]))
    assert 1e-4 < judged.error < 3e-2
    wide = tilec.function("function (A[N]: f64) -> (R) { R = asinh(as_float(A, 64)); }")
    (judged,) = tilec.check_grad(wide, np.array([1.5, 0.3]))
    assert judged.error < 1e-6


def test_a_wrong_gradient_is_told_with_its_worst_element() -> None:
    wrong = tilec.function(
        "function (A[M, K], B[K, N], DC[M, N]) -> (DA, DB) "
        "{ DA[i, k : M, K] = +(DC[i, j] * B[k, j]); T[k, j : K, N] = +(DC[i, j] * A[i, k]); "
        "DB[2, j : K, N] = +(2 * T[2, j]) default T; }"
    )
    with pytest.raises(tilec.GradientError, match=r"the gradient of B is wrong at \[2, \d\]"):
        tilec.check_grad(tilec.function(TEXT), *arrays(), gradient=wrong)


def test_kinks_are_left_out() -> None:
    (judged,) = tilec.check_grad(tilec.function("Y = relu(X)"), np.array([-1.0, 0.0, 1.0]))
    assert (judged.elements, judged.kinks) == (2, 1)


def test_the_number_of_arguments() -> None:
    with pytest.raises(tilec.ArgumentError, match="check_grad needs 2 arrays: A, B"):
        tilec.check_grad(tilec.function(TEXT), np.ones((2, 2)))


def test_debug_checks_what_was_derived(monkeypatch: pytest.MonkeyPatch) -> None:
    specs = [tilec.Spec((300, 400)), tilec.Spec((400, 500)), tilec.Spec((300, 500))]
    debug = tilec.Options(debug=True)
    f = tilec.function(TEXT)
    tilec.grad(f).compile(*specs, options=debug)
    tilec.jvp(f).compile(*specs[:2], *specs[:2], options=debug)
    tilec.value_and_grad(tilec.function("L[] = +(X[i] * X[i])")).compile(
        tilec.Spec((1000,)), options=debug
    )
    from tilec.grad import rules, scalars

    def wrong(op: str, args: tuple[Scalar, ...], result: Scalar) -> tuple[rules.Linear | None, ...]:
        right = rules.derivatives(op, args, result)
        return (rules.neg, rules.neg) if op == "mul" else right

    monkeypatch.setattr(scalars, "derivatives", wrong)
    with pytest.raises(tilec.GradientError, match="finite differences give"):
        tilec.grad(f).compile(*specs, options=debug)
    with pytest.raises(tilec.GradientError, match="finite differences give"):
        tilec.jvp(f).compile(*specs[:2], *specs[:2], options=debug)


def test_debug_says_what_it_cannot_check() -> None:
    f = tilec.function("function square(X[70000]) -> (Y) { Y = X * X; }")
    specs = [tilec.Spec((70000,))] * 2
    with pytest.warns(tilec.TilecWarning, match="square_grad is not held against finite diff"):
        tilec.grad(f).compile(*specs, options=tilec.Options(debug=True))
