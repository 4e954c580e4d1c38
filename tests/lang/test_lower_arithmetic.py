"""Index expressions and arithmetic on sizes against exact Python arithmetic."""

from __future__ import annotations

from fractions import Fraction
from math import trunc

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.errors.cases import bind
from tilec.dtypes import F32, I32, I64
from tilec.errors import ShapeError
from tilec.lang import ast
from tilec.lang.check import check_file
from tilec.lang.lower import lower
from tilec.lang.lower.forms import affine
from tilec.lang.lower.sizes import fold
from tilec.lang.lower.values import Number, size_number
from tilec.lang.parse import parse
from tilec.source import Source, Span
from tilec.tensor.ir import Constant, TensorType
from tilec.tensor.size import Size, SizeExpr, symbol

NOWHERE = Span(Source("t", ""), 0, 0)

_constants: st.SearchStrategy[ast.Expr] = st.one_of(
    st.builds(ast.IntLiteral, st.integers(0, 9), st.just(NOWHERE)),
    st.builds(ast.Name, st.sampled_from(["M", "N"]), st.just(NOWHERE)),
)


def _binary(op: str, left: ast.Expr, right: ast.Expr) -> ast.Expr:
    return ast.Binary(op, left, right, NOWHERE)


def _grown(inner: st.SearchStrategy[ast.Expr]) -> st.SearchStrategy[ast.Expr]:
    return st.one_of(
        st.builds(_binary, st.sampled_from("+-"), inner, inner),
        st.builds(_binary, st.just("*"), inner, _constants),
        st.builds(_binary, st.just("*"), _constants, inner),
        st.builds(_binary, st.just("/"), inner, _constants),
        st.builds(ast.Unary, st.just("-"), inner, st.just(NOWHERE)),
    )


_linear = st.recursive(
    st.one_of(_constants, st.builds(ast.Index, st.sampled_from(["i", "j"]), st.just(NOWHERE))),
    _grown,
    max_leaves=12,
)


def _exact(expr: ast.Expr, values: dict[str, int]) -> Fraction:
    match expr:
        case ast.IntLiteral():
            return Fraction(expr.value)
        case ast.Name() | ast.Index():
            return Fraction(values[expr.name])
        case ast.Unary():
            return -_exact(expr.arg, values)
        case ast.Binary():
            left, right = _exact(expr.left, values), _exact(expr.right, values)
            match expr.op:
                case "+":
                    return left + right
                case "-":
                    return left - right
                case "*":
                    return left * right
                case _:
                    return left / right
        case _:
            raise AssertionError(expr)


@settings(max_examples=150, deadline=None)
@given(_linear, st.integers(0, 5), st.integers(1, 7), st.integers(-9, 9), st.integers(-9, 9))
def test_index_expressions_are_exact(expr: ast.Expr, m: int, n: int, i: int, j: int) -> None:
    values = {"M": m, "N": n, "i": i, "j": j}
    try:
        expected = _exact(expr, values)
    except ZeroDivisionError:
        with pytest.raises(ShapeError, match="division by zero"):
            affine(expr, {"M": size_number(m), "N": size_number(n)})
        return
    form = affine(expr, {"M": size_number(m), "N": size_number(n)})
    assert form.evaluate({"i": i, "j": j}) == expected


@settings(max_examples=60, deadline=None)
@given(_linear, st.integers(1, 5), st.integers(1, 7))
def test_symbolic_index_expressions_agree_with_bound_ones(expr: ast.Expr, m: int, n: int) -> None:
    try:
        bound = affine(expr, {"M": size_number(m), "N": size_number(n)})
        form = affine(expr, {"M": size_number(symbol("M")), "N": size_number(symbol("N"))})
    except ShapeError:
        assume(False)
        return
    terms, const = dict(form.terms), form.const
    sizes = {"M": m, "N": n}
    known, known_const = bound.rational()
    assert _number(const, sizes) == known_const
    for name in ("i", "j"):
        assert _number(terms.get(name, Fraction(0)), sizes) == known.get(name, 0)


def _number(size: Size | Fraction, sizes: dict[str, int]) -> Fraction:
    """Value of a symbolic size."""
    if not isinstance(size, SizeExpr):
        return Fraction(size)
    if size.op == "symbol":
        return Fraction(sizes[size.name])
    args = [_number(arg, sizes) for arg in size.args]
    match size.op, args:
        case "add", [a, b]:
            return a + b
        case "sub", [a, b]:
            return a - b
        case "mul", [a, b]:
            return a * b
        case "neg", [a]:
            return -a
        case "exact_div", [a, b]:
            return a / b
        case "div", [a, b]:
            return Fraction(trunc(a / b))
        case "mod", [a, b]:
            return a - b * trunc(a / b)
        case "max", [a, b]:
            return max(a, b)
        case "min", [a, b]:
            return min(a, b)
        case "cmp_lt", [a, b]:
            return Fraction(a < b)
        case "cond", [test, a, b]:
            return a if test else b
        case _:
            raise AssertionError(size)


@pytest.mark.parametrize(
    "text",
    [
        "(N + 1) / 2",
        "(M - N * 3) / 2 + 20",
        "max(M, N) * min(M, 3) + abs(M - N)",
        "M < N ? M : N * 2",
        "mod(M - 20, 7) + 7",
        "broadcast(1, M) + match(N, N)",
        "ceil(M) + floor(N)",
    ],
)
@pytest.mark.parametrize(("m", "n"), [(1, 1), (5, 3), (4, 7)])
def test_symbolic_sizes_agree_with_bound_ones(text: str, m: int, n: int) -> None:
    program = f"function (A[M, N]) -> (R) {{ R[0 : {text}] = +(A[i, j]); }}"
    checked = check_file(parse(Source("t", program)))[-1]
    symbolic = lower(checked, {"A": TensorType(F32, (symbol("M"), symbol("N")))})
    (size,) = symbolic.types()["R"].shape
    (bound,) = bind(program, {"A": f"f32[{m}, {n}]"}).types()["R"].shape
    assert _number(size, {"M": m, "N": n}) == bound


@given(st.integers(-50, 50), st.integers(-50, 50))
def test_division_truncates(a: int, b: int) -> None:
    numbers = (size_number(a), size_number(b))
    if b == 0:
        with pytest.raises(ShapeError, match="division by zero"):
            fold("div", numbers, NOWHERE)
        return
    quotient, rest = fold("div", numbers, NOWHERE), fold("mod", numbers, NOWHERE)
    assert quotient == Number(int(a / b), I32)
    assert rest == Number(a - b * int(a / b), I32)


@pytest.mark.parametrize(
    ("op", "values", "expected"),
    [
        ("div", (1.0, 0), "inf"),
        ("div", (-1.0, 0), "-inf"),
        ("div", (0.0, 0), "nan"),
        ("mod", (5.5, 2), "1.5"),
        ("mod", (-5.5, 2), "-1.5"),
        ("mod", (1.0, 0), "nan"),
        ("recip", (0,), "inf"),
        ("recip", (4,), "0.25"),
        ("ceil", (2.1,), "3.0"),
        ("floor", (-2.1,), "-3.0"),
        ("floor", (float("inf"),), "inf"),
        ("max", (float("nan"), 1.0), "nan"),
        ("abs", (-2.5,), "2.5"),
    ],
)
def test_floats(op: str, values: tuple[float, ...], expected: str) -> None:
    numbers = tuple(Number(v, F32 if isinstance(v, float) else I32) for v in values)
    result = fold(op, numbers, NOWHERE)
    assert result.dtype == F32
    assert str(result.value) == expected


def test_integers_grow_to_i64_and_no_further() -> None:
    big = Number(1 << 40, I64)
    assert fold("mul", (Number(1 << 20, I32), Number(1 << 20, I32)), NOWHERE) == big
    with pytest.raises(ShapeError, match="64 bits"):
        fold("mul", (big, big), NOWHERE)


def test_comparisons_are_bools_and_select() -> None:
    program = bind(
        "function (A[N]) -> (P, Q, R) { P = N == 3; Q = (N > 2) + N; R = N != 3 ? 0.5 : N; }",
        {"A": "f32[3]"},
    )
    constants = [node for node in program.nodes if isinstance(node, Constant)]
    assert [(node.type.dtype.name, node.data) for node in constants] == [
        ("bool", (True,)),
        ("i32", (4,)),
        ("f32", (3.0,)),
    ]
