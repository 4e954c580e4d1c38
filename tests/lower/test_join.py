"""Concatenations in place: parts are computed where the whole is, with the same results."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.lower.modules import lowered
from tilec.errors import InternalError
from tilec.kernel.ir import Module
from tilec.kernel.verify import verify

PAIR = """function f(X[M, N], Y[M, K]) -> (Z) {
  A = exp(X);
  B = relu(Y);
  T[i, j : M, N + K] = =(A[i, j]);
  R[i, j + N : M, N + K] = =(B[i, j]) default T;
  Z[i : M] = +(R[i, j] * R[i, j]);
}"""


def lying(module: Module) -> list[tuple[str, str, int, int, int]]:
    """The views of a module."""
    return [(v.buffer.name, v.whole, v.offset, v.run, v.pitch) for v in module.views]


def named(module: Module) -> set[str]:
    return {call.name.rpartition("_")[2] for call in module.calls}


def test_parts_are_computed_where_the_whole_is() -> None:
    module = lowered(PAIR, (5, 16), (5, 32))
    assert lying(module) == [("A", "R", 0, 16, 48), ("B", "R", 16, 32, 48)]
    assert named(module) == {"A", "B", "Z"}
    assert [each.buffer.name for each in module.temporaries] == ["R"]
    assert [view.bytes for view in module.views] == [5 * 16 * 4, 5 * 32 * 4]


@pytest.mark.parametrize(("width", "other"), [(15, 16), (17, 16), (16, 17), (16, 15)])
def test_parts_that_share_lines_are_copied(width: int, other: int) -> None:
    module = lowered(PAIR, (5, width), (5, other))
    assert "B" not in {view.buffer.name for view in module.views}
    assert not module.views


def test_without_the_pass_all_are_copied() -> None:
    module = lowered(PAIR, (5, 16), (5, 32), off=("join",))
    assert named(module) == {"A", "B", "T", "R", "Z"}
    assert not module.views


def test_along_the_first_axis_only_the_begin_counts() -> None:
    text = """function f(X[M, N], Y[L, N]) -> (R) {
      A = exp(X);
      B = relu(Y);
      T[i, j : M + L, N] = =(A[i, j]);
      R[i + M, j : M + L, N] = =(B[i, j]) default T;
    }"""
    assert lying(lowered(text, (3, 16), (2, 16))) == [("A", "R", 0, 0, 0), ("B", "R", 48, 0, 0)]
    assert lying(lowered(text, (16, 3), (2, 3))) == [("A", "R", 0, 0, 0), ("B", "R", 48, 0, 0)]
    # The second part begins within a line, and is copied by a kernel of its own.
    module = lowered(text, (3, 15), (2, 15))
    assert lying(module) == [("A", "R", 0, 0, 0), ("R.part", "R", 45, 0, 0)]


def test_arguments_results_and_second_uses_are_copied() -> None:
    text = """function f(X[M, 16], Y[M, 16]) -> (A, R) {
      A = exp(X);
      B = relu(X + Y);
      T[i, j : M, 80] = =(A[i, j]);
      U[i, j + 16 : M, 80] = =(B[i, j]) default T;
      V[i, j + 32 : M, 80] = =(Y[i, j]) default U;
      W[i, j + 48 : M, 80] = =(B[i, j]) default V;
      R[i, j + 64 : M, 80] = =(B[i, 15 - j]) default W;
    }"""
    assert not lowered(text, (7, 16), (7, 16)).views  # the last one is no copy as it is
    text = text.replace("15 - j", "j")
    module = lowered(text, (7, 16), (7, 16))
    inside = [view.buffer.name for view in module.views]
    assert sorted(inside) == ["B", "R.part", "T.part", "V.part", "W.part"]
    assert named(module) == {"A", "B", "T", "V", "W", "R"}


DENSE = """function f(X[H, W, 16], K[3, 3, 16, 32], L[3, 3, 48, 16], V[64]) -> (Z) {
  A = relu(X);
  B[y, x, o : H, W, 32] = +(A[y + i - 1, x + j - 1, c] * K[i, j, c, o]);
  T[y, x, c : H, W, 48] = =(A[y, x, c]);
  R[y, x, c + 16 : H, W, 48] = =(B[y, x, c]) default T;
  C[y, x, o : H, W, 16] = +(R[y + i - 1, x + j - 1, c] * L[i, j, c, o]);
  S[y, x, c : H, W, 64] = =(R[y, x, c]);
  Q[y, x, c + 48 : H, W, 64] = =(C[y, x, c]) default S;
  Z = relu(Q * V);
}"""


@pytest.mark.parametrize("is_bound", [False, True])
@pytest.mark.parametrize("size", [(9, 7), (24, 20)])
def test_parts_of_parts_are_read_while_their_neighbours_are_written(
    size: tuple[int, int], is_bound: bool
) -> None:
    shapes = (*size, 16), (3, 3, 16, 32), (3, 3, 48, 16), (64,)
    module = lowered(DENSE, *shapes, bound=("K", "L") if is_bound else ())
    assert {"A", "B", "R", "C"} == {view.buffer.name for view in module.views}
    assert {view.whole for view in module.views} == {"Q"}
    assert {view.pitch for view in module.views} == {64}
    assert named(module).isdisjoint({"T", "R", "S", "Q"})


def test_the_verifier_finds_runs_that_meet() -> None:
    module = lowered(DENSE, (9, 7, 16), (3, 3, 16, 32), (3, 3, 48, 16), (64,))
    verify(module)
    wider = tuple(
        replace(view, run=view.run + 16) if view.buffer.name == "R" else view
        for view in module.views
    )
    with pytest.raises(InternalError, match="shares memory with another argument"):
        verify(replace(module, views=wider))


ROWS = """function f(X[M, 16], Y[M, 32], U[K, L]) -> (Q) {
  H[i, 0 : M, 1] = >(X[i, j]);
  E = exp(X - H);
  S[i, 0 : M, 1] = +(E[i, j]);
  A = E / S;
  B = exp(Y);
  T[i, j : M, 48] = =(A[i, j]);
  R[i, j + 16 : M, 48] = =(B[i, j]) default T;
  C = relu(U);
"""


def test_parts_of_one_run() -> None:
    text = f"""{ROWS}
      P[i, j : M + K, 48] = =(R[i, j]);
      Q[i + M, j : M + K, 48] = =(C[i, j]) default P;
    }}"""
    found = lying(lowered(text, (40, 16), (40, 32), (7, 48)))
    assert sorted(found) == [
        ("A", "Q", 0, 16, 48),
        ("B", "Q", 16, 32, 48),
        ("C", "Q", 40 * 48, 0, 0),
    ]


def test_parts_along_another_axis_than_their_whole_are_copied() -> None:
    text = """function f(X[M, 16], U[J, L], Y[K, 16]) -> (Q) {
      A = exp(X);
      B = exp(Y);
      T[i, j : M + K, 16] = =(A[i, j]);
      R[i + M, j : M + K, 16] = =(B[i, j]) default T;
      C = relu(U);
      P[i, j : J, 16 + L] = =(R[i, j]);
      Q[i, j + 16 : J, 16 + L] = =(C[i, j]) default P;
    }"""
    module = lowered(text, (5, 16), (8, 32), (3, 16))
    assert lying(module) == [("R", "Q", 0, 16, 48), ("C", "Q", 16, 32, 48)]
    assert named(module) == {"A", "B", "T", "R", "C"}
