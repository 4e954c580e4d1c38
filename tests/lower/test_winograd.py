"""Kernels of Winograd's method against the definition: tiles, edges, panels, blocks, threads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lower.interpret import run_module
from tests.rewrite.convolutions import conv
from tilec.dtypes import F64
from tilec.kernel.ir import For, LoopKind
from tilec.kernel.verify import verify
from tilec.kernel.walk import statements
from tilec.lower.pipeline import lower_program
from tilec.rewrite.convolution import Convolution, convolution_of
from tilec.rewrite.methods import apply_methods
from tilec.rewrite.winograd import winograd_of
from tilec.schedule.winograd import WinogradPlan
from tilec.target.core import Core
from tilec.tensor.affine import Affine
from tilec.tensor.evaluate import evaluate
from tilec.tensor.ir import Contraction, Input, Map, Output, Program, TensorType
from tilec.tensor.scalar import Apply, Literal, Read
from tilec.tensor.size import concrete

SMALL = Core(vector_bytes=16, registers=16)


def with_epilogue(program: Program) -> Program:
    """The convolution plus a bias per filter and a residual, and a lower limit."""
    (node,) = program.nodes
    assert isinstance(node, Contraction)
    names = tuple(f"o{at}" for at in range(len(node.output)))
    access = tuple(map(Affine.index, names))
    kind = TensorType(F64, concrete(node.type.shape)[-1:])
    total = Apply("add", (Read("S", access, F64), Read("B", access[-1:], F64)), F64)
    total = Apply("add", (total, Read("Z", access, F64)), F64)
    body = Apply("max", (total, Literal(0.25, F64)), F64)
    return replace(
        program,
        inputs=(*program.inputs, Input("B", kind), Input("Z", node.type)),
        nodes=(node, Map("R", node.type, names, body)),
        outputs=(Output("R", "R"),),
    )


def check(program: Program, outputs: tuple[int, ...], plan: WinogradPlan) -> None:
    """The kernel passes verification and computes the same."""
    node = program.nodes[0]
    assert isinstance(node, Contraction)
    found = convolution_of(node, program.types())
    assert isinstance(found, Convolution), found
    width, late = plan.lanes * plan.vectors, plan.late > 0
    method = winograd_of(found, outputs, width, plan.group, late=late)
    plan = replace(plan, method=method.method)
    if plan.parallel == "filters":
        plan = replace(plan, block=method.tile_count)
    after = apply_methods(program, {"S": (found, method)})
    module = lower_program(after, core=SMALL, transforms={"S": (method, plan)})
    verify(module)
    assert len(module.kernels) == 2, "the weights, and all the rest"
    random = np.random.default_rng(2)
    arrays = {v.name: random.standard_normal(concrete(v.type.shape)) for v in program.inputs}
    expected = evaluate(program, arrays)[program.outputs[0].name]
    (got,) = run_module(module, {name: array.ravel() for name, array in arrays.items()})
    np.testing.assert_allclose(got.reshape(expected.shape), expected, rtol=0, atol=1e-10)


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_any_convolution_under_any_schedule(data: st.DataObject) -> None:
    def size(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    n, y, x, c, f = size(1, 2), size(1, 5), size(1, 5), size(1, 5), size(1, 5)
    pad, more = size(0, 2), size(-1, 2)
    access = f"n y+i-{pad} x+j-{pad} c"
    shapes = (n, y, x, f), (n, max(1, y + more), max(1, x + more), c), (3, 3, c, f)
    program = conv("n y x f", access, "i j c f", *shapes)
    if data.draw(st.booleans()):
        program = with_epilogue(program)
    plan = WinogradPlan(
        "",
        size(1, 6),
        size(1, 3),
        2,
        size(1, 2),
        data.draw(st.sampled_from([None, "tiles", "filters"])),
        size(1, 2),
    )
    if data.draw(st.booleans()):
        plan = replace(plan, vectors=1, group=1, late=size(1, 4))
    check(program, data.draw(st.sampled_from([(2, 2), (1, 2), (3, 2)])), plan)


def test_one_window() -> None:
    program = conv("x f", "x+i-2 c", "i c f", (9, 3), (10, 3), (5, 3, 3))
    check(with_epilogue(program), (2,), WinogradPlan("", 3, 2, 2, 2))
    check(with_epilogue(program), (2,), WinogradPlan("", 3, 2, 2, 1, late=2))


@pytest.mark.parametrize(("channels", "late"), [(7, 8), (8, 8), (9, 8), (1, 3), (6, 2)])
@pytest.mark.parametrize("rows", [1, 2, 4])
def test_late_weights(channels: int, late: int, rows: int) -> None:
    """Chunks of channels that do and do not divide them, and four tiles in one to four passes."""
    shapes = (5, 7, 3), (5, 7, channels), (3, 3, channels, 3)
    program = conv("y x f", "y+i-1 x+j-1 c", "i j c f", *shapes)
    plan = WinogradPlan("", 4, rows, 2, 1, "filters", late=late)
    check(with_epilogue(program), (4, 4), plan)


@pytest.mark.parametrize("group", [2, 3])
def test_groups_of_panels(group: int) -> None:
    """Five panels: neither two nor three divide them, and the last one is not full."""
    program = conv("y x f", "y+i-1 x+j-1 c", "i j c f", (5, 4, 9), (5, 4, 3), (3, 3, 3, 9))
    plan = WinogradPlan("", 4, 3, 2, 1, "tiles", group)
    check(with_epilogue(program), (2, 2), plan)


def test_larger_tiles_and_weights_from_behind() -> None:
    program = conv("y x f", "y-i+1 x-j+1 c", "i j c f", (7, 6, 4), (7, 6, 2), (3, 3, 2, 4))
    check(program, (4, 4), WinogradPlan("", 3, 2, 2, 2))


@pytest.mark.parametrize(
    ("parallel", "expected"),
    [(None, []), ("tiles", [".part"]), ("filters", [".chunk", ".filters"])],
)
def test_what_is_divided_among_threads(parallel: str | None, expected: list[str]) -> None:
    program = conv("y x f", "y+i x+j c", "i j c f", (4, 4, 8), (6, 6, 2), (3, 3, 2, 8))
    (node,) = program.nodes
    assert isinstance(node, Contraction)
    found = convolution_of(node, program.types())
    assert isinstance(found, Convolution)
    method = winograd_of(found, (2, 2), 4)
    plan = WinogradPlan(method.method, 4 if parallel == "filters" else 2, 2, 2, 2, parallel)
    after = apply_methods(program, {"S": (found, method)})
    module = lower_program(after, core=SMALL, transforms={"S": (method, plan)})
    loops = [each for each in statements(module.kernels[-1].body) if isinstance(each, For)]
    divided = [each.var for each in loops if each.kind is LoopKind.PARALLEL]
    assert divided == expected
