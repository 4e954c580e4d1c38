"""Products of a constant matrix and a vector as straight-line code.

Zeros are left out, 1 and -1 take no multiplication. Points come in pairs a and -a, which makes
rows (of the transforms in) and columns (of those out) that differ in signs only: what such a pair
shares is computed once, so that F(4,3) takes 12 operations in and 12 out instead of 16 and 16.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from fractions import Fraction
from itertools import product

from tilec.kernel.ir import Apply, Const, Expr, Let, Stmt, Var, VType
from tilec.records import dataclass
from tilec.tensor.winograd import Matrix

ZERO, ONE = Fraction(0), Fraction(1)


@dataclass(slots=True)
class Straight:
    """Statements that compute values of one type, each under a new name."""

    kind: VType
    prefix: str
    stmts: list[Stmt] = field(default_factory=list[Stmt])
    made: int = 0

    def name(self, value: Expr) -> Var:
        """The value under a name of its own."""
        found = Var(f"{self.prefix}{self.made}", self.kind)
        self.made += 1
        self.stmts.append(Let(found, value))
        return found

    def times(self, matrix: Matrix, values: Sequence[Expr]) -> list[Expr]:
        """The product of a matrix and some values."""
        pairs = _column_pairs(matrix)
        if pairs:
            return self._by_columns(matrix, values, pairs)
        return self._by_rows(matrix, values)

    def tile(
        self, matrices: Sequence[Matrix], load: Callable[[tuple[int, ...]], Expr]
    ) -> dict[tuple[int, ...], Expr]:
        """A tile multiplied by one matrix per axis, along that axis; by position, in order."""
        sizes = [range(len(matrix[0])) for matrix in matrices]
        values: dict[tuple[int, ...], Expr] = {}
        for at, matrix in enumerate(matrices):
            found: dict[tuple[int, ...], Expr] = {}
            before = [range(len(done)) for done in matrices[:at]]
            for outer in product(*before):
                for inner in product(*sizes[at + 1 :]):
                    places = [(*outer, k, *inner) for k in sizes[at]]
                    # Elements are loaded as they are needed: all would not fit the registers.
                    given = [values[each] if at else self.name(load(each)) for each in places]
                    for k, value in enumerate(self.times(matrix, given)):
                        found[(*outer, k, *inner)] = value
            values = found
        return dict(sorted(values.items()))

    def _by_columns(
        self, matrix: Matrix, values: Sequence[Expr], pairs: list[tuple[int, int]]
    ) -> list[Expr]:
        """Sums and differences of paired values first: each row then reads one of the two."""
        paired = {at for pair in pairs for at in pair}
        single = [at for at in range(len(values)) if at not in paired]
        columns = [tuple(row[at] for row in matrix) for at in single]
        inputs = [values[at] for at in single]
        for left, right in pairs:
            same = tuple(row[left] if row[left] == row[right] else ZERO for row in matrix)
            other = tuple(row[left] if row[left] != row[right] else ZERO for row in matrix)
            for column, op in ((same, "add"), (other, "sub")):
                if any(column):
                    inputs.append(self.name(Apply(op, (values[left], values[right]), self.kind)))
                    columns.append(column)
        return [self._combined(row, inputs) for row in zip(*columns, strict=True)]

    def _by_rows(self, matrix: Matrix, values: Sequence[Expr]) -> list[Expr]:
        """Rows that differ in signs only are the sum and the difference of two halves."""
        found: list[Expr | None] = [None] * len(matrix)
        for at, row in enumerate(matrix):
            if found[at] is not None:
                continue
            twin = next((k for k in range(at + 1, len(matrix)) if _is_twin(row, matrix[k])), None)
            if twin is None:
                found[at] = self._combined(row, values)
                continue
            even = tuple(
                left if left == right else ZERO
                for left, right in zip(row, matrix[twin], strict=True)
            )
            odd = tuple(left - right for left, right in zip(row, even, strict=True))
            scale = next(entry for entry in reversed(odd) if entry)
            base = self._combined(even, values)
            rest = self._combined(tuple(entry / scale for entry in odd), values)
            found[at] = self._plus(base, scale, rest)
            found[twin] = self._plus(base, -scale, rest)
        return [value for value in found if value is not None]

    def _combined(self, row: Sequence[Fraction], values: Sequence[Expr]) -> Expr:
        """A sum of multiples, begun with one that takes no multiplication if there is one."""
        terms = [(factor, value) for factor, value in zip(row, values, strict=True) if factor]
        terms.sort(key=lambda term: (abs(term[0]) != 1, term[0] != 1))
        if not terms:
            return Const(0.0, self.kind)
        (factor, total), *rest = terms
        if factor != 1:
            total = self.name(Apply("mul", (total, self._constant(factor)), self.kind))
        for factor, value in rest:
            total = self._plus(total, factor, value)
        return total

    def _plus(self, total: Expr, factor: Fraction, value: Expr) -> Expr:
        if abs(factor) == 1:
            return self.name(Apply("add" if factor > 0 else "sub", (total, value), self.kind))
        return self.name(Apply("fma", (value, self._constant(factor), total), self.kind))

    def _constant(self, factor: Fraction) -> Const:
        return Const(float(factor), self.kind)


def _is_twin(row: Sequence[Fraction], other: Sequence[Fraction]) -> bool:
    """Whether two rows differ in signs only, and neither in none nor in all of them."""
    if any(abs(left) != abs(right) for left, right in zip(row, other, strict=True)):
        return False
    kept = [left == right for left, right in zip(row, other, strict=True) if left]
    return any(kept) and not all(kept)


def _column_pairs(matrix: Matrix) -> list[tuple[int, int]]:
    """Columns that differ in signs only, in pairs; none unless some rows add and some subtract."""
    columns = list(zip(*matrix, strict=True))
    pairs: list[tuple[int, int]] = []
    taken: set[int] = set()
    for left, column in enumerate(columns):
        for right in range(left + 1, len(columns)):
            if not {left, right} & taken and _is_twin(column, columns[right]):
                pairs.append((left, right))
                taken |= {left, right}
    return pairs
