"""Register-tiled products against the definition, over shapes, strides, borders and schedules."""

from __future__ import annotations

from fractions import Fraction
from math import prod

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import tilec
from tests.lower.interpret import run_module
from tests.lower.test_contractions import arrays_shape, by_points
from tilec.dtypes import F64
from tilec.kernel.verify import verify
from tilec.lower.pipeline import lower_program
from tilec.schedule import blocks, model
from tilec.target.core import Core
from tilec.tensor.affine import Affine
from tilec.tensor.ir import Aggregation, Contraction, Input, Output, Program, TensorType
from tilec.tensor.scalar import Apply, Read, Scalar

MAX_POINTS = 2500


ROW_SIZES = [1, 2, 3, 5, 7, 8, 9, 13, 16, 17, 24]
REDUCE_SIZES = [1, 2, 3, 4, 5, 7, 11]
VECTOR_SIZES = [4, 5, 8, 16, 17, 23, 33]


@pytest.fixture(autouse=True)
def small_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small problems are tiled, blocked and divided like large ones."""
    monkeypatch.setattr(model, "MIN_WORK", 1)
    monkeypatch.setattr(model, "PARALLEL_CYCLES", 1)
    monkeypatch.setattr(model, "REDUCE_BLOCK", 3)
    monkeypatch.setattr(blocks, "STEPS", (2, 5))


@st.composite
def products(draw: st.DrawFn) -> Program:
    """Products of two or three operands, with windows, strides and partial overlap."""
    outputs = draw(st.sampled_from(["i", "ij", "ijx"]))
    reductions = draw(st.sampled_from(["k", "k", "kl", "klm"]))
    vector = outputs[-1]
    extents: dict[str, int] = {}
    for name in draw(st.permutations(outputs + reductions)):
        sizes = VECTOR_SIZES if name == vector else ROW_SIZES if name in outputs else REDUCE_SIZES
        left = MAX_POINTS // prod(extents.values())
        extents[name] = draw(st.sampled_from([n for n in sizes if n <= left] or sizes[:1]))
    inputs: list[Input] = []

    def operand(name: str, indices: list[str]) -> Read:
        left = draw(st.permutations(indices))
        shape: list[int] = []
        access: list[Affine] = []
        while left:
            index = left.pop()
            windows = [k for k in left if k in reductions]
            if index not in outputs or index == vector or not windows or draw(st.booleans()):
                shape.append(extents[index])
                access.append(Affine.index(index))
                continue
            tap = windows[0]
            left.remove(tap)
            stride, dilation = draw(st.sampled_from([(1, 1), (2, 1), (1, 2), (1, -1)]))
            start = draw(st.sampled_from([0, -1, 1, -2]))
            terms = [(index, Fraction(stride)), (tap, Fraction(dilation))]
            reach = stride * (extents[index] - 1) + max(0, dilation) * (extents[tap] - 1) + start
            shape.append(max(1, reach + 1 - draw(st.integers(0, 2))))
            access.append(Affine.build(terms, Fraction(start)))
        inputs.append(Input(name, TensorType(F64, tuple(shape))))
        return Read(name, tuple(access), F64)

    middle = list(outputs[:-1])
    batch = [i for i in middle if draw(st.integers(0, 4)) == 0]
    along = [vector] * (draw(st.integers(0, 3)) == 0)  # rows that differ between the lanes
    body: Scalar = operand("A", [*middle, *along, *reductions])
    other = operand("B", [vector, *batch, *reductions])
    body = Apply("mul", (body, other), F64)
    if draw(st.booleans()):
        extra = draw(st.lists(st.sampled_from(outputs + reductions), max_size=2, unique=True))
        body = Apply("mul", (operand("E", extra), body), F64)
    stored = draw(st.sampled_from([outputs, outputs, outputs[::-1]]))
    shape = tuple(extents[i] for i in stored)
    node = Contraction(
        "O",
        TensorType(F64, shape),
        tuple(stored + reductions),
        Aggregation.SUM,
        tuple(map(Affine.index, stored)),
        body,
    )
    return Program("p", tuple(inputs), (node,), (Output("O", "O"),))


@settings(
    max_examples=45,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
@given(program=products(), seed=st.integers(0, 99))
def test_tiled_product_equals_its_definition(program: Program, seed: int) -> None:
    """With short and with long vectors, in one pass and in several."""
    random = np.random.default_rng(seed)
    arrays = {
        value.name: random.integers(-4, 5, size=arrays_shape(value.type)).astype(float)
        for value in program.inputs
    }
    node = program.nodes[0]
    assert isinstance(node, Contraction)
    expected = by_points(node, program.types(), arrays)
    assume(expected is not None)
    flat = {name: array.reshape(-1) for name, array in arrays.items()}
    for core in (Core(vector_bytes=16), Core(vector_bytes=64), Core(vector_bytes=16, l2_bytes=512)):
        module = lower_program(program, core=core)
        verify(module)
        (result,) = run_module(module, flat)
        np.testing.assert_array_equal(result.reshape(expected.shape), expected)


@pytest.mark.parametrize(("width", "blocks"), [(28, 3), (7, 3), (30, 4)])
def test_tiles_at_a_border_share_the_steps_of_all_rows(width: int, blocks: int) -> None:
    """A row of pixels under a window of three: each edge has a block of its own besides."""
    text = """function (X[W, C], K[R, C, F]) -> (O) {
      O[x, f : W, F] = +(X[x + r - 1, c] * K[r, c, f]);
    }"""
    specs = tilec.Spec((width, 5)), tilec.Spec((3, 5, 16))
    made = tilec.function(text).compile(*specs, schedule="tile x=7 f=1x16")
    assert made.source("kernel").count("for c in") == blocks
