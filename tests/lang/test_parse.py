from __future__ import annotations

from dataclasses import fields
from typing import Any, cast

import pytest

from tests.lang.programs import prefix
from tilec.errors import LimitError, TileSyntaxError, TileTypeError
from tilec.lang import ast
from tilec.lang.parse import MAX_CHARACTERS, MAX_NESTING, parse
from tilec.lang.printer import print_expr, print_statement
from tilec.source import Source
from tilec.tensor.ir import Aggregation


def parsed(text: str) -> ast.File:
    return parse(Source("test.tile", text))


def statement(text: str, header: str = "(A, B, C, D, M, N, P, Q, I, J, K, F)") -> ast.Statement:
    """The only statement of a function; the header keeps the parser from inferring one."""
    (function,) = parsed(f"function {header} -> (R) {{ {text} }}").functions
    (only,) = function.body
    return only


def contraction(text: str) -> ast.Contraction:
    found = statement(text)
    assert isinstance(found, ast.Contraction)
    return found


def value(text: str) -> ast.Expr:
    found = statement(f"R = {text};")
    assert isinstance(found, ast.Assignment)
    return found.value


def combined(text: str) -> ast.Expr:
    return contraction(f"R[] = +({text});").body


@pytest.mark.parametrize(
    "text",
    [
        "function (A[M, L], B[L, N]) -> (C) { C[i, j: M, N] = +(A[i, k] * B[k, j]); }",
        "C[i,j:M,N] = +(A[i,k]*B[k,j])",
    ],
)
def test_a_matrix_product(text: str) -> None:
    (function,) = parsed(text).functions
    assert function.name is None
    assert [value.name for value in function.inputs] == ["A", "B"]
    assert [output.name for output in function.outputs] == ["C"]
    (product,) = function.body
    assert isinstance(product, ast.Contraction)
    assert product.agg is Aggregation.SUM
    assert print_statement(product) == "C[i, j : M, N] = +(A[i, k] * B[k, j])"


IDIOMS = [
    "R[i, j : I, J] = +(P[i, k] * Q[k, j]);",
    "R[i, 0 : I, 1] = >(P[i, k]);",
    "R[] = +(P[i, k]);",
    "R[k, i : K, I] = =(P[i, k]);",
    "R[i : N] = +(P[k]), i - k < N;",
    "R[i : N] = +(P[i - k]), k < N;",
    "R[i : (N + 1) / 2] = >(P[2*i + j]), j < 2;",
    "R[i : N] = +(P[i + k - 1] * F[k]);",
    "T[i : N + M] = =(P[i]); R[i + N : N + M] = =(Q[i]) default T;",
    "R[N - 1 - i : N] = =(P[i]);",
    "R[2*i + j : 2 * N] = =(P[i]), j < 2 no_defract;",
    "R[i : 2 * N] = +(P[i/2]);",
    "R[i : N / 2] = =(P[2*i + 1]);",
    "M[i, 0 : I, 1] = >(P[i, k]); E = exp(P - M); S[i, 0 : I, 1] = +(E[i, k]); R = E / S;",
    "S[i : I] = +(P[i, k]); R = S / K;",
    "M[] = >(P[i]); X = index(P, 0); R[] = >(P[i] == M[] ? X[i]);",
    "R[i, j : N, K] = =(P[i] == C[j]);",
]


@pytest.mark.parametrize("text", IDIOMS)
def test_idioms(text: str) -> None:
    (function,) = parsed(f"function (P, Q, F, C, I, J, K, M0, N) -> (R) {{ {text} }}").functions
    assert " ".join(f"{print_statement(s)};" for s in function.body) == text


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        # Loosest to tightest, as the table of the language has it.
        ("A ? B : C ? D : M", "(? (? A B C) D M)"),
        ("A ? B ? C : D : M", "(? A (? B C D) M)"),
        ("A ? B : C ^ D", "(? A B (^ C D))"),
        ("1 ^ A | B", "(^ 1 (| A B))"),
        ("A | B ^ C", "(^ (| A B) C)"),
        ("A | B & C", "(| A (& B C))"),
        ("A & B == C", "(& A (== B C))"),
        ("A == B < C", "(== A (< B C))"),
        ("A < B == C >= D", "(== (< A B) (>= C D))"),
        ("A < B << C", "(< A (<< B C))"),
        ("A << B + C", "(<< A (+ B C))"),
        ("A + B * C", "(+ A (* B C))"),
        ("A * -B", "(* A (- B))"),
        ("-A * B", "(* (- A) B)"),
        ("-~-A", "(- (~ (- A)))"),
        ("A - -B", "(- A (- B))"),
        ("A--B", "(- A (- B))"),
        ("A % B / C", "(/ (% A B) C)"),
        # All of them group to the left.
        ("A ^ B ^ C", "(^ (^ A B) C)"),
        ("A | B | C", "(| (| A B) C)"),
        ("A & B & C", "(& (& A B) C)"),
        ("A << B >> C", "(>> (<< A B) C)"),
        ("A - B + C - D", "(- (+ (- A B) C) D)"),
        ("A / B * C / D", "(/ (* (/ A B) C) D)"),
        ("A - (B - C)", "(- A (- B C))"),
        ("A != B", "(!= A B)"),
        ("A<=B", "(<= A B)"),
        ("A>B", "(> A B)"),
        # Operands.
        ("exp(A)", "(exp A)"),
        ("Exp(A, B + 1)", "(Exp A (+ B 1))"),
        ("f()", "(f)"),
        ("max(A, min(B, 2))", "(max A (min B 2))"),
        ("2i + 3", "(+ (* 2 i) 3)"),
        ("-2i / 3", "(/ (- (* 2 i)) 3)"),
        ("2 i", "(* 2 i)"),
        ("2e", "(* 2 e)"),
        ("polynomial + expression * contraction", "(+ polynomial (* expression contraction))"),
        ("defaults + functional + no_defracted", "(+ (+ defaults functional) no_defracted)"),
    ],
)
def test_expressions(text: str, tree: str) -> None:
    assert prefix(value(text)) == tree


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("007", 7),
        ("9223372036854775807", 9223372036854775807),
        ("0" * 5000 + "1", 1),
        ("1.", 1.0),
        (".5", 0.5),
        ("0.5", 0.5),
        ("1e-3", 1e-3),
        ("1E3", 1e3),
        ("2.5e+4", 2.5e4),
        (".5e1", 5.0),
        ("1.e2", 100.0),
        ("1e999", float("inf")),
    ],
)
def test_numbers(text: str, number: float) -> None:
    literal = value(text)
    assert isinstance(literal, ast.IntLiteral | ast.FloatLiteral)
    assert isinstance(literal, ast.IntLiteral) == isinstance(number, int)
    assert literal.value == number


@pytest.mark.parametrize("text", ["9223372036854775808", "1" * 100_000])
def test_integers_beyond_64_bits(text: str) -> None:
    with pytest.raises(TileSyntaxError, match="an integer beyond 64 bits") as caught:
        value(text)
    assert caught.value.span is not None
    assert caught.value.span.text == text


def test_names() -> None:
    assert value("#x") == ast.Name("x", value("A").span)
    assert value("#X'") == ast.Name("X'", value("A").span)
    assert value("#_T12") == ast.Name("_T12", value("A").span)
    assert value("#default") == ast.Name("default", value("A").span)
    assert value("A'") == ast.Name("A'", value("A").span)
    assert value("A_1b'") == ast.Name("A_1b'", value("A").span)
    assert prefix(combined("A[$X, i', $default]")) == "A[X, i', default]"
    assert isinstance(value("i"), ast.Index)
    assert value("$f(A)") == value("f(A)")
    assert value("#f(A)") == value("f(A)")
    assert print_expr(value("#X + #x + $I * i")) == "X + #x + $I * i"


@pytest.mark.parametrize(
    ("text", "agg"),
    [
        ("R[i:N]=+(A[i]);", Aggregation.SUM),
        ("R[i:N] =+(A[i]);", Aggregation.SUM),
        ("R[i:N]=*(A[i]);", Aggregation.PRODUCT),
        ("R[i:N]=>(A[i]);", Aggregation.MAX),
        ("R[]=>(A[i]);", Aggregation.MAX),
        ("R[i:N]=<(A[i]);", Aggregation.MIN),
        ("R[]= <(A[i]);", Aggregation.MIN),
        ("R[i:N]= =(A[i]);", Aggregation.ASSIGN),
        ("R[i:N]==(A[i]);", Aggregation.ASSIGN),
        ("R[:] = +(A[i]);", Aggregation.SUM),
        ("R[i:N] = + (A[i]);", Aggregation.SUM),
    ],
)
def test_aggregations_need_no_blanks(text: str, agg: Aggregation) -> None:
    assert contraction(text).agg is agg


def test_outputs() -> None:
    assert contraction("R[] = +(A[i]);").sizes == ()
    assert contraction("R[:] = +(A[i]);").sizes == ()
    unsized = contraction("R[i, 2*j] = +(A[2*i, j]);")
    assert unsized.sizes is None
    assert [prefix(expr) for expr in unsized.indices] == ["i", "(* 2 j)"]
    sized = contraction("R[i + 1, 0 : max(N, M), N / 2] = +(A[i]);")
    assert sized.sizes is not None
    assert [prefix(expr) for expr in sized.indices] == ["(+ i 1)", "0"]
    assert [prefix(expr) for expr in sized.sizes] == ["(max N M)", "(/ N 2)"]


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("A[i]", "A[i]"),
        ("N[]", "N[]"),
        ("A[i] * B[i] * C[i] * D[i]", "(* (* (* A[i] B[i]) C[i]) D[i])"),
        ("exp(A[i, k] - M[i])", "(exp (- A[i, k] M[i]))"),
        ("A[i] * 2.5 + N", "(+ (* A[i] 2.5) N)"),
        ("A[i] == B[j]", "(== A[i] B[j])"),
        ("A[i] == B[j] ? C[k]", "(? (== A[i] B[j]) C[k])"),
        # PlaidML accepts these two as well, and compares.
        ("A[i] + B[j] ? C[k]", "(? (== A[i] B[j]) C[k])"),
        ("A[i] * B[j] ? C[k]", "(? (== A[i] B[j]) C[k])"),
        # These it does not accept: they mean what they say.
        ("A[i] * B[j] ? C[k] + 1", "(? (* A[i] B[j]) (+ C[k] 1))"),
        ("A[i] < B[j] ? C[k] : D[k]", "(? (< A[i] B[j]) C[k] D[k])"),
        ("A[i] ? B[i] : C[i] ? D[i]", "(? (? A[i] B[i] C[i]) D[i])"),
        ("A[i] ? B[i] ? C[i] : D[i]", "(? A[i] (? B[i] C[i] D[i]))"),
        ("A[2i - j/2, (i + 1)*3]", "A[(- (* 2 i) (/ j 2)), (* (+ i 1) 3)]"),
        ("A[-k, N - 1 - i]", "A[(- k), (- (- N 1) i)]"),
    ],
)
def test_combinations(text: str, tree: str) -> None:
    assert prefix(combined(text)) == tree


def test_constraints_and_flags() -> None:
    found = contraction("R[i : N] = +(A[i]), i - k < N, 2*i<N / 2, j < 2 == 1;")
    assert [(prefix(c.form), prefix(c.bound)) for c in found.constraints] == [
        ("(- i k)", "N"),
        ("(* 2 i)", "(/ N 2)"),
        ("j", "(== 2 1)"),
    ]
    assert (found.default, found.no_defract) == (None, False)


@pytest.mark.parametrize(
    ("flags", "default", "no_defract"),
    [
        ("", None, False),
        (" no_defract", None, True),
        (" default D", "D", False),
        (" default D no_defract", "D", True),
        (" no_defract default D", "D", True),
        (" no_defract no_defract", None, True),
        (" default A default D", "D", False),
        (", i < 2 no_defract default D", "D", True),
        (", no_defract, default D", "D", True),
        (", i < 2, default D", "D", False),
    ],
)
def test_flags(flags: str, default: str | None, no_defract: bool) -> None:
    found = contraction(f"R[i : N] = =(A[i]){flags};")
    assert (found.default and found.default.name) == default
    assert found.no_defract == no_defract


def test_attributes() -> None:
    found = statement("[[hint]] [[pid(a, B)]] R = A;")
    assert [(a.name, a.args) for a in found.attributes] == [("hint", ()), ("pid", ("a", "B"))]
    assert contraction("[[hint(x)]] R[] = +(A[i]);").attributes[0].args == ("x",)


def test_headers() -> None:
    text = "function f (A, B[], C[M, 3]: f16, D: i64, E[]:u8) -> (A, B) { }"
    (function,) = parsed(text).functions
    assert function.name == "f"
    assert [(v.name, v.dtype) for v in function.inputs] == [
        ("A", None),
        ("B", None),
        ("C", "f16"),
        ("D", "i64"),
        ("E", "u8"),
    ]
    assert [None if v.dims is None else tuple(map(prefix, v.dims)) for v in function.inputs] == [
        None,
        (),
        ("M", "3"),
        None,
        (),
    ]
    assert [output.name for output in function.outputs] == ["A", "B"]
    assert function.body == ()
    assert not function.bare
    assert parsed("function () -> (A) { A[i : 3] = =(N[]); }").functions[0].inputs == ()


@pytest.mark.parametrize(
    ("dtype", "help"),
    [
        ("float32", "did you mean f32?"),
        ("fp16", "did you mean f16?"),
        ("int8", "did you mean i8?"),
        ("uint8_t", "did you mean u8?"),
        ("boolean", "did you mean bool?"),
        ("bfloat16", "did you mean bf16?"),
        ("double", "did you mean f64?"),
        ("i7", "the dtypes are bool i8 i16 i32 i64 u8 u16 u32 u64 f16 bf16 f32 f64"),
        ("x", "the dtypes are bool i8 i16 i32 i64 u8 u16 u32 u64 f16 bf16 f32 f64"),
    ],
)
def test_unknown_dtypes(dtype: str, help: str) -> None:
    with pytest.raises(TileTypeError) as caught:
        parsed(f"function (A: {dtype}) -> (B) {{ B = A; }}")
    assert caught.value.message == f"unknown dtype `{dtype}`"
    assert caught.value.help == help
    assert caught.value.span is not None
    assert (caught.value.span.start, caught.value.span.text) == (13, dtype)


def test_several_functions_and_statements() -> None:
    text = """
        function relu6(X) -> (Y) { Y = min(max(X, 0), 6) }
        function (A) -> (B) { B = relu6(A); }
        C = relu6(D);
        E = C + 1
    """
    file = parsed(text)
    assert [function.name for function in file.functions] == ["relu6", None, None]
    assert [function.bare for function in file.functions] == [False, False, True]
    assert len(file.functions[2].body) == 2


@pytest.mark.parametrize(
    "text",
    [
        "A = B // two\n + C /* three\n // */ ;",
        "// first\nA = B + C;// last",
        "/**/A/***/=/* * / */B+C",
        "\ufeffA = B + C",
        "A = B\r\n + C;\r\n",
        "\tA\t=\tB\f+ C\n",
        "A=B+C",
    ],
)
def test_blanks_and_comments(text: str) -> None:
    assert parsed(text) == parsed("A = B + C;")


def test_a_nul_is_no_end() -> None:
    with pytest.raises(TileSyntaxError, match=r"U\+0000 means nothing in Tile"):
        parsed("A = B;\0 C = D")


def test_every_node_has_the_span_of_its_text() -> None:
    text = (
        "function f(A[M, 3]: f16, B) -> (C) "
        "{ [[hint]] C[i, 2*j : M, (M + 1) / 2] = +(A[i, k] == B[2j] ? (N) * 1.5), "
        "i - k < M default B no_defract; D = -(x ? f(A) : ~B) + 2; }"
    )
    spans: set[str] = set()

    def visit(node: Any) -> None:
        if isinstance(node, tuple):
            for item in cast("tuple[object, ...]", node):
                visit(item)
        elif type(node).__module__ == ast.__name__:
            spans.add(node.span.text)
            for item in fields(node):
                visit(getattr(node, item.name))

    file = parsed(text)
    visit(file)
    contracted = text[text.index("[[") : text.index("; D")]
    assert spans == {
        text,
        *("A[M, 3]: f16", "M", "3", "B", "C"),
        *(contracted, "[[hint]]", "i", "2*j", "2", "j", "(M + 1) / 2", "M + 1", "1"),
        *("A[i, k] == B[2j] ? (N) * 1.5", "A[i, k] == B[2j]", "A[i, k]", "k", "B[2j]", "2j"),
        *("(N) * 1.5", "N", "1.5", "i - k < M", "i - k"),
        *("D = -(x ? f(A) : ~B) + 2", "-(x ? f(A) : ~B) + 2", "-(x ? f(A) : ~B)"),
        *("x ? f(A) : ~B", "x", "f(A)", "A", "~B"),
    }
    statement = file.functions[0].body[0]
    assert isinstance(statement, ast.Contraction)
    assert statement.output_span.text == "C[i, 2*j : M, (M + 1) / 2]"


def test_parentheses_around_conditionals_are_remembered() -> None:
    chain = value("(A ? B : C) ? D : M")
    assert isinstance(chain, ast.Conditional)
    assert isinstance(chain.test, ast.Conditional)
    assert chain.test.parenthesised
    assert not chain.parenthesised
    assert chain == value("A ? B : C ? D : M")


def test_parentheses_nest_without_limit() -> None:
    assert prefix(value("(" * 20_000 + "A" + ")" * 20_000)) == "A"


@pytest.mark.parametrize(
    "deep",
    [
        "-" * MAX_NESTING + "A",
        "A" + " + B" * MAX_NESTING,
        "f(" * MAX_NESTING + "A" + ")" * MAX_NESTING,
        "A ? " * MAX_NESTING + "B" + " : C" * MAX_NESTING,
        "~" * 50_000 + "A",
    ],
)
def test_expressions_nest_to_a_limit(deep: str) -> None:
    with pytest.raises(LimitError, match=f"nests more than {MAX_NESTING} levels deep") as caught:
        parsed(f"B = A; C = {deep};")
    assert caught.value.span is not None
    assert caught.value.span.start == 11


@pytest.mark.parametrize(
    "text", ["C = A" + " + B" * (MAX_NESTING - 2), "C = " + "-" * (MAX_NESTING - 2) + "A"]
)
def test_a_tree_within_the_limit_can_be_walked(text: str) -> None:
    file = parsed(text)
    assert file == parsed(text)
    assert hash(file) == hash(parsed(text))


def test_a_long_text() -> None:
    many = "".join(f"A{n} = B;\n" for n in range(5_000))
    assert len(parsed(many).functions[0].body) == 5_000
    with pytest.raises(LimitError, match=f"the limit is {MAX_CHARACTERS}"):
        parsed(" " * (MAX_CHARACTERS + 1))
