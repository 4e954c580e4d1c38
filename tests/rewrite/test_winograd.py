"""Minimal filters and the rewrite of convolutions, against the definition."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rewrite.convolutions import affine, conv
from tilec.dtypes import F16, F32
from tilec.errors import InternalError
from tilec.rewrite.convolution import Convolution, convolution_of
from tilec.rewrite.cook_toom import check_identity, minimal_filter, monic
from tilec.rewrite.methods import apply_methods
from tilec.rewrite.winograd import winograd_of
from tilec.tensor.evaluate import evaluate
from tilec.tensor.ir import Contraction, Program, TensorType
from tilec.tensor.scalar import Apply, Scalar
from tilec.tensor.size import concrete
from tilec.tensor.verify import verify
from tilec.tensor.winograd import Minimal

F = Fraction


def recognised(program: Program) -> Convolution | str:
    (node,) = program.nodes
    assert isinstance(node, Contraction)
    return convolution_of(node, program.types())


def same_after(
    program: Program, outputs: tuple[int, ...], width: int, group: int = 1, *, late: bool = False
) -> None:
    """The program computes the same when its convolution is rewritten."""
    found = recognised(program)
    assert isinstance(found, Convolution), found
    method = winograd_of(found, outputs, width, group, late=late)
    after = apply_methods(program, {"S": (found, method)})
    verify(after)
    random = np.random.default_rng(1)
    arrays = {v.name: random.standard_normal(concrete(v.type.shape)) for v in program.inputs}
    expected, got = evaluate(program, arrays)["S"], evaluate(after, arrays)["S"]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("m", "r"), [(1, 1), (2, 3), (3, 3), (4, 3), (2, 5), (4, 5), (6, 3), (3, 1)]
)
def test_the_identity_holds_exactly(m: int, r: int) -> None:
    check_identity(minimal_filter(m, r))


@pytest.mark.parametrize(("m", "r"), [(2, 3), (3, 3), (4, 3), (2, 5)])
def test_monic_filters_begin_with_one_and_hold_exactly(m: int, r: int) -> None:
    made = monic(minimal_filter(m, r))
    assert all(next(entry for entry in row if entry) == 1 for row in made.g)
    check_identity(made)


def test_the_check_of_the_identity_can_fail() -> None:
    made = minimal_filter(2, 3)
    wrong = ((*made.a[0][:3], made.a[0][3] + F(1, 1000)), made.a[1])
    with pytest.raises(InternalError, match=r"F\(2, 3\) is wrong at output 0"):
        check_identity(replace(made, a=wrong))


@given(st.data())
def test_any_different_points_do(data: st.DataObject) -> None:
    m, r = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    fractions = st.fractions(-3, 3, max_denominator=8)
    points = data.draw(st.lists(fractions, min_size=m + r - 2, max_size=m + r - 2, unique=True))
    check_identity(minimal_filter(m, r, tuple(points)))


def test_points_must_differ() -> None:
    with pytest.raises(InternalError, match="different points"):
        minimal_filter(2, 3, (F(0), F(1), F(1)))


@pytest.mark.parametrize(
    ("output", "start"), [("n y+i-1 x+j-1 c", -1), ("n y+i x+j c", 0), ("n y-i+1 x-j+1 c", -1)]
)
def test_a_gradient_by_the_data_is_a_convolution(output: str, start: int) -> None:
    """``y`` is put in terms of the output coordinate; at the edges taps have no point."""
    program = conv(output, "n y x f", "i j c f", (2, 7, 6, 5), (2, 7, 6, 4), (3, 3, 5, 4))
    found = recognised(program)
    assert isinstance(found, Convolution), found
    assert [window.taps for window in found.windows] == [1, 3, 3]
    assert found.windows[1].offset == start - (start == 0) * 2
    same_after(program, (2, 3), 2, 2)


def test_the_known_matrices_of_f_2_3() -> None:
    made = minimal_filter(2, 3)
    assert isinstance(made, Minimal)
    assert made.a == ((1, 1, 1, 0), (0, 1, -1, 1))
    assert made.b == ((-1, 0, 1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, -1, 0, 1))


def test_entries_for_tiles_of_four_are_exact_in_f32() -> None:
    made = minimal_filter(4, 3)
    assert all(F(float(np.float32(e))) == e for row in (*made.a, *made.b) for e in row)


LAYOUTS = [
    ("n y x f", "n y+i-1 x+j-1 c", "i j c f"),
    ("n f y x", "n c y+i-1 x+j-1", "f c i j"),
    ("f x n y", "y+j c n x+i-1", "c i f j"),
    ("n y x f", "n y-i+1 x-j+1 c", "i j c f"),  # the gradient by the data
    ("n y x f", "n y+i x+j c", "-i+2 j-0 c f"),  # weights from behind
]


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(LAYOUTS), st.data())
def test_two_windows_anywhere(layout: tuple[str, str, str], data: st.DataObject) -> None:
    output, read, weights = layout
    sizes = {name: data.draw(st.integers(1, 6)) for name in "yx"}
    sizes |= {name: data.draw(st.integers(1, 2)) for name in "ncf"} | {"i": 3, "j": 3}
    # The data may be larger or smaller than what the windows reach.
    slid = {name: max(1, sizes[name] + data.draw(st.integers(-1, 2))) for name in "yx"}

    def shape(text: str, spatial: dict[str, int]) -> tuple[int, ...]:
        names = [affine(part).indices for part in text.split()]
        return tuple(
            next((spatial[each] for each in found if each in spatial), sizes[found[0]])
            for found in names
        )

    program = conv(
        output,
        read,
        weights,
        shape(output, {}),
        shape(read, slid),
        shape(weights, {}),
        swapped=data.draw(st.booleans()),
    )
    outputs = data.draw(st.sampled_from([(2, 2), (4, 4), (3, 2), (1, 4)]))
    same_after(
        program, outputs, data.draw(st.sampled_from([1, 2, 4])), late=data.draw(st.booleans())
    )


@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("taps", [3, 5])
def test_one_window(m: int, taps: int) -> None:
    program = conv("x f", "x+i-2 c", "i c f", (9, 3), (10, 2), (taps, 2, 3))
    same_after(program, (m,), 2)


@pytest.mark.parametrize(
    ("output", "data", "weights", "shapes", "reason"),
    [
        ("x f", "2x+i c", "i c f", ((4, 3), (9, 2), (3, 2, 3)), "stride"),
        ("x f", "x+2i c", "i c f", ((4, 3), (9, 2), (3, 2, 3)), "dilation"),
        ("x g f", "x+i g c", "i g c f", ((4, 2, 3), (9, 2, 2), (3, 2, 2, 3)), "both factors"),
        ("x f", "x+i c", "i c f", ((4, 3), (9, 3), (3, 2, 3)), "two numbers"),
        ("x", "x+i c", "i c", ((4,), (9, 2), (3, 2)), "one index of channels and one of filters"),
        ("x f", "x c", "c f", ((4, 3), (4, 2), (2, 3)), "no window slides"),
        ("f", "x+i c", "i c f", ((3,), (9, 2), (3, 2, 3)), "stride"),
    ],
)
def test_what_is_no_convolution_of_this_kind(
    output: str,
    data: str,
    weights: str,
    shapes: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]],
    reason: str,
) -> None:
    found = recognised(conv(output, data, weights, *shapes))
    assert isinstance(found, str)
    assert reason in found


def test_narrow_types_stay() -> None:
    program = conv("x f", "x+i c", "i c f", (4, 3), (6, 2), (3, 2, 3))
    (node,) = program.nodes
    assert isinstance(node, Contraction)
    for dtype in (F16, F32):
        narrow = replace(node, type=TensorType(dtype, (4, 3)))
        assert convolution_of(narrow, program.types()) == "not a sum of f32 or f64 values"
    assert isinstance(node.body, Apply)
    body: Scalar = node.body.args[0]
    assert convolution_of(replace(node, body=body), program.types()) == "not a sum of products"
