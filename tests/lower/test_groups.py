"""Which nodes share a kernel."""

from __future__ import annotations

import pytest

from tests.lower.texts import program
from tilec.lower.groups import groups

MATMUL = "C[i, j : I, J] = +(A[i, k] * B[k, j]);"
SHAPES = {"A": (4, 5), "B": (5, 6), "V": (6,), "R": (4, 6)}


def grouped(body: str, outputs: str, *, fuse: bool = True) -> list[str]:
    """Each group as ``node`` or ``node>epilogue``."""
    text = f"function (A[I, K], B[K, J], V[J], R[I, J]) -> ({outputs}) {{ {body} }}"
    made = program(text, **SHAPES)
    found = groups(made, fuse=fuse)
    assert sorted(n.name for g in found for n in (g.node, g.epilogue) if n is not None) == sorted(
        node.name for node in made.nodes
    )
    return [g.node.name + ("" if g.epilogue is None else f">{g.epilogue.name}") for g in found]


@pytest.mark.parametrize(
    "after",
    ["C + V", "relu(C)", "relu(C + V) * R", "C * 2 + C", "R - C", "C + as_float(index(C, 0), 32)"],
)
def test_an_elementwise_reader_is_an_epilogue(after: str) -> None:
    assert grouped(f"{MATMUL} O = {after};", "O") == ["C>O"]


def test_switched_off() -> None:
    assert grouped(f"{MATMUL} O = C + V;", "O", fuse=False) == ["C", "O"]


def test_a_contraction_that_is_needed_elsewhere_is_stored() -> None:
    assert grouped(f"{MATMUL} O = C + V;", "O, C") == ["C", "O"]
    assert grouped(f"{MATMUL} O = C + V; P = C * 2;", "O, P") == ["C", "O", "P"]
    assert grouped(f"{MATMUL} O = C + V; S[] = +(C[i, j]);", "O, S") == ["C", "O", "S"]


def test_a_reader_of_another_shape_is_no_epilogue() -> None:
    assert grouped("S[i : I] = +(A[i, k]); O = reshape(S, 4, 1) + R;", "O")[-1] == "O"
    assert grouped("S[] = +(A[i, k]); O = R / S;", "O") == ["S", "O"]


def test_transposed_reads_are_no_epilogue() -> None:
    text = """function (A[I, K], B[K, J], R[I, J]) -> (O) {
      C[i, j : I, J] = +(A[i, k] * B[k, j]); O[j, i : J, I] = =(C[i, j]); }"""
    made = program(text, A=(4, 5), B=(5, 4), R=(4, 4))
    assert [g.epilogue for g in groups(made, fuse=True)] == [None, None]


def test_a_map_is_the_epilogue_of_one_contraction() -> None:
    body = f"{MATMUL} D[i, j : I, J] = +(A[i, k] * B[k, j]), k < 3; O = C + D;"
    assert grouped(body, "O") == ["D", "C>O"]


def test_operands_of_the_epilogue_come_first() -> None:
    """The contraction stands before what its epilogue reads, and is computed after it."""
    body = f"{MATMUL} S[i : I] = >(A[i, k]); T[i, j : I, J] = =(S[i] * V[j]); O = C + T;"
    assert grouped(body, "O") == ["S", "T", "C>O"]


def test_only_the_first_reader_goes_along() -> None:
    """What follows an epilogue is inlined into it by another pass, or stays a map."""
    assert grouped(f"{MATMUL} O = C + V; P = relu(O);", "P") == ["C>O", "P"]


def test_maps_alone() -> None:
    assert grouped("O = R + V;", "O") == ["O"]
