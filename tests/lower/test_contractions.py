"""Lowered contractions against a loop over all index points, for every vector width."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.lower.interpret import run_module
from tilec.dtypes import F64
from tilec.kernel.verify import verify
from tilec.lower.pipeline import lower_program
from tilec.target.core import Core
from tilec.tensor import domain
from tilec.tensor.affine import Affine
from tilec.tensor.ir import (
    Aggregation,
    Constraint,
    Contraction,
    Input,
    Output,
    Program,
    TensorType,
)
from tilec.tensor.scalar import Apply, Read, reads

SIZES = st.sampled_from([1, 2, 3, 4, 5, 7, 8, 16, 17, 33])
COEFFICIENTS = st.sampled_from(
    [Fraction(c) for c in (1, 1, 1, -1, 2, 3, -2)]
    + [Fraction(1, 2), Fraction(-1, 2), Fraction(2, 3)]
)
MAX_POINTS = 5000
# Most random accesses have no index point in common; that is what the domain test is there for.
RANDOM_PROGRAMS = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much]
)


@st.composite
def affines(draw: st.DrawFn, indices: list[str]) -> Affine:
    chosen = draw(st.lists(st.sampled_from(indices), max_size=2, unique=True))
    terms = [(index, draw(COEFFICIENTS)) for index in chosen]
    return Affine.build(terms, Fraction(draw(st.sampled_from([0, 0, 0, 1, -1, 2, 5]))))


@st.composite
def programs(draw: st.DrawFn) -> Program:
    indices = list("ijkl")[: draw(st.integers(1, 4))]
    inputs: list[Input] = []
    operands: list[Read] = []
    for name in "AB"[: draw(st.integers(1, 2))]:
        shape = tuple(draw(st.lists(SIZES, max_size=2)))
        inputs.append(Input(name, TensorType(F64, shape)))
        operands.append(Read(name, tuple(draw(affines(indices)) for _ in shape), F64))
    body = operands[0] if len(operands) == 1 else Apply("mul", tuple(operands), F64)
    shape = tuple(draw(st.lists(SIZES, max_size=2)))
    output = tuple(draw(affines(indices)) for _ in shape)
    bounds = st.sampled_from([1, 2, 3, 5, 9])
    constraints = tuple(
        Constraint(draw(affines(indices)), draw(bounds)) for _ in range(draw(st.integers(0, 2)))
    )
    default = None
    if draw(st.booleans()):
        default = "D"
        inputs.append(Input("D", TensorType(F64, shape)))
    agg = draw(st.sampled_from(list(Aggregation)))
    forms = [
        *output,
        *(f for read in operands for f in read.access),
        *(c.form for c in constraints),
    ]
    assume({name for form in forms for name in form.indices} == set(indices))
    node = Contraction(
        "O", TensorType(F64, shape), tuple(indices), agg, output, body, constraints, default
    )
    return Program("p", tuple(inputs), (node,), (Output("O", "O"),))


def by_points(node: Contraction, types: dict[str, TensorType], arrays: dict[str, Any]) -> Any:
    """The definition: every point of the bounding box is tested; None where it is no program."""
    points = domain.of(node, types)
    if domain.is_empty(points) or domain.unbounded_indices(node, types):
        return None
    box = domain.bounds(points)
    if prod(high - low + 1 for low, high in box.values()) > MAX_POINTS:
        return None
    shape = arrays_shape(node.type)
    result: NDArray[np.float64] = np.zeros(shape)
    hit = np.zeros(shape, bool)
    conditions = [*zip(node.output, shape, strict=True)]
    for read in reads(node.body):
        conditions += zip(read.access, arrays[read.tensor].shape, strict=True)
    conditions += [(c.form, c.bound) for c in node.constraints if isinstance(c.bound, int)]
    for values in product(*(range(box[i][0], box[i][1] + 1) for i in node.indices)):
        point = dict(zip(node.indices, values, strict=True))
        found = [(form.evaluate(point), size) for form, size in conditions]
        if any(value.denominator != 1 or not 0 <= value < size for value, size in found):
            continue
        at = tuple(int(form.evaluate(point)) for form in node.output)
        value = 1.0
        for read in reads(node.body):
            value *= arrays[read.tensor][tuple(int(f.evaluate(point)) for f in read.access)]
        if hit[at] and node.agg is Aggregation.ASSIGN:
            return None
        old = result[at]
        combined = {
            Aggregation.SUM: old + value,
            Aggregation.PRODUCT: old * value,
            Aggregation.MAX: max(old, value),
            Aggregation.MIN: min(old, value),
            Aggregation.ASSIGN: value,
        }
        result[at] = combined[node.agg] if hit[at] else value
        hit[at] = True
    return result if node.default is None else np.where(hit, result, arrays[node.default])


def arrays_shape(kind: TensorType) -> tuple[int, ...]:
    return tuple(size for size in kind.shape if isinstance(size, int))


@pytest.mark.parametrize("vector_bytes", [0, 16, 64])
@RANDOM_PROGRAMS
@given(program=programs(), seed=st.integers(0, 99))
def test_lowered_contraction_equals_its_definition(
    vector_bytes: int, program: Program, seed: int
) -> None:
    random = np.random.default_rng(seed)
    arrays = {
        value.name: random.integers(-4, 5, size=arrays_shape(value.type)).astype(float)
        for value in program.inputs
    }
    node = program.nodes[0]
    assert isinstance(node, Contraction)
    expected = by_points(node, program.types(), arrays)
    assume(expected is not None)
    module = lower_program(program, core=Core(vector_bytes=vector_bytes))
    verify(module)
    flat = {name: array.reshape(-1) for name, array in arrays.items()}
    (result,) = run_module(module, flat)
    np.testing.assert_array_equal(result.reshape(expected.shape), expected)


@pytest.mark.parametrize("disable", [("merge",), ("vectorise",), ("merge", "vectorise")])
@RANDOM_PROGRAMS
@given(program=programs())
def test_passes_can_be_switched_off(disable: tuple[str, ...], program: Program) -> None:
    arrays = {v.name: np.arange(prod(arrays_shape(v.type))) * 0.5 - 3 for v in program.inputs}
    node = program.nodes[0]
    assert isinstance(node, Contraction)
    shaped = {v.name: arrays[v.name].reshape(arrays_shape(v.type)) for v in program.inputs}
    assume(by_points(node, program.types(), shaped) is not None)
    (plain,) = run_module(lower_program(program), arrays)
    (other,) = run_module(lower_program(program, disable=disable), arrays)
    np.testing.assert_allclose(other, plain, rtol=1e-12)
