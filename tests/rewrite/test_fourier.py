"""The Fourier rewrite of convolutions, against the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rewrite.convolutions import conv
from tilec.rewrite.convolution import Convolution, convolution_of
from tilec.rewrite.fourier import fourier_of
from tilec.rewrite.methods import apply_methods
from tilec.tensor.evaluate import evaluate
from tilec.tensor.ir import Contraction, Program
from tilec.tensor.size import concrete
from tilec.tensor.verify import verify
from tilec.tensor.waves import wave


def same_after(program: Program, outputs: tuple[int, int], width: int) -> None:
    """The program computes the same when its convolution is rewritten."""
    (node,) = program.nodes
    assert isinstance(node, Contraction)
    found = convolution_of(node, program.types())
    assert isinstance(found, Convolution), found
    after = apply_methods(program, {"S": (found, fourier_of(found, outputs, width))})
    verify(after)
    random = np.random.default_rng(1)
    arrays = {v.name: random.standard_normal(concrete(v.type.shape)) for v in program.inputs}
    expected, got = evaluate(program, arrays)["S"], evaluate(after, arrays)["S"]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 24, 96, 1000])
def test_roots_of_unity(count: int) -> None:
    for number in (0, 1, -1, 3, count - 1, 5 * count + 2):
        cosine, sine = wave(number, count)
        angle = 2 * math.pi * (number % count) / count
        assert cosine == pytest.approx(math.cos(angle), abs=1e-15)
        assert sine == pytest.approx(math.sin(angle), abs=1e-15)


def test_roots_that_are_equal_by_symmetry_are_equal() -> None:
    assert [wave(k, 4) for k in range(4)] == [(1, 0), (0, 1), (-1, 0), (0, -1)]
    assert wave(1, 8)[0] == wave(1, 8)[1] == math.sqrt(0.5)
    assert wave(1, 12) == (wave(1, 6)[1], 0.5)
    assert wave(5, 24) == tuple(reversed(wave(1, 24)))


LAYOUTS = [
    ("n y x f", "n y+i-1 x+j-1 c", "i j c f"),
    ("f x n y", "y+j c n x+i-1", "c i f j"),
    ("n y x f", "n y-i+1 x-j+1 c", "i j c f"),  # the gradient by the data
    ("n y x c", "n y+i-1 x+j-2 c", "i j c"),
    ("c y x", "c y-i+1 x+j", "j c i"),
]


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(LAYOUTS), st.data())
def test_two_windows_anywhere(layout: tuple[str, str, str], data: st.DataObject) -> None:
    output, read, weights = layout
    sizes = {name: data.draw(st.integers(1, 5)) for name in "yxij"}
    sizes |= {name: data.draw(st.integers(1, 2)) for name in "ncf"}
    more = {name: data.draw(st.integers(-1, 2)) for name in "yx"}

    def shape(text: str, more: dict[str, int]) -> tuple[int, ...]:
        found = [next(n for n in "yxncfij" if n in part) for part in text.split()]
        return tuple(max(1, sizes[name] + more.get(name, 0)) for name in found)

    program = conv(output, read, weights, shape(output, {}), shape(read, more), shape(weights, {}))
    # Any lengths do: those with code are even and have small factors.
    tiles = data.draw(st.integers(2, 4)), data.draw(st.integers(2, 4))
    same_after(program, tiles, data.draw(st.sampled_from([1, 2, 4])))
