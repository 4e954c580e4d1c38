"""Each invariant of the tensor IR, broken once."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from tests.tensor.build import contraction, form, program, read, tensor, times
from tilec.dtypes import BOOL, F16, F32, F64, I8, I32, U8, U32
from tilec.errors import InternalError
from tilec.tensor.affine import Affine
from tilec.tensor.ir import (
    Aggregation,
    ArgSort,
    Constant,
    Gather,
    Map,
    Node,
    Output,
    Program,
    RandomState,
    RandomValue,
    Reshape,
    Scatter,
    TensorType,
)
from tilec.tensor.scalar import Apply, IndexValue, Literal, Read, Scalar, cast
from tilec.tensor.size import symbol
from tilec.tensor.verify import verify

STATE = tensor(3, 2048, dtype=U32)
TYPES = {
    "A": tensor(4, 5),
    "B": tensor(5, 6),
    "H": tensor(4, dtype=F16),
    "R": tensor(2, dtype=I32),
    "S": STATE,
}
MATMUL = contraction("i, j", (4, 6), times(read("A", "i, k"), read("B", "k, j")))


def at(name: str, access: str = "x, y", dtype: Any = F32) -> Read:
    return read(name, access, dtype)


def a_map(body: Scalar, *shape: int, indices: tuple[str, ...] = ("x", "y")) -> Map:
    return Map("O", TensorType(body.dtype, shape or (4, 5)), indices, body)


VALID: list[Node] = [
    MATMUL,
    replace(MATMUL, default="D"),
    a_map(Apply("add", (at("A"), Apply("exp", (at("A", "x, 0"),), F32)), F32)),
    a_map(Apply("cond", (Literal(True, BOOL), at("A"), Literal(1.0, F32)), F32)),
    a_map(IndexValue(form("x + 1"), I32)),
    Constant("O", tensor(2, dtype=I8), (-128, 127)),
    Reshape("O", tensor(20), "A"),
    Gather("O", tensor(2, 5), "A", "R"),
    Scatter("O", tensor(7, 5), "U", "R"),
    RandomValue("O", tensor(9), "S"),
    RandomState("O", STATE, "S", 9),
    ArgSort("O", tensor(4, 5, dtype=I32), "A", 1),
]

BROKEN: list[tuple[str, Node]] = [
    ("rank 2 and is read with 1", a_map(at("A", "x"))),
    ("holds f32 and is read as f64", a_map(at("A", dtype=F64))),
    ("no operation fly", a_map(Apply("fly", (at("A"),), F32))),
    ("add takes 2 operands, not 1", a_map(Apply("add", (at("A"),), F32))),
    ("add is applied to f32, f64", a_map(Apply("add", (at("A"), Literal(1.0, F64)), F32))),
    ("is f32, not f64", a_map(Apply("neg", (at("A"),), F64))),
    ("is bool, not f32", a_map(Apply("cmp_lt", (at("A"), at("A")), F32))),
    ("bit_not is applied to f32", a_map(Apply("bit_not", (at("A"),), F32))),
    ("exp is applied to i32", a_map(Apply("exp", (Literal(1, I32),), I32))),
    ("round is applied to i32", a_map(Apply("round", (Literal(1, I32),), I32))),
    ("logical_not is applied to f32", a_map(Apply("logical_not", (at("A"),), BOOL))),
    ("cond tests a f32, not a bool", a_map(Apply("cond", (at("A"), at("A"), at("A")), F32))),
    ("literal 1 is no f32", a_map(Literal(1, F32))),
    ("literal True is no i32", a_map(Literal(True, I32))),
    ("literal 300 is no u8", a_map(Literal(300, U8))),
    ("literal 1 is no bool", a_map(Literal(1, BOOL))),
    ("index value has the type f32", a_map(IndexValue(form("x"), F32))),
    ("index value \\(1/2\\)\\*x is no integer", a_map(IndexValue(form("x/2"), I32))),
    ("2 elements", Constant("O", tensor(3), (1.0, 2.0))),
    ("the element 1 is no f32", Constant("O", tensor(1), (1,))),
    ("named twice", a_map(at("A", "x, 0"), indices=("x", "x"))),
    ("z is no index", a_map(at("A", "x, z"))),
    ("1 indices for rank 2", a_map(at("A", "x, 0"), indices=("x",))),
    ("body has type f32", replace(a_map(at("A")), type=tensor(4, 5, dtype=F64))),
    ("A is read at y on an axis of 4", a_map(at("A", "y, x"))),
    ("A is read at 2\\*x", a_map(at("A", "2*x, y"))),
    ("A is read at 4 on an axis of 4", a_map(at("A", "4, y"))),
    ("A is read at -1", a_map(at("A", "-1, y"))),
    ("A is read at 1/2", a_map(at("A", "1/2, y"))),
    ("1 output coordinates for rank 2", replace(MATMUL, output=(form("i"),))),
    ("k is no index", replace(MATMUL, indices=("i", "j"))),
    (
        "i is no index",
        contraction("0", (1,), read("A", "0, 0"), constraints=(("i", 1),), indices=()),
    ),
    ("f16 are accumulated", contraction("", (), read("H", "i", F16))),
    ("the default A is", replace(MATMUL, default="A")),
    ("the default R is", contraction("i", (2,), read("A", "i, 0"), default="R")),
    ("the operand is f32\\[4, 5\\]", Reshape("O", tensor(19), "A")),
    ("the operand is f32\\[4, 5\\]", Reshape("O", tensor(20, dtype=I32), "A")),
    ("rows of type f16", Gather("O", tensor(4, 5), "A", "H")),
    ("the data are f32\\[4, 5\\]", Gather("O", tensor(2, 6), "A", "R")),
    ("gather from a scalar", Gather("O", tensor(2), "Z", "R")),
    ("without elements", Gather("O", tensor(2, 5), "E", "R")),
    ("rows of type f16", Scatter("O", tensor(4, 5), "A", "H")),
    ("the updates are f32\\[2, 5\\]", Scatter("O", tensor(7, 6), "U", "R")),
    ("scatter to a scalar", Scatter("O", tensor(), "U", "R")),
    ("the state is", RandomValue("O", tensor(9), "A")),
    ("random values are f32", RandomValue("O", tensor(9, dtype=F64), "S")),
    ("a state is u32", RandomState("O", tensor(3, 5, dtype=U32), "S", 9)),
    ("negative number of values", RandomState("O", STATE, "S", -1)),
    ("the operand is", ArgSort("O", tensor(4, 5), "A", 1)),
    ("no axis 2", ArgSort("O", tensor(4, 5, dtype=I32), "A", 2)),
]

MORE = {"D": tensor(4, 6), "U": tensor(2, 5), "Z": tensor(), "E": tensor(0, 5)}


@pytest.mark.parametrize("node", VALID, ids=lambda node: type(node).__name__)
def test_valid_nodes_pass(node: Node) -> None:
    verify(program(TYPES | MORE, node))


@pytest.mark.parametrize(("message", "node"), BROKEN, ids=[message for message, _ in BROKEN])
def test_a_broken_invariant_is_named_with_its_node(message: str, node: Node) -> None:
    with pytest.raises(InternalError, match=message) as caught:
        verify(program(TYPES | MORE, node))
    assert "\nO: " in caught.value.message


def test_a_small_maximum_needs_no_accumulator() -> None:
    verify(program(TYPES, contraction("", (), read("H", "i", F16), agg=Aggregation.MAX)))
    verify(program(TYPES, contraction("", (), cast(read("H", "i", F16), F32), dtype=F16)))


def test_names_are_unique_and_defined_before_use() -> None:
    with pytest.raises(InternalError, match="O reads Q before it is defined"):
        verify(program({}, Reshape("O", tensor(4), "Q")))
    with pytest.raises(InternalError, match="O reads O before"):
        verify(program({}, Reshape("O", tensor(4), "O")))
    with pytest.raises(InternalError, match="A is defined twice"):
        verify(program(TYPES, Reshape("A", tensor(20), "B"), output="A"))
    base = program(TYPES, output="A")
    with pytest.raises(InternalError, match="the input A is defined twice"):
        verify(replace(base, inputs=(base.inputs[0], base.inputs[0])))


def test_outputs_exist_once() -> None:
    base = program(TYPES, output="A")
    verify(base)
    for outputs, message in (
        ((), "has no output"),
        ((Output("X", "Q"),), "the output X is no value: Q"),
        ((Output("X", "A"), Output("X", "B")), "the output X is named twice"),
    ):
        with pytest.raises(InternalError, match=message):
            verify(replace(base, outputs=outputs))


def test_sizes_are_not_negative() -> None:
    with pytest.raises(InternalError, match="A has a negative size"):
        verify(program({"A": tensor(-1)}, output="A"))
    with pytest.raises(InternalError, match="O has a negative size"):
        verify(program({}, Map("O", tensor(-1, dtype=I32), ("x",), Literal(1, I32))))


def test_unbound_sizes_are_not_compared() -> None:
    n, m = symbol("N"), symbol("M")
    kind = TensorType(F32, (n, m))
    nodes = (
        Map("P", kind, ("x", "y"), read("A", "x, y")),
        Map("Q", kind, ("x", "y"), Read("A", (Affine((), n), Affine.index("y")), F32)),
        Reshape("O", TensorType(F32, (m, n)), "Q"),
    )
    verify(program({"A": kind}, *nodes))
    form_ = Affine((("x", n),), Fraction(0))
    verify(program({}, Map("O", TensorType(I32, (n,)), ("x",), IndexValue(form_, I32))))


def test_a_map_without_elements_may_read_an_operand_without_elements() -> None:
    verify(program({"A": tensor(0, 5)}, a_map(at("A", "0, y"), 0, 5)))
    assert isinstance(program({}, output="A"), Program)
