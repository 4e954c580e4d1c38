"""Lowering of builtins and of calls between functions, against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest

from tests.errors.cases import bind
from tests.lang.test_lower import one, ramp, run
from tilec.operations import OPERATIONS
from tilec.tensor.ir import Contraction, Map, RandomState, RandomValue, Reshape
from tilec.tensor.size import symbol

Array = np.ndarray[Any, Any]


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "cast"])
def test_every_operation_can_be_called(name: str) -> None:
    arity = OPERATIONS[name].arity
    args = ", ".join("ABC"[:arity])
    body = (
        f"R = {name}({args}); S[i : N] = =({name}({', '.join(f'{a}[i]' for a in 'ABC'[:arity])}));"
    )
    a = np.array([0, 1, 1], np.int32)
    got = run(f"function (A[N], B[N], C[N]) -> (R, S) {{ {body} }}", A=a, B=a, C=a)
    np.testing.assert_array_equal(got["R"], got["S"])
    assert got["R"].dtype == got["S"].dtype


_Of1: TypeAlias = Callable[[Array], Array]
_Of2: TypeAlias = Callable[[Array, Array], Array]

_ELEMENTWISE: list[tuple[str, _Of2]] = [
    ("A + B * 2 - -A", lambda a, b: a + b * 2 + a),
    ("A < B ? A : B", np.minimum),
    ("max(A, B) - min(A, B)", lambda a, b: np.abs(a - b)),
    ("A >= B", np.greater_equal),
    ("abs(A) + relu(B)", lambda a, b: np.abs(a) + np.maximum(b, 0)),
    ("select(A == B, 1.0, B)", lambda a, b: np.where(a == b, 1, b)),
    ("logical_and(A, B)", np.logical_and),
    ("as_int(A / 3, 32) % 4", lambda a, b: np.fmod(np.trunc(a / 3), 4)),
    ("sqrt(abs(A)) + N", lambda a, b: np.sqrt(np.abs(a)) + 12),
    ("A % B", lambda a, b: np.fmod(a, b)),
    ("A * (N > 3)", lambda a, b: a),
]


@pytest.mark.parametrize(("text", "expected"), _ELEMENTWISE)
def test_elementwise(text: str, expected: _Of2) -> None:
    a, b = ramp(12) + np.float32(0.5), ramp(12)[::-1].copy() - np.float32(0.25)
    got = one(f"function (A[N], B[N]) -> (R) {{ R = {text}; }}", A=a, B=b)
    np.testing.assert_allclose(got, expected(a, b), rtol=1e-6)


def test_bit_operations() -> None:
    a, b = np.arange(8, dtype=np.int32), np.arange(8, dtype=np.int32)[::-1].copy()
    text = """function (A, B) -> (P, Q, R) {
        P = A ^ B | 1; Q = (A << 2) & ~B; R = bit_shr(bit_shl(A, 3), 2);
    }"""
    got = run(text, A=a, B=b)
    np.testing.assert_array_equal(got["P"], a ^ (b | 1))
    np.testing.assert_array_equal(got["Q"], (a << 2) & ~b)
    np.testing.assert_array_equal(got["R"], a << 1)


@pytest.mark.parametrize(
    ("call", "dtype"),
    [
        ("as_float(A, 16)", np.float16),
        ("as_float(A, 64)", np.float64),
        ("as_int(A, 8)", np.int8),
        ("as_uint(A, 32)", np.uint32),
        ("as_bool(A)", np.bool_),
        ("as_bool(A, 8)", np.bool_),
    ],
)
def test_casts(call: str, dtype: type[np.generic]) -> None:
    a = np.array([0.0, 1.7, 3.0], np.float32)
    got = one(f"function (A) -> (R) {{ R = {call}; }}", A=a)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, a.astype(dtype))


def test_index_takes_part_in_broadcasting() -> None:
    a, b = ramp(3, 1), ramp(2, 3, 4)
    text = """function (A, B) -> (P, Q, R) {
        P = index(A, 0) + B; Q = index(A, 1) * B; R = index(B, 2);
    }"""
    got = run(text, A=a, B=b)
    np.testing.assert_array_equal(got["P"], np.arange(3)[:, None] + b)
    np.testing.assert_array_equal(got["Q"], 0 * b)
    np.testing.assert_array_equal(got["R"], np.broadcast_to(np.arange(4), b.shape))
    assert got["R"].dtype == np.int32


def test_shape_and_reshape() -> None:
    a = ramp(2, 3, 4)
    text = """function (A[L, M, N]) -> (S, R, Z, T) {
        S = shape(A); R = reshape(A * 2, N, L * M); Z = shape(L); T = reshape(7, 1, 1);
    }"""
    got = run(text, A=a)
    np.testing.assert_array_equal(got["S"], [2, 3, 4])
    assert got["S"].dtype == np.int32
    np.testing.assert_array_equal(got["R"], (a * 2).reshape(4, 6))
    assert got["Z"].shape == (0,)
    np.testing.assert_array_equal(got["T"], [[7]])


def test_gather_and_scatter() -> None:
    data, rows = ramp(4, 3), np.array([[1, -5], [3, 9]], np.int64)
    text = """function (D, I) -> (G, S) { G = gather(D, I); S = scatter(G, I, D); }"""
    got = run(text, D=data, I=rows)
    clamped = rows.clip(0, 3)
    np.testing.assert_array_equal(got["G"], data[clamped])
    expected = np.zeros_like(data)
    np.add.at(expected, clamped, data[clamped])
    np.testing.assert_array_equal(got["S"], expected)


def test_argsort() -> None:
    a = np.array([[3, 1, 2], [0, 0, -1]], np.float32)
    text = """function (A) -> (P, Q, R) {
        P = argsort(A); Q = argsort(A, 0); R = argsort(A, 1, 1);
    }"""
    got = run(text, A=a)
    np.testing.assert_array_equal(got["P"], a.argsort(1, kind="stable"))
    np.testing.assert_array_equal(got["Q"], a.argsort(0, kind="stable"))
    np.testing.assert_array_equal(got["R"], (-a).argsort(1, kind="stable"))


def _softmax(a: Array) -> Array:
    e = np.exp(a - a.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def test_softmax_and_crossentropy() -> None:
    a, t = ramp(3, 4) / 8, (ramp(3, 4) > 0).astype(np.float32)
    text = """function (A[M, N], T[M, N]) -> (P, L, C) {
        P = builtin_softmax(A, M, N); L = builtin_logsoftmax(A, M, N);
        C = builtin_binary_crossentropy(P, T, M);
    }"""
    got = run(text, A=a, T=t)
    p = _softmax(a.astype(np.float64))
    np.testing.assert_allclose(got["P"], p, rtol=1e-6)
    np.testing.assert_allclose(got["L"], np.log(p), rtol=1e-6, atol=1e-6)
    expected = -t * np.log(p) - (1 - t) * np.log(1 - p)
    np.testing.assert_allclose(got["C"], expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 1), (1, 4), (0, 3), (3, 0)])
def test_softmax_at_edges(shape: tuple[int, int]) -> None:
    got = run(
        "function (A[M, N]) -> (P, L) {"
        " P = builtin_softmax(A, M, N); L = builtin_logsoftmax(A, M, N); }",
        A=ramp(*shape),
    )
    assert got["P"].shape == got["L"].shape == shape
    if 0 not in shape:
        np.testing.assert_allclose(got["P"].sum(1), np.ones(shape[0]), rtol=1e-6)


def test_softmax_of_narrow_floats_sums_in_f32() -> None:
    program = bind(
        "function (A[M, N]) -> (P) { P = builtin_softmax(A, M, N); }", {"A": "f16[2, 3]"}
    )
    total = next(n for n in program.nodes if n.name == "P_sum")
    assert isinstance(total, Contraction)
    assert (total.body.dtype.name, total.type.dtype.name) == ("f32", "f16")


_REDUCTIONS: list[tuple[str, _Of1]] = [
    ("L, M, N", lambda a: a),
    ("M, N", lambda a: a.sum(0)),
    ("1, N", lambda a: a.sum((0, 1))[None]),
    ("L, 1, N", lambda a: a.sum(1, keepdims=True)),
    ("1", lambda a: a.sum()[None]),
]


@pytest.mark.parametrize(("dims", "expected"), _REDUCTIONS)
def test_simple_reduce(dims: str, expected: _Of1) -> None:
    a = ramp(2, 3, 4)
    text = f"function (A[L, M, N]) -> (R) {{ R = simple_reduce(A, {dims}); }}"
    np.testing.assert_array_equal(one(text, A=a), expected(a))


def test_reverse_grad_is_the_identity_and_keeps_its_factor() -> None:
    text = """function (A, C) -> (R, S) {
        [[mine]] R = reverse_grad(A, C * 2); S = reverse_grad(A, 0.5);
    }"""
    got = run(text, A=ramp(3), C=np.ones((), np.float32))
    np.testing.assert_array_equal(got["R"], ramp(3))
    program = bind(text, {"A": "f32[3]", "C": "f32[]"})
    r, s = (n for n in program.nodes if n.name in ("R", "S"))
    assert isinstance(r, Map)
    assert isinstance(s, Map)
    assert [(a.name, a.args) for a in r.attributes] == [
        ("reverse_grad", ("R_factor",)),
        ("mine", ()),
    ]
    assert [(a.name, a.args) for a in s.attributes] == [("reverse_grad", ("0.5",))]


def test_random_numbers() -> None:
    state = np.arange(3 * 2048, dtype=np.uint32).reshape(3, 2048) + 20
    text = """function (S[A, B]) -> (V, S2) {
        P = prng_step(S, 4, 1000); V = prng_value(P); S2 = prng_state(P);
    }"""
    got = run(text, S=state)
    assert got["V"].shape == (4, 1000)
    assert ((got["V"] >= 0) & (got["V"] < 1)).all()
    s1, s2, s3 = (row.astype(np.uint64) for row in state)
    mask = np.uint64(0xFFFFFFFF)

    def step(s: Array, low: int, left: int, inner: int, right: int) -> Array:
        high = ((s & np.uint64(~low & 0xFFFFFFFF)) << np.uint64(left)) & mask
        return high ^ ((((s << np.uint64(inner)) & mask) ^ s) >> np.uint64(right))

    s1, s2, s3 = step(s1, 1, 12, 13, 19), step(s2, 7, 4, 2, 25), step(s3, 15, 17, 3, 11)
    first = ((s1 ^ s2 ^ s3) / 2.0**32).astype(np.float32)
    np.testing.assert_allclose(got["V"].ravel()[:2048], first, rtol=1e-6)


def test_a_state_whose_values_are_not_used_stays() -> None:
    shapes = {"S": "u32[3, 2048]"}
    used = "function (S) -> (T, V) { P = prng_step(S, 4); V = prng_value(P); T = prng_state(P); }"
    program = bind(used, shapes)
    assert [type(n) for n in program.nodes] == [RandomValue, RandomState]
    unused = "function (S) -> (T) { P = prng_step(S, 4); V = prng_value(P); T = prng_state(P); }"
    program = bind(unused, shapes)
    assert [(o.name, o.value) for o in program.outputs] == [("T", "S")]
    chained = """function (S) -> (T, V) {
        A = prng_state(prng_step(S, 4)); P = prng_step(A, 5);
        V = prng_value(P); T = prng_state(P);
    }"""
    program = bind(chained, shapes)
    assert [n.state for n in program.nodes if isinstance(n, RandomValue | RandomState)] == [
        "S",
        "S",
    ]


def test_tuples() -> None:
    text = """function (A[N], B[N]) -> (P, Q, R, S) {
        T = tuple(A, N, tuple(B, A));
        U = exp(T * 2) + 1;
        P = element(U, 0); Q = element(U, 1); R = element(element(U, 2), 0);
        S[i : element(T, 1)] = =(B[i]);
    }"""
    a, b = ramp(3) / 8, ramp(3)[::-1] / 16
    got = run(text, A=a, B=b.copy())
    np.testing.assert_allclose(got["P"], np.exp(a * 2) + 1, rtol=1e-6)
    np.testing.assert_allclose(got["Q"], np.exp(6.0) + 1, rtol=1e-6)
    np.testing.assert_allclose(got["R"], np.exp(b * 2) + 1, rtol=1e-6)
    np.testing.assert_array_equal(got["S"], b)


def test_tensor_builtins_map_over_tuples() -> None:
    program = bind(
        "function (A[N], B[N]) -> (R) { T = reshape(tuple(A, B), N, 1); R = element(T, 1); }",
        {"A": "f32[3]", "B": "f32[3]"},
    )
    assert [(type(n), n.name) for n in program.nodes] == [(Reshape, "T_0"), (Reshape, "T_1")]


CALLS = """
function center(X[M, N]) -> (Y) { S[i, 0 : M, 1] = +(X[i, j]); Y = X - S / N; }
function moments(X[M, N]) -> (Mean, Var) {
    S[i : M] = +(X[i, j]); Mean = S / N;
    C = center(X); Q[i : M] = +(C[i, j] * C[i, j]); Var = Q / N;
}
function window(X[N], K) -> (Y) { Y[i : N - K + 1] = +(X[i + j]), j < K; }
function half(S) -> (H) { H = S / 2; }
"""


def test_calls() -> None:
    a = ramp(3, 4)
    text = CALLS + (
        "function (A[M, N]) -> (Mean, Var, C) {"
        " Q = moments(A); Mean = element(Q, 0); Var = element(Q, 1); C = center(A * 2) + 1; }"
    )
    got = run(text, A=a)
    np.testing.assert_allclose(got["Mean"], a.mean(1), rtol=1e-6)
    np.testing.assert_allclose(got["Var"], a.var(1), rtol=1e-5)
    np.testing.assert_allclose(got["C"], 2 * (a - a.mean(1, keepdims=True)) + 1, rtol=1e-5)


def test_sizes_and_numbers_pass_through_calls() -> None:
    text = CALLS + "function (A[N], S) -> (R, H) { R = window(A, half(S)); H = half(N); }"
    got = run(text, {"S": 5}, A=np.arange(6, dtype=np.float32))
    np.testing.assert_array_equal(got["R"], [1, 3, 5, 7, 9])
    assert got["H"] == 3


def test_names_of_a_program_with_calls_are_unique_and_say_where_they_come_from() -> None:
    text = CALLS + "function (A[M, N]) -> (Y) { S = center(A); Y = center(center(S)); }"
    program = bind(text, {"A": "f32[3, 4]"})
    names = [node.name for node in program.nodes]
    assert names == ["S_center_S", "S", "Y_center_S", "Y_center_Y", "Y_center_S_1", "Y"]
    assert program == bind(text, {"A": "f32[3, 4]"})


def test_symbolic_sizes_stay_symbolic() -> None:
    from tilec.dtypes import F32
    from tilec.lang.check import check_file
    from tilec.lang.lower import lower
    from tilec.lang.parse import parse
    from tilec.source import Source
    from tilec.tensor.ir import TensorType
    from tilec.tensor.verify import verify

    text = """function (A[M, K], B[K, N]) -> (R, S, D, Q) {
        C[i, j : M, N] = +(A[i, k] * B[k, j]); R = exp(C) / N;
        S[i : (M + 1) / 2] = >(C[2*i + j, N - 1]), j < 2;
        D = shape(A); Q = reshape(C, M * N);
    }"""
    m, k, n = symbol("M"), symbol("K"), symbol("N")
    checked = check_file(parse(Source("t", text)))[-1]
    program = lower(checked, {"A": TensorType(F32, (m, k)), "B": TensorType(F32, (k, n))})
    verify(program)
    types = program.types()
    assert types["C"].shape == (m, n)
    assert str(types["S"].shape[0]) == "div(add(M, 1), 2)"
    assert str(types["Q"].shape[0]) == "mul(M, N)"
