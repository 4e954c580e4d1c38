"""The reference evaluator against enumeration in plain Python, and node by node."""

from __future__ import annotations

from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.tensor.build import contraction, place, points, program, read, tensor, times
from tests.tensor.random_contractions import REACH, contractions
from tilec.dtypes import BF16, BOOL, F16, F32, F64, I8, I32, I64, U8, U32, U64
from tilec.errors import ArgumentError, BoundsError, LimitError
from tilec.tensor import evaluate as evaluator
from tilec.tensor.affine import Affine
from tilec.tensor.evaluate import evaluate
from tilec.tensor.ir import (
    Aggregation,
    ArgSort,
    Constant,
    Contraction,
    Gather,
    Map,
    Node,
    Output,
    Program,
    RandomState,
    RandomValue,
    Reshape,
    Scatter,
    TensorType,
)
from tilec.tensor.scalar import Apply, IndexValue, Literal, cast
from tilec.tensor.size import concrete
from tilec.tensor.verify import verify

Array = NDArray[Any]


def run(inputs: dict[str, tuple[TensorType, Array]], *nodes: Node, output: str = "O") -> Array:
    """The value of one output; the program is verified first."""
    checked = program({name: kind for name, (kind, _) in inputs.items()}, *nodes, output=output)
    verify(checked)
    return evaluate(checked, {name: array for name, (_, array) in inputs.items()})[output]


def f32(*values: float) -> tuple[TensorType, Array]:
    return tensor(len(values)), np.array(values, np.float32)


def fold(agg: Aggregation, values: list[Fraction]) -> Fraction:
    """What several values make together, exactly."""
    match agg:
        case Aggregation.SUM:
            return sum(values, Fraction(0))
        case Aggregation.PRODUCT:
            return prod(values, start=Fraction(1))
        case Aggregation.MAX:
            return max(values)
        case Aggregation.MIN:
            return min(values)
        case Aggregation.ASSIGN:
            return values[0]


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
@given(contractions(), st.integers(0, 2**32 - 1))
def test_contractions_equal_enumeration(
    case: tuple[Contraction, dict[str, TensorType]], seed: int
) -> None:
    node, types = case
    shape = concrete(types["A"].shape)
    data = np.random.default_rng(seed).integers(-9, 10, shape, np.int32)
    met: dict[tuple[int, ...], list[Fraction]] = {}
    body = node.body
    assert isinstance(body, type(read("A", "")))
    for point in points(node, types, REACH):
        at = tuple(int(form.evaluate(point)) for form in body.access)
        met.setdefault(place(node, point), []).append(Fraction(int(data[at])))
    if node.agg is Aggregation.ASSIGN and any(len(values) > 1 for values in met.values()):
        with pytest.raises(BoundsError, match="twice"):
            run({"A": (types["A"], data)}, node)
        return
    expected = np.zeros(concrete(node.type.shape), np.int64)
    for element, values in met.items():
        expected[element] = _wrapped(int(fold(node.agg, values)))
    result = run({"A": (types["A"], data)}, node)
    assert result.dtype == np.int32
    np.testing.assert_array_equal(result, expected)


def _wrapped(value: int) -> int:
    return (value + 2**31) % 2**32 - 2**31


@pytest.mark.parametrize("agg", [a for a in Aggregation if a is not Aggregation.ASSIGN])
@pytest.mark.parametrize("dtype", [F16, F32, F64])
def test_float_results_are_the_exact_ones_rounded(agg: Aggregation, dtype: Any) -> None:
    data = np.random.default_rng(1).normal(1, 0.2, (3, 40)).astype(evaluator.storage(dtype))
    wide = F32 if dtype == F16 else dtype
    body = cast(read("A", "i, k", dtype), wide)
    node = contraction("i", (3,), body, agg=agg, dtype=dtype)
    result = run({"A": (tensor(3, 40, dtype=dtype), data)}, node)
    for row, value in zip(data, result, strict=True):
        exact = fold(agg, [Fraction(float(item)) for item in row])
        near = np.float64(float(exact)).astype(evaluator.storage(wide)).astype(data.dtype)
        assert value == near


def test_a_long_f32_sum_loses_nothing() -> None:
    data = np.full(300_000, 0.1, np.float32)
    node = contraction("", (), read("A", "i"))
    result = run({"A": (tensor(data.size), data)}, node)
    assert result == np.float32(float(np.float32(0.1)) * data.size)


def test_a_small_integer_sum_wraps_once_at_the_end() -> None:
    body = cast(read("A", "i", U8), U32)
    node = contraction("", (), body, dtype=U8)
    result = run({"A": (tensor(3, dtype=U8), np.array([200, 100, 7], np.uint8))}, node)
    assert result == 307 - 256
    assert result.dtype == np.uint8


def test_integer_accumulators_wrap() -> None:
    node = contraction("", (), read("A", "i", I64), agg=Aggregation.PRODUCT)
    data = np.array([2**62, 4, 3], np.int64)
    assert run({"A": (tensor(3, dtype=I64), data)}, node) == 0


def test_a_sum_of_bools_is_whether_any_is_true() -> None:
    body = cast(read("A", "i, k", BOOL), I32)
    node = contraction("i", (3,), body, dtype=BOOL)
    data = np.array([[0, 0], [0, 1], [1, 1]], np.bool_)
    result = run({"A": (tensor(3, 2, dtype=BOOL), data)}, node)
    np.testing.assert_array_equal(result, [False, True, True])


@pytest.mark.parametrize(("agg", "true"), [(Aggregation.MAX, -np.inf), (Aggregation.MIN, np.inf)])
def test_true_extremes_survive_and_nan_propagates(agg: Aggregation, true: float) -> None:
    lowest = float(np.finfo(np.float32).min) * (1 if agg is Aggregation.MAX else -1)
    data = np.array([[true, true], [lowest, true], [1, np.nan]], np.float32)
    node = contraction("i", (3,), read("A", "i, k"), agg=agg)
    result = run({"A": (tensor(3, 2), data)}, node)
    np.testing.assert_array_equal(result, np.array([true, lowest, np.nan], np.float32))


@pytest.mark.parametrize("agg", list(Aggregation))
@pytest.mark.parametrize("default", [False, True])
def test_elements_without_a_point_are_the_default_or_0(agg: Aggregation, default: bool) -> None:
    # Odd elements are holes inside the box, elements from 8 on lie outside of it.
    node = contraction("i", (10,), read("A", "i/2"), agg=agg, default="D" if default else None)
    inputs = {"A": f32(-1, -2, -3, -4), "D": f32(*range(20, 30))}
    expected = [-1, 0, -2, 0, -3, 0, -4, 0, 0, 0]
    if default:
        expected = [-1, 21, -2, 23, -3, 25, -4, 27, 28, 29]
    np.testing.assert_array_equal(run(inputs, node), np.array(expected, np.float32))


def test_a_domain_without_points_gives_the_default_everywhere() -> None:
    node = contraction("i", (3,), read("A", "k, i"), default="D")
    inputs = {"A": (tensor(0, 3), np.empty((0, 3), np.float32)), "D": f32(7, 8, 9)}
    np.testing.assert_array_equal(run(inputs, node), [7, 8, 9])


def test_several_points_of_one_element_meet() -> None:
    # The example of the language reference, section 2.4.
    node = contraction("2*i + j", (8,), read("A", "i"), constraints=(("j", 3),))
    result = run({"A": f32(1, -2, 3, 4)}, node)
    np.testing.assert_array_equal(result, [1, 1, -1, -2, 1, 3, 7, 4])


def test_any_expression_may_be_combined() -> None:
    distance = Apply("abs", (Apply("sub", (read("A", "i"), read("B", "j")), F32),), F32)
    node = contraction("i", (3,), distance, agg=Aggregation.MAX)
    a, b = f32(1, 5, -2), f32(0, 3)
    expected = np.abs(a[1][:, None] - b[1]).max(axis=1)
    np.testing.assert_array_equal(run({"A": a, "B": b}, node), expected)


def test_index_values_are_exact_and_wrap() -> None:
    forms = {I64: 10**18, I8: 300, U64: -1}
    for dtype, const in forms.items():
        body = IndexValue(Affine.build([("x", Fraction(2))], Fraction(const)), dtype)
        node = Map("O", TensorType(dtype, (3,)), ("x",), body)
        low = {I64: const, I8: 300 - 256, U64: 2**64 - 1}[dtype]
        expected = [low, low + 2, low + 4] if dtype != U64 else [low, 1, 3]
        np.testing.assert_array_equal(run({}, node), np.array(expected, evaluator.storage(dtype)))


def test_coordinates_beyond_64_bits_do_not_wrap_into_the_tensor() -> None:
    # 2**62 * i + j is 0 modulo 2**64 for i = 4, but only (0, 0) lies inside.
    node = contraction("i, j", (5, 2), read("A", f"{2**62}*i + j"))
    result = run({"A": f32(7)}, node)
    assert result[0, 0] == 7
    assert np.count_nonzero(result) == 1


def test_maps_broadcast() -> None:
    body = Apply("add", (read("A", "x, 0"), read("B", "y")), F32)
    node = Map("O", tensor(2, 3), ("x", "y"), body)
    a = (tensor(2, 1), np.array([[10], [20]], np.float32))
    np.testing.assert_array_equal(
        run({"A": a, "B": f32(1, 2, 3)}, node), [[11, 12, 13], [21, 22, 23]]
    )


def test_maps_without_operands_and_without_elements() -> None:
    two = Literal(2, I32)
    filled = run({}, Map("O", tensor(2, 2, dtype=I32), ("x", "y"), two))
    np.testing.assert_array_equal(filled, [[2, 2], [2, 2]])
    assert run({}, Map("O", tensor(0, 2, dtype=I32), ("x", "y"), two)).shape == (0, 2)
    assert run({}, Map("O", tensor(dtype=I32), (), two)) == 2


def test_f16_rounds_after_each_operation() -> None:
    total = Apply("add", (read("A", "x", F16), read("B", "x", F16)), F16)
    body = Apply("sub", (total, read("A", "x", F16)), F16)
    node = Map("O", tensor(1, dtype=F16), ("x",), body)
    a = (tensor(1, dtype=F16), np.array([2048], np.float16))
    b = (tensor(1, dtype=F16), np.array([1], np.float16))
    assert run({"A": a, "B": b}, node) == 0


def test_bf16_comes_as_ml_dtypes_or_as_f32() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    node = Map("O", tensor(2, dtype=BF16), ("x",), read("A", "x", BF16))
    kind = tensor(2, dtype=BF16)
    as_f32 = run({"A": (kind, np.array([1.001, -3], np.float32))}, node)
    as_bf16 = run({"A": (kind, np.array([1.001, -3], ml_dtypes.bfloat16))}, node)
    np.testing.assert_array_equal(as_f32, np.array([1, -3], np.float32))
    np.testing.assert_array_equal(as_f32, as_bf16)


def test_constants_and_reshape() -> None:
    constant = Constant("C", tensor(2, 3, dtype=I32), (1, 2, 3, 4, 5, 6))
    node = Reshape("O", tensor(3, 2, dtype=I32), "C")
    np.testing.assert_array_equal(run({}, constant, node), [[1, 2], [3, 4], [5, 6]])


@pytest.mark.parametrize("dtype", [I8, I64, U8, U64])
def test_gather_clamps(dtype: Any) -> None:
    high = int(np.iinfo(evaluator.storage(dtype)).max)
    low = int(np.iinfo(evaluator.storage(dtype)).min)
    rows = np.array([[0, high], [low, 1]], evaluator.storage(dtype))
    data = np.arange(600, dtype=np.float32).reshape(300, 2)
    node = Gather("O", tensor(2, 2, 2), "A", "R")
    result = run({"A": (tensor(300, 2), data), "R": (tensor(2, 2, dtype=dtype), rows)}, node)
    np.testing.assert_array_equal(result, data[[[0, min(high, 299)], [max(low, 0), 1]]])


def test_gather_without_rows() -> None:
    node = Gather("O", tensor(0, 2), "A", "R")
    empty = (tensor(0, dtype=I32), np.empty(0, np.int32))
    inputs = {"A": (tensor(0, 2), np.empty((0, 2), np.float32)), "R": empty}
    assert run(inputs, node).shape == (0, 2)


def test_scatter_adds_and_clamps() -> None:
    node = Scatter("O", tensor(3, 2), "U", "R")
    updates = np.array([[1, 2], [3, 4], [5, 6], [7, 8]], np.float32)
    rows = (tensor(4, dtype=I32), np.array([1, -5, 1, 9], np.int32))
    result = run({"U": (tensor(4, 2), updates), "R": rows}, node)
    np.testing.assert_array_equal(result, [[3, 4], [6, 8], [7, 8]])


def test_scatter_accumulates_in_the_wider_type() -> None:
    node = Scatter("O", tensor(1, dtype=F16), "U", "R")
    updates = (tensor(3000, dtype=F16), np.ones(3000, np.float16))
    rows = (tensor(3000, dtype=I32), np.zeros(3000, np.int32))
    assert run({"U": updates, "R": rows}, node) == 3000


def test_scatter_to_nothing() -> None:
    node = Scatter("O", tensor(0), "U", "R")
    rows = (tensor(1, dtype=I32), np.zeros(1, np.int32))
    assert run({"U": f32(1), "R": rows}, node).shape == (0,)


def test_argsort_is_stable_with_nan_last() -> None:
    values = np.array([3, np.nan, -0.0, 3, 0.0, np.nan, -np.inf], np.float32)
    inputs = {"A": (tensor(7), values)}
    ascending = run(inputs, ArgSort("O", tensor(7, dtype=I32), "A", 0))
    descending = run(inputs, ArgSort("O", tensor(7, dtype=I32), "A", 0, descending=True))
    np.testing.assert_array_equal(ascending, [6, 2, 4, 0, 3, 1, 5])
    np.testing.assert_array_equal(descending, [0, 3, 2, 4, 6, 1, 5])
    assert ascending.dtype == np.int32


def test_argsort_along_an_axis() -> None:
    values = np.array([[5, 1, 200], [4, 3, 2]], np.uint8)
    kind = tensor(2, 3, dtype=U8)
    for axis in (0, 1):
        for descending in (False, True):
            node = ArgSort("O", tensor(2, 3, dtype=I32), "A", axis, descending)
            keys = -values.astype(int) if descending else values
            expected = np.argsort(keys, axis=axis, kind="stable")
            np.testing.assert_array_equal(run({"A": (kind, values)}, node), expected)


def _tausworthe(state: list[int]) -> tuple[list[int], float]:
    """One step of one stream with Python integers, from the language reference, section 1.3."""
    word = 2**32 - 1
    s1, s2, s3 = state
    s1 = (((s1 & ~1) << 12) & word) ^ ((((s1 << 13) & word) ^ s1) >> 19)
    s2 = (((s2 & ~7) << 4) & word) ^ ((((s2 << 2) & word) ^ s2) >> 25)
    s3 = (((s3 & ~15) << 17) & word) ^ ((((s3 << 3) & word) ^ s3) >> 11)
    value = float(np.float32(s1 ^ s2 ^ s3)) / 2**32
    return [s1, s2, s3], min(value, 1 - 2**-24)


@pytest.mark.parametrize("count", [0, 1, 2047, 2048, 2049, 5000])
def test_random_values_follow_the_recurrence(count: int) -> None:
    state = np.random.default_rng(3).integers(16, 2**32, (3, 2048), np.uint32)
    kind = tensor(3, 2048, dtype=U32)
    value = run({"S": (kind, state)}, RandomValue("O", tensor(count), "S"))
    after = run({"S": (kind, state)}, RandomState("O", kind, "S", count))
    streams = [[int(word) for word in column] for column in state.T]
    expected: list[float] = []
    for element in range(count):
        streams[element % 2048], drawn = _tausworthe(streams[element % 2048])
        expected.append(drawn)
    assert value.dtype == np.float32
    np.testing.assert_array_equal(value, np.array(expected, np.float32))
    np.testing.assert_array_equal(after, np.array(streams, np.uint32).T)


def test_random_values_stay_below_one() -> None:
    # The step from this state gives the word 2**32 - 2, which f32 rounds up to 2**32.
    state = np.zeros((3, 2048), np.uint32)
    state[0] = 0xFFFFE
    value = run({"S": (tensor(3, 2048, dtype=U32), state)}, RandomValue("O", tensor(4), "S"))
    np.testing.assert_array_equal(value, np.full(4, 1 - 2.0**-24, np.float32))


def test_outputs_may_be_inputs_and_share_values() -> None:
    kind, array = f32(1, 2)
    base = program({"A": kind}, output="A")
    shared = Program("test", base.inputs, (), (Output("X", "A"), Output("Y", "A")))
    result = evaluate(shared, {"A": array})
    np.testing.assert_array_equal(result["X"], array)
    np.testing.assert_array_equal(result["Y"], array)


def test_wrong_arrays_are_refused() -> None:
    checked = program({"A": tensor(2)}, Map("O", tensor(2), ("x",), read("A", "x")))
    with pytest.raises(ArgumentError, match="no array was given for the input A"):
        evaluate(checked, {})
    with pytest.raises(ArgumentError, match=r"the input A is f32\[2\], not float64\[2\]"):
        evaluate(checked, {"A": np.zeros(2)})
    with pytest.raises(ArgumentError, match=r"not float32\[3\]"):
        evaluate(checked, {"A": np.zeros(3, np.float32)})


def test_too_many_points_are_refused() -> None:
    types = {"A": tensor(1 << 20), "B": tensor(1 << 20)}
    node = contraction("", (), times(read("A", "i"), read("B", "j")))
    zeros = np.zeros(1 << 20, np.float32)
    with pytest.raises(LimitError, match="index points"):
        evaluate(program(types, node), {"A": zeros, "B": zeros})


def test_more_points_than_one_chunk() -> None:
    n = 600
    a = np.random.default_rng(0).integers(0, 5, (n, n), np.int32)
    body = read("A", "i, j", I32)
    node = contraction("j", (n,), body, constraints=(("i - j", n),))
    result = run({"A": (tensor(n, n, dtype=I32), a)}, node)
    np.testing.assert_array_equal(result, np.tril(a).sum(axis=0))
    assert prod(a.shape) > 1 << 17
