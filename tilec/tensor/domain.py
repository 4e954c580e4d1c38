"""Index domains of contractions as integer sets, and every question that tilec asks of them.

The *domain* of a contraction are the integer vectors over its indices at which each coordinate of
the output and of each read is an integer inside its axis, and each constraint ``form < bound`` is
an integer with ``0 <= form < bound``. All answers are exact, whatever the sizes; the contraction
must be bound (its sizes and coefficients are numbers).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from math import lcm

from tilec.errors import InternalError, LimitError
from tilec.records import dataclass
from tilec.tensor.affine import Affine
from tilec.tensor.ir import (
    ArgSort,
    Constant,
    Constraint,
    Contraction,
    Gather,
    Map,
    Node,
    Program,
    RandomState,
    RandomValue,
    Reshape,
    Scatter,
    SumTo,
    TensorType,
)
from tilec.tensor.isl import Map as Relation
from tilec.tensor.isl import Row, Set
from tilec.tensor.scalar import Read, Scalar, reads
from tilec.tensor.size import concrete

Types = Mapping[str, TensorType]
Point = dict[str, int]
Condition = tuple[Affine, int]
"""An expression that must be an integer from 0 to below a size."""


def conditions(contraction: Contraction, types: Types) -> tuple[Condition, ...]:
    """All conditions on the index points, those of the output first, each once."""
    shape = concrete(contraction.type.shape)
    output = zip(contraction.output, shape, strict=True)
    return tuple(dict.fromkeys((*output, *_restrictions(contraction, types))))


def of(contraction: Contraction, types: Types) -> Set:
    """The domain of a contraction, over its indices in their order."""
    return _set(contraction.indices, conditions(contraction, types))


def relation(contraction: Contraction, types: Types) -> Relation:
    """The relation from each index point of the domain to the output element that it writes."""
    shape = concrete(contraction.type.shape)
    return _relation(
        contraction.indices,
        tuple(zip(contraction.output, shape, strict=True)),
        _restrictions(contraction, types),
    )


def is_empty(points: Set) -> bool:
    """True when there is no index point."""
    return points.is_empty()


def sample_point(points: Set) -> Point | None:
    """Some index point, or None when there is none."""
    return _named(points, points.sample())


def bounds(points: Set) -> dict[str, tuple[int, int]]:
    """Least and greatest value of each index; the set is neither empty nor unbounded."""
    result: dict[str, tuple[int, int]] = {}
    for at, name in enumerate(points.names):
        low, high = points.lowest(at), points.highest(at)
        if low is None or high is None:
            raise InternalError(f"index {name} of {points} has no bounds")
        result[name] = (low, high)
    return result


def unbounded_indices(contraction: Contraction, types: Types) -> tuple[str, ...]:
    """The indices that run to infinity; none when the domain is empty."""
    points = of(contraction, types)
    if points.is_empty() or points.is_bounded():
        return ()
    return tuple(
        name
        for at, name in enumerate(points.names)
        if points.lowest(at) is None or points.highest(at) is None
    )


def has_empty_axis(contraction: Contraction, types: Types) -> bool:
    """True when an axis that is written or read, or a bound, has size 0.

    Then the domain is empty because there is no data, which is no mistake in the program.
    """
    return any(size == 0 for _, size in conditions(contraction, types))


def covers_output(contraction: Contraction, types: Types) -> bool:
    """True when every output element is known to be written by an index point.

    Which elements a form such as ``97*i + 101*j`` meets is hard to say; where isl gives up, the
    answer is False.
    """
    try:
        return _uncovered(contraction, types).is_empty()
    except LimitError:
        return False


def uncovered_element(contraction: Contraction, types: Types) -> tuple[int, ...] | None:
    """The first output element, in row-major order, that no index point writes.

    None when there is none, or when isl gave up.
    """
    try:
        return _uncovered(contraction, types).first()
    except LimitError:
        return None


def write_conflict(
    contraction: Contraction, types: Types
) -> tuple[Point, Point, tuple[int, ...]] | None:
    """Two index points that write one element, and that element; None when there are none.

    Of all such pairs it is the first: least first point, then least second point, compared as
    vectors in the order of ``contraction.indices``.
    """
    # Most `=` statements have each index alone on an output axis, which needs no search.
    alone = {form.indices[0] for form in contraction.output if len(form.terms) == 1}
    if alone.issuperset(contraction.indices):
        return None
    pair = relation(contraction, types).collision()
    if pair is None:
        return None
    first, second = (dict(zip(contraction.indices, at, strict=True)) for at in pair)
    return first, second, tuple(int(form.evaluate(first)) for form in contraction.output)


def unread_element(tensor: str, program: Program) -> tuple[int, ...] | None:
    """The first element of a tensor, in row-major order, that the program never uses.

    An element is used when a contraction or map reads it, when the tensor is an output, and, for
    nodes whose reads depend on data or that move whole tensors, always. None when there is no
    such element, or when isl gave up.
    """
    types = program.types()
    if any(output.value == tensor for output in program.outputs):
        return None
    shape = concrete(types[tensor].shape)
    unread = box(shape)
    try:
        for node in program.nodes:
            used = _used(node, tensor, shape, types)
            if used is None:
                return None
            for elements in used:
                unread = unread.subtract(elements)
        return unread.first()
    except LimitError:
        return None


def box(shape: tuple[int, ...]) -> Set:
    """The elements of a tensor; the dimensions are named ``d0``, ``d1`` and so on."""
    names = _axes(shape)
    axes = tuple(map(Affine.index, names))
    return _set(names, tuple(zip(axes, shape, strict=True)))


def satisfying(indices: tuple[str, ...], constraints: Iterable[Constraint]) -> Set:
    """All points over ``indices`` that satisfy the constraints."""
    return _set(indices, tuple((c.form, concrete((c.bound,))[0]) for c in constraints))


def implied(points: Set, constraint: Constraint) -> bool:
    """True when the constraint holds at every point, so that testing it there is needless."""
    return points.is_subset(satisfying(points.names, (constraint,)))


def gist(points: Set, context: Set) -> Set:
    """What is left to test of ``points`` where ``context`` is known to hold."""
    return points.gist(context)


@dataclass(frozen=True, slots=True)
class _Form:
    """An index expression over integers: ``(factors + const) / divisor`` by position."""

    factors: tuple[tuple[int, int], ...]
    const: int
    divisor: int

    def plus(self, at: int, factor: int) -> tuple[tuple[int, int], ...]:
        return (*self.factors, (at, factor))

    @property
    def negated(self) -> tuple[tuple[int, int], ...]:
        return tuple((at, -factor) for at, factor in self.factors)


def _restrictions(contraction: Contraction, types: Types) -> tuple[Condition, ...]:
    """The conditions that reads and constraints make."""
    found: dict[Condition, None] = {}
    for read in reads(contraction.body):
        shape = concrete(types[read.tensor].shape)
        found.update(dict.fromkeys(zip(read.access, shape, strict=True)))
    for constraint in contraction.constraints:
        found[constraint.form, concrete((constraint.bound,))[0]] = None
    return tuple(found)


# Checks, printer and lowering each ask about the same contraction; a set never changes.
@lru_cache(maxsize=64)
def _set(names: tuple[str, ...], restrictions: tuple[Condition, ...]) -> Set:
    forms = [(_form(affine, names), size) for affine, size in restrictions]
    hidden = sum(form.divisor != 1 for form, _ in forms)
    return Set.build(names, _rows(forms, len(names)), hidden)


@lru_cache(maxsize=64)
def _relation(
    names: tuple[str, ...], targets: tuple[Condition, ...], restrictions: tuple[Condition, ...]
) -> Relation:
    """Points that satisfy the restrictions, related to the values of ``targets``."""
    forms = [(_form(affine, names), size) for affine, size in restrictions]
    hidden = sum(form.divisor != 1 for form, _ in forms)
    rows: list[Row] = []
    values = [(_form(affine, names), size) for affine, size in targets]
    for at, (form, size) in enumerate(values, start=len(names)):
        rows.append(Row(form.plus(at, -form.divisor), form.const, equality=True))
        rows += [Row(((at, 1),), 0), Row(((at, -1),), size - 1)]
    rows += _rows(forms, len(names) + len(values))
    return Relation.build(names, _axes(values), rows, hidden)


def _rows(forms: Iterable[tuple[_Form, int]], rank: int) -> Iterator[Row]:
    """Rows for ``0 <= form < size`` with the form integral; a divisor takes a dimension more."""
    for form, size in forms:
        if form.divisor == 1:
            yield Row(form.factors, form.const)
            yield Row(form.negated, size - 1 - form.const)
            continue
        yield Row(form.plus(rank, -form.divisor), form.const, equality=True)
        yield Row(((rank, 1),), 0)
        yield Row(((rank, -1),), size - 1)
        rank += 1


def _form(affine: Affine, names: tuple[str, ...]) -> _Form:
    coefficients, const = affine.rational()
    divisor = lcm(const.denominator, *(c.denominator for c in coefficients.values()))
    factors = tuple((names.index(name), int(c * divisor)) for name, c in coefficients.items())
    return _Form(factors, int(const * divisor), divisor)


def _axes(shape: Iterable[object]) -> tuple[str, ...]:
    return tuple(f"d{at}" for at, _ in enumerate(shape))


def _named(points: Set, values: tuple[int, ...] | None) -> Point | None:
    return None if values is None else dict(zip(points.names, values, strict=True))


def _uncovered(contraction: Contraction, types: Types) -> Set:
    written = relation(contraction, types).range()
    return box(concrete(contraction.type.shape)).subtract(written)


def _used(node: Node, tensor: str, shape: tuple[int, ...], types: Types) -> tuple[Set, ...] | None:
    """The elements of ``tensor`` that a node uses; None for all of them."""
    match node:
        case Contraction():
            if node.default == tensor:
                return None
            return _images(node.indices, node.body, conditions(node, types), tensor, shape)
        case Map():
            extents = zip(node.indices, concrete(node.type.shape), strict=True)
            inside = tuple((Affine.index(name), n) for name, n in extents)
            return _images(node.indices, node.body, inside, tensor, shape)
        case Constant():
            return ()
        case Reshape() | ArgSort():
            whole = node.operand == tensor
        case Gather():
            whole = tensor in (node.data, node.rows)
        case Scatter():
            whole = tensor in (node.updates, node.rows)
        case RandomValue() | RandomState():
            whole = node.state == tensor
        case SumTo():
            whole = tensor in (node.operand, node.like)
    return None if whole else ()


def _images(
    names: tuple[str, ...],
    body: Scalar,
    restrictions: tuple[Condition, ...],
    tensor: str,
    shape: tuple[int, ...],
) -> tuple[Set, ...]:
    """The elements that each read of ``tensor`` in ``body`` meets."""

    def image(read: Read) -> Set:
        targets = tuple(zip(read.access, shape, strict=True))
        return _relation(names, targets, restrictions).range()

    return tuple(image(read) for read in reads(body) if read.tensor == tensor)
