"""Reductions that are bound by reading: every schedule computes what the reference does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import tilec
from tests.lower.texts import flat_pieces, program
from tilec import Schedule, Streamed
from tilec.kernel.ir import For, LoopKind, Module
from tilec.kernel.verify import verify
from tilec.kernel.walk import statements
from tilec.lower.loops import CASCADE_POINTS
from tilec.lower.pipeline import lower_program
from tilec.lower.streams import reduction
from tilec.runtime.arrays import spec_of
from tilec.schedule.reduction import Reduction
from tilec.schedule.stream import illegal, spread
from tilec.target.core import Core, host_core
from tilec.tensor.ir import TensorType

Array = NDArray[Any]
EDGES = (1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 47, 64, 65)

# Statements, and the extents of each input.
KINDS = (
    ("Y[i : M] = {}(A[i, k] * X[k])", {"A": "MK", "X": "K"}),
    ("Y[i : M] = {}(A[k, i] * X[k])", {"A": "KM", "X": "K"}),
    ("Y[i : M] = {}(A[i, k])", {"A": "MK"}),
    ("Y[k : K] = {}(A[i, k] - A[i, k] * A[i, k])", {"A": "MK"}),
    ("Y[b, i : B, M] = {}(A[b, i, k] * X[b, k])", {"A": "BMK", "X": "BK"}),
    ("Y[i, b : M, B] = {}(A[b, k, i] * X[k])", {"A": "BKM", "X": "K"}),
    ("Y[b, i : B, M] = {}(X[b, k] * A[i, k])", {"A": "MK", "X": "BK"}),
    ("Y[b, i : B, M] = {}(X[b, k] * A[k, i])", {"A": "KM", "X": "BK"}),
    ("Y[i : M] = {}(A[b, k, i] * X[k])", {"A": "BKM", "X": "K"}),
    ("Y[i, b : M, B] = {}(A[i, k] * X[k, b])", {"A": "MK", "X": "KB"}),
    ("Y[i, b : M, B] = {}(A[i, k] * X[k, b])", {"A": "MK", "X": "KB"}),
    ("Y[i, b : M, B] = {}(A[k, i] * X[k, b])", {"A": "KM", "X": "KB"}),
    ("Y[c, i, b : C, M, B] = {}(A[c, i, k] * X[k, c, b])", {"A": "CMK", "X": "KCB"}),
    ("Y[i, b : M, B] = {}(A[c, i, k] * X[c, k, b] * X[c, k, b])", {"A": "CMK", "X": "CKB"}),
    ("Y[i : M] = {}(A[i, b, k] + X[k]), b + k < 6", {"A": "MBK", "X": "K"}),
    ("Y[i : M] = {}(A[k, b, i]), b + k < 6", {"A": "KBM"}),
    ("Y[] = {}(A[i, k] * X[k])", {"A": "MK", "X": "K"}),
)
EPILOGUES = ("", "", "Z = relu(Y) * 2;", "Z = Y * Y + Y;")


def function_text(statement: str, epilogue: str, shapes: Mapping[str, str]) -> str:
    header = ", ".join(f"{name}[{', '.join(sizes)}]" for name, sizes in shapes.items())
    output = "Z" if epilogue else "Y"
    return f"function ({header}) -> ({output}) {{\n  {statement};\n  {epilogue}\n}}"


def problem_of(text: str, arrays: Mapping[str, Array]) -> Reduction | str:
    """What a program is for arrays with these strides."""
    specs = {name: spec_of(array) for name, array in arrays.items()}
    types = {name: TensorType(spec.dtype, spec.shape) for name, spec in specs.items()}
    strides = {name: spec.strides for name, spec in specs.items()}
    flats, target = flat_pieces(program(text, **types), strides)
    return reduction(flats[0], target) if len(flats) == 1 else "several pieces"


def lowered(text: str, arrays: Mapping[str, Array], plan: Streamed) -> Module:
    """The kernels with a schedule."""
    specs = {name: spec_of(array) for name, array in arrays.items()}
    made = program(
        text, **{name: TensorType(spec.dtype, spec.shape) for name, spec in specs.items()}
    )
    strides = {name: spec.strides for name, spec in specs.items()}
    return lower_program(made, strides, core=host_core(), schedule=Schedule((("", plan),)))


@st.composite
def layouts(draw: st.DrawFn, shape: tuple[int, ...], dtype: str, seed: int) -> Array:
    """Small integers, which every order of additions sums exactly, with some strides."""
    wide = tuple(n + draw(st.sampled_from([0, 0, 1, 3])) for n in shape)
    values = np.random.default_rng(seed).integers(-3, 4, wide).astype(dtype)
    view = values[tuple(slice(0, n) for n in shape)]
    backwards = tuple(slice(None, None, draw(st.sampled_from([1, 1, 1, -1]))) for _ in shape)
    view = view[backwards]
    return view.copy() if draw(st.booleans()) else view


@st.composite
def schedules(draw: st.DrawFn, problem: Reduction) -> Streamed:
    """A legal schedule."""
    outputs = [axis.name for axis in problem.axes]
    reductions = [axis.name for axis in problem.reductions]
    vector = draw(st.sampled_from([*outputs, *reductions]))
    columns = vector in outputs
    row = draw(st.sampled_from(reductions if columns else [None, *outputs]))
    share = draw(st.sampled_from([None, *(name for name in outputs if name not in (vector, row))]))
    most = 1 if row is None else problem.axis(row).extent
    cut = draw(st.sampled_from([row] if columns else reductions))
    assert cut is not None
    parts = draw(st.sampled_from([1, 1, *(n for n in (2, 3, 7) if n <= problem.axis(cut).extent)]))
    whole = [None, *(name for name in outputs if name != share)]
    lanes = host_core().lanes(problem.lane_bytes)
    plan = Streamed(
        vector,
        draw(st.sampled_from([n for n in (2, 4, 8, 16) if n <= lanes])),
        row,
        draw(st.integers(1, min(most, 9))),
        share,
        span=draw(st.sampled_from([0, 16, 48])) if columns else 0,
        parts=parts,
        parallel=cut if parts > 1 else draw(st.sampled_from(whole)),
        pack=not columns and bool(spread(problem, vector)) and draw(st.booleans()),
    )
    assume(illegal(problem, plan, host_core()) is None)
    return plan


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_every_schedule_equals_the_reference(data: st.DataObject) -> None:
    statement, shapes = data.draw(st.sampled_from(KINDS))
    agg = data.draw(st.sampled_from("+++<>"))
    sizes = {name: data.draw(st.sampled_from(EDGES)) for name in "MK"}
    sizes["B"], sizes["C"] = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 3))
    dtype = data.draw(st.sampled_from(["f4", "f4", "f4", "f8", "i4", "i1", "f2"]))
    text = function_text(statement.format(agg), data.draw(st.sampled_from(EPILOGUES)), shapes)
    arrays = {
        name: data.draw(layouts(tuple(sizes[letter] for letter in letters), dtype, at))
        for at, (name, letters) in enumerate(shapes.items())
    }
    problem = problem_of(text, arrays)
    assume(isinstance(problem, Reduction))
    assert isinstance(problem, Reduction)
    plan = data.draw(schedules(problem))
    made = tilec.function(text)
    executable = made.compile(*arrays.values(), schedule=str(plan))
    (given,) = executable.schedule.values()
    assert given == plan
    verify(lowered(text, arrays, plan))
    wanted = made(*arrays.values(), target="reference")
    results = [made(*arrays.values(), schedule=str(plan), num_threads=n) for n in (1, 3)]
    np.testing.assert_array_equal(results[0], wanted)
    np.testing.assert_array_equal(results[1], results[0])


ALONG, ACROSS = "Y[i : M] = +(A[i, k])", "Y[i : M] = +(A[k, i])"


@pytest.mark.parametrize("points", [CASCADE_POINTS + 1, 3 * CASCADE_POINTS + 5])
@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        (ALONG, "stream i=8 k=16"),
        (ALONG, "stream -=1 k=16"),
        (ALONG, "stream i=2 k=8, 5 parts of k"),
        (ACROSS, "stream k=16 i=16"),
        (ACROSS, "stream k=8 i=16, 9 parts of k"),
    ],
)
def test_long_sums_are_blocked(text: str, schedule: str, points: int) -> None:
    """One tenth has no exact value: sums of f32 values alone are off by 2e-6 and more."""
    array = np.full((9, points) if text == ALONG else (points, 9), 0.1, np.float32)
    result = tilec.function(text)(array, schedule=schedule)
    wanted = array.astype(np.float64).sum(axis=1 if text == ALONG else 0)
    np.testing.assert_allclose(result, wanted, rtol=3e-7)


def chosen(text: str, **shapes: tuple[int, ...]) -> str:
    """The schedule that the model chooses for a core of the Skylake family."""
    found: list[str] = []
    lower_program(
        program(text, **shapes), core=Core(), decide=lambda each: found.append(str(each.plan))
    )
    return found[0]


@pytest.mark.parametrize(
    ("statement", "shapes", "wanted"),
    [
        ("Y[i : M] = +(A[i, k] * X[k])", {"A": (64, 64), "X": (64,)}, "stream i=8 k=16"),
        (
            "Y[q : P] = +(W[z] * A[q, z])",
            {"A": (4096, 4096), "W": (4096,)},
            "stream q=8 z=16, parallel q",
        ),
        (
            "Y[j : N] = +(X[i] * A[i, j])",
            {"A": (4096, 4096), "X": (4096,)},
            "stream i=8 j=16, 16 parts of i",
        ),
        (
            "Y[j : N] = >(A[i, j])",
            {"A": (128, 100_000)},
            "stream i=8 j=16, span 4096, parallel j",
        ),
        (
            "Y[m, j : P, N] = +(X[m, i] * A[i, j])",
            {"A": (1024, 1024), "X": (2, 1024)},
            "stream i=4 j=16, share m, 8 parts of i",
        ),
        (
            "Y[m, j : P, N] = +(X[i, j] * A[m, i])",
            {"A": (1024, 1024), "X": (1024, 2)},
            "stream m=8 i=16, share j, pack, parallel m",
        ),
        (
            "R[a, b : P, N] = +(X[t, b] * A[a, t])",
            {"A": (512, 500_000), "X": (500_000, 4)},
            "stream a=6 t=16, share b, pack, 31 parts of t",
        ),
        (
            "R[m, b : P, N] = +(X[t, b] * A[t, m])",
            {"A": (500_000, 512), "X": (500_000, 8)},
            "stream t=8 m=16, share b, 16 parts of t",
        ),
        ("S[] = +(A[i, j])", {"A": (2048, 2048)}, "stream -=1 i.j=16, 16 parts of i.j"),
    ],
)
def test_what_is_chosen(statement: str, shapes: dict[str, tuple[int, ...]], wanted: str) -> None:
    assert chosen(statement, **shapes) == wanted


@pytest.mark.parametrize(
    ("statement", "shapes"),
    [
        ("Y[i : M] = +(A[i, k] * X[k])", {"A": (8, 8), "X": (8,)}),  # small
        ("Y[i : M] = +(exp(A[i, k]))", {"A": (512, 512)}),  # computes more than it reads
        ("C[i, j : M, N] = +(A[i, k] * B[k, j])", {"A": (64, 64), "B": (64, 64)}),
        ("O[i : 10000] = +(A[i + k - 1] * F[k])", {"A": (10_000,), "F": (3,)}),
    ],
)
def test_what_is_no_stream(statement: str, shapes: dict[str, tuple[int, ...]]) -> None:
    assert not chosen(statement, **shapes).startswith("stream")


def test_a_column_sum_has_one_pass_over_its_rows() -> None:
    """The rows of a step are read by one loop, and its sums are stored once."""
    made = program("Y[j : N] = +(X[i] * A[i, j])", A=(64, 256), X=(64,))
    module = lower_program(made, core=Core())
    verify(module)
    (kernel,) = module.kernels
    assert sum(isinstance(s, For) and s.var == "i.block" for s in statements(kernel.body)) == 1
    assert not any(
        isinstance(s, For) and s.kind is LoopKind.VECTOR for s in statements(kernel.body)
    )


@pytest.mark.parametrize(
    ("text", "shapes", "schedule", "reason"),
    [
        ("Y[i : M] = +(A[i, k] * X[k])", ((64, 64), 64), "stream i=4 k=8, pack", "consecutively"),
        ("Y[j : N] = +(A[i, j] * X[i])", ((64, 64), 64), "stream i=4 j=8, pack", "where it lies"),
        (
            "Y[i, j : M, N] = +(A[i, k] * X[k, j]), k < 60, i + k < 90",
            ((64, 64), (64, 2)),
            "stream i=4 k=8, share j, pack",
            "constraint",
        ),
    ],
)
def test_what_cannot_be_copied_is_refused(
    text: str, shapes: tuple[tuple[int, ...], ...], schedule: str, reason: str
) -> None:
    arrays = [np.ones(shape, np.float32) for shape in shapes]
    with pytest.raises(tilec.TilecError, match=reason):
        tilec.function(text).compile(*arrays, schedule=schedule)
