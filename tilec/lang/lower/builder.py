"""The program that grows while it is lowered: nodes, names, and what each statement adds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, replace
from math import prod

from tilec.errors import Collector, LimitError, TileTypeError
from tilec.lang import ast
from tilec.lang.checked import Checked
from tilec.lang.lower.values import (
    Number,
    Pointwise,
    RandomStep,
    Tensor,
    TupleValue,
    Value,
    axis_from_right,
    dtype_of,
    scalar_of,
    shape_of,
)
from tilec.records import dataclass
from tilec.source import Span
from tilec.tensor.affine import Affine
from tilec.tensor.ir import Attribute, Constant, Map, Node, Region, TensorType
from tilec.tensor.scalar import IndexValue, Literal, Read, Scalar, rewrite

MAX_STEPS = 20_000
"""Statements of a program, functions expanded; calls of calls can grow without measure."""

MAX_BYTES = (1 << 63) - 1


class Poisoned(Exception):  # noqa: N818 - no error: it leaves a statement that rests on a faulty one
    """What is being lowered needs a value whose own mistake was recorded already."""


@dataclass(slots=True)
class Builder:
    """Nodes in order, with unique names.

    Attributes:
        collector: Where mistakes go.
        nodes: The values computed so far.
        types: Type of each of them and of each input.
        used: Names that are taken.
        steps: Statements lowered so far.
        marked: Functions whose calls are noted.
        regions: The calls that were.
    """

    collector: Collector
    nodes: list[Node] = field(default_factory=list[Node])
    types: dict[str, TensorType] = field(default_factory=dict[str, TensorType])
    used: set[str] = field(default_factory=set[str])
    steps: int = 0
    marked: frozenset[str] = frozenset()
    regions: list[Region] = field(default_factory=list[Region])

    def fresh(self, base: str) -> str:
        """A name that nothing has yet: ``base``, or ``base`` with a number."""
        base = base.replace("'", "")  # a prime may only end a name
        name, number = base, 0
        while name in self.used:
            number += 1
            name = f"{base}_{number}"
        self.used.add(name)
        return name

    def step(self, span: Span) -> None:
        """Count a statement, or one position of a tuple that a statement maps over.

        Raises:
            LimitError: that was one too many.
            Poisoned: the same, and it was told already.
        """
        self.steps += 1
        if self.steps == MAX_STEPS + 1:
            raise LimitError(
                f"the program has more than {MAX_STEPS} statements, functions expanded",
                span,
                help="call fewer functions, or split the program",
            )
        if self.steps > MAX_STEPS:
            raise Poisoned

    def add(self, node: Node) -> Tensor:
        """Append a node; its value.

        Raises:
            LimitError: the tensor is too large.
        """
        shape = node.type.shape
        # A size of 0 is no excuse for the others: strides are computed from them all the same.
        extents = [max(1, size) for size in shape if isinstance(size, int)]
        if prod(extents) * node.type.dtype.bytes > MAX_BYTES:
            raise LimitError(
                f"{node.name} would have the shape [{', '.join(map(str, shape))}]",
                node.span,
                help="a tensor has less than 2^63 bytes",
            )
        self.nodes.append(node)
        self.types[node.name] = node.type
        return Tensor(node.name, node.type)


@dataclass(slots=True)
class Frame:
    """One function while it is lowered: the program's own, or one that is called.

    Attributes:
        checked: The function.
        builder: The program that grows.
        env: What each name stands for so far.
        run: Lowers the body of a called function.
        prefix: What the names of a called function's values begin with.
        result: Name for the only output of a called function, where the caller has one.
        poisoned: Names whose statements were faulty.
        base: Name of the statement at hand; its value takes it, unnamed values begin with it.
        attributes: Attributes of the statement at hand.
    """

    checked: Checked
    builder: Builder
    env: dict[str, Value]
    run: Callable[[Frame], None]
    prefix: str = ""
    result: str | None = None
    poisoned: set[str] = field(default_factory=set[str])
    base: str = ""
    attributes: tuple[Attribute, ...] = ()

    def begin(self, statement: ast.Statement) -> str:
        """Start a statement; the name that its value has in the program."""
        self.attributes = tuple(Attribute(a.name, a.args) for a in statement.attributes)
        self.base = self._program_name(statement.name)
        return self.base

    def fresh(self, what: str) -> str:
        """A name for a value inside the statement at hand."""
        return self.builder.fresh(f"{self.base}_{what}")

    def add(self, node: Node) -> Tensor:
        """Append a node; the statement's own value gets the statement's attributes."""
        if self.attributes and node.name == self.base and not isinstance(node, Constant):
            node = replace(node, attributes=(*node.attributes, *self.attributes))
        return self.builder.add(node)

    def tensor(self, value: Value, what: str, span: Span) -> Tensor:
        """The value as a value of the program, computed under a new name if it is none yet."""
        return value if isinstance(value, Tensor) else self.define(value, self.fresh(what), span)

    def define(
        self, value: Value, name: str, span: Span, attributes: tuple[Attribute, ...] = ()
    ) -> Tensor:
        """The value as a value of the program, computed as ``name`` if it is none yet."""
        match value:
            case Tensor():
                return value
            case Number() | Pointwise():
                node = _map(value, name, span)
                if isinstance(node.body, Literal) and not node.type.shape:
                    return self.add(Constant(name, node.type, (node.body.value,), span))
                return self.add(replace(node, attributes=attributes))
            case TupleValue() | RandomStep():
                raise TileTypeError("a tuple or a random step stands where a tensor must be", span)

    def _program_name(self, local: str) -> str:
        outputs = self.checked.function.outputs
        if self.result is not None and len(outputs) == 1 and outputs[0].name == local:
            return self.result
        return self.builder.fresh(self.prefix + local) if self.prefix else local


def _map(value: Number | Pointwise, name: str, span: Span) -> Map:
    """The elementwise expression with its axes named from the left."""
    shape = shape_of(value)
    rank = len(shape)
    names = tuple(f"i{at}" for at in range(rank))
    forms = {axis_from_right(rank - 1 - at): Affine.index(names[at]) for at in range(rank)}

    def renamed(form: Affine) -> Affine:
        return forms[form.indices[0]] if form.indices else form

    def rename(node: Scalar) -> Scalar | None:
        match node:
            case Read():
                return replace(node, access=tuple(map(renamed, node.access)))
            case IndexValue():
                return replace(node, form=renamed(node.form))
            case _:
                return None

    body = rewrite(scalar_of(value), rename)
    return Map(name, TensorType(dtype_of(value), shape), names, body, span=span)
