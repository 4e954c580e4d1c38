"""Integer sets and relations: the part of islpy that tilec uses, behind types of its own.

islpy is imported at the first set that is built. It costs more than everything else here together,
and a call that is served from the disk cache asks nothing about index domains.

All questions have exact answers over the integers of any size. A question that costs isl more
than ``MAX_OPERATIONS`` steps is a ``LimitError``: the difficulty of integer programming grows fast
with the number and the coefficients of indices, and programs come from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from tilec.errors import InternalError, LimitError
from tilec.records import dataclass

if TYPE_CHECKING:
    import islpy

T = TypeVar("T")

MAX_OPERATIONS = 20_000
"""Steps that isl may take for one question.

A write conflict of a strided convolution takes below 3,000. Steps are anything from microseconds to
a tenth of a millisecond long; what reaches the limit has run for seconds.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """``sum(factor * dimension) + const``: equal to 0, or at least 0.

    ``factors`` are by position over all dimensions of the space, those of a relation's domain
    first.
    """

    factors: tuple[tuple[int, int], ...]
    const: int
    equality: bool = False


@dataclass(frozen=True, slots=True)
class Set:
    """A set of integer vectors with one name per dimension."""

    names: tuple[str, ...]
    raw: islpy.Set

    @staticmethod
    def build(names: tuple[str, ...], rows: Iterable[Row], hidden: int = 0) -> Set:
        """The points that satisfy all rows for some value of the last, ``hidden`` dimensions."""
        return Set(names, _guarded(lambda: _build_set(len(names), rows, hidden)))

    def is_empty(self) -> bool:
        """True when the set has no point."""
        return _guarded(self.raw.is_empty)

    def is_subset(self, other: Set) -> bool:
        """True when every point is also in ``other``."""
        return _guarded(lambda: self.raw.is_subset(other.raw))

    def is_bounded(self) -> bool:
        """True when the set has finitely many points."""
        return _guarded(self.raw.is_bounded)

    def intersect(self, other: Set) -> Set:
        """The points that are in both."""
        return Set(self.names, _guarded(lambda: self.raw.intersect(other.raw)))

    def union(self, other: Set) -> Set:
        """The points that are in either."""
        return Set(self.names, _guarded(lambda: self.raw.union(other.raw)))

    def subtract(self, other: Set) -> Set:
        """The points that are not in ``other``."""
        return Set(self.names, _guarded(lambda: self.raw.subtract(other.raw)))

    def gist(self, context: Set) -> Set:
        """What remains to be tested of this set where ``context`` is known to hold."""
        return Set(self.names, _guarded(lambda: self.raw.gist(context.raw)))

    def lowest(self, position: int) -> int | None:
        """Least value of a dimension; None when it has no least value or the set is empty."""
        return self._extreme(lambda part: part.dim_min_val(position), min)

    def highest(self, position: int) -> int | None:
        """Greatest value of a dimension; None when there is none or the set is empty."""
        return self._extreme(lambda part: part.dim_max_val(position), max)

    def _extreme(
        self, ask: Callable[[islpy.Set], islpy.Val], best: Callable[[Iterable[int]], int]
    ) -> int | None:
        # Each convex part on its own: of a union in which some parts are empty, isl 0.27 gives
        # a wrong answer.
        import islpy

        parts = [self.raw]
        if self.raw.n_basic_set() > 1:
            parts = [islpy.Set.from_basic_set(part) for part in self.raw.get_basic_sets()]
        values = [_guarded(lambda part=part: ask(part)) for part in parts]
        found = [value for value in values if not value.is_nan()]
        if not found or not all(value.is_int() for value in found):
            return None
        return best(int(value.to_str()) for value in found)

    def sample(self) -> tuple[int, ...] | None:
        """Some point, the same one each time the set is built; None when the set is empty."""
        return self._coordinates(_guarded(self.raw.sample_point))

    def first(self) -> tuple[int, ...] | None:
        """The lexicographically least point of a bounded set; None when the set is empty."""
        import islpy

        try:
            return self._coordinates(_limited(lambda: self.raw.lexmin().sample_point()))
        except islpy.Error:
            # isl_set_lexmin of isl 0.27 fails on some sets with existentials ("affine expression
            # involves some of the domain dimensions").
            return self._first_by_dimension()

    def _first_by_dimension(self) -> tuple[int, ...] | None:
        left, found = self, list[int]()
        for at in range(len(self.names)):
            low = left.lowest(at)
            if low is None:
                return None
            found.append(low)
            left = Set(self.names, left.raw.fix_val(_load().set, at, _val(low)))
        return None if left.is_empty() else tuple(found)

    def _coordinates(self, point: islpy.Point) -> tuple[int, ...] | None:
        if point.is_void():
            return None
        kind = _load().set
        return tuple(
            int(point.get_coordinate_val(kind, at).to_str()) for at in range(len(self.names))
        )

    def __str__(self) -> str:
        named = self.raw
        for at, name in enumerate(self.names):
            named = named.set_dim_name(_load().set, at, name)
        return named.to_str()


@dataclass(frozen=True, slots=True)
class Map:
    """A relation between integer vectors."""

    names: tuple[str, ...]
    targets: tuple[str, ...]
    raw: islpy.Map

    @staticmethod
    def build(
        names: tuple[str, ...], targets: tuple[str, ...], rows: Iterable[Row], hidden: int = 0
    ) -> Map:
        """Pairs that satisfy all rows for some value of the last, ``hidden`` dimensions."""
        raw = _guarded(lambda: _build_map(len(names), len(targets), rows, hidden))
        return Map(names, targets, raw)

    def domain(self) -> Set:
        """The points that are related to something."""
        return Set(self.names, _guarded(self.raw.domain))

    def range(self) -> Set:
        """The points that something is related to."""
        return Set(self.targets, _guarded(self.raw.range))

    def is_injective(self) -> bool:
        """True when no two points are related to the same one."""
        return _guarded(self.raw.is_injective)

    def collision(self) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """The least two points, in lexicographic order of the pair, that share a target."""
        if self.is_injective():
            return None

        def pairs() -> islpy.Set:
            import islpy

            meet = self.raw.apply_range(self.raw.reverse())
            space = meet.get_space().domain()
            return meet.intersect(islpy.Map.lex_lt(space)).wrap().flatten()

        both = Set((*self.names, *self.names), _guarded(pairs))
        point = both.first() if both.is_bounded() else both.sample()
        if point is None:
            raise InternalError("a relation that is not injective has no two points to show for it")
        return point[: len(self.names)], point[len(self.names) :]

    def __str__(self) -> str:
        named = self.raw
        for at, name in enumerate(self.names):
            named = named.set_dim_name(_load().input, at, name)
        return named.to_str()


@dataclass(frozen=True, slots=True)
class _Isl:
    """What islpy provides, once it is imported. The context is ours, so are its limits."""

    context: islpy.Context
    set: islpy.dim_type
    input: islpy.dim_type
    output: islpy.dim_type


@lru_cache(maxsize=1)
def _load() -> _Isl:
    import islpy

    kinds = islpy.dim_type
    return _Isl(islpy.Context(), kinds.set, kinds.in_, kinds.out)


def _guarded(question: Callable[[], T]) -> T:
    """Ask isl; each question has the full number of operations to itself."""
    import islpy

    try:
        return _limited(question)
    except islpy.Error as error:
        # Not chained: exceptions of islpy refuse comparison, which breaks what prints tracebacks.
        raise InternalError(f"isl: {error}") from None


def _limited(question: Callable[[], T]) -> T:
    """Ask isl; its own errors pass, but for that of the limit."""
    import islpy

    context = _load().context
    context.reset_operations()
    context.set_max_operations(MAX_OPERATIONS)
    try:
        return question()
    except islpy.Error as error:
        if "maximal number of operations" not in str(error):
            raise
        raise LimitError(
            "the index domain is too complicated: integer programming gave up on it",
            help="use fewer indices in one contraction, or simpler coefficients",
        ) from None


def _build_set(rank: int, rows: Iterable[Row], hidden: int) -> islpy.Set:
    import islpy

    isl = _load()
    space = islpy.Space.set_alloc(isl.context, 0, rank + hidden)
    local = islpy.LocalSpace.from_space(space)
    result = islpy.BasicSet.universe(space)
    for row in rows:
        constraint = _constraint(local, row)
        for at, factor in row.factors:
            constraint = constraint.set_coefficient_val(isl.set, at, _val(factor))
        result = result.add_constraint(constraint)
    if hidden:
        result = result.project_out(isl.set, rank, hidden)
    return islpy.Set.from_basic_set(result)


def _build_map(inputs: int, outputs: int, rows: Iterable[Row], hidden: int) -> islpy.Map:
    import islpy

    isl = _load()
    space = islpy.Space.alloc(isl.context, 0, inputs, outputs + hidden)
    local = islpy.LocalSpace.from_space(space)
    result = islpy.BasicMap.universe(space)
    for row in rows:
        constraint = _constraint(local, row)
        for at, factor in row.factors:
            kind, place = (isl.input, at) if at < inputs else (isl.output, at - inputs)
            constraint = constraint.set_coefficient_val(kind, place, _val(factor))
        result = result.add_constraint(constraint)
    if hidden:
        result = result.project_out(isl.output, outputs, hidden)
    return islpy.Map.from_basic_map(result)


def _constraint(local: islpy.LocalSpace, row: Row) -> islpy.Constraint:
    import islpy

    make = islpy.Constraint.alloc_equality if row.equality else islpy.Constraint.alloc_inequality
    return make(local).set_constant_val(_val(row.const))


@lru_cache(maxsize=4096)
def _val(value: int) -> islpy.Val:
    import islpy

    context = _load().context
    if -(1 << 31) <= value < 1 << 31:
        return islpy.Val.int_from_si(context, value)
    return islpy.Val.read_from_str(context, str(value))
