"""Programs before and after the passes over the tensor IR."""

from __future__ import annotations

from tilec.dtypes import F32
from tilec.rewrite.constants import split_constants
from tilec.rewrite.dead import DropDead
from tilec.tensor.affine import Affine
from tilec.tensor.ir import Constant, Input, Map, Output, Program, TensorType
from tilec.tensor.scalar import Apply, Read

VECTOR = TensorType(F32, (4,))
TABLE = Constant("t", VECTOR, (1.0, 2.0, 3.0, 4.0))


def value(name: str, *operands: str) -> Map:
    """``name`` is an operand, or the sum of two, element by element."""
    reads = tuple(Read(operand, (Affine.index("i"),), F32) for operand in operands)
    body = reads[0] if len(reads) == 1 else Apply("add", reads, F32)
    return Map(name, VECTOR, ("i",), body)


def program(inputs: str, nodes: tuple[Map | Constant, ...], outputs: str) -> Program:
    return Program(
        "p",
        tuple(Input(name, VECTOR) for name in inputs),
        nodes,
        tuple(Output(name.upper(), name) for name in outputs),
    )


def names(found: Program | None) -> tuple[str, str, str]:
    """Inputs, nodes and outputs, each as one word."""
    assert found is not None
    return (
        "".join(each.name for each in found.inputs),
        "".join(each.name for each in found.nodes),
        "".join(each.value for each in found.outputs),
    )


def test_dead_nodes_go_and_the_rest_stays() -> None:
    before = program("ab", (value("c", "a"), value("d", "c", "b"), value("e", "c")), "e")
    after = DropDead().apply(before)
    assert names(after) == ("ab", "ce", "e")
    assert DropDead().apply(after) is after


def test_nothing_bound() -> None:
    before = program("ab", (value("c", "a", "b"),), "c")
    split = split_constants(before, set())
    assert split.once is None
    assert split.main == before
    assert split.constants == ()


def test_bound_inputs_follow_those_of_callers() -> None:
    before = program("wa", (value("c", "w", "a"),), "c")
    split = split_constants(before, {"w"})
    assert split.once is None
    assert names(split.main) == ("aw", "c", "c")
    assert split.constants == ("w",)


def test_what_is_constant_is_computed_once() -> None:
    before = program("awv", (value("c", "w"), value("d", "c", "v"), value("e", "a", "d")), "e")
    split = split_constants(before, {"w", "v"})
    assert names(split.once) == ("wv", "cd", "d")
    assert names(split.main) == ("ad", "e", "e")
    assert split.constants == ("d",)


def test_what_depends_on_no_input_stays_where_it_is_used() -> None:
    nodes = (TABLE, value("c", "t", "w"), value("e", "a", "t"), value("f", "e", "c"))
    split = split_constants(program("aw", nodes, "f"), {"w"})
    assert names(split.once) == ("w", "tc", "c")
    assert names(split.main) == ("ac", "tef", "f")


def test_constant_outputs() -> None:
    before = program("aw", (value("c", "w"),), "caw")
    split = split_constants(before, {"w"})
    assert names(split.once) == ("w", "c", "c")
    assert names(split.main) == ("acw", "", "caw")
    assert split.constants == ("c", "w")


def test_everything_bound() -> None:
    before = program("w", (value("c", "w"), value("d", "c")), "d")
    split = split_constants(before, {"w"})
    assert names(split.once) == ("w", "cd", "d")
    assert names(split.main) == ("d", "", "d")


def test_bound_input_that_nothing_needs() -> None:
    before = program("aw", (value("c", "a"),), "c")
    split = split_constants(before, {"w"})
    assert split.once is None
    assert split.constants == ()
    assert names(split.main) == ("a", "c", "c")
