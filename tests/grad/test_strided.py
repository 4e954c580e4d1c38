"""Gradients of strided convolutions visit the points that contribute, and test nothing inside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import tilec
from tests.lower.interpret import Interpreter
from tests.lower.texts import program
from tilec.kernel.ir import Apply, For, If, Kernel, Load, Stmt, Store, Var
from tilec.kernel.walk import expressions, statements
from tilec.lower.pipeline import lower_program
from tilec.schedule import blocks, model
from tilec.schedule.product import Product
from tilec.schedule.values import Tiled
from tilec.target.core import Core

BATCH, CHANNELS = 4, (4, 8)
"""Whole vectors, so that lanes are points."""

CORE = Core(vector_bytes=16)


@pytest.mark.parametrize(
    ("disable", "core"),
    [((), CORE), ((), replace(CORE, l2_bytes=512)), (("tile", "stream"), CORE)],
    ids=["whole", "passes", "loops"],
)
@pytest.mark.parametrize(
    ("stride", "dilation", "pad"),
    [(1, 1, 1), (2, 1, 1), (2, 1, 0), (3, 1, 1), (3, 2, 2), (2, 2, 2), (2, 3, 3), (4, 1, 1)],
)
def test_what_gradients_of_convolutions_visit(
    stride: int,
    dilation: int,
    pad: int,
    disable: tuple[str, ...],
    core: Core,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model, "MIN_WORK", 1)
    monkeypatch.setattr(blocks, "STEPS", (12,))
    if core is not CORE:
        monkeypatch.setattr(model, "summing", wants_passes)
    f, shapes = convolution(stride, dilation, pad)
    ones = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    points = int(f(ones["X"], ones["K"], target="reference").sum())
    made = program(tilec.grad(f).source, **shapes)
    kernels = lower_program(made, core=core, disable=disable).kernels
    in_passes = any("reduce block" in line for kernel in kernels for line in kernel.header)
    assert in_passes == (core is not CORE)
    assert all(guards(kernel) == [] for kernel in kernels)
    # What a residue class of DX becomes may be a kernel of its own.
    by_gradient = [[k for k in kernels if k.name.startswith(n)] for n in ("main_DX", "main_DK")]
    assert [sum(map(visited, each)) for each in by_gradient] == [points, points]


def wants_passes(problem: Product, core: Core, plan: Tiled) -> float:
    return 0.0 if plan.reduce_loop is None else -1e9


def convolution(
    stride: int, dilation: int, pad: int
) -> tuple[tilec.Function, dict[str, tuple[int, ...]]]:
    """A convolution of 3 x 3, and the shapes of its inputs and output."""

    def out(size: int | str) -> str:
        return f"({size} + {2 * pad - 2 * dilation - 1 + stride}) / {stride}"

    (h, w), (c, d) = (7, 8), CHANNELS
    f = tilec.function(
        "function (X[B, H, W, C], K[R, S, C, D]) -> (O) {"
        f"O[b, y, x, d : B, {out('H')}, {out('W')}, D] = +(X[b, {stride}*y + {dilation}*i - {pad}, "
        f"{stride}*x + {dilation}*j - {pad}, c] * K[i, j, c, d]); }}"
    )
    rows, columns = ((n + 2 * pad - 2 * dilation - 1 + stride) // stride for n in (h, w))
    return f, {"X": (BATCH, h, w, c), "K": (3, 3, c, d), "DO": (BATCH, rows, columns, d)}


def guards(kernel: Kernel) -> list[object]:
    """What depends on an index in innermost loops, beside addresses; tests of divisibility."""
    found: list[object] = [
        e for e in expressions(kernel.body) if isinstance(e, Apply) and e.op == "floor_mod"
    ]
    for loop in statements(kernel.body):
        if not isinstance(loop, For):
            continue
        inside = list(statements(loop.body))
        if any(isinstance(stmt, For) for stmt in inside):
            continue
        found += [stmt for stmt in inside if isinstance(stmt, If)]
        masks = [stmt.mask for stmt in inside if isinstance(stmt, Store) and stmt.mask is not None]
        for each in expressions(loop.body):
            if isinstance(each, Load) and each.mask is not None:
                masks.append(each.mask)
            if isinstance(each, Apply) and each.op == "cond":
                masks.append(each.args[0])
        found += [mask for mask in masks if any(isinstance(e, Var) for e in expressions(mask))]
    return found


def visited(kernel: Kernel) -> int:
    """Index points at which the kernel adds a product to a sum."""
    walk = Interpreter(kernel, {})

    def count(body: tuple[Stmt, ...]) -> int:
        total = 0
        for stmt in body:
            match stmt:
                case For():
                    start, stop = int(walk.value(stmt.start)), int(walk.value(stmt.stop))
                    trips = range(start, stop, stmt.step)
                    if trips and not any(isinstance(s, For | If) for s in stmt.body):
                        total += len(trips) * count(stmt.body)
                        continue
                    for at in trips:
                        walk.values[stmt.var] = at
                        total += count(stmt.body)
                case If():
                    total += count(stmt.then if walk.value(stmt.condition) else stmt.otherwise)
                case Store() if adds_a_product(stmt):
                    total += stmt.value.type.lanes
                case _:
                    pass
        return total

    return count(kernel.body)


def adds_a_product(stmt: Store) -> bool:
    value = stmt.value
    if not isinstance(value, Apply):
        return False
    return value.op == "fma" or (
        value.op == "add" and any(isinstance(e, Apply) and e.op == "mul" for e in value.args)
    )
