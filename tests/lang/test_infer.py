from __future__ import annotations

import pytest

from tilec.errors import NameResolutionError, ShapeError, UserError
from tilec.lang import ast
from tilec.lang.infer import infer
from tilec.lang.parse import parse
from tilec.lang.printer import print_function, print_statement
from tilec.source import Source


def function(text: str) -> ast.Function:
    return parse(Source("test.tile", text)).functions[-1]


def header(text: str) -> str:
    found = function(text)
    assert found.bare
    assert infer(found) == found
    return print_function(found).partition(" {")[0].removeprefix("function ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Names of sizes: that of the output, else the index in upper case.
        ("C[i,j:M,N] = +(A[i,k]*B[k,j])", "(A[M, K], B[K, N]) -> (C)"),
        ("C[i,j] = +(A[i,k]*B[k,j])", "(A[I, K], B[K, J]) -> (C)"),
        ("C[i, j : J, I] = =(A[i, j])", "(A[J, I]) -> (C)"),
        ("R[k, i : K, I] = =(P[i, k]);", "(P[I, K]) -> (R)"),
        ("R[i, 0 : I, 1] = >(P[i, k])", "(P[I, K]) -> (R)"),
        ("R[] = +(P[i, k])", "(P[I, K]) -> (R)"),
        ("R[i, i] = =(A[i])", "(A[I]) -> (R)"),
        ("R[i : 4] = =(A[i])", "(A[I]) -> (R)"),
        ("C[i] = +(A[i, k, l] * B[l, k] * D[k])", "(A[I, K, L], B[L, K], D[K]) -> (C)"),
        ("O[x'] = +(A[x', y_1])", "(A[X', Y_1]) -> (O)"),
        ("O[i : #n] = +(#a[i])", "(#a[#n]) -> (O)"),
        ("R[2*i + j : 2*I] = =(P[i]), j < 2 no_defract", "(P[I]) -> (R)"),
        ("R[i : I] = +(P[k]), i - k < I; S[i : I] = +(Q[i])", "(P[K], Q[I]) -> (R, S)"),
        # Axes that only compound expressions access have a name of their own.
        ("O[i : K] = +(A[i + k - 1] * F[k])", "(A[A0], F[K]) -> (O)"),
        ("O[i : 3] = +(#a[2*i] * A0[i])", "(#a[A01], A0[I]) -> (O)"),
        # Names that are taken get a number.
        ("S[i, j] = +(Q[i, k] * K[j, k])", "(Q[I, K1], K[J, K1]) -> (S)"),
        ("O[i] = +(I[i])", "(I[I1]) -> (O)"),
        ("O[i] = +(A[i, k]); P[i] = +(B[i, k])", "(A[I, K], B[I1, K1]) -> (O, P)"),
        ("O[i] = +(A[i, k] * K1[k] * K[k])", "(A[I, K2], K1[K2], K[K2]) -> (O)"),
        # An index means one size within a statement, and sizes travel with their tensors.
        ("O[i : M] = +(A[i]); P[i : N] = +(B[i])", "(A[M], B[N]) -> (O, P)"),
        (
            "C[i, j] = +(A[i, k] * B[k, j]); D[i] = +(C[i, k] * E[k])",
            "(A[I, K], B[K, J], E[J]) -> (D)",
        ),
        ("O[i : M] = +(A[i, k] * B[k]); P[i : M] = +(B[i])", "(A[M, M], B[M]) -> (O, P)"),
        ("T[i : M] = +(A[i, k]); O[i] = +(T[i] * B[i])", "(A[M, K], B[M]) -> (O)"),
        # Values without axes.
        ("O[i] = +(A[i] * S * T[])", "(A[I], S[], T[]) -> (O)"),
        ("Y = relu(X) * 2 + B", "(X, B) -> (Y)"),
        ("Z = reshape(X, N, M)", "(X, N, M) -> (Z)"),
        ("Y = X + A; O[i] = +(A[i])", "(X, A[I]) -> (Y, O)"),
        # A size is a value too.
        ("S[i : I] = +(P[i, k]); R = S / K", "(P[I, K]) -> (R)"),
        ("R[i] = +(P[i, k] * K[])", "(P[I, K]) -> (R)"),
        ("R[N - 1 - i : N] = =(P[2*i] * Q[n])", "(P[P0], Q[N]) -> (R)"),
        ("R[I - 1 - i : I] = =(P[i])", "(P[I]) -> (R)"),
        ("R[i : 3] = =(A[2*i] * A0[])", "(A[A01], A0[]) -> (R)"),
        ("S[i : M] = +(P[i]); R = S / M", "(P[M]) -> (R)"),
        # Outputs are what no later statement reads.
        ("C = A + B; D = A", "(A, B) -> (C, D)"),
        ("C = A; D = C; E = D", "(A) -> (E)"),
        ("M[] = >(P[i]); X = index(P, 0); R[] = >(P[i] == M[] ? X[i]);", "(P[I]) -> (R)"),
        ("N = 3; O[i : N] = =(A[i])", "(A[I]) -> (O)"),
        # A default has the shape of the result.
        ("R[i : N] = =(A[2*i]) default D; S[i : N] = +(B[i])", "(A[A0], D[N], B[N]) -> (R, S)"),
        ("R[i + 1] = =(A[i]) default D", "(A[I], D[D0]) -> (R)"),
        ("T[i : M] = =(P[i]); R[i + 1 : M] = =(Q[i]) default T", "(P[M], Q[I]) -> (R)"),
        # Functions of the file.
        ("function f(X) -> (Y) { Y = X; } B = f(A) + C", "(A, C) -> (B)"),
    ],
)
def test_headers(text: str, expected: str) -> None:
    assert header(text) == expected


@pytest.mark.parametrize(
    ("inputs", "text", "expected"),
    [
        ("A[M, L], B[L, N]", "C[i, j] = +(A[i, k] * B[k, j]);", "C[i, j : M, N] ="),
        ("A[M, 3]", "C[j, i] = =(A[i, j]);", "C[j, i : 3, M] ="),
        ("A[M, M]", "C[i] = =(A[i, i]);", "C[i : M] ="),
        ("A[M, N]", "C[i, 0] = >(A[i, k]);", "C[i, 0 : M, 1] ="),
        ("A[M]", "C[i] = +(A[i] * A[i + j]), j < 2;", "C[i : M] ="),
        ("A[M], D[N]", "C[i + 1] = =(A[i]) default D;", "C[i + 1 : N] ="),
        ("A[M]", "T[i : M - 2] = =(A[i]); C[i] = =(T[i]);", "C[i : M - 2] ="),
        ("A[M]", "T[i] = =(A[i]); C[i] = =(T[i]);", "C[i : M] ="),
        # What only the arguments can tell is left to them.
        ("A", "C[i] = =(A[i]);", "C[i] ="),
        ("A[M], B[N]", "C[i] = +(A[i] * B[i]);", "C[i] ="),
        ("A[M]", "T = A + 1; C[i] = =(T[i]);", "C[i] ="),
        ("A[M]", "C[2*i] = =(A[i]);", "C[2*i] ="),
        ("A[M]", "C[i, j] = =(A[i]);", "C[i, j] ="),
        ("A[M, N]", "C[i] = =(A[i]);", "C[i] ="),
        ("A[M]", "C[i] = =(X[i]);", "C[i] ="),
        ("A[M], D", "C[i] = =(A[i]) default D;", "C[i] ="),
        ("A[M], D[M, N]", "C[i] = =(A[i]) default D;", "C[i] ="),
    ],
)
def test_output_sizes(inputs: str, text: str, expected: str) -> None:
    found = function(f"function ({inputs}) -> (C) {{ {text} }}")
    assert print_statement(found.body[-1]).startswith(expected)
    assert infer(found) == found


def errors(text: str) -> tuple[UserError, ...]:
    with pytest.raises(UserError) as caught:
        function(text)
    return tuple(error for error in caught.value.all() if isinstance(error, UserError))


def test_an_unknown_size() -> None:
    (error,) = errors("O[i : M] = +(A[2*i + j]), j < 2")
    assert isinstance(error, NameResolutionError)
    assert error.message == "the size M cannot be inferred"
    assert error.help == (
        "it is no size of an axis that an index alone runs over; "
        "write a header: function (A[A0]) -> (O) { ... }"
    )
    assert error.span is not None
    assert (error.span.start, error.span.text) == (6, "M")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("R[i : N] = +(P[k]), i - k < N", "N"),
        ("T[i : N + M] = =(P[i]); R[i + N : N + M] = =(Q[i]) default T", "N M"),
        ("R[N - 1 - i : I] = =(P[i])", "N"),
        ("R[i : I] = +(P[i]), i < W", "W"),
        ("R[i] = +(P[i, S*i])", "S"),
        ("R[i : 3] = =(X[])\n; Y[i : M] = =(Z[2*i])", "M"),
    ],
)
def test_unknown_sizes_are_told_together(text: str, names: str) -> None:
    found = errors(text)
    assert [error.message for error in found] == [
        f"the size {name} cannot be inferred" for name in names.split()
    ]


def test_two_names_for_one_size() -> None:
    (error,) = errors("O[i : M] = +(A[i, k]); P[i : N] = +(A[i, k])")
    assert isinstance(error, ShapeError)
    assert error.message == "the size of axis 0 of A has two names, M and N"
    assert error.help == (
        "use one name wherever i runs over the whole axis, "
        "or write a header: function (A[A0, A1]) -> (O, P) { ... }"
    )
    assert error.span is not None
    assert (error.span.start, error.span.text) == (29, "N")


def test_a_size_that_could_be_two() -> None:
    (error,) = errors("O[i] = +(A[i, k]); P[i] = +(B[i, k]); R = P / K")
    assert isinstance(error, NameResolutionError)
    assert error.message == "K could be the size of more than one axis"
    assert error.help == (
        "name the sizes in a header: function (A[A0, A1], B[B0, B1]) -> (O, R) { ... }"
    )
    assert error.span is not None
    assert error.span.start == 46


def test_two_ranks() -> None:
    (error,) = errors("O[i] = +(A[i, j]);\nP[i] = +(A[i])")
    assert isinstance(error, ShapeError)
    assert error.message == "`A[i]` does not fit `A[i, j]` in line 1: A has one number of axes"
    assert error.span is not None
    assert (error.span.line, error.span.text) == (2, "A[i]")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("D = C;\nC = A", "C is read before line 2 assigns it"),
        ("A = A + 1", "A is read before line 1 assigns it"),
        ("O[i : M] = +(O[i])", "O is read before line 1 assigns it"),
    ],
)
def test_a_name_that_is_read_before_it_is_assigned(text: str, message: str) -> None:
    (error,) = errors(text)
    assert isinstance(error, NameResolutionError)
    assert error.message == message
    assert error.help == "move the assignment up, or give the result a name of its own"


def test_other_mistakes_are_left_to_the_check() -> None:
    assert header("O[i : M, N] = +(A[i])") == "(M[], N[], A[I]) -> (O)"
    assert header("B = A; B = A") == "(A) -> (B)"


def test_many_statements_take_linear_time() -> None:
    many = ";".join(f"O{n}[i] = +(A{n}[i, k] * B[k])" for n in range(2000))
    found = function(many)
    assert len(found.inputs) == 2001
    assert len({str(value.dims[0]) for value in found.inputs if value.dims}) == 2001
