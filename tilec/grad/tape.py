"""The program that grows while another one is differentiated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field, replace
from typing import TypeAlias

from tilec.dtypes import GENERIC, DType
from tilec.grad.chains import layers
from tilec.grad.rules import ZERO, add, choose
from tilec.records import dataclass
from tilec.source import Span
from tilec.tensor import surface
from tilec.tensor.affine import Affine
from tilec.tensor.ir import (
    Aggregation,
    Attribute,
    Constraint,
    Contraction,
    Gather,
    Map,
    Node,
    Program,
    Reshape,
    Scatter,
    SumTo,
    TensorType,
)
from tilec.tensor.scalar import Read, Scalar, reads
from tilec.tensor.size import Size, is_open

Term: TypeAlias = "Map | Contraction | Reshape | Gather | Scatter | SumTo"
"""Something that is added to the derivative of a value; it gets its name later."""

UNNAMED = ""


@dataclass(slots=True)
class Tape:
    """Nodes in order, with unique names.

    Attributes:
        nodes: Those of the program that is differentiated, and what was added behind them.
        types: Type of each value.
        used: Names that are taken.
    """

    nodes: list[Node]
    types: dict[str, TensorType]
    used: set[str] = field(default_factory=set[str])

    @staticmethod
    def of(program: Program, reserved: Iterable[str]) -> Tape:
        """A tape that begins with a program; ``reserved`` are further names of its text."""
        types = program.types()
        return Tape(list(program.nodes), types, {*types, *reserved})

    def fresh(self, base: str) -> str:
        """A name that nothing has yet: ``base``, or ``base`` with a number."""
        base = base.replace("'", "")  # a prime may only end a name
        name, number = base, 0
        while name in self.used:
            number += 1
            name = f"{base}_{number}"
        self.used.add(name)
        return name

    def add(self, node: Node) -> Read:
        """Append a node; the read of its element at the indices of its axes."""
        self.nodes.append(node)
        self.types[node.name] = node.type
        return self.read(node.name)

    def define(self, base: str, term: Term) -> Read:
        """Append a term under a new name."""
        return self.add(replace(term, name=self.fresh(base)))

    def place(self, base: str, term: Term) -> Read:
        """The value of a term; it is appended unless it is a copy."""
        return self._same(term) or self.define(base, term)

    def read(self, name: str, access: tuple[Affine, ...] | None = None) -> Read:
        """The element of a value at some coordinates, by default at the indices of its axes."""
        kind = self.types[name]
        if access is None:
            access = tuple(Affine.index(index) for index in axis_names(len(kind.shape)))
        return Read(name, access, kind.dtype)

    def element(self, name: str, shape: tuple[Size, ...]) -> Read:
        """The element of a value that is broadcast to a shape, at the indices of its axes."""
        own = self.types[name].shape
        indices = axis_names(len(shape))[len(shape) - len(own) :]
        access = tuple(
            Affine.number(0) if size == 1 else Affine.index(index)
            for size, index in zip(own, indices, strict=True)
        )
        return Read(name, access, self.types[name].dtype)

    def total(self, name: str, base: str, terms: list[Term], span: Span | None) -> Read:
        """The sum of terms as the derivative of the value ``name``, in its type."""
        kind = self.types[name]
        terms = self._joined(base, terms, kind)
        if len(terms) == 1 and terms[0].type == kind:
            return self.place(base, terms[0])
        value: Scalar | None = None
        for at, term in enumerate(terms):
            if isinstance(term, Map):
                part = surface.surface(term.body)
            else:
                part = self.define(f"{base}_{at + 1}", term)
            value = part if value is None else add(value, part)
        return self.converted(zero_like(self, name) if value is None else value, name, base, span)

    def _joined(self, base: str, terms: list[Term], kind: TensorType) -> list[Term]:
        """The same sum of fewer terms: those that share no element are one array."""
        slices = [
            term
            for term in terms
            if isinstance(term, Contraction) and term.type == kind and term.default is None
        ]
        found = layers(slices, self.types)
        if len(found) == len(slices):
            return terms
        known = {id(term) for term in slices}
        joined: list[Term] = [term for term in terms if id(term) not in known]
        for layer in found:
            term = layer[0]
            for following in layer[1:]:
                so_far = self.define(f"{base}_part", term).tensor
                term = replace(following, default=so_far)
            joined.append(term)
        return joined

    def _same(self, term: Term) -> Read | None:
        """The value that a term only copies."""
        if not isinstance(term, Map) or not isinstance(term.body, Read):
            return None
        return term.body if self.types[term.body.tensor] == term.type else None

    def own(self, read: Read, name: str, begin: int, span: Span | None) -> str:
        """A value under a name that was taken for it.

        It is renamed if it was appended last, behind the first ``begin`` nodes, since nothing can
        read it then; otherwise it is copied.
        """
        if len(self.nodes) > begin and self.nodes[-1].name == read.tensor:
            self.nodes[-1] = replace(self.nodes[-1], name=name)
        else:
            copy = elementwise(read, self.types[read.tensor].shape, span)
            self.nodes.append(replace(copy, name=name))
        self.types[name] = self.nodes[-1].type
        return name

    def converted(self, value: Scalar, name: str, base: str, span: Span | None) -> Read:
        """An elementwise surface in the shape of a value, converted to its type."""
        kind = self.types[name]
        term = elementwise(value, kind.shape, span)
        if term.type == kind:
            return self.define(base, term)
        if kind.dtype == GENERIC:  # no text names this type, but `sum_to` gives it
            inner = self.define(f"{base}_sum", term)
            return self.define(base, SumTo(UNNAMED, kind, inner.tensor, name, span=span))
        cast = surface.Apply("cast", (value,), kind.dtype)
        return self.define(base, elementwise(cast, kind.shape, span))


def axis_names(rank: int) -> tuple[str, ...]:
    """The indices of elementwise values, one per axis."""
    return tuple(f"i{axis}" for axis in range(rank))


def zero_like(tape: Tape, name: str) -> Scalar:
    """0 in the shape and the type of a value, whatever its elements are."""
    return choose(ZERO, tape.read(name), ZERO)


def elementwise(value: Scalar, shape: tuple[Size, ...], span: Span | None) -> Map:
    """A term that computes a surface over ``axis_names``, element by element."""
    body = surface.elaborate(value)
    return Map(UNNAMED, TensorType(body.dtype, shape), axis_names(len(shape)), body, span=span)


def contraction(
    agg: Aggregation,
    output: tuple[Affine, ...],
    shape: tuple[Size, ...],
    value: Scalar,
    *,
    constraints: tuple[Constraint, ...] = (),
    default: str | None = None,
    attributes: tuple[Attribute, ...] = (),
    span: Span | None,
) -> Contraction:
    """A term that aggregates a surface."""
    combined, dtype = surface.body(value, agg)
    found = [name for form in output for name in form.indices]
    found += [name for read in reads(combined) for form in read.access for name in form.indices]
    return Contraction(
        UNNAMED,
        TensorType(dtype, shape),
        tuple(dict.fromkeys(found)),
        agg,
        output,
        combined,
        constraints,
        default,
        attributes=attributes,
        span=span,
    )


def dtype_of(value: Scalar) -> DType:
    """Element type of a surface as a program computes it."""
    return surface.elaborate(value).dtype


def known_rank(*shapes: tuple[Size, ...]) -> bool:
    """Whether no shape depends on an input that may have any rank."""
    return all(is_open(shape) is None for shape in shapes)
