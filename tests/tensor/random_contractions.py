"""A hypothesis strategy for contractions that enumeration can follow."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import assume
from hypothesis import strategies as st

from tests.tensor.build import conditions
from tilec.dtypes import I32
from tilec.tensor import domain
from tilec.tensor.affine import Affine
from tilec.tensor.ir import Aggregation, Constraint, Contraction, TensorType
from tilec.tensor.scalar import Read

REACH = 13
"""Index points lie within this distance of the origin."""

_COEFFICIENTS = st.sampled_from(
    [Fraction(1)] * 4
    + [Fraction(c) for c in (-1, 2, 3, -2)]
    + [Fraction(1, 2), Fraction(-1, 2), Fraction(2, 3), Fraction(1, 3)]
)
_CONSTANTS = st.sampled_from([Fraction(c) for c in (0, 0, 0, 1, -1, 2, 4)] + [Fraction(1, 2)])
_SIZES = st.sampled_from([1, 2, 3, 4, 5, 6])


@st.composite
def _forms(draw: st.DrawFn, indices: tuple[str, ...]) -> Affine:
    chosen = draw(st.lists(st.sampled_from(indices), min_size=0, max_size=2, unique=True))
    return Affine.build([(name, draw(_COEFFICIENTS)) for name in chosen], draw(_CONSTANTS))


@st.composite
def contractions(
    draw: st.DrawFn, agg: st.SearchStrategy[Aggregation] | None = None
) -> tuple[Contraction, dict[str, TensorType]]:
    """A contraction over one i32 tensor ``A``, with points near the origin or with none."""
    indices = ("i", "j", "k")[: draw(st.integers(1, 3))]
    shape = tuple(draw(st.lists(_SIZES, max_size=2)))
    source = tuple(draw(st.lists(_SIZES, max_size=2)))
    constraints = tuple(
        Constraint(draw(_forms(indices)), draw(_SIZES)) for _ in range(draw(st.integers(0, 2)))
    )
    types = {"A": TensorType(I32, source)}
    node = Contraction(
        "O",
        TensorType(I32, shape),
        indices,
        draw(agg or st.sampled_from(Aggregation)),
        tuple(draw(_forms(indices)) for _ in shape),
        Read("A", tuple(draw(_forms(indices)) for _ in source), I32),
        constraints,
    )
    used = {name for form, _ in conditions(node, types) for name in form.indices}
    assume(used == set(indices))
    found = domain.of(node, types)
    if not domain.is_empty(found):
        assume(not domain.unbounded_indices(node, types))
        assume(all(max(map(abs, ends)) <= REACH for ends in domain.bounds(found).values()))
    return node, types
