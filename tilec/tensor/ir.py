"""The tensor IR: an immutable list of named values in order of computation.

The canonical node is the *contraction*. Beside it stand elementwise maps, constants, inputs and
the few things that are neither: gather, scatter, reshape, sorting and the random generator. Tuples,
calls of other functions and arithmetic on sizes are gone when a program has been lowered to this
form.
"""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from typing import TypeAlias

from tilec.dtypes import DType
from tilec.records import dataclass
from tilec.source import Span
from tilec.tensor.affine import Affine
from tilec.tensor.scalar import Scalar, reads
from tilec.tensor.size import Size


class Aggregation(Enum):
    """How the values that meet in one output element are combined."""

    SUM = "+"
    PRODUCT = "*"
    MAX = ">"
    MIN = "<"
    ASSIGN = "="


@dataclass(frozen=True, slots=True)
class TensorType:
    """Element type and extents of a tensor; rank 0 is a scalar. Memory is row-major."""

    dtype: DType
    shape: tuple[Size, ...]

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True)
class Attribute:
    """A statement attribute ``[[name(args)]]``, carried through unchanged."""

    name: str
    args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Input:
    """An array that the caller passes."""

    name: str
    type: TensorType
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Constant:
    """A tensor known at bind time; ``data`` are its elements in row-major order."""

    name: str
    type: TensorType
    data: tuple[bool | int | float, ...]
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Constraint:
    """Keeps the points where ``form`` is an integer and ``0 <= form < bound``."""

    form: Affine
    bound: Size


@dataclass(frozen=True, slots=True)
class Contraction:
    """``name[output : shape] = agg(body), constraints``.

    The index points are the integer vectors over ``indices`` at which every output coordinate and
    every coordinate of every read in ``body`` is an integer inside its axis, and every constraint
    holds. An output element that no point reaches is the element of ``default``, or 0.

    ``body.dtype`` is the type in which values are combined and accumulated; the result is cast
    once to ``type.dtype``. ``no_defract`` is the programmer's promise that distinct points write
    distinct elements; it has been checked when the program was bound.
    """

    name: str
    type: TensorType
    indices: tuple[str, ...]
    agg: Aggregation
    output: tuple[Affine, ...]
    body: Scalar
    constraints: tuple[Constraint, ...] = ()
    default: str | None = None
    no_defract: bool = False
    attributes: tuple[Attribute, ...] = ()
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Map:
    """``name[indices] = body``: every element on its own.

    ``indices`` has one name per axis of the output. A read's coordinates are those names, or
    constants where an operand is broadcast (0 on an axis of extent 1).
    """

    name: str
    type: TensorType
    indices: tuple[str, ...]
    body: Scalar
    attributes: tuple[Attribute, ...] = ()
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Reshape:
    """The elements of ``operand`` in row-major order under another shape of equal count."""

    name: str
    type: TensorType
    operand: str
    attributes: tuple[Attribute, ...] = ()
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Gather:
    """Rows of axis 0 of ``data`` at ``rows`` (integers, clamped to the axis).

    Result shape: shape of ``rows`` + shape of ``data`` without axis 0. ``data`` has at least one
    row unless the result is empty.
    """

    name: str
    type: TensorType
    data: str
    rows: str
    attributes: tuple[Attribute, ...] = ()
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Scatter:
    """Zeros, to which each slice of ``updates`` is added at its (clamped) row of axis 0.

    Shape of ``updates``: shape of ``rows`` + shape of the result without axis 0. Slices are added
    in row-major order of ``rows``, in the accumulator type of the result.
    """

    name: str
    type: TensorType
    updates: str
    rows: str
    attributes: tuple[Attribute, ...] = ()
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class RandomValue:
    """f32 uniforms in [0, 1) from a u32[3, 2048] state.

    Element e (row-major) comes from stream ``e % 2048`` after ``e // 2048 + 1`` steps.
    """

    name: str
    type: TensorType
    state: str
    attributes: tuple[Attribute, ...] = ()
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class RandomState:
    """The u32[3, 2048] state after ``count`` values were drawn (see ``RandomValue``)."""

    name: str
    type: TensorType
    state: str
    count: Size
    attributes: tuple[Attribute, ...] = ()
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class ArgSort:
    """i32 positions that sort ``operand`` along ``axis``; stable, NaN last in ascending order."""

    name: str
    type: TensorType
    operand: str
    axis: int
    descending: bool = False
    attributes: tuple[Attribute, ...] = ()
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class SumTo:
    """``operand`` summed over the axes along which ``like`` is broadcast to it.

    The result has the shape and the dtype of ``like``. It stands only in programs whose sizes are
    symbols, where these do not tell which axes are broadcast; bound, it is a contraction.
    """

    name: str
    type: TensorType
    operand: str
    like: str
    attributes: tuple[Attribute, ...] = ()
    span: Span | None = field(default=None, compare=False)


Node: TypeAlias = (
    Constant
    | Contraction
    | Map
    | Reshape
    | Gather
    | Scatter
    | RandomValue
    | RandomState
    | ArgSort
    | SumTo
)


@dataclass(frozen=True, slots=True)
class Output:
    """A result of the program: the name the caller sees and the value it is.

    ``value`` may be an input, and two outputs may be the same value.
    """

    name: str
    value: str
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Program:
    """A whole function: inputs, nodes in order (operands before uses), outputs."""

    name: str
    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Output, ...]

    def types(self) -> dict[str, TensorType]:
        """Type of every value by name."""
        types = {value.name: value.type for value in self.inputs}
        types.update((node.name, node.type) for node in self.nodes)
        return types


@dataclass(frozen=True, slots=True)
class Region:
    """Nodes that came from one call of a function, which may have a gradient of its own.

    Attributes:
        function: Its name.
        operands: The values it was called with, in order; None for a number.
        results: The values it returned, in order; None for a number.
        nodes: Names of the nodes between.
    """

    function: str
    operands: tuple[str | None, ...]
    results: tuple[str | None, ...]
    nodes: frozenset[str]


def operands(node: Node) -> tuple[str, ...]:
    """Names of the values that a node reads, without repeats, in order of first use."""
    match node:
        case Constant():
            names: tuple[str, ...] = ()
        case Contraction():
            names = tuple(read.tensor for read in reads(node.body))
            if node.default is not None:
                names += (node.default,)
        case Map():
            names = tuple(read.tensor for read in reads(node.body))
        case Reshape() | ArgSort():
            names = (node.operand,)
        case Gather():
            names = (node.data, node.rows)
        case Scatter():
            names = (node.updates, node.rows)
        case RandomValue() | RandomState():
            names = (node.state,)
        case SumTo():
            names = (node.operand, node.like)
    return tuple(dict.fromkeys(names))
