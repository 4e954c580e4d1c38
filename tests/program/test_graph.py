"""Graphs of tensors: what they compute, how they are linked, and what is refused."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pytest

import tilec
from tilec.errors import ArgumentError, ShapeError

Floats: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[np.float32]]"

RNG = np.random.default_rng(7)


def _floats(*shape: int) -> Floats:
    return RNG.standard_normal(shape).astype(np.float32)


A, B, C = _floats(2, 3, 4), _floats(4, 5), _floats(3, 5)


def test_operators_are_those_of_numpy() -> None:
    x, y = tilec.tensor(A), tilec.tensor(B)
    found = (x @ y + C) * 2.0 - 1
    np.testing.assert_allclose(found.numpy(), (A @ B + C) * 2 - 1, rtol=1e-5)
    assert (C + x @ y).shape == (2, 3, 5)
    assert (x < 0).numpy().dtype == np.bool_
    np.testing.assert_array_equal((-abs(x)).numpy(), -abs(A))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((4,), (4,)),
        ((3, 4), (4,)),
        ((4,), (2, 4, 5)),
        ((1, 3, 4), (2, 4, 5)),
        ((2, 1, 3, 4), (6, 4, 5)),
    ],
)
def test_matrix_products_broadcast(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    a, b = _floats(*left), _floats(*right)
    np.testing.assert_allclose((tilec.tensor(a) @ b).numpy(), a @ b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "key",
    [0, -1, np.s_[:], np.s_[::-1], np.s_[:1, None, 2], np.s_[..., 1], np.s_[None, ..., 3:0:-2]],
)
def test_indexing_is_that_of_numpy(key: Any) -> None:
    np.testing.assert_array_equal(tilec.tensor(A)[key].numpy(), A[key])


def _twice(x: tilec.Tensor) -> tilec.Tensor:
    return x @ B + x @ B


def test_a_graph_is_one_tile_program() -> None:
    linked = tilec.trace(_twice, tilec.Spec((2, 3, 4)))
    text = linked.function.source
    assert text.count("matrices(X, C0)") == 1  # equal calls are one
    assert list(linked.given) == ["C0"]
    gradient = tilec.grad(linked.function, wrt="X")
    found = gradient(A, B, np.ones((2, 3, 5), np.float32))
    np.testing.assert_allclose(found, np.broadcast_to(2 * B.sum(1), A.shape), rtol=1e-5)


def test_compile_makes_one_executable() -> None:
    def both(x: tilec.Tensor, w: tilec.Tensor) -> dict[str, tilec.Tensor]:
        return {"sum": x @ w, "first": x[0]}

    run = tilec.compile(both, tilec.Spec((2, 3, 4)), B)
    assert [name for name, _ in run.outputs] == ["Sum", "First"]
    total, first = run(A, B)
    np.testing.assert_allclose(total, A @ B, rtol=1e-5)
    np.testing.assert_array_equal(first, A[0])


def test_known_arrays_may_lie_in_any_order() -> None:
    turned = np.asfortranarray(C)
    run = tilec.compile(
        lambda: {"as it is": tilec.tensor(turned), "more": tilec.tensor(turned) + 1}
    )
    same, more = run()
    np.testing.assert_array_equal(same, C)
    np.testing.assert_array_equal(more, C + 1)


def test_functions_of_one_name_stay_apart() -> None:
    twice = tilec.function("function f(X) -> (Y) { Y = X + X; }")
    square = tilec.function(
        "function g(X) -> (Y) { Y = X * X; } function f(X) -> (Y) { Y = g(X); }"
    )
    unnamed = tilec.function("function (X) -> (Y, Z) { Y = X + 1; Z = X + 2; }")
    x = tilec.tensor(C)
    one, two = tilec.apply(unnamed, tilec.apply(square, tilec.apply(twice, x)))
    np.testing.assert_allclose((one + two).numpy(), 8 * C * C + 3, rtol=1e-5)


def test_numbers_and_bound_inputs() -> None:
    scaled = tilec.function("function scaled(X[N], S, B[N]) -> (Y) { Y = X * S + B; }")
    bound = scaled.bind(B=C[0])
    found = tilec.apply(bound, C[1], -0.5)
    np.testing.assert_allclose(found.numpy(), C[1] * -0.5 + C[0], rtol=1e-5)
    infinite = tilec.tensor(C) * float("inf")
    np.testing.assert_array_equal(infinite.numpy(), C * np.float32("inf"))


def test_what_is_known_is_not_computed_again() -> None:
    x = tilec.tensor(A) + 1
    assert "not computed" in repr(x)
    array = x.numpy()
    assert x.numpy() is array
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 0
    y, z = x * 2, x * 3
    tilec.evaluate(y, z)
    np.testing.assert_allclose((y + z).numpy(), 5 * (A + 1), rtol=1e-5)


def test_found_code_is_run_for_other_arrays_and_numbers_count() -> None:
    for scale in (1, 1.0, True, 2):
        for given in (A, A + 1):
            x = tilec.tensor(given)
            y = x * scale + x
            assert not y.is_known
            tilec.evaluate(y, target="reference")
            assert y.is_known
            np.testing.assert_allclose(y.numpy(), given * scale + given, rtol=1e-6)
    same, other = tilec.tensor(C), tilec.tensor(C + 1)
    np.testing.assert_array_equal((same + same).numpy(), 2 * C)
    np.testing.assert_allclose((same + other).numpy(), 2 * C + 1, rtol=1e-5)


def test_a_placeholder_has_a_type_and_no_elements() -> None:
    x = tilec.placeholder(tilec.Spec((2, 3)), "Image")
    y = x + 1
    assert x.is_abstract
    assert y.is_abstract
    assert not tilec.tensor(A).is_abstract
    assert y.shape == (2, 3)
    with pytest.raises(ArgumentError, match="the input Image"):
        y.numpy()


def test_what_a_traced_function_raises_comes_through() -> None:
    def fails(x: tilec.Tensor) -> tilec.Tensor:
        raise KeyError(x.shape)

    with pytest.raises(KeyError, match="2"):
        tilec.compile(fails, tilec.Spec((2,)))


def test_faults_are_told() -> None:
    x = tilec.tensor(A)
    with pytest.raises(ShapeError, match="4 is not 3"):
        _ = x @ C
    with pytest.raises(ArgumentError, match="was given 4 indices"):
        x[0, 0, 0, 0]
    with pytest.raises(ArgumentError, match="outside of an axis of size 2"):
        x[2]
    with pytest.raises(ArgumentError, match=r"ops\.take"):
        x[[0, 1]]
    with pytest.raises(ArgumentError, match="no tensor"):
        tilec.compile(len, tilec.Spec((2,)))
    kept: list[tilec.Tensor] = []

    def leak(x: tilec.Tensor) -> tilec.Tensor:
        kept.append(x)
        return x + 1

    tilec.trace(leak, tilec.Spec((2,)))
    with pytest.raises(ArgumentError, match="depends on the input x"):
        (kept[0] * 2).numpy()


def test_open_sizes_are_those_that_come() -> None:
    w = _floats(4, 3)

    def layer(x: tilec.Tensor, y: tilec.Tensor) -> tilec.Tensor:
        return x @ w + y

    run = tilec.compile(layer, tilec.OpenSpec(("N", 4)), tilec.OpenSpec((None, 3)))
    assert repr(run) == "<tilec.OpenExecutable (x: f32[N, 4], y: f32[?, 3])>"
    for count in (2, 5, 2):
        x, y = _floats(count, 4), _floats(1, 3)
        np.testing.assert_allclose(run(x, y), x @ w + y, rtol=1e-5)
    out = np.empty((2, 3), np.float32)
    assert run(_floats(2, 4), _floats(1, 3), out=out) is out
    with pytest.raises(tilec.ShapeError, match=r"x has shape \[2, 5\], but it is \[N, 4\] here"):
        run(_floats(2, 5), _floats(1, 3))
    with pytest.raises(tilec.ArgumentError, match="2: x, y"):
        run(_floats(2, 4))
    with pytest.raises(tilec.TileTypeError, match="has dtype f64"):
        run(_floats(2, 4), np.ones((1, 3)))
    with pytest.raises(tilec.ShapeError):
        run(_floats(2, 4), _floats(3, 3))
    with pytest.raises(tilec.ArgumentError, match="sizes were given for N"):
        run.compile(N=2)


def test_open_sizes_of_one_name_are_equal() -> None:
    def both(x: tilec.Tensor, y: tilec.Tensor) -> tilec.Tensor:
        return x + y

    assert tilec.Spec(("N",)) == tilec.OpenSpec(("N",))
    run = tilec.compile(both, tilec.OpenSpec(("N",)), tilec.OpenSpec(("N",)))
    with pytest.raises(tilec.ShapeError, match="the size N is 3 in argument y, but 2 in x"):
        run(_floats(2), _floats(3))
    program = run.compile(N=6)
    assert program.inputs[0][1] == tilec.Spec((6,))
    assert run.compile(N=6) is program
    with pytest.raises(tilec.ArgumentError, match="without a name"):
        tilec.Spec(("", 3))
