"""One level of Strassen's algorithm: a product of matrices as seven products of their quarters.

Strassen (1969), Gaussian elimination is not optimal. With a, b, c the halves of rows, steps and
columns that a quarter belongs to, and p the product,

    S.left[p, i, k]     = sum_a,b  U[p, a, b] * A[a*I + i, b*K + k]
    S.right[p, k, j]    = sum_b,c  V[p, b, c] * B[b*K + k, c*J + j]
    S.products[p, i, j] = sum_k    S.left[p, i, k] * S.right[p, k, j]
    S[a*I + i, c*J + j] = sum_p    W[a, c, p] * S.products[p, i, j]

It saves an eighth of the multiplications and writes out 7/4 of each operand and of the result.

Assumes a sum over one index of the product of two matrices, all of whose elements are used and
whose sizes are even. Guarantees the same values in exact arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Final, TypeAlias

from tilec.dtypes import F32, F64, DType
from tilec.records import dataclass
from tilec.tensor.affine import Affine
from tilec.tensor.ir import Aggregation, Constant, Contraction, Node, TensorType
from tilec.tensor.scalar import Apply, Read, Scalar
from tilec.tensor.size import concrete

Matrix: TypeAlias = "tuple[tuple[int, int], tuple[int, int]]"

PRODUCTS: Final = 7
"""Products of quarters."""

LEFT: Final[tuple[Matrix, ...]] = (
    ((1, 0), (0, 1)), ((0, 0), (1, 1)), ((1, 0), (0, 0)), ((0, 0), (0, 1)),
    ((1, 1), (0, 0)), ((-1, 0), (1, 0)), ((0, 1), (0, -1)),
)  # fmt: skip
"""U: the quarters of the left operand that each product sums."""

RIGHT: Final[tuple[Matrix, ...]] = (
    ((1, 0), (0, 1)), ((1, 0), (0, 0)), ((0, 1), (0, -1)), ((-1, 0), (1, 0)),
    ((0, 0), (0, 1)), ((1, 1), (0, 0)), ((0, 0), (1, 1)),
)  # fmt: skip
"""V: the same of the right operand."""

RESULT: Final = (
    ((1, 0, 0, 1, -1, 0, 1), (0, 0, 1, 0, 1, 0, 0)),
    ((0, 1, 0, 1, 0, 0, 0), (1, -1, 1, 0, 0, 1, 0)),
)
"""W: the products that each quarter of the result sums."""


@dataclass(frozen=True, slots=True)
class Multiplication:
    """A product of two matrices.

    Attributes:
        node: The contraction.
        row: Index of the rows of the left operand and of the result.
        column: Index of the columns of the right operand and of the result.
        step: The index that is summed over.
        left: The read that moves along the rows.
        right: The read that moves along the columns.
        extents: How often each index runs, by its name.
    """

    node: Contraction
    row: str
    column: str
    step: str
    left: Read
    right: Read
    extents: dict[str, int]

    @property
    def flops(self) -> int:
        """Operations of the definition."""
        return 2 * prod(self.extents.values())


def multiplication_of(node: Contraction, types: dict[str, TensorType]) -> Multiplication | str:
    """The product of matrices that a contraction is; else why it is none."""
    reads = _factors(node)
    if reads is None or node.type.dtype != node.body.dtype:
        return "it is no sum of products of two tensors"
    if node.default is not None or node.constraints or len(node.indices) != 3:
        return "it has other than three indices, constraints or a default"
    outputs = _indices(node.output)
    names = [_indices(read.access) for read in reads]
    if outputs is None or None in names or len(outputs) != 2:
        return "an access is more than an index"
    first, second = (set(each or ()) for each in names)
    (step,) = set(node.indices) - set(outputs) or {""}
    rows, columns = first - {step}, second - {step}
    if not (step in first and step in second and len(rows) == len(columns) == 1 != len(first)):
        return "the operands do not share one index"
    (row,), (column,) = rows, columns
    if {row, column} != set(outputs):
        return "an operand does not move along the result"
    extents: dict[str, int] = {}
    held = [(outputs, concrete(node.type.shape))]
    held += [
        (each or (), concrete(types[read.tensor].shape))
        for each, read in zip(names, reads, strict=True)
    ]
    for indices, shape in held:
        for name, size in zip(indices, shape, strict=True):
            if extents.setdefault(name, size) != size:
                return f"the index {name} does not reach all of an axis"
    if any(size % 2 or size == 0 for size in extents.values()):
        return "a size is odd"
    return Multiplication(node, row, column, step, reads[0], reads[1], extents)


def divided(found: Multiplication) -> tuple[Node, ...]:
    """The nodes that compute a product by quarters, the last one under its name."""
    node, dtype = found.node, found.node.body.dtype
    half = {name: size // 2 for name, size in found.extents.items()}
    row, column, step = found.row, found.column, found.step
    tables = tuple(
        _table(f"{node.name}.{name}", shape, data, dtype)
        for name, shape, data in (
            ("U", (PRODUCTS, 2, 2), LEFT),
            ("V", (PRODUCTS, 2, 2), RIGHT),
            ("W", (2, 2, PRODUCTS), RESULT),
        )
    )
    left = _mixed(found.left, f"{node.name}.left", tables[0], (row, step), half)
    right = _mixed(found.right, f"{node.name}.right", tables[1], (step, column), half)
    products = Contraction(
        name=f"{node.name}.products",
        type=TensorType(dtype, (PRODUCTS, half[row], half[column])),
        indices=("p", "i", "j", "k"),
        agg=Aggregation.SUM,
        output=_named("p", "i", "j"),
        body=_times(
            Read(left.name, _named("p", "i", "k"), dtype),
            Read(right.name, _named("p", "k", "j"), dtype),
        ),
        span=node.span,
    )
    places = {row: _quarter("a", "i", half[row]), column: _quarter("c", "j", half[column])}
    access = tuple(places[name] for name in _indices(node.output) or ())
    result = replace(
        node,
        indices=("a", "i", "c", "j", "p"),
        output=access,
        body=_times(
            Read(tables[2].name, _named("a", "c", "p"), dtype),
            Read(products.name, _named("p", "i", "j"), dtype),
        ),
        no_defract=False,
    )
    return (*tables, left, right, products, result)


def written_elems(found: Multiplication) -> int:
    """Elements that are written out beside the result."""
    sizes = found.extents
    pairs = ((found.row, found.step), (found.step, found.column), (found.row, found.column))
    return sum(PRODUCTS * sizes[one] * sizes[other] // 4 for one, other in pairs)


def _factors(node: Contraction) -> tuple[Read, Read] | None:
    body = node.body
    if node.agg is not Aggregation.SUM or body.dtype not in (F32, F64):
        return None
    if not isinstance(body, Apply) or body.op != "mul":
        return None
    left, right = body.args
    if isinstance(left, Read) and isinstance(right, Read):
        # The first operand is the one that moves along the first axis of the result.
        lead = next(iter(node.output[0].rational()[0]), None) if node.output else None
        moves = any(lead in form.rational()[0] for form in left.access)
        return (left, right) if moves else (right, left)
    return None


def _indices(access: tuple[Affine, ...]) -> tuple[str, ...] | None:
    """The indices that an access consists of; None where it is more than that."""
    found: list[str] = []
    for form in access:
        terms, const = form.rational()
        if const or len(terms) != 1 or next(iter(terms.values())) != 1:
            return None
        found += terms
    return tuple(found) if len(set(found)) == len(found) else None


def _mixed(
    read: Read, name: str, table: Constant, axes: tuple[str, str], half: dict[str, int]
) -> Contraction:
    """The sums of the quarters of an operand, rows before columns."""
    first, second = axes
    places = {
        first: _quarter("a", "i", half[first]),
        second: _quarter("b", "k", half[second]),
    }
    access = tuple(places[index] for index in _indices(read.access) or ())
    return Contraction(
        name=name,
        type=TensorType(read.dtype, (PRODUCTS, half[first], half[second])),
        indices=("p", "i", "k", "a", "b"),
        agg=Aggregation.SUM,
        output=_named("p", "i", "k"),
        body=_times(
            Read(table.name, _named("p", "a", "b"), read.dtype), replace(read, access=access)
        ),
        span=None,
    )


def _quarter(half: str, inside: str, size: int) -> Affine:
    return Affine.index(half) * size + Affine.index(inside)


def _named(*names: str) -> tuple[Affine, ...]:
    return tuple(map(Affine.index, names))


def _times(left: Scalar, right: Scalar) -> Scalar:
    return Apply("mul", (left, right), left.dtype)


def _table(
    name: str, shape: tuple[int, ...], data: Sequence[Sequence[Sequence[int]]], dtype: DType
) -> Constant:
    flat = tuple(float(each) for block in data for line in block for each in line)
    return Constant(name, TensorType(dtype, shape), flat)
