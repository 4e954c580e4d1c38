"""Squares of vectors turned about: lane ``l`` of row ``r`` becomes lane ``r`` of row ``l``.

A vector that is written to places far apart costs a store for each lane. A square of n vectors of
n lanes takes log2(n) rounds of n shuffles instead (Eklundh 1972), and n whole stores.
"""

from __future__ import annotations

from collections.abc import Sequence

from tilec.kernel.ir import Apply, Expr, Let, Stmt, Var, Zip
from tilec.records import dataclass


@dataclass(frozen=True, slots=True)
class Square:
    """What turns a square about, and its rows then."""

    stmts: tuple[Stmt, ...]
    rows: tuple[Var, ...]


def turned(rows: Sequence[Expr], name: str = ".square") -> Square:
    """Turn as many vectors about as each has lanes, a power of two; ``name`` begins their names.

    In each round row ``i`` meets row ``i + n/2``. Number the elements by the bits of their row and
    then those of their lane: a round moves the first bit to the end, so that after all rounds rows
    and lanes have changed places.
    """
    stmts: list[Stmt] = []
    size = len(rows)
    held = [Var(f"{name}0.{i}", row.type) for i, row in enumerate(rows)]
    stmts += [Let(var, row) for var, row in zip(held, rows, strict=True)]
    for step in range(1, size.bit_length()):
        pairs = [(held[i // 2], held[i // 2 + size // 2], i % 2 == 1) for i in range(size)]
        held = [Var(f"{name}{step}.{i}", row.type) for i, row in enumerate(rows)]
        stmts += [Let(var, Zip(*pair, var.type)) for var, pair in zip(held, pairs, strict=True)]
    return Square(tuple(stmts), tuple(held))


def folded(rows: Sequence[Expr], op: str, name: str = ".fold") -> Square:
    """Combine the lanes of each of some vectors, all of them together.

    A round combines the halves of two vectors in turn, which leaves one vector of half as many
    partial results of each: n vectors of n lanes take n - 1 combinations, and not n * log2(n).
    The number of vectors is a power of two, and not more than their lanes. The only row of the
    result has that of vector ``r`` from lane ``r * lanes / n`` on.
    """
    stmts: list[Stmt] = []
    held = list(rows)
    kind = held[0].type
    for step in range(kind.lanes.bit_length() - 1):
        half = max(1, len(held) // 2)
        pairs = [(held[i], held[(i + half) % len(held)]) for i in range(half)]
        made = [Var(f"{name}{step}.{i}", kind) for i in range(half)]
        for var, pair in zip(made, pairs, strict=True):
            ends = (Zip(*pair, upper, kind) for upper in (False, True))
            stmts.append(Let(var, Apply(op, tuple(ends), kind)))
        held = list(made)
    return Square(tuple(stmts), tuple(var for var in held if isinstance(var, Var)))
