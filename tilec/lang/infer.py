"""Fills in what a text leaves out: the header of bare statements, and output sizes.

Bare statements. Inputs are the names that are read and not assigned, in order of the text; outputs
are the names that are assigned and not read by a later statement. An input that is accessed in
brackets has a size for each axis. Within a statement, all axes that one index alone runs over have
one size, and its name is the name that the output gives it (``C[i : M]``), or else the index in
upper case. A name read without brackets that is the name of such a size is that size; so the mean
of the rows is ``S[i] = +(A[i, k]); R = S / K``.

Output sizes. Where a coordinate is an index that operands read plainly, along axes that the text
gives one and the same size, that size is written into the tree; for a coordinate 0 it is 1, and
with a default the sizes are those of the default. What only the arguments can tell stays left out
and is decided when sizes are bound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from tilec.errors import Collector, NameResolutionError, ShapeError
from tilec.lang import ast, walk
from tilec.records import dataclass
from tilec.source import Span


def infer(function: ast.Function) -> ast.Function:
    """The function with its header and, where they are certain, its output sizes.

    Raises:
        NameResolutionError: the header of bare statements cannot be inferred.
        ShapeError: it cannot, because the sizes contradict each other.
    """
    if function.bare:
        function = _with_header(function)
    if any(isinstance(s, ast.Contraction) and s.sizes is None for s in function.body):
        return _with_sizes(function)
    return function


# Output sizes


def _with_sizes(function: ast.Function) -> ast.Function:
    shapes: dict[str, tuple[ast.Expr, ...]] = {
        value.name: value.dims for value in function.inputs if value.dims is not None
    }
    body: list[ast.Statement] = []
    for statement in function.body:
        if isinstance(statement, ast.Contraction):
            if statement.sizes is None:
                statement = replace(statement, sizes=_sizes_of(statement, shapes))
            if statement.sizes is not None:
                shapes.setdefault(statement.name, statement.sizes)
        body.append(statement)
    return replace(function, body=tuple(body))


def _sizes_of(
    statement: ast.Contraction, shapes: Mapping[str, tuple[ast.Expr, ...]]
) -> tuple[ast.Expr, ...] | None:
    if statement.default is not None:
        found = shapes.get(statement.default.name, ())
        return found if len(found) == len(statement.indices) else None
    sizes: list[ast.Expr] = []
    reads = _plain_reads(statement)
    for coordinate in statement.indices:
        match coordinate:
            case ast.IntLiteral(value=0):
                sizes.append(ast.IntLiteral(1, coordinate.span))
            case ast.Index(name=name) if name in reads:
                dims = {_dim(shapes, read) for read in reads[name]}
                size = dims.pop()
                if dims or size is None:
                    return None
                sizes.append(size)
            case _:
                return None
    return tuple(sizes)


@dataclass(frozen=True, slots=True)
class _Read:
    """An axis that an index alone runs over."""

    access: ast.Access
    axis: int


def _plain_reads(statement: ast.Contraction) -> dict[str, list[_Read]]:
    """The axes that each index alone runs over, in order of the text."""
    reads: dict[str, list[_Read]] = {}
    for expr in walk.expressions(statement.body):
        if isinstance(expr, ast.Access):
            for axis, coordinate in enumerate(expr.indices):
                if isinstance(coordinate, ast.Index):
                    reads.setdefault(coordinate.name, []).append(_Read(expr, axis))
    return reads


def _dim(shapes: Mapping[str, tuple[ast.Expr, ...]], read: _Read) -> ast.Expr | None:
    shape = shapes.get(read.access.name, ())
    return shape[read.axis] if len(shape) == len(read.access.indices) else None


# Headers


@dataclass(slots=True, eq=False)
class _Size:
    """A size that the header must name. Sizes found equal are joined to one.

    Attributes:
        axis: The first axis of an input that has it.
        written: Its name, where the text gives it one.
        wish: The first index that runs over it, in upper case, if that name is free.
        stem: The same, free or not.
        joined: The size that this one was joined to.
    """

    axis: tuple[str, int] | None = None
    written: ast.Name | None = None
    wish: str | None = None
    stem: str | None = None
    joined: _Size | None = None

    def root(self) -> _Size:
        """What this size was joined to in the end."""
        end = self
        while end.joined is not None:
            end = end.joined
        here = self
        while here.joined is not None:
            here.joined, here = end, here.joined
        return end


_Dim: TypeAlias = _Size | None
"""Size of an axis; None for one that the header need not name."""


def _with_header(function: ast.Function) -> ast.Function:
    return _Header(function).build()


class _Header:
    """Infers the header of one function."""

    def __init__(self, function: ast.Function) -> None:
        self._function = function
        self._collector = Collector()
        self._assigned = {statement.name for statement in function.body}
        self._ranks = self._ranks_of_inputs()
        self._tensors = self._assigned | self._ranks.keys()
        self._outputs = tuple(_unread(function.body))
        self._sizes = {  # by the name that the text gives
            size.name: _Size(written=size)
            for statement in function.body
            if isinstance(statement, ast.Contraction)
            for size in statement.sizes or ()
            if isinstance(size, ast.Name) and size.name not in self._tensors
        }
        self._shapes: dict[str, tuple[_Dim, ...]] = {
            name: tuple(_Size(axis=(name, axis)) for axis in range(rank))
            for name, rank in self._ranks.items()
        }

    def build(self) -> ast.Function:
        """The function with its header."""
        self._refuse_early_reads()
        for statement in self._function.body:
            if isinstance(statement, ast.Contraction):
                self._shapes[statement.name] = self._relate(statement)
        names = self._name_sizes()
        self._refuse_unknown_sizes(set(names.values()))
        self._collector.raise_if_any()
        return replace(self._function, inputs=tuple(self._inputs(names)), outputs=self._outputs)

    def _ranks_of_inputs(self) -> dict[str, int]:
        """Inputs that are accessed along axes, with their rank."""
        first: dict[str, ast.Access] = {}
        for statement in self._function.body:
            for expr in _reads(statement):
                if not isinstance(expr, ast.Access) or expr.name in self._assigned:
                    continue
                if len(first.setdefault(expr.name, expr).indices) != len(expr.indices):
                    before = first[expr.name]
                    self._collector.add(
                        ShapeError,
                        f"`{expr.span.text}` does not fit `{before.span.text}` "
                        f"in line {before.span.line}: {expr.name} has one number of axes",
                        expr.span,
                        help="give every access as many indices as the tensor has axes",
                    )
        ranks = {name: len(access.indices) for name, access in first.items()}
        for statement in self._function.body:
            if isinstance(statement, ast.Contraction) and statement.default is not None:
                name = statement.default.name
                if name not in self._assigned:
                    ranks.setdefault(name, len(statement.indices))
        return {name: rank for name, rank in ranks.items() if rank > 0}

    def _refuse_early_reads(self) -> None:
        """A name that is read first and assigned later is neither input nor result."""
        lines = {s.name: s.span.line for s in reversed(self._function.body)}
        done: set[str] = set()
        for statement in self._function.body:
            for expr in _reads(statement):
                if expr.name in done or expr.name not in self._assigned:
                    continue
                done.add(expr.name)
                self._collector.add(
                    NameResolutionError,
                    f"{expr.name} is read before line {lines[expr.name]} assigns it",
                    expr.span,
                    help="move the assignment up, or give the result a name of its own",
                )
            done.add(statement.name)

    def _relate(self, statement: ast.Contraction) -> tuple[_Dim, ...]:
        """Join the sizes that a statement makes equal; the shape of its result."""
        groups: dict[str, list[_Size]] = {}
        for index, reads in _plain_reads(statement).items():
            for read in reads:
                shape = self._shapes.get(read.access.name, ())
                dim = shape[read.axis] if len(shape) == len(read.access.indices) else None
                if dim is not None:
                    groups.setdefault(index, []).append(dim)
        written = self._written_sizes(statement)
        for coordinate, size in zip(statement.indices, written, strict=True):
            if isinstance(coordinate, ast.Index) and size is not None:
                groups.setdefault(coordinate.name, []).append(size)
        for index, group in groups.items():
            first = group[0]
            for other in group[1:]:
                first = self._join(first, other, index)
            root = first.root()
            root.stem = root.stem or index.upper()
            if index.upper() not in self._tensors:
                root.wish = root.wish or index.upper()
        default = statement.default and self._shapes.get(statement.default.name)
        if default and len(default) == len(written):
            for ours, theirs in zip(written, default, strict=True):
                if ours is not None and theirs is not None:
                    self._join(ours, theirs, statement.name)
            return default
        if statement.sizes is not None:
            return written
        return tuple(
            groups.get(coordinate.name, [None])[0] if isinstance(coordinate, ast.Index) else None
            for coordinate in statement.indices
        )

    def _written_sizes(self, statement: ast.Contraction) -> tuple[_Dim, ...]:
        """The sizes of an output that are names and nothing else."""
        sizes = statement.sizes or ()
        if len(sizes) != len(statement.indices):
            return (None,) * len(statement.indices)
        return tuple(
            self._sizes.get(size.name) if isinstance(size, ast.Name) else None for size in sizes
        )

    def _join(self, one: _Size, other: _Size, index: str) -> _Size:
        one, other = one.root(), other.root()
        if one is other:
            return one
        if one.written is not None and other.written is not None:
            self._refuse_two_names(one, other, index)
            return one
        one.axis = one.axis or other.axis
        one.written = one.written or other.written
        one.wish = one.wish or other.wish
        one.stem = one.stem or other.stem
        other.joined = one
        return one

    def _refuse_two_names(self, one: _Size, other: _Size, index: str) -> None:
        assert one.written is not None
        assert other.written is not None
        name, axis = one.axis or other.axis or ("the operand", 0)
        late = max(one.written, other.written, key=lambda n: n.span.start)
        self._collector.add(
            ShapeError,
            f"the size of axis {axis} of {name} has two names, "
            f"{one.written.name} and {other.written.name}",
            late.span,
            help=f"use one name wherever {index} runs over the whole axis, "
            f"or write a header: {self._example()}",
        )

    def _name_sizes(self) -> dict[_Size, str]:
        """A name for every size of an input."""
        roots = dict.fromkeys(
            dim.root() for name in self._ranks for dim in self._shapes[name] if dim is not None
        )
        named = {root: root.written.name for root in roots if root.written is not None}
        free = self._free_names()
        rest = [root for root in roots if root not in named]
        claims = Counter(root.wish for root in rest)
        names = _Names(self._tensors | self._sizes.keys() | free.keys())
        for root in rest:
            wish = root.wish
            if wish is not None and wish in free:
                if claims[wish] > 1:
                    self._collector.add(
                        NameResolutionError,
                        f"{wish} could be the size of more than one axis",
                        free[wish],
                        help=f"name the sizes in a header: {self._example()}",
                    )
                del free[wish]
                named[root] = wish
            else:
                named[root] = names.take(wish, root.stem or _axis_name(root))
        return named

    def _free_names(self) -> dict[str, Span]:
        """Names that are read without axes, and that nothing has given a meaning yet."""
        found: dict[str, Span] = {}
        for statement in self._function.body:
            for expr in _reads(statement):
                size = self._sizes.get(expr.name)
                if expr.name not in self._tensors and (size is None or size.root().axis is None):
                    found.setdefault(expr.name, expr.span)
        return found

    def _refuse_unknown_sizes(self, known: set[str]) -> None:
        """A name in the place of a size that is neither a size of an input nor assigned."""
        if self._collector.errors:
            return  # they may be the reason
        known = known | self._tensors
        for statement in self._function.body:
            for name in _size_names(statement):
                if name.name in known:
                    continue
                known.add(name.name)
                self._collector.add(
                    NameResolutionError,
                    f"the size {name.name} cannot be inferred",
                    name.span,
                    help="it is no size of an axis that an index alone runs over; "
                    f"write a header: {self._example()}",
                )

    def _example(self) -> str:
        """A header as a help line shows it, with sizes named after their axis."""
        inputs = [
            f"{name}[{', '.join(_axis_name(dim) for dim in self._shapes[name] if dim)}]"
            for name in self._ranks
        ]
        outputs = [output.name for output in self._outputs]
        return f"function ({', '.join(inputs)}) -> ({', '.join(outputs)}) {{ ... }}"

    def _inputs(self, names: Mapping[_Size, str]) -> Iterator[ast.InputDecl]:
        seen = self._assigned | set(names.values())
        for statement in self._function.body:
            inside = isinstance(statement, ast.Contraction)
            for expr in _reads(statement):
                if expr.name in seen:
                    continue
                seen.add(expr.name)
                shape = self._shapes.get(expr.name)
                dims: tuple[ast.Name, ...] | None = () if inside else None
                if shape is not None:
                    sizes = [dim.root() for dim in shape if dim is not None]
                    dims = tuple(ast.Name(names[size], expr.span) for size in sizes)
                yield ast.InputDecl(expr.name, dims, None, expr.span)


class _Names:
    """Gives out names that nothing else has."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._counts: Counter[str] = Counter()

    def take(self, wish: str | None, stem: str) -> str:
        """The wish if it is free, otherwise the stem with a number."""
        name = stem if wish is None else wish
        base = stem.rstrip(_PRIME)
        while name in self._taken:
            self._counts[base] += 1
            name = f"{base}{self._counts[base]}"
        self._taken.add(name)
        return name


_PRIME = "'"


def _reads(statement: ast.Statement) -> Iterator[ast.Name | ast.Access]:
    """What a statement reads by name, in order of the text."""
    for root in walk.roots(statement):
        for expr in walk.expressions(root):
            if isinstance(expr, ast.Name | ast.Access):
                yield expr


def _size_names(statement: ast.Statement) -> Iterator[ast.Name]:
    """Names in output sizes, bounds and index expressions."""
    if not isinstance(statement, ast.Contraction):
        return
    sizes = statement.sizes or ()
    places = list(statement.indices)
    if len(sizes) == len(places):  # other numbers of sizes are another mistake, told elsewhere
        places.extend(sizes)
    for expr in walk.expressions(statement.body):
        if isinstance(expr, ast.Access):
            places.extend(expr.indices)
    for constraint in statement.constraints:
        places += [constraint.form, constraint.bound]
    for place in places:
        for expr in walk.expressions(place):
            if isinstance(expr, ast.Name):
                yield expr


def _axis_name(size: _Size) -> str:
    """``A0`` for the size of axis 0 of A."""
    name, axis = size.axis or ("N", 0)
    return f"{name[0].upper()}{name[1:].rstrip(_PRIME)}{axis}"


def _unread(body: Sequence[ast.Statement]) -> list[ast.Name]:
    """Assigned names that no later statement reads."""
    read: set[str] = set()
    found: list[ast.Name] = []
    for statement in reversed(body):
        if statement.name not in read:
            found.append(ast.Name(statement.name, _target_span(statement)))
        read.update((statement.name, *walk.names(statement)))
    return found[::-1]


def _target_span(statement: ast.Statement) -> Span:
    if isinstance(statement, ast.Contraction):
        return statement.output_span
    return statement.span
