"""Groups of items: what verify takes and refuses, and that the interpreter runs them right."""

from __future__ import annotations

import numpy as np
import pytest

from tests.kernel.grouped import (
    ITEMS,
    MIRROR,
    TAKE,
    TURN,
    F,
    G,
    S,
    T,
    at,
    doubly_buffered,
    grouped,
    loop,
    shared,
    tree,
    turned_vectors,
)
from tests.llvm.harness import input_buffer, module_of, output_buffer
from tests.lower.interpret import run_module
from tilec.dtypes import F32
from tilec.errors import InternalError
from tilec.kernel import build
from tilec.kernel.ir import (
    Apply,
    Barrier,
    For,
    If,
    Let,
    Load,
    LoopKind,
    Module,
    Stmt,
    Store,
    Var,
)
from tilec.kernel.printer import print_kernel
from tilec.kernel.verify import verify
from tilec.options import Options
from tilec_llvm import backend as llvm


def run(module: Module) -> tuple[np.ndarray, np.ndarray]:
    verify(module)
    given = np.random.default_rng(1).random(module.inputs[0].high, np.float32)
    (found,) = run_module(module, {"A": given})
    return given.reshape(-1, ITEMS), found.reshape(-1, ITEMS)


def test_items_exchange_values_behind_a_barrier() -> None:
    given, found = run(grouped(TAKE, Barrier(), TURN))
    np.testing.assert_array_equal(found, given[:, ::-1])


def test_a_tree_adds_up_a_group() -> None:
    given, found = run(grouped(*tree()))
    np.testing.assert_allclose(found, np.repeat(given.sum(1, keepdims=True), ITEMS, 1), rtol=1e-6)


@pytest.mark.parametrize("rounds", [1, 2, 1001])
def test_two_buffers_take_one_barrier_each_round(rounds: int) -> None:
    module = grouped(*doubly_buffered(rounds))
    if rounds > 2:
        verify(module)  # which does not follow all of them
        return
    given, found = run(module)
    total = given
    for _ in range(rounds):
        total = total[:, ::-1] + given
    np.testing.assert_allclose(found, total, rtol=1e-6)


def test_vectors_of_registers_and_memory() -> None:
    given, found = run(turned_vectors())
    np.testing.assert_array_equal(found.reshape(2, 4), given.reshape(2, 4)[:, ::-1])


NEXT = build.add(T, build.const(1))
BELOW = build.compare("cmp_lt", T, build.const(4))
EVEN = build.compare("cmp_eq", build.floor_mod(G, 2), build.const(0))

WRONG: dict[str, tuple[tuple[Stmt, ...], str]] = {
    "no barrier before a read": ((TAKE, TURN), "items meet in shared"),
    "no barrier before a write": (
        (TAKE, Barrier(), Let(Var("v", F), shared(NEXT)), TAKE, TURN),
        "items meet|never written",
    ),
    "two items write one element": (
        (Store("shared", build.floor_div(T, 2), Load("A", at(), F)), Barrier(), TURN),
        "items meet in shared",
    ),
    "a barrier that some items do not reach": ((If(BELOW, (Barrier(),)),), "stands in a branch"),
    "a loop that some items leave earlier": (
        (For("s", build.const(0), T, (Barrier(),)),),
        "equally often",
    ),
    "read before written": ((Store("B", at(), shared(T)),), "never written"),
    "one buffer where two are needed": (
        (TAKE, Barrier(), loop("s", 9, (TURN, Store("shared", T, shared(MIRROR)), Barrier()))),
        "items meet in shared",
    ),
    "a group that may or may not write": (
        (TAKE, Barrier(), If(EVEN, (Store("shared", MIRROR, Load("A", at(), F)),)), TURN),
        "^(?!)",
    ),
    "groups that write the same elements": ((Store("B", T, Load("A", at(), F)),), "iteration g ="),
    "items that write the same elements": (
        (Store("B", build.mul(G, build.const(ITEMS)), Load("A", at(), F)),),
        "iteration t =",
    ),
    "an offset made of data": (
        (
            TAKE,
            Barrier(),
            Store("B", at(), shared(Apply("max", (build.const(0), build.floor_mod(G, 8)), T.type))),
        ),
        "more than items and loops",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_verify_refuses(name: str) -> None:
    body, message = WRONG[name]
    if message == "^(?!)":
        verify(grouped(*body))  # each item touches an element of its own
        return
    with pytest.raises(InternalError, match=message):
        verify(grouped(*body))


def test_only_a_long_loop_that_repeats_is_cut_short() -> None:
    """In its last rounds an item reaches the element of another one."""
    index = build.floor_div(build.add(T, build.mul(S, build.const(0))), 1)
    far = build.minimum(build.const(ITEMS - 1), build.add(T, build.floor_div(S, 500)))
    body = (Store("shared", far, Load("A", at(), F)), Store("B", at(), shared(index)))
    with pytest.raises(InternalError, match="items meet"):
        verify(grouped(TAKE, Barrier(), loop("s", 700, body)))


@pytest.mark.parametrize(
    ("nest", "message"),
    [
        (loop("t", 4, (), LoopKind.ITEM), "stands in a serial loop"),
        (loop("g", 4, (), LoopKind.GROUP), "0 nested item loops"),
        (loop("g", 4, (loop("p", 2, (), LoopKind.PARALLEL),), LoopKind.GROUP), "0 nested item"),
    ],
)
def test_nests_are_of_groups_and_items(nest: For, message: str) -> None:
    module = module_of([nest], [], [output_buffer("B", F32, 4)])
    with pytest.raises(InternalError, match=message):
        verify(module)
    with pytest.raises(InternalError, match="no items to wait for"):
        verify(module_of([Barrier()], [], [output_buffer("B", F32, 4)]))


def test_nested_parallel_loops_are_each_checked() -> None:
    inner = loop("t", 4, (Store("B", G, Load("A", T, F)),), LoopKind.PARALLEL)
    nest = loop("g", 4, (inner,), LoopKind.PARALLEL)
    module = module_of([nest], [input_buffer("A", F32, 4)], [output_buffer("B", F32, 4)])
    with pytest.raises(InternalError, match="iteration t ="):
        verify(module)


def test_it_is_printed_and_processors_refuse_it() -> None:
    module = grouped(TAKE, Barrier(), TURN)
    text = print_kernel(module.kernels[0])
    assert "local shared: f32[16]" in text
    assert "group for g in 0 .. 3 {\n    item for t in 0 .. 8 {" in text
    assert "      barrier\n" in text
    with pytest.raises(InternalError, match="no groups of items"):
        llvm.compile(module, Options())
