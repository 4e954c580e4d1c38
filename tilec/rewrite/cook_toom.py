"""Minimal filtering F(m, r): m outputs of a filter with r taps from m + r - 1 products.

After Toom and Cook, by Winograd's transposition (Winograd 1980, Lavin and Gray 2016). With data d
of m + r - 1 elements and a filter g of r taps,

    y[u] = sum_j g[j] * d[u + j] = sum_p A[u, p] * (sum_j G[p, j] * g[j]) * (sum_k B[p, k] * d[k])

Row p belongs to a point at which polynomials are evaluated; the last one is infinity. All entries
are rationals, so that the identity holds exactly and is checked exactly.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from itertools import product

from tilec.errors import InternalError
from tilec.tensor.winograd import Minimal

POINTS = tuple(map(Fraction, ("0", "1", "-1", "1/2", "-1/2", "2", "-2")))
"""Points in the order in which they are taken, but for the sets of ``BEST``."""

BEST = {
    4: tuple(map(Fraction, ("1/2", "-1/2", "3/2", "-3/2"))),
    5: tuple(map(Fraction, ("0", "3/4", "-3/4", "3/2", "-3/2"))),
}
"""By their number, points with a third of the error that the first of ``POINTS`` have. The powers
in A stay near 1, and all entries of A and B are dyadic, so that they are exact."""


@lru_cache(maxsize=64)
def minimal_filter(m: int, r: int, points: tuple[Fraction, ...] | None = None) -> Minimal:
    """The matrices of F(m, r), checked.

    Args:
        m: Outputs of a tile.
        r: Taps of the filter.
        points: The finite points, all different, m + r - 2 of them; by default those with a small
            rounding error.
    """
    count = m + r - 2
    chosen = points if points is not None else BEST.get(count, POINTS[:count])
    if m < 1 or r < 1 or len(set(chosen)) != count:
        raise InternalError(f"F({m}, {r}) takes {count} different points")
    one, zero = Fraction(1), Fraction(0)
    rows_b: list[tuple[Fraction, ...]] = []
    rows_g: list[tuple[Fraction, ...]] = []
    for point in chosen:
        others = [each for each in chosen if each != point]
        scale = one
        for other in others:
            scale *= point - other
        rows_b.append((*_from_roots(others), zero))
        rows_g.append(tuple(point**j / scale for j in range(r)))
    rows_b.append(_from_roots(list(chosen)))
    rows_g.append((*[zero] * (r - 1), one))
    rows_a = tuple((*(point**u for point in chosen), one if u == m - 1 else zero) for u in range(m))
    made = Minimal(m, r, rows_a, tuple(rows_b), tuple(rows_g))
    check_identity(made)
    return made


def monic(made: Minimal) -> Minimal:
    """The same method with rows of G that begin with 1, by factors that move into B.

    Filters then take three operations for a pair of points p and -p instead of four, where they are
    transformed again and again.
    """
    scales = [next(entry for entry in row if entry) for row in made.g]
    rows_g = tuple(
        tuple(entry / scale for entry in row) for row, scale in zip(made.g, scales, strict=True)
    )
    rows_b = tuple(
        tuple(entry * scale for entry in row) for row, scale in zip(made.b, scales, strict=True)
    )
    scaled = Minimal(made.m, made.r, made.a, rows_b, rows_g)
    check_identity(scaled)
    return scaled


def check_identity(made: Minimal) -> None:
    """See that the matrices compute the filter, for every data and every filter.

    Both sides are linear in data and filter, so it is enough that the coefficient of each
    ``g[j] * d[k]`` is the same: 1 where k = u + j, else 0.

    Raises:
        InternalError: they do not.
    """
    for u, j, k in product(range(made.m), range(made.r), range(made.size)):
        total = sum(
            (made.a[u][p] * made.g[p][j] * made.b[p][k] for p in range(made.size)), Fraction(0)
        )
        if total != (k == u + j):
            raise InternalError(f"F({made.m}, {made.r}) is wrong at output {u}, tap {j}, datum {k}")


def _from_roots(roots: list[Fraction]) -> tuple[Fraction, ...]:
    """Coefficients, constant first, of the monic polynomial with some roots."""
    found = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *found], [*(-root * each for each in found), Fraction(0)]
        found = [left + right for left, right in zip(shifted, scaled, strict=True)]
    return tuple(found)
