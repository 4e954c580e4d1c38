"""Lints about index domains: indices that run over everything, elements left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from math import lcm
from typing import Final

from tilec.errors import LimitError
from tilec.lang import ast, walk
from tilec.lang.checked import Checked
from tilec.lang.finding import Lint
from tilec.records import dataclass
from tilec.tensor import domain
from tilec.tensor.affine import Affine
from tilec.tensor.ir import Aggregation, Contraction, Program, TensorType
from tilec.tensor.scalar import Read, reads
from tilec.tensor.uses import needed

_NOUN: Final = {
    Aggregation.SUM: "sum",
    Aggregation.PRODUCT: "product",
    Aggregation.MAX: "maximum",
    Aggregation.MIN: "minimum",
}
_COMMON_WINDOW: Final = 3


def domain_lints(checked: Checked, program: Program) -> Iterator[Lint]:
    """What looks wrong for the sizes of a program, with a counterexample each."""
    types = program.types()
    written = {
        (statement.span.start, statement.span.end): statement
        for statement in checked.function.body
        if isinstance(statement, ast.Contraction)
    }
    defaults = {node.default for node in program.nodes if isinstance(node, Contraction)}
    for node in program.nodes:
        if not isinstance(node, Contraction) or node.span is None:
            continue
        # The contractions of called functions and of expanded builtins are not this text.
        statement = written.get((node.span.start, node.span.end))
        if statement is None or domain.has_empty_axis(node, types):
            continue
        yield from _untied(node, statement, types)
        if node.default is None and node.name not in defaults:
            yield from _unwritten(node, statement, types)
    yield from _unread(program)


def _unwritten(
    node: Contraction, statement: ast.Contraction, types: Mapping[str, TensorType]
) -> Iterator[Lint]:
    if any(c.denominator > 1 for form in _forms(node) for c in form.rational()[0].values()):
        return  # `A[i/2]` leaves elements out on purpose
    try:
        element = domain.uncovered_element(node, types)
    except LimitError:
        return
    if element is not None:
        yield Lint(
            "unwritten-output",
            f"{_spelled(statement.name, element)} is never written, so it is 0",
            statement.output_span,
            f"check the size {node.type}; `default D` says what stands there otherwise",
        )


def _unread(program: Program) -> Iterator[Lint]:
    live = needed(program)
    for value in program.inputs:
        if value.name not in live or value.span is None or 0 in value.type.shape:
            continue
        try:
            element = domain.unread_element(value.name, program)
        except LimitError:
            continue
        if element is not None:
            yield Lint(
                "unread-input",
                f"{_spelled(value.name, element)} is never read, for {value.name} of {value.type}",
                value.span,
                "check output sizes and constraints, unless it is meant to be left out",
            )


def _spelled(name: str, element: tuple[int, ...]) -> str:
    return f"{name}[{', '.join(map(str, element))}]"


def _forms(node: Contraction) -> tuple[Affine, ...]:
    """The forms that restrict what is read."""
    accesses = (form for read in reads(node.body) for form in read.access)
    return (*accesses, *(constraint.form for constraint in node.constraints))


@dataclass(frozen=True, slots=True)
class _Shift:
    """A move of the reduction indices that undoes a step of an output index.

    Attributes:
        index: The output index.
        step: How far it moves.
        moves: How far each reduction index moves in turn.
    """

    index: str
    step: int
    moves: Mapping[str, int]


def _untied(
    node: Contraction, statement: ast.Contraction, types: Mapping[str, TensorType]
) -> Iterator[Lint]:
    """Output indices whose elements are all the same: nothing ties the reduction to them."""
    if node.agg not in _NOUN:
        return
    alone = [form.indices[0] for form in node.output if len(form.terms) == 1]
    tied = [name for form in node.output if len(form.terms) > 1 for name in form.indices]
    told: set[str] = set()
    for index in dict.fromkeys(alone):
        if index in tied or alone.count(index) > 1:
            continue
        shift = _shift(node, index)
        if shift is None:
            continue
        moved = next(iter(shift.moves))
        if moved in told:
            continue
        told.add(moved)
        yield Lint(
            "untied-index",
            f"no access or constraint bounds {moved} for a given {index}: "
            + _consequence(node, statement, shift),
            _coordinate(statement, moved).span,
            f"did you mean `, {moved} < {_window(shift, moved)}`?",
        )


def _coordinate(statement: ast.Contraction, index: str) -> ast.Expr:
    """The first coordinate of an access in which an index stands."""
    for expr in walk.expressions(statement.body):
        if isinstance(expr, ast.Access):
            for coordinate in expr.indices:
                if index in walk.index_names(coordinate):
                    return coordinate
    return statement.body


def _consequence(node: Contraction, statement: ast.Contraction, shift: _Shift) -> str:
    noun = _NOUN[node.agg]
    indices = ", ".join(expr.span.text for expr in statement.indices)
    element = f"{statement.name}[{indices}]"
    if shift.step > 1:
        return f"{element} is the same {shift.step} steps of {shift.index} further on"
    found = dict.fromkeys(reads(node.body))
    read = next(iter(found))
    if len(found) == 1 and len(read.access) == 1 and len(node.output) == 1:
        return f"every {element} equals the global {noun} of {read.tensor}"
    axis = _axis(found, shift)
    where = "" if axis is None else f", the {noun} over the whole axis {axis[1]} of {axis[0]}"
    return f"every {element} is the same whatever {shift.index} is{where}"


def _axis(found: Mapping[Read, None], shift: _Shift) -> tuple[str, int] | None:
    """The one axis that index and reduction share, if there is one."""
    axes = {
        (read.tensor, axis)
        for read in found
        for axis, form in enumerate(read.access)
        if shift.index in form.indices
    }
    return next(iter(axes)) if len(axes) == 1 else None


def _window(shift: _Shift, moved: str) -> int:
    stride = abs(shift.moves[moved])
    return stride if stride > 1 else _COMMON_WINDOW


def _shift(node: Contraction, index: str) -> _Shift | None:
    """Solve for moves of the reduction that leave all accesses and constraints as they were."""
    outer = {name for form in node.output for name in form.indices}
    inner = [name for name in node.indices if name not in outer]
    rows: list[list[Fraction]] = []
    for form in _forms(node):
        factors, _ = form.rational()
        row = [factors.get(name, Fraction(0)) for name in inner]
        rows.append([*row, -factors.get(index, Fraction(0))])
    if all(row[-1] == 0 for row in rows):
        return None  # the index stands in the output alone: elements are repeated on purpose
    solution = _solve(rows, len(inner))
    if solution is None:
        return None
    step = lcm(*(value.denominator for value in solution))
    moves = {name: int(v * step) for name, v in zip(inner, solution, strict=True) if v != 0}
    return _Shift(index, step, moves)


def _solve(rows: list[list[Fraction]], unknowns: int) -> list[Fraction] | None:
    """Some solution of a linear system whose last column is the right-hand side, or None."""
    pivots: list[int] = []
    for column in range(unknowns):
        at = len(pivots)
        pivot = next((r for r in range(at, len(rows)) if rows[r][column] != 0), None)
        if pivot is None:
            continue
        rows[at], rows[pivot] = rows[pivot], rows[at]
        rows[at] = [value / rows[at][column] for value in rows[at]]
        for r in range(len(rows)):
            if r != at and rows[r][column] != 0:
                factor = rows[r][column]
                rows[r] = [a - factor * b for a, b in zip(rows[r], rows[at], strict=True)]
        pivots.append(column)
    if any(row[-1] != 0 for row in rows[len(pivots) :]):
        return None
    solution = [Fraction(0)] * unknowns
    for at, column in enumerate(pivots):
        solution[column] = rows[at][-1]
    return solution
