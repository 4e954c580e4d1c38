"""Lowering against NumPy: every idiom of the language, sizes, promotion, contractions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import numpy as np
import pytest

from tests.errors.cases import bind
from tilec.dtypes import BF16, BOOL, F16, F32, F64, I8, I32, I64, U8, U32, DType
from tilec.tensor.affine import Affine
from tilec.tensor.evaluate import evaluate
from tilec.tensor.ir import Constant, Contraction, Map, Program
from tilec.tensor.scalar import Apply, Literal, Read, reads, walk
from tilec.tensor.verify import verify

Array = np.ndarray[Any, Any]

_TILE_NAMES = {
    "float16": "f16",
    "float32": "f32",
    "float64": "f64",
    "int8": "i8",
    "int16": "i16",
    "int32": "i32",
    "int64": "i64",
    "uint8": "u8",
    "uint32": "u32",
    "bool": "bool",
}


def lowered(
    text: str, arrays: Mapping[str, Array], values: Mapping[str, int | float] | None = None
) -> Program:
    """The program bound to the arrays' types, verified."""
    shapes = {
        name: f"{_TILE_NAMES[array.dtype.name]}[{', '.join(map(str, array.shape))}]"
        for name, array in arrays.items()
    }
    program = bind(text, shapes, values)
    verify(program)
    return program


def run(
    text: str, values: Mapping[str, int | float] | None = None, /, **arrays: Array
) -> dict[str, Array]:
    """Bind to the arrays and evaluate."""
    return evaluate(lowered(text, arrays, values), arrays)


def one(text: str, values: Mapping[str, int | float] | None = None, /, **arrays: Array) -> Array:
    """The only output."""
    (result,) = run(text, values, **arrays).values()
    return result


def ramp(*shape: int, dtype: str = "float32") -> Array:
    """Small distinct numbers, some of them negative."""
    count = int(np.prod(shape))
    return ((np.arange(count) * 7 % 23) - 9).astype(dtype).reshape(shape)


_Of1: TypeAlias = Callable[[Array], Array]
_Of2: TypeAlias = Callable[[Array, Array], Array]
_Of3: TypeAlias = Callable[[Array, Array, Array], Array]


@dataclass(frozen=True)
class Idiom:
    """A program and the NumPy function that it equals."""

    name: str
    text: str
    shapes: tuple[tuple[int, ...], ...]
    expected: _Of1 | _Of2 | _Of3
    values: Mapping[str, int | float] = field(default_factory=dict[str, int | float])


def _pool(p: Array) -> Array:
    return np.array([p[2 * i : 2 * i + 2].max() for i in range((len(p) + 1) // 2)])


def _same(p: Array, f: Array) -> Array:
    padded = np.pad(p, 1)
    return np.array([(padded[i : i + 3] * f).sum() for i in range(len(p))])


def _softmax(p: Array) -> Array:
    e = np.exp(p - p.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def _last_argmax(p: Array) -> Array:
    return np.array(len(p) - 1 - p[::-1].argmax(), np.float32)


def _upsampled(p: Array) -> Array:
    result = np.zeros(2 * len(p), p.dtype)
    result[::2] = p
    return result


IDIOMS = [
    Idiom(
        "matrix product",
        "function (P[I, K], Q[K, J]) -> (R) { R[i, j : I, J] = +(P[i, k] * Q[k, j]); }",
        ((3, 4), (4, 5)),
        lambda p, q: p @ q,
    ),
    Idiom(
        "matrix product, bare",
        "C[i,j:M,N] = +(A[i,k]*B[k,j])",
        ((3, 4), (4, 5)),
        lambda p, q: p @ q,
    ),
    Idiom(
        "sizes left out",
        "function (P[I, K], Q[K, J]) -> (R) { R[i, j] = +(P[i, k] * Q[k, j]); }",
        ((3, 4), (4, 5)),
        lambda p, q: p @ q,
    ),
    Idiom(
        "sizes left out for inputs of any rank",
        "function (P, Q) -> (R) { R[i, 0, j] = +(P[i, k] * Q[k, j]); }",
        ((3, 4), (4, 5)),
        lambda p, q: (p @ q)[:, None],
    ),
    Idiom(
        "sizes left out in an expression",
        "function (P, Q) -> (R) { R[i, j] = +(P[i, k] < 0 ? -exp(P[i, k]) : 2 * abs(Q[k, j])); }",
        ((3, 4), (4, 5)),
        lambda p, q: np.where(p[:, :, None] < 0, -np.exp(p)[:, :, None], 2 * abs(q)).sum(1),
    ),
    Idiom(
        "row maximum, kept axis",
        "function (P[I, K]) -> (R) { R[i, 0 : I, 1] = >(P[i, k]); }",
        ((3, 4),),
        lambda p: p.max(1, keepdims=True),
    ),
    Idiom(
        "row minimum",
        "function (P[I, K]) -> (R) { R[i : I] = <(P[i, k]); }",
        ((3, 4),),
        lambda p: p.min(1),
    ),
    Idiom("product", "function (P[N]) -> (R) { R[] = *(P[i]); }", ((4,),), lambda p: p.prod()),
    Idiom("total", "function (P[I, K]) -> (R) { R[] = +(P[i, k]); }", ((3, 4),), lambda p: p.sum()),
    Idiom(
        "transpose",
        "function (P[I, K]) -> (R) { R[k, i : K, I] = =(P[i, k]); }",
        ((3, 4),),
        lambda p: p.T,
    ),
    Idiom(
        "running sum by constraint",
        "function (P[N]) -> (R) { R[i : N] = +(P[k]), i - k < N; }",
        ((6,),),
        np.cumsum,
    ),
    Idiom(
        "running sum by offset",
        "function (P[N]) -> (R) { R[i : N] = +(P[i - k]), k < N; }",
        ((6,),),
        np.cumsum,
    ),
    Idiom(
        "max pool",
        "function (P[N]) -> (R) { R[i : (N + 1) / 2] = >(P[2*i + j]), j < 2; }",
        ((7,),),
        _pool,
    ),
    Idiom(
        "correlation, same",
        "function (P[N], F[K]) -> (R) { R[i : N] = +(P[i + k - 1] * F[k]); }",
        ((6,), (3,)),
        _same,
    ),
    Idiom(
        "concatenation",
        "function (P[N], Q[M]) -> (R) {"
        " T[i : N + M] = =(P[i]); R[i + N : N + M] = =(Q[i]) default T; }",
        ((4,), (3,)),
        lambda p, q: np.concatenate([p, q]),
    ),
    Idiom(
        "reversal",
        "function (P[N]) -> (R) { R[N - 1 - i : N] = =(P[i]); }",
        ((5,),),
        lambda p: p[::-1],
    ),
    Idiom(
        "repeat",
        "function (P[N]) -> (R) { R[2*i + j : 2*N] = =(P[i]), j < 2 no_defract; }",
        ((4,),),
        lambda p: np.repeat(p, 2),
    ),
    Idiom(
        "zero insertion",
        "function (P[N]) -> (R) { R[i : 2*N] = +(P[i/2]); }",
        ((4,),),
        _upsampled,
    ),
    Idiom(
        "zero insertion, from the left",
        "function (P[N]) -> (R) { R[2i : 2*N] = =(P[i]); }",
        ((4,),),
        _upsampled,
    ),
    Idiom(
        "slice",
        "function (P[N]) -> (R) { R[i : N / 2] = =(P[2*i + 1]); }",
        ((7,),),
        lambda p: p[1::2],
    ),
    Idiom(
        "softmax",
        "function (P[I, K]) -> (R) { M[i, 0 : I, 1] = >(P[i, k]); E = exp(P - M);"
        " S[i, 0 : I, 1] = +(E[i, k]); R = E / S; }",
        ((3, 4),),
        _softmax,
    ),
    Idiom(
        "mean",
        "function (P[I, K]) -> (R) { S[i : I] = +(P[i, k]); R = S / K; }",
        ((3, 4),),
        lambda p: p.mean(1),
    ),
    Idiom(
        "last arg max",
        "function (P[N]) -> (R) { M[] = >(P[i]); X = index(P, 0); R[] = >(P[i] == M[] ? X[i]); }",
        ((30,),),
        _last_argmax,
    ),
    Idiom(
        "last arg max, misspelt",
        "function (P[N]) -> (R) { M[] = >(P[i]); X = index(P, 0); R[] = >(P[i] * M[] ? X[i]); }",
        ((30,),),
        _last_argmax,
    ),
    Idiom(
        "diagonal",
        "function (P[N, N]) -> (R) { R[i : N] = =(P[i, i]); }",
        ((4, 4),),
        np.diagonal,
    ),
    Idiom("fill", "function (P[]) -> (R) { R[i : 4] = =(P[]); }", ((),), lambda p: np.full(4, p)),
    Idiom(
        "three factors",
        "function (A[I, K], B[K, J], D[J]) -> (R) {"
        " R[i, j : I, J] = +(A[i, k] * B[k, j] * D[j]); }",
        ((2, 3), (3, 4), (4,)),
        lambda a, b, d: a @ b * d,
    ),
    Idiom(
        "expression in an aggregation",
        "function (A[I, K], M[I]) -> (R) { R[i : I] = +(exp(A[i, k] - M[i]) * 2 + K); }",
        ((2, 3), (2,)),
        lambda a, m: (np.exp(a - m[:, None]) * 2 + 3).sum(1),
    ),
    Idiom(
        "absolute difference",
        "function (A[I], B[J]) -> (R) { R[i : I] = >(abs(A[i] - B[j])); }",
        ((4,), (3,)),
        lambda a, b: np.abs(a[:, None] - b).max(1),
    ),
    Idiom(
        "conditional in an aggregation",
        "function (A[N]) -> (R) { R[] = +(A[i] < 0 ? -A[i] : A[i] / 2); }",
        ((9,),),
        lambda a: np.where(a < 0, -a, a / 2).sum(),
    ),
    Idiom(
        "triple with another comparison",
        "function (A[N]) -> (R) { R[] = +(A[i] > 0 ? A[i]); }",
        ((9,),),
        lambda a: a[a > 0].sum(),
    ),
    Idiom(
        "triple with a plain test",
        "function (A[N], B[N]) -> (R) { R[] = +(A[i] - 5 ? B[i]); }",
        ((9,), (9,)),
        lambda a, b: b[a != 5].sum(),
    ),
    Idiom(
        "sizes and numbers in an aggregation",
        "function (A[N], S) -> (R) { R[i : N] = +(A[i] * N[] + S - N); }",
        ((5,), ()),
        lambda a, s: a * 5 + s - 5,
    ),
    Idiom(
        "bind scalar",
        "function (A[N], S) -> (R) { K = N / S; R[i : K] = +(A[S*i + j]), j < S; }",
        ((7,),),
        lambda a: a[:6].reshape(2, 3).sum(1),
        {"S": 3},
    ),
    Idiom(
        "bind scalar as a value, too",
        "function (A[N], S) -> (R) { R[i : S] = +(A[i] * S); }",
        ((7,),),
        lambda a: a[:3] * 3,
        {"S": 3},
    ),
    Idiom(
        "default that is covered in part",
        "function (A[N], D[M]) -> (R) { R[i + 1 : M] = +(A[i]) default D; }",
        ((3,), (6,)),
        lambda a, d: np.concatenate([d[:1], a, d[4:]]),
    ),
    Idiom(
        "default gives the sizes",
        "function (A, D) -> (R) { R[2*i] = +(A[i]) default D; }",
        ((2,), (5,)),
        lambda a, d: np.array([a[0], d[1], a[1], d[3], d[4]]),
    ),
]


@pytest.mark.parametrize("idiom", IDIOMS, ids=[idiom.name for idiom in IDIOMS])
def test_idiom(idiom: Idiom) -> None:
    arrays = [ramp(*shape) / 4 for shape in idiom.shapes]
    names = _input_names(idiom)
    got = one(idiom.text, idiom.values, **dict(zip(names, arrays, strict=True)))
    compute = cast("Callable[..., Array]", idiom.expected)
    expected = compute(*(array.astype(np.float64) for array in arrays))
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def _input_names(idiom: Idiom) -> list[str]:
    from tilec.lang.check import check_file
    from tilec.lang.parse import parse
    from tilec.source import Source

    checked = check_file(parse(Source("t", idiom.text)))[-1]
    return [fact.name for fact in checked.inputs if not fact.is_bind_scalar]


def test_one_hot() -> None:
    labels = np.array([2, 0, 1], np.int32)
    text = "function (P[N], C[K]) -> (R) { R[i, j : N, K] = =(P[i] == C[j]); }"
    got = one(text, P=labels, C=np.arange(3, dtype=np.int32))
    np.testing.assert_array_equal(got, labels[:, None] == np.arange(3))
    assert got.dtype == np.bool_


def test_a_nested_expression_is_one_map_with_broadcasting() -> None:
    program = bind(
        "function (A[M, 1], B[N], S) -> (R) { R = exp(A * 2 + B) / S - index(B, 0); }",
        {"A": "f32[3, 1]", "B": "f32[4]", "S": "f32[]"},
    )
    (node,) = program.nodes
    assert isinstance(node, Map)
    assert node.type.shape == (3, 4)
    i, j = (Affine.index(name) for name in node.indices)
    zero = Affine.number(0)
    assert [(read.tensor, read.access) for read in reads(node.body)] == [
        ("A", (i, zero)),
        ("B", (j,)),
        ("S", ()),
    ]


def test_statements_are_computed_once() -> None:
    program = bind("function (A[N]) -> (R) { B = exp(A); R = B * B + B; }", {"A": "f32[3]"})
    assert [node.name for node in program.nodes] == ["B", "R"]


def test_aliases_and_constants_are_outputs() -> None:
    program = bind(
        "function (A[N]) -> (A, B, C, K, N) { B = A; C = ident(B); K = N * 2 + 1; }",
        {"A": "f32[3]"},
    )
    verify(program)
    assert [(o.name, o.value) for o in program.outputs] == [
        ("A", "A"),
        ("B", "A"),
        ("C", "A"),
        ("K", "K"),
        ("N", "N"),
    ]
    assert [
        (node.type.dtype, node.data) for node in program.nodes if isinstance(node, Constant)
    ] == [(I32, (7,)), (I32, (3,))]


def test_attributes_are_carried_to_the_value_of_the_statement() -> None:
    program = bind(
        "function (A[N]) -> (R) { [[cache]] [[hint(a, B)]] R = reshape(exp(A), N, 1); }",
        {"A": "f32[3]"},
    )
    first, second = program.nodes
    assert not isinstance(first, Constant)
    assert not isinstance(second, Constant)
    assert first.attributes == ()
    assert [(a.name, a.args) for a in second.attributes] == [("cache", ()), ("hint", ("a", "B"))]


def test_index_order_is_that_of_the_text() -> None:
    program = bind(
        "function (A[M, K, L], B[K, N]) -> (R) { R[n, m : N, M] = +(A[m, k, l] * B[k, n]); }",
        {"A": "f32[2, 3, 4]", "B": "f32[3, 5]"},
    )
    (node,) = program.nodes
    assert isinstance(node, Contraction)
    assert node.indices == ("n", "m", "k", "l")


@pytest.mark.parametrize(
    ("dtypes", "body", "result", "combined"),
    [
        (("f16", "f16"), "+(A[i] * B[i])", F16, F32),
        (("bf16", "bf16"), "+(A[i] * B[i])", BF16, F32),
        (("f16", "f16"), ">(A[i] * B[i])", F16, F32),
        (("f16", "f64"), "+(A[i] * B[i])", F64, F64),
        (("i8", "i8"), "+(A[i] * B[i])", I8, I32),
        (("u8", "u8"), "*(A[i] * B[i])", U8, U32),
        (("u8", "i8"), ">(A[i] + B[i])", U8, U8),
        (("i8", "f32"), "+(A[i] == B[i])", BOOL, I32),
        (("f32", "f32"), ">(A[i] == B[i])", BOOL, BOOL),
        (("f32", "i32"), "+(A[i] == A[i] ? B[i])", F32, F32),
        (("i8", "f16"), "+(A[i] == A[i] ? B[i])", F16, F32),
        (("i8", "i64"), "+(B[i] == B[i] ? A[i])", I64, I64),
        (("f16", "f16"), "+(A[i] * 2)", F16, F32),
        (("f16", "f16"), "+(A[i] * 0.5)", F32, F32),
        (("i8", "i8"), "+(A[i] * 2)", I32, I32),
        (("f16", "f16"), "+(exp(A[i]))", F16, F32),
        (("i8", "i8"), "+(exp(A[i]))", F32, F32),
        (("bool", "bool"), "+(A[i])", BOOL, I32),
        (("f64", "f32"), "+(as_float(A[i], 16) * B[i])", F32, F32),
        (("f64", "f32"), "+(as_float(A[i], 16))", F16, F32),
    ],
)
def test_types_of_a_contraction(
    dtypes: tuple[str, str], body: str, result: DType, combined: DType
) -> None:
    text = f"function (A[N], B[N]) -> (R) {{ R[] = {body}; }}"
    program = bind(text, {"A": f"{dtypes[0]}[3]", "B": f"{dtypes[1]}[3]"})
    verify(program)
    (node,) = program.nodes
    assert isinstance(node, Contraction)
    assert (node.type.dtype, node.body.dtype) == (result, combined)


def test_narrow_floats_are_widened_before_they_are_combined() -> None:
    program = bind(
        "function (A[N], B[N]) -> (R) { R[] = +(A[i] * B[i]); }", {"A": "f16[3]", "B": "f16[3]"}
    )
    (node,) = program.nodes
    assert isinstance(node, Contraction)
    assert isinstance(node.body, Apply)
    assert node.body.op == "mul"
    for arg in node.body.args:
        assert isinstance(arg, Apply)
        assert (arg.op, arg.dtype) == ("cast", F32)
        assert isinstance(arg.args[0], Read)


def test_sums_of_small_types() -> None:
    ones = np.ones(5000, np.float16)
    assert one("function (A[N]) -> (R) { R[] = +(A[i]); }", A=ones) == 5000
    bytes_ = np.full(3, 200, np.uint8)
    assert one("function (A[N]) -> (R) { R[] = +(A[i]); }", A=bytes_) == 600 % 256


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5, 7])
def test_bind_time_arithmetic_truncates_toward_zero(n: int) -> None:
    text = """function (A[N]) -> (P, Q, R, S, T) {
        P = (N - 12) / 2; Q = mod(N - 12, 5); R = N % 3;
        S = max(0, N - 3) + min(N, 2) * abs(N - 6); T = N > 2 ? N : -N;
    }"""
    got = run(text, A=np.zeros(n, np.float32))
    assert got["P"] == int((n - 12) / 2)
    assert got["Q"] == (n - 12) - 5 * int((n - 12) / 5)
    assert got["R"] == n % 3
    assert got["S"] == max(0, n - 3) + min(n, 2) * abs(n - 6)
    assert got["T"] == (n if n > 2 else -n)


def test_floats_in_sizes() -> None:
    text = """function (A[N]) -> (R, S, T) {
        R[i : ceil(N * 0.5)] = =(A[i]); S = floor(N * 0.5); T = recip(N);
    }"""
    got = run(text, A=np.arange(5, dtype=np.float32))
    assert got["R"].shape == (3,)
    assert (got["S"], got["S"].dtype) == (2.0, np.float32)
    assert got["T"] == np.float32(0.2)


def test_sizes_that_are_matched_and_asserted() -> None:
    text = """function (A[N], B[M]) -> (R) {
        C = assert_small(N < 9); K = match(N, M) * broadcast(1, N); R = reshape(A, K / N, 1);
    }"""
    np.testing.assert_array_equal(
        one(text, A=np.arange(3, dtype=np.float32), B=np.zeros(3, np.float32)), [[0], [1], [2]]
    )


def test_large_literals_are_i64() -> None:
    program = bind("function (A[N]) -> (K) { K = 4294967296 + N; }", {"A": "f32[3]"})
    (node,) = program.nodes
    assert isinstance(node, Constant)
    assert (node.type.dtype, node.data) == (I64, (4294967299,))


def test_float_literals_are_single() -> None:
    program = bind("function (A[N]) -> (R) { R = A * 0.1; }", {"A": "f64[3]"})
    (node,) = program.nodes
    assert isinstance(node, Map)
    literals = [value for value in walk(node.body) if isinstance(value, Literal)]
    assert literals == [Literal(float(np.float32(0.1)), F64)]


def test_rational_index_expressions() -> None:
    text = "function (A[N]) -> (R) { R[i : 3*N] = +(A[(i - N + 1) / 3 + N / 3]); }"
    a = ramp(6)
    expected = np.zeros(18, np.float32)
    for i in range(18):
        if (i - 5) % 3 == 0 and 0 <= (i - 5) // 3 + 2 < 6:
            expected[i] = a[(i - 5) // 3 + 2]
    np.testing.assert_array_equal(one(text, A=a), expected)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_sizes_of_zero(shape: tuple[int, int]) -> None:
    text = """function (A[M, N]) -> (R, S, T, U) {
        R[i : M] = +(A[i, j]); S[i : M] = >(A[i, j]); T = exp(A) / N;
        U[i, j : M, N] = =(A[i, N - 1 - j]);
    }"""
    got = run(text, A=np.zeros(shape, np.float32))
    assert got["R"].shape == got["S"].shape == (shape[0],)
    assert not got["R"].any()
    assert not got["S"].any()
    assert got["T"].shape == got["U"].shape == shape


def test_a_header_converts_the_number_of_a_bind_scalar() -> None:
    text = "function (A[N], S[]: f64) -> (R) { R[i : S] = +(A[i] * S); }"
    got = one(text, {"S": 2}, A=np.ones(4, np.float32))
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, [2, 2])
