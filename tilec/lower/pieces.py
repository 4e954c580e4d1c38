"""Contractions as pieces: rectangular output loops around affine reductions.

The index points of a contraction are re-parameterised by its output coordinates, so that every
output element is written exactly once whatever the left-hand side looks like (several points of
``O[2*i+j]`` meet in one sum). Rational coefficients make points valid only in some residue classes
of output coordinates and reduction indices; each class becomes a loop of its own with a stride, so
that no loop tests divisibility (a stride-2 inverse runs as two dense loops, not as one with holes).

Assumes a bound, checked contraction. Guarantees: the pieces cover each output element once; inside
a part, every access is integral, and in bounds wherever the part's constraints hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise, product
from math import gcd, lcm, prod

from tilec.errors import InternalError
from tilec.records import dataclass
from tilec.tensor import domain
from tilec.tensor.affine import Affine
from tilec.tensor.forms import Axis, Box, Form, affine_of, form_of
from tilec.tensor.ir import Aggregation, Contraction, Map, TensorType
from tilec.tensor.scalar import Scalar, at_indices, reads
from tilec.tensor.size import concrete

MAX_CLASSES = 64
"""Residue classes beyond which divisibility is tested inside the loops instead."""


@dataclass(frozen=True, slots=True)
class Part:
    """One reduction that contributes to each output element of a piece.

    Attributes:
        axes: Reduction loops.
        constraints: Forms that must be >= 0 at a point for it to count; those that the box of all
            loops implies are left out.
        divisible: Forms that must be integers; empty unless there were too many classes.
        body: Value at a point; accesses are over the loop variables.
    """

    axes: tuple[Axis, ...]
    constraints: tuple[Form, ...]
    divisible: tuple[Form, ...]
    body: Scalar


@dataclass(frozen=True, slots=True)
class Piece:
    """A rectangular set of output elements and the reductions that meet in each.

    Attributes:
        axes: Output loops, one per output axis.
        output: Output coordinate of each axis over the loop variables.
        parts: The reductions, in order.
        covered: True when each element is known to be reached by a point.
    """

    axes: tuple[Axis, ...]
    output: tuple[Affine, ...]
    parts: tuple[Part, ...]
    covered: bool

    @property
    def box(self) -> Box:
        """Range of each output loop."""
        return {axis.name: (axis.low, axis.high - 1) for axis in self.axes}


def pieces_of_map(node: Map) -> tuple[Piece, ...]:
    """A map is one piece with one part without reduction."""
    shape = concrete(node.type.shape)
    axes = tuple(Axis(name, 0, n) for name, n in zip(node.indices, shape, strict=True))
    output = tuple(Affine.index(name) for name in node.indices)
    return (Piece(axes, output, (Part((), (), (), node.body),), covered=True),)


def pieces_of(node: Contraction, types: dict[str, TensorType]) -> tuple[Piece, ...]:
    """Split a contraction into pieces (see the module's text)."""
    shape = concrete(node.type.shape)
    names = _loop_names(node)
    points = domain.of(node, types)
    empty = domain.is_empty(points)
    bounds = {} if empty else domain.bounds(points)
    extents = {name: high - low for name, (low, high) in bounds.items()}
    solution, conditions = _solve(node, names, extents)
    body = at_indices(node.body, solution)
    free = tuple(name for name in node.indices if name not in solution)
    integral = [form_of(solution[name]) for name in solution]
    constraints: list[Form] = []
    for condition in conditions:
        constraints += [condition, Form((), 0).plus(condition, -1)]
    ranged = [(access, size) for access, size in _accesses(body, types)]
    ranged += [(c.form.substitute(solution), concrete((c.bound,))[0]) for c in node.constraints]
    for affine, size in ranged:
        form = form_of(affine)
        integral.append(form)
        numerator = replace(form, denominator=1)
        last = size * form.denominator - 1
        constraints += [numerator, Form((), last).plus(numerator, -1)]
    fractional = tuple(dict.fromkeys(form for form in integral if form.denominator > 1))
    box = {name: (0, extent - 1) for name, extent in zip(names, shape, strict=True)}
    covered = _covered(node, types)
    ranges = {name: bounds[name] for name in free} if not empty else {}
    classes = _classes(names, free, fractional)
    if classes is None:
        axes = tuple(Axis(name, 0, n) for name, n in zip(names, shape, strict=True))
        loops = tuple(Axis(name, lo, hi + 1) for name, (lo, hi) in ranges.items())
        part = Part(loops, tuple(constraints), fractional, body)
        output = tuple(Affine.index(name) for name in names)
        return (simplify(Piece(axes, output, () if empty else (part,), covered)),)
    result: list[Piece] = []
    moduli, residues = classes
    for residue, inner in residues.items():
        axes = tuple(
            Axis(name, 0, max(0, -((offset - extent) // modulus)))
            for name, extent, modulus, offset in zip(names, shape, moduli[0], residue, strict=True)
        )
        if any(axis.extent == 0 for axis in axes):
            continue
        outer = {
            name: Affine(((name, Fraction(m)),), Fraction(r))
            for name, m, r in zip(names, moduli[0], residue, strict=True)
        }
        parts: list[Part] = []
        for offsets in () if empty else inner:
            values = dict(outer)
            loops_list: list[Axis] = []
            for name, modulus, offset in zip(free, moduli[1], offsets, strict=True):
                low, high = ranges[name]
                values[name] = Affine(((name, Fraction(modulus)),), Fraction(offset))
                loops_list.append(
                    Axis(name, -((offset - low) // modulus), (high - offset) // modulus + 1)
                )
            forms = tuple(_at(form, values) for form in constraints)
            parts.append(Part(tuple(loops_list), forms, (), at_indices(body, values)))
        output = tuple(outer[name] for name in names)
        result.append(simplify(Piece(axes, output, tuple(parts), covered)))
    _check_cover(result, box)
    return tuple(result)


def simplify(piece: Piece) -> Piece:
    """Drop constraints that the loops imply, parts that have no point, loops of one iteration."""
    parts: list[Part] = []
    for part in map(_without_units, piece.parts):
        box = {**piece.box, **{axis.name: (axis.low, axis.high - 1) for axis in part.axes}}
        if any(low > high for low, high in box.values()):
            continue
        ranges = [(form, form.range(box)) for form in dict.fromkeys(part.constraints)]
        if any(high < 0 for _, (_, high) in ranges):
            continue
        kept = tuple(form for form, (low, _) in ranges if low < 0)
        parts.append(replace(part, constraints=kept))
    return replace(piece, parts=tuple(parts))


def _without_units(part: Part) -> Part:
    """Put the values of reductions that have only one in their place.

    A constraint that coupled such a loop with an output loop then bounds that loop alone.
    """
    units = {a.name: Affine((), Fraction(a.low)) for a in part.axes if a.extent == 1}
    if not units:
        return part
    axes = tuple(axis for axis in part.axes if axis.name not in units)
    return at_values(replace(part, axes=axes), units)


def at_values(part: Part, values: dict[str, Affine]) -> Part:
    """A part with loop variables replaced in all that is said about its points."""
    return Part(
        part.axes,
        tuple(_at(form, values) for form in part.constraints),
        tuple(_at(form, values) for form in part.divisible),
        at_indices(part.body, values),
    )


def restrict(piece: Piece, name: str, low: int, high: int) -> Piece:
    """The elements of a piece where the output loop ``name`` runs over ``range(low, high)``."""
    axes = tuple(Axis(name, low, high) if axis.name == name else axis for axis in piece.axes)
    return simplify(replace(piece, axes=axes))


def segments(piece: Piece, axis: Axis, *, alone: bool) -> list[tuple[int, int]]:
    """Cut a loop where a constraint begins or ceases to hold for all reduction points, or for any.

    With ``alone`` only constraints on this loop by itself cut it; the others become loop bounds.
    """
    cuts = {axis.low, axis.high}
    for part in piece.parts:
        box = {a.name: (a.low, a.high - 1) for a in part.axes}
        for form in part.constraints:
            factor = form.coefficient(axis.name)
            others = tuple(term for term in form.terms if term[0] != axis.name)
            if not factor or (alone and others):
                continue
            if any(name not in box for name, _ in others):
                continue
            low, high = Form(others, form.const).range(box)
            for rest in (low, high):  # where factor * axis + rest >= 0 changes its truth
                cuts.add(-(rest // factor) if factor > 0 else rest // -factor + 1)
    inside = sorted(cut for cut in cuts if axis.low <= cut <= axis.high)
    return list(pairwise(inside))


def cut_alone(piece: Piece) -> list[Piece]:
    """Pieces in which no constraint binds one output loop by itself; their loops begin at 0."""
    found = [piece]
    for axis in piece.axes:
        found = [
            _from_zero(restrict(each, axis.name, low, high), axis.name, low)
            for each in found
            for low, high in segments(each, axis, alone=True)
        ]
    return found


def _from_zero(piece: Piece, name: str, low: int) -> Piece:
    """The same elements, with an output loop that begins at 0 and not at ``low``."""
    if low == 0:
        return piece
    moved = {name: Affine(((name, Fraction(1)),), Fraction(low))}
    return Piece(
        tuple(Axis(name, 0, a.extent) if a.name == name else a for a in piece.axes),
        tuple(form.substitute(moved) for form in piece.output),
        tuple(at_values(part, moved) for part in piece.parts),
        piece.covered,
    )


def _loop_names(node: Contraction) -> tuple[str, ...]:
    """Names of the output loops: the index itself where a coordinate is just that.

    Other names begin with an underscore, as no index of a program does.
    """
    names: list[str] = []
    for axis, form in enumerate(node.output):
        plain = form.indices[0] if len(form.terms) == 1 else ""
        usable = form == Affine.index(plain) and plain in node.indices and plain not in names
        names.append(plain if usable else f"_o{axis}")
    return tuple(names)


def _solve(
    node: Contraction, names: tuple[str, ...], extents: Mapping[str, int]
) -> tuple[dict[str, Affine], tuple[Form, ...]]:
    """Express indices by output coordinates; coordinates that are not free become conditions.

    Gaussian elimination over the rationals. The index with the largest range is solved for, so
    that the short ones stay as loops: of ``2*y + i``, where y runs over a picture and i over a
    window, each residue class of the output is then a dense loop over the window. Among equals one
    with a coefficient of 1 or -1 is preferred, because that keeps the system integral.
    """
    solution: dict[str, Affine] = {
        name: Affine.index(name) for name in names if name in node.indices
    }
    conditions: list[Form] = []
    for name, form in zip(names, node.output, strict=True):
        if name in node.indices:
            continue
        reduced = form.substitute(solution)
        coefficients, _ = reduced.rational()
        candidates: list[str] = [
            index for index in coefficients if index in node.indices and index not in solution
        ]
        if not candidates:
            difference = form_of(reduced - Affine.index(name))
            conditions.append(replace(difference, denominator=1))
            continue
        chosen = min(
            candidates,
            key=lambda i: (-extents.get(i, 0), abs(coefficients[i]) != 1, str(i)),
        )
        rest = reduced - Affine(((chosen, coefficients[chosen]),))
        value = (Affine.index(name) - rest) * (1 / coefficients[chosen])
        solution = {index: old.substitute({chosen: value}) for index, old in solution.items()}
        solution[chosen] = value
    return solution, tuple(conditions)


def _accesses(body: Scalar, types: dict[str, TensorType]) -> list[tuple[Affine, int]]:
    found: dict[tuple[Affine, int], None] = {}
    for read in reads(body):
        shape = concrete(types[read.tensor].shape)
        found.update(dict.fromkeys(zip(read.access, shape, strict=True)))
    return list(found)


def _covered(node: Contraction, types: dict[str, TensorType]) -> bool:
    """Whether elements without a point need not be looked for.

    A sum without default starts at 0, which is also what an element without a point holds.
    """
    if node.agg is Aggregation.SUM and node.default is None:
        return True
    return domain.covers_output(node, types)


def _classes(
    outer: tuple[str, ...], inner: tuple[str, ...], fractional: tuple[Form, ...]
) -> (
    tuple[tuple[tuple[int, ...], tuple[int, ...]], dict[tuple[int, ...], list[tuple[int, ...]]]]
    | None
):
    """Moduli of output and reduction loops, and the valid reduction residues per output residue.

    None when there are more than ``MAX_CLASSES``.
    """

    def modulus(name: str) -> int:
        return lcm(
            1, *(f.denominator // gcd(f.denominator, f.coefficient(name)) for f in fractional)
        )

    moduli = tuple(map(modulus, outer)), tuple(map(modulus, inner))
    if prod(moduli[0]) * prod(moduli[1]) > MAX_CLASSES:
        return None
    classes: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for residue in product(*map(range, moduli[0])):
        valid: list[tuple[int, ...]] = []
        for offsets in product(*map(range, moduli[1])):
            point = dict(zip((*outer, *inner), (*residue, *offsets), strict=True))
            if all(_numerator(form, point) % form.denominator == 0 for form in fractional):
                valid.append(offsets)
        classes[residue] = valid
    return moduli, classes


def _numerator(form: Form, point: dict[str, int]) -> int:
    return form.const + sum(factor * point[name] for name, factor in form.terms)


def _at(form: Form, values: dict[str, Affine]) -> Form:
    return form_of(affine_of(form).substitute(values))


def _check_cover(pieces: list[Piece], box: Box) -> None:
    elements = sum(prod(axis.extent for axis in piece.axes) for piece in pieces)
    if elements != prod(high - low + 1 for low, high in box.values()):
        raise InternalError("the residue classes of an output do not cover it")
