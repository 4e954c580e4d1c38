from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings

from tests.lang.programs import NOWHERE, exprs, files
from tilec.errors import InternalError
from tilec.lang import ast
from tilec.lang.infer import infer
from tilec.lang.parse import parse
from tilec.lang.printer import print_expr, print_file, print_function
from tilec.source import Source


def parsed(text: str) -> ast.File:
    return parse(Source("test.tile", text))


def inferred(file: ast.File) -> ast.File:
    """The file as the parser returns it: with the output sizes that are certain."""
    return replace(file, functions=tuple(map(infer, file.functions)))


@settings(max_examples=60, deadline=None)
@given(files)
def test_parsing_gives_back_what_was_printed(file: ast.File) -> None:
    expected = inferred(file)
    text = print_file(file)
    assert parsed(text) == expected
    again = print_file(expected)
    assert parsed(again) == expected
    assert print_file(parsed(again)) == again


@settings(max_examples=80, deadline=None)
@given(exprs)
@example(ast.Unary("-", ast.Unary("-", ast.Name("A", NOWHERE), NOWHERE), NOWHERE))
def test_expressions_come_back(expr: ast.Expr) -> None:
    (function,) = parsed(f"function () -> (R) {{ R = {print_expr(expr)} }}").functions
    (statement,) = function.body
    assert isinstance(statement, ast.Assignment)
    assert statement.value == expr


def test_canonical_text() -> None:
    text = """
        function(A[M,L]:f16,B[],#c) -> (#D,E){[[hint]][[pid(a,#B)]]C[(i+2*j),0:(M+1)/(2),1]
        =+((A[((i)-k)*2,k/2+1]*B[])), ((i-k))<(M-1) default #c no_defract, no_defract; #D=(C);
        E = f ( ((C+1)*2), - (-C) ) % 2.50 }
        function relu6(X) -> (Y) { Y = min(max(X, 0), 6) }
    """
    assert print_file(parsed(text)) == (
        "function (A[M, L]: f16, B[], #c) -> (D, E) {\n"
        "  [[hint]] [[pid(a, B)]] C[i + 2*j, 0 : (M + 1) / 2, 1]"
        " = +(A[(i - k)*2, k/2 + 1] * B[]), i - k < M - 1 no_defract default #c;\n"
        "  D = C;\n"
        "  E = f((C + 1) * 2, --C) % 2.50;\n"
        "}\n"
        "\n"
        "function relu6(X) -> (Y) {\n"
        "  Y = min(max(X, 0), 6);\n"
        "}\n"
    )


def test_bare_statements_get_their_header() -> None:
    (function,) = parsed("C[i,j] = +(A[i,k]*B[k,j]); E = relu(C + D)").functions
    assert print_function(function) == (
        "function (A[I, K], B[K, J], D) -> (E) {\n"
        "  C[i, j : I, J] = +(A[i, k] * B[k, j]);\n"
        "  E = relu(C + D);\n"
        "}"
    )


@pytest.mark.parametrize(
    "text",
    [
        "A + B + C",
        "A + (B + C)",
        "A - (B - C) - D",
        "(A + B) * C",
        "-A * B",
        "-(A * B)",
        "~(A & B) | C ^ D",
        "(A | B) & C",
        "(A == B) == C",
        "A == (B == C)",
        "A < B == C < D",
        "(A < B) < C",
        "A < (B < C)",
        "A << B + C",
        "(A << B) + C",
        "A ? B : C ? D : E",
        "(A ? B : C) ? D : E",
        "A ? B : (C ? D : E)",
        "A ? B ? C : D : E",
        "(A ? B : C) + 1",
        "A ? B + 1 : C ^ D",
        "A[2*i - j/2 + (k - 1)*3, -i]",
        "f(A, B ? C : D)",
        "f()",
        "1e-3 + 1. + .5 + 0.50",
    ],
)
def test_parentheses_are_those_needed(text: str) -> None:
    (function,) = parsed(f"R = {text}").functions
    (statement,) = function.body
    assert isinstance(statement, ast.Assignment)
    assert print_expr(statement.value) == text


@pytest.mark.parametrize(
    ("value", "text", "printed"),
    [
        (0.1, "", "0.1"),
        (0.1, "0.10", "0.10"),
        (0.1, "0.2", "0.1"),
        (1e22, "", "1e+22"),
        (5e-324, "", "5e-324"),
        (float("inf"), "inf", "1e999"),
        (2.0, "2", "2.0"),
    ],
)
def test_floats(value: float, text: str, printed: str) -> None:
    assert print_expr(ast.FloatLiteral(value, text, NOWHERE)) == printed


@pytest.mark.parametrize(
    "expr",
    [
        ast.IntLiteral(-1, NOWHERE),
        ast.IntLiteral(1 << 63, NOWHERE),
        ast.FloatLiteral(-1.5, "-1.5", NOWHERE),
        ast.FloatLiteral(float("nan"), "nan", NOWHERE),
        ast.Name("", NOWHERE),
        ast.Name("A B", NOWHERE),
        ast.Name("A''", NOWHERE),
        ast.Index("1", NOWHERE),
        ast.Unary(
            "-",
            ast.Conditional(ast.Name("A", NOWHERE), ast.Name("B", NOWHERE), None, False, NOWHERE),
            NOWHERE,
        ),
    ],
)
def test_trees_that_no_text_has_are_refused(expr: ast.Expr) -> None:
    with pytest.raises(InternalError):
        print_expr(expr)
