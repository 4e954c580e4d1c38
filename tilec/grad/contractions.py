"""Cotangents and tangents of contractions; they are contractions again.

For ``O[o] = +(f(A[a], B[b]))`` the cotangent of A is ``DA[a] = +(DO[o] * df/dA)`` over the same
index points: output and access change places, and nothing else does. The index points of the
original are those at which *all* its accesses are valid, so an access that the derivative does not
read any more is kept as a condition (``anchored``), unless others imply it.

``f`` is read as a surface, so that the formulas hold for every element type.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from enum import Enum

from tilec.errors import GradientError
from tilec.grad.rules import ONE, ZERO, choose, div, mul
from tilec.grad.scalars import adjoints, anchored, tangent
from tilec.grad.tape import Tape, Term, contraction
from tilec.records import dataclass
from tilec.tensor import surface
from tilec.tensor.affine import Affine
from tilec.tensor.ir import Aggregation, Attribute, Constraint, Contraction
from tilec.tensor.scalar import Read, Scalar, reads
from tilec.tensor.size import Size, SizeExpr
from tilec.tensor.surface import loose

_ONCE = "once_differentiable"
"""Attribute of a statement whose own derivative would miss something."""

_LINEAR = (Aggregation.SUM, Aggregation.ASSIGN)
_EXTREME = (Aggregation.MAX, Aggregation.MIN)


class Ties(Enum):
    """What equal extremes of ``>`` and ``<`` receive."""

    ALL = "all"
    SHARE = "share"


@dataclass(frozen=True, slots=True)
class Contracted:
    """A contraction whose derivative is taken.

    Attributes:
        node: The contraction.
        value: The surface of its body.
        ties: What equal extremes receive.
        tape: Where help values go.
    """

    node: Contraction
    value: Scalar
    ties: Ties
    tape: Tape

    @staticmethod
    def of(node: Contraction, ties: Ties, tape: Tape) -> Contracted:
        """Prepare a contraction.

        Raises:
            GradientError: its derivative would not be right.
        """
        if any(attribute.name == _ONCE for attribute in node.attributes):
            raise GradientError(
                f"{node.name} is the derivative of a product aggregation, which can be taken once",
                node.span,
                help="a product of positive factors is exp(+(log(...))), which has all derivatives",
            )
        value = surface.body_surface(node.body, node.agg, node.type.dtype)
        return Contracted(node, value, ties, tape)

    def backward(self, seed: str, wanted: Container[str]) -> Iterable[tuple[str, Term]]:
        """What each wanted operand receives when the result has the cotangent ``seed``."""
        cotangent = self.tape.read(seed, self.node.output)
        through = self.scaled(cotangent)
        for read, value in adjoints(self.value, through, wanted).items():
            shape = self.tape.types[read.tensor].shape
            yield read.tensor, self.over_points(value, Aggregation.SUM, read.access, shape)
        default = self.node.default
        if default is not None and default in wanted:
            yield default, self._beside(cotangent, seed)

    def forward(
        self, of: Callable[[Read], Scalar | None], default: str | None
    ) -> Iterator[Contraction]:
        """Terms of the change of the result, one for each read that changes.

        One for all would be no sum of products any more, which is what runs fast.

        Args:
            of: The change of a read; None where it does not change.
            default: The change of the default, if it changes.
        """
        node = self.node
        changes = [
            tangent(self.value, lambda each, read=read: of(each) if each == read else None)
            for read in dict.fromkeys(reads(self.value))
        ]
        values = [self.scaled(change) for change in changes if change is not None]
        if not values and default is not None:
            values.append(choose(ZERO, self._own(node.name), ZERO))
        agg = node.agg if node.agg in _LINEAR else Aggregation.SUM
        for value in values:
            yield self.over_points(value, agg, node.output, node.type.shape, default)
            default = None

    def scaled(self, seed: Scalar) -> Scalar:
        """The seed times the derivative of the result by the value at a point."""
        if self.node.agg in _LINEAR:
            return seed
        return self._extreme(seed) if self.node.agg in _EXTREME else self._product(seed)

    def over_points(
        self,
        value: Scalar,
        agg: Aggregation,
        output: tuple[Affine, ...],
        shape: tuple[Size, ...],
        default: str | None = None,
    ) -> Contraction:
        """A contraction over the index points of this one."""
        node = self.node
        kept, conditions = self._lost(value, output, shape)
        return contraction(
            agg,
            output,
            shape,
            anchored(value, kept),
            constraints=(*node.constraints, *conditions),
            default=default,
            attributes=(Attribute(_ONCE),) if node.agg is Aggregation.PRODUCT else (),
            span=node.span,
        )

    def _own(self, name: str) -> Read:
        return self.tape.read(name, self.node.output)

    def _extreme(self, seed: Scalar) -> Scalar:
        test = loose("cmp_eq", self.value, self._own(self.node.name))
        if self.ties is Ties.ALL:
            return choose(test, seed, ZERO)
        count = self._count("ties", choose(test, ONE, ZERO))
        return choose(test, div(seed, count), ZERO)

    def _product(self, seed: Scalar) -> Scalar:
        """The product of the other factors, exact also where factors are 0.

        With z factors that are 0, a factor that is not 0 has the derivative O/f if z = 0 and else
        0; one that is 0 has the product of the others if z = 1 and else 0.
        """
        node = self.node
        is_zero = loose("cmp_eq", self.value, ZERO)
        zeros = self._count("zeros", choose(is_zero, ONE, ZERO))
        others = self._define("others", Aggregation.PRODUCT, choose(is_zero, ONE, self.value))
        alone = choose(loose("cmp_eq", zeros, ONE), mul(seed, others), ZERO)
        beside = div(mul(seed, self._own(node.name)), choose(is_zero, ONE, self.value))
        return choose(is_zero, alone, choose(loose("cmp_eq", zeros, ZERO), beside, ZERO))

    def _count(self, what: str, value: Scalar) -> Read:
        return self._define(what, Aggregation.SUM, value)

    def _define(self, what: str, agg: Aggregation, value: Scalar) -> Read:
        node = self.node
        kept, conditions = self._lost(value, node.output, node.type.shape)
        term = contraction(
            agg,
            node.output,
            node.type.shape,
            anchored(value, kept),
            constraints=(*node.constraints, *conditions),
            span=node.span,
        )
        return self._own(self.tape.define(f"{node.name}_{what}", term).tensor)

    def _beside(self, cotangent: Read, seed: str) -> Contraction:
        """What a default receives: the cotangent where no point writes, and 0 where one does."""
        node = self.node
        agg = node.agg if node.agg in _LINEAR else Aggregation.SUM
        value = choose(ZERO, cotangent, ZERO)
        return self.over_points(value, agg, node.output, node.type.shape, default=seed)

    def _lost(
        self, value: Scalar, output: tuple[Affine, ...], shape: tuple[Size, ...]
    ) -> tuple[tuple[Read, ...], tuple[Constraint, ...]]:
        """What restricts the points of the original and is implied by nothing any more.

        It becomes a constraint. Where an index occurs in nothing else it needs a read, because no
        constraint can introduce an index.
        """
        node = self.node
        known = {(c.form, c.bound) for c in node.constraints}
        known.update(zip(output, shape, strict=True))
        indices = {index for form in output for index in form.indices}
        for read in reads(value):
            known.update(self._axes(read))
            indices.update(index for form in read.access for index in form.indices)
        restricted = {index for c in node.constraints for index in c.form.indices}
        kept: list[Read] = []
        lost: dict[tuple[Affine, Size], None] = {}
        for read in dict.fromkeys((*reads(self.value), self._own(node.name))):
            axes = [axis for axis in self._axes(read) if axis not in known and not _always(*axis)]
            own = {index for form in read.access for index in form.indices}
            is_needed = not own.isdisjoint(restricted - indices)
            is_needed |= any(size == 0 or not indices.issuperset(f.indices) for f, size in axes)
            if is_needed:
                kept.append(read)
                known.update(axes)
                indices |= own
            else:
                lost.update(dict.fromkeys(axes))
        left = (axis for axis in lost if axis not in known)
        return tuple(kept), tuple(Constraint(form, size) for form, size in left)

    def _axes(self, read: Read) -> Iterator[tuple[Affine, Size]]:
        """The coordinates of a read, each with the size of its axis."""
        return zip(read.access, self.tape.types[read.tensor].shape, strict=True)


def _always(form: Affine, size: Size) -> bool:
    """Whether a coordinate is inside its axis at every point."""
    if form.terms or isinstance(size, SizeExpr) or isinstance(form.const, SizeExpr):
        return False
    return form.const.denominator == 1 and 0 <= form.const < size
