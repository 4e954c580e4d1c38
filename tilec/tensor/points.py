"""Index points in bulk: coordinates as NumPy arrays, and index expressions over them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from math import lcm, prod
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tilec.records import dataclass
from tilec.tensor.affine import Affine
from tilec.tensor.domain import Condition

Array: TypeAlias = NDArray[Any]
Box = Mapping[str, tuple[int, int]]
"""Least and greatest value of each index."""

_CHUNK: Final = 1 << 17
"""Points at a time: temporary arrays then stay within a few MiB each."""

_SAFE: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Points:
    """Some points: one array per index. The arrays broadcast to ``shape``."""

    shape: tuple[int, ...]
    coordinates: Mapping[str, Array]

    def numerator(self, form: Affine) -> Array:
        """The values of an expression times its divisor."""
        line = _line(form)
        total = np.asarray(line.const, np.int64 if abs(line.const) < _SAFE else np.object_)
        for name, factor in line.terms:
            total = total + self.coordinates[name] * factor
        return np.asarray(total)

    def value(self, form: Affine) -> Array:
        """The values of an expression that is an integer at each point."""
        divisor = _line(form).divisor
        numerator = self.numerator(form)
        return numerator if divisor == 1 else np.asarray(numerator // divisor)

    def satisfy(self, form: Affine, size: int) -> Array:
        """Where an expression is an integer from 0 to below ``size``."""
        numerator, divisor = self.numerator(form), _line(form).divisor
        inside = (numerator >= 0) & (numerator < size * divisor)
        return np.asarray(inside & (numerator % divisor == 0), np.bool_)


def grid(names: tuple[str, ...], shape: tuple[int, ...], forms: Iterable[Affine]) -> Points:
    """All points of a box that starts at 0, with one axis per index.

    ``forms`` are those that will be asked for; see ``search``.
    """
    box = {name: (0, max(0, size - 1)) for name, size in zip(names, shape, strict=True)}
    kind = _kind(forms, box)
    axes = (np.arange(size).astype(kind) for size in shape)
    arrays = np.meshgrid(*axes, indexing="ij", sparse=True)
    return Points(shape, dict(zip(names, arrays, strict=True)))


def search(
    box: Box, conditions: tuple[Condition, ...], forms: Iterable[Affine]
) -> Iterator[Points]:
    """The points of a box that satisfy all conditions, in lexicographic order, some at a time.

    ``forms`` are the other expressions that will be asked for: where any could leave 64 bits the
    coordinates are Python integers, which are slow and exact.
    """
    kind = _kind([*forms, *(form for form, _ in conditions)], box)
    names = list(box)
    extents = [high - low + 1 for low, high in box.values()]
    total = prod(extents)
    tests = [item for item in conditions if not _implied(*item, box)]
    for start in range(0, total, _CHUNK):
        rest = np.arange(start, min(start + _CHUNK, total))
        count = rest.size
        coordinates: dict[str, Array] = {}
        for name, extent in zip(reversed(names), reversed(extents), strict=True):
            coordinates[name] = (rest % extent).astype(kind) + box[name][0]
            rest = rest // extent
        points = Points((count,), coordinates)
        for form, size in tests:
            valid = np.broadcast_to(points.satisfy(form, size), points.shape)
            if not valid.all():
                kept = {name: values[valid] for name, values in points.coordinates.items()}
                points = Points((int(np.count_nonzero(valid)),), kept)
        yield points


@dataclass(frozen=True, slots=True)
class _Line:
    """An index expression over integers: ``(terms + const) / divisor``."""

    terms: tuple[tuple[str, int], ...]
    const: int
    divisor: int


@lru_cache(maxsize=1024)
def _line(form: Affine) -> _Line:
    coefficients, const = form.rational()
    divisor = lcm(const.denominator, *(c.denominator for c in coefficients.values()))
    terms = tuple((name, int(factor * divisor)) for name, factor in coefficients.items())
    return _Line(terms, int(const * divisor), divisor)


def _implied(form: Affine, size: int, box: Box) -> bool:
    """Whether a condition holds in the whole box, so that it need not be tested."""
    line = _line(form)
    ends = [(factor * box[name][0], factor * box[name][1]) for name, factor in line.terms]
    low = line.const + sum(min(pair) for pair in ends)
    high = line.const + sum(max(pair) for pair in ends)
    return line.divisor == 1 and low >= 0 and high < size


def _kind(forms: Iterable[Affine], box: Box) -> np.dtype[Any]:
    """int64, or Python integers where an intermediate result could exceed 64 bits."""

    def bound(form: Affine) -> int:
        line = _line(form)
        terms = (abs(factor) * max(map(abs, box[name])) for name, factor in line.terms)
        return abs(line.const) + sum(terms)

    return np.dtype(np.int64 if all(bound(form) < _SAFE for form in forms) else np.object_)
