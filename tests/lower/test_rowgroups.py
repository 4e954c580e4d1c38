"""Which nodes share their loops over rows, and what is kept of a row."""

from __future__ import annotations

import pytest

from tests.lower.texts import program
from tilec.kernel.ir import Prefetch, Scope
from tilec.kernel.walk import statements
from tilec.lower.groups import groups
from tilec.lower.pipeline import lower_program
from tilec.lower.rowgroups import row_groups
from tilec.lower.units import RowGroup, nodes_of
from tilec.target.core import Core

SOFTMAX = """R[i, 0 : M, 1] = >(X[i, j]); E = exp(X - R); S[i, 0 : M, 1] = +(E[i, j]);
  Y = E / S;"""


def grouped(body: str, outputs: str, **shapes: tuple[int, ...]) -> list[str]:
    """The nodes of each kernel; those of groups over rows with a ``+`` between."""
    sizes = {"X": (64, 96), "W": (96, 96)} | shapes
    made = program(f"function (X[M, N], W[N, P]) -> ({outputs}) {{ {body} }}", **sizes)
    units = row_groups(made, groups(made, fuse=True), {}, Core())
    found: list[str] = []
    for unit in units:
        names = [node.name for node in nodes_of(unit)]
        found.append(("+" if isinstance(unit, RowGroup) else ">").join(names))
    return found


def test_a_chain_is_one_kernel() -> None:
    assert grouped(SOFTMAX, "Y") == ["R+E+S+Y"]


def test_reductions_of_the_same_elements_are_one_kernel() -> None:
    body = "S[i : M] = +(X[i, j]); Q[i : M] = +(X[i, j] * X[i, j]); V = Q / N - S * S;"
    assert grouped(body, "V") == ["S+Q+V"]


def test_so_are_reductions_along_the_outer_axis() -> None:
    body = "S[j : N] = +(X[i, j]); Q[j : N] = +(X[i, j] * X[i, j]); V = Q / M - S * S;"
    assert grouped(body, "V") == ["S+Q+V"]
    centred = "S[0, j : 1, N] = +(X[i, j]); C = X - S; Q[j : N] = +(C[i, j] * C[i, j]);"
    assert not any("+" in each for each in grouped(centred, "Q"))  # it would need two passes


def test_a_product_before_and_a_product_after_stay_apart() -> None:
    body = f"Z[i, k : M, P] = +(X[i, j] * W[j, k]); {SOFTMAX.replace('X', 'Z')}"
    body += "O[i, k : M, P] = +(Y[i, j] * W[j, k]);"
    assert grouped(body, "O") == ["Z", "R+E+S+Y", "O"]


@pytest.mark.parametrize(
    "body",
    [
        "S[i, 0 : M, 1] = +(X[i, j]); Y = S * 2;",  # an epilogue does as well
        "S[i : M] = +(X[i, j]); Q[i : M] = +(X[i, j] * X[i, j]), j < 5; Y = S - Q;",
        "S[] = +(X[i, j]); Q[] = +(X[i, j] * X[i, j]); Y = S - Q;",
    ],
)
def test_what_is_left_alone(body: str) -> None:
    assert not any("+" in each for each in grouped(body, "Y"))


def test_rows_of_other_elements_do_not_meet() -> None:
    body = """S[i, 0 : M, 1] = +(X[i, j]); T[j, i : N, M] = =(X[i, j]);
      E = X - S; Q[i, 0 : M, 1] = +(E[i, j] * T[i, j]); Y = E * Q;"""
    assert "S+E+Q+Y" in grouped(body, "Y", X=(96, 96))


def test_kernels_do_not_need_each_other() -> None:
    # The product lies between the two reductions of X, which can then not be one kernel.
    body = """S[i : M] = +(X[i, j]); D = X; Z[i, k : M, P] = +(X[i, j] * W[j, k]);
      A = Z; B[i, k : M, P] = +(A[i, l] * W[l, k] * S[i]);
      Q[i : M] = +(X[i, j] * B[i, j]); Y = S + Q;"""
    found = grouped(body, "Y")
    assert not any(set(each.split("+")) >= {"S", "Q"} for each in found)


def test_short_rows_few_long_rows_and_rows_beyond_the_cache_are_left_alone() -> None:
    for rows, width in ((64, 7), (4, 1 << 16), (64, 1 << 18)):
        assert grouped(SOFTMAX, "Y", X=(rows, width), W=(width, 1)) != ["R+E+S+Y"]
    assert grouped(SOFTMAX, "Y", X=(4, 96)) == ["R+E+S+Y"]


def test_one_row_is_kept_where_exp_would_be_computed_twice() -> None:
    made = program(f"function (X[M, N]) -> (Y) {{ {SOFTMAX} }}", X=(512, 96))
    module = lower_program(made)
    (kernel,) = module.kernels
    cached = [buffer for buffer in kernel.locals if buffer.scope is Scope.CACHE]
    assert [(buffer.name, buffer.high) for buffer in cached] == [(".E.row", 96)]
    assert not module.temporaries
    assert any("3 passes over each row of 96" in line for line in kernel.header)
    assert len(lower_program(made, disable=("fuse-rows",)).kernels) > 1


def test_cheap_elements_are_computed_again() -> None:
    text = """function (X[M, N]) -> (Y) { S[i, 0 : M, 1] = +(X[i, j]); C = X - S;
      Q[i, 0 : M, 1] = +(C[i, j] * C[i, j]); Y = C * Q; }"""
    (kernel,) = lower_program(program(text, X=(512, 96))).kernels
    assert all(buffer.scope is Scope.REGISTER for buffer in kernel.locals)


def test_the_next_row_is_asked_for_where_memory_is_far() -> None:
    made = program(f"function (X[M, N]) -> (Y) {{ {SOFTMAX} }}", X=(512, 96))
    far = lower_program(made, core=Core(l2_bytes=1 << 16, l3_bytes=0)).kernels[0]
    asked = [s for s in statements(far.body) if isinstance(s, Prefetch) and not s.to_write]
    assert asked
    assert all(stmt.buffer == "X" for stmt in asked)
    near = lower_program(made).kernels[0]
    assert not any(isinstance(stmt, Prefetch) for stmt in statements(near.body))
