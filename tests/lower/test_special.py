"""Gather, scatter, reshape, sorting and random numbers, lowered and run by the interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.lower.interpret import numpy_dtype, run_module
from tilec.dtypes import F16, F32, I8, I32, I64, U32, U64, DType
from tilec.kernel.verify import verify
from tilec.lower.pipeline import lower_program
from tilec.tensor.ir import (
    ArgSort,
    Gather,
    Input,
    Node,
    Output,
    Program,
    RandomState,
    RandomValue,
    Reshape,
    Scatter,
    TensorType,
)


def run(node: Node, inputs: dict[str, tuple[DType, NDArray[Any]]]) -> NDArray[Any]:
    program = Program(
        "p",
        tuple(Input(name, TensorType(d, array.shape)) for name, (d, array) in inputs.items()),
        (node,),
        (Output(node.name, node.name),),
    )
    flat = {name: array.reshape(-1) for name, (_, array) in inputs.items()}
    module = lower_program(program)
    verify(module)
    (result,) = run_module(module, flat)
    return result.reshape([int(str(size)) for size in node.type.shape])


@pytest.mark.parametrize("rows_dtype", [I8, I32, I64, U64])
@pytest.mark.parametrize("rest", [(), (5,), (3, 17)])
def test_gather_clamps(rows_dtype: DType, rest: tuple[int, ...]) -> None:
    data = np.random.default_rng(0).normal(size=(4, *rest)).astype(np.float32)
    kind = numpy_dtype(rows_dtype)
    low, high = (0, 2**64 - 1) if rows_dtype == U64 else (-3, 7)
    rows = np.array([[0, 3, 2], [low, high, 1]], kind)
    node = Gather("O", TensorType(F32, (2, 3, *rest)), "D", "R")
    result = run(node, {"D": (F32, data), "R": (rows_dtype, rows)})
    expected: NDArray[np.float32] = data[np.array([[0, 3, 2], [0, 3, 1]])]
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("dtype", [F32, F16, I8])
def test_scatter_adds(dtype: DType) -> None:
    updates = (np.arange(6 * 19).reshape(6, 19) % 50).astype(numpy_dtype(dtype))
    rows = np.array([1, 0, 1, 9, -4, 1], np.int32)
    node = Scatter("O", TensorType(dtype, (3, 19)), "E", "R")
    result = run(node, {"E": (dtype, updates), "R": (I32, rows)})
    expected = np.zeros((3, 19))
    np.add.at(expected, np.clip(rows, 0, 2), updates.astype(float))
    wrapped = expected if dtype.is_float else expected.astype(np.int32).astype(np.int8)
    np.testing.assert_array_equal(result.astype(float), wrapped.astype(float))


@pytest.mark.parametrize(("shape", "to"), [((6, 4), (3, 8)), ((24,), (2, 3, 4)), ((1,), ())])
def test_reshape(shape: tuple[int, ...], to: tuple[int, ...]) -> None:
    data = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    result = run(Reshape("O", TensorType(F32, to), "X"), {"X": (F32, data)})
    np.testing.assert_array_equal(result, data.reshape(to))


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 5, 8, 13, 33, 50])
@pytest.mark.parametrize("axis", [0, 1])
def test_argsort_is_stable_and_puts_nan_last(n: int, axis: int, *, descending: bool) -> None:
    random = np.random.default_rng(n)
    shape = (n, 3) if axis == 0 else (3, n)
    keys = random.integers(0, 6, size=shape).astype(np.float32)
    keys[keys == 5] = np.nan
    node = ArgSort("O", TensorType(I32, shape), "X", axis, descending)
    result = run(node, {"X": (F32, keys)})
    ordered = -keys if descending else keys
    np.testing.assert_array_equal(result, np.argsort(ordered, axis=axis, kind="stable"))


def recurrence(state: NDArray[np.uint32], steps: int) -> tuple[list[NDArray[np.uint32]], Any]:
    """The generator by its definition; the words drawn at each step, and the last state."""
    s1, s2, s3 = (row.astype(np.uint64) for row in state)
    mask = np.uint64(0xFFFFFFFF)

    def u(value: int) -> np.uint64:
        return np.uint64(value)

    words: list[NDArray[np.uint32]] = []
    for _ in range(steps):
        s1 = (((s1 & u(0xFFFFFFFE)) << u(12)) & mask) ^ ((((s1 << u(13)) & mask) ^ s1) >> u(19))
        s2 = (((s2 & u(0xFFFFFFF8)) << u(4)) & mask) ^ ((((s2 << u(2)) & mask) ^ s2) >> u(25))
        s3 = (((s3 & u(0xFFFFFFF0)) << u(17)) & mask) ^ ((((s3 << u(3)) & mask) ^ s3) >> u(11))
        words.append((s1 ^ s2 ^ s3).astype(np.uint32))
    return words, np.stack([s1, s2, s3]).astype(np.uint32)


@pytest.mark.parametrize("count", [1, 7, 2047, 2048, 2049, 5000])
def test_random_numbers_are_plaidmls(count: int) -> None:
    state = np.random.default_rng(1).integers(16, 2**32, size=(3, 2048), dtype=np.uint32)
    inputs = {"S": (U32, state)}
    values = run(RandomValue("V", TensorType(F32, (count,)), "S"), inputs)
    words, _ = recurrence(state, -(-count // 2048))
    expected = np.concatenate(words)[:count].astype(np.float32) * np.float32(2.0**-32)
    np.testing.assert_array_equal(values, np.minimum(expected, np.float32(1 - 2.0**-24)))
    after = run(RandomState("T", TensorType(U32, (3, 2048)), "S", count), inputs)
    full: Any = recurrence(state, count // 2048)[1]
    more: Any = recurrence(state, count // 2048 + 1)[1]
    drawn_again = np.arange(2048) < count % 2048
    full[:, drawn_again] = more[:, drawn_again]
    np.testing.assert_array_equal(after, full)
