"""Kernels of Fourier transforms against the definition: tiles, edges, panels, blocks, threads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lower.interpret import run_module
from tests.lower.test_winograd import SMALL, with_epilogue
from tests.rewrite.convolutions import conv
from tilec.kernel.ir import For, LoopKind
from tilec.kernel.verify import verify
from tilec.kernel.walk import statements
from tilec.lower.pipeline import lower_program
from tilec.rewrite.convolution import Convolution, convolution_of
from tilec.rewrite.fourier import fourier_of
from tilec.rewrite.methods import apply_methods
from tilec.schedule.fourier import FourierPlan
from tilec.tensor.evaluate import evaluate
from tilec.tensor.ir import Contraction, Program
from tilec.tensor.size import concrete


def check(program: Program, lengths: tuple[int, int], plan: FourierPlan) -> list[str]:
    """The kernel passes verification and computes the same; the loops that are divided."""
    node = program.nodes[0]
    assert isinstance(node, Contraction)
    found = convolution_of(node, program.types())
    assert isinstance(found, Convolution), found
    taps = [window.taps for window in found.windows if window.tap is not None]
    outputs = [n - r + 1 for n, r in zip(lengths, taps, strict=True)]
    method = fourier_of(found, outputs, plan.lanes * plan.vectors)
    plan = replace(plan, method=method.method, block=min(plan.block, method.tile_count))
    after = apply_methods(program, {"S": (found, method)})
    module = lower_program(after, core=SMALL, transforms={"S": (method, plan)})
    verify(module)
    assert len(module.kernels) == 3, "the weights in two steps, and all the rest"
    assert [each.buffer.name for each in module.constants] == ["S.V", "S.U"]
    random = np.random.default_rng(2)
    arrays = {v.name: random.standard_normal(concrete(v.type.shape)) for v in program.inputs}
    expected = evaluate(program, arrays)[program.outputs[0].name]
    (got,) = run_module(module, {name: array.ravel() for name, array in arrays.items()})
    np.testing.assert_allclose(got.reshape(expected.shape), expected, rtol=0, atol=1e-11)
    loops = [each for each in statements(module.kernels[-1].body) if isinstance(each, For)]
    return [each.var for each in loops if each.kind is LoopKind.PARALLEL]


@settings(max_examples=5, deadline=None)
@given(st.data())
def test_any_convolution_under_any_schedule(data: st.DataObject) -> None:
    def size(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    n, y, x, c, f = size(1, 2), size(1, 4), size(1, 4), size(1, 3), size(1, 3)
    pad, more = size(0, 2), size(-1, 1)
    i, j = size(2, 3), size(2, 3)
    reads = f"n y+i-{pad} x+j-{pad} c", (n, max(1, y + more), max(1, x + more), c)
    plan = FourierPlan("", 1, 1, 2, 1, data.draw(st.booleans()))
    if data.draw(st.booleans()):
        program = conv("n y x c", reads[0], "i j c", (n, y, x, c), reads[1], (i, j, c))
    else:
        program = conv("n y x f", reads[0], "i j c f", (n, y, x, f), reads[1], (i, j, c, f))
        plan = replace(plan, block=size(1, 5), rows=size(1, 3), vectors=size(1, 2))
    if data.draw(st.booleans()):
        program = with_epilogue(program)
    check(program, data.draw(st.sampled_from([(4, 4), (3, 4), (4, 6)])), plan)


@pytest.mark.parametrize("parallel", [False, True])
def test_what_is_divided_among_threads(parallel: bool) -> None:
    plan = FourierPlan("", 4, 2, 2, 1, parallel)
    dense = conv("y x f", "y-i+1 x-j+1 c", "i j c f", (4, 4, 3), (4, 4, 2), (3, 3, 2, 3))
    expected = [".in", ".product", ".outward"] if parallel else []
    assert check(dense, (4, 6), plan) == expected
    own = conv("y x c", "y+i-1 x+j-1 c", "j i c", (4, 4, 3), (4, 4, 3), (3, 3, 3))
    assert check(own, (4, 4), replace(plan, block=1, rows=1)) == ([".item"] if parallel else [])
