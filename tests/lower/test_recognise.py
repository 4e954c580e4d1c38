"""What is a sum of products, whatever its indices are called, and why other things are none."""

from __future__ import annotations

import pytest

from tests.lower.texts import flat_pieces, program
from tilec.dtypes import F16, F32, I32, DType
from tilec.lower.recognise import recognise
from tilec.schedule.product import Product
from tilec.tensor.ir import TensorType

MATRICES = {"A": (6, 7), "B": (7, 8)}


def found(text: str, dtype: DType, shapes: dict[str, tuple[int, ...]]) -> Product | str:
    made = program(text, **{name: TensorType(dtype, shape) for name, shape in shapes.items()})
    flats, target = flat_pieces(made)
    return recognise(flats[0], target)


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        ("C[i, j : M, N] = +(A[i, k] * B[k, j])", MATRICES),
        ("Zz[q', w : M, N] = +(A[w0, q'] * B[w, w0])", {"A": (7, 6), "B": (8, 7)}),
        ("C[b, i, j : L, M, N] = +(A[i, k, b] * B[k, j, b])", {"A": (6, 7, 3), "B": (7, 8, 3)}),
        ("C[i : M] = +(A[i, k] * B[k])", {"A": (6, 7), "B": (7,)}),
    ],
)
def test_products(text: str, shapes: dict[str, tuple[int, ...]]) -> None:
    problem = found(text, F32, shapes)
    assert isinstance(problem, Product)
    assert len(problem.factors) == 2
    assert problem.constraints == ()
    assert (problem.dtype, problem.result, problem.stored) == (F32, F32, F32)


def test_convolution_with_padding() -> None:
    text = """function (I[H, W, C], K[R, S, C, D]) -> (O) {
      O[h, w, d : H, W, D] = +(I[h + r - 1, w + s - 1, c] * K[r, s, c, d]); }"""
    problem = found(text, F32, {"I": (6, 7, 4), "K": (3, 3, 4, 8)})
    assert isinstance(problem, Product)
    assert [axis.name for axis in problem.axes] == ["h", "w", "d"]
    assert [axis.name for axis in problem.reductions] == ["r", "s", "c"]
    assert len(problem.constraints) == 4


def test_factors_are_grouped_by_what_they_move_along() -> None:
    text = "O[i, j : I, J] = +(A[i, k] * (B[k, j] * S[j]) * T[k])"
    problem = found(text, F32, {"A": (6, 7), "B": (7, 8), "S": (8,), "T": (7,)})
    assert isinstance(problem, Product)
    assert len(problem.factors) == 4
    moving, still = problem.split("j", None)
    assert (len(moving.forms), len(still.forms)) == (2, 2)
    assert moving.moves("j")
    assert not still.moves("j")
    assert not moving.is_read


def test_an_operand_may_be_computed() -> None:
    problem = found("O[i, j : I, J] = +(max(A[i, k], 0) * B[k, j])", F32, MATRICES)
    assert isinstance(problem, Product)
    assert [factor.is_read for factor in problem.factors] == [False, True]


def test_narrow_operands_are_multiplied_in_f32() -> None:
    problem = found("O[i, j : I, J] = +(A[i, k] * B[k, j])", F16, MATRICES)
    assert isinstance(problem, Product)
    assert (problem.dtype, problem.result) == (F32, F16)


@pytest.mark.parametrize(
    ("text", "dtype", "shapes", "reason"),
    [
        ("S[i : M] = +(A[i, k])", F32, {"A": (6, 7)}, "single factor"),
        ("S[i : M] = >(A[i, k] * B[k])", F32, {"A": (6, 7), "B": (7,)}, "not a sum"),
        ("S[i : M] = +(A[i, k] * B[k])", I32, {"A": (6, 7), "B": (7,)}, "not a sum of f32"),
        ("S[i : M] = +(A[i, k] + B[k])", F32, {"A": (6, 7), "B": (7,)}, "single factor"),
        (
            "O[i : 9] = +(A[(i + j + k)/2] * B[j] * D[k])",
            F32,
            {"A": (9,), "B": (3,), "D": (3,)},
            "several reductions",
        ),
        (
            "function (A[M, K], B[K], D[M]) -> (S) { S[i : M] = +(A[i, k] * B[k]) default D; }",
            F32,
            {"A": (6, 7), "B": (7,), "D": (6,)},
            "default",
        ),
    ],
)
def test_reasons(text: str, dtype: DType, shapes: dict[str, tuple[int, ...]], reason: str) -> None:
    result = found(text, dtype, shapes)
    assert isinstance(result, str)
    assert reason in result


def test_index_values_are_no_factors() -> None:
    text = """function (A[M, K], B[K, N]) -> (R) {
      C[i, j : M, N] = +(A[i, k] * B[k, j]); R = C * as_float(index(C, 1), 32); }"""
    result = found(text, F32, MATRICES)
    assert result == "index values in the epilogue"
