"""Explicit lowerings of convolutions, against the definition."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rewrite.convolutions import conv
from tilec.rewrite.convolution import Convolution, convolution_of
from tilec.rewrite.lowering import KINDS, lifted_elems
from tilec.rewrite.methods import apply_methods
from tilec.tensor.evaluate import evaluate
from tilec.tensor.ir import Contraction, Program
from tilec.tensor.size import concrete
from tilec.tensor.verify import verify

LAYOUTS = [
    ("n y x f", "n y+i-1 x+j-1 c", "i j c f"),
    ("f x n y", "y+j c n x+i-1", "c i f j"),
    ("n y x f", "n y-i+1 x-j+1 c", "i j c f"),  # the gradient by the data
    ("x f", "x+i-2 c", "i c f"),
]


def convolution(program: Program) -> Convolution:
    (node,) = program.nodes
    assert isinstance(node, Contraction)
    found = convolution_of(node, program.types())
    assert isinstance(found, Convolution), found
    return found


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(LAYOUTS), st.data())
def test_every_kind_anywhere(layout: tuple[str, str, str], data: st.DataObject) -> None:
    sizes = {name: data.draw(st.integers(1, 4)) for name in "yxij"}
    sizes |= {name: data.draw(st.integers(1, 3)) for name in "ncf"}
    more = {name: data.draw(st.integers(-1, 2)) for name in "yx"}

    def shape(text: str, more: dict[str, int]) -> tuple[int, ...]:
        found = [next(name for name in "yxncfij" if name in part) for part in text.split()]
        return tuple(max(1, sizes[name] + more.get(name, 0)) for name in found)

    output, read, weights = layout
    program = conv(output, read, weights, shape(output, {}), shape(read, more), shape(weights, {}))
    found = convolution(program)
    random = np.random.default_rng(1)
    arrays = {v.name: random.standard_normal(concrete(v.type.shape)) for v in program.inputs}
    expected = evaluate(program, arrays)["S"]
    for kind in KINDS:
        after = apply_methods(program, {"S": (found, kind)})
        verify(after)
        np.testing.assert_allclose(evaluate(after, arrays)["S"], expected, rtol=0, atol=1e-12)


def test_what_is_written_out() -> None:
    shapes = (4, 5, 3), (4, 5, 2), (3, 3, 2, 3)
    found = convolution(conv("y x f", "y+i-1 x+j-1 c", "i j c f", *shapes))
    first, second, third = (lifted_elems(found, kind) for kind in KINDS)
    assert first == 4 * 5 * 9 * 2
    assert second == 4 * 5 * 3 * 2 + 4 * 5 * 3 * 3
    assert third == 4 * 5 * 9 * 3
