"""Checks of index domains once sizes are bound: empty, unbounded, written twice."""

from __future__ import annotations

from collections.abc import Iterator

from tilec.errors import BoundsError, LimitError
from tilec.lang import ast
from tilec.lang.lower.builder import Frame
from tilec.tensor import domain
from tilec.tensor.affine import Affine
from tilec.tensor.ir import Aggregation, Contraction, TensorType
from tilec.tensor.scalar import reads
from tilec.tensor.size import Size, SizeExpr


def check_domain(node: Contraction, statement: ast.Contraction, frame: Frame) -> None:
    """Refuse a contraction whose index points are none, without end, or collide.

    A contraction with symbolic sizes passes; it is checked when they are bound.

    Raises:
        BoundsError: with the counterexample.
        LimitError: the question is too hard to answer.
    """
    _check_anchored(node, statement)
    types = _types(node, frame)
    if not _is_bound(node, types):
        return
    try:
        _check(node, statement, types)
    except LimitError as error:
        raise LimitError(error.message, statement.span, help=error.help) from None


def _check_anchored(node: Contraction, statement: ast.Contraction) -> None:
    """An index may have vanished from all accesses: ``A[i + 0*k]``, ``A[i + k - k]``."""
    anchored = {name for form in node.output for name in form.indices}
    for read in reads(node.body):
        anchored.update(name for form in read.access for name in form.indices)
    for name in node.indices:
        if name not in anchored:
            raise BoundsError(
                f"index {name} of {statement.name} cancels out of all accesses",
                statement.span,
                help=f"drop {name}, or multiply it by something that is not 0",
            )


def _types(node: Contraction, frame: Frame) -> dict[str, TensorType]:
    return {read.tensor: frame.builder.types[read.tensor] for read in reads(node.body)}


def _is_bound(node: Contraction, types: dict[str, TensorType]) -> bool:
    shapes: list[Size] = [*node.type.shape, *(c.bound for c in node.constraints)]
    for type_ in types.values():
        shapes += type_.shape
    if any(isinstance(size, SizeExpr) for size in shapes):
        return False
    return not any(
        isinstance(c, SizeExpr)
        for form in _forms(node)
        for c in (form.const, *(factor for _, factor in form.terms))
    )


def _forms(node: Contraction) -> Iterator[Affine]:
    yield from node.output
    for read in reads(node.body):
        yield from read.access
    for constraint in node.constraints:
        yield constraint.form


def _check(node: Contraction, statement: ast.Contraction, types: dict[str, TensorType]) -> None:
    if domain.has_empty_axis(node, types):
        return  # no data is no mistake: the result is the default or 0
    points = domain.of(node, types)
    if domain.is_empty(points):
        raise _nowhere(node, statement, types)
    unbounded = domain.unbounded_indices(node, types)
    if unbounded:
        raise BoundsError(
            f"nothing bounds index {unbounded[0]} of {statement.name}"
            if len(unbounded) == 1
            else f"nothing bounds the indices {', '.join(unbounded)} of {statement.name}",
            statement.span,
            help=f"add a constraint, for example `, {unbounded[0]} < 3`",
        )
    if node.agg is not Aggregation.ASSIGN and not node.no_defract:
        return
    conflict = domain.write_conflict(node, types)
    if conflict is None:
        return
    first, second, element = conflict
    spelled = f"{statement.name}[{', '.join(map(str, element))}]"
    points_text = f"at {_point(first)} and at {_point(second)}"
    if node.agg is Aggregation.ASSIGN:
        raise BoundsError(
            f"`=` writes {spelled} more than once: {points_text}",
            statement.span,
            help="combine the values with + * > or <, or add a constraint that keeps one of them",
        )
    raise BoundsError(
        f"no_defract promises one value per element, but {spelled} gets several: {points_text}",
        statement.span,
        help="drop no_defract",
    )


def _point(point: domain.Point) -> str:
    return ", ".join(f"{name}={value}" for name, value in point.items()) or "the only point"


def _nowhere(
    node: Contraction, statement: ast.Contraction, types: dict[str, TensorType]
) -> BoundsError:
    """The error for an empty domain; where one coordinate alone is to blame it is named."""
    for form, size, what in _ranges(node, statement, types):
        if form.terms:
            continue
        value = form.evaluate({})
        if value.denominator != 1:
            return BoundsError(
                f"{what} is {value}, which is no integer",
                statement.span,
                help="`/` is exact division in an index expression; sizes divided in a statement "
                "before truncate",
            )
        if not 0 <= value < size:
            return BoundsError(
                f"{what} is {value}, which is outside 0 to {size - 1}",
                statement.span,
                help="no element exists there; shift the index or make the tensor larger",
            )
    return BoundsError(
        f"no index point of {statement.name} satisfies all accesses and constraints",
        statement.span,
        help="check the offsets: an access reaches no element, or a constraint excludes all",
    )


def _ranges(
    node: Contraction, statement: ast.Contraction, types: dict[str, TensorType]
) -> Iterator[tuple[Affine, int, str]]:
    """Every form that must lie below a size, and its name in messages."""
    for axis, (form, size) in enumerate(zip(node.output, node.type.shape, strict=True)):
        yield form, _int(size), f"index {axis} of {statement.name}"
    for read in reads(node.body):
        pairs = zip(read.access, types[read.tensor].shape, strict=True)
        for axis, (form, size) in enumerate(pairs):
            yield form, _int(size), f"index {axis} of {read.tensor}"
    for constraint in node.constraints:
        yield constraint.form, _int(constraint.bound), "a constraint"


def _int(size: Size) -> int:
    assert isinstance(size, int)
    return size
