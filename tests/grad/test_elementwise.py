"""Gradients of all elementwise builtins, of lookups, shapes and broadcasting."""

from __future__ import annotations

import numpy as np
import pytest

import tilec
from tilec.operations import OPERATIONS, Rule

# Where each function is smooth; others are smooth between 0.25 and 0.75.
ABOVE_ONE = {"acosh"}
CONSTANT = {"sign", "ceil", "floor", "round"}
SMOOTH = [
    row.name
    for row in OPERATIONS.values()
    if row.rule in (Rule.ARITHMETIC, Rule.MATH) and row.name not in CONSTANT
]


@pytest.mark.parametrize("name", SMOOTH)
def test_operation(name: str) -> None:
    arity = OPERATIONS[name].arity
    operands = ", ".join("XY"[:arity])
    f = tilec.function(f"function ({operands}) -> (R) {{ R = {name}({operands}); }}")
    random = np.random.default_rng(0)
    shift = 1.0 if name in ABOVE_ONE else 0.0
    arrays = [random.uniform(0.25, 0.75, (3, 4)) + shift for _ in range(arity)]
    for judged in tilec.check_grad(f, *arrays):
        assert judged.elements == 12


@pytest.mark.parametrize("name", SMOOTH)
def test_second_derivative(name: str) -> None:
    arity = OPERATIONS[name].arity
    operands = ", ".join("XY"[:arity])
    g = tilec.grad(tilec.function(f"function ({operands}) -> (R) {{ R = {name}({operands}); }}"))
    random = np.random.default_rng(0)
    shift = 1.0 if name in ABOVE_ONE else 0.0
    arrays = [random.uniform(0.25, 0.75, (5,)) + shift for _ in range(arity)]
    tilec.check_grad(g, *arrays, np.ones(5))


@pytest.mark.parametrize(
    ("text", "x", "expected"),
    [
        ("relu(X)", [-1.0, 0.0, 2.0], [0, 0, 1]),
        ("abs(X)", [-1.0, 0.0, 2.0], [-1, 1, 1]),
        ("max(X, 1)", [0.0, 1.0, 2.0], [0, 1, 1]),
        ("min(X, 1)", [0.0, 1.0, 2.0], [1, 0, 0]),
        ("pow(X, 2)", [0.0, 1.0, -2.0], [0, 2, -4]),
        ("pow(X, 1)", [0.0, 1.0, -2.0], [1, 1, 1]),
        ("X < 1 ? X * X : 3 * X", [0.5, 1.0, 2.0], [1, 3, 3]),
        ("round(X) + X", [0.4, 1.2, 2.7], [1, 1, 1]),
        ("as_float(as_int(X, 32), 64) + X", [0.4, 1.2, 2.7], [1, 1, 1]),
        ("reverse_grad(X, 0.5)", [1.0, 2.0, 3.0], [-0.5, -0.5, -0.5]),
    ],
)
def test_at_kinks_and_jumps(text: str, x: list[float], expected: list[float]) -> None:
    g = tilec.grad(tilec.function(f"function (X[N]) -> (R) {{ R = {text}; }}"))
    np.testing.assert_array_equal(g(np.array(x), np.ones(3)), expected)


def test_exponents_that_are_zero_or_of_zero() -> None:
    g = tilec.grad(tilec.function("R = pow(X, Y)"))
    x, y = np.array([0.0, 0.0, 2.0]), np.array([0.0, 3.0, 0.0])
    by_base, by_exponent = g(x, y, np.ones(3))
    np.testing.assert_array_equal(by_base, [0, 0, 0])
    np.testing.assert_allclose(by_exponent, [0, 0, np.log(2)])


@pytest.mark.parametrize(
    ("header", "shapes"),
    [
        ("X[N, M], Y[M]", [(3, 4), (4,)]),
        ("X[N, 1], Y[M]", [(3, 1), (4,)]),
        ("X[N, M], Y[]", [(3, 4), ()]),
        ("X[N, M], Y[K, L]", [(3, 4), (1, 4)]),
        ("X, Y", [(3, 1), (2, 1, 4)]),
        ("X, Y", [(), (2,)]),
    ],
)
def test_broadcasting_sums_back(header: str, shapes: list[tuple[int, ...]]) -> None:
    f = tilec.function(f"function ({header}) -> (R) {{ R = sin(X) * Y + X; }}")
    random = np.random.default_rng(0)
    tilec.check_grad(f, *(random.uniform(0.3, 1.7, shape) for shape in shapes))


def test_lookups_and_shapes() -> None:
    random = np.random.default_rng(0)
    rows = np.array([[0, 2], [2, 9]], np.int32)  # the last is clamped
    table, updates = random.random((4, 3)), random.random((2, 2, 3))
    tilec.check_grad(
        tilec.function("function (T[V, D], I) -> (R) { E = gather(T, I); R = E * E; }"), table, rows
    )
    tilec.check_grad(
        tilec.function(
            "function (U[A, B, D], I[A, B], T[V, L]) -> (R) { R = scatter(U * U, I, T); }"
        ),
        updates,
        rows,
        table,
        wrt="U",
    )
    tilec.check_grad(
        tilec.function("function (X[N, M]) -> (R) { R = sin(reshape(X, M * N)); }"), table
    )


@pytest.mark.parametrize("name", ["builtin_softmax", "builtin_logsoftmax"])
def test_softmax(name: str) -> None:
    x = np.random.default_rng(0).normal(size=(3, 5))
    tilec.check_grad(tilec.function(f"function (X[N, C]) -> (R) {{ R = {name}(X, N, C); }}"), x)


def test_crossentropy_scales_its_derivative() -> None:
    f = tilec.function("R = builtin_binary_crossentropy(O, T, 4)")
    o, t = np.array([0.25, 0.5]), np.array([1.0, 0.0])
    by_output, _ = tilec.grad(f)(o, t, np.ones(2))
    np.testing.assert_allclose(by_output, [-1.0, 0.5])


def test_random_values_are_constants() -> None:
    f = tilec.function(
        "function (S[3, 2048]: u32, X[N, M]) -> (R, T) { P = prng_step(S, N, M); "
        "U = prng_value(P); R = U < 0.5 ? 0.0 : 2.0 * X; T = prng_state(P); }"
    )
    state = np.random.default_rng(0).integers(16, 1 << 31, (3, 2048)).astype(np.uint32)
    x = np.ones((4, 5), np.float32)
    result, _ = f(state, x)
    np.testing.assert_array_equal(tilec.grad(f)(state, x, x), result)
