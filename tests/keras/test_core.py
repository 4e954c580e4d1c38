"""Tensors, conversions, control flow and slices of the Keras backend."""

from __future__ import annotations

import operator
from functools import partial
from typing import Any

import numpy as np
import pytest

from keras_tilec.src.tensor import Tensor
from tests.keras.host import backend, keras, ops
from tilec.errors import ArgumentError

A = np.arange(12, dtype=np.float32).reshape(3, 4)


def same(found: Any, wanted: Any, dtype: str | None = None) -> None:
    assert isinstance(found, Tensor)
    assert dtype is None or found.dtype.name == dtype
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-6)


def test_what_becomes_a_tensor() -> None:
    for given, dtype in [
        (1, "int32"),
        (True, "bool"),
        (2.5, "float32"),
        ([1, 2.5], "float32"),
        (np.arange(3), "int32"),
        (np.ones(2), "float32"),
        (np.ones(2, np.float16), "float16"),
        ([], "float32"),
    ]:
        same(ops.convert_to_tensor(given), given, dtype)
    x = ops.convert_to_tensor(A)
    assert ops.convert_to_tensor(x) is x
    assert backend.cast(x, "float32") is x
    same(ops.convert_to_tensor([x[0], A[1]]), A[:2], "float32")
    same(ops.convert_to_tensor([[x[0, 1], 2], [3, x[0, 2]]]), [[1, 2], [3, 2]], "float32")
    same(ops.convert_to_tensor(A, dtype="bfloat16"), A, "bfloat16")
    assert not ops.is_tensor(A)
    with pytest.raises(ValueError, match="sparse"):
        backend.convert_to_tensor(A, sparse=True)


def test_arrays_of_users_are_copied() -> None:
    given = np.ones(3, np.float32)
    x = ops.convert_to_tensor(given)
    given[0] = 5
    same(x, [1, 1, 1])
    backend.convert_to_numpy(x)[0] = 7
    same(x, [1, 1, 1])


def test_operators_promote_as_keras_does() -> None:
    i, f = ops.convert_to_tensor([1, 2, 3]), ops.convert_to_tensor([0.5, 1.5, 2.5])
    same(i + f, [1.5, 3.5, 5.5], "float32")
    same(i / 2, [0.5, 1, 1.5], "float32")
    same(i // 2, [0, 1, 1], "int32")
    same(2**i, [2, 4, 8], "int32")
    same(np.ones(3, np.float16) - f, [0.5, -0.5, -1.5], "float32")
    same(backend.cast(f, "float16") * 2, [1, 3, 5], "float16")
    same(i % 2 == 1, [True, False, True], "bool")
    same(~(i > 1) | (i > 2), [True, False, True], "bool")
    same(-i, [-1, -2, -3])
    same(abs(-f), [0.5, 1.5, 2.5])
    assert float(f[0]) == 0.5
    assert [1, 2, 3][i[0]] == 2
    assert len(i) == 3
    assert f"{f[0]:.2f}" == "0.50"


@pytest.mark.parametrize(
    "key",
    [
        1,
        -1,
        (slice(None), 1),
        (slice(None, None, -1), slice(1, 3)),
        (None, ..., 2),
        ([2, 0],),
        (slice(None), np.array([[0, 3], [1, 1]])),
        ([0, 2], [1, 3]),
        (1, [1, 3]),
        (slice(1, 3), [0, 1], None),
        (A > 4,),
        (np.array([True, False, True]),),
    ],
)
def test_indices(key: Any) -> None:
    same(ops.convert_to_tensor(A)[key], A[key])


def test_index_arrays_that_are_apart() -> None:
    cube = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    found = ops.convert_to_tensor(cube)[[0, 1], :, [1, 3]]
    same(found, cube[[0, 1], :, [1, 3]])


def test_showing_a_tensor_computes_nothing() -> None:
    seen: list[str] = []

    def step(x: Any) -> Any:
        seen.append(repr(x * 2 + 1))
        return x * 2

    backend.compute_output_spec(step, keras.KerasTensor((2, 3)))
    assert seen == ["<tilec tensor f32[2, 3], not computed>"]


def test_specs_of_results() -> None:
    def step(x: Any, scale: float) -> Any:
        return {"sum": ops.sum(x * scale, axis=1), "pair": (x, backend.cast(x[:, :2], "int32"))}

    found = backend.compute_output_spec(step, keras.KerasTensor((None, 4)), scale=2.0)
    assert found["sum"].shape == (None,)
    assert found["pair"][1].shape == (None, 2)
    assert found["pair"][1].dtype == "int32"
    square = keras.KerasTensor((40000, 40000))
    assert backend.compute_output_spec(ops.matmul, square, square).shape == (40000, 40000)
    with pytest.raises(ArgumentError, match="depends on the input"):
        backend.compute_output_spec(float, keras.KerasTensor(()))


def test_control_flow() -> None:
    x = ops.convert_to_tensor(A)

    def is_small(count: Any, _: Any) -> Any:
        return count < 5

    def forward(count: Any, y: Any) -> Any:
        return count + 2, y

    def more(_: Any, y: Any) -> Any:
        return y + x

    def running(total: Any, row: Any) -> Any:
        return total + row, total

    assert ops.cond(ops.sum(x) > 1, partial(str, "yes"), partial(str, "no")) == "yes"
    same(ops.switch(5, [operator.pos, operator.neg], x), -A)
    same(ops.while_loop(is_small, forward, (0, x))[0], 6)
    same(ops.fori_loop(0, 3, more, x), A * 4)
    carry, sums = ops.scan(running, x[0] * 0, x)
    same(carry, A.sum(axis=0))
    same(sums, np.concatenate([A[:1] * 0, A[:-1].cumsum(axis=0)]))
    same(ops.associative_scan(operator.add, x), A.cumsum(axis=0))
    same(ops.associative_scan(operator.add, x, reverse=True), A[::-1].cumsum(axis=0)[::-1])
    same(ops.vectorized_map(ops.sum, x), A.sum(axis=1))


def test_slices() -> None:
    x = ops.convert_to_tensor(A)
    same(ops.slice(x, [1, 2], [2, 2]), A[1:3, 2:4])
    same(ops.slice(x, [5, -3], [2, 2]), A[1:3, 0:2])
    wanted = A.copy()
    wanted[1:3, 1:3] = 9
    same(ops.slice_update(x, [1, 1], np.full((2, 2), 9.0)), wanted)
    same(ops.scatter([[0], [2], [0]], [1.0, 2.0, 3.0], (4,)), [4, 0, 2, 0])
    wanted = A.copy()
    wanted[[0, 2], [1, 3]] = [7, 8]
    same(ops.scatter_update(x, [[0, 1], [2, 3]], [7.0, 8.0]), wanted)
    for part, row in zip(ops.unstack(x), A, strict=True):
        same(part, row)


def test_variables() -> None:
    v = keras.Variable(A)
    v.assign_add(np.ones_like(A))
    same(v.value, A + 1)
    same(v + 1, A + 2)
    same(v[0], A[0] + 1)
    with keras.StatelessScope([(v, ops.convert_to_tensor(A))]) as scope:
        v.assign(v * 3)
    same(scope.get_current_value(v), A * 3)
    same(v.value, A + 1)


def test_small_operations_are_evaluated_and_the_others_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import tilec

    given: list[int] = []
    real = tilec.evaluate

    def noted(*tensors: tilec.Tensor, reference_up_to: int = 0) -> None:
        given.append(reference_up_to)
        real(*tensors, reference_up_to=reference_up_to)

    monkeypatch.setattr(tilec, "evaluate", noted)
    same(ops.convert_to_tensor(A) + 1, A + 1)
    assert given == [1024]
