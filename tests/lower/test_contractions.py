"""Lowered contractions against a loop over all index points, for every vector width."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import lcm, prod
from typing import Any, TypeAlias

import numpy as np
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

Points: TypeAlias = NDArray[np.int64]

SIZES = st.sampled_from([1, 2, 3, 4, 5, 7, 8, 16, 17, 33])
COEFFICIENTS = st.sampled_from(
    [Fraction(c) for c in (1, 1, 1, -1, 2, 3, -2)]
    + [Fraction(1, 2), Fraction(-1, 2), Fraction(2, 3)]
)
MAX_POINTS = 2000
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
    ranges = [np.arange(box[i][0], box[i][1] + 1) for i in node.indices]
    axes = np.meshgrid(*ranges, indexing="ij")
    grid = {name: axis.ravel() for name, axis in zip(node.indices, axes, strict=True)}
    kept = np.ones(axes[0].size if axes else 1, bool)

    def within(forms: Sequence[Affine], sizes: Sequence[int]) -> tuple[Points, ...]:
        """Coordinates of all points; those that are no integers in range are not kept."""
        nonlocal kept
        found: list[Points] = []
        for form, size in zip(forms, sizes, strict=True):
            value, exact = everywhere(form, grid)
            kept &= exact & (value >= 0) & (value < size)
            found.append(value)
        return tuple(found)

    shape = arrays_shape(node.type)
    output = within(node.output, shape)
    places = [within(read.access, arrays[read.tensor].shape) for read in reads(node.body)]
    bounds = [c.bound for c in node.constraints if isinstance(c.bound, int)]
    within([c.form for c in node.constraints], bounds)
    count = int(kept.sum())
    at = np.zeros(count, np.int64)
    for coordinate, size in zip(output, shape, strict=True):
        at = at * size + np.broadcast_to(coordinate, kept.shape)[kept]
    values = np.ones(count)
    for read, place in zip(reads(node.body), places, strict=True):
        chosen = tuple(np.broadcast_to(c, kept.shape)[kept] for c in place)
        values = values * arrays[read.tensor][chosen]
    hits = np.bincount(at, minlength=prod(shape)).reshape(shape)
    if node.agg is Aggregation.ASSIGN and hits.max(initial=0) > 1:
        return None
    combine, start = COMBINE[node.agg]
    result: NDArray[np.float64] = np.full(prod(shape), start)
    with np.errstate(over="ignore"):
        combine.at(result, at, values)
    found = np.where(hits > 0, result.reshape(shape), 0.0)
    if np.abs(found).max(initial=0) > 2.0**53:
        return None  # the order of the products counts
    return found if node.default is None else np.where(hits > 0, found, arrays[node.default])


COMBINE: dict[Aggregation, tuple[np.ufunc, float]] = {
    Aggregation.SUM: (np.add, 0.0),
    Aggregation.PRODUCT: (np.multiply, 1.0),
    Aggregation.MAX: (np.maximum, -np.inf),
    Aggregation.MIN: (np.minimum, np.inf),
    Aggregation.ASSIGN: (np.add, 0.0),
}


def everywhere(form: Affine, grid: dict[str, Points]) -> tuple[Points, NDArray[np.bool_]]:
    """The value of a form at every point, rounded down, and where it is an integer."""
    coefficients, const = form.rational()
    scale = lcm(const.denominator, *(c.denominator for c in coefficients.values()))
    total = np.array(int(const * scale))
    for name, factor in coefficients.items():
        total = total + int(factor * scale) * grid[name]
    return total // scale, total % scale == 0


def arrays_shape(kind: TensorType) -> tuple[int, ...]:
    return tuple(size for size in kind.shape if isinstance(size, int))


@RANDOM_PROGRAMS
@given(program=programs(), seed=st.integers(0, 99))
def test_lowered_contraction_equals_its_definition(program: Program, seed: int) -> None:
    """With every width of vectors, and without some of the passes."""
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
    for vector_bytes, disable in VARIANTS:
        module = lower_program(program, core=Core(vector_bytes=vector_bytes), disable=disable)
        verify(module)
        (result,) = run_module(module, flat)
        np.testing.assert_array_equal(result.reshape(expected.shape), expected, f"{disable}")


VARIANTS: list[tuple[int, tuple[str, ...]]] = [
    (0, ()),
    (16, ()),
    (64, ()),
    (64, ("merge",)),
    (64, ("vectorise",)),
    (64, ("merge", "vectorise")),
]
